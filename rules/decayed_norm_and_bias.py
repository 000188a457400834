"""NN406: a weight decay that pulls on norm layers and biases too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.decay import Decay, decays
from nnlint.evidence.layers import layers_named
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.trace import Build, Run
from nnlint.symbolic.values import Const, Instance, Object, Value

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

NORMS = layers_named(
    "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm LayerNorm GroupNorm RMSNorm TransformerEncoderLayer "
    "TransformerDecoderLayer"
)
"""Layers that scale and shift what they have normalized, or hold such layers."""

SPLIT = (
    '[{{"params": [p for p in {0} if p.ndim > 1]}}, {{"params": [p for p in {0} if p.ndim <= 1], "weight_decay": 0.0}}]'
)


@rule(
    "NN406",
    severity=Severity.INFO,
    since="0.1.0",
    mentions=("optim",),
    requires=("weight_decay", "decay"),
    roots=("weight_decay", "Adam", "SGD", "RMSprop", "Adagrad"),
)
def decayed_norm_and_bias(trace: Trace) -> Iterator[Finding]:
    """A weight decay over all parameters of a model, its norm layers and biases among them.

    ## Why it matters
    Weight decay is there to keep a model from fitting noise with large weights. A bias fits no noise, and the scale of
    a norm layer has no reason to be near 0: 1 is where it starts. Decaying them regularizes nothing and pulls each
    layer towards giving out nothing at all; with a strong decay (AdamW's 0.01 to 0.1) that can be felt. Recipes for
    image models ("Bag of Tricks for Image Classification with Convolutional Neural Networks") and for transformers
    (Karpathy's minGPT and nanoGPT) decay the weights of linear and convolution layers only.

    ## Example
    ```python
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1)
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 1))
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-4)
    ```

    Norm layers and biases are just the parameters with one dimension.

    ## How it is confirmed
    It is not: it is advice, and what is decayed stands in the script.

    ## When it stays silent
    - The optimizer is given parameter groups, or parameters that were picked.
    - The model was not built in sight, or has no norm layer with a scale of its own.
    - The decay is 0, an option that is 0 by default, not known, or the optimizer's own default.
    """
    seen: set[int] = set()
    for run in trace.runs:
        for decay in decays(run):
            model = whole_model(decay.optimizer.arguments.get(0, "params"))
            norm = None if model is None else norm_inside(model, run)
            node = decay.build.place.node
            if norm is not None and id(node) not in seen:
                seen.add(id(node))
                yield describe(decay, norm)


def whole_model(parameters: Value | None) -> Instance | Object | None:
    """The model whose parameters these are, all of them, if it was built in sight."""
    origin = None if parameters is None else parameters.origin
    if origin is None or origin.op != ".parameters" or not origin.inputs:
        return None
    model = origin.inputs[0]
    return model if isinstance(model, (Instance, Object)) else None


def norm_inside(model: Instance | Object, run: Run) -> Build | None:
    """The first norm layer with a scale of its own that was built for a model."""
    return next((event for event in run.of(Build) if is_norm(event.value) and is_inside(event, model)), None)


def is_norm(layer: Value) -> bool:
    """Whether a layer is a norm with a scale and a shift."""
    if not isinstance(layer, Object) or layer.path not in NORMS:
        return False
    learned = (layer.arguments.get(None, "affine"), layer.arguments.get(None, "elementwise_affine"))
    return not any(isinstance(each, Const) and each.value is False for each in learned)


def is_inside(event: Build, model: Instance | Object) -> bool:
    """Whether a layer was built while the model was, or is one of the layers that it was built of."""
    if isinstance(model, Object):
        inside = any(child is event.value for child in model.children)
        return inside or any(
            is_inside(event, child) for child in model.children if isinstance(child, (Instance, Object))
        )
    built = model.origin
    return built is not None and any(site.place.node is built.node for site in event.context.calls)


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(decay: Decay, norm: Build) -> Finding:
    """The finding in words."""
    name = norm.value.name if isinstance(norm.value, Object) else "norm layer"
    return Finding(
        decay.build.place,
        f"the weight decay of {decay.words} pulls on norm layers and biases too",
        "that regularizes nothing, and pulls what the layers give out towards zero",
        "give the optimizer two groups, and parameters with one dimension a decay of 0",
        (Note(norm.place, f"a `{name}` of the model is built here"),),
        fix_of(decay),
        confidence=Confidence.HIGH,
    )


def fix_of(decay: Decay) -> Fix | None:
    """Split the parameters by their dimensions, where the call says ``model.parameters()``."""
    place = decay.build.place
    first = place.node.args[0].value if isinstance(place.node, cst.Call) and place.node.args else None
    if first is None:
        return None
    text = place.source.module.code_for_node(first)
    if not re.fullmatch(r"[\w.]+\.parameters\(\)", text):
        return None
    return Fix("decay the weights only", (Edit("replace", Place(place.source, first), SPLIT.format(text)),))
