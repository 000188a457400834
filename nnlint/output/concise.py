"""One line a finding."""

from __future__ import annotations

from collections.abc import Sequence

from nnlint.diagnostic import Diagnostic
from nnlint.output.context import RenderContext
from nnlint.output.headline import headline


def render_concise(diagnostics: Sequence[Diagnostic], context: RenderContext) -> str:
    """``path:row:column: severity[code] name: message``, a line for each finding."""
    return "".join(f"{headline(diagnostic, context)}\n" for diagnostic in diagnostics)
