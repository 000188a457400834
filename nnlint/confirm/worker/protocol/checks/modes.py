"""In which mode a model is trained and evaluated, and whether autograd records meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...verdict import Inconclusive, Verdict, confirmed, refuted
from ..record import Backward, Forward, Mode, Record, Step

DEPENDENT = ("Dropout", "BatchNorm", "AlphaDropout", "SyncBatchNorm")
"""Beginnings of the names of layers that do something else in the other mode."""


def recorded_evaluation(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """Graphs are recorded in an evaluation, and no backward pass goes through them."""
    forwards = _accused(record)
    recording = [event for event in forwards if event.recording]
    attached = [event for event in recording if event.attached]
    first, last = forwards[0].number, forwards[-1].number
    inside = [event for event in record.of(Backward) if first < event.number < last and record.is_accused(event)]
    figures = {"forward_passes": len(forwards), "recorded": len(recording), "with_a_graph": len(attached)}
    if inside:
        raise Inconclusive("a backward pass lies in the lines of the evaluation")
    if len(attached) == len(forwards):
        return confirmed(
            f"autograd records in each of the {len(forwards)} forward passes that were seen, and the outputs have a "
            "graph that no backward pass goes through",
            **figures,
        )
    if not recording:
        return refuted(f"autograd records in none of the {len(forwards)} forward passes that were seen", **figures)
    if not attached:
        return refuted("no output has a graph: no parameter of the model wants a gradient", **figures)
    raise Inconclusive(f"{len(attached)} of {len(forwards)} forward passes leave a graph")


def mode_after_evaluation(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """A model is trained in train mode, evaluated, and trained on in eval mode."""
    forwards = _accused(record)
    record.need(Step)
    models = {event.module for event in forwards}
    switched = [event for event in record.of(Mode) if not event.training and event.module in models]
    if not switched:
        raise Inconclusive("eval() of the model is not reached")
    before = [event for event in forwards if event.number < switched[0].number]
    after = [event for event in forwards if event.number > switched[0].number]
    if not after:
        raise Inconclusive("nothing is trained after the evaluation")
    if not before or not any(event.training for event in before):
        raise Inconclusive("the model is not in train mode before the evaluation")
    idle = [event for event in after if not event.training]
    layers = sorted({name for event in idle for name in event.evaluating_modules if name.startswith(DEPENDENT)})
    figures = {
        "trained_before": len(before),
        "trained_after": len(after),
        "of_them_in_eval_mode": len(idle),
        "layers": layers,
    }
    if not idle:
        return refuted(
            f"all {len(after)} training batches after the evaluation find the model in train mode", **figures
        )
    what = f", its {' and '.join(layers)} with it" if layers else ""
    return confirmed(
        f"of {len(before)} training batches before the first evaluation {sum(event.training for event in before)} find "
        f"the model in train mode; of {len(after)} after it {len(idle)} find it in eval mode{what}",
        **figures,
    )


def evaluation_mode(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """A model whose layers depend on the mode is evaluated in train mode."""
    forwards = _accused(record)
    active = [{name for name in event.training_modules if name.startswith(DEPENDENT)} for event in forwards]
    found = sorted(set().union(*active))
    figures = {
        "forward_passes": len(forwards),
        "in_train_mode": sum(event.training for event in forwards),
        "layers": found,
    }
    if all(active):
        return confirmed(
            f"in each of the {len(forwards)} forward passes of the evaluation that were seen {' and '.join(found)} "
            "is in train mode",
            **figures,
        )
    if not any(active):
        return refuted("no layer that depends on the mode is in train mode", **figures)
    raise Inconclusive(f"{sum(map(bool, active))} of {len(forwards)} forward passes have layers in train mode")


def _accused(record: Record) -> list[Forward]:
    """The forward passes that the finding is about.

    Raises:
        Inconclusive: there are none.
    """
    found = [event for event in record.need(Forward, what="the model") if record.is_accused(event)]
    if not found:
        raise Inconclusive(record.failures[0] if record.failures else "the model is not called in these lines")
    return found
