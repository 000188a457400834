"""The formats of the output: one module each, a function from diagnostics and surroundings to text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nnlint.diagnostic import Diagnostic
from nnlint.output.concise import render_concise
from nnlint.output.context import RenderContext
from nnlint.output.full import render_full
from nnlint.output.github import render_github, step_summary
from nnlint.output.json_format import render_json

__all__ = ["RENDERERS", "RenderContext", "step_summary"]

RENDERERS: dict[str, Callable[[Sequence[Diagnostic], RenderContext], str]] = {
    "full": render_full,
    "concise": render_concise,
    "json": render_json,
    "github": render_github,
}
"""The renderers by the name of their format; each writes whole lines, or nothing at all."""
