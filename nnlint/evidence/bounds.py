"""What puts an upper bound on a value: an operation, or a branch that replaces what exceeds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import libcst as cst

from nnlint.evidence.objective import is_difference
from nnlint.evidence.provenance import POWER, everything, ingredients, operation_of, walk_back, walk_back_from
from nnlint.rule import Place
from nnlint.symbolic.library.arguments import constant, is_array
from nnlint.symbolic.library.comparisons import compared, comparison
from nnlint.symbolic.scalar import number, truth_by_default
from nnlint.symbolic.trace import Clip, Condition, Run
from nnlint.symbolic.values import Choice, Operation, Origin, Setting, Value, same

CHOICES = frozenset(("where", "masked_fill", "masked_fill_"))
"""Functions that choose between a value and a constant, element by element."""


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """An upper bound: where it is put, under which conditions, on what, and what it is."""

    place: Place
    conditions: tuple[Condition, ...]
    operand: Value
    upper: Value
    lower: Value | None = None
    expression: cst.BaseExpression | None = None
    """What is bounded, as it stands in the script."""
    replaces: bool = False
    """Whether it is a branch that puts a constant in the place of what exceeds the bound."""
    in_place: bool = False
    by_test: bool = False
    """Whether a test on the value itself says which of its elements are replaced."""
    squared: bool = False
    """Whether it bounds an error on both sides, before it is squared or made positive."""

    @property
    def limit(self) -> float | None:
        """The bound as a number, with every setting at its default; None where it cannot be told."""
        return number(self.upper)

    @property
    def is_assignment(self) -> bool:
        """Whether it is put on by assigning a part: ``loss[loss > limit] = limit``."""
        return isinstance(self.place.node, cst.Subscript)

    @property
    def name(self) -> str:
        """What the script calls the bounded value where it bounds it, empty if it has no name there."""
        node = self.expression
        while isinstance(node, cst.Subscript):
            node = node.value
        if isinstance(node, cst.Attribute):
            return node.attr.value
        return node.value if isinstance(node, cst.Name) else str(getattr(self.operand, "name", ""))


class Bounds:
    """The upper bounds of a run, by the value that is bounded."""

    def __init__(self, run: Run) -> None:
        self._by_value: dict[int, list[Bound]] = {}
        for clip in run.of(Clip):
            if clip.upper is not None and not is_array(clip.operand) and not is_array(clip.result):
                self._by_value.setdefault(id(clip.result), []).append(_bound(clip, clip.upper))

    def on(self, value: Value, conditions: tuple[Condition, ...] = ()) -> Iterator[Bound]:
        """The bounds on a value that is computed, or used, under some conditions."""
        yield from self._by_value.get(id(value), ())
        base = base_of_error(value)
        if base is not None:
            yield from (replace(it, squared=True) for it in self._by_value.get(id(base), ()) if _is_symmetric(it))
        if isinstance(value, Choice) and value.test is not None:
            for side, other, outcome in ((value.yes, value.no, True), (value.no, value.yes, False)):
                for bound in _replaced(side, value.test, outcome, ()):
                    if any(part.value is bound.operand for part in walk_back(other, ingredients)):
                        yield bound
        for condition in conditions:
            yield from _replaced(value, condition.test, condition.outcome, conditions)


def is_passed_by(bound: Bound, values: tuple[Value, ...]) -> bool:
    """Whether the bounded value goes into one of the values in another way than through its bound."""
    if bound.in_place or bound.replaces:
        return False
    return any(part.value is bound.operand for part in walk_back_from(values, everything))


# --- options ---------------------------------------------------------------------------------------------------------

OPTION = re.compile(r"clip|clamp|cap($|_)|limit|max|bound|trunc|thresh|ceil", re.IGNORECASE)
"""Names of options that switch a bound on."""


def is_optional(bound: Bound) -> bool:
    """Whether a value is bounded only on request: by an option that is off by default, or whose default is unknown."""
    tests = [(test, condition.outcome) for condition in bound.conditions for test in joined(condition.test, "and")]
    if bound.limit is None and any(asks_for(test, bound.upper) for test, _ in tests):
        return True
    return any(names_option(test) and truth_by_default(test) is (not outcome) for test, outcome in tests)


def asks_for(test: Value, option: Value) -> bool:
    """Whether a test looks at a value: ``option``, ``option is not None``, ``option > 0``."""
    return same(test, option) or any(same(item, option) for item in comparison(test)[1])


def names_option(test: Value) -> bool:
    """Whether a test asks for an option whose name speaks of clipping."""
    if isinstance(test, Setting):
        return OPTION.search(test.name) is not None
    return isinstance(test, Operation) and any(names_option(arg) for arg in test.args)


# --- operations ------------------------------------------------------------------------------------------------------


def _bound(clip: Clip, upper: Value) -> Bound:
    return Bound(
        clip.place,
        clip.context.conditions,
        clip.operand,
        upper,
        clip.lower,
        bounded_expression(clip),
        in_place=clip.in_place,
        by_test=is_choice(clip),
    )


def is_choice(clip: Clip) -> bool:
    """Whether a value is clipped by a test on itself, element by element."""
    func = clip.place.node.func if isinstance(clip.place.node, cst.Call) else None
    name = func.attr if isinstance(func, cst.Attribute) else func
    return isinstance(name, cst.Name) and name.value in CHOICES


def bounded_expression(clip: Clip) -> cst.BaseExpression | None:
    """The expression that is clipped: the receiver of the method, an argument, or what is assigned to in part."""
    node, origin = clip.place.node, clip.result.origin
    if isinstance(node, cst.Subscript):
        return node.value
    if not isinstance(node, cst.Call):
        return None
    given = [arg.value for arg in node.args]
    if clip.in_place or origin is None or origin.node is not node:
        return node.func.value if isinstance(node.func, cst.Attribute) else None
    if origin.op.startswith(".") and isinstance(node.func, cst.Attribute):
        given.insert(0, node.func.value)
    position = next((i for i, item in enumerate(origin.inputs) if item is clip.operand), 0)
    return given[position] if position < len(given) else None


def base_of_error(value: Value) -> Value | None:
    """What is squared, or taken the absolute value of."""
    origin = value.origin
    if origin is None or not origin.inputs or operation_of(origin) not in POWER | {"square", "abs"}:
        return None
    return origin.inputs[0]


def _is_symmetric(bound: Bound) -> bool:
    """Whether a difference is bounded on both sides alike, as errors are before they are squared."""
    lower = number(bound.lower)
    return bound.limit is not None and lower == -bound.limit and is_difference(bound.operand)


# --- branches --------------------------------------------------------------------------------------------------------


def _replaced(value: Value, test: Value, outcome: bool, conditions: tuple[Condition, ...]) -> Iterator[Bound]:
    """The bound that ``if loss > limit: loss = torch.tensor(limit)`` is, if ``value`` is such a constant."""
    limit = constant(value)
    if limit is None or (number(limit) or 0) <= 0:
        return
    for part in joined(test, "or" if outcome else "and"):
        exceeding = compared(part, outcome)
        # Asked for last: places take their time.
        origin = None if exceeding is None else origin_of_choice(value, test)
        if exceeding is not None and origin is not None:
            yield Bound(Place(origin.source, origin.node), conditions, *exceeding, replaces=True)


def origin_of_choice(value: Value, test: Value) -> Origin | None:
    """Where a constant is made that a test puts in the place of something, or the test if it was made before."""
    made, tested = value.origin, test.origin
    if made is None or tested is None:
        return made or tested
    spans = [origin.source.spans([origin.node])[id(origin.node)] for origin in (made, tested)]
    return tested if made.source is tested.source and spans[0].row < spans[1].row else made


def joined(test: Value, word: str) -> list[Value]:
    """The tests that ``and`` or ``or`` joins."""
    op, tests = comparison(test)
    return [part for item in tests for part in joined(item, word)] if op == word else [test]
