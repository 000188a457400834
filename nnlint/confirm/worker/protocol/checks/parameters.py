"""Which parameters the optimizers hold and move, and which of them the loss depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...verdict import Inconclusive, Verdict, confirmed, refuted
from ..record import Backward, Forward, Record, Step


def unheld_parameters(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """Gradients reach the parameters of some layers, and no optimizer holds them.

    The control are the other parameters: the same steps move them, or no gradient reaches what the optimizers hold.
    """
    reached, held, moved = _seen(record)
    ours = record.layers & reached
    if not ours:
        if any(forward.replaced for forward in record.of(Forward)):
            raise Inconclusive("no batch could be loaded that the model accepts, so that its layers were not run")
        raise Inconclusive("no gradient reaches the parameters of these layers")
    steps = len(record.of(Step))
    others = (reached & moved) - record.layers
    lost = ours - held
    figures = {
        "parameters_of_the_layers": len(record.layers),
        "reached_by_gradients": len(ours),
        "held_by_an_optimizer": len(ours & held),
        "moved": len(ours & moved),
        "others_moved": len(others),
        "steps": steps,
    }
    if not lost and ours & moved:
        return refuted(f"an optimizer holds all {len(ours)} parameters of these layers, and moves them", **figures)
    if not lost:
        raise Inconclusive("an optimizer holds these parameters, and its steps do not move them")
    if lost & record.changed:
        raise Inconclusive(
            f"no optimizer holds {len(lost)} of these parameters, and {len(lost & record.changed)} of them change all "
            "the same: other lines move them"
        )
    names = ", ".join(sorted({record.names[each] for each in lost})[:2])
    unheld = "them" if lost == ours else f"{len(lost)} of them"
    said = f"gradients reach {len(ours)} parameters of these layers, and no optimizer holds {unheld} ({names} …)"
    if others:
        return confirmed(f"{said}: {steps} steps leave those as they were and move {len(others)} others", **figures)
    if held and not held & reached:
        return confirmed(f"{said}; no gradient reaches any of the {len(held)} parameters that are held", **figures)
    raise Inconclusive("no step moves any other parameter either")


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
    if not others:
        raise Inconclusive("no step moves any parameter")
    if any(record.layers & set(step.used) for step in record.of(Step)):
        raise Inconclusive("the optimizer uses gradients of these parameters, and its rate for them is 0 so far")
    if not record.layers & reached:
        why = "no gradient reaches them"
    else:
        why = "no optimizer holds them" if not record.layers & held else "their gradients are 0"
    return refuted(
        f"{steps} steps move none of the {len(record.layers)} parameters that were to be frozen: {why}", **figures
    )


def late_freeze(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """Parameters that are frozen go on moving in the optimizer's steps.

    The controls are the steps before the freeze, which move them, and the parameters that are not frozen.
    """
    steps = record.need(Step)
    if not record.layers:
        raise Inconclusive("the freeze is not reached, as far as the loops are run")
    frozen = [step for step in steps if step.frozen & record.layers]
    if not frozen:
        raise Inconclusive("no step comes after the freeze, as far as the loops are run")
    if not any(step.moved & record.layers for step in steps if step.number < frozen[0].number):
        raise Inconclusive("no step before the freeze moves these parameters")
    ours: frozenset[int] = frozenset().union(*(step.frozen & record.layers for step in frozen))
    moved = ours & frozenset().union(*(step.moved for step in frozen))
    others = frozenset().union(*(step.moved - step.frozen for step in frozen))
    figures = {
        "frozen": len(ours),
        "steps_after_the_freeze": len(frozen),
        "moved": len(moved),
        "others_moved": len(others),
    }
    if not others:
        raise Inconclusive("no step after the freeze moves any parameter that is not frozen")
    if moved:
        name = min(record.names[each] for each in moved)
        return confirmed(
            f"{len(frozen)} steps after the freeze move {len(moved)} of the {len(ours)} frozen parameters ({name} …)",
            **figures,
        )
    return refuted(
        f"{len(frozen)} steps after the freeze move none of {len(ours)} frozen parameters, and {len(others)} others",
        **figures,
    )


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
