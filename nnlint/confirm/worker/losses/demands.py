"""What an operation of torch demands of operands that nobody has given: their shapes and what they hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .supply import Supply


@dataclass(frozen=True)
class Demand:
    """The shape of a tensor, and its ``kind``.

    ``free`` may be of any size; ``share`` lies in [0, 1], and ``presumed`` may, as what it is compared with does;
    ``positive`` lies above 0; ``ones`` are neutral factors; ``logs`` and ``shares`` are (logarithms of) distributions
    over the last axis; ``classes`` are numbers below ``classes``, ``flags`` true or false. ``number`` and ``size`` are
    no tensors.
    """

    shape: tuple[int, ...]
    kind: str = "free"
    classes: int = 0


OPEN = object()
"""Stands among the operands for one that is still to be supplied."""

NUMBER = Demand((), "number")
SIZE = Demand((), "size")

_LOGARITHMS = frozenset("log log2 log10 log1p sqrt rsqrt".split())
_FACTORS = frozenset("mul multiply div divide truediv true_divide rmul rtruediv imul itruediv mul_ div_ rdiv".split())
ARITHMETIC = _FACTORS | frozenset("add radd iadd sub rsub isub pow rpow subtract".split())
_PRODUCTS = frozenset("matmul mm bmm rmatmul".split())
_BOUNDS = frozenset("clamp clip clamp_ clip_ clamp_max clamp_min clamp_max_ clamp_min_".split())
_COMPARISONS = frozenset("gt lt ge le".split())
_SIZES = frozenset(
    "empty zeros ones full rand randn arange view reshape expand repeat new_zeros new_ones randint randperm eye "
    "linspace getitem unsqueeze squeeze permute transpose flatten narrow topk interpolate upsample adaptive_avg_pool2d "
    "pad max_pool2d avg_pool2d".split()
)

_SAME_VALUES = re.compile(
    r"(Unsafe)?View|Reshape|Squeeze|Unsqueeze|Select|Slice|Permute|Transpose|TBackward|Expand|Clone|ToCopy"
)
_SHARES = re.compile(r"Sigmoid|Softmax")
"""Operations, as torch names them in a graph, that keep values as they are, and that give values in [0, 1]."""


def demanded(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], supply: Supply) -> dict[object, Demand | None]:
    """What a function demands of its operands, by position and keyword; None where nothing is known of one.

    Args:
        name: the bare name of the function.
        args: the operands by position, :data:`OPEN` for those that are still to be supplied.
        kwargs: the operands by keyword.
        supply: where the sizes come from that nothing tells.
    """
    given: dict[object, Any] = dict(enumerate(args))
    given.update(kwargs)
    wanted = [where for where, value in given.items() if value is OPEN or isinstance(value, list)]
    rule = _RULES.get(name)
    found: dict[object, Demand | None] = {}
    if rule is not None:
        found = {where: demand for where, demand in rule(given, supply).items() if demand is not None}
    for where in wanted:
        if where not in found:
            found[where] = _otherwise(name, where, given, supply)
    return found


def _otherwise(name: str, where: object, given: Mapping[object, Any], supply: Supply) -> Demand | None:
    if name in _BOUNDS and where != 0:
        return NUMBER
    if name in _COMPARISONS and where != 0:
        return NUMBER
    if name in _SIZES and (where != 0 or not _has_tensor(given)):
        return NUMBER if name == "full" and where in (1, "fill_value") else SIZE
    model = _largest(given)
    if name in _LOGARITHMS:
        return Demand(supply.shape, "positive")
    if model is None:
        if name in _FACTORS and where == 1:
            return Demand(supply.shape, "ones")
        return None
    if model.dim() == 0:
        return NUMBER if name in _FACTORS or name in ("pow", "rpow") else Demand(())
    if name in ("pow", "rpow"):
        return NUMBER if where == 1 else None
    batched = model.shape[0] in (supply.batch, 1) or model.numel() >= supply.batch
    if name in _FACTORS:
        return Demand(tuple(model.shape), "ones") if batched else None
    if name in _PRODUCTS:
        return _factor(where, model, supply)
    if name in ("eq", "ne") and not model.is_floating_point():
        return Demand(tuple(model.shape), "classes", supply.class_count)
    return Demand(tuple(model.shape), _beside(model)) if batched else None


def _beside(value: Any) -> str:
    """What is compared with a tensor: shares, presumably, if that is what the tensor holds by its last operation."""
    node = getattr(value, "grad_fn", None)
    while node is not None and _SAME_VALUES.match(node.name()):
        node = node.next_functions[0][0]
    return "presumed" if node is not None and _SHARES.match(node.name()) else "free"


def _factor(where: object, model: Any, supply: Supply) -> Demand:
    if where == 0:
        rows = supply.shape[:-1] or (supply.batch,)
        return Demand((*rows, model.shape[-2 if model.dim() > 1 else -1]))
    return Demand((*model.shape[:-2], model.shape[-1], supply.class_count))


def _has_tensor(given: Mapping[object, Any]) -> bool:
    return _largest(given) is not None


def _largest(given: Mapping[object, Any]) -> Any:
    """The largest tensor among the operands, None if there is none."""
    import torch

    found: list[Any] = []
    for value in given.values():
        found += [each for each in (value if isinstance(value, (list, tuple)) else [value]) if torch.is_tensor(each)]
    return max(found, key=lambda each: each.numel(), default=None)


# --- functions that say more ----------------------------------------------------------------------------------------

_Given = Mapping[object, Any]


def _at(given: _Given, number: int, name: str) -> tuple[object, Any]:
    where: object = name if name in given else number
    return where, given.get(where)


def _linear(given: _Given, supply: Supply) -> dict[object, Demand | None]:
    where, value = _at(given, 0, "input")
    of, weight = _at(given, 1, "weight")
    rows = supply.shape[:-1] or (supply.batch,)
    width = weight.shape[1] if hasattr(weight, "shape") else supply.class_count
    if hasattr(value, "shape"):
        width = value.shape[-1]
    return {where: Demand((*rows, width)), of: Demand((supply.class_count, width))}


def _convolution(given: _Given, supply: Supply) -> dict[object, Demand | None]:
    _, weight = _at(given, 1, "weight")
    groups = given.get("groups", given.get(6, 1))
    places = weight.dim() - 2
    shape = (supply.batch, weight.shape[1] * int(groups), *([supply.side] * places))
    return {"input" if "input" in given else 0: Demand(shape)}


def _transposed(given: _Given, supply: Supply) -> dict[object, Demand | None]:
    _, weight = _at(given, 1, "weight")
    return {0: Demand((supply.batch, weight.shape[0], *([supply.side // 4 or 1] * (weight.dim() - 2))))}


def _embedding(given: _Given, supply: Supply) -> dict[object, Demand | None]:
    _, weight = _at(given, 1, "weight")
    return {"input" if "input" in given else 0: Demand((supply.batch, supply.steps), "classes", weight.shape[0])}


def _by_class(given: _Given, supply: Supply) -> dict[object, Demand | None]:
    """cross_entropy and nll_loss: scores (N, C, …) and classes (N, …)."""
    where, scores = _at(given, 0, "input")
    of, classes = _at(given, 1, "target")
    shape = tuple(getattr(scores, "shape", ()))
    if not shape:
        rest = tuple(getattr(classes, "shape", ())) or (supply.batch, *supply.shape[2:])
        shape = (rest[0], supply.class_count, *rest[1:])
    count = shape[1] if len(shape) > 1 else shape[0]
    of_targets = (shape[0], *shape[2:]) if len(shape) > 1 else ()
    return {where: Demand(shape), of: Demand(of_targets, "classes", count)}


def _pair(kind: str, of_target: str) -> Callable[..., dict[object, Demand | None]]:
    """A loss of two tensors of one shape."""

    def rule(given: _Given, supply: Supply) -> dict[object, Demand | None]:
        where, value = _at(given, 0, "input")
        of, target = _at(given, 1, "target")
        known = next((tuple(each.shape) for each in (value, target) if hasattr(each, "shape")), supply.shape)
        beside = _beside(value) if of_target == "free" else of_target
        return {where: Demand(known, kind), of: Demand(known, beside)}

    return rule


def _gather(given: _Given, supply: Supply) -> dict[object, Demand | None]:
    where, value = _at(given, 0, "input")
    _, dim = _at(given, 1, "dim")
    of, index = _at(given, 2, "index")
    dim = dim if type(dim) is int else 1
    if hasattr(value, "shape"):
        shape = list(value.shape)
    else:
        shape = list(index.shape) if hasattr(index, "shape") else [supply.batch, supply.class_count]
        shape[dim] = supply.class_count
    one = [*shape]
    one[dim] = 1
    return {where: Demand(tuple(shape)), of: Demand(tuple(one), "classes", shape[dim])}


def _where(given: _Given, supply: Supply) -> dict[object, Demand | None]:
    model = _largest(given)
    shape = supply.shape if model is None else tuple(model.shape)
    return {0: Demand(shape, "flags"), 1: Demand(shape), 2: Demand(shape)}


def _masked(given: _Given, supply: Supply) -> dict[object, Demand | None]:
    model = _largest(given)
    shape = supply.shape if model is None else tuple(model.shape)
    return {0: Demand(shape), 1: Demand(shape, "flags"), 2: NUMBER}


def _one_hot(given: _Given, supply: Supply) -> dict[object, Demand | None]:
    _, count = _at(given, 1, "num_classes")
    return {0: Demand((supply.batch,), "classes", count if type(count) is int else supply.class_count), 1: SIZE}


def _normed(given: _Given, supply: Supply) -> dict[object, Demand | None]:
    _, shape = _at(given, 1, "normalized_shape")
    return {0: Demand((*supply.shape[:-1], *shape))}


def _batch_normed(given: _Given, supply: Supply) -> dict[object, Demand | None]:
    channels = [value.shape[0] for key, value in given.items() if key != 0 and getattr(value, "ndim", 0) == 1]
    return {0: Demand((supply.batch, channels[0], *supply.shape[2:])) if channels else None}


_ELEMENTWISE = "mse_loss l1_loss smooth_l1_loss huber_loss cosine_similarity pairwise_distance poisson_nll_loss"
_RULES: dict[str, Callable[..., dict[object, Demand | None]]] = {
    "linear": _linear,
    "conv1d": _convolution,
    "conv2d": _convolution,
    "conv3d": _convolution,
    "conv_transpose1d": _transposed,
    "conv_transpose2d": _transposed,
    "conv_transpose3d": _transposed,
    "embedding": _embedding,
    "cross_entropy": _by_class,
    "nll_loss": _by_class,
    **{name: _pair("free", "free") for name in _ELEMENTWISE.split()},
    "binary_cross_entropy": _pair("share", "share"),
    "binary_cross_entropy_with_logits": _pair("free", "share"),
    "kl_div": _pair("logs", "shares"),
    "gather": _gather,
    "where": _where,
    "masked_fill": _masked,
    "masked_select": _masked,
    "one_hot": _one_hot,
    "layer_norm": _normed,
    "batch_norm": _batch_normed,
}
