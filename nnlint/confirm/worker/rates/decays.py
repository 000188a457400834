"""Decays that do not fit the run: they come too early, never, or again and again."""

from __future__ import annotations

from typing import Any

from ..verdict import Inconclusive, Verdict, confirmed, refuted
from .courses import BATCHES, FAINT, faint_since, figures_of, over_batches, rate_of
from .rehearsal import Course, Rehearsal, Stage

LONG = 0.25
"""A faint rate over this share of the run is too long."""

SHORT = 0.1
"""Over less than this share it is of no account."""

GONE = 1e-4
"""Below this share of the highest rate nothing is learned."""

STEADY = 1e-9
"""A rate that falls by no more than this share is constant."""

FALLEN = 0.02
"""A cosine has fallen once it has lowered the rate by more than this share."""


def faint(stage: Stage) -> Verdict:
    """Whether much of the run is trained with a rate that hardly moves the weights."""
    unit = stage.unit

    def judge(course: Course) -> Verdict:
        rates, figures = course.rates, figures_of(course)
        rounds, since = len(rates), faint_since(rates)
        share = (rounds - since) / rounds
        if share < SHORT:
            few = f"only the last {rounds - since}" if since < rounds else "none"
            return refuted(
                f"the rate ends at {rates[-1]:.3g} and is below 1 % of its highest ({max(rates):.3g}) in {few} of "
                f"{rounds} {unit}s",
                **figures,
            )
        below = (
            f"the rate is below 1 % of its highest ({max(rates):.3g}) from {unit} {course.rounds[since].number} on, "
            f"for {rounds - since} of {rounds} {unit}s; it ends at {rates[-1]:.3g}"
        )
        if share >= LONG and rates[-1] < FAINT / 2 * max(rates):
            return confirmed(below, **figures)
        raise Inconclusive(f"{below}, which is neither long nor short")

    return over_batches(stage, judge)


def never(stage: Stage) -> Verdict:
    """Whether the rate stays where it is in a run whose script speaks of a decay."""
    unit, tolerance = stage.unit, float(stage.settings["tolerance"])

    def judge(course: Course) -> Verdict:
        rates, figures = course.rates, figures_of(course)
        rounds = len(rates)
        falls = (at for at in range(rounds) if rates[at] < (1 - tolerance) * max(rates[: at + 1]))
        fall = next(falls, None)
        if fall is not None:
            return refuted(
                f"the rate falls from {max(rates[:fall]):.3g} to {rates[fall]:.3g} in {unit} "
                f"{course.rounds[fall].number} of {rounds}; the last one has {rates[-1]:.3g}",
                **figures,
            )
        if min(rates) < (1 - tolerance) * max(rates):
            raise Inconclusive(f"the rate rises from {rates[0]:.3g} to {max(rates):.3g} and does not fall")
        stays = f"the rate stays {rates[0]:.3g} in all {rounds} {unit}s"
        later, said = _later_fall(course, unit)
        if not said:
            raise Inconclusive(f"{stays}, and nothing shows that it was meant to fall")
        return confirmed(f"{stays}; {said}", **figures, first_fall_after_the_run=later)

    return over_batches(stage, judge, beyond=int(stage.settings["beyond"]))


def _later_fall(course: Course, unit: str) -> tuple[int | None, str]:
    """Where the user's own schedule lowers the rate after all, and that in words; empty if it does not."""
    highest = max(course.rates)
    for each in course.beyond:
        if each.rate < highest * (1 - STEADY):
            said = f"the same lines would lower it to {each.rate:.3g} in {unit} {each.number}, which is past the end"
            return each.number, said
    for name, few in (("T_max", max(2, len(course.rounds))), ("step_size", 1)):
        made_for = getattr(course.scheduler, name, None)
        if isinstance(made_for, (int, float)):
            setattr(course.scheduler, name, few)
            for _ in range(few):
                course.scheduler.step()
                if rate_of(course.optimizer) < highest * (1 - FALLEN):
                    return None, f"the same scheduler lowers it once its {name} is {few} instead of {made_for:g}"
    return None, ""


def compounding(stage: Stage) -> Verdict:
    """Whether a decay is multiplied into a rate that holds it already: the same lines, with the rate set anew."""
    unit = stage.unit

    def judge(course: Course) -> Verdict:
        rates = course.rates
        anew = Rehearsal(stage, course.batches or BATCHES[0], anew=True).course().rates
        figures: dict[str, Any] = {**figures_of(course), "last_rate_if_set_anew": anew[-1]}
        ends = f"the rate starts at {rates[0]:.3g} and ends at {rates[-1]:.2g}"
        control = f"with the first rate put back before every {unit}, the same lines end at {anew[-1]:.2g}"
        if rates[-1] < GONE * max(rates) and anew[-1] > 10 * rates[-1]:
            since = course.rounds[faint_since(rates)].number
            return confirmed(f"{ends}; from {unit} {since} on it is below 1 % of its highest; {control}", **figures)
        if rates[-1] >= FAINT * max(rates):
            return refuted(f"{ends}; {control}", **figures)
        raise Inconclusive(f"{ends}; {control}")

    return over_batches(stage, judge)
