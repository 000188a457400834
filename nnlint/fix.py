"""Applying the fixes of diagnostics to the text they were found in; only ``write_source`` touches a file."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnlint.diagnostic import Diagnostic, Span, TextFix
from nnlint.source import NEWLINE, ParseFailure, Source

MAX_PASSES = 10
"""How often a text is mended and read again before the rest is left alone."""

_Change = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A fix that was not applied, and why in one clause."""

    diagnostic: Diagnostic
    reason: str


@dataclass(frozen=True, slots=True)
class Fixed:
    """A text after fixing: the findings mended in it, and the fixes left out."""

    text: str
    applied: tuple[Diagnostic, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def fix_file(source: Source, diagnostics: Sequence[Diagnostic], unsafe: bool) -> Fixed:
    """Apply the fixes of ``diagnostics``, all found in ``source``, in one pass.

    A fix is applied whole or not at all. One that overlaps an earlier one is skipped: it may apply once the result
    has been read again. Fixes that are not safe are applied only if ``unsafe``. If the result is not Python any
    more, or cannot be written in the encoding of the file, the text is left as it was and every fix is skipped.
    """
    starts = [0, *(found.end() for found in NEWLINE.finditer(source.text))]
    taken: list[_Change] = []
    applied: list[Diagnostic] = []
    skipped: list[Skipped] = []
    for diagnostic in sorted(diagnostics, key=lambda diagnostic: (diagnostic.location, diagnostic.code)):
        fix = diagnostic.fix
        if fix is None:
            continue
        if not (fix.safe or unsafe):
            skipped.append(Skipped(diagnostic, "the fix is unsafe"))
        elif any(edit.location.filename != diagnostic.location.filename for edit in fix.edits):
            skipped.append(Skipped(diagnostic, "the fix reaches into another file"))
        else:
            changes = _changes(fix, starts, len(source.text))
            new = [change for change in changes if change not in taken]
            if any(_conflict(change, other) for change in new for other in (*taken, *new) if change is not other):
                skipped.append(Skipped(diagnostic, "the fix overlaps another"))
            else:
                taken += new
                applied.append(diagnostic)
    text = _changed(source.text, taken)
    trouble = _trouble(source, text) if taken else None
    if trouble is not None:
        skipped += [Skipped(diagnostic, trouble) for diagnostic in applied]
        return Fixed(source.text, skipped=tuple(skipped))
    return Fixed(text, tuple(applied), tuple(skipped))


def fix_until_stable(source: Source, lint: Callable[[Source], Sequence[Diagnostic]], unsafe: bool) -> Fixed:
    """Fix ``source``, lint the result and fix again until nothing changes, ``MAX_PASSES`` times at most.

    ``lint`` answers with the diagnostics of a text that stands in the place of the file. ``applied`` of the result
    lists the findings mended in all passes, ``skipped`` the fixes that the last pass left out.
    """
    applied: list[Diagnostic] = []
    skipped: tuple[Skipped, ...] = ()
    text = source.text
    for _ in range(MAX_PASSES):
        current = Source(source.path, text, source.encoding, source.bom)
        fixed = fix_file(current, lint(current), unsafe)
        applied += fixed.applied
        skipped = fixed.skipped
        if fixed.text == text:
            break
        text = fixed.text
    return Fixed(text, tuple(applied), skipped)


def unified_diff(before: str, after: str, filename: str) -> str:
    """What changes from ``before`` to ``after``, as ``patch -p0`` reads it; empty if nothing does."""
    name = _quoted(filename)
    diff = difflib.unified_diff(_lines(before), _lines(after), name, name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in diff)


def write_source(source: Source, text: str) -> None:
    """Replace the file of ``source`` by ``text`` in its encoding, at once and with the permissions it had.

    Raises:
        OSError: the file or its folder cannot be written.
        UnicodeEncodeError: the encoding of the file lacks a character of ``text``.
    """
    content = source.encode(text)
    path = Path(os.path.realpath(source.path))
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(content)
        os.chmod(name, path.stat().st_mode & 0o7777)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _changes(fix: TextFix, starts: Sequence[int], length: int) -> list[_Change]:
    changes = [(*_offsets(edit.location.span, starts, length), edit.replacement) for edit in fix.edits]
    return list(dict.fromkeys(changes))


def _offsets(span: Span, starts: Sequence[int], length: int) -> tuple[int, int]:
    return _offset(span.row, span.column, starts, length), _offset(span.end_row, span.end_column, starts, length)


def _offset(row: int, column: int, starts: Sequence[int], length: int) -> int:
    return min(starts[row - 1] + column - 1, length) if row <= len(starts) else length


def _conflict(one: _Change, other: _Change) -> bool:
    """Whether two changes touch the same text; two insertions at one place would depend on their order."""
    if one[:2] == other[:2]:
        return True
    return one[0] < other[1] and other[0] < one[1]


def _changed(text: str, changes: Sequence[_Change]) -> str:
    for start, end, replacement in sorted(changes, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def _trouble(source: Source, text: str) -> str | None:
    try:
        Source(source.path, text).module  # noqa: B018
        source.encode(text)
    except ParseFailure as failure:
        return f"the result would not be Python: {failure.reason}"
    except UnicodeEncodeError:
        return f"the result cannot be written in {source.encoding}"
    return None


def _lines(text: str) -> list[str]:
    """The lines as ``patch`` counts them, where only a line feed ends a line."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])


def _quoted(filename: str) -> str:
    if filename.isprintable() and '"' not in filename:
        # Without the tab a space would end the name.
        return f"{filename}\t" if " " in filename else filename
    escaped = filename.replace("\\", "\\\\").replace('"', '\\"')
    encoded = escaped.encode("utf-8", "surrogateescape")
    return '"' + "".join(chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in encoded) + '"'
