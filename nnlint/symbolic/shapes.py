"""Arithmetic on the sizes of tensors, and what a reshape does to the order of their dimensions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from math import gcd
from typing import Literal

from nnlint.symbolic.scalar import operation
from nnlint.symbolic.values import Choice, Const, Library, Operation, Setting, Shape, Symbol, Unknown, Value

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
        if isinstance(number, bool) or not isinstance(number, (int, float)) or number != int(number) or number < 1:
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
        total = _total(part for part in known if part is not None) / _total(part for part in given if part is not None)
        if total.powers or total.constant is not None:
            inferred = next((d for d, m in zip(dims or (), known, strict=True) if m == total), None) or total.value()
    if inferred is None:
        inferred = Symbol()
    return tuple(inferred if is_minus_one(size) else size for size in sizes)


def _total(parts: Iterable[Monomial]) -> Monomial:
    result = ONE
    for part in parts:
        result = result * part
    return result


# --- sizes that operations give --------------------------------------------------------------------------------------


def added(size: Value, amount: int) -> Value:
    """``size + amount``."""
    if amount == 0:
        return size
    return operation("+", size, Const(amount)) if amount > 0 else operation("-", size, Const(-amount))


def windows(size: Value, kernel: int, stride: int, padding: int, dilation: int = 1) -> Value:
    """The number of windows of a convolution or pooling: ⌊(size + 2·padding - dilation·(kernel - 1) - 1) / stride⌋ + 1.

    Sizes that a stride divides stay products (``H // 2``), so that they can be recognised.
    """
    shift = 2 * padding - dilation * (kernel - 1) - 1
    if isinstance(size, Const) and isinstance(size.value, int):
        return Const(max((size.value + shift) // stride + 1, 1))
    if stride == 1:
        return added(size, shift + 1)
    # ⌊(size + shift) / stride⌋ + 1 = ⌊(size + shift + stride) / stride⌋; a remainder below the stride that padding
    # leaves is what a size divisible by the stride loses again
    rest = shift + stride
    if 0 <= rest < stride:
        return operation("//", size, Const(stride))
    return operation("//", added(size, rest), Const(stride))


def unwindowed(size: Value, kernel: int, stride: int, padding: int, dilation: int = 1, extra: int = 0) -> Value:
    """The size a transposed convolution gives: (size - 1)·stride - 2·padding + dilation·(kernel - 1) + extra + 1."""
    rest = dilation * (kernel - 1) + extra + 1 - 2 * padding - stride
    return added(operation("*", size, Const(stride)), rest)


def broadcast(left: Items[Value], right: Items[Value]) -> tuple[Value, ...]:
    """The sizes of an elementwise operation on tensors of these sizes."""
    short, long = sorted((tuple(left), tuple(right)), key=len)
    offset = len(long) - len(short)
    return long[:offset] + tuple(_wider(a, b) for a, b in zip(long[offset:], short, strict=True))


def _wider(one: Value, other: Value) -> Value:
    if isinstance(one, Const):
        return other if one.value == 1 else one
    return other if isinstance(other, Const) and other.value != 1 else one


# --- shapes that follow others ----------------------------------------------------------------------------------------

Change = Callable[[Value], Value]
"""The new size of an axis, from the old one."""


class Varied(Shape):
    """The shape of a result that has the axes of another tensor, some of them in other places or of other sizes.

    It stays tied to the other shape while the rank is unknown: what the script finds out about the one holds for the
    other. ``changed`` maps an axis of the result to its size; ``moved`` to the axis that it was before.
    """

    __slots__ = ("base", "changed", "moved")

    def __init__(
        self, base: Shape, changed: dict[int, Change] | None = None, moved: dict[int, int] | None = None
    ) -> None:
        super().__init__()
        self.base = base
        self.changed = changed or {}
        self.moved = moved or {}
        if base.rank is not None:
            self.fix_rank(base.rank)

    @property
    def rank(self) -> int | None:
        """As :attr:`Shape.rank`."""
        if self._dims is None and self.base.rank is not None:
            self.fix_rank(self.base.rank)
        return super().rank

    @property
    def dims(self) -> tuple[Value, ...] | None:
        """As :attr:`Shape.dims`."""
        return None if self.rank is None else super().dims

    @property
    def axes(self) -> dict[int, Value]:
        """As :attr:`Shape.axes`."""
        if self.rank is not None:
            return super().axes
        for axis in self.base.axes:
            self.size(axis)
        for axis in self.changed:
            self.size(axis)
        return super().axes

    def _from_base(self, axis: int, name: str = "") -> Value | None:
        """The size of an axis by the base's, None if nobody can tell which of its axes it is."""
        if axis in self.changed or axis in self.moved:
            before = self.base.size(self.moved.get(axis, axis), "" if axis in self.changed else name)
            return self.changed[axis](before) if axis in self.changed else before
        # an axis counted from one end may be the changed one counted from the other; the first axis hardly ever is
        others = [other for other in (*self.changed, *self.moved) if (other < 0) != (axis < 0)]
        return None if others and axis != 0 else self.base.size(axis, name)

    def size(self, axis: int, name: str = "") -> Value:
        """As :meth:`Shape.size`."""
        if self.rank is None and axis not in self._axes:
            size = self._from_base(axis, name)
            if size is not None:
                self._axes[axis] = size
        return super().size(axis, name)

    def fix_rank(self, rank: int) -> None:
        """As :meth:`Shape.fix_rank`, for the other shape too."""
        if self._dims is not None:
            return
        self.base.fix_rank(rank)
        if self.base.rank != rank:
            return
        changed = {axis % rank: change for axis, change in self.changed.items() if -rank <= axis < rank}
        moved = {axis % rank: before % rank for axis, before in self.moved.items() if -rank <= axis < rank}
        dims: list[Value] = []
        for axis in range(rank):
            size = self.base.size(moved.get(axis, axis))
            dims.append(changed[axis](size) if axis in changed else size)
        for axis, size in self._axes.items():
            # a size that the script has asked for already stays the value that others hold
            if -rank <= axis < rank and axis % rank in changed:
                dims[axis] = size
        self._dims = dims
        self._axes = {}


class Extended(Shape):
    """The axes of another tensor and one more of a known size behind them, as an embedding gives."""

    __slots__ = ("base", "last")

    def __init__(self, base: Shape, last: Value) -> None:
        super().__init__()
        self.base = base
        self.last = last
        self._axes[-1] = last

    @property
    def rank(self) -> int | None:
        """As :attr:`Shape.rank`."""
        if self._dims is None and self.base.rank is not None:
            self.fix_rank(self.base.rank + 1)
        return super().rank

    @property
    def dims(self) -> tuple[Value, ...] | None:
        """As :attr:`Shape.dims`."""
        return None if self.rank is None else super().dims

    @property
    def axes(self) -> dict[int, Value]:
        """As :attr:`Shape.axes`."""
        if self.rank is None:
            for axis in self.base.axes:
                self.size(axis if axis >= 0 else axis - 1)
        return super().axes

    def size(self, axis: int, name: str = "") -> Value:
        """As :meth:`Shape.size`."""
        if self.rank is None and axis not in self._axes and (axis < 0 or axis == 0 or axis in self.base.axes):
            self._axes[axis] = self.base.size(axis if axis >= 0 else axis + 1, name)
        return super().size(axis, name)

    def fix_rank(self, rank: int) -> None:
        """As :meth:`Shape.fix_rank`, for the other shape too."""
        if self._dims is None and rank > 0:
            self.base.fix_rank(rank - 1)
            if self.base.dims is not None and len(self.base.dims) == rank - 1:
                self._dims = [*self.base.dims, self.last]
                self._axes = {}


def replaced(shape: Shape, axis: int, size: Value) -> Shape:
    """The same shape with another size of one axis."""
    return Varied(shape, {axis: lambda _: size})


def without(shape: Shape, axis: int) -> Shape:
    """The shape with one axis taken away."""
    if shape.dims is not None:
        rank = len(shape.dims)
        if not -rank <= axis < rank:
            return Shape()
        return Shape([size for i, size in enumerate(shape.dims) if i != axis % rank])
    result = Shape()
    if axis != 0:
        result.know(0, shape.size(0))
    for other, size in shape.axes.items():
        if other >= 0 and axis >= 0 and other != axis:
            result.know(other if other < axis else other - 1, size)
        elif other < 0 and axis < 0 and other != axis:
            result.know(other if other > axis else other + 1, size)
    return result


def inserted(shape: Shape, axis: int, size: Value) -> Shape:
    """The shape with one more axis, at the place it has afterwards."""
    if shape.dims is not None:
        rank = len(shape.dims) + 1
        if not -rank <= axis < rank:
            return Shape()
        dims = list(shape.dims)
        dims.insert(axis % rank, size)
        return Shape(dims)
    if axis == -1:
        return Extended(shape, size)
    result = Shape()
    result.know(axis, size)
    if axis > 0:
        result.know(0, shape.size(0))
    for other, known in shape.axes.items():
        if other >= 0 and axis >= 0:
            result.know(other if other < axis else other + 1, known)
        elif other < 0 and axis < 0:
            result.know(other if other > axis else other - 1, known)
    return result


def permuted(shape: Shape, order: Items[int]) -> Shape:
    """The shape with its axes in another order; this says what the rank is."""
    rank = len(order)
    shape.fix_rank(rank)
    if shape.rank != rank or any(not -rank <= axis < rank for axis in order):
        return Shape()
    return Shape([shape.size(axis) for axis in order])


def swapped(shape: Shape, one: int, other: int) -> Shape:
    """The shape with two axes exchanged."""
    rank = shape.rank
    if rank is not None:
        if not (-rank <= one < rank and -rank <= other < rank):
            return Shape()
        one, other = one % rank, other % rank
    return Varied(shape, moved={one: other, other: one})


# --- reshapes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A dimension that a reshape asks for at a place where its elements do not lie.

    ``wanted`` is the size in question, ``source`` the axis that it is (part of) before and ``target`` the axis that
    asks for it; ``ratio`` is how many times too far apart (or, inverted, too close) the elements on the target axis
    lie: the view is right only if it is 1.
    """

    wanted: Monomial
    source: int
    target: int
    ratio: Monomial


@dataclass(frozen=True, slots=True)
class Regrouping:
    """What a reshape does to the order of the dimensions.

    ``sizes`` are the sizes after, -1 inferred. ``blocks`` pairs the runs of axes that hold the same elements: the
    axes before, the axes after. ``misplaced`` is the evidence of a mixed order.
    """

    verdict: Literal["ordered", "mixed", "unknown"]
    dims: tuple[Monomial, ...] = ()
    sizes: tuple[Monomial, ...] = ()
    blocks: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()
    misplaced: tuple[Misplaced, ...] = ()

    def held(self, target: int) -> tuple[int, ...]:
        """The source axes among which the elements on a target axis really lie."""
        return next((before for before, after in self.blocks if target in after), ())


UNKNOWN = Regrouping("unknown")


def regroup(dims: Items[Value], sizes: Items[Value]) -> Regrouping:
    """Whether a view of a tensor of sizes ``dims`` as ``sizes`` keeps the dimensions in order.

    The argument. A view renames no element: what lay ``stride`` elements apart still does. A size is a product of
    atoms, and an atom (say, B) that occurs in exactly one dimension before and exactly one after is asked for by name:
    the script says that the target's axis counts what the source's axis counted. In the source, the elements along B
    lie at least *the product of the dimensions behind* apart (its own dimension's other factors may lie behind it or
    before it, the sizes do not say which), in the target likewise. If the two ranges of strides cannot overlap for any
    sizes greater than 1, because the quotient of their nearest ends is a product, or one over a product, then the
    axis of that name counts other elements than before: the order is *mixed*. No coincidence of sizes can heal that:
    ``(B, W, H)`` viewed as ``(B, H, W)`` is wrong even for square images.

    ``ordered`` is the opposite proof: from both ends, each dimension after divides, or is divided by, what is left of
    the dimension before, until at most one dimension is left on a side, which may be cut up or put together freely.
    All else is ``unknown``; so is everything when sizes contradict each other. A constant has no name; it is evidence
    only where both shapes have the very same object (``self.input_size``), or else as part of a plain permutation of
    all dimensions with named ones among them.

    If the sizes agree only under a condition, such as ``C == n * d``, then the view itself fails unless it holds; it
    is taken for granted, but nothing is asked for by name where only the condition says so. Dimensions that are known
    to be 1 do not matter. A quotient that consists of nothing but sizes computed by layers (which may well come down to
    1, such as the map a pooling leaves) is evidence only where the target gives them an axis of their own.
    """
    shared = _objects(dims) & _objects(sizes)
    before = [monomial(dim, shared) for dim in dims]
    after = [None if is_minus_one(size) else monomial(size, shared) for size in sizes]
    if None in before or sum(size is None for size in after) > 1 or sum(map(is_minus_one, sizes)) != after.count(None):
        return UNKNOWN
    source = [part for part in before if part is not None]
    given = [part for part in after if part is not None]
    rest = _total(source) / _total(given)
    unnamed: frozenset[Atom] = frozenset()
    if len(given) == len(after):
        if not rest.is_one:
            if rest.direction:
                return UNKNOWN
            solved = _solved(rest)
            if solved is not None:
                unnamed = frozenset(atom for atom, _ in solved[1].powers)
                source = [part.replaced(*solved) for part in source]
                given = [part.replaced(*solved) for part in given]
        target = given
    else:
        if rest.direction < 0 or (not rest.powers and rest.denominator != 1):
            return UNKNOWN
        target = [rest if part is None else part for part in after]
    return _judge(source, target, after.index(None) if None in after else None, unnamed)


def _objects(sizes: Items[Value]) -> frozenset[int]:
    """The constants greater than 1 that the sizes are made of, by identity."""
    found: set[int] = set()
    stack = list(sizes)
    while stack:
        item = stack.pop()
        if isinstance(item, Const):
            if isinstance(item.value, int) and item.value > 1:
                found.add(id(item))
        elif len(found) < LARGEST:
            expression = as_operation(item)
            stack.extend(() if expression is None else expression.args)
    return frozenset(found)


def _solved(rest: Monomial) -> tuple[Atom, Monomial] | None:
    """An atom, and what it must be, for ``rest`` to be 1."""
    for atom, exponent in rest.powers:
        if abs(exponent) != 1:
            continue
        # rest = atom^±1 · others = 1
        others = rest / Monomial(powers=((atom, exponent),))
        answer = ONE / others if exponent == 1 else others
        if answer.is_whole and not isinstance(atom.value, Const) and not any(map(_is_shaky, (atom, *answer.atoms))):
            return atom, answer
    for atom, exponent in rest.powers:
        others = rest / Monomial(powers=((atom, exponent),))
        if abs(exponent) == 1 and isinstance(atom.value, Const) and not others.powers:
            answer = ONE / others if exponent == 1 else others
            if answer.is_whole and answer.constant == atom.value.value:
                return atom, answer
    return None


def _judge(
    source: list[Monomial], target: list[Monomial], inferred: int | None, unnamed: frozenset[Atom]
) -> Regrouping:
    front = [axis for axis, size in enumerate(source) if not size.is_one]
    back = [axis for axis, size in enumerate(target) if not size.is_one]
    dims, sizes = [source[axis] for axis in front], [target[axis] for axis in back]
    blocks = _blocks(dims, sizes)
    named = tuple(
        (tuple(front[axis] for axis in before), tuple(back[axis] for axis in after)) for before, after in blocks
    )
    if all(_in_order([dims[axis] for axis in before], [sizes[axis] for axis in after]) for before, after in blocks):
        return Regrouping("ordered", tuple(source), tuple(target), named)
    asked = _asked(dims, sizes, back.index(inferred) if inferred in back else None, unnamed)
    found = [
        Misplaced(evidence.wanted, front[evidence.source], back[evidence.target], evidence.ratio)
        for evidence in _misplaced(dims, sizes, asked)
    ]
    return Regrouping("mixed" if found else "unknown", tuple(source), tuple(target), named, tuple(found))


def _blocks(dims: list[Monomial], sizes: list[Monomial]) -> list[tuple[range, range]]:
    """The shortest runs of axes with equal products on both sides, from front to back."""
    blocks: list[tuple[range, range]] = []
    behind = {ONE: 0}
    total = ONE
    for count, dim in enumerate(dims, 1):
        total = total * dim
        behind[total] = count
    total, i, k = ONE, 0, 0
    for count, size in enumerate(sizes, 1):
        total = total * size
        end = behind.get(total)
        if end is not None and end > i:
            blocks.append((range(i, end), range(k, count)))
            i, k = end, count
    if i < len(dims) or k < len(sizes):
        blocks.append((range(i, len(dims)), range(k, len(sizes))))
    return blocks


def _in_order(dims: list[Monomial], sizes: list[Monomial]) -> bool:
    """Whether the target's dimensions split and merge the source's from both ends until one is left on a side."""
    dims, sizes = list(dims), list(sizes)
    for end in (0, -1):
        while len(dims) > 1 and len(sizes) > 1:
            dim, size = dims[end], sizes[end]
            if dim == size:
                del dims[end], sizes[end]
            elif (dim / size).is_whole:
                dims[end] = dim / size
                del sizes[end]
            elif (size / dim).is_whole:
                sizes[end] = size / dim
                del dims[end]
            else:
                break
    return len(dims) <= 1 or len(sizes) <= 1


def _strides(sizes: list[Monomial]) -> list[Monomial]:
    strides = [ONE]
    for size in reversed(sizes[1:]):
        strides.append(strides[-1] * size)
    return strides[::-1]


def _misplaced(dims: list[Monomial], sizes: list[Monomial], asked: list[tuple[int, int, Monomial]]) -> list[Misplaced]:
    """The atoms, or whole dimensions, whose elements lie elsewhere than the target says."""
    found: list[Misplaced] = []
    before, after = _strides(dims), _strides(sizes)
    for source, target, wanted in asked:
        # the strides that the wanted size can have: its own dimension's other factors lie behind it or before it
        loose, free = dims[source] / wanted, sizes[target] / wanted
        wider = after[target] / (before[source] * loose)
        closer = after[target] * free / before[source]
        ratio = wider if wider.direction > 0 else closer if closer.direction < 0 else None
        if ratio is not None and _exceeds_one(ratio, sizes):
            found.append(Misplaced(wanted, source, target, ratio))
    return found


def _asked(
    dims: list[Monomial], sizes: list[Monomial], inferred: int | None, unnamed: frozenset[Atom]
) -> list[tuple[int, int, Monomial]]:
    """Where the target asks for something of the source by name: the source axis, the target axis, and for what.

    An axis that is inferred asks for nothing, unless it can only be one whole dimension of the source; nor do atoms
    that only the solving of a condition has brought to where they are.
    """
    found: list[tuple[int, int, Monomial]] = []
    for atom in dict.fromkeys(atom for size in sizes for atom in size.atoms):
        before = [axis for axis, dim in enumerate(dims) if dim.exponent(atom)]
        after = [axis for axis, size in enumerate(sizes) if size.exponent(atom)]
        if len(before) != 1 or len(after) != 1 or atom in unnamed:
            continue
        dim, size = dims[before[0]], sizes[after[0]]
        if dim == size:
            entry = (before[0], after[0], dim)
        elif after[0] != inferred and dim.exponent(atom) == size.exponent(atom) == 1 and dim.is_whole and size.is_whole:
            entry = (before[0], after[0], Monomial(powers=((atom, 1),)))
        else:
            continue
        if entry not in found:
            found.append(entry)
    permutation = set(dims) == set(sizes) and len(set(dims)) == len(dims) == len(sizes)
    if permutation and not unnamed and any(dim.powers for dim in dims):
        taken = {source for source, _, _ in found}
        found += [(axis, sizes.index(dim), dim) for axis, dim in enumerate(dims) if axis not in taken]
    return found


def _is_shaky(atom: Atom) -> bool:
    """Whether too little is known of an atom to conclude anything from what it would have to be."""
    return isinstance(atom.value, Choice) or as_operation(atom.value) is not None


def is_computed(atom: Atom) -> bool:
    """Whether an atom is a size that layers computed, or one that nothing is known of: it may come down to 1."""
    value = atom.value
    return as_operation(value) is not None or (isinstance(value, Symbol) and value.of is None and not value.name)


def _exceeds_one(ratio: Monomial, sizes: list[Monomial]) -> bool:
    """Whether a product is more than 1 for the sizes that a script can mean."""
    if ratio.numerator != ratio.denominator or not all(is_computed(atom) for atom in ratio.atoms):
        return True
    return any(size.powers and all(is_computed(atom) for atom in size.atoms) for size in sizes)


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
