"""Loss functions of torch, as functions and as criterion modules."""

from __future__ import annotations

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.trace import Loss
from nnlint.symbolic.values import Const, Object, Shape, Unknown, Value, resolve_setting, shape_of

CRITERIA: dict[str, str] = {
    "L1Loss": "l1_loss",
    "MSELoss": "mse_loss",
    "CrossEntropyLoss": "cross_entropy",
    "NLLLoss": "nll_loss",
    "NLLLoss2d": "nll_loss",
    "PoissonNLLLoss": "poisson_nll_loss",
    "GaussianNLLLoss": "gaussian_nll_loss",
    "KLDivLoss": "kl_div",
    "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "HingeEmbeddingLoss": "hinge_embedding_loss",
    "HuberLoss": "huber_loss",
    "SmoothL1Loss": "smooth_l1_loss",
    "SoftMarginLoss": "soft_margin_loss",
    "MultiLabelMarginLoss": "multilabel_margin_loss",
    "MultiLabelSoftMarginLoss": "multilabel_soft_margin_loss",
    "MultiMarginLoss": "multi_margin_loss",
    "MarginRankingLoss": "margin_ranking_loss",
    "CosineEmbeddingLoss": "cosine_embedding_loss",
    "TripletMarginLoss": "triplet_margin_loss",
    "TripletMarginWithDistanceLoss": "triplet_margin_with_distance_loss",
    "CTCLoss": "ctc_loss",
    "AdaptiveLogSoftmaxWithLoss": "adaptive_log_softmax_with_loss",
}
"""The function that a criterion of ``torch.nn`` calls, by the name of its class."""

KINDS: dict[str, str] = {f"torch.nn.{name}": "criterion" for name in CRITERIA}

ELEMENTWISE = frozenset(
    "l1_loss mse_loss poisson_nll_loss gaussian_nll_loss kl_div binary_cross_entropy binary_cross_entropy_with_logits "
    "huber_loss smooth_l1_loss soft_margin_loss".split()
)
"""Losses that compare element by element: unreduced, they have the shape of their input."""


def is_unreduced(reduction: Value | None) -> bool | None:
    """Whether ``reduction`` asks for one loss an element; None if it cannot be told."""
    resolved = resolve_setting(reduction)
    if resolved is None:
        return False
    return resolved.value == "none" if isinstance(resolved, Const) else None


def _loss(call: Call, function: str, reduction: Value | None, criterion: Object | None) -> Value:
    prediction = call.get(0, "input")
    unreduced = is_unreduced(reduction)
    shape = Shape(()) if unreduced is False else Shape()
    if unreduced and function in ELEMENTWISE and isinstance(prediction, Value):
        shape = shape_of(prediction) if isinstance(prediction, Unknown) or hasattr(prediction, "shape") else Shape()
    result = call.tensor(shape, loss=f"torch.nn.functional.{function}")
    call.emit(Loss, function=function, arguments=call.arguments, result=result, criterion=criterion)
    return result


def _function(name: str) -> Handler:
    def compute(call: Call) -> Value:
        reduction = call.get(None, "reduction")
        old = resolve_setting(call.get(None, "reduce"))
        if isinstance(old, Const) and old.value is False:
            reduction = Const("none")
        return _loss(call, name, reduction, None)

    return compute


def _criterion(name: str) -> Handler:
    def compute(call: Call) -> Value:
        criterion = call.receiver
        assert isinstance(criterion, Object)
        reduction = criterion.arguments.get(None, "reduction")
        old = resolve_setting(criterion.arguments.get(None, "reduce"))
        if isinstance(old, Const) and old.value is False:
            reduction = Const("none")
        return _loss(call, name, reduction, criterion)

    return compute


FUNCTIONS: dict[str, Handler] = {
    f"torch.nn.functional.{name}": _function(name) for name in {*CRITERIA.values()} - {"adaptive_log_softmax_with_loss"}
}
LAYERS: dict[str, Handler] = {f"torch.nn.{cls}": _criterion(name) for cls, name in CRITERIA.items()}
