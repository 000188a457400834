"""Tensor functions that keep the shape, bound the values or reduce axes."""

from __future__ import annotations

from nnlint.symbolic.call import Call
from nnlint.symbolic.library.arguments import argument, axes_of, constant, flag, integer, is_array, operand
from nnlint.symbolic.library.comparisons import bound_by
from nnlint.symbolic.scalar import is_numeric
from nnlint.symbolic.shapes import Varied, replaced, without
from nnlint.symbolic.sizes import broadcast, is_one
from nnlint.symbolic.trace import Clip
from nnlint.symbolic.values import (
    Attribute,
    Const,
    Library,
    Object,
    Sequence,
    Shape,
    Tensor,
    Unknown,
    Value,
    resolve_setting,
    shape_of,
)


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
        if len(one.dims) == len(other.dims) and not any(map(is_one, one.dims)):
            return one
        return Shape(broadcast(one.dims, other.dims))
    # the operand of unknown shape is taken to broadcast to the other, unless that has axes to be stretched
    if one.rank is None and other.rank is None:
        if isinstance(left, Tensor) or not isinstance(right, Tensor):
            return one if isinstance(left, (Tensor, Unknown)) else other
        return other
    known = one if one.rank is not None else other
    assert known.dims is not None
    if len(known.dims) < (2 if known is one else 3) or any(map(is_one, known.dims)):
        return Shape()
    return known


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


def fills_masked(call: Call) -> Value:
    """``masked_fill(mask, value)``: a bound where the mask tells what exceeds the value."""
    tensor, mask, value = operand(call), argument(call, 0, "mask"), argument(call, 1, "value")
    result = changes_in_place(call) if call.path.endswith("_") else keeps(call)
    if mask is not None and value is not None:
        note_choice(call, mask, value, tensor, result)
    return result


def note_choice(call: Call, test: Value, yes: Value, no: Value, result: Value) -> None:
    """Write a bound down if the choice of ``yes`` where ``test`` holds, and else ``no``, is one."""
    bound = bound_by(test, yes, no)
    if bound is not None:
        value, limit, above = bound
        lower, upper = (None, limit) if above else (limit, None)
        call.emit(Clip, operand=value, result=result, lower=lower, upper=upper, in_place=result is value)
