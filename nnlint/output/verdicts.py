"""What is said of the verdict on a finding, in the words and colours that the formats share."""

from __future__ import annotations

from nnlint.output.cells import plain
from nnlint.output.context import RenderContext
from nnlint.output.style import Style
from nnlint.verdict import Outcome, Verdict

OUTCOME_STYLES: dict[Outcome, Style] = {
    Outcome.CONFIRMED: Style("bright_red", bold=True),
    Outcome.REFUTED: Style("green", bold=True),
    Outcome.INCONCLUSIVE: Style(bold=True),
}


def reservations(verdict: Verdict, context: RenderContext) -> str:
    """What was taken for granted and what was replaced, in one line; empty if nothing was."""
    parts = [("assumed", verdict.assumptions), ("stood in for", verdict.stood_in)]
    between = " · " if context.unicode else " | "
    return between.join(f"{title}: {one_line('; '.join(notes), context)}" for title, notes in parts if notes)


def one_line(text: str, context: RenderContext) -> str:
    """A text that came from the user's process, fit to be shown."""
    return plain(" ".join(text.split()), context.unicode)
