"""NN206: gradients are cleared after they were computed and before they are used."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.gradients import function_of
from nnlint.evidence.protocol import protocol
from nnlint.evidence.updates import Update, clears, is_part_of, said, updates
from nnlint.rule import Edit, Finding, Fix, Note, rule
from nnlint.symbolic.trace import Backward, ZeroGrad

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

MOST = 50
"""Loops of one script that are judged."""


@rule(
    "NN206",
    severity=Severity.ERROR,
    since="0.1.0",
    mentions=("zero_grad",),
    requires=(".step(",),
    roots=("^zero_grad$",),
)
def discarded_gradients(trace: Trace) -> Iterator[Finding]:
    """Gradients that are cleared between `backward()` and `step()`: the step uses none.

    ## Why it matters
    `zero_grad()` throws away what `backward()` has just computed. A step without gradients moves nothing, or, with
    weight decay and momentum from elsewhere, moves the parameters where no example asked them to go. Nothing fails
    and nothing is learned: the loss stays what it is at initialization, which the recipe asks to verify at the very
    beginning for just this reason.

    ## Example
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.sum(1, keepdim=True)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(100):
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()
    ```

    ## Use instead
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.sum(1, keepdim=True)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(100):
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## How it is confirmed
    By protocol: a few iterations of the script's own loop are run, and it is written down what is in the gradients
    when the optimizer steps. Confirmed, if gradients were there before the clearing and no step uses them; refuted, if
    a step does. It abstains where no gradient was there to be cleared.

    ## When it stays silent
    - Between the clearing and the step gradients are computed again, or set by hand (`p.grad = …`).
    - Another optimizer's or another model's gradients are cleared, or it cannot be told whose.
    - The clearing depends on a condition that the step does not depend on.
    - Learned are the gradients of something else, by `torch.autograd.grad`.
    """
    for update in islice(updates(trace), MOST):
        found = discarded(update)
        if found is not None:
            yield describe(update, *found)


def discarded(update: Update) -> tuple[Backward, ZeroGrad] | None:
    """The gradients that are thrown away before the step could use them, and where."""
    before = update.events[: update.position]
    at = max((number for number, event in enumerate(before) if isinstance(event, Backward)), default=None)
    if at is None:
        return None
    backward = before[at]
    assert isinstance(backward, Backward)
    given = update.inner_conditions(update.step)
    for event in before[at + 1 :]:
        if (
            isinstance(event, ZeroGrad)
            and clears(event, update.optimizer)
            and is_part_of(update.inner_conditions(event), given)
        ):
            return None if update.sets_gradients_by_hand else (backward, event)
    return None


def describe(update: Update, backward: Backward, clearing: ZeroGrad) -> Finding:
    """The finding in words."""
    name = said(update.optimizer, update.step) or "optimizer"
    return Finding(
        clearing.place,
        f"the gradients of `{name}` are cleared after `backward()` and before `step()`",
        "the step finds no gradients, so that nothing is learned",
        "clear them before `backward()`, or after the step",
        (
            Note(backward.place, "they are computed here"),
            Note(update.step.place, "this step would have used them"),
        ),
        fix(update, backward, clearing),
        None if update.is_known else Severity.WARNING,
        Confidence.HIGH if update.is_known else Confidence.MEDIUM,
        protocol(update.run, "discarded-gradients", accused=clearing.place, around=clearing),
    )


def fix(update: Update, backward: Backward, clearing: ZeroGrad) -> Fix | None:
    """Clear the gradients before they are computed."""
    first = update.backward
    if function_of(first) is not function_of(clearing) or first.place.source is not clearing.place.source:
        return None
    away = Edit("delete", clearing.place)
    earlier = update.events[: update.events.index(first)]
    if any(isinstance(event, ZeroGrad) and clears(event, update.optimizer) for event in earlier):
        return Fix("clear the gradients once", (away,))
    node = clearing.place.node
    if not isinstance(node, cst.Call) or update.inner_conditions(first) or update.inner_conditions(clearing):
        return None
    text = clearing.place.source.module.code_for_node(node)
    return Fix("clear the gradients before they are computed", (Edit("before", first.place, text), away))
