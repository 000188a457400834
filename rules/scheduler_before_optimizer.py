"""NN303: a scheduler that is stepped before the optimizer has made a step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import isnan
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.leaves import by_default, leaves
from nnlint.evidence.rates import PLATEAU, base_rate, rate_of
from nnlint.evidence.rehearsal import Schedule, rehearsal
from nnlint.evidence.requirements import admits_older, is_older
from nnlint.evidence.rounds import agree, conditions_of_training, is_presumed, outcome
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.library.training import name_of
from nnlint.symbolic.scalar import evaluate
from nnlint.symbolic.trace import Build, Event, SchedulerStep, Step
from nnlint.symbolic.values import Carried, Index, Loop, Object, Setting, Unknown, Value, alternatives
from nnlint.symbolic.words import below

if TYPE_CHECKING:
    from nnlint.experiment import Experiment
    from nnlint.source import Source
    from nnlint.symbolic.trace import Condition, Run, Trace

UNITS = {Loop.BATCHES: "batch", Loop.EPOCHS: "epoch"}

SETS_FIRST_RATE = (1, 1)
"""From this version of torch on a scheduler sets its first rate when it is built."""

FARTHEST = 1_000
"""Steps of a schedule that are looked at for the first change of its rate."""


@rule("NN303", severity=Severity.WARNING, since="0.1.0", mentions=("cheduler", "lr_sched"), roots=("sched",))
def scheduler_before_optimizer(trace: Trace) -> Iterator[Finding]:
    """A scheduler that is stepped before the optimizer: the first rate of its schedule is never used.

    ## Why it matters
    Since torch 1.1 a scheduler sets its first rate when it is built, and `step()` goes on to the next one. Called at
    the top of the epoch, as it had to be until torch 1.0, it throws the first rate away, and every later change comes
    one epoch early. torch says so in a warning that is easily lost in the log. The recipe's advice is to be sure that
    the rate is the one you think it is, and to leave decays for the end.

    ## Example
    ```python
    import torch
    from torch import nn, optim
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(torch.randn(4096, 10), torch.randn(4096, 1)), batch_size=32, shuffle=True)
    model = nn.Linear(10, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=90)

    for epoch in range(90):
        scheduler.step()
        for inputs, targets in loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn, optim
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(torch.randn(4096, 10), torch.randn(4096, 1)), batch_size=32, shuffle=True)
    model = nn.Linear(10, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=90)

    for epoch in range(90):
        for inputs, targets in loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
        scheduler.step()
    ```

    ## How it is confirmed
    The script's own loops step its optimizer and scheduler for all epochs and batches, without a model and without
    data. Confirmed, if the scheduler has made steps when the optimizer makes its first one, and the rates of the run
    are others than those of the same schedule begun at its first rate; refuted, if no step of the run has another
    rate. It abstains where they differ by less than 1 % of the highest, and where the rates or the number of epochs
    are not known.

    ## When it stays silent
    - `step` is told the epoch or the metric, or the first round of the loop is left out by a condition.
    - The optimizer has made a step before, such as the empty one that is made to quieten torch's warning.
    - The scheduler is brought up to the epoch that a run is resumed from, in a loop that trains nothing.
    - The first rate of the schedule is 0, as in a warm-up from nothing: it is no loss.
    - `last_epoch` is set by hand, or the scheduler is the script's own.
    - It cannot be told whether the optimizer that steps is the scheduler's.
    - The project asks for a torch below 1.1, in its `requirements.txt`, `pyproject.toml`, `setup.py` or
      `environment.yml`: there it is right. Where it admits both, the message says so.
    """
    if _sets_epoch_by_hand(trace.source):
        return
    reported: set[int] = set()
    for run in trace.runs:
        for early in _early_steps(run):
            place = early.event.place
            if place.source is trace.source and id(place.node) not in reported:
                if is_older(trace.root, "torch", SETS_FIRST_RATE):
                    return
                reported.add(id(place.node))
                yield replace(_described(early, trace), experiment=partial(_experiment, trace, run, early))


@dataclass(frozen=True, slots=True, eq=False)
class Early:
    """A scheduler's step in a loop, and the first step of its optimizer, which comes later in the same round."""

    event: SchedulerStep
    step: Step
    scheduler: Value
    build: Build | None
    again: bool
    """Whether the scheduler is also stepped further inside, after the optimizer."""

    @property
    def loop(self) -> Loop:
        """The loop that both are in."""
        return self.event.context.loops[-1]

    @property
    def known(self) -> Object | None:
        """The scheduler if it was built in sight."""
        return self.scheduler if isinstance(self.scheduler, Object) else None


