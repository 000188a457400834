"""Patterns of paths, as in ``exclude`` and ``per-file-ignores``."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Pattern:
    """A glob that matches a path by its last name, or as a whole from the folder that the pattern is relative to.

    ``*`` and ``?`` match separators too, ``**/`` any number of folders, none included, ``{a,b}`` either word; a
    leading ``!`` turns the pattern round.

    Raises:
        ValueError: the text is no pattern.
    """

    text: str
    root: Path

    def __post_init__(self) -> None:
        if not self.text.strip("!/. "):
            raise ValueError(f"'{self.text}' is no pattern")
        try:
            _ = self._path, self._name
        except re.error as error:
            raise ValueError(f"'{self.text}' is no pattern: {error.msg}") from error

    @cached_property
    def _glob(self) -> str:
        return posixpath.normpath(self.text.removeprefix("!"))

    @cached_property
    def _name(self) -> re.Pattern[str] | None:
        return None if "/" in self._glob else re.compile(_translate(self._glob))

    @cached_property
    def _path(self) -> re.Pattern[str]:
        glob, root = self._glob, self.root
        if posixpath.isabs(glob) or Path(glob).is_absolute():
            return re.compile(_translate(glob))
        while glob.startswith("../"):
            glob, root = glob[3:], root.parent
        return re.compile(re.escape(root.as_posix().rstrip("/") + "/") + _translate(glob))

    def matches(self, path: Path) -> bool:
        """Whether the pattern matches an absolute path."""
        by_name = self._name is not None and self._name.fullmatch(path.name) is not None
        return (by_name or self._path.fullmatch(path.as_posix()) is not None) is not self.text.startswith("!")


def _translate(glob: str) -> str:
    out: list[str] = []
    depth = at = 0
    while at < len(glob):
        char = glob[at]
        closing = glob.find("]", at + 2) if char == "[" else -1
        if glob.startswith("**/", at):
            out.append("(?:.*/)?")
            at += 2
        elif closing > 0:
            inside = glob[at + 1 : closing].replace("\\", r"\\").replace("[", r"\[")
            out.append(f"[{'^' + inside[1:] if inside.startswith('!') else inside}]")
            at = closing
        elif char == "{" and "}" in glob[at:]:
            depth += 1
            out.append("(?:")
        elif char == "}" and depth:
            depth -= 1
            out.append(")")
        elif char == "," and depth:
            out.append("|")
        else:
            out.append({"*": ".*", "?": "."}.get(char) or re.escape(char))
        at += 1
    return f"(?s:{''.join(out)})"
