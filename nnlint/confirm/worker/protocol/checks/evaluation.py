"""What is done to a model while it is evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...verdict import Inconclusive, Verdict, confirmed, refuted
from ..record import Record, Step


def trained_on_evaluation(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """An optimizer that trains the model steps on the batches of an evaluation as well."""
    steps = record.need(Step)
    accused = [step for step in steps if record.is_accused(step)]
    if not accused:
        raise Inconclusive("no step is reached in the lines of the evaluation")
    optimizers = {step.optimizer for step in accused}
    elsewhere = [step for step in steps if step.optimizer in optimizers and not record.is_accused(step)]
    learned = frozenset().union(*(step.moved for step in elsewhere))
    if not learned:
        raise Inconclusive("the optimizer moves nothing on the training data")
    moving = [step for step in accused if step.moved & learned]
    moved = frozenset().union(*(step.moved for step in moving)) & learned
    figures = {"steps": len(accused), "steps_that_move_weights": len(moving), "parameters": len(moved)}
    if not moving:
        return refuted(
            f"none of the {len(accused)} steps that were seen on the evaluation data moves a parameter, while those on "
            f"the training data move {len(learned)}",
            **figures,
        )
    returns = list(_returns(record, moving))
    back = [(left, found) for left, found in returns if left.weights == found.weights]
    if back and len(back) == len(returns):
        if all(left.memory == found.memory for left, found in back):
            return refuted(
                "the weights and what the optimizer remembers are put back before training goes on, in "
                f"{len(back)} of the {len(returns)} evaluations that were seen",
                times_put_back=len(back),
                **figures,
            )
        raise Inconclusive("the weights are put back after the evaluation, what the optimizer remembers is not")
    return confirmed(
        f"{len(moving)} of the {len(accused)} steps that were seen on the evaluation data move parameters that the "
        f"same optimizer trains ({len(moved)} of {len(learned)})",
        **figures,
    )


def _returns(record: Record, moving: Sequence[Step]) -> Iterator[tuple[Step, Step]]:
    """The first step of each evaluation, with the first on training data that its optimizer makes after it."""
    first: dict[int, Step] = {}
    numbers = {step.number for step in moving}
    for step in record.of(Step):
        if step.number in numbers:
            first.setdefault(step.optimizer, step)
        elif not record.is_accused(step) and step.optimizer in first:
            yield first.pop(step.optimizer), step
