"""How the name of a file is written in the output."""

from __future__ import annotations

import os
from os import PathLike


def relative_path(filename: str, root: str | PathLike[str]) -> str:
    """The path from ``root`` with ``/`` between its parts; the whole path for a file outside of ``root``."""
    base = os.path.abspath(root)
    try:
        inside = os.path.commonpath([base, filename]) == base
    except ValueError:
        # Another drive, or a name that is not absolute.
        inside = False
    path = os.path.relpath(filename, base) if inside else filename
    return path.replace(os.sep, "/")


def readable(name: str) -> str:
    """A name with what cannot be shown (bytes that are no text, line breaks, controls) written as escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
