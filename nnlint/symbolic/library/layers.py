"""What calling a layer of torch.nn does to shapes."""

from __future__ import annotations

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.library.arguments import each, flag, integer, listed, operand, words
from nnlint.symbolic.library.neural import (
    PACKED,
    adapted,
    convolved,
    interpolated,
    padded,
    padding_of,
    pooled,
    shuffled_up,
)
from nnlint.symbolic.library.rearranging import flattened, unflattened
from nnlint.symbolic.scalar import evaluate, is_numeric, operation
from nnlint.symbolic.shapes import Extended, replaced
from nnlint.symbolic.sizes import broadcast
from nnlint.symbolic.values import (
    Arguments,
    Choice,
    Const,
    Object,
    Sequence,
    Shape,
    Symbol,
    Tensor,
    Unknown,
    Value,
    shape_of,
)


def built_with(call: Call, position: int | None, name: str) -> Value | None:
    """An argument of the layer's constructor."""
    receiver = call.receiver
    if not isinstance(receiver, Object):
        return None
    value = receiver.arguments.get(position, name)
    return None if isinstance(value, Const) and value.value is None else value


def given(call: Call) -> Value:
    """The tensor that the layer is called with."""
    for name in ("input", "x", "query", "src", "tgt", "hidden_states"):
        value = call.get(0, name)
        if value is not None:
            return value
    return Unknown()


def size_or_symbol(value: Value | None) -> Value:
    """A size that a constructor was given."""
    return value if value is not None and (is_numeric(value) or isinstance(value, (Choice, Unknown))) else Symbol()


def keeps(call: Call) -> Value:
    """Layers that keep the shape: activations, dropout, most norms."""
    value = given(call)
    result = call.tensor(shape_of(value), value, *([] if call.receiver is None else [call.receiver]))
    if isinstance(value, Tensor):
        result.integer = value.integer
    return result


def same_value(call: Call) -> Value:
    """``Identity``."""
    return given(call)


def maps_linearly(call: Call) -> Value:
    """``Linear``: the last axis becomes ``out_features`` long."""
    value = given(call)
    return call.tensor(replaced(shape_of(value), -1, size_or_symbol(built_with(call, 1, "out_features"))), value)


def maps_lazily(call: Call) -> Value:
    """``LazyLinear``."""
    value = given(call)
    return call.tensor(replaced(shape_of(value), -1, size_or_symbol(built_with(call, 0, "out_features"))), value)


def embeds(call: Call) -> Value:
    """``Embedding``: a new last axis."""
    value = given(call)
    return call.tensor(Extended(shape_of(value), size_or_symbol(built_with(call, 1, "embedding_dim"))), value)


def embeds_bags(call: Call) -> Value:
    """``EmbeddingBag``: one row for each bag."""
    value = given(call)
    width = size_or_symbol(built_with(call, 1, "embedding_dim"))
    shape = shape_of(value)
    return call.tensor(Shape([shape.size(0), width]) if shape.rank == 2 else Shape([Symbol(), width]), value)


def convolves(spatial: int, transposed: bool = False) -> Handler:
    """``Conv1d`` to ``Conv3d`` and their transposes."""

    def handler(call: Call) -> Value:
        value = given(call)
        channels = size_or_symbol(built_with(call, 1, "out_channels"))
        kernel_given = built_with(call, 2, "kernel_size")
        kernel = None if kernel_given is None else each(kernel_given, spatial, 1)
        stride = each(built_with(call, 3, "stride"), spatial, 1)
        padding = padding_of(built_with(call, 4, "padding"), spatial)
        dilation = each(built_with(call, 8 if transposed else 5, "dilation"), spatial, 1)
        extra = each(built_with(call, 5, "output_padding"), spatial, 0) if transposed else None
        if transposed and extra is None:
            kernel = None
        return call.tensor(
            convolved(shape_of(value), channels, spatial, kernel, stride, padding, dilation, extra), value
        )

    return handler


def _constructor(call: Call) -> Call:
    """The call seen with the constructor's arguments in the place of its own."""
    receiver = call.receiver
    arguments = receiver.arguments if isinstance(receiver, Object) else Arguments()
    return Call(call.executor, call.source, call.node, call.path, receiver, arguments)