# --- what comes first ------------------------------------------------------------------------------------------------


def _early_steps(run: Run) -> Iterator[Early]:
    """The steps of schedulers that come before any step of their optimizers."""
    builds = {id(build.value): build for build in run.of(Build)}
    training = conditions_of_training(run.events)
    seen: set[tuple[int, int]] = set()
    for position, event in enumerate(run.events):
        if not isinstance(event, SchedulerStep) or event.argument is not None or not event.context.loops:
            continue
        scheduler = _by_steps(event)
        if scheduler is None or (id(event.place.node), id(scheduler)) in seen:
            continue
        seen.add((id(event.place.node), id(scheduler)))
        optimizer = _optimizer_of(scheduler, run)
        if optimizer is None or not _happens_at_first(event, training):
            continue
        step = _first_step(run.events[position:], event.context.loops[-1], optimizer)
        before = (other for other in run.events[:position] if isinstance(other, Step) and _may_be(other, optimizer))
        if step is not None and not any(agree(other, event) for other in before):
            yield Early(event, step, scheduler, builds.get(id(scheduler)), _is_stepped_inside(run, event, scheduler))


def _by_steps(event: SchedulerStep) -> Value | None:
    """The scheduler that is stepped, if it is one that counts its steps; of several the first."""
    options = alternatives(by_default(event.scheduler) or event.scheduler)
    if not options or not all(_counts_steps(option) for option in options):
        options = [option for option in alternatives(event.scheduler) if _counts_steps(option)]
    return options[0] if options else None


def _counts_steps(scheduler: Value) -> bool:
    if isinstance(scheduler, Object):
        return scheduler.kind == "scheduler" and scheduler.name not in PLATEAU and _begins_at_a_rate(scheduler)
    return isinstance(scheduler, Unknown) and bool(name_of(scheduler))


def _begins_at_a_rate(scheduler: Object) -> bool:
    """Whether the first rate of a schedule is not 0, as far as it can be told."""
    if "warmup" in scheduler.name:
        return False
    rate = rate_of(scheduler, 1.0)
    return rate is None or rate(0) != 0


def _optimizer_of(scheduler: Value, run: Run) -> Value | None:
    """The optimizer of a scheduler; where both were built out of sight, the only one that steps in the run."""
    if isinstance(scheduler, Object):
        return scheduler.arguments.get(0, "optimizer")
    stepped = {id(event.optimizer): event.optimizer for event in run.of(Step)}
    schedulers = {id(event.scheduler) for event in run.of(SchedulerStep)}
    if len(stepped) != 1 or len(schedulers) != 1:
        return None
    optimizer = next(iter(stepped.values()))
    return optimizer if isinstance(optimizer, Unknown) else None


def _may_be(step: Step, optimizer: Value) -> bool:
    """Whether an optimizer is among those that step."""
    stepping = alternatives(step.optimizer)
    return any(option is other for option in alternatives(optimizer) for other in stepping)


def _first_step(events: list[Event], loop: Loop, optimizer: Value) -> Step | None:
    """The first step of an optimizer, if the loop goes on to it."""
    steps = (event for event in events if isinstance(event, Step) and _may_be(event, optimizer))
    first = next(steps, None)
    return first if first is not None and loop in first.context.loops else None


def _is_stepped_inside(run: Run, event: SchedulerStep, scheduler: Value) -> bool:
    """Whether a scheduler is stepped in a loop inside the one that ``event`` is in."""
    loops = event.context.loops
    return any(
        loops[-1] in other.context.loops[:-1] and any(option is scheduler for option in alternatives(other.scheduler))
        for other in run.of(SchedulerStep)
    )


def _happens_at_first(event: SchedulerStep, training: set[tuple[int, bool]]) -> bool:
    """Whether the scheduler is stepped in the first round, as far as nothing but options is against it."""
    return all(_holds_at_first(condition, event, training) for condition in event.context.conditions)


def _holds_at_first(condition: Condition, event: SchedulerStep, training: set[tuple[int, bool]]) -> bool:
    parts = leaves(condition.test)
    counted = [part for part in parts if isinstance(part, (Index, Carried))]
    assumed = {id(part): _at_first(part) for part in counted}
    if outcome(condition.test, assumed) == condition.outcome:
        return True
    if counted:
        return False
    if is_presumed(condition, event, training) or condition.implied:
        return True
    return bool(parts) and all(isinstance(part, Setting) or _is_option(part) for part in parts)


def _at_first(part: Value) -> object:
    return evaluate(part.start if isinstance(part, Index) else part.initial if isinstance(part, Carried) else None)


