"""The shapes of parts of tensors: ``x[:, 0]``, ``x[..., None]``, ``x[mask]``, ``x.shape[-2:]``."""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Literal

from nnlint.symbolic.scalar import operation
from nnlint.symbolic.values import (
    Carried,
    Const,
    Index,
    Operation,
    Sequence,
    Setting,
    Shape,
    Symbol,
    Tensor,
    Unknown,
    Value,
    resolve_setting,
    same,
    shape_of,
)

ORDERINGS = frozenset(
    ["torch.sort", ".sort", "torch.argsort", ".argsort", "torch.randperm", "numpy.argsort", "numpy.random.permutation"]
)
"""Operations whose result, used as an index, puts an axis into another order and keeps its size."""


@dataclass(frozen=True, slots=True, eq=False)
class IndexItem:
    """What stands between two commas of a subscript.

    Kinds: ``slice``, ``integer`` (takes the axis away), ``new`` (``None``), ``ellipsis``, ``other`` (a mask, a list of
    indices, or something nobody knows).
    """

    kind: Literal["slice", "integer", "new", "ellipsis", "other"]
    value: Value | None = None
    lower: Value | None = None
    upper: Value | None = None
    step: Value | None = None

    @property
    def is_slice(self) -> bool:
        """Whether it is written with a colon."""
        return self.kind == "slice"

    @classmethod
    def slice(cls, lower: Value | None, upper: Value | None, step: Value | None = None) -> IndexItem:
        """``lower:upper:step``."""
        return cls("slice", None, _given(lower), _given(upper), _given(step))

    @classmethod
    def value_of(cls, value: Value) -> IndexItem:
        """Anything without a colon, by what it is."""
        known = resolve_setting(value)
        if isinstance(known, Const):
            if known.value is None:
                return cls("new", value)
            if known.value is ...:
                return cls("ellipsis", value)
            if isinstance(known.value, int) and not isinstance(known.value, bool):
                return cls("integer", value)
            return cls("other", value)
        if isinstance(known, (Symbol, Index, Carried, Setting)):
            return cls("integer", value)
        if isinstance(known, Operation):
            return cls(
                "integer" if known.op in ("+", "-", "*", "//", "%", "int", "neg", "min", "max") else "other", value
            )
        return cls("other", value)


def _given(bound: Value | None) -> Value | None:
    return None if isinstance(bound, Const) and bound.value is None else bound


def expanded(items: Items[IndexItem]) -> list[IndexItem]:
    """The items of a subscript, with a single tuple taken apart."""
    if len(items) == 1 and isinstance(items[0].value, Sequence) and items[0].value.kind == "tuple":
        inner = items[0].value
        if not inner.open:
            return [IndexItem.value_of(item) for item in inner.items]
    return list(items)


def index(receiver: Value, items: Items[IndexItem]) -> Shape:
    """The shape of ``receiver[items]``."""
    shape = shape_of(receiver)
    items = expanded(items)
    if not items or all(_is_full(item) or item.kind == "ellipsis" for item in items):
        return shape
    consumed = sum(item.kind not in ("new", "ellipsis") for item in items)
    ellipses = [position for position, item in enumerate(items) if item.kind == "ellipsis"]
    before = items[: ellipses[0]] if ellipses else items
    after = items[ellipses[0] + 1 :] if ellipses else []
    if any(item.kind == "other" and not _keeps_size(item) for item in items):
        return _gathered(shape, items)
    rank = shape.rank
    if rank is not None and (consumed > rank or len(ellipses) > 1):
        return Shape()
    used = sum(item.kind != "new" for item in before)
    left = sum(item.kind != "new" for item in after)
    front = _part(shape, before, 0)
    back = _part(shape, after, -left)
    if rank is not None:
        middle = [shape.size(axis) for axis in range(used, rank - left)]
        return Shape([*front, *middle, *back])
    result = Shape()
    for axis, size in enumerate(front):
        result.know(axis, size)
    for axis, size in enumerate(reversed(back), 1):
        result.know(-axis, size)
    if not any(item.kind in ("new", "integer") for item in before):
        # the axes behind keep their numbers
        for axis, size in shape.axes.items():
            if axis >= len(before):
                result.know(axis, size)
    if not after:
        for axis, size in shape.axes.items():
            if axis < 0:
                result.know(axis, size)
    return result


def _is_full(item: IndexItem) -> bool:
    return item.kind == "slice" and item.lower is item.upper is item.step is None


def _keeps_size(item: IndexItem) -> bool:
    """Whether an index tensor only puts an axis into another order."""
    value = item.value
    for _ in range(4):
        origin = value.origin if isinstance(value, (Tensor, Unknown)) else None
        if origin is None:
            return False
        if origin.op in ORDERINGS:
            return True
        if origin.op not in ("getitem", ".to", ".cuda", ".cpu", ".long", ".data", ".numpy") or not origin.inputs:
            return False
        value = origin.inputs[0]
    return False


