"""How a run speaks to the person in front of it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

import click

PATIENCE = 1.0
"""Seconds after which a work says how far it is."""


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
        click.echo(f"{label}: {_writable(message)}", err=True, color=self.colored(sys.stderr))

    def tell(self, message: str) -> None:
        """Write a line to stderr unless nothing but findings is wanted."""
        if not self.quiet:
            click.echo(_writable(message), err=True)

    @contextmanager
    def progress(self, doing: str, total: int = 0) -> Iterator[Callable[[int], None]]:
        """A line on a terminal that says what is being done, from one second on; gone when it is over.

        The function that this gives is told how much of the total, if there is one, is done.
        """
        if self.quiet or not sys.stderr.isatty():
            yield lambda done: None
            return
        line = _ProgressLine(doing, total)
        patience = threading.Timer(PATIENCE, line.show)
        patience.daemon = True
        patience.start()
        try:
            yield line.update
        finally:
            patience.cancel()
            line.clear()

    def mention(self, message: str) -> None:
        """Write a line to stderr if every step is wanted."""
        if self.verbose:
            click.echo(message, err=True)


def _writable(text: str) -> str:
    """A text with the bytes of file names that are no text written as escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _ProgressLine:
    """A line of stderr that is written over and over, once it is shown."""

    def __init__(self, doing: str, total: int) -> None:
        self._doing = doing
        self._total = total
        self._done = 0
        self._shown = self._over = False
        self._lock = threading.Lock()

    def show(self) -> None:
        with self._lock:
            self._shown = not self._over
            self._draw()

    def update(self, done: int) -> None:
        with self._lock:
            self._done = done
            self._draw()

    def clear(self) -> None:
        with self._lock:
            self._write("\r\x1b[K")
            self._shown, self._over = False, True

    def _draw(self) -> None:
        amount = f": {self._done} of {self._total}" if self._total else ""
        self._write(f"\r\x1b[K{self._doing}{amount}")

    def _write(self, text: str) -> None:
        if self._shown:
            sys.stderr.write(text)
            sys.stderr.flush()
