"""The learning rate over the run: the user's optimizer and schedule, stepped by the user's own loops."""

from __future__ import annotations

from collections.abc import Callable

from ..bench import Bench
from ..job import Job
from ..program import Program
from ..rates import decays, order, parts, units
from ..rates.no_data import without_data
from ..rates.rehearsal import Stage
from ..verdict import Verdict

JUDGES: dict[str, Callable[[Stage], Verdict]] = {
    "faint": decays.faint,
    "never": decays.never,
    "compounding": decays.compounding,
    "too often": units.too_often,
    "too seldom": units.too_seldom,
    "twice": units.twice,
    "early": order.early,
    "factor": parts.factor,
    "function": parts.function,
}
"""By what the finding says."""


def run(job: Job, bench: Bench) -> Verdict:
    """Judge the rate as the loops make it, by what the finding says of it (``finding`` in the settings)."""
    with without_data(job, bench):
        return JUDGES[job.settings["finding"]](Stage(job, bench, Program(job.program, bench)))
