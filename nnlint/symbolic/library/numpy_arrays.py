"""What the functions of numpy do to shapes; arrays share their methods with tensors."""

from __future__ import annotations

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.library.arguments import listed, operand, words
from nnlint.symbolic.library.creation import (
    makes,
    makes_filled,
    makes_from_data,
    makes_identity,
    makes_range,
    makes_steps,
    shape_of_data,
)
from nnlint.symbolic.library.elementwise import (
    bound_by_other,
    broadcasts,
    clamps,
    keeps,
    keeps_integers,
    reduces,
    reduces_to_integers,
)
from nnlint.symbolic.library.products import contracts, multiplies
from nnlint.symbolic.library.rearranging import (
    concatenates,
    expands,
    flattens,
    moves_axis,
    permutes,
    reshape,
    squeezes,
    stacks,
    transposes,
    unsqueezes,
)
from nnlint.symbolic.library.tensors import ELEMENTWISE, unknown_shape
from nnlint.symbolic.scalar import is_numeric
from nnlint.symbolic.values import Const, Sequence, Shape, Tensor, Unknown, Value


def reshapes(call: Call) -> Value:
    """``numpy.reshape(a, shape)``; another order than C's does not read the elements in the order torch would."""
    value = operand(call)
    order = call.get(2, "order")
    given = call.get(1, "shape") or call.get(1, "newshape")
    sizes = listed(given)
    if sizes is None and given is not None and is_numeric(given):
        sizes = [given]
    if order is not None and not (isinstance(order, Const) and order.value == "C"):
        return call.tensor(None if sizes is None else Shape(sizes))
    if not isinstance(value, (Tensor, Unknown)):
        value = Tensor(shape_of_data(value), origin=value.origin)
    return reshape(call, value, sizes)


def transposes_all(call: Call) -> Value:
    """``numpy.transpose(a, axes)``: all axes, in reverse without an order."""
    if call.get(1, "axes") is None:
        return transposes(call)
    return permutes(call)


def makes_random(call: Call) -> Value:
    """``numpy.random.rand(d0, d1, …)``."""
    return makes(call)


def makes_random_of_size(call: Call) -> Value:
    """``numpy.random.normal(…, size=…)``."""
    size = call.arguments.keywords.get("size")
    if size is None:
        size = next((value for value in call.arguments.positional if isinstance(value, Sequence)), None)
    if size is None:
        return call.tensor(Shape(()) if len(call.arguments.positional) < 2 else Shape())
    sizes = [size] if is_numeric(size) else listed(size)
    return call.tensor(None if sizes is None else Shape(sizes))


ARITHMETIC = words(
    "add subtract multiply divide true_divide floor_divide mod fmod power arctan2 hypot logical_and logical_or "
    "logical_xor equal not_equal less greater less_equal greater_equal isclose bitwise_and bitwise_or"
)
REDUCTIONS = words(
    "sum mean std var prod max min amax amin median average all any ptp nansum nanmean nanstd nanvar nanmax nanmin "
    "nanmedian percentile count_nonzero linalg.norm"
)
RANDOM = words("normal uniform standard_normal randint random random_sample choice beta binomial poisson exponential")

FUNCTIONS: dict[str, Handler] = {
    **{
        f"numpy.{name}": keeps for name in (*ELEMENTWISE, "absolute", "copy", "ascontiguousarray", "nan_to_num", "sort")
    },
    **{f"numpy.{name}": broadcasts for name in ARITHMETIC},
    **{f"numpy.{name}": reduces for name in REDUCTIONS},
    **{f"numpy.{name}": makes for name in ("zeros", "ones", "empty")},
    **{f"numpy.{name}": keeps for name in ("zeros_like", "ones_like", "empty_like", "full_like")},
    **{f"numpy.random.{name}": makes_random_of_size for name in RANDOM},
    "numpy.random.rand": makes_random,
    "numpy.random.randn": makes_random,
    "numpy.argmax": reduces_to_integers,
    "numpy.argmin": reduces_to_integers,
    "numpy.argsort": keeps_integers,
    "numpy.isnan": keeps_integers,
    "numpy.isinf": keeps_integers,
    "numpy.full": makes_filled,
    "numpy.array": makes_from_data,
    "numpy.asarray": makes_from_data,
    "numpy.arange": makes_range,
    "numpy.linspace": makes_steps,
    "numpy.eye": makes_identity,
    "numpy.identity": makes_identity,
    "numpy.reshape": reshapes,
    "numpy.ravel": flattens,
    "numpy.transpose": transposes_all,
    "numpy.swapaxes": transposes,
    "numpy.moveaxis": moves_axis,
    "numpy.expand_dims": unsqueezes,
    "numpy.squeeze": squeezes,
    "numpy.broadcast_to": expands,
    "numpy.concatenate": concatenates,
    "numpy.stack": stacks,
    "numpy.hstack": unknown_shape,
    "numpy.vstack": unknown_shape,
    "numpy.dstack": unknown_shape,
    "numpy.pad": unknown_shape,
    "numpy.tile": unknown_shape,
    "numpy.repeat": unknown_shape,
    "numpy.matmul": multiplies,
    "numpy.dot": multiplies,
    "numpy.einsum": contracts,
    "numpy.clip": clamps,
    "numpy.minimum": bound_by_other,
    "numpy.maximum": bound_by_other,
}
"""Functions of numpy that compute arrays, by canonical path."""
