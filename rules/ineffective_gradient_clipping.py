"""NN304: gradients are clipped when no step will use them, or while a scaler has them multiplied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.gradients import function_of, is_scaled
from nnlint.evidence.protocol import protocol
from nnlint.evidence.updates import Update, clears, covers, is_by_scaler, is_part_of, owners, said, updates
from nnlint.rule import Edit, Finding, Fix, Note, rule
from nnlint.symbolic.trace import Backward, Build, ClipGradients, Event, Step, Unscale, ZeroGrad
from nnlint.symbolic.values import Const, Object

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

MOST = 50
"""Loops of one script that are judged."""

Reason = Literal["used", "empty", "scaled"]


@rule(
    "NN304",
    severity=Severity.ERROR,
    since="0.1.0",
    mentions=("clip_grad_",),
    requires=(".step(",),
    roots=("^clip_grad_",),
)
def ineffective_gradient_clipping(trace: Trace) -> Iterator[Finding]:
    """Gradients that are clipped after the step, before `backward()`, or before the scaler has unscaled them.

    ## Why it matters
    Clipping changes what is in `.grad` at that moment. After the step it changes gradients that were used already and
    are cleared next; before `backward()` there are none. With a `GradScaler` they are tens of thousands of times too
    large until `unscale_` divides them: clipped before, every one of them is cut, and what the optimizer sees in the
    end is a gradient of norm 1/65536, the same size whatever the loss. In all three cases the run looks protected
    from exploding gradients and is not.

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
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
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
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    ```

    With a scaler `scaler.unscale_(optimizer)` stands between `backward()` and the clipping.

    ## How it is confirmed
    By protocol: a few iterations of the script's own loop are run, and it is written down what is in the gradients
    when they are clipped, what they are still multiplied with, and what the next step uses. Confirmed, if no step uses
    what was clipped, or if it was scaled; refuted, if steps use it, and it was not. It abstains where the clipping
    is not reached, or helps in some of the iterations only.

    ## When it stays silent
    - Gradients are accumulated, so that a later step uses what was clipped.
    - The clipping is that of accelerate, Fabric or a wrapper, which unscales by itself.
    - `unscale_` is called anywhere between `backward()` and the clipping, or the scaler is switched off.
    - Parameters of another optimizer are clipped, or it cannot be told whose.
    """
    seen: set[int] = set()
    for update in islice(updates(trace), MOST):
        for found in ineffective(update):
            if id(found.clip.place.node) not in seen:
                seen.add(id(found.clip.place.node))
                yield describe(update, found)


@dataclass(frozen=True, slots=True, eq=False)
class Ineffective:
    """A clipping that is of no use, and the event that makes it so."""

    clip: ClipGradients
    reason: Reason
    because: Event


def ineffective(update: Update) -> Iterator[Ineffective]:
    """The clippings in a round that are of no use to the step."""
    for at, event in enumerate(update.events):
        if isinstance(event, ClipGradients) and concerns(event, update):
            found = misplaced(update, at, event) or scaled(update, at, event)
            if found is not None:
                yield found


def concerns(clip: ClipGradients, update: Update) -> bool:
    """Whether it is the gradients of the optimizer that are clipped."""
    origin = clip.parameters.origin if clip.parameters is not None else None
    theirs = [origin.inputs[0]] if origin is not None and origin.op == ".parameters" else None
    certain = covers(owners(update.optimizer), theirs)
    if certain is not None:
        return certain
    optimizers = {id(event.optimizer) for event in update.events if isinstance(event, Step)}
    return len(optimizers) == 1


# --- at the wrong time -----------------------------------------------------------------------------------------------


def misplaced(update: Update, at: int, clip: ClipGradients) -> Ineffective | None:
    """Whether there is no gradient yet when it is clipped, or none is used afterwards."""
    if update.sets_gradients_by_hand:
        return None
    events = update.events
    used: Step | None = None
    for event in [*reversed(events[:at]), *reversed(events[at:])]:
        if isinstance(event, Step) and event.optimizer is update.optimizer:
            used = used or event
        elif isinstance(event, Backward):
            break
        elif isinstance(event, ZeroGrad) and clears(event, update.optimizer) is not False:
            following = next((each for each in events[at:] if isinstance(each, Backward)), None)
            sure = clears(event, update.optimizer) and happens_with(update, event, clip)
            return Ineffective(clip, "empty", following) if following is not None and sure else None
    if used is None or not happens_with(update, used, clip):
        return None
    for event in [*events[at + 1 :], *events[:at]]:
        if isinstance(event, (Step, Backward)):
            return None
        if isinstance(event, ZeroGrad) and clears(event, update.optimizer) is not False:
            sure = clears(event, update.optimizer) and happens_with(update, event, clip)
            return Ineffective(clip, "used", used) if sure else None
    return None


def happens_with(update: Update, event: Event, clip: Event) -> bool:
    """Whether something happens in every round in which the gradients are clipped."""
    return is_part_of(update.inner_conditions(event), update.inner_conditions(clip))


# --- while they are scaled -------------------------------------------------------------------------------------------


def scaled(update: Update, at: int, clip: ClipGradients) -> Ineffective | None:
    """Whether the gradients are still multiplied by a scaler when they are clipped."""
    before = update.events[:at]
    if at > update.position or not is_of_torch(clip) or any(isinstance(event, Unscale) for event in before):
        return None
    backwards = [event for event in before if isinstance(event, Backward)]
    if not backwards or not all(is_scaled(event.loss) for event in backwards):
        return None
    if not is_by_scaler(update.step) or is_switched_off(update):
        return None
    return Ineffective(clip, "scaled", backwards[-1])


def is_of_torch(clip: ClipGradients) -> bool:
    """Whether torch's own function clips, which knows of no scaler."""
    text = code(clip).partition("(")[0]
    return text.rpartition(".")[0] in ("", "utils", "nn.utils", "torch.nn.utils", "clip_grad", "nn.utils.clip_grad")


def is_switched_off(update: Update) -> bool:
    """Whether a scaler of the run is switched off for good."""
    scalers = [event.value for event in update.run.of(Build) if isinstance(event.value, Object)]
    given = [each.arguments.keywords.get("enabled") for each in scalers if each.kind == "scaler"]
    return any(isinstance(each, Const) and not each.value for each in given)


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(update: Update, found: Ineffective) -> Finding:
    """The finding in words."""
    name = said(update.optimizer, update.step) or "optimizer"
    if found.reason == "used":
        message = f"the gradients of `{name}` are clipped after the step that uses them"
        why = "they are cleared before the next step, so that no step ever sees a clipped gradient"
        advice = "clip them between `backward()` and `step()`"
        note = Note(found.because.place, "this step has used them")
    elif found.reason == "empty":
        message = f"the gradients of `{name}` are clipped before they are computed"
        why = "there are none at that time, and those that `backward()` computes are not clipped"
        advice = "clip them between `backward()` and `step()`"
        note = Note(found.because.place, "they are computed here")
    else:
        message = f"the gradients of `{name}` are clipped while the scaler has them multiplied"
        why = "they are thousands of times too large, so that all are cut, and next to nothing once they are unscaled"
        advice = f"call `scaler.unscale_({name})` before the gradients are clipped"
        note = Note(found.because.place, "the loss is scaled here")
    return Finding(
        found.clip.place,
        message,
        why,
        advice,
        (note,),
        fix(update, found),
        None if update.is_known else Severity.WARNING,
        Confidence.HIGH if update.is_known else Confidence.MEDIUM,
        protocol(update.run, "ineffective-clipping", accused=found.clip.place, around=found.clip),
    )


def fix(update: Update, found: Ineffective) -> Fix | None:
    """Clip before the step; or unscale before."""
    clip, step = found.clip, update.step
    if function_of(clip) is not function_of(step) or clip.place.source is not step.place.source:
        return None
    call = step.place.node
    if found.reason == "scaled":
        if any(isinstance(event, Unscale) for event in update.events) or not isinstance(call, cst.Call):
            return None
        text = code(step).replace(".step(", ".unscale_(", 1)
        return Fix("unscale the gradients first", (Edit("before", clip.place, text),))
    if update.inner_conditions(step) or update.inner_conditions(clip):
        return None
    return Fix(
        "clip the gradients before the step", (Edit("before", step.place, code(clip)), Edit("delete", clip.place))
    )


def code(event: Event) -> str:
    """The text of an event on one line."""
    return " ".join(event.place.source.module.code_for_node(event.place.node).split())