def pools(spatial: int, average: bool = False) -> Handler:
    """``MaxPool1d`` to ``AvgPool3d``."""

    def handler(call: Call) -> Value:
        value = given(call)
        result = call.tensor(pooled(shape_of(value), spatial, _constructor(call), 0, average), value)
        if flag(built_with(call, None, "return_indices")):
            return Sequence("tuple", [result, call.tensor(Shape(result.shape.dims), value, integer=True)])
        return result

    return handler


def adapts(spatial: int) -> Handler:
    """``AdaptiveAvgPool1d`` to ``AdaptiveMaxPool3d``."""

    def handler(call: Call) -> Value:
        value = given(call)
        return call.tensor(adapted(shape_of(value), spatial, built_with(call, 0, "output_size")), value)

    return handler


def flattens(call: Call) -> Value:
    """``Flatten``: all but the batch axis unless told otherwise."""
    value = given(call)
    start = integer(built_with(call, 0, "start_dim") or Const(1))
    end = integer(built_with(call, 1, "end_dim") or Const(-1))
    return call.tensor(flattened(shape_of(value), start, end), value)


def unflattens(call: Call) -> Value:
    """``Unflatten(dim, sizes)``."""
    value = given(call)
    sizes = listed(built_with(call, 1, "unflattened_size"))
    return call.tensor(unflattened(shape_of(value), integer(built_with(call, 0, "dim")), sizes), value)


def upsamples(call: Call) -> Value:
    """``Upsample``."""
    value = given(call)
    size, scale = built_with(call, 0, "size"), built_with(call, 1, "scale_factor")
    return call.tensor(interpolated(shape_of(value), size, scale), value)


def shuffles_up(call: Call) -> Value:
    """``PixelShuffle``."""
    value = given(call)
    return call.tensor(shuffled_up(shape_of(value), built_with(call, 0, "upscale_factor")), value)


def pads(spatial: int) -> Handler:
    """``ZeroPad2d``, ``ReflectionPad1d`` and so on."""

    def handler(call: Call) -> Value:
        value = given(call)
        padding = built_with(call, 0, "padding")
        amounts = listed(padding)
        if amounts is None and padding is not None and is_numeric(padding):
            amounts = [padding] * (2 * spatial)
        return call.tensor(padded(shape_of(value), amounts), value)

    return handler


def halves(call: Call) -> Value:
    """``GLU``."""
    value = given(call)
    axis = integer(built_with(call, 0, "dim") or Const(-1))
    if axis is None:
        return call.tensor(Shape(), value)
    shape = shape_of(value)
    return call.tensor(replaced(shape, axis, operation("//", shape.size(axis), Const(2))), value)


def folds(call: Call) -> Value:
    """``Unfold`` and ``Fold``: batch stays, the rest is not known."""
    value = given(call)
    shape = shape_of(value)
    if call.path.endswith("Unfold"):
        return call.tensor(Shape([shape.size(0), Symbol(), Symbol()]), value)
    return call.tensor(Shape([shape.size(0), Symbol(), Symbol(), Symbol()]), value)


def bilinear(call: Call) -> Value:
    """``Bilinear``."""
    value = given(call)
    return call.tensor(replaced(shape_of(value), -1, size_or_symbol(built_with(call, 2, "out_features"))), value)


# --- recurrent -------------------------------------------------------------------------------------------------------


def directions(call: Call) -> Value:
    """1, or 2 where the layer is bidirectional; a choice while that is a setting."""
    value = built_with(call, 6, "bidirectional")
    known = evaluate(value) if isinstance(value, Const) else None
    if value is None or known is False:
        return Const(1)
    if known:
        return Const(2)
    return Choice(value, Const(2), Const(1))


