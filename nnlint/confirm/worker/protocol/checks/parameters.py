"""Which parameters the optimizers hold and move, and which of them the loss depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...verdict import Inconclusive, Verdict, confirmed, refuted
from ..record import Backward, Record, Step


def unheld_parameters(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """Gradients reach the parameters of some layers, and no optimizer holds them.

    The control are the other parameters, which the same steps move.
    """
    reached, held, moved = _seen(record)
    ours = record.layers & reached
    if not ours:
        raise Inconclusive("no gradient reaches the parameters of these layers")
    steps = len(record.of(Step))
    others = (reached & moved) - record.layers
    figures = {
        "parameters_of_the_layers": len(record.layers),
        "reached_by_gradients": len(ours),
        "held_by_an_optimizer": len(ours & held),
        "moved": len(ours & moved),
        "others_moved": len(others),
        "steps": steps,
    }
    if ours <= held and ours & moved:
        return refuted(f"an optimizer holds all {len(ours)} parameters of these layers, and moves them", **figures)
    if ours & held:
        raise Inconclusive(f"an optimizer holds {len(ours & held)} of {len(ours)} parameters of these layers")
    if not others:
        raise Inconclusive("no step moves any other parameter either")
    names = ", ".join(sorted(record.names[each] for each in ours)[:2])
    return confirmed(
        f"gradients reach {len(ours)} parameters of these layers ({names} …), and no optimizer holds them: {steps} "
        f"steps leave them as they were and move {len(others)} others",
        **figures,
    )


def ineffective_freeze(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """The parameters that were to be frozen are moved by the optimizer's steps."""
    reached, held, moved = _seen(record)
    ours = record.layers & moved
    others = moved - record.layers
    steps = len(record.of(Step))
    figures = {
        "parameters_to_be_frozen": len(record.layers),
        "reached_by_gradients": len(record.layers & reached),
        "held_by_an_optimizer": len(record.layers & held),
        "moved": len(ours),
        "others_moved": len(others),
        "steps": steps,
    }
    if ours:
        name = min(record.names[each] for each in ours)
        return confirmed(
            f"{steps} steps move {len(ours)} of the {len(record.layers)} parameters that were to be frozen ({name} …)",
            **figures,
        )
    if not record.layers & (reached | held):
        raise Inconclusive("these parameters have no part in the steps that were run")
    if others and not record.layers & reached & held:
        why = "no gradient reaches them" if not record.layers & reached else "no optimizer holds them"
        return refuted(
            f"{steps} steps move none of the {len(record.layers)} parameters that were to be frozen: {why}", **figures
        )
    raise Inconclusive("no step moves any parameter")


def _seen(record: Record) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    """The parameters that gradients have reached, that optimizers hold, and that steps have moved."""
    steps = record.need(Step)
    backwards = [event for event in record.need(Backward) if not event.invented]
    if not backwards:
        raise Inconclusive("the loss could not be computed")
    if not record.layers:
        raise Inconclusive("the layers are not built on the way")
    reached: frozenset[int] = frozenset().union(*(event.reached for event in backwards))
    held: frozenset[int] = frozenset().union(*(step.parameters for step in steps))
    moved: frozenset[int] = frozenset().union(*(step.moved for step in steps))
    return reached, held, moved
