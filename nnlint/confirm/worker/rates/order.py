"""Schedulers that are stepped before the optimizer has made a step."""

from __future__ import annotations

from ..verdict import Inconclusive, Verdict, confirmed, refuted
from .courses import BATCHES, figures_of, over_batches, rate_of
from .rehearsal import Course, Rehearsal, Stage

LONGEST = 100_000
"""Steps of a schedule that are looked at."""

LITTLE = 0.01
"""A rate that is another by less than this share of the highest one hardly matters."""


def early(stage: Stage) -> Verdict:
    """Whether the first rates of a schedule are passed over before the optimizer makes its first step."""

    def judge(course: Course) -> Verdict:
        rates = [rate for each in course.rounds for rate in each.rates]
        counts = [count for each in course.rounds for count in each.counts]
        if not rates:
            raise Inconclusive("no step of the optimizer is reached")
        if not course.steps:
            raise Inconclusive("the scheduler is not stepped on the way")
        schedule, first = _alone(stage, course, max(counts))
        if min(counts) < first:
            raise Inconclusive("the scheduler does not say how many steps it has made")
        made = counts[0] - first
        figures = {**figures_of(course), "steps_before_the_optimizer": made, "first_rate_of_the_schedule": schedule[0]}
        if made <= 0:
            return refuted(
                f"the optimizer makes its first step at {rates[0]:.3g}, before any step of the scheduler", **figures
            )
        if [schedule[count - first] for count in counts] != rates:
            raise Inconclusive("something beside the scheduler sets the rate")
        meant = [schedule[count - counts[0]] for count in counts]
        others = _rounds_at_another_rate(course, meant)
        figures["first_rates"], figures["first_rates_meant"] = rates[:5], meant[:5]
        figures["epochs_at_another_rate"] = len(others)
        passed = f"{made} of the scheduler's rates {'is' if made == 1 else 'are'} passed over"
        if not others:
            return refuted(f"{passed}, but the run trains at {rates[0]:.3g} all the same", **figures)
        most = max(abs(rate - other) for rate, other in zip(rates, meant)) / max(meant)
        figures["largest_difference"] = round(most, 6)
        if most < LITTLE:
            raise Inconclusive(f"{passed}, and the rates are others by no more than {most:.2g} of the highest")
        return confirmed(
            f"{passed} before the optimizer makes its first step: {_what_differs(course, rates, meant)}; in "
            f"{len(others)} of {len(course.rounds)} {stage.unit}s the rate is another than in the right order",
            **figures,
        )

    return over_batches(stage, judge)


def _rounds_at_another_rate(course: Course, meant: list[float]) -> list[int]:
    """The places of the rounds in which a step is made at another rate than was meant."""
    found: list[int] = []
    begun = 0
    for place, each in enumerate(course.rounds):
        if each.rates != meant[begun : begun + len(each.rates)]:
            found.append(place)
        begun += len(each.rates)
    return found


def _what_differs(course: Course, rates: list[float], meant: list[float]) -> str:
    """The first rate that is another, in words."""
    if rates[0] != meant[0]:
        return f"it is made at {rates[0]:.4g} instead of {meant[0]:.4g}"
    at = next(at for at, rate in enumerate(rates) if rate != meant[at])
    return f"the rate becomes {rates[at]:.3g} where it is still meant to be {meant[at]:.3g}"


def _alone(stage: Stage, seen: Course, steps: int) -> tuple[list[float], int]:
    """The rates of the user's scheduler by itself, and the number of steps that it says it has made when it is new."""
    if steps > LONGEST:
        raise Inconclusive(f"the scheduler makes more than {LONGEST:,} steps")
    course = Rehearsal(stage, seen.batches or BATCHES[0], unbegun=True).course()
    first = getattr(course.scheduler, "last_epoch", 0)
    rates = [rate_of(course.optimizer)]
    for _ in range(steps - first):
        try:
            course.scheduler.step()
        except ValueError as error:
            raise Inconclusive("the schedule refuses to be stepped so often") from error
        rates.append(rate_of(course.optimizer))
    return rates, first
