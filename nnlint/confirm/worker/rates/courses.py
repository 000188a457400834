"""The course of a learning rate: what is said of it in words and figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..verdict import Inconclusive, Verdict, inconclusive
from .exits import Exit, exits_left_out
from .rehearsal import Course, Rehearsal, Stage

FAINT = 0.01
"""A rate below this share of the highest one hardly moves the weights."""

BATCHES = (20, 500)
"""Batches of an epoch to try where the script does not know."""

SHOWN = 40
"""Rates of a course that are reported; of longer courses evenly many."""


def over_batches(
    stage: Stage, judge: Callable[[Course], Verdict], numbers: Sequence[int] = BATCHES, **how: Any
) -> Verdict:
    """The verdict on the course of a job; where it is not known how many batches an epoch has, on all of ``numbers``.

    Where a loop may be left early, and what decides it is not run, it holds for the shortest course as well. ``how`` is
    handed to the rehearsals.

    Raises:
        Inconclusive: the verdict is not the same for all.
    """
    verdict = _over_batches(stage, judge, numbers, how)
    for each in exits_left_out(stage.job):
        said = f"what decides whether the loop is left at {each.place} is not run"
        if each.broken:
            stage.bench.assume(f"{said}; it is not")
            continue
        other = _left_at(each, stage, judge, numbers, how)
        if other.outcome != verdict.outcome:
            when = "after the first batch of each epoch" if each.batches else f"after the first {stage.unit}"
            raise Inconclusive(f"{said}: where it is not left, {verdict.summary}; left {when}, {other.summary}")
        stage.bench.assume(f"{said}; the verdict is the same if it is left at once")
    return verdict


def _left_at(
    exit_: Exit, stage: Stage, judge: Callable[[Course], Verdict], numbers: Sequence[int], how: Mapping[str, Any]
) -> Verdict:
    """The verdict on the course of loops that are left as early as they may be."""
    shorter = {"at_most_batches": 1} if exit_.batches else {"at_most": 1}
    try:
        return _over_batches(stage, judge, numbers, {**how, **shorter})
    except Inconclusive as reason:
        return inconclusive(str(reason))


def _over_batches(
    stage: Stage, judge: Callable[[Course], Verdict], numbers: Sequence[int], how: Mapping[str, Any]
) -> Verdict:
    first = Rehearsal(stage, numbers[0], **how).course()
    if not first.assumed_batches:
        return judge(first)
    verdicts: dict[int, Verdict] = {}
    for number in numbers:
        again = first.samples > 1 or number != numbers[0]
        verdicts[number] = judge(Rehearsal(stage, number * first.samples, **how).course() if again else first)
    by_outcome = {verdict.outcome: (number, verdict) for number, verdict in reversed(verdicts.items())}
    if len(by_outcome) > 1:
        said = "; ".join(
            f"with {number:,} batches {verdict.summary}" for number, verdict in sorted_by_number(by_outcome)
        )
        raise Inconclusive(f"it depends on how many batches an epoch has, which is not known here: {said}")
    fewest, most = numbers[0], numbers[-1]
    tried = f"{fewest}" if fewest == most else f"between {fewest} and {most:,}"
    stage.bench.assume(f"an epoch has {tried} batches; the verdict does not depend on how many")
    return verdicts[numbers[len(numbers) // 2]]


def sorted_by_number(by_outcome: dict[str, tuple[int, Verdict]]) -> list[tuple[int, Verdict]]:
    """The first number of each outcome, with the verdict."""
    return sorted(by_outcome.values(), key=lambda pair: pair[0])


def faint_since(rates: Sequence[float]) -> int:
    """The first place from which a rate is faint to the end; the number of rates if it never is."""
    bound = FAINT * max(rates) * (1 - 1e-9)
    since = len(rates)
    while since and rates[since - 1] < bound:
        since -= 1
    return since


def figures_of(course: Course) -> dict[str, Any]:
    """The figures that every verdict on a course gives; shares are of the rounds, from 0 to 1."""
    rates = course.rates
    rounds, since = len(rates), faint_since(rates)
    found: dict[str, Any] = {"epochs": rounds}
    if course.batches is not None:
        found["batches_per_epoch"] = course.batches
    if course.scheduler is not None:
        found["scheduler_steps"] = course.steps
    return {
        **found,
        "first_rate": rates[0],
        "highest_rate": max(rates),
        "last_rate": rates[-1],
        "share_below_1_percent": round((rounds - since) / rounds, 4),
        "first_epoch_below_1_percent": course.rounds[since].number if since < rounds else None,
        **sampled(rates),
    }


def sampled(rates: Sequence[float]) -> dict[str, Any]:
    """Rates of a course, every so many."""
    every = math.ceil(len(rates) / SHOWN)
    return {"rates": list(rates[::every]), "rates_every": every}


def rate_of(optimizer: Any) -> float:
    """The highest rate that an optimizer's groups have."""
    return max(float(group["lr"]) for group in optimizer.param_groups)
