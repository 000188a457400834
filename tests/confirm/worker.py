"""Workers for tests of the running itself: any Python will do, and what it refuses can be chosen."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from nnlint.confirm.worker.isolation.seccomp import CALLS
from nnlint.verdict import Json

KINDS = Path(__file__).parent / "kinds"
ROOT = Path(__file__).parents[2]

TORCH = """\
import sys
from types import ModuleType

__version__ = "{version}"
set_num_threads = print

class version:
    cuda = hip = None

class backends:
    pass

class Whatever(type):
    def __getattr__(cls, name):
        return cls

class Something(metaclass=Whatever):
    def __init__(self, *args, **kwargs):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def __getattr__(self, name):
        return Something

for name, part in (("jit", "_builtins"), ("utils", "_device"), ("utils._device", "DeviceContext")):
    module = sys.modules["torch." + name] = ModuleType("torch." + name)
    setattr(module, part, Something)

def __getattr__(name):
    return Something
"""
"""A torch that is imported in no time: all there is is something, and none of it does anything."""

CONTAINER = """\
#!{python}
import os, sys
sys.path.insert(0, {root!r})
from nnlint.confirm.worker.isolation.seccomp import install
install({architecture}, {calls})
os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""


def stand_in_for_torch(folder: Path, version: str = "2.5.0") -> Path:
    """A folder for PYTHONPATH that has a torch which is imported in no time."""
    package = folder / "site" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(TORCH.format(version=version))
    return package.parent


def python_in_container(folder: Path, python: Path, refused: tuple[str, ...]) -> Path:
    """What starts ``python`` where system calls are refused, as containers do."""
    architecture, known = CALLS[platform.machine()]
    prctl = {"x86_64": 157, "aarch64": 167}[platform.machine()]
    numbers = {**known, "prctl": prctl, "landlock_create_ruleset": 444}
    calls = {name: numbers[name] for name in refused}
    return program(folder, CONTAINER.format(python=str(python), root=str(ROOT), architecture=architecture, calls=calls))


def program(folder: Path, text: str) -> Path:
    """An executable file."""
    path = folder / "python"
    path.write_text(text)
    path.chmod(0o755)
    return path


def job(number: int, text: str, **changes: Json) -> dict[str, Json]:
    """A job that runs a file ``train.py`` as it is."""
    file: dict[str, Any] = {
        "path": "/project/train.py",
        "module": "train",
        "is_package": False,
        "text": dedent(text).lstrip("\n"),
        "pruned": [],
        "keep": [],
        "watches": [],
        "imports": [],
    }
    program = {"root": "/project", "path": file["path"], "entry": "", "files": [file]}
    return {"id": number, "kind": "as_it_is", "program": program, "mended": None, "settings": {}, **changes}


def said(answer: Mapping[str, Json]) -> str:
    """Outcome and summary."""
    return f"{answer['outcome']}: {answer['summary']}"


def python_of_its_own(folder: Path) -> Path:
    """Our Python under a name that only the processes of one test have."""
    path = folder / "python-of-its-own"
    path.symlink_to(sys.executable)
    return path


def workers(python: Path) -> set[int]:
    """The processes on this machine that were started with a Python, or come from one that was."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(os.fsencode(python) + b"\0"):
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found
