"""The functions, methods and attributes of tensors, by name."""

from __future__ import annotations

from collections.abc import Callable

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.library.arguments import integer, listed, operand, words
from nnlint.symbolic.library.creation import (
    makes,
    makes_filled,
    makes_from_data,
    makes_identity,
    makes_integers,
    makes_permutation,
    makes_range,
    makes_steps,
    makes_typed,
    stretches_grid,
)
from nnlint.symbolic.library.elementwise import (
    bound_by_other,
    broadcasts,
    changes_in_place,
    clamps,
    clamps_above,
    clamps_below,
    converts,
    extremum,
    extremum_along,
    fills_masked,
    keeps,
    keeps_integers,
    ordered,
    passes,
    reduces,
    reduces_to_integers,
    scanned,
    top,
)
from nnlint.symbolic.library.neural import (
    adapts,
    attends,
    convolves,
    differs,
    embeds,
    interpolates,
    maps_linearly,
    one_hot,
    packs,
    pads,
    pads_sequences,
    pools,
    shuffles_up,
    similarity,
    unfolds,
    unpacks,
)
from nnlint.symbolic.library.products import (
    adds_product,
    contracts,
    multiplies,
    multiplies_batches,
    multiplies_matrices,
)
from nnlint.symbolic.library.rearranging import (
    chunks,
    concatenates,
    expands,
    expands_as,
    flattens,
    gathers,
    moves_axis,
    narrows,
    permutes,
    repeats,
    repeats_elements,
    reversed_axes,
    selects,
    selects_indices,
    splits,
    squeezes,
    stacks,
    takes_where,
    transposes,
    transposes_matrix,
    unbinds,
    unflattens,
    unsqueezes,
    vector,
    views,
    views_as,
)
from nnlint.symbolic.scalar import operation
from nnlint.symbolic.shapes import Varied, swapped
from nnlint.symbolic.sizes import product
from nnlint.symbolic.values import (
    Attribute,
    Const,
    Sequence,
    Shape,
    Symbol,
    Tensor,
    Unknown,
    Value,
    shape_of,
)

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
    "selu sgn sigmoid sign sin sinc sinh softmax sqrt square tan tanh tril triu trunc "
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
            "masked_fill": fills_masked,
            "masked_fill_": fills_masked,
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
        "set index_add sigmoid detach"
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
