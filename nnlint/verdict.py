"""What running the user's lines has shown of a finding: plain data, ready for people, CI and editors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""What JSON can say."""


class Outcome(Enum):
    """What an experiment can come to."""

    CONFIRMED = "confirmed"
    """The mistake was observed in the user's own code, by an experiment that also saw the healthy case."""
    REFUTED = "refuted"
    """The user's code ran, the experiment could have seen the mistake, and it was not there."""
    INCONCLUSIVE = "inconclusive"
    """Neither: the code could not be run, or what came out says nothing."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of the experiment on one finding, with what was measured.

    ``summary`` is one sentence with figures, or for an inconclusive one the reason, without a period at its end.
    ``figures`` are the measurements by name. ``assumptions`` are what had to be taken for granted (sizes, defaults),
    ``stood_in`` what was replaced (packages, data files, values). ``seconds`` is wall-clock time of the experiment.
    ``unenforced`` are the layers of isolation that the system refused.
    """

    outcome: Outcome
    summary: str
    experiment: str = ""
    figures: Mapping[str, Json] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    stood_in: tuple[str, ...] = ()
    device: str = ""
    torch: str = ""
    seconds: float = 0.0
    unenforced: tuple[str, ...] = ()
