"""A finding drawn into its source: the lines it rests on, with marks and labels under them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nnlint.diagnostic import Location
from nnlint.output.cells import TAB, cells, plain, shown, width
from nnlint.output.context import RenderContext
from nnlint.output.headline import place
from nnlint.output.style import Style, paint
from nnlint.source import NEWLINE

GUTTER = Style("blue", bold=True)
NOTE = Style("blue", bold=True)

_WHOLE_ROWS = 3
"""A span of more rows is marked in its first row only."""
_MIN_CELLS = 24
"""The least room for a line or a label, however narrow the terminal."""


@dataclass(frozen=True, slots=True)
class Label:
    """A place to mark, with what happens there; the primary one is what the finding is about."""

    location: Location
    message: str
    primary: bool = False


@dataclass(frozen=True, slots=True)
class _Mark:
    """The part of a label in one row: columns from 0 in code points, the end exclusive."""

    start: int
    end: int
    message: str
    primary: bool


class _Line:
    """A line of cells, each with a style."""

    def __init__(self) -> None:
        self._cells: list[tuple[str, Style]] = []

    def put(self, at: int, text: str, style: Style) -> None:
        """Write ``text`` from the cell ``at`` over what is there."""
        self._cells += [(" ", _BARE)] * (at + width(text) - len(self._cells))
        for char in text:
            size = cells(char)
            if size:
                self._cells[at : at + size] = [(char, style), ("", style)][:size]
                at += size
            elif at:
                self._cells[at - 1] = (self._cells[at - 1][0] + char, style)

    def render(self, context: RenderContext) -> str:
        written, run, style = "", "", _BARE
        for text, next_style in self._cells:
            if next_style != style:
                written, run, style = written + paint(run, style, context), "", next_style
            run += text
        return (written + paint(run, style, context)).rstrip()

    def __len__(self) -> int:
        return len(self._cells)


_BARE = Style()


def draw_frame(labels: Sequence[Label], primary_style: Style, context: RenderContext) -> tuple[list[str], int]:
    """The lines of a frame and the width of its gutter.

    The file of the first label comes first. Rows far apart have ``...`` between them, and each further file begins
    with a line that names it. A file that cannot be read any more is only named.
    """
    files: dict[str, list[Label]] = {}
    for label in _merged(labels):
        files.setdefault(label.location.filename, []).append(label)
    gutter = len(str(max((_last_row(label) for label in labels), default=1)))
    drawn: list[str] = []
    for number, (filename, those) in enumerate(files.items()):
        if number:
            drawn.append(_gutter("", gutter, context))
            drawn.append(paint(f"{' ' * gutter}::: ", GUTTER, context) + place(those[0].location, context))
        try:
            lines = NEWLINE.split(context.read_text(filename))
        except (OSError, ValueError):
            drawn += [f"{' ' * gutter} = {place(label.location, context)}: {label.message}" for label in those]
            continue
        drawn.append(_gutter("", gutter, context))
        drawn += _draw_rows(lines, those, gutter, primary_style, context)
    drawn.append(_gutter("", gutter, context))
    return drawn, gutter


def _merged(labels: Sequence[Label]) -> list[Label]:
    """The labels, with one mark and one list of messages for those at the same place."""
    merged: dict[Location, Label] = {}
    for label in labels:
        other = merged.get(label.location)
        messages = dict.fromkeys(each.message for each in (other, label) if each is not None and each.message)
        primary = label.primary or (other is not None and other.primary)
        merged[label.location] = Label(label.location, "; ".join(messages), primary)
    return list(merged.values())


def _last_row(label: Label) -> int:
    span = label.location.span
    return span.end_row if span.end_row - span.row < _WHOLE_ROWS else span.row


def _draw_rows(
    lines: Sequence[str], labels: Sequence[Label], gutter: int, primary_style: Style, context: RenderContext
) -> Iterator[str]:
    rows: dict[int, list[_Mark]] = {}
    for label in labels:
        for row, mark in _marks(label, lines):
            rows.setdefault(row, []).append(mark)
    room = max(_MIN_CELLS, context.width - gutter - 3)
    previous: int | None = None
    for row in sorted(rows):
        if previous is not None and row - previous == 2:
            between, _ = _window(_cells(_line(lines, row - 1), context.unicode), [], room, context.unicode)
            yield _gutter(str(row - 1), gutter, context, between)
        elif previous is not None and row - previous > 2:
            yield paint("...", GUTTER, context)
        previous = row
        drawn, below = _draw_row(_line(lines, row), rows[row], room, primary_style, context)
        yield _gutter(str(row), gutter, context, drawn)
        for line in below:
            yield _gutter("", gutter, context, line)


def _line(lines: Sequence[str], row: int) -> str:
    return lines[row - 1] if 0 < row <= len(lines) else ""


def _marks(label: Label, lines: Sequence[str]) -> Iterator[tuple[int, _Mark]]:
    """What is marked of a label in each row; the message stands at the last one."""
    span = label.location.span
    last = _last_row(label)
    for row in range(span.row, last + 1):
        line = _line(lines, row)
        start = span.column - 1 if row == span.row else len(line) - len(line.lstrip())
        end = span.end_column - 1 if row == span.end_row else len(line.rstrip())
        if row == last or end > start:
            yield row, _Mark(start, max(start, end), label.message if row == last else "", label.primary)


def _cells(line: str, unicode: bool) -> tuple[list[str], list[int]]:
    """A line cell by cell, and the cell at which each of its characters begins, ending with the width of the line."""
    row: list[str] = []
    starts: list[int] = []
    for char in (shown(char, unicode) for char in line):
        starts.append(len(row))
        if char == "\t":
            row += " " * (TAB - len(row) % TAB)
            continue
        size = cells(char)
        if size:
            row += [char, ""][:size]
        elif row:
            # What has no width of its own belongs to the character before it, both cells of which count as one.
            owner = len(row) - 1 if row[-1] or len(row) == 1 else len(row) - 2
            row[owner] += char
            starts[-1] = owner
    starts.append(len(row))
    return row, starts


def _window(
    measured: tuple[list[str], list[int]], spans: Sequence[tuple[int, int]], room: int, unicode: bool
) -> tuple[str, int]:
    """As much of a line as there is room for, and the cell it begins at; the first span matters most."""
    row, _ = measured
    if len(row) <= room:
        return "".join(row).rstrip(), 0
    begin = 0
    if spans:
        low, high = min(start for start, _ in spans), max(end for _, end in spans)
        ellipses = 6
        if high + ellipses > room:
            if high - low + ellipses > room:
                low, high = spans[0]
            begin = min(max(0, low - max(ellipses, (room - (high - low)) // 2)), len(row) - room)
    piece = row[begin : begin + room]
    if piece and not piece[0]:
        piece[0] = " "
    if begin + room < len(row) and not row[begin + room]:
        piece[-1] = " "
    dots = "…" if unicode else "..."
    if begin:
        piece[: len(dots)] = [*dots]
        if not piece[len(dots)]:
            piece[len(dots)] = " "
    if begin + room < len(row):
        if not piece[-len(dots)]:
            piece[-len(dots) - 1] = " "
        piece[-len(dots) :] = [*dots]
    return "".join(piece).rstrip(), begin


def _draw_row(
    line: str, marks: Sequence[_Mark], room: int, primary_style: Style, context: RenderContext
) -> tuple[str, list[str]]:
    """A line as it is shown, and the lines of marks and messages under it."""
    measured = _cells(line, context.unicode)
    marks = sorted(marks, key=lambda mark: (not mark.primary, mark.start, mark.end))
    spans = [_extent(mark, measured[1]) for mark in marks]
    text, begin = _window(measured, spans, room, context.unicode)
    placed: list[tuple[int, int, _Mark]] = []
    for mark, (first, last) in zip(marks, spans, strict=True):
        start = min(max(first - begin, 0), room - 1)
        placed.append((start, min(max(last - begin, start + 1), room), mark))
    under = _Line()
    for start, end, mark in reversed(placed):
        under.put(start, ("^" if mark.primary else "-") * (end - start), primary_style if mark.primary else NOTE)
    waiting = sorted((each for each in placed if each[2].message), key=lambda each: each[0])
    if waiting:
        _, end, mark = waiting[-1]
        message = plain(mark.message, context.unicode)
        if end == len(under) and end + 1 + width(message) <= room:
            under.put(end + 1, message, primary_style if mark.primary else NOTE)
            waiting.pop()
    below = [under.render(context)]

    if waiting:
        below.append(_connected(waiting, primary_style).render(context))
    while waiting:
        start, _, mark = waiting.pop()
        parts = textwrap.wrap(plain(mark.message, context.unicode), max(_MIN_CELLS, room - start))
        start = min(start, max(0, room - max(map(width, parts), default=0)))
        for part in parts:
            hanging = _connected(waiting, primary_style)
            hanging.put(start, part, primary_style if mark.primary else NOTE)
            below.append(hanging.render(context))
    return text, below


def _connected(waiting: Sequence[tuple[int, int, _Mark]], primary_style: Style) -> _Line:
    """A line that leads marks to the messages that come further down."""
    line = _Line()
    for start, _, mark in waiting:
        line.put(start, "|", primary_style if mark.primary else NOTE)
    return line


def _extent(mark: _Mark, starts: Sequence[int]) -> tuple[int, int]:
    """The cells of a mark; one at least, also behind the end of the line."""
    last = len(starts) - 1
    start = starts[min(mark.start, last)]
    return start, max(starts[min(mark.end, last)], start + 1)


def _gutter(number: str, size: int, context: RenderContext, text: str = "") -> str:
    return (paint(f"{number:>{size}} |", GUTTER, context) + (f" {text}" if text else "")).rstrip()
