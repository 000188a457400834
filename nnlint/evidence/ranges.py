"""What the numbers of a tensor stand for: probabilities, their logarithms, or the raw outputs of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from nnlint.evidence.provenance import operation_of
from nnlint.rule import Place
from nnlint.symbolic.scalar import number, truth_by_default
from nnlint.symbolic.trace import Condition
from nnlint.symbolic.values import Choice, Object, Origin, Tensor, Unknown, Value, same
from nnlint.symbolic.values import Sequence as Items

Scale = Literal["probabilities", "log-probabilities", "logits"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SOFTMAX = _words("softmax softmin Softmax Softmax2d Softmin")
SIGMOID = _words("sigmoid sigmoid_ expit Sigmoid hardsigmoid Hardsigmoid")
LOGARITHMIC = _words("log_softmax LogSoftmax logsigmoid LogSigmoid")
LINEAR = _words(
    "Linear LazyLinear Bilinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d linear bilinear "
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"
)
"""Layers whose outputs may be any number."""

KEPT = _words(
    "view reshape squeeze squeeze_ unsqueeze unsqueeze_ flatten ravel view_as reshape_as expand expand_as repeat "
    "contiguous clone to cuda cpu float double half bfloat16 type type_as transpose transpose_ permute t movedim "
    "moveaxis swapaxes index_select masked_select gather chunk split unbind getitem iterate Variable data detach "
    "Identity Flatten Unflatten requires_grad_ retain_grad narrow select"
)
"""Operations whose results are numbers of their first operand, in another order or elsewhere."""

AVERAGED = _words("mean amax amin interpolate upsample Upsample max min avg_pool2d max_pool2d adaptive_avg_pool2d")
"""Operations whose results lie between numbers of their first operand."""

CLAMPED = _words("clamp clamp_ clip clip_ clamp_min clamp_max clamp_min_ clamp_max_")

FARTHEST = 60
"""Operations that are walked back along."""


@dataclass(frozen=True, slots=True, eq=False)
class Range:
    """What a tensor holds, and the operation that makes it so."""

    scale: Scale
    origin: Origin
    by_default: bool = False
    """Whether that hangs on a setting having its default."""

    @property
    def sums_to_one(self) -> bool:
        """Whether the numbers are those of one distribution, not each one a probability by itself."""
        return self.name in SOFTMAX or self.name in ("log_softmax", "LogSoftmax")

    @property
    def name(self) -> str:
        """The bare name of the operation."""
        return operation_of(self.origin)

    @property
    def place(self) -> Place:
        """Where the operation stands: the call, or for a layer inside a Sequential where the layer is built."""
        layer = layer_of(self.origin)
        before = self.origin.inputs[0].origin if self.origin.inputs else None
        if layer is not None and layer.origin is not None and before is not None and before.node is self.origin.node:
            return Place(layer.origin.source, layer.origin.node)
        return Place(self.origin.source, self.origin.node)


def layer_of(origin: Origin) -> Object | None:
    """The layer that an operation was done by; None for a function or a method."""
    last = origin.inputs[-1] if len(origin.inputs) > 1 else None
    return last if isinstance(last, Object) and last.path == origin.op else None


def range_of(value: Value, conditions: Sequence[Condition] = ()) -> Range | None:
    """What a value holds, as far as every step back to where that was decided was followed; None if it is not known.

    Of a choice, the side that the conditions or the defaults of the settings choose; both, if they are alike.
    """
    return _range(value, tuple(conditions), FARTHEST)


def _range(value: Value, conditions: tuple[Condition, ...], left: int) -> Range | None:
    while left > 0:
        left -= 1
        if isinstance(value, Choice):
            return _chosen(value, conditions, left)
        if isinstance(value, Items):
            if value.kind != "tuple" or not value.items:
                return None
            value = value.items[0]
            continue
        origin = value.origin
        if not isinstance(value, (Tensor, Unknown)) or origin is None or not origin.inputs:
            return None
        op = operation_of(origin)
        scale = _scale(op)
        if scale is not None:
            return Range(scale, origin) if _is_of_tensors(origin) else None
        if op == "log":
            inner = _range(origin.inputs[0], conditions, left)
            logs = inner is not None and inner.scale == "probabilities"
            return replace(inner, scale="log-probabilities", origin=origin) if inner is not None and logs else None
        if op in ("cat", "stack", "concat"):
            return _joined(origin.inputs[0], conditions, left)
        if op in AVERAGED or (op in CLAMPED and _is_clamped_to_probabilities(origin)):
            inner = _range(origin.inputs[0], conditions, left)
            return inner if inner is not None and inner.scale == "probabilities" else None
        if op not in KEPT:
            return None
        value = origin.inputs[0]
    return None


def _scale(op: str) -> Scale | None:
    if op in SOFTMAX or op in SIGMOID:
        return "probabilities"
    if op in LOGARITHMIC:
        return "log-probabilities"
    return "logits" if op in LINEAR else None


def _is_of_tensors(origin: Origin) -> bool:
    """Whether an operation is torch's: ``net.softmax(x)`` and ``net.linear(x)`` of an unknown object are not."""
    if not origin.op.startswith("."):
        return True
    return operation_of(origin) not in LINEAR and not any(
        isinstance(each, (Tensor, Unknown)) for each in origin.inputs[1:]
    )


def _is_clamped_to_probabilities(origin: Origin) -> bool:
    """Whether all bounds that are given lie between 0 and 1."""
    bounds = [number(bound) for bound in origin.inputs[1:]]
    return bool(bounds) and all(bound is not None and 0 <= bound <= 1 for bound in bounds)


def _chosen(choice: Choice, conditions: tuple[Condition, ...], left: int) -> Range | None:
    test = choice.test
    if test is not None:
        for condition in conditions:
            if same(condition.test, test):
                return _range(choice.yes if condition.outcome else choice.no, conditions, left)
        outcome = truth_by_default(test)
        if outcome is not None:
            found = _range(choice.yes if outcome else choice.no, conditions, left)
            return None if found is None else replace(found, by_default=True)
    yes, no = _range(choice.yes, conditions, left), _range(choice.no, conditions, left)
    return yes if yes is not None and no is not None and yes.scale == no.scale else None


def _joined(value: Value, conditions: tuple[Condition, ...], left: int) -> Range | None:
    """What a list of tensors holds, if they all hold the same."""
    if not isinstance(value, Items) or not (value.items or value.element):
        return None
    parts = [*value.items[:8], *([value.element] if value.element is not None else [])]
    found = [_range(part, conditions, left // len(parts)) for part in parts]
    first = found[0]
    alike = first is not None and all(each is not None and each.scale == first.scale for each in found)
    return first if alike else None
