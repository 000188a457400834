"""NN404: a bias that the batch norm behind it takes away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.layers import (
    BATCH_NORMS,
    MAPPING,
    Layers,
    Use,
    holds_whenever,
    is_bound_to,
    is_spelled_out,
)
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Build
from nnlint.symbolic.values import Object, same

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

BIAS = 7
"""Which argument of a convolution the bias is, counted from 0."""

PUBLISHED = re.compile(r"load_state_dict_from_url|model_zoo|hf_hub_download")
"""A file that loads weights others have published keeps the layers that these weights were trained with."""


@rule(
    "NN404",
    severity=Severity.INFO,
    since="0.1.0",
    mentions=("BatchNorm",),
    requires=("Conv", "Linear"),
    roots=("BatchNorm", r"^bn", r"_bn", "norm"),
)
def bias_before_batchnorm(trace: Trace) -> Iterator[Finding]:
    """A convolution or linear layer with a bias right before a batch norm, which takes the bias away.

    ## Why it matters
    Batch norm subtracts from every channel the mean over the batch. A bias is the same number for all examples, so it
    is in the mean and goes with it: whatever its value, what comes out is the same, and its gradient is zero but for
    rounding. Batch norm has a shift of its own that does the work. Nothing is learned wrongly; the parameters are idle,
    cost memory and a little time, and the optimizer's weight decay and statistics deal with noise. It is also a sign of
    code put together without looking at what each part does, which is what Karpathy's recipe warns of.

    ## Example
    ```python
    from torch import nn

    block = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
    )
    ```

    ## Use instead
    ```python
    from torch import nn

    block = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
    )
    ```

    Weights that were saved before have the bias still: they load with `strict=False`.

    ## How it is confirmed
    By moving the bias. The module in whose class the layer is built is run on inputs that it accepts, with batch norm
    as in training: once as it is, once with noise on the layer's bias, and once with noise on its weights instead. It
    is confirmed if the outputs change with the weights and not with the bias. It is refuted if they change with the
    bias, since something else uses it. It stays inconclusive where the module cannot be built or run, or hides what the
    layer does. A layer that is built outside of a class has no experiment yet.

    ## When it stays silent
    - Something lies between the two: an activation, a dropout, a sum with a shortcut.
    - `bias` is passed on from a variable, or given as `bias=not use_bn`.
    - The batch norm is there in some runs only: under an `if`, by an argument, or as `norm_layer` of the caller.
    - The norm is another one (instance, layer, group), which takes away less.
    - A linear layer whose features are not what the batch norm counts as channels: (N, L, C) in `BatchNorm1d(L)`.
    - What the layer computes is also used elsewhere, or the layer has other uses, without a batch norm.
    - The file loads published weights, which were trained with the bias.
    """
    if PUBLISHED.search(trace.source.text):
        return
    layers = Layers(trace)
    uses: dict[int, list[Use]] = {}
    for use in layers.uses:
        origin = use.layer.origin
        if use.layer.path in MAPPING and origin is not None:
            uses.setdefault(id(origin.node), []).append(use)
    for group in uses.values():
        if all(is_cancelled(use, layers) for use in group):
            yield describe(group[0], layers)


def is_cancelled(use: Use, layers: Layers) -> bool:
    """Whether a batch norm takes away the bias of a layer in this use, and does so in every run."""
    if len(use.after) != 1 or use.shared:
        return False
    norm = use.after[0]
    before, after = layers.built.get(id(use.layer)), layers.built.get(id(norm.layer))
    return (
        norm.layer.path in BATCH_NORMS
        and before is not None
        and after is not None
        and has_bias(use.layer, before.place.node)
        and (use.layer.name != "Linear" or is_per_feature(before, after))
        and holds_whenever(norm.conditions, use.conditions)
        and holds_whenever(after.context.conditions, before.context.conditions)
        and is_spelled_out(after.place)
        and is_bound_to(after.place, before.place)
        and is_bound_to(norm.place, use.place)
    )


def has_bias(layer: Object, node: cst.CSTNode) -> bool:
    """Whether a layer has a bias because nobody said otherwise, or said so in as many words."""
    if layer.arguments.star or not isinstance(node, cst.Call):
        return False
    position = 2 if layer.name == "Linear" else BIAS
    bias = layer.arguments.get(position, "bias")
    if bias is None:
        return not any(arg.star for arg in node.args)
    written = argument(node, position, "bias")
    return isinstance(written, cst.Name) and written.value == "True"


def argument(call: cst.CSTNode, position: int, name: str) -> cst.BaseExpression | None:
    """The expression that a call gives for a parameter, None if it gives none."""
    given = enumerate(call.args) if isinstance(call, cst.Call) else ()
    found = (arg.value for index, arg in given if (arg.keyword.value == name if arg.keyword else index == position))
    return next(found, None)


def is_per_feature(linear: Build, norm: Build) -> bool:
    """Whether a batch norm behind a linear layer takes the mean of each of its features."""
    features = linear.value.arguments.get(1, "out_features")
    channels = norm.value.arguments.get(0, "num_features")
    if features is None or channels is None:
        return False
    if same(features, channels) or (number(features) is not None and number(features) == number(channels)):
        return True
    written = argument(linear.place.node, 1, "out_features"), argument(norm.place.node, 0, "num_features")
    return written[0] is not None and written[1] is not None and written[0].deep_equals(written[1])


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(use: Use, layers: Layers) -> Finding:
    """The finding in words."""
    norm = use.after[0].layer
    before, after = layers.built[id(use.layer)].place, layers.built[id(norm)].place
    return Finding(
        before,
        f"this `{use.layer.name}` has a bias, which the `{norm.name}` behind it takes away",
        "batch norm subtracts the mean of every channel, and the bias with it: the parameters do nothing",
        "pass `bias=False`; batch norm has a shift of its own",
        (Note(after, "the batch norm is built here"),),
        fix_of(use.layer, before),
        confidence=Confidence.HIGH,
        experiment=experiment_on(before),
    )


def experiment_on(place: Place) -> Experiment | None:
    """Build and run the module in whose class the layer is built, and move the bias."""
    path = place.source.sites([place.node])[id(place.node)].path
    entry = next((node for node in path if isinstance(node, cst.ClassDef)), None)
    if entry is None:
        return None
    return Experiment("idle_bias", watches=(Watch("layer", place),), entry=Place(place.source, entry))


def fix_of(layer: Object, place: Place) -> Fix | None:
    """Build the layer without bias, unless the file does something with biases that may not be there then."""
    node, text = place.node, place.source.text
    if not isinstance(node, cst.Call) or ("bias is not None" not in text and re.search(r"\.bias\b", text)):
        return None
    given = argument(node, 2 if layer.name == "Linear" else BIAS, "bias")
    if given is not None:
        return Fix("build it without bias", (Edit("replace", Place(place.source, given), "False"),))
    call = place.source.module.code_for_node(node)
    if node.lpar or "\n" in call:
        return None
    arguments = call[:-1].rstrip().removesuffix(",")
    return Fix("build it without bias", (Edit("replace", place, f"{arguments}, bias=False)"),))
