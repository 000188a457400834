"""NN308: gradients of several batches are added up for one step, and not averaged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.leaves import leaves
from nnlint.evidence.protocol import protocol
from nnlint.evidence.provenance import SUM, operation_of
from nnlint.evidence.reductions import reduction_of
from nnlint.evidence.updates import Update, clears, said, updates
from nnlint.experiment import Watch
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Backward, ClipGradients, Condition, Loss, ZeroGrad
from nnlint.symbolic.values import Index, Object, Operation, Unknown, Value

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

MOST = 50
"""Loops of one script that are judged."""

SCALE_FREE = frozenset(
    "Adam AdamW NAdam RAdam Adamax Adagrad Adadelta RMSprop Rprop SparseAdam Adafactor Muon Lion FusedAdam".split()
)
"""Optimizers that divide by the size of the gradients: to them a sum is as good as an average."""

AVERAGING = re.compile(
    r"^(cross_entropy|nll_loss|mse_loss|l1_loss|smooth_l1_loss|huber_loss|binary_cross_entropy(_with_logits)?|"
    r"CrossEntropyLoss|NLLLoss|MSELoss|L1Loss|SmoothL1Loss|HuberLoss|BCELoss|BCEWithLogitsLoss)$"
)
"""Losses that are averages over the batch unless they are told otherwise."""


@rule(
    "NN308",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=(".backward(",),
    requires=("%",),
    roots=("^backward$",),
)
def unscaled_accumulation(trace: Trace) -> Iterator[Finding]:
    """Gradients of several batches that are added up for one step without being averaged.

    ## Why it matters
    Gradients are accumulated to have the step of a larger batch in less memory. A loss is an average over its batch,
    and the gradient of the large batch is the average of those of the small ones, not their sum: without the division
    a step over n batches is n times too long, and the learning rate means something else whenever n is changed. Adam
    and its like divide by the size of the gradient and do not notice; SGD does, and so does every clipping by norm.

    ## Example
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.sum(1, keepdim=True)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(64):
        rows = slice(4 * step, 4 * step + 4)
        loss = torch.nn.functional.mse_loss(model(x[rows]), y[rows])
        loss.backward()
        if (step + 1) % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
    ```

    ## Use instead
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.sum(1, keepdim=True)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(64):
        rows = slice(4 * step, 4 * step + 4)
        loss = torch.nn.functional.mse_loss(model(x[rows]), y[rows])
        (loss / 4).backward()
        if (step + 1) % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
    ```

    ## How it is confirmed
    By protocol: a few iterations of the script's own loop are run, and it is written down how many backward passes
    each step uses, what share of the loss goes backward each time, and what the gradients are multiplied with before
    the step. Confirmed, if several whole losses are added up; refuted, if each is divided by their number, or each
    step uses a single one. It abstains where it is something in between.

    ## When it stays silent
    - The loss is divided or multiplied by anything, or summed over the examples (`reduction="sum"`).
    - The gradients are divided by hand, or a framework accumulates (`accelerator.accumulate`, Lightning).
    - The optimizer does not notice (Adam and its like) and nothing clips the gradients.
    - The number of batches is 1 by default.
    """
    for update in islice(updates(trace), MOST):
        found = accumulation(update)
        if found is not None:
            yield describe(update, found)


@dataclass(frozen=True, slots=True, eq=False)
class Accumulation:
    """Several backward passes for a step: how many, what says so, and the losses that go backward whole."""

    backward: Backward
    passes: int
    condition: Condition
    losses: tuple[Loss, ...]


def accumulation(update: Update) -> Accumulation | None:
    """The gradients that are added up and not averaged; None if there are none."""
    optimizer = update.optimizer
    if update.loop is None or not isinstance(optimizer, Object):
        return None
    if optimizer.name in SCALE_FREE and not any(isinstance(event, ClipGradients) for event in update.events):
        return None
    backwards = [event for event in update.events if isinstance(event, Backward)]
    steps = [(condition, every(condition)) for condition in update.inner_conditions(update.step)]
    counted = [(condition, passes) for condition, passes in steps if passes is not None]
    if len(counted) != 1 or len(backwards) != 1 or update.inner_conditions(backwards[0]):
        return None
    condition, passes = counted[0]
    clearings = [event for event in update.events if isinstance(event, ZeroGrad)]
    if not any(clears(event, optimizer) for event in clearings) or any(
        not update.inner_conditions(event) for event in clearings
    ):
        return None
    if update.sets_gradients_by_hand or "accumulate(" in update.text:
        return None
    losses = whole_losses(backwards[0].loss, update)
    return Accumulation(backwards[0], passes, condition, losses) if passes > 1 and losses else None


def every(condition: Condition) -> int | None:
    """The number n of a condition that holds in every n-th round: ``(i + 1) % n == 0``."""
    test, outcome = condition.test, condition.outcome
    if isinstance(test, Operation) and test.op == "not":
        test, outcome = test.args[0], not outcome
    if isinstance(test, Operation) and test.op in ("==", "!=") and len(test.args) == 2:
        if (test.op == "==") != outcome or number(test.args[1]) is None:
            return None
        test, outcome = test.args[0], False
    if outcome or not isinstance(test, Operation) or test.op != "%":
        return None
    counts = any(isinstance(leaf, Index) for leaf in leaves(test.args[0]))
    found = number(test.args[1])
    return int(found) if counts and found is not None and found == int(found) else None


def whole_losses(value: Value, update: Update) -> tuple[Loss, ...]:
    """The averaging losses that a value is, or is the plain sum of; none if anything else is done to one."""
    origin = value.origin
    losses = [event for event in update.events if isinstance(event, Loss) and event.result is value]
    if losses:
        return (losses[0],) if averages(losses[0]) else ()
    if origin is None or not origin.inputs:
        return ()
    operation = operation_of(origin)
    if operation in SUM and len(origin.inputs) == 2:
        parts = [whole_losses(each, update) for each in origin.inputs]
        return tuple(loss for part in parts for loss in part) if all(parts) else ()
    if is_scaling(value):
        return whole_losses(origin.inputs[0], update)
    return ()


def is_scaling(value: Value) -> bool:
    """Whether a value is what a gradient scaler makes of a loss."""
    node = value.origin.node if value.origin is not None else None
    return (
        isinstance(value, Unknown)
        and isinstance(node, cst.Call)
        and isinstance(node.func, cst.Attribute)
        and node.func.attr.value == "scale"
    )


def averages(loss: Loss) -> bool:
    """Whether a loss is an average over the batch."""
    return AVERAGING.search(loss.function.rpartition(".")[2]) is not None and reduction_of(loss) == "mean"


def describe(update: Update, found: Accumulation) -> Finding:
    """The finding in words."""
    name = said(update.optimizer, update.step) or "optimizer"
    notes = [
        Note(Place(loss.place.source, loss.place.node), "the loss of one batch, an average") for loss in found.losses
    ]
    notes.append(Note(update.step.place, f"a step after every {found.passes} batches"))
    clips = any(isinstance(event, ClipGradients) for event in update.events)
    felt = "every clipping of them is too strong" if clips else "every step is that many times too long"
    return Finding(
        found.backward.place,
        f"the gradients of {found.passes} batches are summed for each step of `{name}`, not averaged",
        f"they are {found.passes} times those of one large batch, and {felt}",
        f"divide the loss by {found.passes} before `backward()`",
        tuple(notes),
        fix(found),
        None,
        Confidence.HIGH,
        protocol(
            update.run,
            "summed-accumulation",
            accused=found.backward.place,
            around=found.backward,
            watches=tuple(Watch("loss", loss.place) for loss in found.losses),
            settings={"batches": 2 * found.passes + 1, "passes": found.passes},
        ),
    )


def fix(found: Accumulation) -> Fix | None:
    """Divide the loss where it goes backward."""
    call = found.backward.place.node
    if not isinstance(call, cst.Call) or not isinstance(call.func, cst.Attribute) or len(found.losses) != 1:
        return None
    loss: cst.BaseExpression = call.func.value
    if is_scaling(found.backward.loss) and isinstance(loss, cst.Call) and loss.args:
        loss = loss.args[0].value
    if not isinstance(loss, cst.Name):
        return None
    text = f"{loss.value} / {found.passes}"
    replaced = text if loss is not call.func.value else f"({text})"
    return Fix("average the gradients", (Edit("replace", Place(found.backward.place.source, loss), replaced),))
