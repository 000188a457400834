"""How a loop updates parameters: which optimizer steps in it, over whose parameters, and what clears the gradients."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import libcst as cst

from nnlint.evidence.rounds import last_reading
from nnlint.source import Source
from nnlint.symbolic.trace import Backward, Condition, Event, Run, Step, Trace, ZeroGrad
from nnlint.symbolic.values import (
    Choice,
    Instance,
    Loop,
    Mapping,
    Object,
    Sequence,
    Unknown,
    Value,
    alternatives,
    resolve_setting,
)
from nnlint.symbolic.words import below

BY_HAND = re.compile(
    r"\.grad\b(\.data)?\s*([-+*/]?=(?!=)|\.(zero_|fill_|mul_|copy_|detach_|add_|div_|sub_)\()|"
    r"(clear|reset|zero|clean|flush|del)\w*_?grad|grad\w*_(zero|clear|reset)|setattr\([^)]*grad|\bdel\s+[\w.]+\.grad\b"
)
"""How gradients are set or cleared other than by ``zero_grad()``."""

NAMED = re.compile(r"^(optim\w*|opt|\w+_optim\w*|\w+_opt|optim\w*_\w+|opt_\w+)$", re.IGNORECASE)
"""Names of optimizers that were built out of sight."""


@dataclass(frozen=True, eq=False)
class Update:
    """A loop that an optimizer steps in after gradients were computed there.

    ``events`` are those of one round, in order, as the last reading of the body saw them. ``loop`` is None where a
    function that nobody in the file calls makes one step, whatever loop it is called in.
    """

    trace: Trace
    run: Run
    loop: Loop | None
    step: Step
    events: tuple[Event, ...]

    @property
    def optimizer(self) -> Value:
        """What steps."""
        return self.step.optimizer

    @property
    def is_known(self) -> bool:
        """Whether the optimizer was built in sight."""
        return isinstance(self.optimizer, Object)

    @cached_property
    def position(self) -> int:
        """Where in the round it steps."""
        return self.events.index(self.step)

    @cached_property
    def backward(self) -> Backward:
        """The first computation of gradients for the step: after whatever else has stepped before it in the round."""
        before = self.events[: self.position]
        found = [event for event in before if isinstance(event, Backward)]
        steps = [number for number, event in enumerate(before) if isinstance(event, Step)]
        return next((event for event in before[max(steps, default=0) :] if isinstance(event, Backward)), found[-1])

    def inner_conditions(self, event: Event) -> list[Condition]:
        """The conditions that an event of the round depends on, but for those that the loop itself is under."""
        around = {id(condition) for condition in self._outer}
        return [condition for condition in event.context.conditions if id(condition.test) not in around]

    @cached_property
    def _outer(self) -> list[Value]:
        """The tests that all events of the round have in common."""
        tests = [[condition.test for condition in event.context.conditions] for event in self.events]
        common = set(map(id, tests[0])).intersection(*(map(id, each) for each in tests)) if tests else set()
        return [test for test in tests[0] if id(test) in common] if tests else []

    @cached_property
    def functions(self) -> list[tuple[Source, cst.CSTNode]]:
        """What is run in a round: the body of the loop, and the functions that were followed from it."""
        found: dict[int, tuple[Source, cst.CSTNode]] = {}
        if self.loop is not None:
            found[id(self.loop.node)] = (self.loop.source, self.loop.node)
        outside = {id(node) for node in _functions_around(self)}
        for event in self.events:
            for site in event.context.calls:
                node = site.function.node
                if id(node) not in outside:
                    found.setdefault(id(node), (site.function.frame.module.source, node))
        return list(found.values())

    @cached_property
    def text(self) -> str:
        """The code of a round."""
        return "\n".join(source.module.code_for_node(node) for source, node in self.functions)

    @cached_property
    def sets_gradients_by_hand(self) -> bool:
        """Whether the gradients are set, or cleared, in another way than by ``zero_grad()``."""
        code = re.sub(r"#.*", "", self.text)
        return BY_HAND.search(re.sub(r"\bzero_grad\b", "", code)) is not None

    @cached_property
    def has_unread_clearing(self) -> bool:
        """Whether a file of the round speaks of ``zero_grad`` at a place that the reading did not come to."""
        read: dict[int, set[int]] = {}
        for event in self.trace.of(ZeroGrad):
            read.setdefault(id(event.place.source), set()).add(id(event.place.node))
        sources = {id(source): source for source, _ in self.functions}
        sources[id(self.trace.source)] = self.trace.source
        for key, source in sources.items():
            code = re.sub(r"#.*", "", source.text)
            if len(re.findall(r"zero_grad", code)) > len(read.get(key, ())):
                return True
        return False


def _functions_around(update: Update) -> Iterator[cst.CSTNode]:
    """The functions that the loop itself lies in."""
    if update.loop is None:
        return
    called = {id(site.function): site.function for event in update.events for site in event.context.calls}
    for function in called.values():
        here = function.frame.module.source is update.loop.source
        if here and any(node is update.loop.node for node in below(function.node)):
            yield function.node


def updates(trace: Trace) -> Iterator[Update]:
    """The loops of a script in which an optimizer steps, each optimizer once a loop and place."""
    if trace.truncated is not None:
        return
    seen: set[tuple[int, int]] = set()
    for run in trace.runs:
        if not any(True for _ in run.of(Step)):
            continue
        rounds: dict[int, tuple[Event, ...]] = {}
        for event in run.of(Step):
            if not is_optimizer(event.optimizer):
                continue
            loop = _loop_of(run, event, rounds)
            if loop is not None:
                events = rounds[id(loop)]
            elif not run.script and not event.context.loops:
                events = tuple(run.events)
            else:
                continue
            key = (id(event.place.node), 0 if loop is None else id(loop.node))
            before = events[: events.index(event)]
            if key not in seen and any(isinstance(each, Backward) for each in before):
                seen.add(key)
                yield Update(trace, run, loop, event, events)


def _loop_of(run: Run, step: Step, rounds: dict[int, tuple[Event, ...]]) -> Loop | None:
    """The innermost loop around a step in whose rounds gradients are computed before it."""
    for loop in reversed(step.context.loops):
        if id(loop) not in rounds:
            rounds[id(loop)] = last_reading(run, loop)
        events = rounds[id(loop)]
        if step in events and any(isinstance(event, Backward) for event in events[: events.index(step)]):
            return loop
    return None


def is_optimizer(value: Value) -> bool:
    """Whether a value is an optimizer of torch, or is only known by the name of one."""
    if isinstance(value, Object):
        return value.kind == "optimizer"
    return isinstance(value, Unknown) and NAMED.search(value.name) is not None


def owners(optimizer: Value) -> list[Value] | None:
    """The modules whose parameters an optimizer was given; None if they are not known."""
    if not isinstance(optimizer, Object):
        return None
    found: list[Value] = []
    stack: list[Value | None] = [optimizer.arguments.get(0, "params")]
    for _ in range(100):
        value = resolve_setting(stack.pop()) if stack else None
        if value is None:
            break
        if isinstance(value, Sequence):
            stack += [*value.items, value.element] if value.element is not None else value.items
        elif isinstance(value, Mapping):
            stack.append(value.items.get("params"))
        elif isinstance(value, Choice):
            stack += [value.yes, value.no]
        elif value.origin is not None and value.origin.op in (".parameters", ".named_parameters"):
            found.append(value.origin.inputs[0])
        elif value.origin is not None:
            stack += [each for each in value.origin.inputs if not isinstance(each, (Instance, Object))]
        if None in stack:
            return None
    return found or None


def clears(event: ZeroGrad, optimizer: Value) -> bool | None:
    """Whether a ``zero_grad()`` clears the gradients that an optimizer uses; None if it cannot be told."""
    targets = alternatives(event.target)
    if any(target is each for target in targets for each in alternatives(optimizer)):
        return True if len(targets) == 1 else None
    mine = owners(optimizer)
    answers = {_clears(target, mine) for target in targets}
    return answers.pop() if len(answers) == 1 else None


def _clears(target: Value, mine: list[Value] | None) -> bool | None:
    if isinstance(target, Object) and target.kind == "optimizer":
        theirs: list[Value] | None = owners(target)
    elif isinstance(target, (Instance, Object)):
        theirs = [target]
    else:
        return None
    return covers(theirs, mine)


def covers(theirs: list[Value] | None, mine: list[Value] | None) -> bool | None:
    """Whether the parameters of some modules are all among those of others; None if it cannot be told."""
    if theirs is None or mine is None:
        return None
    if not all(isinstance(each, (Instance, Object)) for each in (*theirs, *mine)):
        return None
    inside = [any(_holds(outer, inner) for outer in theirs) for inner in mine]
    if all(inside):
        return True
    apart = not any(inside) and not any(_holds(outer, inner) for outer in mine for inner in theirs)
    return False if apart else None


def _holds(outer: Value, inner: Value, depth: int = 4) -> bool:
    """Whether a module is, or has inside, another."""
    if outer is inner:
        return True
    if depth == 0:
        return True
    parts: list[Value] = []
    if isinstance(outer, Instance):
        parts = [*outer.attributes.values(), *outer.arguments.positional, *outer.arguments.keywords.values()]
    elif isinstance(outer, Object):
        parts = [*outer.children, *outer.attributes.values(), *outer.arguments.positional]
    elif isinstance(outer, Sequence):
        parts = list(outer.items)
    elif isinstance(outer, Mapping):
        parts = list(outer.items.values())
    elif isinstance(outer, Choice):
        parts = [outer.yes, outer.no]
    return any(
        _holds(part, inner, depth - 1)
        for part in parts
        if isinstance(part, (Instance, Object, Sequence, Mapping, Choice))
    )


def said(value: Value, step: Step) -> str:
    """What the script calls the optimizer that steps: ``optimizer``, ``self.opt_g``; empty if it is no name."""
    node = written(step)
    return "" if node is None else step.place.source.module.code_for_node(node)


def written(step: Step) -> cst.BaseExpression | None:
    """The expression of the optimizer in ``optimizer.step()`` or ``scaler.step(optimizer)``."""
    call = step.place.node
    if not isinstance(call, cst.Call) or not isinstance(call.func, cst.Attribute) or call.func.attr.value != "step":
        return None
    node = call.func.value
    if is_by_scaler(step):
        node = call.args[0].value
    return node if isinstance(node, (cst.Name, cst.Attribute)) else None


def is_by_scaler(step: Step) -> bool:
    """Whether it is a gradient scaler that has the optimizer step: ``scaler.step(optimizer)``."""
    call = step.place.node
    if not isinstance(call, cst.Call) or not isinstance(call.func, cst.Attribute) or not call.args:
        return False
    receiver = step.place.source.module.code_for_node(call.func.value)
    return f"{receiver}.scale(" in step.place.source.text or re.search("scaler", receiver, re.IGNORECASE) is not None


def is_part_of(inner: list[Condition], outer: list[Condition]) -> bool:
    """Whether what depends on ``outer`` only happens where ``inner`` holds as well."""
    known = {(id(each.test), each.outcome) for each in outer}
    return all((id(each.test), each.outcome) in known for each in inner)
