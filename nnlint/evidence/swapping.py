"""Losses that are given the target first and the prediction second."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nnlint.diagnostic import Confidence
from nnlint.evidence.loss_calls import LossCall
from nnlint.evidence.ranges import range_of
from nnlint.evidence.severing import is_data, is_predicted, value_of_batch
from nnlint.symbolic.values import Tensor, Unknown, Value

ORDERED = frozenset(
    "cross_entropy nll_loss binary_cross_entropy binary_cross_entropy_with_logits kl_div poisson_nll_loss "
    "multilabel_soft_margin_loss soft_margin_loss multi_margin_loss multilabel_margin_loss hinge_embedding_loss".split()
)
"""Losses that are another one with their arguments exchanged."""

TARGET = re.compile(
    r"(^|_)(targets?|labels?|lbls?|gts?|ground_?truths?|truths?|y_?true|y_?real|y_?gt|annotations?)(_(batch|\d+|t))?$",
    re.IGNORECASE,
)
PREDICTION = re.compile(
    r"(^|_)(preds?|predictions?|predicted|outputs?|outs?|logits?|y_?pred|y_?hats?|probs?|scores?|log_?probs?)"
    r"(_(batch|\d+|t))?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, eq=False)
class Swap:
    """How it is known that the arguments of a loss are exchanged."""

    confidence: Confidence
    words: str
    """What the first argument is."""


def swap_of(call: LossCall) -> Swap | None:
    """How the arguments of a loss are known to be exchanged; None if they are not, or nobody can tell."""
    first, second = call.prediction, call.target
    if second is None or call.function not in ORDERED:
        return None
    if call.function == "kl_div":
        return _swapped_logarithms(call, first, second)
    if is_data(first) and not is_data(second) and is_predicted(second):
        return Swap(Confidence.HIGH, "the target")
    if _is_given(first) and _is_given(second):
        names = _name(first), _name(second)
        if TARGET.search(names[0]) and PREDICTION.search(names[1]) and not PREDICTION.search(names[0]):
            return Swap(Confidence.LOW, f"`{names[0]}`")
    return None


def _swapped_logarithms(call: LossCall, first: Value, second: Value) -> Swap | None:
    """A divergence is known by what it is given: the first argument must be logarithms; either may be the target."""
    conditions = call.event.context.conditions
    given, other = range_of(first, conditions), range_of(second, conditions)
    if given is None or other is None or call.option("log_target") is not None:
        return None
    if given.scale == "probabilities" and other.scale == "log-probabilities":
        return Swap(Confidence.HIGH, "the probabilities")
    return None


def _is_given(value: Value) -> bool:
    """Whether a value comes from a caller nobody knows."""
    if not isinstance(value, Unknown) or value_of_batch(value):
        return False
    return value.origin is None or value.origin.op == "parameter"


def _name(value: Value) -> str:
    return value.name if isinstance(value, (Tensor, Unknown)) else ""
