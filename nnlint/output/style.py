"""Colour on a terminal."""

from __future__ import annotations

from dataclasses import dataclass

import click

from nnlint.output.context import RenderContext


@dataclass(frozen=True, slots=True)
class Style:
    """A colour by its name in ``click.style``, and whether it is bold or dim."""

    color: str | None = None
    bold: bool = False
    dim: bool = False


def paint(text: str, style: Style, context: RenderContext) -> str:
    """The text in a style, if the output is coloured."""
    if not context.color or not text:
        return text
    return click.style(text, fg=style.color, bold=style.bold or None, dim=style.dim or None)