def _part(shape: Shape, items: Items[IndexItem], first: int) -> list[Value]:
    """The sizes that slices, integers and ``None`` leave, from axis ``first`` on."""
    sizes: list[Value] = []
    axis = first
    for item in items:
        if item.kind == "new":
            sizes.append(Const(1))
            continue
        if item.kind == "slice":
            sizes.append(sliced(shape.size(axis), item))
        elif item.kind == "other":
            sizes.append(shape.size(axis))
        axis += 1
    return sizes


def sliced(size: Value, item: IndexItem) -> Value:
    """The size of an axis after a slice, taken to lie within it."""
    lower, upper = item.lower, item.upper
    if isinstance(lower, Const) and lower.value == 0:
        lower = None
    if item.step is not None:
        step = resolve_setting(item.step)
        if not isinstance(step, Const) or not isinstance(step.value, int) or step.value == 0:
            return Symbol()
        whole = sliced(size, IndexItem("slice", None, lower, upper)) if step.value > 0 else size
        return whole if abs(step.value) == 1 else operation("//", whole, Const(abs(step.value)))
    if isinstance(size, Const) and isinstance(size.value, int) and _is_number(lower) and _is_number(upper):
        first, last = (bound.value if isinstance(bound, Const) else None for bound in (lower, upper))
        assert not isinstance(first, (str, float))
        assert not isinstance(last, (str, float))
        return Const(len(range(*slice(first, last).indices(size.value))))
    start, stop = _negative(lower), _negative(upper)
    if lower is None:
        if upper is None:
            return size
        return upper if stop is None else less(size, stop)
    if upper is None:
        return less(size, lower) if start is None else start
    if start is None and stop is None:
        return _difference(lower, upper)
    if start is None and stop is not None:
        return less(size, operation("+", lower, stop))
    if start is not None and stop is not None:
        return operation("-", start, stop)
    return Symbol()


def less(size: Value, amount: Value) -> Value:
    """``size - amount``, where ``size`` is a sum with that amount its other part."""
    if isinstance(size, Operation) and size.op == "+" and len(size.args) == 2:
        for part, rest in (size.args, size.args[::-1]):
            if same(part, amount):
                return rest
    return operation("-", size, amount)


def _difference(lower: Value, upper: Value) -> Value:
    """``upper - lower``, where ``upper`` is written as ``lower + …`` just that."""
    if isinstance(upper, Operation) and upper.op == "+" and lower in upper.args:
        return upper.args[1] if upper.args[0] is lower else upper.args[0]
    return operation("-", upper, lower)


def _is_number(bound: Value | None) -> bool:
    return bound is None or (isinstance(bound, Const) and isinstance(bound.value, int))


def _negative(bound: Value | None) -> Value | None:
    """What ``bound`` is the negative of, None if it is not written as a negative number."""
    if isinstance(bound, Const) and isinstance(bound.value, int) and bound.value < 0:
        return Const(-bound.value)
    if isinstance(bound, Operation) and bound.op == "neg":
        return bound.args[0]
    return None


def _gathered(shape: Shape, items: list[IndexItem]) -> Shape:
    """The shape with one axis indexed by something of known rank; unknown for everything more difficult."""
    others = [position for position, item in enumerate(items) if item.kind == "other" and not _keeps_size(item)]
    if len(others) != 1 or any(item.kind in ("integer", "ellipsis", "new") for item in items):
        return Shape()
    position = others[0]
    value = items[position].value
    if isinstance(value, Sequence) and not value.open:
        size: list[Value] = [Const(len(value.items))]
    elif isinstance(value, Tensor) and value.shape.dims is not None and value.integer:
        size = list(value.shape.dims)
    else:
        return Shape()
    front = _part(shape, items[:position], 0)
    back = _part(shape, items[position + 1 :], position + 1)
    if shape.rank is None or shape.rank < len(items):
        return Shape()
    rest = [shape.size(axis) for axis in range(len(items), shape.rank)]
    return Shape([*front, *size, *back, *rest])


def shape_slice(shape: Shape, start: Value | None, stop: Value | None) -> Sequence:
    """``x.shape[start:stop]``; open where the rank is unknown and it would have to be known."""
    first, last = (_bound(bound) for bound in (start, stop))
    if isinstance(first, str) or isinstance(last, str):
        return Sequence("tuple", [], True)
    if shape.dims is not None:
        return Sequence("tuple", list(shape.dims[first:last]))
    if (first or 0) >= 0 and last is not None and last >= 0:
        return Sequence("tuple", [shape.size(axis) for axis in range(first or 0, last)])
    if first is not None and first < 0 and (last is None or last < 0):
        return Sequence("tuple", [shape.size(axis) for axis in range(first, last or 0)])
    return Sequence("tuple", [], True)


def _bound(bound: Value | None) -> int | str | None:
    value = resolve_setting(bound)
    if value is None or (isinstance(value, Const) and value.value is None):
        return None
    if isinstance(value, Const) and isinstance(value.value, int):
        return value.value
    return "unknown"
