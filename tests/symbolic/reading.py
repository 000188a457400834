"""Reading a script given as text, for the tests of the engine."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import TypeVar

from nnlint.source import Source
from nnlint.symbolic.executor import Executor
from nnlint.symbolic.project import Project
from nnlint.symbolic.roots import execute
from nnlint.symbolic.trace import Event, Seed, Trace
from nnlint.symbolic.values import Value

E = TypeVar("E", bound=Event)

Executor.strict = True


def read(text: str, folder: Path | None = None, name: str = "train.py") -> Trace:
    """The trace of a script; with a folder, the script lies in it and may import what lies there."""
    root = folder or Path("/nowhere")
    return execute(Source(root / name, dedent(text)), Project(root))


def events(text: str, kind: type[E], folder: Path | None = None) -> list[E]:
    """The events of a kind in all runs of a script."""
    return list(read(text, folder).of(kind))


def probe(text: str, folder: Path | None = None) -> list[Value | None]:
    """The values that a script gives to ``random.seed``, which serves as a probe, in order."""
    return [event.value for event in events("import random\n" + dedent(text), Seed, folder)]
