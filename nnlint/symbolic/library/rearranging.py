"""Tensor functions that reshape, permute, join, cut and pick."""

from __future__ import annotations

from collections.abc import Sequence as Items

from nnlint.symbolic.call import Call
from nnlint.symbolic.library.arguments import argument, axes_of, integer, listed, operand, sizes_of, tensors
from nnlint.symbolic.library.elementwise import combined, note_choice
from nnlint.symbolic.scalar import is_numeric, operation
from nnlint.symbolic.shapes import Varied, inserted, permuted, replaced, swapped, without
from nnlint.symbolic.sizes import is_one, product, viewed
from nnlint.symbolic.trace import Reshape
from nnlint.symbolic.values import (
    Const,
    Library,
    Sequence,
    Setting,
    Shape,
    Symbol,
    Tensor,
    Unknown,
    Value,
    shape_of,
)

LONGEST = 64
"""Tensors are taken apart into at most so many pieces."""


# --- reshapes --------------------------------------------------------------------------------------------------------


def reshape(call: Call, value: Value, sizes: list[Value] | None) -> Tensor:
    """The tensor with other sizes; the event is written down if the sizes are known."""
    if sizes is None:
        return call.tensor(Shape())
    dims = shape_of(value).dims
    result = call.tensor(Shape(viewed(dims, sizes)))
    if isinstance(value, Tensor):
        result.integer, result.batch = value.integer, value.batch
    elif isinstance(value, Unknown):
        result.batch = value.batch
    method = call.path.rpartition(".")[2]
    call.emit(Reshape, operand=value, dims=dims, sizes=tuple(sizes), result=result, method=method)
    return result


def views(call: Call) -> Value:
    """``view`` and ``reshape``; ``view(dtype)`` reads the bytes anew and is none, nor is Fortran's order."""
    value = operand(call)
    order = call.arguments.keywords.get("order")
    given = argument(call, 0, "shape", "size", "newshape", "dtype")
    if order is not None and not (isinstance(order, Const) and order.value == "C"):
        return call.tensor(Shape(sizes_of(call, 0, "shape", "newshape")))
    if isinstance(given, Library) or "dtype" in call.arguments.keywords:
        return call.tensor(shape_of(value))
    return reshape(call, value, sizes_of(call, 0, "shape", "size", "newshape"))


def views_as(call: Call) -> Value:
    """``view_as`` and ``reshape_as``."""
    other = argument(call, 0, "other")
    dims = None if other is None else shape_of(other).dims
    return reshape(call, operand(call), None if dims is None else list(dims))


def flattens(call: Call) -> Value:
    """``flatten(start_dim, end_dim)`` and ``ravel``; neighbours are merged, so the order cannot change."""
    shape = shape_of(operand(call))
    start = integer(argument(call, 0, "start_dim") or Const(0))
    end = integer(argument(call, 1, "end_dim") or Const(-1))
    return call.tensor(flattened(shape, start, end))


def flattened(shape: Shape, start: int | None, end: int | None) -> Shape:
    """The shape with the axes from ``start`` to ``end`` (inclusive) put together."""
    if shape.dims is None:
        if start == 1 and end == -1:
            return Shape([shape.size(0), Symbol()])
        return Shape([Symbol()]) if start == 0 and end == -1 else Shape()
    rank = len(shape.dims)
    if start is None or end is None or not (-rank <= start < rank and -rank <= end < rank):
        return Shape()
    start, end = start % rank, end % rank
    return Shape([*shape.dims[:start], product(shape.dims[start : end + 1]), *shape.dims[end + 1 :]])


def unflattens(call: Call) -> Value:
    """``unflatten(dim, sizes)``."""
    shape, axis = shape_of(operand(call)), integer(argument(call, 0, "dim"))
    return call.tensor(unflattened(shape, axis, listed(argument(call, 1, "sizes", "unflattened_size"))))


def unflattened(shape: Shape, axis: int | None, sizes: list[Value] | None) -> Shape:
    """The shape with one axis cut up into several."""
    if shape.dims is None or axis is None or sizes is None or not -len(shape.dims) <= axis < len(shape.dims):
        return Shape()
    axis %= len(shape.dims)
    return Shape([*shape.dims[:axis], *viewed(shape.dims[axis : axis + 1], sizes), *shape.dims[axis + 1 :]])


