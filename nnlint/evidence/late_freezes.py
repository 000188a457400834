"""Parameters that are frozen when their optimizer has moved them, and that its steps go on moving.

``step()`` passes over parameters whose gradient is None. ``zero_grad(set_to_none=False)`` leaves a gradient of zero
instead: weight decay, momentum and the averages of Adam then move what no gradient reaches any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import libcst as cst

from nnlint.evidence.decay import POSITIONS
from nnlint.evidence.held import is_built_for, owner_of
from nnlint.evidence.rounds import agree
from nnlint.symbolic.scalar import evaluate, number
from nnlint.symbolic.trace import Build, Event, Run, SetRequiresGrad, Step, ZeroGrad
from nnlint.symbolic.values import Const, Loop, Object, Value, resolve_setting

FREEZES = ("requires_grad", "requires_grad_")
"""The attribute of a parameter, and the method of a module, that freeze."""

MOMENTUM = {"SGD": 2, "RMSprop": 5}
"""Which argument the momentum is, counted from 0."""

AVERAGING = frozenset("Adam AdamW NAdam RAdam Adamax".split())
"""Optimizers that move parameters by averages of the gradients before."""


@dataclass(frozen=True, slots=True, eq=False)
class LateFreeze:
    """A freeze of ``module``, which ``by`` (in words) goes on moving: ``clearing`` leaves gradients of zero.

    ``before`` and ``after`` are steps of the optimizer.
    """

    freeze: SetRequiresGrad
    module: Value
    optimizer: Build
    before: Step
    after: Step
    clearing: ZeroGrad
    by: str


def late_freezes(run: Run) -> Iterator[LateFreeze]:
    """The freezes of a run that come too late for what the optimizer does without a gradient."""
    if any(_value(event) is not False for event in run.of(SetRequiresGrad) if event.name in FREEZES):
        # What is woken, or frozen under a condition, may well be awake at a step.
        return
    clearings = list(run.of(ZeroGrad))
    if not clearings or not all(map(_leaves_zeros, clearings)):
        return
    for position, event in enumerate(run.events):
        if not isinstance(event, SetRequiresGrad) or event.name not in FREEZES:
            continue
        module = event.target if event.name == "requires_grad_" else owner_of(event.target)
        if module is None or _is_frozen_elsewhere(event, module, run.events[:position]):
            continue
        for build in run.of(Build):
            by = moves_without_gradient(build.value)
            before = _step_before(event, run.events, build.value) if by else None
            after = _step_after(event, run.events[position:], build.value)
            if before is not None and after is not None and is_built_for(build.value, module):
                yield LateFreeze(event, module, build, before, after, clearings[0], by)
                break


def moves_without_gradient(optimizer: Value) -> str:
    """What of an optimizer moves parameters whose gradient is zero, in words; empty if nothing is known to."""
    if not isinstance(optimizer, Object) or optimizer.path != f"torch.optim.{optimizer.name}":
        return ""
    found = ["the averages that it keeps"] if optimizer.name in AVERAGING else []
    for word, positions in (("weight decay", POSITIONS), ("momentum", MOMENTUM)):
        given = optimizer.arguments.get(positions.get(optimizer.name), word.replace(" ", "_"))
        if given is not None and (number(resolve_setting(given)) or 0) > 0:
            found.append(word)
    return " and ".join(reversed(found))


def _value(event: SetRequiresGrad) -> object:
    resolved = resolve_setting(event.value)
    return resolved.value if isinstance(resolved, Const) else None


def _leaves_zeros(clearing: ZeroGrad) -> bool:
    """``zero_grad(set_to_none=False)``."""
    node = clearing.place.node
    given = (
        [arg.value for arg in node.args if arg.keyword is None or arg.keyword.value == "set_to_none"]
        if isinstance(node, cst.Call)
        else []
    )
    return len(given) == 1 and isinstance(given[0], cst.Name) and given[0].value == "False"


def _is_frozen_elsewhere(freeze: SetRequiresGrad, module: Value, before: Sequence[Event]) -> bool:
    """Whether another line has frozen a module before."""
    others = (each for each in before if isinstance(each, SetRequiresGrad) and each.place.node is not freeze.place.node)
    return any(module is each.target or module is owner_of(each.target) for each in others)


def _step_after(freeze: Event, after: Sequence[Event], optimizer: Value) -> Step | None:
    steps = (each for each in after if isinstance(each, Step) and each.optimizer is optimizer)
    return next((each for each in steps if agree(freeze, each)), None)


def _step_before(freeze: Event, events: Sequence[Event], optimizer: Value) -> Step | None:
    """A step of the optimizer that surely comes before the freeze, None if there is none.

    It lies in a loop that is over by then, or in one that reaches the freeze in a later round than the first.
    """
    late = [loop for loop in freeze.context.loops if _comes_later(freeze, loop)]
    for event in events[: events.index(freeze)]:
        if isinstance(event, Step) and event.optimizer is optimizer and not event.context.conditions:
            shared = [loop for loop in event.context.loops if loop in freeze.context.loops]
            if not shared or any(loop in late for loop in shared):
                return event
    return None


def _comes_later(freeze: Event, loop: Loop) -> bool:
    """Whether a condition rules the freeze out in the first round of a loop."""
    first = None if loop.variable is None else number(loop.variable.start)
    if first is None:
        return False
    assumed = {id(loop.variable): first}
    outcomes = [(condition.outcome, evaluate(condition.test, assumed)) for condition in freeze.context.conditions]
    return any(found is not None and bool(found) is not wanted for wanted, found in outcomes)
