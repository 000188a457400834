"""NN210: a loss of every prediction against every target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.at_the_loss import at_the_loss
from nnlint.evidence.loss_calls import ROOTS, loss_calls
from nnlint.evidence.objective import is_error
from nnlint.evidence.provenance import DIFFERENCE, ingredients, operands, operation_of, walk_back
from nnlint.evidence.severing import is_predicted
from nnlint.evidence.stretching import Stretched, stretched
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.trace import Backward, Event, Run
from nnlint.symbolic.values import Origin, Value

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

ELEMENTWISE = frozenset("mse_loss l1_loss smooth_l1_loss huber_loss poisson_nll_loss kl_div soft_margin_loss".split())
"""Losses that broadcast their arguments; the binary cross entropies raise an error."""

MENTIONS = (
    "mse_loss",
    "MSELoss",
    "l1_loss",
    "L1Loss",
    "huber_loss",
    "HuberLoss",
    "poisson_nll_loss",
    "PoissonNLLLoss",
    "soft_margin_loss",
    "SoftMarginLoss",
    ".backward(",
)

MOST = 100
"""Backpropagated losses of one run that are looked into."""


@rule("NN210", severity=Severity.ERROR, since="0.1.0", mentions=MENTIONS, roots=(*ROOTS, "^backward$"))
def broadcast_loss(trace: Trace) -> Iterator[Finding]:
    """Predictions of shape (N, 1) against targets of shape (N,): every prediction is compared with every target.

    ## Why it matters
    Elementwise losses broadcast. A column of N predictions and a row of N targets give a matrix of N times N
    differences, and its mean is lowest where every prediction is the mean of all targets: the model learns that and
    nothing else, with a loss that falls and then stands still at the variance of the targets. PyTorch only warns of
    it, once, and for `((pred - y) ** 2).mean()` not even that. The recipe names the twin of this mistake, `view` where
    `transpose` was meant, as the kind of bug that fails silently; an input-independent baseline finds both.

    ## Example
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.sum(1)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(100):
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## Use instead
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.sum(1)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(100):
        loss = torch.nn.functional.mse_loss(model(x).squeeze(1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## How it is confirmed
    By broadcasting: the script is run as far as the loss, and the shapes of both sides are looked at. Confirmed, if
    they give a larger one, and are the same once the fix is applied; refuted, if they are the same as it is. It
    abstains where the shapes hang on data that are not there.

    ## When it stays silent
    - The prediction is squeezed, or the target unsqueezed, anywhere on the way.
    - The shape of either is not known, or the batches may hold one example.
    - All pairs are meant: a difference written by hand of two tensors neither of which is computed by a layer.
    """
    seen: set[int] = set()
    for pair in (*pairs_of_losses(trace), *(pair for run in trace.runs for pair in pairs_by_hand(run))):
        found = stretched(pair.left, pair.right)
        if found is not None and id(pair.place.node) not in seen:
            seen.add(id(pair.place.node))
            yield describe(pair, found)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two values that are compared element by element, where they are written, and the event that leads there."""

    run: Run
    event: Event
    place: Place
    left: Value
    right: Value
    left_place: Place | None
    right_place: Place | None
    name: str


def pairs_of_losses(trace: Trace) -> Iterator[Pair]:
    """What is given to the elementwise losses."""
    for call in loss_calls(trace, ELEMENTWISE):
        if call.target is not None:
            places = call.argument(0, "input"), call.argument(1, "target")
            yield Pair(call.run, call.event, call.place, call.prediction, call.target, *places, call.name)


def pairs_by_hand(run: Run) -> Iterator[Pair]:
    """What is subtracted in errors that are backpropagated: of a prediction and something else."""
    for event in islice(run.of(Backward), MOST):
        for part in walk_back(event.loss, ingredients):
            origin = difference_in(part.value) if is_error(part.value) else None
            both = None if origin is None else operands(origin)
            if origin is None or both is None or is_predicted(both[0]) == is_predicted(both[1]):
                continue
            node = origin.node
            left = right = None
            if isinstance(node, cst.BinaryOperation):
                left, right = Place(origin.source, node.left), Place(origin.source, node.right)
            yield Pair(run, event, Place(origin.source, node), *both, left, right, "the difference")


def difference_in(value: Value) -> Origin | None:
    """The difference that an error is computed of."""
    for _ in range(6):
        origin = value.origin
        if origin is None or not origin.inputs:
            return None
        if operation_of(origin) in DIFFERENCE:
            return origin
        value = origin.inputs[0]
    return None


def describe(pair: Pair, found: Stretched) -> Finding:
    """The finding in words."""
    left, right = (found.longer, found.shorter) if found.first else (found.shorter, found.longer)
    name = f"`{pair.name}`" if pair.name != "the difference" else pair.name
    notes = []
    for value, shape in ((pair.left, left), (pair.right, right)):
        if value.origin is not None and value.origin.node is not pair.place.node:
            notes.append(Note(Place(value.origin.source, value.origin.node), f"this has shape {shape}"))
    mend = fix(pair, found)
    places = {"left": pair.left_place, "right": pair.right_place}
    return Finding(
        pair.place,
        f"{name} of shapes {left} and {right} is one of shape {found.result}",
        "every prediction is compared with every target, so that the best the model can learn is their mean",
        f"bring both to one shape: squeeze the one of shape {found.longer}, or unsqueeze the other",
        tuple(notes),
        mend,
        None,
        Confidence.HIGH,
        at_the_loss(
            "broadcasting",
            pair.run,
            pair.event,
            pair.place,
            {side: place for side, place in places.items() if place is not None},
            {},
            mended=mend is not None,
        )
        if all(places.values())
        else None,
    )


def fix(pair: Pair, found: Stretched) -> Fix | None:
    """Take the axis of size 1 away."""
    place = pair.left_place if found.first else pair.right_place
    if place is None or not isinstance(place.node, cst.BaseExpression):
        return None
    text = " ".join(place.source.module.code_for_node(place.node).split())
    if not isinstance(place.node, cst.Name | cst.Attribute | cst.Call | cst.Subscript) and not place.node.lpar:
        text = f"({text})"
    axis = "1" if found.longer.count(",") > 1 else "-1"
    return Fix("squeeze it", (Edit("replace", place, f"{text}.squeeze({axis})"),))
