"""How often a run steps its schedulers: in every batch, or once an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from nnlint.evidence.leaves import by_default, is_length, leaves
from nnlint.evidence.rates import PLATEAU
from nnlint.evidence.rounds import (
    Conditions,
    conditions_of_training,
    happens_by_default,
    inner_loops,
    is_presumed,
    last_reading,
    loops_of_rates,
    outcome,
    stepped,
)
from nnlint.symbolic.loops import innermost_source
from nnlint.symbolic.trace import Build, Event, Run, SchedulerStep, Step
from nnlint.symbolic.values import Carried, Index, Loop, Object, Unknown


@dataclass(frozen=True, slots=True, eq=False)
class Stepping:
    """Where a scheduler is stepped inside a loop over epochs: in its batches, and outside of them."""

    build: Build
    scheduler: Object
    epochs: Loop
    in_batches: tuple[SchedulerStep, ...]
    in_epochs: tuple[SchedulerStep, ...]
    trains_directly: bool
    """Whether an optimizer steps in the rounds themselves, not in a loop inside: then a round is a batch."""


def steppings(run: Run) -> Iterator[Stepping]:
    """How the schedulers of a run are stepped, as far as it can be told and is not decided by a metric or a number."""
    builds = {id(build.value): build for build in run.of(Build)}
    for loop in loops_of_rates(run):
        if loop.kind != Loop.EPOCHS:
            continue
        events = last_reading(run, loop)
        training = conditions_of_training(events)
        for key, steps in _by_scheduler(events).items():
            build = builds.get(key)
            if build is None or not isinstance(build.value, Object) or loop in build.context.loops:
                continue
            paces = [_pace(step, loop, training) for step in steps]
            if build.value.name not in PLATEAU and None not in paces:
                yield Stepping(
                    build,
                    build.value,
                    loop,
                    in_batches=tuple(step for step, pace in zip(steps, paces, strict=True) if pace == "batch"),
                    in_epochs=tuple(step for step, pace in zip(steps, paces, strict=True) if pace == "epoch"),
                    trains_directly=any(isinstance(event, Step) and not inner_loops(event, loop) for event in events),
                )


def _is_one_batch(loop: Loop) -> bool:
    """Whether a loop over batches has one round: a batch is as large as the data set."""
    loader = innermost_source(loop.iterates or Unknown())
    if not isinstance(loader, Object) or loader.kind != "loader":
        return False
    size = by_default(loader.arguments.get(1, "batch_size"))
    return size is not None and is_length(size)


def _by_scheduler(events: Sequence[Event]) -> dict[int, list[SchedulerStep]]:
    """The steps of each scheduler, by its identity."""
    groups: dict[int, list[SchedulerStep]] = {}
    for event in events:
        if isinstance(event, SchedulerStep) and happens_by_default(event):
            for scheduler in stepped(event):
                groups.setdefault(id(scheduler), []).append(event)
    return groups


def _pace(step: SchedulerStep, epochs: Loop, training: Conditions) -> Literal["batch", "epoch"] | None:
    """How often a scheduler is stepped in a loop over epochs; None if it cannot be told."""
    inner = inner_loops(step, epochs)
    in_batches = any(loop.kind == Loop.BATCHES for loop in inner)
    if step.argument is not None or len(stepped(step)) != 1 or (inner and not in_batches):
        return None
    if any(_is_one_batch(loop) for loop in inner):
        return None
    for condition in step.context.conditions:
        if is_presumed(condition, step, training) or outcome(condition.test, {}) == condition.outcome:
            continue
        if in_batches or not any(isinstance(leaf, (Index, Carried)) for leaf in leaves(condition.test)):
            return None
    return "batch" if in_batches else "epoch"
