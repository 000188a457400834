"""Tests that compare a value with a limit, and the bound that a choice between the two puts on the value."""

from __future__ import annotations

from nnlint.symbolic.library.arguments import constant
from nnlint.symbolic.scalar import is_numeric, number
from nnlint.symbolic.values import Operation, Symbol, Value, same

ABOVE, BELOW = frozenset((">", ">=", "gt", "ge")), frozenset(("<", "<=", "lt", "le"))

READ = frozenset((".detach", ".item", ".clone"))
"""Methods that give the numbers of a tensor itself."""


def comparison(test: Value) -> tuple[str, tuple[Value, ...]]:
    """The operator of a test, or the bare name of its function, and what it stands between."""
    if isinstance(test, Operation):
        return test.op, test.args
    return ("", ()) if test.origin is None else (test.origin.op.rpartition(".")[2], test.origin.inputs)


def compared(test: Value, outcome: bool) -> tuple[Value, Value] | None:
    """The value that is above a limit if the test comes out so, and the limit: a number, perhaps made a tensor."""
    op, sides = comparison(test)
    if len(sides) != 2 or op not in ABOVE | BELOW:
        return None
    value, limit = sides if (op in ABOVE) == outcome else sides[::-1]
    if isinstance(value, Symbol) and value.of is not None:
        value = value.of
    number_of = constant(limit)
    if number_of is None or not is_numeric(number_of) or is_numeric(value) or constant(value) is not None:
        return None
    return value, number_of


def bound_by(test: Value, yes: Value, no: Value) -> tuple[Value, Value, bool] | None:
    """What the choice of ``yes`` where ``test`` holds, and else ``no``, bounds; at what; and whether from above.

    It does if one of the two is the limit that the test compares the other with.
    """
    for replaced, kept, outcome in ((yes, no, True), (no, yes, False)):
        limit = constant(replaced)
        if limit is None:
            continue
        for above in (True, False):
            found = compared(test, outcome == above)
            if found is not None and _is_read_off(found[0], kept) and _are_equal(found[1], limit):
                return kept, limit, above
    return None


def _is_read_off(value: Value, tensor: Value) -> bool:
    """Whether a value has the numbers of a tensor."""
    while value is not tensor and value.origin is not None and value.origin.op in READ:
        value = value.origin.inputs[0]
    return value is tensor


def _are_equal(one: Value, other: Value) -> bool:
    return same(one, other) or (number(one) is not None and number(one) == number(other))
