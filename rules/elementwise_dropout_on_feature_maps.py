"""NN403: dropout that drops single pixels of feature maps."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.layers import (
    ACTIVATING,
    ACTIVATIONS,
    BATCH_NORMS,
    POOLING,
    POOLS,
    Layers,
    Use,
    layers_named,
)
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.scalar import number
from nnlint.symbolic.values import Origin, Sequence, Value, resolve_setting, shape_of

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

CONVOLUTIONS = layers_named("Conv2d Conv3d ConvTranspose2d ConvTranspose3d")
ELEMENTWISE = ("torch.nn.Dropout", "torch.nn.functional.dropout")
PASSED = ACTIVATIONS | BATCH_NORMS | POOLS | layers_named("GroupNorm InstanceNorm2d InstanceNorm3d Upsample")
"""Layers that turn feature maps into feature maps."""

CALLED = ACTIVATING | POOLING | {"interpolate"}


WHOLE = 7
"""A kernel from this size on, far from the image, may be as large as the map."""


@rule(
    "NN403",
    severity=Severity.INFO,
    since="0.1.0",
    mentions=("ropout",),
    requires=("Conv2d", "Conv3d", "ConvTranspose"),
    roots=("ropout", "drop", "Conv"),
)
def elementwise_dropout_on_feature_maps(trace: Trace) -> Iterator[Finding]:
    """Dropout that drops single pixels of the feature maps between two convolutions, where channels are meant.

    ## Why it matters
    Neighbouring pixels of a feature map say nearly the same. If one of them is dropped, the next convolution reads what
    it said from those around it: little is regularized, and the effect is mostly that of a smaller learning rate.
    Dropping whole channels (`Dropout2d`) takes the information away. Karpathy's recipe says so in one word: "use
    dropout2d (spatial dropout) for ConvNets". The observation is that of Tompson et al., "Efficient Object Localization
    Using Convolutional Networks".

    ## Example
    ```python
    from torch import nn

    features = nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Conv2d(32, 64, 3),
    )
    ```

    ## Use instead
    ```python
    from torch import nn

    features = nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.ReLU(),
        nn.Dropout2d(0.25),
        nn.Conv2d(32, 64, 3),
    )
    ```

    A share that was right for pixels is often too much for channels: try a smaller one.

    ## How it is confirmed
    It has no experiment yet.

    ## When it stays silent
    - The maps are flattened, or averaged, before the dropout or behind it: there single features are dropped.
    - The convolution before or behind is 1 by 1: it is a linear layer for each pixel, as in the MLPs of transformers.
    - The next convolution has a kernel of 7 or more: it may take in the whole map, as a linear layer does.
    - A softmax lies between: attention maps are another thing.
    - The maps have one pixel, or are series (`Conv1d`).
    - The share is 0, an option that is 0 by default, or not known.
    """
    layers = Layers(trace)
    seen: set[int] = set()
    for convolution in layers.uses:
        if not is_spatial(convolution, below=WHOLE):
            continue
        for dropout in layers.sources(convolution, through=PASSED, calling=CALLED):
            if not is_elementwise(dropout, layers) or has_one_pixel(dropout):
                continue
            before = list(layers.sources(dropout, through=PASSED, calling=CALLED))
            place = place_of(dropout, layers)
            if id(place.node) not in seen and before and all(map(is_spatial, before)):
                seen.add(id(place.node))
                yield describe(dropout, place, convolution, layers)


def is_spatial(source: Use | Origin, below: float = inf) -> bool:
    """Whether this is a convolution that mixes neighbouring pixels, with a kernel that is smaller than ``below``."""
    if isinstance(source, Origin) or source.layer.path not in CONVOLUTIONS or source.layer.arguments.star:
        return False
    sizes = resolve_setting(source.layer.arguments.get(2, "kernel_size"))
    each: list[Value] = sizes.items if isinstance(sizes, Sequence) else [] if sizes is None else [sizes]
    return any(1 < (number(resolve_setting(size)) or 1) < below for size in each)


def is_elementwise(source: Use | Origin, layers: Layers) -> bool:
    """Whether this is a dropout that drops elements, a known share of them."""
    path = source.layer.path if isinstance(source, Use) else source.op
    return path in ELEMENTWISE and layers.share_dropped(source) > 0


def has_one_pixel(dropout: Use | Origin) -> bool:
    """Whether the maps are known to be of one pixel, or to be no maps."""
    operand = dropout.operand if isinstance(dropout, Use) else dropout.inputs[0]
    dims = None if operand is None else shape_of(operand).dims
    return dims is not None and (len(dims) < 3 or any(number(size) == 1 for size in dims[-2:]))


def describe(dropout: Use | Origin, place: Place, convolution: Use, layers: Layers) -> Finding:
    """The finding in words."""
    name = "Dropout3d" if convolution.layer.name.endswith("3d") else "Dropout2d"
    function = isinstance(dropout, Origin)
    built = layers.built.get(id(convolution.layer))
    whole = f"functional.{name.lower()}" if function else name
    return Finding(
        place,
        f"this `{'dropout' if function else 'Dropout'}` drops single pixels of what goes into a "
        f"`{convolution.layer.name}`",
        "neighbouring pixels say nearly the same, so that hardly anything is dropped",
        f"drop whole channels with `{whole}`, and try a smaller share",
        () if built is None else (Note(built.place, "the next convolution is built here"),),
        fix_of(place, name),
        confidence=Confidence.HIGH,
    )


def place_of(dropout: Use | Origin, layers: Layers) -> Place:
    """Where a dropout is: the call of the function, or where the layer is built if this is its only use."""
    if isinstance(dropout, Origin):
        return Place(dropout.source, dropout.node)
    built = layers.built.get(id(dropout.layer))
    calls = {id(use.place.node) for use in layers.uses if use.layer is dropout.layer}
    return dropout.place if built is None or len(calls) > 1 else built.place


def fix_of(place: Place, name: str) -> Fix | None:
    """Build the other layer, if the name it has is the one of torch."""
    node = place.node
    func = node.func if isinstance(node, cst.Call) else None
    if not isinstance(func, cst.Attribute) or func.attr.value not in ("Dropout", "dropout"):
        return None
    other = name if func.attr.value == "Dropout" else name.lower()
    return Fix("drop whole channels", (Edit("replace", Place(place.source, func.attr), other),))
