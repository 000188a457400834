"""NN402: a dropout that feeds a batch norm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.layers import ACTIVATING, ACTIVATIONS, BATCH_NORMS, POOLING, POOLS, Layers, Use, holds_whenever
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.values import Origin

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

FLATTEN = "torch.nn.Flatten"


@rule(
    "NN402",
    severity=Severity.INFO,
    since="0.1.0",
    mentions=("BatchNorm",),
    requires=("ropout",),
    roots=("BatchNorm", r"^bn", r"_bn", "norm"),
)
def dropout_before_batchnorm(trace: Trace) -> Iterator[Finding]:
    """A dropout that feeds a batch norm, whose running variance is then that of training alone.

    ## Why it matters
    Dropout with the share p makes the variance of what it lets through larger in training (by 1 / (1 - p) for values
    around zero), and leaves it alone in evaluation. Batch norm keeps the variance it sees in training and divides by it
    in evaluation, where it is not there: everything behind is scaled wrongly, but only once the model is evaluated. Li
    et al. ("Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift") measured that
    the two together are often worse than either. Karpathy's recipe says the same in passing: add dropout sparingly and
    with care, since it does not seem to go well with batch normalization.

    ## Example
    ```python
    from torch import nn

    model = nn.Sequential(
        nn.Linear(784, 256),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.BatchNorm1d(256),
        nn.Linear(256, 10),
    )
    ```

    ## Use instead
    ```python
    from torch import nn

    model = nn.Sequential(
        nn.Linear(784, 256, bias=False),
        nn.BatchNorm1d(256),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(256, 10),
    )
    ```

    Behind the last batch norm a dropout does no such harm.

    ## How it is confirmed
    It has no experiment yet.

    ## When it stays silent
    - A layer with weights lies between the two: it sums over what was dropped, and the shift is smaller.
    - The norm is another one: layer, group and instance norm keep no variance.
    - The dropout comes behind the batch norm.
    - The share is 0, an option that is 0 by default, or not known.
    - What lies in front of the batch norm was dropped from in some runs only: the dropout is under an `if` in
      `forward`, or the batch norm is.
    """
    layers = Layers(trace)
    seen: set[int] = set()
    for norm in layers.uses:
        if norm.layer.path not in BATCH_NORMS:
            continue
        for source in layers.sources(norm, through=PASSED, calling=ACTIVATING | POOLING):
            share = layers.share_dropped(source)
            if share > 0 and is_fed_in_every_run(source, norm):
                place = place_of(source, layers)
                if id(place.node) not in seen:
                    seen.add(id(place.node))
                    yield describe(source, place, norm, layers, share)


PASSED = ACTIVATIONS | POOLS | {FLATTEN}
"""Layers that keep a larger variance larger."""


def is_fed_in_every_run(source: Use | Origin, norm: Use) -> bool:
    """Whether there is a batch norm wherever there is the dropout, as far as the branches of ``forward`` say."""
    return not isinstance(source, Use) or holds_whenever(norm.conditions, source.conditions)


def place_of(source: Use | Origin, layers: Layers) -> Place:
    """Where a dropout is: its call, or where it is built if it is called in its turn only."""
    if isinstance(source, Origin):
        return Place(source.source, source.node)
    built = layers.built.get(id(source.layer))
    return source.place if built is None or layers.is_called_alone(source) else built.place


def describe(source: Use | Origin, place: Place, norm: Use, layers: Layers, share: float) -> Finding:
    """The finding in words."""
    built = layers.built.get(id(norm.layer))
    notes = [] if built is None else [Note(built.place, "the batch norm is built here")]
    name = source.layer.name if isinstance(source, Use) else source.op.rpartition(".")[2]
    return Finding(
        place,
        f"this `{name}` (p = {share:g}) feeds a `{norm.layer.name}`",
        "dropout enlarges the variance in training only, and batch norm divides by it in evaluation all the same",
        "move the dropout behind the last batch norm, or leave it out",
        tuple(notes),
        confidence=Confidence.HIGH,
    )
