"""A job: one experiment on one finding, as the parent process describes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Watched:
    """An expression whose value the experiment sees, or, with ``instead``, supplies. Rows from 1, columns from 0."""

    name: str
    row: int
    column: int
    end_row: int
    end_column: int
    instead: bool


@dataclass(frozen=True)
class File:
    """A file of the slice: its whole text, and which of its statements are kept.

    ``keep`` holds the places (row from 1, column from 0) of the statements that stay, in the scopes named by
    ``pruned``: the places of function definitions, and (0, 0) for the module itself. Other scopes stay whole.
    """

    path: str
    module: str
    is_package: bool
    text: str
    pruned: tuple[tuple[int, int], ...]
    keep: tuple[tuple[int, int], ...]
    watches: tuple[Watched, ...]
    imports: dict[tuple[int, str], str] = field(compare=False)
    """The files of the slice that its imports mean, by the number of leading dots and the dotted name."""


@dataclass(frozen=True)
class Slice:
    """The part of a program that an experiment runs. ``entry`` is a dotted name in the file ``path``, or empty."""

    root: str
    path: str
    entry: str
    files: tuple[File, ...]

    def file(self, path: str) -> File:
        """The file with a path."""
        return next(file for file in self.files if file.path == path)


@dataclass(frozen=True)
class Job:
    """What to run (as it is, with the fix applied, from a script on), and what the kind is told beyond."""

    kind: str
    program: Slice
    mended: Slice | None
    script: Slice | None
    settings: dict[str, Any]


def parse_job(data: dict[str, Any]) -> Job:
    """A job from its JSON form."""
    mended, script = (None if data.get(name) is None else parse_slice(data[name]) for name in ("mended", "script"))
    return Job(data["kind"], parse_slice(data["program"]), mended, script, data["settings"])


def parse_slice(data: dict[str, Any]) -> Slice:
    """A slice from its JSON form."""
    return Slice(data["root"], data["path"], data["entry"], tuple(_file(each) for each in data["files"]))


def _file(data: dict[str, Any]) -> File:
    return File(
        data["path"],
        data["module"],
        data["is_package"],
        data["text"],
        _places(data["pruned"]),
        _places(data["keep"]),
        tuple(Watched(*each) for each in data["watches"]),
        {(level, name): path for level, name, path in data["imports"]},
    )


def _places(data: list[list[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((row, column) for row, column in data)