# --- order of axes ---------------------------------------------------------------------------------------------------


def permutes(call: Call) -> Value:
    """``permute``, and numpy's ``transpose`` with all axes."""
    order = _order(call)
    return call.tensor(Shape() if order is None else permuted(shape_of(operand(call)), order))


def _order(call: Call) -> list[int] | None:
    sizes = sizes_of(call, 0, "dims", "axes")
    if sizes is None:
        return None
    order = [integer(size) for size in sizes]
    return None if None in order else [axis for axis in order if axis is not None]


def transposes(call: Call) -> Value:
    """Torch's ``transpose`` exchanges two axes; numpy's puts all of them into a new order."""
    positional = call.arguments.positional[0 if call.receiver is not None else 1 :]
    shape = shape_of(operand(call))
    if not positional and not call.arguments.keywords:
        return call.tensor(reversed_axes(shape))
    if len(positional) == 1 or len(positional) > 2 or "axes" in call.arguments.keywords:
        return permutes(call)
    one, other = integer(argument(call, 0, "dim0", "axis0")), integer(argument(call, 1, "dim1", "axis1"))
    if one is None or other is None:
        return call.tensor(Shape())
    return call.tensor(swapped(shape, one, other))


def reversed_axes(shape: Shape) -> Shape:
    """The shape with all axes in reverse."""
    return Shape() if shape.dims is None else Shape(shape.dims[::-1])


def transposes_matrix(call: Call) -> Value:
    """``t()``: a matrix with rows and columns exchanged."""
    shape = shape_of(operand(call))
    if shape.rank == 1:
        return call.tensor(shape)
    return call.tensor(permuted(shape, (1, 0)))


def moves_axis(call: Call) -> Value:
    """``movedim``, ``moveaxis``."""
    shape = shape_of(operand(call))
    before, after = axes_of(argument(call, 0, "source")), axes_of(argument(call, 1, "destination"))
    if shape.dims is None or before is None or after is None or len(before) != len(after):
        return call.tensor(Shape())
    return call.tensor(moved(shape, before, after))


def moved(shape: Shape, before: list[int], after: list[int]) -> Shape:
    """The shape with some axes moved to other places, the rest in order."""
    rank = shape.rank
    if rank is None or not all(-rank <= axis < rank for axis in (*before, *after)):
        return Shape()
    places = {target % rank: source % rank for source, target in zip(before, after, strict=True)}
    rest = [axis for axis in range(rank) if axis not in places.values()]
    return permuted(shape, [places[axis] if axis in places else rest.pop(0) for axis in range(rank)])


# --- axes of size 1 --------------------------------------------------------------------------------------------------


def squeezes(call: Call) -> Value:
    """``squeeze``: without an axis, only sizes that are known to be 1 go; more may go at run time."""
    shape = shape_of(operand(call))
    given = argument(call, 0, "dim", "axis")
    axis = integer(given)
    if axis is not None:
        if shape.dims is None:
            return call.tensor(Shape())
        if not -len(shape.dims) <= axis < len(shape.dims):
            return call.tensor(Shape())
        size = shape.dims[axis]
        if isinstance(size, Const) and size.value != 1:
            return call.tensor(shape)
        return call.tensor(without(shape, axis))
    if given is not None or shape.dims is None:
        return call.tensor(Shape())
    left = [size for size in shape.dims if not is_one(size)]
    if any(_may_be_one(size) for size in left):
        return call.tensor(Shape())
    return call.tensor(Shape(left))


def _may_be_one(size: Value) -> bool:
    return not isinstance(size, (Const, Setting)) and not (isinstance(size, Symbol) and (size.name or size.of))


def unsqueezes(call: Call) -> Value:
    """``unsqueeze``, ``expand_dims``."""
    axes = axes_of(argument(call, 0, "dim", "axis"))
    shape = shape_of(operand(call))
    if axes is None:
        return call.tensor(Shape())
    for axis in sorted(axes):
        shape = inserted(shape, axis, Const(1))
    return call.tensor(shape)


