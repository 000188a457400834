"""A finding with its source, its evidence and its advice, for people."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from nnlint.diagnostic import Diagnostic
from nnlint.output.cells import plain
from nnlint.output.context import RenderContext
from nnlint.output.frame import GUTTER, Label, draw_frame
from nnlint.output.headline import SEVERITY_STYLES, headline
from nnlint.output.style import Style, paint

_MIN_WIDTH = 40


def render_full(diagnostics: Sequence[Diagnostic], context: RenderContext) -> str:
    """The findings one after another, each followed by an empty line."""
    return "".join(f"{_block(diagnostic, context)}\n\n" for diagnostic in diagnostics)


def _block(diagnostic: Diagnostic, context: RenderContext) -> str:
    labels = [Label(diagnostic.location, "", primary=True)]
    labels += [Label(related.location, related.message) for related in diagnostic.related]
    frame, gutter = draw_frame(labels, SEVERITY_STYLES[diagnostic.severity], context)
    lines = [headline(diagnostic, context), *frame]
    lines += _footnote("why", diagnostic.why, gutter, context)
    lines += _footnote("help", diagnostic.advice, gutter, context)
    if diagnostic.fix is not None:
        how = "apply with --fix" if diagnostic.fix.safe else "changes numbers; apply with --fix --unsafe-fixes"
        lines += _footnote("fix", f"{diagnostic.fix.message} ({how})", gutter, context)
    return "\n".join(lines)


def _footnote(title: str, text: str, gutter: int, context: RenderContext) -> list[str]:
    if not text.strip():
        return []
    lead = f"{' ' * gutter} = "
    indent = len(lead) + len(title) + 2
    room = max(_MIN_WIDTH, context.width) - indent
    wrapped = textwrap.wrap(
        plain(" ".join(text.split()), context.unicode), room, break_long_words=False, break_on_hyphens=False
    )
    first = paint(lead, GUTTER, context) + paint(f"{title}:", Style(bold=True), context)
    return [f"{first} {wrapped[0]}", *(f"{' ' * indent}{line}" for line in wrapped[1:])]