def _is_option(value: Value) -> bool:
    """Whether a value is an attribute of the options that the script is run with."""
    if isinstance(value, Unknown) and value.origin is not None and value.origin.op == "getattr":
        return name_of(value.origin.inputs[0]).strip("_") in (
            "args",
            "opt",
            "opts",
            "options",
            "cfg",
            "config",
            "hparams",
        )
    return False


def _sets_epoch_by_hand(source: Source) -> bool:
    """Whether ``scheduler.last_epoch = …`` is written anywhere."""
    return "last_epoch" in source.text and any(
        isinstance(node, cst.AssignTarget)
        and isinstance(node.target, cst.Attribute)
        and node.target.attr.value == "last_epoch"
        for node in below(source.module)
    )


# --- what is said ----------------------------------------------------------------------------------------------------


def _described(early: Early, trace: Trace) -> Finding:
    known = early.known
    name = (known.name if known is not None else name_of(early.scheduler)) or "the scheduler"
    unit = UNITS.get(early.loop.kind, "round")
    consequence = "the first rate is skipped" if early.again else _consequence(known, unit)
    advice = "leave this step out" if early.again else f"step it after the optimizer, at the end of the {unit}"
    if admits_older(trace.root, "torch", SETS_FIRST_RATE):
        advice += "; the project also admits torch before 1.1, which wants it as it is: ask for 1.1 or newer"
    notes = [Note(early.step.place, "the optimizer makes its first step after that")]
    if early.build is not None:
        notes.insert(0, Note(early.build.place, "the scheduler sets its first rate here"))
    return Finding(
        early.event.place,
        f"{name} is stepped before the optimizer: {consequence}",
        "since torch 1.1 a scheduler sets its first rate when it is built, and `step()` goes on to the next",
        advice,
        tuple(notes),
        fix=None if early.again else _later(early),
        confidence=Confidence.LOW if known is None else Confidence.HIGH,
    )


def _consequence(scheduler: Object | None, unit: str) -> str:
    """What becomes of the schedule, in numbers where they are known."""
    skipped = f"the first rate is skipped and all changes come one {unit} early"
    optimizer = None if scheduler is None else by_default(scheduler.arguments.get(0, "optimizer"))
    base = base_rate(optimizer)
    rate = None if scheduler is None else rate_of(scheduler, base or 1.0)
    if rate is None or isnan(rate(0)):
        return skipped
    change = next((steps for steps in range(1, FARTHEST) if rate(steps) != rate(0)), None)
    if change == 1 and base is not None:
        return f"the first {unit} has a rate of {rate(1):.4g} instead of {rate(0):.4g}, and so on"
    if change is not None and change > 1:
        return f"the rate changes after {change - 1} {_plural(unit, change - 1)}, not after {change}"
    return skipped


def _plural(unit: str, count: int) -> str:
    return unit if count == 1 else "batches" if unit == "batch" else f"{unit}s"


def _later(early: Early) -> Fix | None:
    """Move the step behind the statement of the same block that trains."""
    node, source = early.event.place.node, early.event.place.source
    loop = early.loop.node
    if early.loop.source is not source or not isinstance(loop, (cst.For, cst.While)):
        return None
    if not isinstance(loop.body, cst.IndentedBlock):
        return None
    statements = list(loop.body.body)
    mine = _containing(statements, node)
    leading = [early.step.place.node, *(site.place.node for site in early.step.context.calls)]
    trains = next((found for way in leading if (found := _containing(statements, way)) is not None), None)
    if mine is None or trains is None or not isinstance(mine, cst.SimpleStatementLine) or len(mine.body) != 1:
        return None
    text = source.module.code_for_node(mine.body[0])
    return Fix(
        "step the scheduler after the optimizer",
        (Edit("after", Place(source, trains), text), Edit("delete", early.event.place)),
    )


def _containing(statements: list[cst.BaseStatement], node: cst.CSTNode) -> cst.BaseStatement | None:
    return next((each for each in statements if any(part is node for part in below(each))), None)


# --- the experiment --------------------------------------------------------------------------------------------------


def _experiment(trace: Trace, run: Run, early: Early) -> Experiment | None:
    """The script's own loops, run for the rates alone."""
    scheduler = early.known
    optimizer = None if scheduler is None else by_default(scheduler.arguments.get(0, "optimizer"))
    if scheduler is None or optimizer is None:
        return None
    epochs = early.event.context.innermost(Loop.EPOCHS) or early.loop
    return rehearsal(trace, run, Schedule(optimizer, epochs, scheduler), {"finding": "early"})