def expands(call: Call) -> Value:
    """``expand``, ``broadcast_to``: -1 keeps a size."""
    shape, sizes = shape_of(operand(call)), sizes_of(call, 0, "size", "shape")
    if sizes is None:
        return call.tensor(Shape())
    result: list[Value] = []
    for axis, size in enumerate(sizes, -len(sizes)):
        if not (isinstance(size, Const) and size.value == -1):
            result.append(size)
        elif shape.rank is None or shape.rank >= -axis:
            result.append(shape.size(axis))
        else:
            return call.tensor(Shape())
    return call.tensor(Shape(result))


def expands_as(call: Call) -> Value:
    """``expand_as``: the shape of the other tensor."""
    other = argument(call, 0, "other")
    return call.tensor(None if other is None else shape_of(other))


def repeats(call: Call) -> Value:
    """Torch's ``repeat``, ``tile``: how often each axis is repeated."""
    counts, shape = sizes_of(call, 0, "repeats", "dims", "reps"), shape_of(operand(call))
    if counts is None or shape.dims is None or "axis" in call.arguments.keywords:
        return call.tensor(Shape())
    if len(counts) < len(shape.dims):
        return call.tensor(Shape())
    offset = len(counts) - len(shape.dims)
    return call.tensor(
        Shape([*counts[:offset], *(operation("*", n, d) for n, d in zip(counts[offset:], shape.dims, strict=True))])
    )


def repeats_elements(call: Call) -> Value:
    """``repeat_interleave(n, dim)``."""
    shape = shape_of(operand(call))
    count, axis = argument(call, 0, "repeats"), integer(argument(call, 1, "dim", "axis"))
    if count is None or not is_numeric(count):
        return call.tensor(Shape())
    if axis is None:
        return call.tensor(Shape([Symbol()]))
    return call.tensor(Varied(shape, {axis: lambda size: operation("*", size, count)}))


# --- together and apart ----------------------------------------------------------------------------------------------


def concatenates(call: Call) -> Value:
    """``cat``, ``concatenate``, ``hstack`` along an axis."""
    axis = integer(argument(call, 0, "dim", "axis") or Const(0))
    given = operand_list(call)
    parts = tensors(given)
    if axis is None:
        return call.tensor(Shape())
    if parts is None:
        element = given.element if isinstance(given, Sequence) else None
        return call.tensor(Shape() if element is None else replaced(shape_of(element), axis, Symbol()))
    shapes = [shape_of(part) for part in parts]
    model = next((shape for shape in shapes if shape.rank is not None), shapes[0] if shapes else Shape())
    rank = model.rank
    if rank is None:
        if any(shape is not model for shape in shapes):
            return call.tensor(replaced(model, axis, _sum([shape.size(axis) for shape in shapes])))
        return call.tensor(replaced(model, axis, operation("*", model.size(axis), Const(len(shapes)))))
    if not -rank <= axis < rank:
        return call.tensor(Shape())
    total = _sum([shape.size(axis) if shape.rank == rank else Symbol() for shape in shapes])
    return call.tensor(replaced(model, axis, total))


def operand_list(call: Call) -> Value:
    """The list of tensors that a function is given."""
    for name in ("tensors", "arrays", "tup"):
        if name in call.arguments.keywords:
            return call.arguments.keywords[name]
    return operand(call)


def _sum(sizes: Items[Value]) -> Value:
    distinct: list[Value] = []
    for size in sizes:
        if not any(size is other for other in distinct):
            distinct.append(size)
    if len(distinct) == 1 and len(sizes) > 1:
        return operation("*", distinct[0], Const(len(sizes)))
    total: Value | None = None
    for size in sizes:
        total = size if total is None else operation("+", total, size)
    return total or Symbol()


def stacks(call: Call) -> Value:
    """``stack``: a new axis."""
    axis = integer(argument(call, 0, "dim", "axis") or Const(0))
    given = operand_list(call)
    parts = tensors(given)
    if axis is None:
        return call.tensor(Shape())
    if parts is None:
        element = given.element if isinstance(given, Sequence) else None
        return call.tensor(Shape() if element is None else inserted(shape_of(element), axis, Symbol()))
    shapes = [shape_of(part) for part in parts]
    model = next((shape for shape in shapes if shape.rank is not None), shapes[0] if shapes else Shape())
    return call.tensor(inserted(model, axis, Const(len(parts))))


