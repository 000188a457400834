"""Schedulers that count in one unit and are stepped in the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..verdict import Inconclusive, Verdict, confirmed, refuted
from .courses import BATCHES, FAINT, faint_since, figures_of, over_batches, rate_of
from .rehearsal import Course, Rehearsal, Stage

MUCH = 0.25
"""A share of the run in which the rate is another than it was meant to be, from which on it is a mistake."""

MANY_BATCHES = tuple(int(20 * 1.4**power) for power in range(20))
"""Batches of an epoch where the schedule is made of their number; so close that none between them is another case."""

UNFINISHED, FINISHED = 0.8, 1.25
"""Steps for each step of the schedule between which a run is taken to see the schedule as it was meant."""

ENDING = ("T_max", "total_steps", "total_iters", "num_training_steps", "lr_lambda")
"""What counts the steps to the end of a schedule, and not those to a fall."""

LONGEST = 100_000
"""Steps of a schedule that are looked at."""

A_FEW = 10
"""Epochs that are enough to see how often something happens in each."""


def too_often(stage: Stage) -> Verdict:
    """Whether a scheduler that counts epochs is stepped in every batch: compared with one step an epoch."""

    def judge(course: Course) -> Verdict:
        rounds, most = len(course.rounds), max(each.steps for each in course.rounds)
        healthy = _alone(stage, course, rounds)
        pairs = [
            (rate, healthy[min(at, len(healthy) - 1)]) for at, each in enumerate(course.rounds) for rate in each.rates
        ]
        if not pairs:
            raise Inconclusive("no step of the optimizer is reached")
        rates = [rate for rate, _ in pairs]
        bound = FAINT * max(max(pair) for pair in pairs)
        off = sum(_differ(rate, other, bound) for rate, other in pairs) / len(pairs)
        since = faint_since(rates)
        rises = sum(1 for before, at, after in zip(rates, rates[1:], rates[2:]) if before > at < after)
        changed = max((at for at in range(1, len(rates)) if rates[at] != rates[at - 1]), default=0)
        figures = {
            **figures_of(course),
            "batches": len(rates),
            "first_batch_below_1_percent": since if since < len(rates) else None,
            "last_batch_to_change_the_rate": changed,
            "times_risen_again": rises,
            "share_off_by_a_factor_of_2": round(off, 4),
            "last_rate_once_an_epoch": healthy[min(rounds, len(healthy)) - 1],
        }
        if most <= 1:
            once = (
                f"{'' if course.steps == rounds else 'at most '}once an epoch, {course.steps} times in {rounds} epochs"
            )
            return refuted(f"the scheduler is stepped {once}", **figures)
        stepped = f"the scheduler is stepped {most} times an epoch"
        apart = f"stepped once an epoch, the rate would differ by a factor of 2 or more in {off:.0%} of the run"
        happens = _what_happens(rates, since, rises, changed)
        if not happens:
            lasts = f"the rate still changes in batch {changed:,} of {len(rates):,} and ends at {rates[-1]:.3g}"
            return refuted(f"{stepped}, and the schedule is long enough for it: {lasts}", **figures)
        if off < MUCH:
            raise Inconclusive(f"{stepped} and {happens}; {apart}")
        return confirmed(f"{stepped} and {happens}; {apart}", **figures)

    return over_batches(stage, judge)


def _what_happens(rates: list[float], since: int, rises: int, changed: int) -> str:
    """What becomes of a schedule that is used up long before the run is over; empty for one that is not."""
    batches = f"{len(rates):,}"
    if since < (1 - MUCH) * len(rates):
        return f"the rate is below 1 % of its highest ({max(rates):.3g}) from batch {since:,} of {batches} on"
    if rises > 1:
        return f"the rate falls and rises again {rises} times in {batches} batches"
    if changed < MUCH * len(rates):
        return f"the rate stays {rates[-1]:.3g} from batch {changed:,} of {batches} on"
    return ""


def _differ(rate: float, healthy: float, faint: float) -> bool:
    """Whether two rates are apart by a factor of 2 or more, and not both too small to matter."""
    low, high = sorted((rate, healthy))
    return high > faint and low <= high / 2


def _alone(stage: Stage, seen: Course, steps: int) -> list[float]:
    """The rates that the user's scheduler gives by itself, before the first step and after each of ``steps``."""
    course = Rehearsal(stage, seen.batches or BATCHES[0], unbegun=True).course()
    rates = [rate_of(course.optimizer)]
    for _ in range(steps):
        try:
            course.scheduler.step()
        except ValueError:
            # A schedule of a fixed length refuses to be stepped beyond it.
            break
        rates.append(rate_of(course.optimizer))
    return rates


def _rate_after(stage: Stage, seen: Course, steps: int) -> float:
    """The rate that the user's scheduler gives by itself after so many steps."""
    factor = _factor(seen.scheduler)
    if factor is not None:
        return float(seen.scheduler.base_lrs[0] * factor(steps))
    return _alone(stage, seen, min(steps, LONGEST))[-1]


