"""One round of a loop as the trace has it: what happens in it, and under which conditions."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from nnlint.evidence.leaves import by_default
from nnlint.symbolic.scalar import Assumptions, evaluate
from nnlint.symbolic.trace import Build, Condition, Event, Run, SchedulerStep, SetRate, Step
from nnlint.symbolic.values import Const, Loop, Object, Unknown, Value, alternatives, resolve_setting


@lru_cache(maxsize=8)
def last_reading(run: Run, loop: Loop) -> tuple[Event, ...]:
    """The events of one round of a loop, as the last reading of its body, and of those inside it, saw them."""
    found: list[Event] = []
    for position, event in enumerate(run.events):
        loops = event.context.loops
        if loop in loops and all(each.reread is None or position >= each.reread for each in loops[loops.index(loop) :]):
            found.append(event)
    return tuple(found)


def loops_of_rates(run: Run) -> list[Loop]:
    """The loops that rates change in: those over epochs, and over batches where there is none over epochs around."""
    found: dict[int, Loop] = {}
    for event in run.events:
        if isinstance(event, (SetRate, SchedulerStep)) or is_optimizer_built(event):
            loop = event.context.innermost(Loop.EPOCHS) or event.context.innermost(Loop.BATCHES)
            if loop is not None:
                found.setdefault(id(loop), loop)
    return list(found.values())


def is_optimizer_built(event: Event) -> bool:
    """Whether an optimizer of a library is built."""
    return isinstance(event, Build) and isinstance(event.value, Object) and event.value.kind == "optimizer"


def inner_loops(event: Event, loop: Loop) -> tuple[Loop, ...]:
    """The loops around an event that lie inside ``loop``."""
    loops = event.context.loops
    return loops[loops.index(loop) + 1 :]


def stepped(event: SchedulerStep) -> list[Object]:
    """The schedulers of a library that an event may step; by default one."""
    value = by_default(event.scheduler)
    return [] if value is None else [item for item in alternatives(value) if isinstance(item, Object)]


def outcome(test: Value, assumed: Assumptions) -> bool | None:
    """How a test comes out when settings have their defaults; None if it cannot be told."""
    resolved = resolve_setting(test)
    if isinstance(resolved, Const):
        return bool(resolved.value)
    found = evaluate(test, assumed)
    return None if found is None else bool(found)


def happens_by_default(event: Event) -> bool:
    """Whether nothing rules an event out when every setting has its default."""
    return all(outcome(condition.test, {}) in (None, condition.outcome) for condition in event.context.conditions)


Conditions = set[tuple[int, bool]]
"""Conditions by the identity of their tests and the outcomes they ask for."""


def agree(one: Event, other: Event) -> bool:
    """Whether two events may happen in the same execution: none is under the opposite of the other's conditions."""
    taken = {id(condition.test): condition.outcome for condition in one.context.conditions}
    return all(
        taken.get(id(condition.test), condition.outcome) == condition.outcome for condition in other.context.conditions
    )


def conditions_of_training(events: Iterable[Event]) -> Conditions:
    """The conditions that optimizers step under: where they fail nothing is trained."""
    return {
        (id(condition.test), condition.outcome)
        for event in events
        if isinstance(event, Step)
        for condition in event.context.conditions
    }


def is_presumed(condition: Condition, event: Event, training: Conditions) -> bool:
    """Whether an unknown condition may be taken to hold: training asks for it, or it asks for a scheduler to exist."""
    return (id(condition.test), condition.outcome) in training or _asks_for_scheduler(condition, event)


def _asks_for_scheduler(condition: Condition, event: Event) -> bool:
    """Whether a condition asks for no more than that there is a scheduler (``if scheduler is not None``)."""
    if not isinstance(event, SchedulerStep):
        return False
    test = condition.test
    asked = [test]
    if isinstance(test, Unknown) and test.origin is not None and test.origin.op in ("is not", "is", "not", "!=", "=="):
        asked += test.origin.inputs
    schedulers = stepped(event)
    return any(option in schedulers for value in asked for option in alternatives(value))
