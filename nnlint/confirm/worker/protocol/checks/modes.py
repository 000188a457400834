"""In which mode a model is trained and evaluated, and whether autograd records meanwhile."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...verdict import Inconclusive, Verdict, confirmed, refuted
from ..record import Backward, Forward, Mode, Record, Step

DEPENDENT = ("Dropout", "BatchNorm", "AlphaDropout", "SyncBatchNorm")
"""Beginnings of the names of layers that do something else in the other mode."""

COMPARED = 2
"""Forward passes of an evaluation whose outputs are compared with those in eval mode."""

FAINT = 1e-3
"""A share of the largest output that rounding may make of a difference."""


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
    """A model is trained in train mode, evaluated, and trained on in eval mode.

    The control is the same lines with the model in train mode whenever a training batch goes through.
    """
    forwards = _learned_from(record)
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
    healthy, first = _apart_from_mode(record, [before[0], after[0]], training=True)
    if healthy:
        raise Inconclusive("a part of the model is in eval mode before the evaluation as well")
    idle = [event for event in after if not event.training or (first and not _active(event))]
    layers = sorted({name for event in idle for name in event.evaluating_modules if name.startswith(DEPENDENT)})
    figures = {
        "trained_before": len(before),
        "trained_after": len(after),
        "of_them_in_eval_mode": len(idle),
        "layers": layers,
        "outputs_apart": first,
    }
    if not idle and not first:
        return refuted(
            f"all {len(after)} training batches after the evaluation find the model in train mode", **figures
        )
    if not idle:
        raise Inconclusive("a part of the model is in eval mode after the evaluation")
    what = f", its {' and '.join(layers)} with it" if layers else ""
    difference = f": the outputs of the first differ from those in train mode by {_percent(first)}" if first else ""
    return confirmed(
        f"of {len(before)} training batches before the first evaluation {sum(event.training for event in before)} find "
        f"the model in train mode; of {len(after)} after it {len(idle)} find it in eval mode{what}{difference}",
        **figures,
    )


def evaluation_mode(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """A model that computes something else in the other mode is evaluated in train mode.

    The control is the same lines with the model in eval mode whenever a batch of the evaluation goes through.
    """
    forwards = _evaluating(record)
    active = [_active(event) for event in forwards]
    found = sorted(set().union(*active))
    apart = _apart_from_mode(record, forwards[:COMPARED], training=False)
    figures = {
        "forward_passes": len(forwards),
        "in_train_mode": sum(event.training for event in forwards),
        "layers": found,
        "outputs_apart": apart[0],
    }
    if None not in apart and not any(apart):
        return refuted(
            f"in the {len(forwards)} forward passes that were seen the model computes what it does in eval mode",
            **figures,
        )
    if None in apart and not any(event.training or layers for event, layers in zip(forwards, active)):
        return refuted("the model is in eval mode, and so are its layers", **figures)
    if not all(active) and len({event.training for event in forwards}) > 1:
        raise Inconclusive(f"{sum(map(bool, active))} of {len(forwards)} forward passes have layers in train mode")
    if not apart[0] and not all(active):
        raise Inconclusive("what the model computes is not known here, and none of its layers tells of a mode")
    difference = (
        f": the outputs of the first differ from those in eval mode by {_percent(apart[0])}" if apart[0] else ""
    )
    return confirmed(
        f"{' and '.join(found) or 'the model'} is in train mode in each of the {len(forwards)} forward passes of the "
        f"evaluation that were seen{difference}",
        **figures,
    )


def _apart_from_mode(record: Record, events: Sequence[Forward], *, training: bool) -> list[float | None]:
    """How far the outputs of some forward passes are from those in a mode; None for those that cannot be compared.

    The same lines are run again, as far as these.
    """
    if all(event.output is None for event in events):
        return [None] * len(events)
    numbers = [each.number for each in _accused(record)]
    places = [numbers.index(event.number) for event in events]
    control = record.again(training=training, until=max(places) + 1)
    others = [event for event in control.of(Forward) if control.is_accused(event)]
    return [_apart(event, others[at]) if at < len(others) else None for event, at in zip(events, places)]


def _active(event: Forward) -> set[str]:
    """The layers in train mode that depend on the mode."""
    return {name for name in event.training_modules if name.startswith(DEPENDENT)}


def _apart(one: Forward, other: Forward) -> float | None:
    """How far apart two outputs are, as a share of the larger numbers in them, 0 if that is nothing.

    None if they cannot be compared.
    """
    first, second = one.output, other.output
    if first is None or second is None or len(first) != len(second):
        return None
    scale = max(map(abs, (*first, *second)))
    if not math.isfinite(scale):
        return None
    distance = max(abs(a - b) for a, b in zip(first, second))
    return distance / scale if distance > FAINT * scale else 0.0


def _percent(share: float) -> str:
    return f"up to {100 * share:.2g} % of the largest"


def _evaluating(record: Record) -> list[Forward]:
    """The forward passes that the finding is about, without those that a backward pass has gone through."""
    found = [event for event in _accused(record) if event.number not in record.learned]
    if not found:
        raise Inconclusive("a backward pass goes through each forward pass in these lines")
    return found


def _learned_from(record: Record) -> list[Forward]:
    """The forward passes that the finding is about, and that a backward pass has gone through."""
    found = [event for event in _accused(record) if event.number in record.learned]
    if not found:
        raise Inconclusive("no backward pass goes through the forward passes in these lines")
    return found


def _accused(record: Record) -> list[Forward]:
    """The forward passes that the finding is about.

    Raises:
        Inconclusive: there are none.
    """
    found = [event for event in record.need(Forward, what="the model") if record.is_accused(event)]
    if not found:
        raise Inconclusive(record.failures[0] if record.failures else "the model is not called in these lines")
    return found
