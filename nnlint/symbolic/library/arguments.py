"""The arguments of calls, as the tables of tensor functions read them."""

from __future__ import annotations

from nnlint.symbolic.call import Call
from nnlint.symbolic.scalar import evaluate, is_numeric
from nnlint.symbolic.values import (
    Attribute,
    Const,
    Sequence,
    Unknown,
    Value,
    resolve_setting,
    shape_of,
)


def words(text: str) -> tuple[str, ...]:
    """The names in a text."""
    return tuple(text.split())


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


def each(value: Value | None, count: int, default: int) -> list[Value] | None:
    """A size for each of ``count`` axes, from one number or a list; None if they are not known."""
    if value is None:
        return [Const(default)] * count
    items = listed(value)
    if items is None:
        return [resolve_setting(value) or value] * count if is_numeric(value) or isinstance(value, Unknown) else None
    return items * count if len(items) == 1 else items if len(items) == count else None


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
        if name in ("full", "full_like", "new_full", "new_tensor"):
            given = origin.inputs[1:]
            value = given[-1] if given else None
        elif name in ("*", "mul"):
            given = tuple(item for item in origin.inputs if not _is_ones(item))
            value = given[0] if len(given) == 1 else None
        elif name in CONSTANT_KEEPING:
            value = origin.inputs[0]
        else:
            return None
    return None


def _is_ones(value: Value) -> bool:
    """Whether a value is a tensor of ones."""
    return value.origin is not None and value.origin.op.rpartition(".")[2] in ("ones", "ones_like", "new_ones")


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
