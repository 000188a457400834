"""What the functions and methods of tensors do to shapes."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Items

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.scalar import evaluate, is_numeric, operation
from nnlint.symbolic.shapes import (
    Extended,
    Varied,
    broadcast,
    inserted,
    permuted,
    product,
    replaced,
    swapped,
    unwindowed,
    viewed,
    windows,
    without,
)
from nnlint.symbolic.trace import Clip, Reshape
from nnlint.symbolic.values import (
    Attribute,
    Const,
    Library,
    Object,
    Sequence,
    Setting,
    Shape,
    Symbol,
    Tensor,
    Unknown,
    Value,
    resolve_setting,
    shape_of,
)

LONGEST = 64
"""Tensors are taken apart into at most so many pieces."""

PACKED = "torch.nn.utils.rnn.PackedSequence"


def words(text: str) -> tuple[str, ...]:
    """The names in a text."""
    return tuple(text.split())


# --- arguments -------------------------------------------------------------------------------------------------------


def operand(call: Call) -> Value:
    """The tensor that a method is called on, or a function is given first."""
    if call.receiver is not None:
        return call.receiver
    for name in ("input", "x", "a", "array", "tensor", "self"):
        value = call.get(0, name)
        if value is not None:
            return value
    return Unknown()


def argument(call: Call, position: int, *names: str) -> Value | None:
    """An argument counted without the operand, so that a method and the function of its name are alike."""
    shifted = position if call.receiver is not None else position + 1
    for name in names:
        value = call.arguments.keywords.get(name)
        if value is not None:
            return value
    positional = call.arguments.positional
    return positional[shifted] if shifted < len(positional) else None


def integer(value: Value | None) -> int | None:
    """An argument that is an axis or a count, None if it is not known."""
    if value is None:
        return None
    value = resolve_setting(value)
    if isinstance(value, Const):
        number = value.value
        return number if isinstance(number, int) and not isinstance(number, bool) else None
    number = evaluate(value)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def flag(value: Value | None, default: bool = False) -> bool | None:
    """An argument that is true or false, None if it is not known."""
    if value is None:
        return default
    result = evaluate(value)
    return bool(result) if isinstance(result, (bool, int)) else None


def listed(value: Value | None) -> list[Value] | None:
    """The sizes or axes that an argument lists, None if it is not a list or not all known."""
    value = resolve_setting(value)
    if isinstance(value, Sequence):
        return None if value.open else list(value.items)
    if isinstance(value, Attribute) and value.name == "shape":
        dims = shape_of(value.receiver).dims
        return None if dims is None else list(dims)
    return None


def sizes_of(call: Call, position: int = 0, *names: str) -> list[Value] | None:
    """Sizes given one by one or as one list, tuple or torch.Size; None if they are not all known."""
    start = position if call.receiver is not None else position + 1
    if call.arguments.star:
        return None
    given = list(call.arguments.positional[start:])
    if not given:
        for name in names:
            if name in call.arguments.keywords:
                given = [call.arguments.keywords[name]]
                break
    if len(given) == 1 and not is_numeric(given[0]):
        return listed(given[0])
    return given or None


def axes_of(value: Value | None) -> list[int] | None:
    """The axes that an argument names, None if they are not known."""
    items = listed(value)
    if items is None:
        axis = integer(value)
        return None if axis is None else [axis]
    axes = [integer(item) for item in items]
    return None if None in axes else [axis for axis in axes if axis is not None]


def pair(value: Value | None, count: int, default: int) -> list[int] | None:
    """A number for each of ``count`` axes, from one number or a list; None if they are not known."""
    if value is None:
        return [default] * count
    items = listed(value)
    if items is None:
        number = integer(value)
        return None if number is None else [number] * count
    numbers = [integer(item) for item in items]
    if None in numbers:
        return None
    known = [number for number in numbers if number is not None]
    return known * count if len(known) == 1 else known if len(known) == count else None


def tensors(value: Value | None) -> list[Value] | None:
    """The tensors that a list argument holds, None if they are not all known."""
    value = resolve_setting(value)
    if isinstance(value, Sequence) and not value.open:
        return list(value.items)
    return None


def constant(value: Value | None) -> Value | None:
    """The number in a tensor that was made of one (``torch.tensor([c])``), the value itself if it is a number."""
    for _ in range(8):
        if value is None or is_numeric(value):
            return None if isinstance(value, Const) and value.value is None else value
        if isinstance(value, Sequence):
            if len(value.items) != 1:
                return None
            value = value.items[0]
            continue
        origin = value.origin
        if origin is None or not origin.inputs:
            return None
        name = origin.op.rpartition(".")[2]
        if name in ("full", "full_like", "new_full"):
            value = origin.inputs[-1] if name == "new_full" else origin.inputs[1] if len(origin.inputs) > 1 else None
        elif name in CONSTANT_KEEPING:
            value = origin.inputs[0]
        else:
            return None
    return None


CONSTANT_KEEPING = frozenset(
    words(
        "tensor as_tensor FloatTensor Tensor array float32 float64 to cuda cpu float double half type type_as "
        "Variable expand_as expand detach clone"
    )
)


def is_array(value: Value | None) -> bool:
    """Whether a value comes straight from numpy rather than torch."""
    for _ in range(6):
        if value is None or value.origin is None:
            return False
        op = value.origin.op
        if op.startswith("numpy.") or op in (".numpy", ".astype"):
            return True
        if op.startswith("torch") or not op.startswith(".") or not value.origin.inputs:
            return False
        value = value.origin.inputs[0]
    return False


# --- shape keeping ---------------------------------------------------------------------------------------------------


def keeps(call: Call) -> Value:
    """An elementwise function of one tensor: the result has the very shape."""
    value = operand(call)
    if is_numeric(value):
        return call.unknown()
    return call.tensor(shape_of(value))


def keeps_integers(call: Call) -> Value:
    """As :func:`keeps`, with integers or booleans as the result."""
    return call.tensor(shape_of(operand(call)), integer=True)


def passes(call: Call) -> Value:
    """The same tensor elsewhere or in other units: ``to``, ``float``, ``contiguous``; anything unknown is itself."""
    value = operand(call)
    if isinstance(value, Tensor):
        result = call.tensor(value.shape, loss=value.loss, integer=value.integer)
        result.batch, result.name = value.batch, value.name
        return result
    if isinstance(value, (Sequence, Object)) or (isinstance(value, Unknown) and value.shape is None):
        return value
    if isinstance(value, Unknown):
        result = call.tensor(shape_of(value))
        result.batch, result.name = value.batch, value.name
        return result
    return call.unknown()


def converts(call: Call) -> Value:
    """As :func:`passes`, for methods that only tensors have."""
    value = operand(call)
    if is_numeric(value):
        return value
    result = call.tensor(shape_of(value), integer=call.path.rpartition(".")[2] in INTEGER_TYPES)
    if isinstance(value, (Tensor, Unknown)):
        result.batch, result.name = value.batch, value.name
    if isinstance(value, Tensor):
        result.loss = value.loss
    return result


INTEGER_TYPES = frozenset(["long", "int", "short", "byte", "bool", "char"])


def changes_in_place(call: Call) -> Value:
    """A method that ends in an underscore gives the receiver back."""
    return call.receiver if call.receiver is not None else call.unknown()


def broadcasts(call: Call) -> Value:
    """An elementwise function of two tensors."""
    other = argument(call, 0, "other", "tensor1", "x2", "mask", "exponent")
    if other is None:
        return keeps(call)
    return call.tensor(combined(operand(call), other))


def combined(left: Value, right: Value) -> Shape:
    """The shape of an elementwise operation on two values, either of which may be a number."""
    left, right = resolve_setting(left) or left, resolve_setting(right) or right
    if is_numeric(right) or isinstance(right, (Library, Attribute)):
        return shape_of(left)
    if is_numeric(left) or isinstance(left, (Library, Attribute)):
        return shape_of(right)
    one, other = shape_of(left), shape_of(right)
    if one is other:
        return one
    if one.dims is not None and other.dims is not None:
        if len(one.dims) == len(other.dims) and not any(map(_is_one, one.dims)):
            return one
        return Shape(broadcast(one.dims, other.dims))
    # the operand of unknown shape is taken to broadcast to the other, unless that has axes to be stretched
    if one.rank is None and other.rank is None:
        if isinstance(left, Tensor) or not isinstance(right, Tensor):
            return one if isinstance(left, (Tensor, Unknown)) else other
        return other
    known = one if one.rank is not None else other
    assert known.dims is not None
    if len(known.dims) < (2 if known is one else 3) or any(map(_is_one, known.dims)):
        return Shape()
    return known


def _is_one(size: Value) -> bool:
    return isinstance(size, Const) and size.value == 1


def binary(op: str, left: Value, right: Value) -> Shape:
    """The shape of ``left op right`` where at least one of them is a tensor."""
    return multiplied(left, right) if op == "@" else combined(left, right)


# --- reductions ------------------------------------------------------------------------------------------------------


def reduced(call: Call, position: int = 0) -> Shape:
    """The shape after a reduction over ``dim`` (all axes if there is none), with or without ``keepdim``."""
    shape = shape_of(operand(call))
    given = argument(call, position, "dim", "axis")
    if given is None or (isinstance(given, Const) and given.value is None):
        return Shape(())
    axes = axes_of(given)
    keep = flag(argument(call, position + 1, "keepdim", "keepdims"))
    if axes is None or keep is None:
        return Shape()
    if keep:
        return Varied(shape, dict.fromkeys(axes, _one))
    if len(axes) == 1:
        return without(shape, axes[0])
    if shape.dims is None:
        return Shape()
    rank = len(shape.dims)
    gone = {axis % rank for axis in axes if -rank <= axis < rank}
    return Shape([size for axis, size in enumerate(shape.dims) if axis not in gone])


def _one(_: Value) -> Value:
    return Const(1)


def reduces(call: Call) -> Value:
    """``sum``, ``mean`` and the like."""
    value = operand(call)
    result = call.tensor(reduced(call))
    if isinstance(value, Tensor) and value.loss:
        result.loss = value.loss
    return result


def reduces_to_integers(call: Call) -> Value:
    """``argmax`` and the like."""
    return call.tensor(reduced(call), integer=True)


def extremum(call: Call) -> Value:
    """``max`` and ``min``: of all, along an axis with indices, or of two tensors."""
    other = argument(call, 0, "other")
    if other is not None and not is_numeric(other) and not isinstance(other, Sequence):
        return bound_by_other(call)
    if other is None and argument(call, 0, "dim", "axis") is None:
        return call.tensor(Shape(()))
    if "axis" in call.arguments.keywords or is_array(operand(call)) or isinstance(other, Sequence):
        return call.tensor(reduced(call))
    return with_indices(call, reduced(call))


def with_indices(call: Call, shape: Shape) -> Value:
    """Values and the indices they were found at."""
    return Sequence("tuple", [call.tensor(shape), call.tensor(shape, integer=True)], origin=call.origin())


def extremum_along(call: Call) -> Value:
    """``median``, ``mode``, ``kthvalue``: values with indices where an axis is given."""
    position = 1 if call.path.rpartition(".")[2] == "kthvalue" else 0
    if position == 0 and argument(call, 0, "dim") is None:
        return call.tensor(Shape(()))
    return with_indices(call, reduced(call, position))


def ordered(call: Call) -> Value:
    """``sort``: values and indices."""
    value = operand(call)
    if is_array(value):
        return call.tensor(shape_of(value))
    return with_indices(call, shape_of(value))


def scanned(call: Call) -> Value:
    """``cummax`` and ``cummin``."""
    return with_indices(call, shape_of(operand(call)))


def top(call: Call) -> Value:
    """``topk``."""
    count = argument(call, 0, "k")
    axis = integer(argument(call, 1, "dim") or Const(-1))
    shape = shape_of(operand(call))
    if count is None or not is_numeric(count) or axis is None:
        return with_indices(call, Shape())
    return with_indices(call, replaced(shape, axis, count))


# --- bounds ----------------------------------------------------------------------------------------------------------


def _bounded(call: Call, value: Value, lower: Value | None, upper: Value | None, in_place: bool) -> Value:
    lower, upper = as_bound(lower), as_bound(upper)
    result = value if in_place else call.tensor(shape_of(value))
    if not in_place and isinstance(value, Tensor) and isinstance(result, Tensor):
        result.batch = value.batch
    if lower is not None or upper is not None:
        call.emit(Clip, operand=value, result=result, lower=lower, upper=upper, in_place=in_place)
    return result


def as_bound(value: Value | None) -> Value | None:
    """The number that a bound is, else the value that was given for it; None where there is no bound."""
    if isinstance(value, Const) and value.value is None:
        return None
    return constant(value) or value


def clamps(call: Call) -> Value:
    """``clamp`` and ``clip``: a lower and an upper bound."""
    lower = argument(call, 0, "min", "a_min")
    upper = argument(call, 1, "max", "a_max")
    return _bounded(call, operand(call), lower, upper, call.path.endswith("_"))


def clamps_above(call: Call) -> Value:
    """``clamp_max``."""
    return _bounded(call, operand(call), None, argument(call, 0, "max"), call.path.endswith("_"))


def clamps_below(call: Call) -> Value:
    """``clamp_min``."""
    return _bounded(call, operand(call), argument(call, 0, "min"), None, call.path.endswith("_"))


def bound_by_other(call: Call) -> Value:
    """``minimum``, ``maximum``, and ``min``, ``max`` of two tensors: a bound if one of them is a constant."""
    value, other = operand(call), argument(call, 0, "other", "x2")
    if other is None:
        return keeps(call)
    bound = constant(other)
    if bound is None and constant(value) is not None:
        value, other, bound = other, value, constant(value)
    result = call.tensor(combined(value, other))
    if bound is not None:
        above = call.path.rpartition(".")[2] in ("min", "minimum", "fmin")
        call.emit(Clip, operand=value, result=result, lower=None if above else bound, upper=bound if above else None)
    return result


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
    left = [size for size in shape.dims if not _is_one(size)]
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
    return pieces(call, integer(count), Varied(shape, {axis: lambda size: operation("//", size, count)}))


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
    """``where(condition, a, b)``."""
    one, other = call.get(1, "input"), call.get(2, "other")
    if call.receiver is not None:
        one, other = call.receiver, call.get(1, "other")
    if one is None or other is None:
        return call.unknown()
    return call.tensor(combined(one, other))


def vector(call: Call) -> Value:
    """A vector of unknown length: ``masked_select``, ``unique``, ``nonzero`` of one kind or other."""
    return call.tensor(Shape([Symbol()]))


# --- products --------------------------------------------------------------------------------------------------------


def multiplied(left: Value, right: Value) -> Shape:
    """The shape of a matrix product."""
    one, other = shape_of(left), shape_of(right)
    if other.rank == 1 or one.rank == 1:
        if one.rank == 1:
            return without(other, -2) if other.rank not in (None, 1) else Shape(()) if other.rank == 1 else Shape()
        return without(one, -1)
    if one.dims is not None and (other.rank is None or other.rank <= len(one.dims)):
        return Shape([*one.dims[:-1], other.size(-1)]) if len(one.dims) >= 2 else Shape()
    if other.dims is not None and one.dims is not None:
        return Shape([*broadcast(other.dims[:-2], one.dims[:-2]), one.dims[-2], other.dims[-1]])
    if other.dims is not None and len(other.dims) > 2:
        return Shape([*other.dims[:-2], one.size(-2), other.dims[-1]])
    return replaced(one, -1, other.size(-1))


def multiplies(call: Call) -> Value:
    """``matmul``."""
    other = argument(call, 0, "other", "mat2", "tensor2", "vec")
    return call.tensor(None if other is None else multiplied(operand(call), other))


def multiplies_matrices(call: Call) -> Value:
    """``mm``: two matrices."""
    return _ranked_product(call, 2)


def multiplies_batches(call: Call) -> Value:
    """``bmm``: two batches of matrices."""
    return _ranked_product(call, 3)


def _ranked_product(call: Call, rank: int) -> Value:
    other = argument(call, 0, "mat2", "other")
    if other is None:
        return call.unknown()
    shape_of(operand(call)).fix_rank(rank)
    shape_of(other).fix_rank(rank)
    return call.tensor(multiplied(operand(call), other))


def adds_product(call: Call) -> Value:
    """``baddbmm``, ``addmm``: a matrix product plus something that broadcasts to it."""
    left, right = argument(call, 0, "batch1", "mat1"), argument(call, 1, "batch2", "mat2")
    return call.tensor(None if left is None or right is None else multiplied(left, right))


def contracts(call: Call) -> Value:
    """``einsum`` with its equation in letters."""
    equation = call.get(0, "equation")
    if not isinstance(equation, Const) or not isinstance(equation.value, str):
        return call.tensor(Shape())
    given = list(call.arguments.positional[1:])
    if len(given) == 1 and isinstance(given[0], Sequence):
        given = tensors(given[0]) or []
    return call.tensor(contracted(equation.value, given))


def contracted(equation: str, given: list[Value]) -> Shape:
    """The shape that an einsum equation gives; empty if it is not understood."""
    before, arrow, after = equation.replace(" ", "").partition("->")
    terms = before.split(",")
    if len(terms) != len(given):
        return Shape()
    sizes: dict[str, Value] = {}
    for term, value in zip(terms, given, strict=True):
        shape = shape_of(value)
        front, dots, back = term.partition("...")
        if not dots:
            shape.fix_rank(len(term))
            if shape.rank != len(term):
                return Shape()
        for axis, letter in enumerate(front):
            sizes.setdefault(letter, shape.size(axis))
        for axis, letter in enumerate(reversed(back), 1):
            sizes.setdefault(letter, shape.size(-axis))
    if not arrow:
        letters = before.replace(",", "")
        after = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1 and letter != "."))
    if "." in after:
        result = Shape()
        front, _, back = after.partition("...")
        for axis, letter in enumerate(front):
            result.know(axis, sizes.get(letter) or Symbol())
        for axis, letter in enumerate(reversed(back), 1):
            result.know(-axis, sizes.get(letter) or Symbol())
        return result
    return Shape([sizes.get(letter) or Symbol() for letter in after])


# --- what a tensor says of itself ------------------------------------------------------------------------------------


def sizes(call: Call) -> Value:
    """``size()`` and ``size(axis)``."""
    assert call.receiver is not None
    given = call.get(0, "dim")
    if given is None:
        return shape_value(call)
    axis = integer(given)
    return Symbol() if axis is None else shape_of(call.receiver).size(axis)


def shape_value(call: Call) -> Value:
    """``x.shape``: a tuple if the rank is known, else the attribute, through which axes are asked for one by one."""
    assert call.receiver is not None
    dims = shape_of(call.receiver).dims
    return Attribute(call.receiver, "shape") if dims is None else Sequence("tuple", list(dims))


def rank(call: Call) -> Value:
    """``dim()``, ``ndim``."""
    known = shape_of(operand(call)).rank
    return Symbol() if known is None else Const(known)


def count(call: Call) -> Value:
    """``numel()``."""
    dims = shape_of(operand(call)).dims
    return Symbol() if dims is None else product(dims)


def number(call: Call) -> Value:
    """``item()``: a number nobody knows."""
    return Symbol(of=operand(call), origin=call.origin())


def nothing_known(call: Call) -> Value:
    """A value with nothing known but where it comes from."""
    return call.unknown()


def unknown_shape(call: Call) -> Value:
    """A tensor of unknown shape."""
    return call.tensor(Shape())


def scalar(call: Call) -> Value:
    """A tensor of one number."""
    return call.tensor(Shape(()))


def data(call: Call) -> Value:
    """``x.data``; the attribute of that name for values that need not be tensors."""
    value = call.receiver
    if isinstance(value, Tensor):
        result = call.tensor(value.shape, loss=value.loss, integer=value.integer)
        result.batch = value.batch
        return result
    return part_by_name(call, None if not isinstance(value, Unknown) else value.shape)


def part_by_name(call: Call, shape: Shape | None = None) -> Value:
    """An attribute that tensors have, of a value that may be something else: the same value every time."""
    name = call.path[1:]
    value = call.receiver
    if not isinstance(value, Unknown):
        return call.tensor(shape)
    found = value.attributes.get(name)
    if found is None:
        found = value.attributes[name] = Unknown(name, shape=shape, batch=value.batch, origin=call.origin())
    return found


def transposed(change: Callable[[Shape], Shape]) -> Handler:
    """``T``, ``mT``, ``H``: a changed shape for tensors."""

    def handler(call: Call) -> Value:
        value = call.receiver
        if isinstance(value, Tensor):
            return call.tensor(change(value.shape))
        if isinstance(value, Unknown) and value.shape is not None:
            return call.tensor(change(value.shape))
        return part_by_name(call)

    return handler


def _matrices(shape: Shape) -> Shape:
    return swapped(shape, -1, -2)


# --- making ----------------------------------------------------------------------------------------------------------


def makes(call: Call) -> Value:
    """``zeros``, ``ones``, ``empty``, ``rand`` and so on: sizes one by one or as a list."""
    positional = call.arguments.positional
    if call.arguments.star:
        return call.tensor(Shape())
    given: list[Value] | None = list(positional)
    size = call.arguments.keywords.get("size") or call.arguments.keywords.get("shape")
    if not positional:
        given = listed(size) if size is not None else None
        if given is None and size is not None and is_numeric(size):
            given = [size]
    elif not is_numeric(positional[0]):
        given = listed(positional[0])
    return call.tensor(None if given is None else Shape(_numeric(given)))


def _numeric(sizes: list[Value]) -> list[Value]:
    while sizes and not is_numeric(sizes[-1]) and isinstance(sizes[-1], Library):
        sizes = sizes[:-1]
    return sizes


def makes_integers(call: Call) -> Value:
    """``randint(low, high, size)``."""
    size = call.arguments.keywords.get("size")
    if size is None:
        size = next((value for value in call.arguments.positional if isinstance(value, (Sequence, Attribute))), None)
    found = listed(size)
    return call.tensor(None if found is None else Shape(found), integer=True)


def makes_filled(call: Call) -> Value:
    """``full(size, value)``, ``new_full(size, value)``."""
    found = listed(call.get(0, "size"))
    return call.tensor(None if found is None else Shape(found))


def makes_range(call: Call) -> Value:
    """``arange``: a vector."""
    positional = call.arguments.positional
    length: Value = Symbol()
    if len(positional) == 1 and is_numeric(positional[0]):
        length = positional[0]
    elif len(positional) == 2 and isinstance(positional[0], Const) and positional[0].value == 0:
        length = positional[1] if is_numeric(positional[1]) else length
    return call.tensor(Shape([length]), integer=True)


def makes_steps(call: Call) -> Value:
    """``linspace(start, end, steps)``."""
    steps = call.get(2, "steps") or call.get(None, "num")
    return call.tensor(Shape([steps if steps is not None and is_numeric(steps) else Symbol()]))


def makes_identity(call: Call) -> Value:
    """``eye(n, m)``."""
    rows = call.get(0, "n") or Symbol()
    columns = call.get(1, "m") or call.get(None, "M") or rows
    return call.tensor(Shape([rows, columns]))


def makes_permutation(call: Call) -> Value:
    """``randperm(n)``."""
    length = call.get(0, "n") or Symbol()
    return call.tensor(Shape([length]), integer=True)


def makes_from_data(call: Call) -> Value:
    """``tensor``, ``as_tensor``, ``from_numpy``, ``array``: the shape of what is given."""
    value = call.get(0, "data") or call.get(0, "object") or operand(call)
    return call.tensor(shape_of_data(value))


def makes_typed(call: Call) -> Value:
    """``FloatTensor(…)``: of sizes if it is given numbers, else of data."""
    positional = call.arguments.positional
    if positional and all(is_numeric(value) for value in positional):
        return call.tensor(Shape(list(positional)))
    return call.tensor(shape_of_data(positional[0])) if positional else call.tensor(Shape([Const(0)]))


def shape_of_data(value: Value, depth: int = 0) -> Shape:
    """The shape of nested lists, numbers and arrays."""
    value = resolve_setting(value) or value
    if isinstance(value, (Tensor, Unknown)):
        return shape_of(value)
    if is_numeric(value):
        return Shape(())
    if isinstance(value, Sequence) and depth < 5:
        inner = value.items[0] if value.items else value.element
        if inner is None:
            return Shape()
        length: Value = Symbol() if value.open else Const(len(value.items))
        return inserted(shape_of_data(inner, depth + 1), 0, length)
    return Shape()


def stretches_grid(call: Call) -> Value:
    """``meshgrid``: as many tensors as vectors."""
    given = call.arguments.positional
    vectors = (tensors(given[0]) if len(given) == 1 and isinstance(given[0], Sequence) else list(given)) or []
    shape = Shape([shape_of(value).size(0) if shape_of(value).rank == 1 else Symbol() for value in vectors])
    return Sequence("list", [call.tensor(Shape(shape.dims)) for _ in vectors], not vectors)


# --- neural ----------------------------------------------------------------------------------------------------------


def convolved(
    shape: Shape,
    channels: Value,
    spatial: int,
    kernel: list[int] | None,
    stride: list[int] | None,
    padding: list[int] | str | None,
    dilation: list[int] | None,
    transposed_by: list[int] | None = None,
) -> Shape:
    """The shape after a convolution over the last ``spatial`` axes; a size is a new symbol where it is not known.

    ``transposed_by`` is the output padding of a transposed convolution.
    """
    batched(shape, spatial + 2)
    if shape.rank not in (spatial + 1, spatial + 2):
        return Shape()
    changed = [
        _window(shape.size(i - spatial), i, kernel, stride, padding, dilation, transposed_by) for i in range(spatial)
    ]
    assert shape.dims is not None
    return Shape([*shape.dims[: len(shape.dims) - spatial - 1], channels, *changed])


def batched(shape: Shape, rank: int) -> None:
    """Take a tensor of unknown rank that a layer is given to have a batch axis."""
    if shape.rank is None:
        shape.fix_rank(rank)


def _window(
    size: Value,
    axis: int,
    kernel: list[int] | None,
    stride: list[int] | None,
    padding: list[int] | str | None,
    dilation: list[int] | None,
    transposed_by: list[int] | None = None,
) -> Value:
    if padding == "same":
        return size
    if kernel is None or stride is None or dilation is None or padding is None:
        return operation("//", size, Symbol())
    pad = 0 if isinstance(padding, str) else padding[axis]
    if min(kernel[axis], stride[axis], dilation[axis]) < 1:
        return Symbol()
    if transposed_by is not None:
        return unwindowed(size, kernel[axis], stride[axis], pad, dilation[axis], transposed_by[axis])
    return windows(size, kernel[axis], stride[axis], pad, dilation[axis])


def padding_of(value: Value | None, spatial: int) -> list[int] | str | None:
    """The padding of a convolution: numbers, ``same`` or ``valid``, None if it is not known."""
    known = resolve_setting(value)
    if isinstance(known, Const) and isinstance(known.value, str):
        return known.value
    return pair(value, spatial, 0)


def convolves(spatial: int, transposed: bool = False) -> Handler:
    """``conv1d`` to ``conv3d`` and their transposes, with the weight as an argument."""

    def handler(call: Call) -> Value:
        weight = call.get(1, "weight")
        kernels = shape_of(weight) if weight is not None else Shape()
        channels = kernels.size(1 if transposed else 0) if kernels.rank == spatial + 2 else Symbol()
        kernel = [integer(size) for size in kernels.dims[2:]] if kernels.dims is not None else [None]
        known = None if None in kernel or len(kernel) != spatial else [size for size in kernel if size is not None]
        stride = pair(call.get(3, "stride"), spatial, 1)
        padding = padding_of(call.get(4, "padding"), spatial)
        dilation = pair(call.get(7 if transposed else 5, "dilation"), spatial, 1)
        extra = pair(call.get(5, "output_padding"), spatial, 0) if transposed else None
        if transposed and extra is None:
            known = None
        shape = shape_of(operand(call))
        return call.tensor(convolved(shape, channels, spatial, known, stride, padding, dilation, extra))

    return handler


def pooled(shape: Shape, spatial: int, arguments: Call, first: int, average: bool) -> Shape:
    """The shape after a pooling whose kernel is the argument at ``first``."""
    batched(shape, spatial + 2)
    if shape.rank not in (spatial + 1, spatial + 2):
        return Shape()
    given = arguments.get(first, "kernel_size")
    kernel = pair(given, spatial, 1)
    stride_given = arguments.get(first + 1, "stride")
    if stride_given is None or (isinstance(stride_given, Const) and stride_given.value is None):
        stride_given = given
    stride = pair(stride_given, spatial, 1)
    padding = pair(arguments.get(first + 2, "padding"), spatial, 0)
    dilation = [1] * spatial if average else pair(arguments.get(first + 3, "dilation"), spatial, 1)
    assert shape.dims is not None
    front = shape.dims[: len(shape.dims) - spatial]
    whole = listed(given) or [given] * spatial
    back = [
        Const(1)
        if len(whole) == spatial and whole[i] is shape.dims[i - spatial]
        else _window(shape.dims[i - spatial], i, kernel, stride, padding, dilation)
        for i in range(spatial)
    ]
    return Shape([*front, *back])


def pools(spatial: int, average: bool = False) -> Handler:
    """``max_pool1d`` to ``avg_pool3d``."""

    def handler(call: Call) -> Value:
        return call.tensor(pooled(shape_of(operand(call)), spatial, call, 1, average))

    return handler


def adapted(shape: Shape, spatial: int, size: Value | None) -> Shape:
    """The shape after an adaptive pooling to ``size``."""
    batched(shape, spatial + 2)
    if shape.rank not in (spatial + 1, spatial + 2) or size is None:
        return Shape()
    items = listed(size) or [size] * spatial
    if len(items) != spatial:
        return Shape()
    assert shape.dims is not None
    front = shape.dims[: len(shape.dims) - spatial]
    back = shape.dims[len(shape.dims) - spatial :]
    kept = [old if isinstance(new, Const) and new.value is None else new for old, new in zip(back, items, strict=True)]
    return Shape([*front, *kept])


def adapts(spatial: int) -> Handler:
    """``adaptive_avg_pool2d`` and the like."""

    def handler(call: Call) -> Value:
        return call.tensor(adapted(shape_of(operand(call)), spatial, call.get(1, "output_size")))

    return handler


def maps_linearly(call: Call) -> Value:
    """``linear(input, weight)``: the last axis becomes as long as the weight has rows."""
    weight = call.get(1, "weight")
    rows = shape_of(weight).size(0) if weight is not None and shape_of(weight).rank == 2 else Symbol()
    return call.tensor(replaced(shape_of(operand(call)), -1, rows))


def embeds(call: Call) -> Value:
    """``embedding(input, weight)``: a new last axis."""
    weight = call.get(1, "weight")
    width = shape_of(weight).size(-1) if weight is not None else Symbol()
    return call.tensor(Extended(shape_of(operand(call)), width))


def one_hot(call: Call) -> Value:
    """``one_hot(x, num_classes)``: a new last axis."""
    classes = call.get(1, "num_classes") or Symbol()
    return call.tensor(Extended(shape_of(operand(call)), classes if is_numeric(classes) else Symbol()), integer=True)


def interpolated(shape: Shape, size: Value | None, scale: Value | None) -> Shape:
    """The shape after resizing the axes behind batch and channels."""
    if shape.dims is None or len(shape.dims) < 3:
        result = Shape()
        result.know(0, shape.size(0)) if shape.rank is None else None
        result.know(1, shape.size(1)) if shape.rank is None else None
        return result
    front, back = shape.dims[:2], shape.dims[2:]
    if size is not None and not (isinstance(size, Const) and size.value is None):
        items = listed(size) or ([size] * len(back) if is_numeric(size) else None)
        return (
            Shape([*front, *items])
            if items is not None and len(items) == len(back)
            else Shape([*front, *(Symbol() for _ in back)])
        )
    factor = scale if scale is not None and is_numeric(scale) else None
    by = evaluate(factor)
    if isinstance(by, float) and by != int(by):
        inverse = 1 / by if by > 0 else 0
        if inverse != int(inverse):
            return Shape([*front, *(Symbol() for _ in back)])
        return Shape([*front, *(operation("//", size, Const(int(inverse))) for size in back)])
    factor = Const(int(by)) if isinstance(by, float) else factor
    return Shape([*front, *(operation("*", size, factor) if factor is not None else Symbol() for size in back)])


def interpolates(call: Call) -> Value:
    """``interpolate``, ``upsample``."""
    return call.tensor(interpolated(shape_of(operand(call)), call.get(1, "size"), call.get(2, "scale_factor")))


def padded(shape: Shape, amounts: list[Value] | None) -> Shape:
    """The shape after padding, amounts from the last axis to the first."""
    if amounts is None or len(amounts) % 2:
        return Shape([*(Symbol() for _ in shape.dims)]) if shape.dims is not None else Shape()
    changed: dict[int, Callable[[Value], Value]] = {}
    for axis in range(len(amounts) // 2):
        total = operation("+", amounts[2 * axis], amounts[2 * axis + 1])
        if not (isinstance(total, Const) and total.value == 0):
            changed[-1 - axis] = lambda size, total=total: operation("+", size, total)  # type: ignore[misc]
    return Varied(shape, changed)


def pads(call: Call) -> Value:
    """``torch.nn.functional.pad``."""
    return call.tensor(padded(shape_of(operand(call)), listed(call.get(1, "pad"))))


def packs(call: Call) -> Value:
    """``pack_padded_sequence``: remembers the padded tensor and where its batch axis is."""
    value = operand(call)
    shape_of(value).fix_rank(3) if shape_of(value).rank is None else None
    first = call.get(2, "batch_first") or Const(False)
    content = call.tensor(Shape([Symbol(), shape_of(value).size(-1)]), value)
    attributes: dict[str, Value] = {"padded": value, "batch_first": first, "data": content}
    return Object(PACKED, "", call.arguments, attributes, origin=call.origin(value))


def unpacks(call: Call) -> Value:
    """``pad_packed_sequence``: the padded tensor and its lengths."""
    value = operand(call)
    first = flag(call.get(1, "batch_first"))
    lengths = call.tensor(Shape([Symbol()]), integer=True)
    if not (isinstance(value, Object) and value.path == PACKED) or first is None:
        return Sequence("tuple", [call.tensor(Shape()), lengths])
    padded_tensor = value.attributes.get("padded") or Unknown()
    before = flag(value.attributes.get("batch_first"))
    shape = shape_of(padded_tensor)
    if before is None or shape.rank != 3:
        return Sequence("tuple", [call.tensor(Shape()), lengths])
    result = shape if before == first else swapped(shape, 0, 1)
    lengths = call.tensor(Shape([result.size(0 if first else 1)]), integer=True)
    return Sequence("tuple", [call.tensor(result), lengths])


def pads_sequences(call: Call) -> Value:
    """``pad_sequence``: a batch of sequences of unknown length."""
    given = call.get(0, "sequences")
    known = tensors(given)
    size: Value = Symbol() if known is None else Const(len(known))
    element = known[0] if known else given.element if isinstance(given, Sequence) else None
    first = flag(call.get(1, "batch_first"))
    inner = shape_of(element) if element is not None else Shape()
    if inner.dims is None or not inner.dims or first is None:
        return call.tensor(Shape())
    lead = [size, Symbol()] if first else [Symbol(), size]
    return call.tensor(Shape([*lead, *inner.dims[1:]]))


def attends(call: Call) -> Value:
    """``scaled_dot_product_attention``: the shape of the queries, with the width of the values."""
    value = call.get(2, "value")
    width = shape_of(value).size(-1) if value is not None else Symbol()
    return call.tensor(replaced(shape_of(operand(call)), -1, width))


def shuffled_up(shape: Shape, factor: Value | None) -> Shape:
    """The shape after a pixel shuffle: channels become space."""
    if shape.dims is None or len(shape.dims) < 3 or factor is None or not is_numeric(factor):
        return Shape()
    channels, height, width = shape.dims[-3:]
    fewer = operation("//", channels, operation("*", factor, factor))
    return Shape([*shape.dims[:-3], fewer, operation("*", height, factor), operation("*", width, factor)])


def shuffles_up(call: Call) -> Value:
    """``pixel_shuffle``."""
    return call.tensor(shuffled_up(shape_of(operand(call)), call.get(1, "upscale_factor")))


def unfolds(call: Call) -> Value:
    """``x.unfold(dimension, size, step)`` puts windows into a new last axis; the functional form gives columns."""
    shape = shape_of(operand(call))
    if call.receiver is None:
        return call.tensor(Shape([shape.size(0), Symbol(), Symbol()]))
    axis, size = integer(call.get(0, "dimension")), call.get(1, "size")
    step = integer(call.get(2, "step"))
    width = integer(size)
    if axis is None or size is None or shape.dims is None:
        return call.tensor(Shape())
    if width is None or step is None or width < 1 or step < 1:
        return call.tensor(inserted(replaced(shape, axis, Symbol()), -1, size))
    return call.tensor(inserted(Varied(shape, {axis: lambda old: windows(old, width, step, 0)}), -1, size))


def differs(call: Call) -> Value:
    """``cdist``: all pairs of rows."""
    other = argument(call, 0, "x2")
    shape = shape_of(call.get(0, "x1") or operand(call))
    return call.tensor(None if other is None else replaced(shape, -1, shape_of(other).size(-2)))


def similarity(call: Call) -> Value:
    """``cosine_similarity(a, b, dim=1)``, ``pairwise_distance``: without the axis compared along."""
    axis = integer(call.get(2, "dim") or Const(1 if call.path.endswith("similarity") else -1))
    other = call.get(1, "x2")
    if axis is None or other is None:
        return call.tensor(Shape())
    return call.tensor(without(combined(call.get(0, "x1") or operand(call), other), axis))


def as_list(call: Call) -> Value:
    """``tolist()``: a list of unknown content."""
    return Sequence("list", [], True, Unknown(), origin=call.origin())


def as_size(call: Call) -> Value:
    """``torch.Size([…])`` is the tuple of its items."""
    given = call.get(0, "sizes")
    found = listed(given)
    return Sequence("tuple", [], True) if found is None else Sequence("tuple", found)


def is_tensor(call: Call) -> Value:
    """``torch.is_tensor``."""
    return Const(True) if isinstance(operand(call), Tensor) else Symbol()


# --- tables ----------------------------------------------------------------------------------------------------------

ELEMENTWISE = words(
    "abs absolute acos acosh angle arccos arcsin arctan asin asinh atan atanh bernoulli ceil celu clone "
    "copysign cos cosh cumprod cumsum deg2rad detach digamma dropout erf erfc erfinv exp exp2 expit expm1 "
    "fix flip fliplr flipud floor frac i0 lgamma log log10 log1p log2 log_softmax logcumsumexp logit "
    "nan_to_num neg negative positive rad2deg real imag reciprocal relu renorm roll rot90 round rsqrt "
    "selu sgn sigmoid sign sin sinc sinh softmax sqrt square tan tanh tril triu trunc masked_fill "
    "masked_scatter index_add index_copy index_fill index_put scatter scatter_add scatter_reduce "
    "clip_by_norm fill cumulative_trapezoid"
)
"""Names of functions and methods that keep the shape of their first tensor."""

ACTIVATIONS = words(
    "relu relu6 elu selu celu gelu silu mish leaky_relu prelu rrelu glu_ hardtanh hardswish hardsigmoid "
    "hardshrink softplus softsign softshrink tanhshrink threshold logsigmoid sigmoid tanh softmax softmin "
    "log_softmax gumbel_softmax dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout "
    "normalize layer_norm batch_norm instance_norm group_norm local_response_norm rms_norm"
)

COMPARISONS = words(
    "eq ne lt le gt ge isnan isinf isfinite logical_and logical_or logical_not logical_xor isclose isin "
    "greater less greater_equal less_equal not_equal equal_ bitwise_and bitwise_or bitwise_not "
    "bitwise_xor"
)

ARITHMETIC = words(
    "add sub subtract mul multiply div divide true_divide floor_divide remainder fmod pow atan2 lerp "
    "addcmul addcdiv hypot xlogy copysign float_power heaviside rsub logaddexp bitwise_left_shift"
)

REDUCTIONS = words(
    "sum mean prod std var norm logsumexp nansum nanmean all any amax amin count_nonzero quantile nanquantile median_"
)

CONVERSIONS = words(
    "contiguous detach clone requires_grad_ retain_grad double half bfloat16 long int short byte bool "
    "char cpu_ pin_memory_ type_as astype numpy squeeze_ share_memory_ as_subclass coalesce to_dense "
    "dequantize conj rename view_as_real_ asnumpy get"
)

CREATORS = ["zeros", "ones", "empty", "rand", "randn", "new_zeros", "new_ones", "new_empty", "new_tensor_", "normal_"]
LIKE = ["zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "randint_like"]

RANDOM = frozenset(words("rand randn randint randperm normal rand_like randn_like randint_like bernoulli multinomial"))
"""Functions of torch that draw from its global generator (their shapes are in the tables here)."""


def _common() -> dict[str, Handler]:
    """What functions of torch and methods of tensors have in common, by bare name."""
    table: dict[str, Handler] = dict.fromkeys(ELEMENTWISE, keeps)
    table.update(dict.fromkeys(COMPARISONS, keeps_integers))
    table.update(dict.fromkeys(ARITHMETIC, broadcasts))
    table.update(dict.fromkeys(REDUCTIONS, reduces))
    table.update(
        {
            "argmax": reduces_to_integers,
            "argmin": reduces_to_integers,
            "argsort": keeps_integers,
            "max": extremum,
            "min": extremum,
            "median": extremum_along,
            "mode": extremum_along,
            "kthvalue": extremum_along,
            "sort": ordered,
            "cummax": scanned,
            "cummin": scanned,
            "topk": top,
            "clamp": clamps,
            "clip": clamps,
            "clamp_max": clamps_above,
            "clamp_min": clamps_below,
            "minimum": bound_by_other,
            "maximum": bound_by_other,
            "fmin": bound_by_other,
            "fmax": bound_by_other,
            "reshape": views,
            "flatten": flattens,
            "ravel": flattens,
            "unflatten": unflattens,
            "permute": permutes,
            "transpose": transposes,
            "swapaxes": transposes,
            "swapdims": transposes,
            "t": transposes_matrix,
            "adjoint": lambda call: call.tensor(_matrices(shape_of(operand(call)))),
            "movedim": moves_axis,
            "moveaxis": moves_axis,
            "squeeze": squeezes,
            "unsqueeze": unsqueezes,
            "broadcast_to": expands,
            "tile": repeats,
            "repeat_interleave": repeats_elements,
            "chunk": chunks,
            "split": splits,
            "unbind": unbinds,
            "gather": gathers,
            "take_along_dim": gathers,
            "select": selects,
            "narrow": narrows,
            "index_select": selects_indices,
            "masked_select": vector,
            "nonzero": unknown_shape,
            "unique": unknown_shape,
            "bincount": vector,
            "where": takes_where,
            "matmul": multiplies,
            "mm": multiplies_matrices,
            "bmm": multiplies_batches,
            "mv": multiplies,
            "baddbmm": adds_product,
            "addmm": adds_product,
            "numel": count,
            "diagonal": unknown_shape,
            "diag": unknown_shape,
            "multinomial": unknown_shape,
            "inverse": keeps,
            "det": unknown_shape,
            "trace": scalar,
            "dot": scalar,
            "dist": scalar,
            "histc": vector,
            "cross": broadcasts,
            "allclose": nothing_known,
            "equal": nothing_known,
            "is_floating_point": nothing_known,
            "is_complex": nothing_known,
        }
    )
    return table


def _functions() -> dict[str, Handler]:
    table = {f"torch.{name}": handler for name, handler in _common().items()}
    table.update({f"torch.nn.functional.{name}": keeps for name in ACTIVATIONS})
    table.update({f"torch.special.{name}": keeps for name in ELEMENTWISE})
    table.update({f"torch.{name}": makes for name in ("zeros", "ones", "empty", "rand", "randn")})
    table.update({f"torch.{name}": keeps for name in LIKE})
    names = words("FloatTensor DoubleTensor HalfTensor LongTensor IntTensor ShortTensor ByteTensor BoolTensor")
    table.update({f"torch.{place}{name}": makes_typed for name in names for place in ("", "cuda.")})
    for letter, spatial in (("1d", 1), ("2d", 2), ("3d", 3)):
        for place in ("torch", "torch.nn.functional"):
            table[f"{place}.conv{letter}"] = convolves(spatial)
            table[f"{place}.conv_transpose{letter}"] = convolves(spatial, transposed=True)
            table[f"{place}.max_pool{letter}"] = pools(spatial)
            table[f"{place}.avg_pool{letter}"] = pools(spatial, average=True)
            table[f"{place}.adaptive_avg_pool{letter}"] = adapts(spatial)
            table[f"{place}.adaptive_max_pool{letter}"] = adapts(spatial)
    for name in ("pixel_shuffle", "cosine_similarity", "pairwise_distance", "pdist"):
        table[f"torch.nn.functional.{name}"] = table[f"torch.{name}"] = {
            "pixel_shuffle": shuffles_up,
            "pdist": vector,
        }.get(name, similarity)
    table.update(
        {
            "torch.Tensor": makes_typed,
            "torch.tensor": makes_from_data,
            "torch.as_tensor": makes_from_data,
            "torch.asarray": makes_from_data,
            "torch.from_numpy": makes_from_data,
            "torch.autograd.Variable": passes,
            "torch.nn.Parameter": passes,
            "torch.nn.parameter.Parameter": passes,
            "torch.nn.Buffer": passes,
            "torch.full": makes_filled,
            "torch.randint": makes_integers,
            "torch.randperm": makes_permutation,
            "torch.normal": unknown_shape,
            "torch.arange": makes_range,
            "torch.range": makes_range,
            "torch.linspace": makes_steps,
            "torch.logspace": makes_steps,
            "torch.eye": makes_identity,
            "torch.cat": concatenates,
            "torch.concat": concatenates,
            "torch.concatenate": concatenates,
            "torch.stack": stacks,
            "torch.hstack": unknown_shape,
            "torch.vstack": unknown_shape,
            "torch.dstack": unknown_shape,
            "torch.einsum": contracts,
            "torch.meshgrid": stretches_grid,
            "torch.cdist": differs,
            "torch.Size": as_size,
            "torch.is_tensor": is_tensor,
            "torch.std_mean": unknown_shape,
            "torch.var_mean": unknown_shape,
            "torch.linalg.norm": unknown_shape,
            "torch.linalg.inv": keeps,
            "torch.nn.functional.linear": maps_linearly,
            "torch.nn.functional.bilinear": unknown_shape,
            "torch.nn.functional.embedding": embeds,
            "torch.nn.functional.one_hot": one_hot,
            "torch.nn.functional.interpolate": interpolates,
            "torch.nn.functional.upsample": interpolates,
            "torch.nn.functional.pad": pads,
            "torch.nn.functional.unfold": unfolds,
            "torch.nn.functional.fold": unknown_shape,
            "torch.nn.functional.grid_sample": unknown_shape,
            "torch.nn.functional.affine_grid": unknown_shape,
            "torch.nn.functional.scaled_dot_product_attention": attends,
            "torch.nn.functional.relu_": keeps,
            "torch.nn.functional.leaky_relu_": keeps,
            "torch.nn.functional.glu": lambda call: call.tensor(
                Varied(shape_of(operand(call)), {integer(call.get(1, "dim")) or -1: _half})
            ),
            "torch.nn.utils.rnn.pack_padded_sequence": packs,
            "torch.nn.utils.rnn.pack_sequence": nothing_known,
            "torch.nn.utils.rnn.pad_packed_sequence": unpacks,
            "torch.nn.utils.rnn.pad_sequence": pads_sequences,
        }
    )
    return table


def _half(size: Value) -> Value:
    return operation("//", size, Const(2))


def _methods() -> dict[str, Handler]:
    table = _common()
    table.update(dict.fromkeys(CONVERSIONS, converts))
    table.update(dict.fromkeys(("to", "cuda", "cpu", "float", "type", "pin_memory", "copy", "npu", "xpu"), passes))
    table.update(dict.fromkeys(("new_zeros", "new_ones", "new_empty"), makes))
    table.update(
        {
            "view": views,
            "view_as": views_as,
            "reshape_as": views_as,
            "expand": expands,
            "expand_as": expands_as,
            "repeat": repeats,
            "size": sizes,
            "dim": rank,
            "ndimension": rank,
            "nelement": count,
            "item": number,
            "tolist": as_list,
            "new_full": makes_filled,
            "new_tensor": makes_from_data,
            "new": makes_typed,
            "unfold": unfolds,
            "element_size": nothing_known,
            "stride": nothing_known,
            "storage": nothing_known,
            "data_ptr": nothing_known,
            "get_device": nothing_known,
            "is_contiguous": nothing_known,
            "backward": nothing_known,
            "register_hook": nothing_known,
            "swapaxes": transposes,
        }
    )
    in_place = [name for name in (*ELEMENTWISE, *ARITHMETIC, *COMPARISONS) if not name.endswith("_")]
    table.update({f"{name}_": changes_in_place for name in in_place})
    for name in words(
        "zero copy normal uniform fill_diagonal random exponential bernoulli log_normal cauchy requires_grad_ "
        "set masked_fill index_add sigmoid detach"
    ):
        table[f"{name}_"] = changes_in_place
    table.update({"clamp_": clamps, "clip_": clamps, "clamp_max_": clamps_above, "clamp_min_": clamps_below})
    for name in ("squeeze", "unsqueeze", "transpose", "t", "swapaxes"):
        table[f"{name}_"] = table[name]
    table["requires_grad_"] = changes_in_place
    # the method's last part is the type it is converted to, so strings and lists keep these names for themselves
    for name in ("get", "index", "count", "pop", "copy_"):
        table.pop(name, None)
    table["copy_"] = changes_in_place
    return table


FUNCTIONS: dict[str, Handler] = _functions()
"""Functions of torch and torch.nn.functional that compute tensors, by canonical path."""

METHODS: dict[str, Handler] = _methods()
"""Methods of tensors by name."""

ATTRIBUTES: dict[str, Handler] = {
    "shape": shape_value,
    "ndim": rank,
    "T": transposed(reversed_axes),
    "mT": transposed(_matrices),
    "H": transposed(_matrices),
    "data": data,
    "real": data,
    "imag": data,
    "grad": part_by_name,
}
"""Attributes of tensors by name."""
