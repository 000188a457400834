"""Shapes that follow from others: axes replaced, moved, added and taken away."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Items

from nnlint.symbolic.values import Shape, Value

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
