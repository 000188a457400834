"""NN205: gradients of earlier iterations are still there when the next ones are computed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.gradients import function_of
from nnlint.evidence.protocol import protocol
from nnlint.evidence.updates import Update, clears, said, updates
from nnlint.rule import Edit, Finding, Fix, Note, rule
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Backward, Build, ZeroGrad
from nnlint.symbolic.values import Loop, Unknown
from nnlint.symbolic.words import below

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

MOST = 50
"""Loops of one script that are judged."""


@rule(
    "NN205",
    severity=Severity.ERROR,
    since="0.1.0",
    mentions=(".backward(",),
    requires=(".step(",),
    roots=("^backward$",),
)
def missing_zero_grad(trace: Trace) -> Iterator[Finding]:
    """Gradients that are never cleared: every step uses those of all iterations before it.

    ## Why it matters
    `backward()` adds to what is in `.grad`. Where nothing clears it each step goes along the sum of all gradients
    since the beginning, those of weights long gone among them: a momentum of 1 that nobody asked for. The loss still
    falls for a while, which is what makes the mistake hard to see; then it swings or diverges. Karpathy lists it first
    among the most common mistakes with neural nets: "you forgot to `.zero_grad()` (in pytorch) before `.backward()`".

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
    By protocol: a few iterations of the script's own loop are run, and it is written down which backward passes the
    gradients come from that each step uses. Confirmed, if a gradient that one step has used is still in the next one's,
    and no longer is once the gradients are cleared after each step; refuted, if no gradient is used twice. It abstains
    where fewer than two steps are reached.

    ## When it stays silent
    - Gradients are accumulated on purpose: the step, or the clearing, depends on a condition.
    - They are cleared in any spelling: `optimizer.zero_grad()`, `model.zero_grad()`, `p.grad = None`,
      `p.grad.zero_()`, in a helper function, in the closure of an LBFGS step, at any place of the loop.
    - A file of the loop clears gradients at a place that could not be followed, or writes to `.grad` itself.
    - The optimizer or its model is built anew in each round, or there is one round only.
    - A framework does it (Lightning, transformers' Trainer, DeepSpeed).
    """
    for update in islice(updates(trace), MOST):
        if update.loop is not None and accumulates(update, update.loop):
            yield describe(update)


def accumulates(update: Update, loop: Loop) -> bool:
    """Whether nothing in the loop clears the gradients that its steps use."""
    if any(clears(event, update.optimizer) is not False for event in update.events if isinstance(event, ZeroGrad)):
        return False
    if update.sets_gradients_by_hand or update.has_unread_clearing or is_new(update, loop) or number(loop.count) == 1:
        return False
    outside = cleared_outside(update)
    if outside is not None:
        return loop.kind == Loop.BATCHES and not update.inner_conditions(update.step)
    return True


def cleared_outside(update: Update) -> ZeroGrad | None:
    """Where the gradients are cleared outside of the loop."""
    found = [
        event
        for event in update.run.of(ZeroGrad)
        if update.loop not in event.context.loops and clears(event, update.optimizer) is not False
    ]
    return found[0] if found else None


def is_new(update: Update, loop: Loop) -> bool:
    """Whether each round has an optimizer, or a model, of its own."""
    if any(isinstance(event, Build) and event.value is update.optimizer for event in update.events):
        return True
    origin = update.optimizer.origin
    if isinstance(update.optimizer, Unknown) and origin is not None and origin.op not in ("parameter", "getattr"):
        return True
    return origin is not None and any(node is origin.node for node in below(loop.node))


def describe(update: Update) -> Finding:
    """The finding in words."""
    name = said(update.optimizer, update.step) or "optimizer"
    backward, outside = update.backward, cleared_outside(update)
    notes = [Note(update.step.place, "the step uses whatever has been added up by then")]
    if outside is not None:
        notes.insert(0, Note(outside.place, "they are cleared here, outside of the loop"))
        message = f"the gradients of `{name}` are cleared before the loop, but not in it"
    else:
        message = f"nothing clears the gradients of `{name}` between its steps"
    return Finding(
        backward.place,
        message,
        "`backward()` adds to the gradients that are there, so that each step uses those of all iterations before it",
        f"call `{name}.zero_grad()` in each iteration, before `backward()`",
        tuple(notes),
        fix(update, name),
        None if update.is_known else Severity.WARNING,
        Confidence.HIGH if update.is_known else Confidence.MEDIUM,
        protocol(update.run, "stale-gradients", accused=backward.place, around=backward),
    )


def fix(update: Update, name: str) -> Fix | None:
    """Clear the gradients before they are computed; after the step, where that depends on a condition."""
    backward, step = update.backward, update.step
    if not said(update.optimizer, step) or function_of(backward) is not function_of(step):
        return None
    if any(isinstance(event, Backward) and event is not backward for event in update.events) or update.inner_conditions(
        step
    ):
        return Fix("clear the gradients after the step", (Edit("after", step.place, f"{name}.zero_grad()"),))
    return Fix("clear the gradients before they are computed", (Edit("before", backward.place, f"{name}.zero_grad()"),))
