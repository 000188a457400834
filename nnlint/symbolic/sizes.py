"""Arithmetic on the sizes of tensors."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from math import gcd

from nnlint.symbolic.scalar import operation
from nnlint.symbolic.values import Choice, Const, Library, Operation, Setting, Symbol, Unknown, Value

LARGEST = 64
"""Expressions of more parts are compared by identity."""

DEPTH = 24
"""Products nested deeper than this are not taken apart."""


# --- sizes as products -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Atom:
    """A factor that is not taken apart; equal where the expressions are known to be (see :func:`values.same`)."""

    key: tuple[object, ...]
    value: Value = field(compare=False)


ARITHMETIC = frozenset(("+", "-", "*", "/", "//", "%", "**", "neg"))


def as_operation(value: Value | None) -> Operation | None:
    """The arithmetic that a value nobody knows is the result of, None if it is not."""
    if isinstance(value, Operation):
        return value
    if isinstance(value, Unknown) and value.origin is not None and value.shape is None:
        op = value.origin.op.removeprefix("builtins.")
        if op in ARITHMETIC or op in ("int", "round"):
            return Operation(op, value.origin.inputs)
    return None


def _key(value: Value | None, budget: list[int] | None = None) -> tuple[object, ...]:
    """Equal keys for values that are known to be equal; expressions that are too large are known by identity."""
    budget = [LARGEST] if budget is None else budget
    budget[0] -= 1
    if budget[0] > 0:
        if isinstance(value, Const):
            try:
                hash(value.value)
            except TypeError:
                return ("value", id(value))
            return ("const", type(value.value), value.value)
        if isinstance(value, Setting):
            return ("setting", value.name, _key(value.default, budget))
        if isinstance(value, Choice) and value.test is not None:
            return ("choice", *[_key(part, budget) for part in (value.test, value.yes, value.no)])
        if isinstance(value, Library):
            return ("library", value.path)
        expression = as_operation(value)
        if expression is not None:
            keys = [_key(arg, budget) for arg in expression.args]
            unordered = expression.op in ("+", "*") and len(set(keys)) > 1
            return ("operation", expression.op, frozenset(keys) if unordered else tuple(keys))
    return ("value", id(value))


@dataclass(frozen=True, slots=True, eq=False)
class Monomial:
    """``numerator / denominator`` times atoms to integer powers, in the order in which they were written.

    Division counts as exact: ``C // H`` is C times H to the power of -1.
    """

    numerator: int = 1
    denominator: int = 1
    powers: tuple[tuple[Atom, int], ...] = ()

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Monomial)
            and self.numerator == other.numerator
            and self.denominator == other.denominator
            and frozenset(self.powers) == frozenset(other.powers)
        )

    def __hash__(self) -> int:
        return hash((self.numerator, self.denominator, frozenset(self.powers)))

    def __mul__(self, other: Monomial) -> Monomial:
        return self._combined(other, 1)

    def __truediv__(self, other: Monomial) -> Monomial:
        return self._combined(other, -1)

    def _combined(self, other: Monomial, sign: int) -> Monomial:
        up, down = (other.numerator, other.denominator) if sign > 0 else (other.denominator, other.numerator)
        numerator, denominator = self.numerator * up, self.denominator * down
        divisor = gcd(numerator, denominator) or 1
        powers = dict(self.powers)
        for atom, exponent in other.powers:
            powers[atom] = powers.get(atom, 0) + sign * exponent
        return Monomial(
            numerator // divisor,
            denominator // divisor,
            tuple((atom, exponent) for atom, exponent in powers.items() if exponent),
        )

    @property
    def is_one(self) -> bool:
        """Whether the size is the constant 1."""
        return self.numerator == self.denominator and not self.powers

    @property
    def is_whole(self) -> bool:
        """Whether it is a product without division."""
        return self.denominator == 1 and all(exponent > 0 for _, exponent in self.powers)

    @property
    def constant(self) -> int | None:
        """The number it is, None if it has atoms or is a fraction."""
        return self.numerator if not self.powers and self.denominator == 1 else None

    @property
    def direction(self) -> int:
        """1 if at least 1 for all sizes, -1 if at most 1 for all sizes, 0 if that depends, or if it is 1."""
        if self.is_one:
            return 0
        if self.numerator >= self.denominator and all(exponent > 0 for _, exponent in self.powers):
            return 1
        if self.numerator <= self.denominator and all(exponent < 0 for _, exponent in self.powers):
            return -1
        return 0

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """The atoms, in the order in which they were written."""
        return tuple(atom for atom, _ in self.powers)

    def exponent(self, atom: Atom) -> int:
        """The power to which an atom is in it, 0 if it is not."""
        return next((exponent for other, exponent in self.powers if other == atom), 0)

    def replaced(self, atom: Atom, by: Monomial) -> Monomial:
        """The same with an atom written as a product of others."""
        exponent = self.exponent(atom)
        if not exponent:
            return self
        powers: list[tuple[Atom, int]] = []
        for other, power in self.powers:
            powers += ((part, n * exponent) for part, n in by.powers) if other == atom else [(other, power)]
        result = Monomial(self.numerator, self.denominator)
        factor = Monomial(by.numerator, by.denominator)
        for _ in range(abs(exponent)):
            result = result * factor if exponent > 0 else result / factor
        for part, n in powers:
            result = result * Monomial(powers=((part, n),))
        return result

    @property
    def reckoned(self) -> Monomial:
        """The same with the constants among its atoms multiplied out."""
        result = self
        for atom in self.atoms:
            if isinstance(atom.value, Const) and isinstance(atom.value.value, int):
                result = result.replaced(atom, Monomial(atom.value.value))
        return result

    def value(self) -> Value:
        """The expression that has this size."""
        result: Value | None = None
        for atom, exponent in self.powers:
            for _ in range(exponent):
                result = atom.value if result is None else operation("*", result, atom.value)
        if self.numerator != 1 or result is None:
            result = Const(self.numerator) if result is None else operation("*", result, Const(self.numerator))
        for atom, exponent in self.powers:
            for _ in range(-exponent):
                result = operation("//", result, atom.value)
        return result if self.denominator == 1 else operation("//", result, Const(self.denominator))


ONE = Monomial()


def _atom(value: Value) -> Monomial:
    return Monomial(powers=((Atom(_key(value), value), 1),))


def monomial(value: Value | None, kept: frozenset[int] = frozenset(), depth: int = 0) -> Monomial | None:
    """A size as a product; None for what cannot be a size (zero, a negative number, a string, nothing).

    Constants whose identity is in ``kept`` stay atoms instead of being multiplied into the coefficient.
    """
    if value is None or depth > DEPTH:
        return None if value is None else _atom(value)
    if isinstance(value, Const):
        number = value.value
        if isinstance(number, bool) or not isinstance(number, (int, float)) or number % 1 != 0 or number < 1:
            return None
        return _atom(value) if id(value) in kept else Monomial(int(number))
    expression = as_operation(value)
    if expression is not None:
        if expression.op in ("*", "//", "/") and len(expression.args) == 2:
            left, right = (monomial(arg, kept, depth + 1) for arg in expression.args)
            if left is None or right is None:
                return None
            return left * right if expression.op == "*" else left / right
        if expression.op in ("int", "round", "floor") and len(expression.args) == 1:
            return monomial(expression.args[0], kept, depth + 1)
        exponent = expression.args[1] if expression.op == "**" else None
        if isinstance(exponent, Const) and exponent.value in (2, 3, 4):
            base, result = monomial(expression.args[0], kept, depth + 1), ONE
            for _ in range(int(exponent.value)):
                if base is None:
                    return None
                result = result * base
            return result
    return _atom(value)


def product(sizes: Iterable[Value]) -> Value:
    """The number of elements of a block with these sizes, in lowest terms."""
    result: Value | None = None
    for size in sizes:
        result = size if result is None else operation("*", result, size)
    if result is None:
        return Const(1)
    reduced = monomial(result) if isinstance(result, Operation) else None
    return result if reduced is None else reduced.value()


def is_one(size: Value) -> bool:
    """Whether a size is the constant 1."""
    return isinstance(size, Const) and size.value == 1


def is_minus_one(size: Value) -> bool:
    """Whether a size asked for is the -1 that stands for what is left."""
    return isinstance(size, Const) and size.value == -1


def viewed(dims: tuple[Value, ...] | None, sizes: Items[Value]) -> tuple[Value, ...]:
    """The sizes after a view, with -1 inferred; a new symbol where it cannot be."""
    if not any(is_minus_one(size) for size in sizes):
        return tuple(sizes)
    inferred: Value | None = None
    given = [monomial(size) for size in sizes if not is_minus_one(size)]
    known = None if dims is None else [monomial(dim) for dim in dims]
    if known is not None and None not in known and None not in given and len(given) == len(sizes) - 1:
        total = together(part for part in known if part is not None) / together(
            part for part in given if part is not None
        )
        if total.powers or total.constant is not None:
            inferred = next((d for d, m in zip(dims or (), known, strict=True) if m == total), None) or total.value()
    if inferred is None:
        inferred = Symbol()
    return tuple(inferred if is_minus_one(size) else size for size in sizes)


def together(parts: Iterable[Monomial]) -> Monomial:
    """The product of sizes."""
    result = ONE
    for part in parts:
        result = result * part
    return result


UNIT = Const(1)


# --- sizes that operations give --------------------------------------------------------------------------------------


def added(size: Value, amount: int) -> Value:
    """``size + amount``."""
    if amount == 0:
        return size
    return operation("+", size, Const(amount)) if amount > 0 else operation("-", size, Const(-amount))


def windows(size: Value, kernel: Value, stride: Value, padding: Value, dilation: Value = UNIT) -> Value:
    """The number of windows of a convolution or pooling: ⌊(size + 2·padding - dilation·(kernel - 1) - 1) / stride⌋ + 1.

    Sizes that a stride divides stay products (``H // 2``), so that they can be recognised.
    """
    reach = operation("*", dilation, operation("-", kernel, UNIT))
    shift = operation("-", operation("-", operation("*", Const(2), padding), reach), UNIT)
    if not isinstance(shift, Const) or not isinstance(stride, Const):
        return operation("+", operation("//", operation("+", size, shift), stride), UNIT)
    by, more = stride.value, shift.value
    if not isinstance(by, int) or not isinstance(more, int) or by < 1:
        return Symbol()
    if isinstance(size, Const) and isinstance(size.value, int):
        return Const(max((size.value + more) // by + 1, 1))
    if by == 1:
        return added(size, more + 1)
    # ⌊(size + shift) / stride⌋ + 1 = ⌊(size + shift + stride) / stride⌋; a remainder below the stride that padding
    # leaves is what a size divisible by the stride loses again
    rest = more + by
    return operation("//", size if 0 <= rest < by else added(size, rest), stride)


def unwindowed(size: Value, kernel: Value, stride: Value, padding: Value, dilation: Value, extra: Value) -> Value:
    """The size a transposed convolution gives: (size - 1)·stride - 2·padding + dilation·(kernel - 1) + extra + 1."""
    reach = operation("+", operation("*", dilation, operation("-", kernel, UNIT)), operation("+", extra, UNIT))
    rest = operation("-", reach, operation("+", operation("*", Const(2), padding), stride))
    whole = operation("*", size, stride)
    if isinstance(rest, Const) and isinstance(rest.value, int):
        return added(whole, rest.value)
    return operation("+", whole, rest)


def broadcast(left: Items[Value], right: Items[Value]) -> tuple[Value, ...]:
    """The sizes of an elementwise operation on tensors of these sizes."""
    short, long = sorted((tuple(left), tuple(right)), key=len)
    offset = len(long) - len(short)
    return long[:offset] + tuple(_wider(a, b) for a, b in zip(long[offset:], short, strict=True))


def _wider(one: Value, other: Value) -> Value:
    if isinstance(one, Const):
        return other if one.value == 1 else one
    return other if isinstance(other, Const) and other.value != 1 else one


# --- words -----------------------------------------------------------------------------------------------------------


def spelled(size: Monomial) -> str:
    """A size in the script's own names, as ``height·width``; empty if something in it has no name."""
    up = [str(size.numerator)] if size.numerator != 1 or not any(power > 0 for _, power in size.powers) else []
    down = [str(size.denominator)] if size.denominator != 1 else []
    for atom, power in size.powers:
        name = _spelled(atom.value)
        if not name:
            return ""
        (up if power > 0 else down).extend([name] * abs(power))
    return "·".join(up) + "".join(f"/{name}" for name in down)


def _spelled(value: Value, depth: int = 0) -> str:
    if isinstance(value, Const):
        return str(value.value)
    if isinstance(value, (Symbol, Unknown)) and value.name:
        return value.name
    if isinstance(value, Setting):
        return value.name.rpartition(".")[2]
    if isinstance(value, Choice) and depth < 3:
        names = sorted({_spelled(side, depth + 1) for side in (value.yes, value.no)})
        return f"({' or '.join(names)})" if all(names) else ""
    expression = as_operation(value)
    if expression is not None and depth < 3 and len(expression.args) == 2:
        left, right = (_spelled(arg, depth + 1) for arg in expression.args)
        return f"({left} {expression.op} {right})" if left and right else ""
    return ""
