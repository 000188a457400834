"""Two ways through a script: what each leaves behind, and what is known after both."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnlint.symbolic.values import Choice, Instance, Object, Sequence, Unknown, Value, same, size_of

if TYPE_CHECKING:
    from nnlint.symbolic.executor import Executor

MISSING: Any = object()
"""Stands for a name or key that is not bound."""

WIDEST = 48
"""A choice of larger size is unknown: nobody can tell what is behind so many branches, and trees grow fast."""

Entry = tuple[Any, Any, Any]
"""A dict and key, or an object and attribute, and what was there before."""

Flow = str | None
"""How a block ends: None at its end, else ``return``, ``raise``, ``break`` or ``continue``."""


def put(target: Any, key: Any, value: Any) -> None:
    """Bind ``key`` of a dict, or attribute ``key`` of an object; :data:`MISSING` unbinds."""
    if isinstance(target, dict):
        if value is MISSING:
            target.pop(key, None)
        else:
            target[key] = value
    else:
        setattr(target, key, value)


def take(target: Any, key: Any) -> Any:
    """What :func:`put` has put there."""
    return target.get(key, MISSING) if isinstance(target, dict) else getattr(target, key)


def undo(journal: list[Entry]) -> None:
    """Take back every change written in a journal."""
    for target, key, before in reversed(journal):
        put(target, key, before)


Changes = dict[tuple[int, Any], tuple[Any, Any, Any, Any]]
"""What a journal comes to: target, key, value before and value after, by target and key."""


def changes(journal: list[Entry]) -> Changes:
    """The changes of a journal that is still in force, one for each place."""
    found: Changes = {}
    for target, key, before in journal:
        place = (id(target), key)
        if place not in found:
            found[place] = (target, key, before, None)
    return {place: (target, key, before, take(target, key)) for place, (target, key, before, _) in found.items()}


def join(test: Value | None, yes: Any, no: Any) -> Any:
    """What is known of a place that holds ``yes`` after one branch and ``no`` after the other."""
    if yes is no or no is MISSING:
        return yes
    if yes is MISSING:
        return no
    if isinstance(yes, Value) and isinstance(no, Value):
        if same(yes, no):
            return yes
        if test is None and isinstance(no, Choice) and (no.yes is yes or no.no is yes):
            return no
        if size_of(yes) + size_of(no) > WIDEST:
            return Unknown()
        return Choice(test, yes, no)
    if isinstance(yes, list) and isinstance(no, list):
        return yes if len(yes) >= len(no) else no
    return None if isinstance(yes, bool) or yes is None else yes


def both(executor: Executor, test: Value | None, then: Callable[[], Flow], otherwise: Callable[[], Flow]) -> Flow:
    """Run two branches from the same state and join the states they leave; how the block goes on after them.

    A branch that leaves the block (``return``, ``raise``, …) leaves no state behind.
    """
    outer = executor.journal
    flow_then, first = _journaled(executor, then)
    left = changes(first)
    undo(first)
    flow_otherwise, second = _journaled(executor, otherwise)
    right = changes(second)
    if flow_then is not None:
        outer += second
        if flow_otherwise is None:
            return None
        return flow_then if flow_otherwise == "raise" else flow_otherwise
    if flow_otherwise is not None:
        undo(second)
        for target, key, _, value in left.values():
            executor.put(target, key, value)
        return None
    outer += second
    for place, (target, key, before, value) in left.items():
        if place in right:
            executor.put(target, key, join(test, value, right[place][3]))
        else:
            executor.put(target, key, joined_with_before(test, target, key, value, before))
    for place, (target, key, before, value) in right.items():
        if place not in left:
            executor.put(target, key, join(test, before, value) if before is not MISSING else value)
    return None


def _journaled(executor: Executor, side: Callable[[], Flow]) -> tuple[Flow, list[Entry]]:
    """Run one side with a journal of its own; if the reading stops there, its changes can still be undone."""
    outer = executor.journal
    mine: list[Entry] = []
    executor.journal = mine
    try:
        return side(), mine
    except BaseException:
        outer += mine
        raise
    finally:
        executor.journal = outer


def joined_with_before(test: Value | None, target: Any, key: Any, value: Any, before: Any) -> Any:
    """The join for a place that only the first branch changed."""
    if key == "training" and isinstance(target, (Instance, Object)):
        return value if value is before else None
    if isinstance(target, Sequence):
        return value
    return join(test, value, before)
