"""How a run speaks to the person in front of it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TextIO

import click


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How the run speaks to the person: where to, how much and in which colours."""

    quiet: bool
    verbose: bool
    color: bool | None
    """None for whatever the stream stands."""

    def colored(self, stream: TextIO) -> bool:
        """Whether a stream is written in colour."""
        if self.color is not None:
            return self.color
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        return stream.isatty() and os.environ.get("TERM") != "dumb"

    def complain(self, message: str, *, kind: str = "error") -> None:
        """Write a line to stderr."""
        label = click.style(kind, fg={"error": "red", "warning": "yellow"}[kind], bold=True)
        text = message.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        click.echo(f"{label}: {text}", err=True, color=self.colored(sys.stderr))

    def mention(self, message: str) -> None:
        """Write a line to stderr if every step is wanted."""
        if self.verbose:
            click.echo(message, err=True)
