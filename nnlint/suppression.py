"""Comments that silence findings, and those among them that silence nothing."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Diagnostic, Location, Span, TextEdit, TextFix
from nnlint.selection import did_you_mean
from nnlint.source import NEWLINE

if TYPE_CHECKING:
    from nnlint.rule import Rule

UNUSED = "NN001"

MARKER = re.compile(rb"nnlint\s*:|noqa", re.IGNORECASE)
"""What the bytes of a file with a suppression contain."""

_TOKEN = re.compile(
    r"""
      (?P<comment> \#[^\r\n]* )
    | (?P<string> '''(?:[^\\]|\\.)*?(?:'''|\Z) | \"\"\"(?:[^\\]|\\.)*?(?:\"\"\"|\Z)
                | '(?:[^\\'\r\n]|\\(?:\r\n|.))*'? | "(?:[^\\"\r\n]|\\(?:\r\n|.))*"? )
    | (?P<continuation> \\(?:\r\n?|\n) )
    | (?P<newline> \r\n?|\n )
    | (?P<open> [(\[{] )
    | (?P<close> [)\]}] )
    | (?P<code> [^\s#'"\\()\[\]{}]+ | \\ )
    """,
    re.VERBOSE | re.DOTALL,
)
_DIRECTIVE = re.compile(
    r"#\s*(?:nnlint\s*:\s*(?P<word>[\w-]*)\s*(?:\[(?P<codes>[^\]#]*)\]?)?[^#]*"
    r"|(?P<noqa>noqa)\b(?:\s*:\s*(?P<others>[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*))?\s*)",
    re.IGNORECASE,
)
_CODE = re.compile(r"[\w-]+")
_WORDS = ("ignore", "file-ignore", "noqa")


@dataclass(frozen=True, slots=True)
class Suppression:
    """A comment that silences findings: ``# nnlint: ignore[…]``, ``# nnlint: file-ignore[…]`` or ``# noqa: …``.

    ``codes`` are the codes and names as written, None for every rule; ``rows`` are the rows that the comment speaks
    of, None for the whole file. Columns count from 1: ``listed`` are those of the codes, ``removable`` those that go
    when the comment goes.
    """

    span: Span
    text: str
    word: str
    codes: tuple[str, ...] | None
    rows: range | None
    listed: tuple[int, int]
    removable: Span


@dataclass(frozen=True, slots=True)
class Comments:
    """The suppressions of a file, and the rows of the logical line that a row lies in, where they are several."""

    suppressions: tuple[Suppression, ...] = ()
    lines: Mapping[int, range] = field(default_factory=dict)


@dataclass(slots=True)
class _Line:
    """A logical line: the rows of one simple statement or of the head of a compound one."""

    first: int
    last: int
    decorator: bool


def find_comments(text: str) -> Comments:
    """The suppressions of a file; a comment inside a string is none.

    The text is scanned, not parsed: a file that does not parse has comments too.
    """
    found: list[tuple[int, str]] = []
    lines: list[_Line] = []
    line: _Line | None = None
    row = 1
    depth = 0
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind in ("newline", "continuation"):
            if line is not None and kind == "newline" and depth <= 0:
                line = None
            row += 1
            continue
        if kind == "comment":
            found.append((row, token[0]))
            continue
        if line is None:
            line = _Line(row, row, decorator=token[0].startswith("@"))
            lines.append(line)
            depth = 0
        depth += (kind == "open") - (kind == "close")
        if kind == "string":
            row += len(NEWLINE.findall(token[0]))
        line.last = row
    rows_of = {row: range(line.first, line.last + 1) for line in lines for row in range(line.first, line.last + 1)}
    heads = [line for line in lines if not line.decorator]
    texts = NEWLINE.split(text)
    suppressions = tuple(
        suppression
        for row, comment in found
        for suppression in _read_comment(row, texts[row - 1], comment, rows_of, heads)
    )
    return Comments(suppressions, {row: rows for row, rows in rows_of.items() if len(rows) > 1})


def _read_comment(
    row: int, line: str, comment: str, rows_of: Mapping[int, range], heads: Sequence[_Line]
) -> Iterator[Suppression]:
    offset = len(line) - len(comment)
    alone = not line[:offset].strip()
    for found in _DIRECTIVE.finditer(comment):
        word = "noqa" if found["noqa"] else found["word"].lower()
        listing = "others" if found["noqa"] else "codes"
        rows: range | None = range(row, row + 1)
        if word == "file-ignore":
            rows = None
        elif word == "ignore" and alone:
            rows = _next_statement(row, rows_of, heads)
        begin, end = offset + found.start(), offset + found.end()
        last = end >= len(line)
        yield Suppression(
            span=Span(row, begin + 1, row, offset + found.start() + len(found[0].rstrip()) + 1),
            text=found[0].rstrip(),
            word=word,
            codes=None if found[listing] is None else tuple(_CODE.findall(found[listing])),
            rows=rows,
            listed=(offset + found.start(listing) + 1, offset + found.end(listing) + 1),
            removable=Span(row, 1, row + 1, 1)
            if alone and last and begin == offset
            else Span(row, (len(line[:begin].rstrip()) if last else begin) + 1, row, end + 1),
        )


def _next_statement(row: int, rows_of: Mapping[int, range], heads: Sequence[_Line]) -> range:
    """The rows that a comment alone on its row speaks of: the next statement, or the next row of the same one."""
    if row in rows_of:
        return range(row, row + 2)
    following = bisect_right(heads, row, key=lambda head: head.first)
    return range(row, heads[following].last + 1 if following < len(heads) else row + 1)


def suppress(
    diagnostics: Iterable[Diagnostic], comments: Comments
) -> tuple[list[Diagnostic], set[tuple[Suppression, str]]]:
    """The findings of one file that no comment silences, and the comments that silence others, each with the code.

    A comment speaks of a finding on the first or last row of the finding, or of the statement that it begins in.
    """
    by_row: defaultdict[int | None, list[Suppression]] = defaultdict(list)
    for comment in comments.suppressions:
        for row in (None,) if comment.rows is None else comment.rows:
            by_row[row].append(comment)
    kept: list[Diagnostic] = []
    used: set[tuple[Suppression, str]] = set()
    for diagnostic in diagnostics:
        span = diagnostic.location.span
        statement = comments.lines.get(span.row, range(span.row, span.row + 1))
        rows = {span.row, min(span.end_row, statement[-1]), statement[0], statement[-1]}
        near = [comment for row in (None, *rows) for comment in by_row.get(row, ())]
        silencing = [comment for comment in near if _names(comment, diagnostic)]
        used.update((comment, diagnostic.code) for comment in silencing)
        if not silencing:
            kept.append(diagnostic)
    return kept, used


def _names(comment: Suppression, diagnostic: Diagnostic) -> bool:
    if comment.word not in _WORDS:
        return False
    names = (diagnostic.code.casefold(), diagnostic.name.casefold())
    return comment.codes is None or any(code.casefold() in names for code in comment.codes)


def unused_suppressions(
    filename: str,
    comments: Comments,
    used: Collection[tuple[Suppression, str]],
    asked: Collection[str],
    rules: Mapping[str, Rule],
) -> Iterator[Diagnostic]:
    """NN001 for the comments of a file that silence nothing, name no rule, or are misspelt.

    Only of the rules that were ``asked`` can it be said that there was nothing to silence.
    """
    codes_by_name = {name.casefold(): code for code, rule in rules.items() for name in (code, rule.name)}
    known = [name for code, rule in rules.items() for name in (code, rule.name)]
    silenced_by: defaultdict[Suppression, set[str]] = defaultdict(set)
    for comment, code in used:
        silenced_by[comment].add(code)
    for comment in comments.suppressions:
        silenced = silenced_by[comment]
        kept, idle, unknown = _sort_codes(comment, silenced, asked, codes_by_name)
        if comment.word not in _WORDS:
            message = f"'{comment.word}' is no directive of nnlint{did_you_mean(comment.word, _WORDS[:2])}"
            fix = None
        elif comment.codes is None:
            all_asked = all(code in asked for code, rule in rules.items() if rule.default)
            if comment.word == "noqa" or silenced or not all_asked:
                continue
            message = "this comment silences nothing"
            fix = _removal(filename, comment)
        elif unknown and comment.word != "noqa":
            message = f"'{unknown[0]}' is no rule of nnlint{did_you_mean(unknown[0], known)}"
            fix = None
        elif idle:
            message = f"there is no {' and no '.join(idle)} here to silence"
            kept += unknown
            fix = _reduction(filename, comment, kept) if kept else _removal(filename, comment)
        elif not comment.codes:
            message = "this comment names no rule"
            fix = _removal(filename, comment)
        else:
            continue
        yield Diagnostic(
            code=UNUSED,
            name=rules[UNUSED].name,
            message=message,
            why="a comment that silences nothing today hides a finding tomorrow",
            advice=fix.message if fix is not None else "correct the comment",
            severity=rules[UNUSED].severity,
            confidence=Confidence.HIGH,
            location=Location(filename, comment.span),
            fix=fix,
            text=comment.text,
        )


def _sort_codes(
    comment: Suppression, silenced: Collection[str], asked: Collection[str], codes_by_name: Mapping[str, str]
) -> tuple[list[str], list[str], list[str]]:
    """The codes of a comment as written: those it needs or that cannot be judged, the idle and the unknown ones."""
    kept: list[str] = []
    idle: list[str] = []
    unknown: list[str] = []
    for written in comment.codes or ():
        code = codes_by_name.get(written.casefold())
        if code is None:
            unknown.append(written)
        elif code in asked and code not in silenced and code != UNUSED:
            idle.append(written)
        else:
            kept.append(written)
    return kept, idle, unknown


def _removal(filename: str, comment: Suppression) -> TextFix:
    return TextFix("remove the comment", True, (TextEdit(Location(filename, comment.removable), ""),))


def _reduction(filename: str, comment: Suppression, codes: Iterable[str]) -> TextFix:
    span = Span(comment.span.row, comment.listed[0], comment.span.row, comment.listed[1])
    remaining = ", ".join(codes)
    return TextFix(f"leave only {remaining}", True, (TextEdit(Location(filename, span), remaining),))
