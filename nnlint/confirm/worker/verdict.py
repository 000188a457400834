"""What an experiment says in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class Inconclusive(Exception):
    """The experiment says nothing; the message is the reason, without a period at its end."""


@dataclass(frozen=True)
class Verdict:
    """An outcome (``confirmed``, ``refuted`` or ``inconclusive``), a sentence with figures, and the figures by name."""

    outcome: str
    summary: str
    figures: dict[str, Any] = field(default_factory=dict)


def confirmed(summary: str, **figures: Any) -> Verdict:
    """The mistake was observed in the user's own lines, by an experiment that also saw the healthy case."""
    return Verdict("confirmed", summary, figures)


def refuted(summary: str, **figures: Any) -> Verdict:
    """The user's lines ran, the experiment had the power to see the mistake, and it was not there."""
    return Verdict("refuted", summary, figures)


def inconclusive(reason: str, **figures: Any) -> Verdict:
    """Neither, but something was measured all the same."""
    return Verdict("inconclusive", reason, figures)