def pieces(call: Call, count: int | None, shape: Shape) -> Value:
    """A tuple of so many tensors of one shape."""
    if count is None or not 0 < count <= LONGEST:
        return Sequence("tuple", [], True, call.tensor(shape), origin=call.origin())
    return Sequence("tuple", [call.tensor(_like(shape)) for _ in range(count)], origin=call.origin())


def _like(shape: Shape) -> Shape:
    return Shape(shape.dims) if shape.dims is not None else Varied(shape)


def chunks(call: Call) -> Value:
    """``chunk(n, dim)``: equal parts."""
    shape = shape_of(operand(call))
    count, axis = argument(call, 0, "chunks"), integer(argument(call, 1, "dim") or Const(0))
    if count is None or axis is None or not is_numeric(count):
        return pieces(call, None, Shape())
    return pieces(call, integer(count), Varied(shape, {axis: lambda size: product([operation("//", size, count)])}))


def splits(call: Call) -> Value:
    """Torch's ``split(size, dim)``: parts of a size, or of the sizes listed."""
    shape = shape_of(operand(call))
    axis = integer(argument(call, 1, "dim", "axis") or Const(0))
    given = argument(call, 0, "split_size", "split_size_or_sections", "split_sizes")
    sizes = listed(given)
    if axis is None or given is None:
        return pieces(call, None, Shape())
    if sizes is not None:
        return Sequence("tuple", [call.tensor(replaced(shape, axis, size)) for size in sizes[:LONGEST]])
    if not is_numeric(given):
        return pieces(call, None, Shape())
    count: int | None = None
    length, part = shape.size(axis), integer(given)
    if isinstance(length, Const) and isinstance(length.value, int) and part:
        count = -(-length.value // part)
    elif shape.rank is not None:
        ratio = operation("//", product([length]), given)
        reduced_ratio = product([ratio])
        count = integer(reduced_ratio) if isinstance(reduced_ratio, Const) else None
    return pieces(call, count, replaced(shape, axis, given))


def unbinds(call: Call) -> Value:
    """``unbind(dim)``: the slices along an axis."""
    shape, axis = shape_of(operand(call)), integer(argument(call, 0, "dim") or Const(0))
    if axis is None:
        return pieces(call, None, Shape())
    size = shape.size(axis) if shape.rank is None or -shape.rank <= axis < shape.rank else None
    return pieces(
        call, size.value if isinstance(size, Const) and isinstance(size.value, int) else None, without(shape, axis)
    )


# --- picking ---------------------------------------------------------------------------------------------------------


def gathers(call: Call) -> Value:
    """``gather(dim, index)``: the shape of the index."""
    chosen = argument(call, 1, "index")
    return call.tensor(None if chosen is None else shape_of(chosen))


def selects(call: Call) -> Value:
    """``select(dim, index)``: without the axis."""
    axis = integer(argument(call, 0, "dim"))
    return call.tensor(None if axis is None else without(shape_of(operand(call)), axis))


def narrows(call: Call) -> Value:
    """``narrow(dim, start, length)``."""
    axis, length = integer(argument(call, 0, "dim")), argument(call, 2, "length")
    if axis is None or length is None or not is_numeric(length):
        return call.tensor(Shape())
    return call.tensor(replaced(shape_of(operand(call)), axis, length))


def selects_indices(call: Call) -> Value:
    """``index_select(dim, index)``: as many as there are indices."""
    axis, chosen = integer(argument(call, 0, "dim")), argument(call, 1, "index")
    if axis is None or chosen is None:
        return call.tensor(Shape())
    picked = shape_of(chosen)
    return call.tensor(replaced(shape_of(operand(call)), axis, picked.size(0) if picked.rank != 0 else Const(1)))


def takes_where(call: Call) -> Value:
    """``where(condition, a, b)``: a bound where the condition tells which of a and b exceeds the other, a number."""
    one, other = call.get(1, "input"), call.get(2, "other")
    if call.receiver is not None:
        one, other = call.receiver, call.get(1, "other")
    if one is None or other is None:
        return call.unknown()
    result, test = call.tensor(combined(one, other)), call.get(0, "condition")
    if test is not None:
        note_choice(call, test, one, other, result)
    return result


def vector(call: Call) -> Value:
    """A vector of unknown length: ``masked_select``, ``unique``, ``nonzero`` of one kind or other."""
    return call.tensor(Shape([Symbol()]))
