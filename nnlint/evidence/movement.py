"""Random operations that move the pixels of a picture: what did it, and which drawn numbers decided about it."""

from __future__ import annotations

from dataclasses import dataclass

from nnlint.symbolic.ancestry import ancestors, parents
from nnlint.symbolic.library.motions import DRAW, is_draw, motion_of
from nnlint.symbolic.scalar import is_numeric
from nnlint.symbolic.values import Attribute, Choice, Mapping, Object, Origin, Sequence, Unknown, Value

Tests = dict[int, tuple[Value, bool]]
"""The tests that decided for something, and how they came out, by the identity of the test."""

OPERATORS = frozenset("+ - * / // % ** @ & | ^ == != < <= > >=".split())

EXTENTS = ("size", "shape", "width", "height", "ndim")
"""Attributes that say how large a picture is."""

NESTING = 8
"""Choices and subscripts that are looked through for the size of a picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Movement:
    """A random operation that moved the pixels of a part of a sample.

    ``decisions`` are the random numbers that decide about it, by what they decide: its parameters, or one of the
    ``tests`` of the branches it stands in.
    """

    kind: str
    origin: Origin
    decisions: tuple[tuple[Value, ...], ...]
    tests: Tests

    @property
    def draws(self) -> list[Value]:
        """All random numbers that decide about it."""
        return [draw for decision in self.decisions for draw in decision]

    @property
    def picture(self) -> Value:
        """What was moved."""
        return self.origin.inputs[0]

    @property
    def transform(self) -> Object | None:
        """The transform of a library that did it, None if the script did it itself."""
        for draw in self.draws:
            if draw.origin is not None and draw.origin.op == DRAW and isinstance(draw.origin.inputs[0], Object):
                return draw.origin.inputs[0]
        return None

    @property
    def name(self) -> str:
        """What did it, as a script would call it."""
        if self.origin.op == "getitem":
            return "a slice"
        name = self.origin.op.rpartition(".")[2]
        return name if name[:1].isupper() else f"{name}()"

    def is_decided_by(self, values: set[int]) -> bool:
        """Whether each of its decisions is known to what was made of ``values``, by their identity."""
        return all(any(id(draw) in values for draw in decision) for decision in self.decisions)


def movements(value: Value) -> list[Movement]:
    """The random operations that moved pixels on the way to a value."""
    found: list[Movement] = []
    for move in _moves(value, {}).values():
        decided = (move.draws, *(draws_of((test,)) for test, _ in move.tests.values()))
        decisions = tuple(draws for draws in decided if draws)
        if decisions:
            found.append(Movement(move.kind, move.origin, decisions, move.tests))
    return found


def draws_of(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """The random numbers that values depend on, other than by the size of a picture."""
    return tuple(item for value in values for item in ancestors(value, barrier=is_extent) if is_draw(item))


@dataclass(frozen=True, slots=True, eq=False)
class _Move:
    """An operation that moves pixels, random or not: the numbers drawn for its parameters, the tests around it."""

    kind: str
    origin: Origin
    draws: tuple[Value, ...]
    tests: Tests

    def under(self, tests: Tests) -> _Move:
        return _Move(self.kind, self.origin, self.draws, tests)


_Moves = dict[object, _Move]
"""Moves by what makes them one and the same, on whatever side of a branch: the expression and the numbers drawn."""


def _moves(value: Value, known: dict[int, _Moves]) -> _Moves:
    """The operations that moved pixels on the way to a value."""
    if id(value) in known:
        return known[id(value)]
    found: _Moves = {}
    known[id(value)] = found
    if is_draw(value) or is_extent(value) or (isinstance(value, Object) and value.kind == "transform"):
        return found
    if isinstance(value, Choice):
        found |= _of_choice(value, _moves(value.yes, known), _moves(value.no, known))
        return found
    for earlier in _worked_on(value):
        for key, move in _moves(earlier, known).items():
            found[key] = move if key not in found else move.under(_common(move.tests, found[key].tests))
    origin = value.origin
    kind = None if origin is None or not origin.inputs else motion_of(origin)
    if origin is not None and kind is not None:
        draws = draws_of(origin.inputs[1:])
        place = (id(origin.node), origin.op, *map(id, draws))
        found[place] = _Move(kind, origin, draws, {})
    return found


def _worked_on(value: Value) -> list[Value]:
    """What a value is a later state of: of an operation its first operand, of a container all it holds."""
    origin = value.origin
    if origin is None or not origin.inputs or isinstance(value, (Sequence, Mapping)):
        return parents(value)
    if origin.op == "call":
        return list(origin.inputs)
    operands = [item for item in origin.inputs if not is_numeric(item)] if origin.op in OPERATORS else origin.inputs
    return [*operands[:1], *(value.items.values() if isinstance(value, Unknown) and value.items else ())]


def _of_choice(choice: Choice, yes: _Moves, no: _Moves) -> _Moves:
    """What is on one side only is decided by the test; what is on both is not."""
    found: _Moves = {}
    for side, other, outcome in ((yes, no, True), (no, yes, False)):
        for key, move in side.items():
            if key in other:
                found[key] = move.under(_common(move.tests, other[key].tests))
            else:
                deciding = {} if choice.test is None else {id(choice.test): (choice.test, outcome)}
                found[key] = move.under(move.tests | deciding)
    return found


def _common(left: Tests, right: Tests) -> Tests:
    return {key: test for key, test in left.items() if key in right}


def is_extent(value: Value) -> bool:
    """Whether a value is the size of something, which the pixels do not go into."""
    for _ in range(NESTING):
        if isinstance(value, Choice):
            value = value.yes
        elif isinstance(value, Attribute):
            return value.name in EXTENTS
        elif value.origin is not None and value.origin.op == "getitem" and value.origin.inputs:
            value = value.origin.inputs[0]
        else:
            asked = value.name if isinstance(value, Unknown) else ""
            op = "" if value.origin is None else value.origin.op
            return op == ".size" or (op == "getattr" and asked in EXTENTS)
    return False
