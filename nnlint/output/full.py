"""A finding with its source, its evidence and its advice, for people."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from nnlint.diagnostic import Diagnostic
from nnlint.output.context import RenderContext
from nnlint.output.frame import GUTTER, Label, draw_frame
from nnlint.output.headline import SEVERITY_STYLES, headline
from nnlint.output.style import Style, paint
from nnlint.output.verdicts import OUTCOME_STYLES, one_line, reservations

_MIN_WIDTH = 40

TITLE = Style(bold=True)


def render_full(diagnostics: Sequence[Diagnostic], context: RenderContext) -> str:
    """The findings one after another, each followed by an empty line; refuted ones apart after the others."""
    blocks = [_block(diagnostic, context) for diagnostic in diagnostics if not diagnostic.refuted]
    refuted = [_refuted_block(diagnostic, context) for diagnostic in diagnostics if diagnostic.refuted]
    if refuted:
        blocks += [paint("Refuted by running the lines in question:", TITLE, context), *refuted]
    return "".join(f"{block}\n\n" for block in blocks)


def _block(diagnostic: Diagnostic, context: RenderContext) -> str:
    labels = [Label(diagnostic.location, "", primary=True)]
    labels += [Label(related.location, related.message) for related in diagnostic.related]
    frame, gutter = draw_frame(labels, SEVERITY_STYLES[diagnostic.severity], context)
    lines = [headline(diagnostic, context), *frame]
    lines += _evidence(diagnostic, gutter, context)
    lines += _footnote("why", diagnostic.why, gutter, context)
    lines += _footnote("help", diagnostic.advice, gutter, context)
    if diagnostic.fix is not None:
        how = "apply with --fix" if diagnostic.fix.safe else "changes numbers; apply with --fix --unsafe-fixes"
        lines += _footnote("fix", f"{diagnostic.fix.message} ({how})", gutter, context)
    return "\n".join(lines)


def _refuted_block(diagnostic: Diagnostic, context: RenderContext) -> str:
    return "\n".join([headline(diagnostic, context), *_evidence(diagnostic, 1, context)])


def _evidence(diagnostic: Diagnostic, gutter: int, context: RenderContext) -> list[str]:
    """The verdict with its figures and, in dim lines, what it rests on."""
    verdict = diagnostic.verdict
    if verdict is None:
        return []
    lines = _footnote(str(verdict.outcome), verdict.summary, gutter, context, OUTCOME_STYLES[verdict.outcome])
    indent = " " * (gutter + len(" = "))
    reserved = _wrapped(reservations(verdict, context), len(indent), context)
    return [*lines, *(indent + paint(line, Style(dim=True), context) for line in reserved)]


def _footnote(title: str, text: str, gutter: int, context: RenderContext, style: Style = TITLE) -> list[str]:
    if not text.strip():
        return []
    lead = f"{' ' * gutter} = "
    indent = len(lead) + len(title) + 2
    wrapped = _wrapped(text, indent, context)
    first = paint(lead, GUTTER, context) + paint(f"{title}:", style, context)
    return [f"{first} {wrapped[0]}", *(f"{' ' * indent}{line}" for line in wrapped[1:])]


def _wrapped(text: str, indent: int, context: RenderContext) -> list[str]:
    room = max(_MIN_WIDTH, context.width) - indent
    return textwrap.wrap(one_line(text, context), room, break_long_words=False, break_on_hyphens=False)
