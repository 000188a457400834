"""How many cells of a terminal characters take, and what is shown for those that take none or do harm."""

from __future__ import annotations

import unicodedata

TAB = 4
"""Cells between tab stops in a shown line."""

_JOINERS = "\u200d\ufe0e\ufe0f"


def shown(char: str, unicode: bool) -> str:
    """What stands for a character: itself, unless it would move the cursor, turn the text or cannot be written."""
    if char == "\t":
        return char
    if not unicode and not char.isascii():
        return "?"
    if char in _JOINERS or char.isprintable() or unicodedata.category(char) == "Zs":
        return char
    return "\ufffd" if unicode else "?"


def plain(text: str, unicode: bool) -> str:
    """A text as it can be shown."""
    return "".join(shown(char, unicode) for char in text)


def cells(char: str) -> int:
    """The width of a shown character other than a tab."""
    if unicodedata.combining(char) or char in _JOINERS:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def width(text: str) -> int:
    """The width of a shown text without tabs."""
    return sum(map(cells, text))
