"""The line that a finding begins with on a terminal."""

from __future__ import annotations

from nnlint.diagnostic import Diagnostic, Location, Severity
from nnlint.output.cells import plain
from nnlint.output.context import RenderContext
from nnlint.output.path import readable, relative_path
from nnlint.output.style import Style, paint
from nnlint.output.verdicts import OUTCOME_STYLES
from nnlint.verdict import Outcome

SEVERITY_STYLES: dict[Severity, Style] = {
    Severity.ERROR: Style("bright_red", bold=True),
    Severity.WARNING: Style("yellow", bold=True),
    Severity.INFO: Style("cyan", bold=True),
}


def headline(diagnostic: Diagnostic, context: RenderContext) -> str:
    """Where a finding is, what it is called and what is wrong, in one line.

    A refuted one has no severity any more.
    """
    if diagnostic.refuted:
        label, style = f"refuted[{diagnostic.code}]", OUTCOME_STYLES[Outcome.REFUTED]
    else:
        label, style = f"{diagnostic.severity}[{diagnostic.code}]", SEVERITY_STYLES[diagnostic.severity]
    severity = paint(label, style, context)
    name = paint(diagnostic.name, Style(bold=True), context)
    where = paint(place(diagnostic.location, context), Style(bold=True), context)
    message = plain(" ".join(diagnostic.message.split()), context.unicode)
    return f"{where}: {severity} {name}: {message}"


def place(location: Location, context: RenderContext) -> str:
    """``path:row:column`` as terminals and editors link it."""
    path = plain(readable(relative_path(location.filename, context.root)), context.unicode)
    return f"{path}:{location.span.row}:{location.span.column}"
