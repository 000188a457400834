"""What a tensor holds for the answers that a script has for the options of its command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, product

from nnlint.evidence.provenance import operation_of
from nnlint.evidence.ranges import AVERAGED, CLAMPED, KEPT, Range, range_of
from nnlint.rule import Place
from nnlint.symbolic.scalar import atoms, evaluate
from nnlint.symbolic.trace import Condition
from nnlint.symbolic.values import Choice, Const, Operation, Setting, Tensor, Unknown, Value, same

FOLLOWED = KEPT | AVERAGED | CLAMPED | {"log"}
"""Operations whose operand is asked for what the result holds."""

MOST_TESTS = 30
"""Tests that are looked at for one value."""

MOST = 40
"""Ways to answer that are looked at for one value."""

ANY_OTHER = object()
"""An answer that the script has no name for."""


def ranges_by_option(value: Value, conditions: Sequence[Condition], place: Place) -> Iterator[Range]:
    """What a value holds for each of the answers but the defaults: the outputs of one model or of another.

    Empty if no option of the command line chooses. ``place`` is said to be where the choice is made.
    """
    tests = _tests(value)
    options = _options(tests)
    if not options:
        return
    for answers in islice(product(*(_answers(option, tests) for option in options)), MOST):
        if all(answer is None for answer in answers):
            continue
        given = {
            id(atom): answer
            for option, answer in zip(options, answers, strict=True)
            for atom in (atom for test in tests for atom in atoms(test))
            if answer is not None and same(atom, option)
        }
        outcomes = [(test, evaluate(test, given)) for test in tests]
        known = [Condition(test, bool(outcome), place) for test, outcome in outcomes if outcome is not None]
        found = range_of(value, (*conditions, *known))
        if found is not None:
            yield replace(found, by_default=True)


def _tests(value: Value) -> list[Value]:
    """The tests that decide where a value comes from."""
    found: list[Value] = []
    stack, seen = [value], set[int]()
    while stack and len(found) < MOST_TESTS:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Choice):
            if item.test is not None:
                found.append(item.test)
            stack += [item.no, item.yes]
        elif isinstance(item, (Tensor, Unknown)) and (origin := item.origin) is not None:
            stack += origin.inputs[:1] if operation_of(origin) in FOLLOWED else ()
    return found


def _options(tests: Sequence[Value]) -> list[Setting]:
    """The options of the command line that take part in tests, once each."""
    found: list[Setting] = []
    for test in tests:
        for atom in atoms(test):
            if isinstance(atom, Setting) and atom.on_command_line and not any(same(atom, each) for each in found):
                found.append(atom)
    return found


def _answers(option: Setting, tests: Sequence[Value]) -> list[object]:
    """What a script asks whether an option is, None for its default; any other answer where it asks for that alone."""
    default = option.default.value if isinstance(option.default, Const) else None
    named: list[object] = []
    stack = list(tests)
    while stack:
        item = stack.pop()
        if isinstance(item, Setting) and same(item, option) and isinstance(default, bool):
            named.append(not default)
        if isinstance(item, Operation):
            if item.op in ("==", "!=", "in", "not in") and any(same(arg, option) for arg in item.args):
                named += [arg.value for arg in item.args if isinstance(arg, Const)]
            else:
                stack += item.args
    others = [each for i, each in enumerate(named) if each != default and each not in named[:i]]
    return [None, *(others or ([ANY_OTHER] if named else []))]
