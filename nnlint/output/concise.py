"""One line a finding."""

from __future__ import annotations

from collections.abc import Sequence

from nnlint.diagnostic import Diagnostic
from nnlint.output.context import RenderContext
from nnlint.output.headline import headline
from nnlint.output.style import paint
from nnlint.output.verdicts import OUTCOME_STYLES, one_line


def render_concise(diagnostics: Sequence[Diagnostic], context: RenderContext) -> str:
    """``path:row:column: severity[code] name: message [verdict: evidence]``, a line for each finding.

    Refuted ones come last, with ``refuted`` in the place of the severity.
    """
    ordered = sorted(diagnostics, key=lambda diagnostic: diagnostic.refuted)
    return "".join(f"{headline(diagnostic, context)}{_evidence(diagnostic, context)}\n" for diagnostic in ordered)


def _evidence(diagnostic: Diagnostic, context: RenderContext) -> str:
    verdict = diagnostic.verdict
    if verdict is None:
        return ""
    outcome = "" if diagnostic.refuted else paint(str(verdict.outcome), OUTCOME_STYLES[verdict.outcome], context) + ": "
    return f" [{outcome}{one_line(verdict.summary, context)}]"
