"""What is done to a model while it is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
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
    if len(moving) == len(accused):
        return confirmed(
            f"each of the {len(accused)} steps that were seen on the evaluation data moves parameters that the same "
            f"optimizer trains ({len(moved)} of {len(learned)})",
            **figures,
        )
    if not moving:
        return refuted(
            f"none of the {len(accused)} steps that were seen on the evaluation data moves a parameter, while those on "
            f"the training data move {len(learned)}",
            **figures,
        )
    raise Inconclusive(f"{len(moving)} of {len(accused)} steps on the evaluation data move parameters")
