"""Schedules without the loops they are meant for: a scheduler by itself, a function that is called once an epoch."""

from __future__ import annotations

import math
from typing import Any

from ..anything import Anything
from ..program import arguments_of
from ..verdict import Inconclusive, Verdict, confirmed, refuted
from .courses import FAINT, rate_of, sampled
from .decays import GONE
from .rehearsal import Rehearsal, Stage, parameters

USUAL = 0.1
"""The deepest fall that people choose."""

LONGEST = 10_000
"""Steps after which a scheduler must have fallen."""

ROUNDS = 10
"""Epochs in a row that must shrink the rate for a decay to compound."""


def factor(stage: Stage) -> Verdict:
    """Whether the factor of a scheduler is the learning rate itself, and so ends the training."""
    course = Rehearsal(stage, unbegun=True).course()
    first = rate_of(course.optimizer)
    steps = 0
    while rate_of(course.optimizer) == first:
        if steps == LONGEST:
            raise Inconclusive(f"the rate does not fall in {LONGEST:,} steps of the scheduler")
        course.scheduler.step()
        steps += 1
    rate = rate_of(course.optimizer)
    left = rate / first
    figures = {"first_rate": first, "first_fall_at_step": steps, "rate_after_first_fall": rate, "factor": left}
    said = f"step {steps} of the scheduler multiplies the rate {first:.3g} by {left:.3g}"
    if math.isclose(left, first, rel_tol=1e-6) and left <= FAINT * (1 + 1e-9):
        return confirmed(f"{said}, which is the rate itself: {rate:.3g} is left", **figures)
    if left >= USUAL * (1 - 1e-9):
        return refuted(f"{said}, a usual fall", **figures)
    raise Inconclusive(f"{said}, which is neither the end of the training nor a usual fall")


def function(stage: Stage) -> Verdict:
    """Whether a function multiplies the rate by a decay again whenever it is called."""
    program = stage.program
    user, name, rounds = program.entry(), stage.job.program.entry, int(stage.settings["rounds"])

    def optimizer() -> Any:
        import torch

        return torch.optim.SGD(parameters(), lr=1.0)

    def rate_after(given_to: Any, epoch: int) -> float:
        given: dict[str, Any] = {each: Anything(f"{each} is given to {name}") for each in arguments_of(user)}
        given.update({each: 1.0 for each in stage.settings["rates"] if each in given})
        given.update({stage.settings["optimizer"]: given_to, stage.settings["epoch"]: epoch})
        try:
            user(**given)
            return rate_of(given_to)
        except Exception as error:
            raise Inconclusive(program.failed(error)) from error

    lasting = optimizer()
    rates = [rate_after(lasting, epoch) for epoch in range(rounds)]
    anew = [rate_after(optimizer(), epoch) for epoch in range(rounds)]
    since = rounds
    while since > 1 and rates[since - 1] <= 0.5 * rates[since - 2]:
        since -= 1
    stage.bench.assume(
        f"{name} is called once an epoch, for {rounds} epochs, with its defaults and a rate that starts at 1"
    )
    figures = {"epochs": rounds, **sampled(rates), "last_rate_if_called_once": anew[-1]}
    left = f"{rates[-1]:.2g} of the rate is left after {rounds} epochs"
    once = f"called once, in the last epoch, it leaves {anew[-1]:.2g}"
    if rounds - since >= ROUNDS and rates[-1] < GONE and anew[-1] > 10 * rates[-1]:
        by = rates[-1] / rates[-2] if rates[-2] else 0.0
        said = f"{name} multiplies the rate by {by:.3g} in every epoch from {since} on, and {left}; {once}"
        return confirmed(said, **figures, compounds_from_epoch=since)
    if all(math.isclose(one, other, rel_tol=1e-6) for one, other in zip(rates, anew)):
        return refuted(f"{name} sets the same rate whatever it was before: {left}", **figures)
    if rates[-1] >= FAINT:
        return refuted(f"{name} shrinks the rate little: {left}", **figures)
    raise Inconclusive(f"{left}; {once}")