def recurs(call: Call) -> Value:
    """``RNN``, ``GRU``, ``LSTM``: outputs and last states.

    Outputs have the input's layout; states are (layers · directions, batch, hidden) whatever ``batch_first`` says.
    Facts: the documentation of ``torch.nn.LSTM``.
    """
    value = given(call)
    hidden = size_or_symbol(built_with(call, 1, "hidden_size"))
    layers = built_with(call, 2, "num_layers") or Const(1)
    both = directions(call)
    first = flag(built_with(call, 4, "batch_first"))
    projected = built_with(call, 7, "proj_size")
    width = hidden
    if projected is not None and not (isinstance(projected, Const) and projected.value == 0):
        width = size_or_symbol(projected)
    packed = isinstance(value, Object) and value.path == PACKED
    content = value.attributes.get("padded") or Unknown() if isinstance(value, Object) and packed else value
    if isinstance(value, Object) and packed:
        first = flag(value.attributes.get("batch_first"))
    shape = shape_of(content)
    if shape.rank is None:
        shape.fix_rank(3)
    states = operation("*", layers, both)
    if shape.rank == 3 and first is not None:
        batch = [shape.size(0 if first else 1)]
    elif shape.rank == 2:
        batch = []
    else:
        batch = [Symbol()]
    output = call.tensor(replaced(shape, -1, operation("*", width, both)), value)
    result: Value = output
    if isinstance(value, Object) and packed:
        attributes = {**value.attributes, "padded": output}
        result = Object(PACKED, "", value.arguments, attributes, origin=call.origin(value))
    last = call.tensor(Shape([states, *batch, width]), value)
    if call.path.endswith("LSTM"):
        cell = call.tensor(Shape([states, *batch, hidden]), value)
        return Sequence("tuple", [result, Sequence("tuple", [last, cell])])
    return Sequence("tuple", [result, last])


def steps(call: Call) -> Value:
    """``RNNCell``, ``GRUCell``: the new hidden state."""
    value = given(call)
    return call.tensor(replaced(shape_of(value), -1, size_or_symbol(built_with(call, 1, "hidden_size"))), value)


def steps_long(call: Call) -> Value:
    """``LSTMCell``: the new hidden and cell states."""
    value = given(call)
    hidden = size_or_symbol(built_with(call, 1, "hidden_size"))
    shape = shape_of(value)
    return Sequence("tuple", [call.tensor(replaced(shape, -1, hidden), value) for _ in range(2)])


# --- attention -------------------------------------------------------------------------------------------------------


def attends(call: Call) -> Value:
    """``MultiheadAttention``: the shape of the query, and the weights."""
    query, key = given(call), call.get(1, "key")
    first = flag(built_with(call, 9, "batch_first"))
    shape = shape_of(query)
    if shape.rank is None:
        shape.fix_rank(3)
    output = call.tensor(shape)
    weights = Shape()
    if first is not None and shape.rank == 3 and key is not None:
        keys = shape_of(key)
        batch, length = (0, 1) if first else (1, 0)
        weights = Shape([shape.size(batch), shape.size(length), keys.size(length)])
    return Sequence("tuple", [output, call.tensor(weights)])


def transforms(call: Call) -> Value:
    """``TransformerEncoder``, ``TransformerDecoder`` and their layers: the shape of the first sequence."""
    value = given(call)
    return call.tensor(shape_of(value))


def translates(call: Call) -> Value:
    """``Transformer``: the shape of the target sequence."""
    target = call.get(1, "tgt")
    return call.tensor(None if target is None else shape_of(target))


# --- containers ------------------------------------------------------------------------------------------------------


def in_turn(call: Call) -> Value:
    """``Sequential``: its layers one after the other."""
    receiver = call.receiver
    value = given(call)
    if not isinstance(receiver, Object) or not receiver.children:
        return call.unknown()
    for child in receiver.children:
        value = call.call(child, value)
    return value


def wrapped(call: Call) -> Value:
    """``DataParallel`` and the like: what the module inside gives."""
    receiver = call.receiver
    if not isinstance(receiver, Object) or not receiver.children:
        return call.unknown()
    return call.executor.call(receiver.children[0], call.arguments, call.node)


def similarity(call: Call) -> Value:
    """``CosineSimilarity``, ``PairwiseDistance``."""
    one, other = shape_of(operand(call)), call.get(1, "x2")
    axis = integer(built_with(call, 0, "dim") or Const(1))
    if one.dims is None or other is None or shape_of(other).dims is None or axis is None:
        return call.tensor(Shape())
    dims = broadcast(one.dims, shape_of(other).dims or ())
    if not -len(dims) <= axis < len(dims):
        return call.tensor(Shape())
    return call.tensor(Shape([size for i, size in enumerate(dims) if i != axis % len(dims)]))


# --- tables ----------------------------------------------------------------------------------------------------------

