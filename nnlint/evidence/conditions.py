"""Conditions: what the arguments and options that they ask for must have been."""

from __future__ import annotations

from collections.abc import Iterable

from nnlint.evidence.movement import draws_of
from nnlint.symbolic.values import Attribute, Const, Operation, Setting, Unknown, Value
from nnlint.verdict import Json


def given_by(tests: Iterable[tuple[Value, bool]]) -> dict[str, Json]:
    """What the arguments and options that some tests are about must have been, by name, for them to come out so."""
    found: dict[str, Json] = {}
    for test, outcome in tests:
        _note(test, outcome, found)
    return found


def _note(test: Value, outcome: bool, found: dict[str, Json]) -> None:
    if isinstance(test, Operation):
        op, parts = test.op, test.args
    else:
        op, parts = (test.origin.op, test.origin.inputs) if test.origin is not None else ("", ())
    if op == "not":
        _note(parts[0], not outcome, found)
    elif op in ("and", "or"):
        # Of an `and` that does not hold nobody knows which part it is.
        for each in parts if outcome is (op == "and") else ():
            _note(each, outcome, found)
    elif op == ("==" if outcome else "!=") and len(parts) == 2:
        for name, value in (parts, parts[::-1]):
            known = value.value if isinstance(value, Const) else None
            if isinstance(name, (Setting, Unknown, Attribute)) and isinstance(known, (str, int, float)):
                found[name.name] = known
    elif isinstance(test, (Setting, Unknown, Attribute)) and test.name and not draws_of((test,)):
        found[test.name] = outcome
