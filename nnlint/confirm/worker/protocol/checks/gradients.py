"""What is in the gradients when an optimizer uses them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...verdict import Inconclusive, Verdict, confirmed, refuted
from ..record import Backward, Clip, Event, Gradients, Record, Step, Unscale, ZeroGrad


def stale_gradients(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """Gradients that an optimizer has used are still there when it uses the next ones.

    The control is the same lines with all gradients cleared after each step.
    """
    ours = {event.number for event in record.need(Backward, 2) if record.is_accused(event)}
    if len(ours) < 2:
        raise Inconclusive(f"the backward pass is gone through {len(ours)} times only")
    steps = [step for step in record.need(Step, 2) if ours & _origins(step.used)]
    if len(steps) < 2:
        raise Inconclusive("fewer than two steps use the gradients of this backward pass")
    again = _used_again(steps, ours)
    steps = [step for step in steps if not again or step.optimizer == again[0].optimizer]
    sums = [len(_origins(step.used)) for step in steps]
    figures = {
        "steps": len(steps),
        "backward_passes_in_each_step": sums,
        "norms": [_rounded(_norm(step.used)) for step in steps],
    }
    if not again:
        said = "each step uses new gradients only" if max(sums) == 1 else "no gradient is used by two steps"
        return refuted(f"{said}: {len(steps)} steps were seen, with {len(ours)} backward passes here", **figures)
    control = record.again(clear=True)
    healthy = [
        step
        for step in control.of(Step)
        if step.optimizer == again[0].optimizer and any(map(control.is_accused, _backwards(control, step)))
    ]
    if _used_again(healthy, {event.number for event in control.of(Backward)}) or len(healthy) < len(steps):
        raise Inconclusive("with the gradients cleared after each step the lines take another way")
    first = again[0]
    at = steps.index(first)
    alone = _norm(healthy[at].used)
    figures["norms_with_cleared_gradients"] = [_rounded(_norm(step.used)) for step in healthy]
    many = f"; by step {len(steps)} it uses those of {sums[-1]}" if sums[-1] > sums[at] else ""
    return confirmed(
        f"step {at + 1} of {record.names[first.optimizer]} uses the gradients of {sums[at]} backward passes, those of "
        f"step {at} once more: their norm is {_norm(first.used):.3g}, with the gradients cleared {alone:.3g}{many}",
        **figures,
    )


def _used_again(steps: list[Step], ours: set[int]) -> list[Step]:
    """The steps that use a gradient of some backward passes which an earlier step of the optimizer has used."""
    used: dict[int, set[tuple[int, int]]] = {}
    found = []
    for step in steps:
        pairs = {(number, each) for number, held in step.used.items() for each in held.backwards if each in ours}
        before = used.setdefault(step.optimizer, set())
        if pairs & before:
            found.append(step)
        before |= pairs
    return found


def _origins(gradients: Gradients) -> set[int]:
    """The backward passes that some gradients come from."""
    return {each for held in gradients.values() for each in held.backwards}


def _backwards(record: Record, step: Step) -> list[Backward]:
    origins = _origins(step.used)
    return [event for event in record.of(Backward) if event.number in origins]


def _norm(gradients: Gradients) -> float:
    """The norm of all gradients together."""
    return math.sqrt(sum(held.norm**2 for held in gradients.values()))


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def discarded_gradients(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """Gradients are cleared before any step has used them."""
    clearings = [event for event in record.need(ZeroGrad, what="zero_grad()") if record.is_accused(event)]
    record.need(Backward)
    thrown = [event for event in clearings if set(event.gradients) & event.parameters]
    if not thrown:
        raise Inconclusive("no gradients are there when they are cleared")
    unused: list[ZeroGrad] = []
    for event in thrown:
        cleared = {number: held for number, held in event.gradients.items() if number in event.parameters}
        before = [step for step in record.of(Step) if step.number < event.number]
        if not any(_origins(step.used) & _origins(cleared) for step in before):
            unused.append(event)
    following = [step for step in (_next_step(record, event) for event in thrown) if step is not None]
    empty = [step for step in following if not step.used]
    norms = [_rounded(_norm({k: v for k, v in event.gradients.items() if k in event.parameters})) for event in thrown]
    figures = {
        "times_cleared": len(thrown),
        "cleared_unused": len(unused),
        "steps_without_gradients": len(empty),
        "norms": norms,
    }
    if len(unused) == len(thrown) and empty:
        return confirmed(
            f"gradients of norm {norms[0]:.3g} are cleared before any step has used them, {len(unused)} times of "
            f"{len(thrown)}; {len(empty)} steps find no gradient at all",
            **figures,
        )
    found = [step for step in following if step.used]
    if len(found) == len(thrown):
        norm = _norm(found[0].used)
        return refuted(
            f"each of the {len(found)} steps that follow finds gradients all the same, of norm {norm:.3g}", **figures
        )
    if not unused:
        return refuted(f"each of the {len(thrown)} times the gradients had been used when they were cleared", **figures)
    raise Inconclusive(f"{len(unused)} of {len(thrown)} times the gradients were cleared unused")


def ineffective_clipping(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """Gradients are clipped that no step uses, or while they are multiplied by a scaler."""
    clips = [event for event in record.need(Clip, what="the clipping") if record.is_accused(event)]
    record.need(Backward, 2)
    record.need(Step)
    pairs = [(clip, _next_step(record, clip)) for clip in clips]
    judged = [(clip, step) for clip, step in pairs if step is not None]
    if not judged:
        raise Inconclusive("no step follows the clipping")
    idle = [(clip, step) for clip, step in judged if not _origins(clip.after) & _origins(step.used)]
    scaled = [(clip, step) for clip, step in judged if clip.scale != 1]
    helped = [each for each in judged if each not in idle and each not in scaled]
    used = [_rounded(_norm(step.used)) for _, step in judged]
    figures = {
        "clipped": len(judged),
        "clipped_and_used": len(helped),
        "limit": judged[0][0].limit,
        "norms_when_clipped": [_rounded(_norm(clip.gradients)) for clip, _ in judged],
        "norms_used": used,
        "scale": judged[0][0].scale,
    }
    if len(idle) == len(judged):
        clip = idle[0][0]
        now = "no gradient is there" if not clip.gradients else "the gradients were used before and are cleared next"
        return confirmed(
            f"when they are clipped {now}, {len(idle)} times of {len(judged)}; the steps use gradients of norm up to "
            f"{max(used):.3g}, the limit is {clip.limit:g}",
            **figures,
        )
    if len(scaled) == len(judged):
        clip, step = scaled[-1]
        norm = _norm(clip.gradients)
        return confirmed(
            f"when they are clipped to {clip.limit:g} the gradients are still multiplied by {clip.scale:g}: a norm of "
            f"{norm / clip.scale:.3g} becomes {_norm(step.used):.3g} at the step",
            **figures,
        )
    if len(helped) == len(judged):
        return refuted(
            f"each of the {len(judged)} times a step uses the gradients that were clipped, unscaled", **figures
        )
    raise Inconclusive(f"a step uses what was clipped {len(helped)} times of {len(judged)}")


def _next_step(record: Record, event: Event) -> Step | None:
    """The next step of an optimizer that has to do with the parameters of an event."""
    concerned: frozenset[int] = getattr(event, "parameters", frozenset())
    return next((step for step in record.of(Step) if step.number > event.number and step.parameters & concerned), None)


def summed_accumulation(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """Several whole losses go backward for one step: their gradients are summed, not averaged."""
    passes = [event for event in record.need(Backward, 2) if record.is_accused(event)]
    steps = [step for step in record.need(Step) if _origins(step.used) & {event.number for event in passes}]
    losses = [float(value) for value in record.seen.get("loss", ())]
    if not passes or not steps or len(losses) % len(passes):
        raise Inconclusive("the losses and the backward passes cannot be told together")
    each = len(losses) // len(passes)
    sums = [sum(losses[at * each : (at + 1) * each]) for at in range(len(passes))]
    shares = {event.number: event.value / whole for event, whole in zip(passes, sums) if whole}
    step = steps[0]
    used = sorted(_origins(step.used) & set(shares))
    count = len(used)
    if not used:
        raise Inconclusive("the losses of the first step are 0")
    last = max((event for event in passes if event.number in used), key=lambda event: event.number)
    kept = _norm(step.used) / (_norm({k: v for k, v in last.after.items() if k in step.parameters}) or 1.0) * step.scale
    total = sum(shares[number] for number in used)
    clipped = bool(record.between(Clip, last, step))
    unscaled = bool(record.between(Unscale, last, step)) or step.scale != 1 or _is_scaled(last, step)
    figures = {
        "passes_per_step": [len(_origins(one.used)) for one in steps],
        "share_of_each_loss": [_rounded(shares[number]) for number in used],
        "sum_of_shares": _rounded(total),
    }
    if not clipped and not unscaled:
        total *= kept
        figures["factor_before_the_step"] = _rounded(kept)
    if count == 1:
        return refuted("each step uses the gradients of a single batch", **figures)
    if abs(total - 1) < 0.05:
        return refuted(f"the {count} losses of a step are averaged: their shares add up to {total:.3g}", **figures)
    if abs(total - count) < 0.05 * count:
        return confirmed(
            f"a step uses the gradients of {count} batches, and each of their losses goes backward whole: the sum is "
            f"{count} times the average",
            **figures,
        )
    raise Inconclusive(f"the shares of the {count} losses of a step add up to {total:.3g}")


def _is_scaled(backward: Backward, step: Step) -> bool:
    """Whether a scaler has divided the gradients in the step itself."""
    before, after = _norm(backward.after), _norm(step.used)
    return after > 0 and before / after > 1_000
