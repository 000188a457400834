"""What the numbers of a script are made of, down to what only the run, a loop or a setting decides."""

from __future__ import annotations

from nnlint.symbolic.loops import is_loader
from nnlint.symbolic.scalar import OPERATORS, truth_by_default
from nnlint.symbolic.values import (
    Carried,
    Choice,
    Const,
    Instance,
    Object,
    Operation,
    Sequence,
    Setting,
    Symbol,
    Unknown,
    Value,
)

BATCHES_AN_EPOCH = 100
"""What the length of a loader is taken to be where a number is written in terms of it."""


def leaves(value: Value | None) -> list[Value]:
    """What an expression is made of, in order, once each.

    Arithmetic with unknown values is taken apart too; a carried number is followed by what it is computed from.
    """
    found: list[Value] = []
    stack = [value]
    seen: set[int] = set()
    while stack:
        item = stack.pop()
        if item is None or id(item) in seen or isinstance(item, Const):
            continue
        seen.add(id(item))
        parts = _parts(item)
        if parts is None:
            found.append(item)
            parts = (item.initial, item.update) if isinstance(item, Carried) else ()
        stack.extend(reversed(parts))
    return found


def _parts(value: Value) -> tuple[Value | None, ...] | None:
    """The operands of an expression, None for what is no expression."""
    if isinstance(value, Operation):
        return value.args
    if isinstance(value, Choice):
        return value.test, value.yes, value.no
    if isinstance(value, Sequence):
        return tuple(value.items)
    if isinstance(value, Setting) and not isinstance(value.default, Const):
        return (value.default,)
    if isinstance(value, Unknown) and value.origin is not None and is_arithmetic(value.origin.op):
        return value.origin.inputs
    return None


def is_arithmetic(op: str) -> bool:
    """Whether the operation of an origin makes a number of numbers."""
    return op in OPERATORS or op.startswith(("builtins.", "math.", "numpy."))


def by_default(value: Value | None) -> Value | None:
    """What a choice comes out as when every setting has its default; the choice itself where that cannot be told."""
    while isinstance(value, Choice) and value.test is not None:
        outcome = truth_by_default(value.test)
        if outcome is None:
            break
        value = value.yes if outcome else value.no
    return value


def is_current_rate(value: Value) -> bool:
    """Whether a number is the rate that a parameter group has at the time."""
    return isinstance(value, Symbol) and value.name == "lr" and isinstance(value.of, Object)


def is_first_rate(value: Value) -> bool:
    """Whether a number is the rate that a parameter group began with."""
    return isinstance(value, Symbol) and value.name == "initial_lr" and isinstance(value.of, Object)


def is_length(value: Value) -> bool:
    """Whether a number is the length of a loader or dataset."""
    if not isinstance(value, Symbol) or is_current_rate(value) or is_first_rate(value):
        return False
    if value.name.startswith("len("):
        return True
    if value.of is None or value.axis not in (None, 0):
        return False
    return isinstance(value.of, (Object, Instance)) or is_loader(value.of)


def lengths(*values: Value | None) -> dict[int, object]:
    """Assumptions, as :func:`nnlint.symbolic.scalar.evaluate` takes them, for the lengths in expressions."""
    return {id(leaf): BATCHES_AN_EPOCH for value in values for leaf in leaves(value) if is_length(leaf)}
