"""Installed packages that take long to import, and that many scripts do: where it can be, that is done once."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Iterable
from functools import lru_cache

LARGE = frozenset(
    "PIL albumentations cv2 h5py imageio kornia librosa matplotlib nltk numpy pandas scipy seaborn skimage sklearn"
    " tensorboard tensorboardX timm torch torchaudio torchtext tqdm transformers yaml".split()
)
"""Packages whose names nobody gives to modules of their own, and that loaders of torch find imported when they fork."""

_asked: dict[str, None] = {}

_hopeless: set[str] = set()
"""What could not be imported, and is not tried again: to look for what is not there takes its time too."""


def is_large(name: str) -> bool:
    """Whether a module is of one of :data:`LARGE`."""
    return name.partition(".")[0] in LARGE


@lru_cache(maxsize=256)
def own_packages(*folders: str) -> frozenset[str]:
    """Those of :data:`LARGE` that lie in one of the folders of a project, or in its ``src``."""
    places = [os.path.join(folder, *inner, "") for folder in folders for inner in ((), ("src",))]
    return frozenset(
        name for name in LARGE if any(os.path.exists(f"{place}{name}{end}") for place in places for end in ("", ".py"))
    )


def asked() -> list[str]:
    """What the user's lines have asked of :data:`LARGE`, in this process or before it was forked."""
    return list(_asked)


def ask(name: str, parts: Iterable[str] = ()) -> None:
    """Take down that the user's lines import a module, or parts of it."""
    if is_large(name):
        _asked.update(dict.fromkeys((name, *(f"{name}.{part}" for part in parts if part != "*"))))


def import_packages(names: Iterable[str]) -> None:
    """Import what is asked of :data:`LARGE`: modules, or what there is in them.

    What fails is for the lines to say that ask for it.
    """
    before = len(sys.modules)
    for name in filter(is_large, names):
        _asked.setdefault(name)
        package = name.partition(".")[0]
        if name in sys.modules or name in _hopeless or package in _hopeless:
            continue
        around, _, part = name.rpartition(".")
        try:
            # Some packages import what is in them when they are asked for it.
            if not (around in sys.modules and hasattr(sys.modules[around], part)):
                importlib.import_module(name)
        except Exception:
            _hopeless.add(name if package in sys.modules else package)
    if len(sys.modules) > before:
        # That the garbage collector of forked processes does not touch, and so copy, what they share.
        gc.freeze()