ACTIVATIONS = words(
    "ReLU ReLU6 ELU SELU CELU GELU SiLU Mish LeakyReLU PReLU RReLU Hardtanh Hardswish Hardsigmoid "
    "Hardshrink Softplus Softsign Softshrink Tanh Tanhshrink Threshold LogSigmoid Sigmoid Softmax "
    "Softmax2d Softmin LogSoftmax"
)
DROPOUTS = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]
NORMS = words(
    "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d "
    "LayerNorm GroupNorm RMSNorm LocalResponseNorm CrossMapLRN2d LazyBatchNorm1d LazyBatchNorm2d "
    "LazyBatchNorm3d"
)
PADDINGS = ["ZeroPad", "ReflectionPad", "ReplicationPad", "ConstantPad", "CircularPad"]
CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
RECURRENT = ("RNN", "GRU", "LSTM")
CELLS = ("RNNCell", "GRUCell", "LSTMCell")
TRANSFORMERS = (
    "TransformerEncoder",
    "TransformerDecoder",
    "TransformerEncoderLayer",
    "TransformerDecoderLayer",
)


def _layers() -> dict[str, Handler]:
    table: dict[str, Handler] = dict.fromkeys((*ACTIVATIONS, *DROPOUTS, *NORMS, "ChannelShuffle"), keeps)
    for spatial, name in enumerate(CONVOLUTIONS):
        table[name] = convolves(spatial % 3 + 1, transposed=spatial >= 3)
    for spatial in (1, 2, 3):
        table[f"MaxPool{spatial}d"] = pools(spatial)
        table[f"AvgPool{spatial}d"] = pools(spatial, average=True)
        table[f"LPPool{spatial}d"] = _pools_by_norm(spatial)
        table[f"AdaptiveAvgPool{spatial}d"] = adapts(spatial)
        table[f"AdaptiveMaxPool{spatial}d"] = adapts(spatial)
        table.update({f"{name}{spatial}d": pads(spatial) for name in PADDINGS})
    table.update(dict.fromkeys(RECURRENT, recurs))
    table.update({"RNNCell": steps, "GRUCell": steps, "LSTMCell": steps_long})
    table.update(dict.fromkeys(TRANSFORMERS, transforms))
    table.update(
        {
            "Linear": maps_linearly,
            "LazyLinear": maps_lazily,
            "Bilinear": bilinear,
            "Embedding": embeds,
            "EmbeddingBag": embeds_bags,
            "Identity": same_value,
            "Flatten": flattens,
            "Unflatten": unflattens,
            "Upsample": upsamples,
            "UpsamplingNearest2d": upsamples,
            "UpsamplingBilinear2d": upsamples,
            "PixelShuffle": shuffles_up,
            "GLU": halves,
            "Fold": folds,
            "Unfold": folds,
            "MultiheadAttention": attends,
            "Transformer": translates,
            "Sequential": in_turn,
            "DataParallel": wrapped,
            "CosineSimilarity": similarity,
            "PairwiseDistance": similarity,
        }
    )
    layers = {f"torch.nn.{name}": handler for name, handler in table.items()}
    layers["torch.nn.parallel.DistributedDataParallel"] = wrapped
    layers["torch.nn.parallel.DataParallel"] = wrapped
    return layers


def _pools_by_norm(spatial: int) -> Handler:
    """``LPPool1d``, ``LPPool2d``: the kernel comes after the norm's exponent."""

    def handler(call: Call) -> Value:
        value = given(call)
        return call.tensor(pooled(shape_of(value), spatial, _constructor(call), 1, average=True), value)

    return handler


LAYERS: dict[str, Handler] = _layers()
"""What calling a layer gives, by the path of its class."""

MODULES: frozenset[str] = frozenset(LAYERS) | frozenset(
    f"torch.nn.{name}" for name in ("Module", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict")
)
"""The layer classes of torch.nn."""

PARAMETRIC: frozenset[str] = frozenset(
    f"torch.nn.{name}"
    for name in (
        *CONVOLUTIONS,
        *RECURRENT,
        *CELLS,
        *TRANSFORMERS,
        "Linear",
        "LazyLinear",
        "Bilinear",
        "Embedding",
        "EmbeddingBag",
        "MultiheadAttention",
        "Transformer",
        "LazyConv1d",
        "LazyConv2d",
        "LazyConv3d",
    )
)
"""The layer classes that draw random initial weights."""