def too_seldom(stage: Stage) -> Verdict:
    """Whether a scheduler that counts batches is stepped once an epoch: how much of its schedule the run sees."""

    def judge(course: Course) -> Verdict:
        made, epochs = course.steps, len(course.rounds)
        horizon, name = _horizon(course)
        figures = {
            **figures_of(course),
            "steps_of_the_schedule": horizon,
            "share_of_the_schedule": round(made / horizon, 4),
        }
        if max(each.steps for each in course.rounds) >= max(2, course.batches or 2):
            return refuted(f"the scheduler is stepped {made} times in {epochs} epochs, in every batch", **figures)
        ends = f"the rate is {course.rates[-1]:.3g} in the last epoch"
        if made <= UNFINISHED * horizon:
            whole = _rate_after(stage, course, horizon)
            return confirmed(
                f"the run makes {made} of the {horizon:,} steps that the scheduler is made for ({name}): {ends}, and "
                f"would be {whole:.3g} at the end of the schedule",
                **figures,
                last_rate_of_the_schedule=whole,
            )
        if name not in ENDING:
            raise Inconclusive(
                f"the run makes {made} steps and the scheduler comes to its {name} of {horizon}: whether batches are "
                "meant cannot be told"
            )
        if made >= FINISHED * horizon:
            return confirmed(
                f"the schedule is over after {horizon} of the run's {made} steps ({name}); {ends}", **figures
            )
        return refuted(
            f"the run makes {made} steps, and the scheduler is made for {horizon} ({name}); {ends}", **figures
        )

    return over_batches(stage, judge, MANY_BATCHES)


def _horizon(course: Course) -> tuple[int, str]:
    """How many steps the scheduler is made for, and what says so; of several that follow each other the last does."""
    scheduler, before = course.scheduler, 0
    parts, starts = (getattr(scheduler, name, None) for name in ("_schedulers", "_milestones"))
    if parts and starts:
        scheduler, before = parts[-1], int(starts[-1])
    for name in ("T_max", "total_steps", "step_size", "total_iters", "T_0"):
        value = getattr(scheduler, name, None)
        if isinstance(value, (int, float)) and value >= 1:
            return before + int(value), name
    milestones = getattr(scheduler, "milestones", None)
    if milestones:
        return before + int(max(milestones)), "milestones"
    if course.horizon is not None and course.horizon >= 1:
        return before + int(course.horizon), "num_training_steps"
    factor = _factor(scheduler)
    horizon = None if factor is None else _last_change(factor, 2 * len(course.rounds) * (course.batches or BATCHES[0]))
    if horizon is not None:
        return before + horizon, "lr_lambda"
    raise Inconclusive("it is not known how many steps the scheduler is made for")


def _factor(scheduler: Any) -> Callable[[int], float] | None:
    """The user's function of the number of steps, None if the rate does not come from one."""
    functions = getattr(scheduler, "lr_lambdas", None)
    return functions[0] if functions and callable(functions[0]) else None


def _last_change(factor: Callable[[int], float], most: int) -> int | None:
    """After how many steps a factor stays what it is; None if it is still another just before ``most``, or ever alike.

    It is taken to stay once it has come to its last value: the steps are halved, not gone through.
    """
    end = factor(most)
    if factor(most - 1) != end or factor(0) == end:
        return None
    still, settled = 0, most
    while settled - still > 1:
        step = (still + settled) // 2
        still, settled = (still, step) if factor(step) == end else (step, settled)
    return settled


def twice(stage: Stage) -> Verdict:
    """Whether a scheduler is stepped in every batch and once more in every epoch."""

    def judge(course: Course) -> Verdict:
        both = [each for each in course.rounds if each.stepped.get("batch") and each.stepped.get("epoch")]
        epochs = len(course.rounds)
        in_batches, in_epochs = (
            sum(each.stepped.get(where, 0) for each in course.rounds) for where in ("batch", "epoch")
        )
        figures = {
            "epochs_looked_at": epochs,
            "epochs_stepped_both_ways": len(both),
            "steps_in_batches": in_batches,
            "steps_in_epochs": in_epochs,
        }
        counted = f"{in_batches:,} steps in the batches and {in_epochs:,} outside of them"
        looked_at = f"of the first {epochs} epochs"
        if both:
            which = "each" if len(both) == epochs else len(both)
            said = (
                f"the scheduler is stepped in the batches and again outside of them in {which} {looked_at}: {counted}"
            )
            return confirmed(said, **figures)
        if course.steps:
            return refuted(f"the scheduler is stepped both ways in none {looked_at}: {counted}", **figures)
        raise Inconclusive(f"the scheduler is not stepped in the first {epochs} epochs")

    return over_batches(stage, judge, BATCHES[:1], at_most=A_FEW)
