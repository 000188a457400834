"""Annotations on GitHub: workflow commands for the lines of a pull request, and a table for the page of the run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import quote

from nnlint.diagnostic import Diagnostic, Location, Severity
from nnlint.output.context import RenderContext
from nnlint.output.path import readable, relative_path
from nnlint.output.sentences import prose
from nnlint.output.verdicts import reservations
from nnlint.verdict import Outcome

SHOWN = 10
"""GitHub shows so many annotations of each level in a step, and drops the rest without a word."""

SUMMARY_ROWS = 200
"""Rows of the table; a summary longer than 1 MiB would be refused whole."""

_MARKS = str.maketrans({mark: f"&#{ord(mark)};" for mark in "\\*_[]~#|<>&:@"})
"""What Markdown, HTML or GitHub would read something into; an entity means itself within code, too."""

_NOTHING = "### nnlint\n\nNo findings.\n"

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render_github(diagnostics: Sequence[Diagnostic], context: RenderContext) -> str:
    """A workflow command for each finding that GitHub will show, and a notice that counts the others.

    Refuted findings are no annotations; the summary of the step lists them.
    """
    ranked = _ranked([diagnostic for diagnostic in diagnostics if not diagnostic.refuted])
    chosen: list[Diagnostic] = []
    for severity in sorted(_LEVELS, reverse=True):
        chosen += [diagnostic for diagnostic in ranked if diagnostic.severity is severity][:SHOWN]
    if len(chosen) < len(ranked) and sum(diagnostic.severity is Severity.INFO for diagnostic in chosen) == SHOWN:
        # The notice that counts the others needs a place itself; infos are the last of the chosen.
        chosen.pop()
    lines = [_command(diagnostic, context) for diagnostic in chosen]
    left_out = len(ranked) - len(chosen)
    if left_out:
        findings = "finding is" if left_out == 1 else "findings are"
        lines.append(
            f"::notice title=nnlint::{left_out} more {findings} not annotated: GitHub shows {SHOWN} of a kind."
        )
    return "".join(f"{line}\n" for line in lines)


def step_summary(diagnostics: Sequence[Diagnostic], context: RenderContext) -> str:
    """The findings as Markdown, for the file that ``$GITHUB_STEP_SUMMARY`` names; refuted ones are not counted."""
    number = sum(not diagnostic.refuted for diagnostic in diagnostics)
    title = f"### nnlint: {number} {'finding' if number == 1 else 'findings'}\n" if number else _NOTHING
    if not diagnostics:
        return title
    confirming = any(diagnostic.verdict is not None for diagnostic in diagnostics)
    heads = ["Severity", "Rule", "Place", "Finding"] + ["Verdict"] * confirming
    rows = ["", f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for diagnostic in _ranked(diagnostics)[:SUMMARY_ROWS]:
        cells = [
            str(diagnostic.severity),
            f"{diagnostic.code} {diagnostic.name}",
            _link(diagnostic.location, context),
            _markdown(prose(diagnostic)),
        ]
        cells += [_markdown(_encodable(_verdict(diagnostic)))] * confirming
        rows.append(f"| {' | '.join(cells)} |")
    if len(diagnostics) > SUMMARY_ROWS:
        rows += ["", f"{len(diagnostics) - SUMMARY_ROWS} more are not listed."]
    return title + "\n".join(rows) + "\n"


def escape_data(text: str) -> str:
    """A text as the message of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """A text as the value of a property of a workflow command."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def _ranked(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The most severe and most certain first, proof before all else of its severity; refuted ones last."""

    def rank(each: Diagnostic) -> tuple[object, ...]:
        proved = each.outcome is Outcome.CONFIRMED
        return each.refuted, -each.severity, not proved, -each.confidence, each.location, each.code, each.message

    return sorted(diagnostics, key=rank)


def _command(diagnostic: Diagnostic, context: RenderContext) -> str:
    span = diagnostic.location.span
    properties = {
        "title": f"nnlint {diagnostic.code} {diagnostic.name}",
        "file": _path(diagnostic.location, context),
        "line": str(span.row),
        "endLine": str(span.end_row),
    }
    if span.row == span.end_row:
        properties |= {"col": str(span.column), "endColumn": str(span.end_column)}
    written = ",".join(f"{key}={escape_property(value)}" for key, value in properties.items())
    return f"::{_LEVELS[diagnostic.severity]} {written}::{escape_data(_message(diagnostic, context))}"


def _message(diagnostic: Diagnostic, context: RenderContext) -> str:
    lines = [prose(diagnostic)]
    if diagnostic.verdict is not None:
        rests_on = reservations(diagnostic.verdict, context)
        lines += [_verdict(diagnostic), *([f"{rests_on[0].upper()}{rests_on[1:]}."] if rests_on else [])]
    lines += [
        f"{_path(each.location, context)}:{each.location.span.row}: {each.message}" for each in diagnostic.related
    ]
    return "\n".join(_encodable(line) for line in lines)


def _verdict(diagnostic: Diagnostic) -> str:
    verdict = diagnostic.verdict
    if verdict is None:
        return ""
    return f"{str(verdict.outcome).capitalize()}: {' '.join(verdict.summary.split()).rstrip('.')}."


def _path(location: Location, context: RenderContext) -> str:
    """The path from the root of the repository; GitHub knows no other."""
    workspace = context.environ.get("GITHUB_WORKSPACE")
    path = relative_path(location.filename, workspace) if workspace else location.filename
    if os.path.isabs(path):
        path = relative_path(location.filename, context.root)
    return _encodable(path)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _link(location: Location, context: RenderContext) -> str:
    path = _path(location, context)
    label = f"<code>{_markdown(readable(path))}:{location.span.row}</code>"
    parts = [context.environ.get(name) for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA")]
    if path.startswith("/") or not all(parts):
        return label
    server, repository, commit = parts
    return f"[{label}]({server}/{repository}/blob/{commit}/{quote(path)}#L{location.span.row})"


def _markdown(text: str) -> str:
    """A text that stands for itself in a cell of a table, in one line; what is between backticks becomes code."""
    parts = [part.translate(_MARKS) for part in " ".join(text.split()).split("`")]
    if len(parts) % 2 == 0:
        return "&#96;".join(parts)
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
