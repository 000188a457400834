"""Modules that many experiments import, each taking its time: once one has, the next find them there already."""

from __future__ import annotations

import gc
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress

from .. import kinds
from ..setting.packages import asked, import_packages
from ..setting.torchvision_operators import load_torchvision


def _load_dynamo() -> None:
    importlib.import_module("torch._dynamo")


SLOW: dict[str, Callable[[], None]] = {"torch._dynamo": _load_dynamo, "torchvision": load_torchvision}
"""By name, how each is imported. The first step of an optimizer imports ``torch._dynamo``."""


EVERYWHERE = ("..isolation.limits", "..isolation.landlock", "..isolation.seccomp", "numpy.random")
"""Modules that take little, but that every experiment, or every process of one, would import anew."""

_hopeless: set[str] = set()
"""Kinds that cannot be imported, which is for the experiment to say that needs them."""


def loaded() -> list[str]:
    """The slow modules that this process has imported, and what the user's lines have asked of large packages."""
    return [*(name for name in SLOW if name in sys.modules), *asked()]


def load(names: Iterable[str] = SLOW) -> None:
    """Import slow modules, as far as they are there."""
    names = list(names)
    missing = [name for name in names if name in SLOW and name not in sys.modules]
    for name in missing:
        # What is wrong with a module is for the experiment to say that needs it.
        with suppress(Exception):
            SLOW[name]()
    import_packages(names)
    if missing:
        settle()


def load_everywhere() -> None:
    """Import :data:`EVERYWHERE`; of numpy nothing unless torch has loaded it."""
    for name in EVERYWHERE:
        if name.startswith(".") or name.partition(".")[0] in sys.modules:
            with suppress(ImportError):
                importlib.import_module(name, __package__)


def load_kinds(interrupted: Callable[[], bool]) -> None:
    """Import the kinds of experiments, one after the other until there is something better to do."""
    for name in (module.name for module in pkgutil.iter_modules(kinds.__path__)):
        if interrupted():
            return
        load_kind(name)


def load_kind(kind: str) -> None:
    """Import a kind of experiments."""
    name = f"{kinds.__name__}.{kind}"
    if name in sys.modules or name in _hopeless:
        return
    try:
        importlib.import_module(name)
    except Exception:
        _hopeless.add(name)
    settle()


def settle() -> None:
    """Keep the garbage collector of forked processes from touching, and so copying, what they share."""
    gc.collect()
    gc.freeze()
