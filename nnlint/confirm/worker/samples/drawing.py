"""What is drawn for a sample by the user's lines: the state of the generator before each draw, and what comes out."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import asdict, dataclass
from typing import Any

from ..anything import is_missing, reason
from ..draws.fingerprints import fingerprint
from ..program import Program
from .generators import put, state_of

OWN, APART, TOGETHER = "own", "apart", "together"
"""The states that draws begin in: those of the user's lines, another one in each worker, the same one in all."""


class Drawing:
    """Watches the draws of the accused call: what it draws from is the watch ``generator``, what it gives ``drawn``.

    With ``in_place`` the watch ``drawn`` is what is shuffled, ``of_numpy`` the generator is numpy's global one.
    """

    def __init__(self, program: Program, *, in_place: bool, of_numpy: bool) -> None:
        self._in_place = in_place
        self._of_numpy = of_numpy
        self._states = OWN
        self._worker = 0
        self._count = 0
        self._begun: list[str] = []
        self._values: list[Any] = []
        self.missing = ""
        """Why there is nothing to draw from; empty if there is."""
        program.see["generator"] = self._begin
        program.see["drawn"] = self._end

    def begin(self, states: str, worker: int) -> None:
        """Begin a sample whose draws begin in ``states``, in the worker of a number."""
        if states != self._states:
            self._states, self._count = states, 0
        self._worker = worker
        self._begun.clear()
        self._values.clear()

    def draws(self) -> list[dict[str, str]]:
        """The draws of the sample that came to an end."""
        values = [_Value.of(each) if self._in_place else each for each in self._values]
        return [{"state": state, **asdict(value)} for state, value in zip(self._begun, values) if state]

    def _begin(self, generator: Any) -> Any:
        source = sys.modules["numpy"].random if self._of_numpy else generator
        if self._states != OWN and state_of(source):
            put(source, 1000 * (self._worker if self._states == APART else 0) + self._count)
        self._count += 1
        # A draw that began and did not end has failed.
        del self._begun[len(self._values) :]
        self._begun.append("" if is_missing(generator) else state_of(source))
        if is_missing(generator):
            self.missing = reason(generator)
        return generator

    def _end(self, value: Any) -> Any:
        if len(self._values) < len(self._begun):
            # What is shuffled in place is looked at in the end.
            self._values.append(value if self._in_place else _Value.of(value))
        return value


@dataclass(frozen=True)
class _Value:
    """What was drawn, as a text that is the same if it is, and as a number where it is one; empty where it is not."""

    value: str
    number: str

    @staticmethod
    def of(value: Any) -> _Value:
        """A value that was drawn."""
        if is_missing(value):
            return _Value("", "")
        if isinstance(value, (str, bool, int)):
            return _Value(repr(value), repr(value))
        if isinstance(value, float):
            return _Value(repr(value), f"{value:.4g}")
        if hasattr(value, "getbands"):
            return _Value(hashlib.sha256(value.tobytes()).hexdigest()[:16], "")
        parts = fingerprint(value)
        number = value.item() if parts and getattr(value, "size", 0) == 1 and hasattr(value, "item") else None
        return _Value(repr(sorted(parts.items())) if parts else "", "" if number is None else f"{number:.4g}")
