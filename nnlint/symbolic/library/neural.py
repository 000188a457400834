"""Functions of torch.nn.functional that change shapes, and what the layers share with them."""

from __future__ import annotations

from collections.abc import Callable

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.library.arguments import argument, each, flag, integer, listed, operand, tensors
from nnlint.symbolic.library.elementwise import combined
from nnlint.symbolic.scalar import evaluate, is_numeric, operation
from nnlint.symbolic.shapes import Extended, Varied, inserted, replaced, swapped, without
from nnlint.symbolic.sizes import unwindowed, windows
from nnlint.symbolic.values import (
    Const,
    Object,
    Sequence,
    Shape,
    Symbol,
    Unknown,
    Value,
    resolve_setting,
    shape_of,
)

PACKED = "torch.nn.utils.rnn.PackedSequence"


def convolved(
    shape: Shape,
    channels: Value,
    spatial: int,
    kernel: list[Value] | None,
    stride: list[Value] | None,
    padding: list[Value] | str | None,
    dilation: list[Value] | None,
    transposed_by: list[Value] | None = None,
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
    kernel: list[Value] | None,
    stride: list[Value] | None,
    padding: list[Value] | str | None,
    dilation: list[Value] | None,
    transposed_by: list[Value] | None = None,
) -> Value:
    if padding == "same":
        return size
    if kernel is None or stride is None or dilation is None or padding is None:
        return operation("//", size, Symbol())
    pad = Const(0) if isinstance(padding, str) else padding[axis]
    if transposed_by is not None:
        return unwindowed(size, kernel[axis], stride[axis], pad, dilation[axis], transposed_by[axis])
    return windows(size, kernel[axis], stride[axis], pad, dilation[axis])


def padding_of(value: Value | None, spatial: int) -> list[Value] | str | None:
    """The padding of a convolution: numbers, ``same`` or ``valid``, None if it is not known."""
    known = resolve_setting(value)
    if isinstance(known, Const) and isinstance(known.value, str):
        return known.value
    return each(value, spatial, 0)


def convolves(spatial: int, transposed: bool = False) -> Handler:
    """``conv1d`` to ``conv3d`` and their transposes, with the weight as an argument."""

    def handler(call: Call) -> Value:
        weight = call.get(1, "weight")
        kernels = shape_of(weight) if weight is not None else Shape()
        channels = kernels.size(1 if transposed else 0) if kernels.rank == spatial + 2 else Symbol()
        known = list(kernels.dims[2:]) if kernels.dims is not None and kernels.rank == spatial + 2 else None
        stride = each(call.get(3, "stride"), spatial, 1)
        padding = padding_of(call.get(4, "padding"), spatial)
        dilation = each(call.get(7 if transposed else 5, "dilation"), spatial, 1)
        extra = each(call.get(5, "output_padding"), spatial, 0) if transposed else None
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
    kernel = each(given, spatial, 1)
    stride_given = arguments.get(first + 1, "stride")
    if stride_given is None or (isinstance(stride_given, Const) and stride_given.value is None):
        stride_given = given
    stride = each(stride_given, spatial, 1)
    padding = each(arguments.get(first + 2, "padding"), spatial, 0)
    dilation = each(None, spatial, 1) if average else each(arguments.get(first + 3, "dilation"), spatial, 1)
    assert shape.dims is not None
    front = shape.dims[: len(shape.dims) - spatial]
    back = [
        Const(1)
        if kernel is not None and kernel[i] is shape.dims[i - spatial]
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
    if isinstance(by, float) and by % 1 != 0:
        inverse = 1 / by if by > 0 else 0
        if inverse % 1 != 0 or inverse < 1:
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
    step = call.get(2, "step")
    if axis is None or size is None or step is None or not is_numeric(size) or shape.dims is None:
        return call.tensor(Shape())
    return call.tensor(inserted(Varied(shape, {axis: lambda old: windows(old, size, step, Const(0))}), -1, size))


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
