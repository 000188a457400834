"""Training that goes on in eval mode: after an evaluation nothing calls ``train()`` before the next batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import libcst as cst

from nnlint.evidence.evaluation import is_in_framework, is_inside_module
from nnlint.evidence.gradients import function_of
from nnlint.evidence.rounds import happens_by_default, last_reading
from nnlint.evidence.updates import owners
from nnlint.symbolic.ancestry import made_of
from nnlint.symbolic.modes import holds
from nnlint.symbolic.trace import Backward, Event, Forward, Mode, Run, Step, Trace
from nnlint.symbolic.values import Loop
from nnlint.symbolic.words import below

MOST = 40
"""Pairs of an ``eval()`` and a forward pass of one run that are looked at."""


@dataclass(frozen=True, eq=False)
class Unreturned:
    """An ``eval()`` after which a loop goes on training the module, with the evaluation in between."""

    run: Run
    loop: Loop
    eval_call: Mode
    evaluated: Forward
    trained: Forward


def unreturned(trace: Trace) -> Iterator[Unreturned]:
    """Where training goes on in eval mode, each evaluation once; not in runs that were not read to their end."""
    seen: set[int] = set()
    for run in trace.runs:
        calls = [
            event
            for event in run.of(Mode)
            if event.training is False and event.context.loops and happens_by_default(event)
        ]
        if not calls or not run.whole or not any(isinstance(event, Step) for event in run.events):
            continue
        for call in islice(_once(calls), MOST):
            found = _unreturned(run, call)
            if found is not None and id(found.evaluated.place.node) not in seen:
                seen |= {id(found.evaluated.place.node), id(call.place.node)}
                yield found


def _once(calls: list[Mode]) -> Iterator[Mode]:
    """The last of the readings of each place."""
    by_place = {id(call.place.node): call for call in calls}
    yield from by_place.values()


def _unreturned(run: Run, call: Mode) -> Unreturned | None:
    """Go round each loop from an ``eval()`` on, the innermost loop first, up to the next batch that is learned from."""
    for loop in reversed(call.context.loops):
        events = last_reading(run, loop)
        if call not in events:
            continue
        here = events.index(call)
        evaluated: Forward | None = None
        for event in (*events[here + 1 :], *events[:here]):
            if isinstance(event, Mode) and event.training is not False and _concerns(event, call):
                return None
            if not isinstance(event, Forward) or is_inside_module(event) or is_in_framework(event):
                continue
            if not holds(call.module, event.module):
                continue
            if not is_learned(events, event):
                evaluated = evaluated or event
            elif not _is_moved(events, event):
                continue
            elif evaluated is None or evaluated.place.node is event.place.node or _is_left(loop, call):
                return None
            else:
                return Unreturned(run, loop, call, evaluated, event)
    return None


def _is_moved(events: Sequence[Event], forward: Forward) -> bool:
    """Whether the next step may move the module: that of a GAN's generator leaves its discriminator as it is."""
    position = events.index(forward)
    later = (*events[position + 1 :], *events[:position])
    step = next((event for event in later if isinstance(event, Step)), None)
    owned = None if step is None else owners(step.optimizer)
    return owned is None or any(holds(each, forward.module) or holds(forward.module, each) for each in owned)


def _concerns(event: Mode, call: Mode) -> bool:
    """Whether two calls are about one module, or one about a part of the other's."""
    return holds(event.module, call.module) or holds(call.module, event.module)


def is_learned(events: Sequence[Event], forward: Forward) -> bool:
    """Whether a backward pass goes through the output of a forward pass.

    Where no loss tells what it was computed from, the order tells: it comes next in the function and its loops.
    """
    if forward.context.recording is False:
        return False
    backwards = [event for event in events if isinstance(event, Backward)]
    results = {id(event.result) for event in events if isinstance(event, Forward)}
    traced = [made_of(event.loss) & results for event in backwards]
    if all(traced):
        return any(id(forward.result) in found for found in traced)
    position = events.index(forward)
    function = function_of(forward)
    return any(
        isinstance(event, Backward) and event.context.loops == forward.context.loops and function_of(event) is function
        for event in events[position:]
    )


def _is_left(loop: Loop, call: Mode) -> bool:
    """Whether the loop is left after the ``eval()``: the block that it stands in, or is called in, ends so."""
    sites = {id(call.place.node), *(id(site.place.node) for site in call.context.calls)}
    blocks = (node for node in below(loop.node) if isinstance(node, cst.IndentedBlock) and _ends(node))
    return any(id(inner) in sites for block in blocks for inner in below(block))


def _ends(block: cst.IndentedBlock) -> bool:
    last = block.body[-1] if block.body else None
    if not isinstance(last, cst.SimpleStatementLine):
        return False
    small = last.body[-1]
    if isinstance(small, cst.Expr) and isinstance(small.value, cst.Call):
        func = small.value.func
        name = func.attr.value if isinstance(func, cst.Attribute) else func.value if isinstance(func, cst.Name) else ""
        return name in ("exit", "quit", "_exit")
    return isinstance(small, (cst.Break, cst.Return, cst.Raise))
