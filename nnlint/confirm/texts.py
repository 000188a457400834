"""Places in a text, before and after a fix is applied to it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from nnlint.diagnostic import Span, TextFix
from nnlint.source import NEWLINE


class Rows:
    """The rows of a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(found.end() for found in NEWLINE.finditer(text))]

    def offset(self, row: int, column: int) -> int:
        """The offset of a row and a column, both from 1."""
        return self.starts[row - 1] + column - 1

    def place(self, offset: int) -> tuple[int, int]:
        """The row and the column, both from 1, of an offset."""
        row = bisect_right(self.starts, offset)
        return row, offset - self.starts[row - 1] + 1

    def point(self, row: int, column: int) -> tuple[int, int]:
        """A row from 1 and a column from 1 in code points as :mod:`ast` counts them: the column in bytes from 0."""
        start = self.starts[row - 1]
        return row, len(self.text[start : start + column - 1].encode())


@dataclass(frozen=True)
class Mended:
    """A text with a fix applied. ``added`` are the first and last rows of lines that are wholly the fix's."""

    text: str
    added: tuple[tuple[int, int], ...]
    _before: Rows
    _changes: tuple[tuple[int, int, str], ...]

    def moved(self, span: Span) -> Span:
        """Where a span of the text before is now; what the fix has rewritten is the whole of what it wrote there."""
        after = Rows(self.text)
        start = self._shifted(self._before.offset(span.row, span.column), end=False)
        end = self._shifted(self._before.offset(span.end_row, span.end_column), end=True)
        return Span(*after.place(start), *after.place(end))

    def _shifted(self, offset: int, *, end: bool) -> int:
        shift = 0
        for first, last, text in self._changes:
            if last < offset or (last == offset and (end or last == first)):
                shift += len(text) - (last - first)
            elif first < offset:
                return first + shift + (len(text) if end else 0)
        return offset + shift


def mend(text: str, fix: TextFix, filename: str) -> Mended:
    """A text with those edits of a fix applied that are in the file ``filename``."""
    rows = Rows(text)
    changes = sorted(
        (
            rows.offset(edit.location.span.row, edit.location.span.column),
            rows.offset(edit.location.span.end_row, edit.location.span.end_column),
            edit.replacement,
        )
        for edit in fix.edits
        if edit.location.filename == filename
    )
    parts: list[str] = []
    added: list[tuple[int, int]] = []
    position = row = 0
    for first, last, replacement in changes:
        parts += (text[position:first], replacement)
        row += len(NEWLINE.findall(text[position:first]))
        lines = len(NEWLINE.findall(replacement))
        if first == last and lines:
            added.append((row + 1, row + lines))
        row += lines
        position = last
    return Mended("".join((*parts, text[position:])), tuple(added), rows, tuple(changes))
