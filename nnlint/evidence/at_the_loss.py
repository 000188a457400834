"""Experiments on what a loss is given: the lines that lead to it, or the module that its prediction comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile

import libcst as cst

from nnlint.evidence.loss_calls import LossCall
from nnlint.evidence.ranges import Range, range_of
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Place
from nnlint.symbolic.trace import Event, Forward, Run
from nnlint.symbolic.values import Instance, Loop, Sequence
from nnlint.verdict import Json


def output_range(call: LossCall, given: Range, expected: str, *, mended: bool) -> Experiment | None:
    """What shows in which range the prediction of a loss lies: of the user's module, else at the loss itself.

    Args:
        call: the loss.
        given: what the reading says of its prediction.
        expected: what the loss expects: ``logits``, ``probabilities`` or ``log-probabilities``.
        mended: whether the finding has a fix, as a control.
    """
    settings: dict[str, Json] = {
        "given": given.scale,
        "expected": expected,
        "distribution": given.sums_to_one if given.scale != "logits" else call.function != "binary_cross_entropy",
        "loss": call.name,
    }
    module = module_of(call, given)
    if module is not None:
        watches = (Watch("output", given.place),)
        settings |= {"output": module.output, "outputs": module.outputs}
        return Experiment("output_range", watches=watches, entry=module.place, settings=settings, mended=mended)
    prediction = call.argument(0, "input")
    eyes = {} if prediction is None else {"prediction": prediction}
    return at_the_loss("output_range", call.run, call.event, call.place, eyes, settings, mended=mended)


@dataclass(frozen=True, slots=True)
class Module:
    """The class of a module, and which of its outputs, counted from 0, is meant."""

    place: Place
    output: int
    outputs: int


def module_of(call: LossCall, given: Range) -> Module | None:
    """The user's module whose output the prediction is; None if there is none."""
    before = takewhile(lambda event: event is not call.event, call.run.events)
    for event in reversed([event for event in before if isinstance(event, Forward)]):
        if not isinstance(event.module, Instance):
            continue
        result = event.result
        items = result.items if isinstance(result, Sequence) and result.kind == "tuple" else [result]
        for number, item in enumerate(items):
            found = range_of(item, call.event.context.conditions)
            if found is not None and found.origin is given.origin:
                cls = event.module.cls
                return Module(Place(cls.frame.module.source, cls.node), number, len(items))
    return None


def at_the_loss(
    kind: str,
    run: Run,
    event: Event,
    place: Place,
    watches: Mapping[str, Place],
    settings: Mapping[str, Json],
    *,
    mended: bool,
) -> Experiment | None:
    """The script, or the function that nobody calls, as far as an event, with eyes on some expressions.

    ``place`` is the expression that must be reached; None if it lies in nothing that could be run.
    """
    sites = event.context.calls
    if not watches:
        return None
    entry = None
    if not run.script:
        if not sites or not isinstance(sites[0].function.node, cst.FunctionDef):
            return None
        entry = Place(sites[0].function.frame.module.source, sites[0].function.node)
    return Experiment(
        kind,
        anchors=(place, *(site.place for site in sites if isinstance(site.place.node, cst.Call))),
        watches=(*(Watch(name, each) for name, each in watches.items()), *_of_loops(event)),
        entry=entry,
        settings=settings,
        mended=mended,
    )


def _of_loops(event: Event) -> Iterator[Watch]:
    """The loops over batches on the way, of which one round is enough."""
    for loop in event.context.loops:
        if loop.kind == Loop.BATCHES and isinstance(loop.node, cst.For):
            yield Watch("batches", Place(loop.source, loop.node.iter))
