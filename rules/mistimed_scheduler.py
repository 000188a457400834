"""NN302: a scheduler that counts in one unit and is stepped in the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.leaves import by_default, is_length, leaves
from nnlint.evidence.rates import Options, base_rate, rate_of
from nnlint.evidence.rehearsal import Schedule, rehearsal
from nnlint.evidence.schedule import argument_of, spoken
from nnlint.evidence.stepping import Stepping, steppings
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Event, Run
from nnlint.symbolic.values import Object, Sequence, Value, resolve_setting, same

if TYPE_CHECKING:
    from nnlint.experiment import Experiment
    from nnlint.symbolic.trace import Trace

Kind = Literal["too often", "too seldom", "twice"]

HORIZONS: dict[str, tuple[tuple[int, str], ...]] = {
    "StepLR": ((1, "step_size"),),
    "MultiStepLR": ((1, "milestones"),),
    "CosineAnnealingLR": ((1, "T_max"),),
    "CosineAnnealingWarmRestarts": ((1, "T_0"),),
    "PolynomialLR": ((1, "total_iters"),),
    "OneCycleLR": ((2, "total_steps"), (4, "steps_per_epoch")),
    "LambdaLR": ((1, "lr_lambda"),),
    "get_linear_schedule_with_warmup": ((2, "num_training_steps"),),
    "get_cosine_schedule_with_warmup": ((2, "num_training_steps"),),
    "get_polynomial_decay_schedule_with_warmup": ((2, "num_training_steps"),),
}
"""The arguments that say how many steps a scheduler is made for, with their positions."""

FEWEST_BATCHES = 20
"""An epoch has at least as many batches where nothing is known of the data."""

LONGEST = 1_000
"""Loops over more epochs than this may well have a single batch in each."""

DONE = 0.05
"""A function of the step that falls below this share in as many steps as there are epochs counts epochs."""

FOLLOWED = 10_000
"""Steps for which a rate is followed."""

FAINT = 0.01
"""A rate below this share of the first one hardly moves the weights."""


@rule("NN302", severity=Severity.WARNING, since="0.1.0", mentions=("cheduler", "lr_sched"), roots=("sched",))
def mistimed_scheduler(trace: Trace) -> Iterator[Finding]:
    """A scheduler that counts epochs and is stepped in every batch, or counts batches and is stepped once an epoch.

    ## Why it matters
    A scheduler knows no epochs: it counts the calls of `step()`. Made for 90 epochs and stepped in every batch, it has
    done with its schedule before the first epoch ends; made for all batches and stepped once an epoch, it has hardly
    begun when the run is over. Both train without a word, with a rate that nobody chose. The recipe warns of decays
    that come at another time than their author thinks, and asks to leave them for the end.

    ## Example
    ```python
    import torch
    from torch import nn, optim
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    epochs = 90
    loader = DataLoader(TensorDataset(torch.randn(4096, 10), torch.randn(4096, 1)), batch_size=32, shuffle=True)
    model = nn.Linear(10, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=len(loader))

    for epoch in range(epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
        scheduler.step()
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn, optim
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    epochs = 90
    loader = DataLoader(TensorDataset(torch.randn(4096, 10), torch.randn(4096, 1)), batch_size=32, shuffle=True)
    model = nn.Linear(10, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)

    for epoch in range(epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
        scheduler.step()
    ```

    ## How it is confirmed
    The script's own loops step its optimizer and scheduler for all epochs and batches, without a model and without
    data, and the rate is read wherever the optimizer would step. A scheduler that is stepped in every batch is compared
    with itself stepped once an epoch; one that is stepped once an epoch with the number of steps it is made for.
    Loaders have the lengths that the script gives them, those of well-known data sets included; where the length is
    not known the verdict must be the same for all that are tried, from 20 batches on, or it abstains. Where a loop may
    be left early for a reason that is not run, the verdict must be the same if it is left at once, or it abstains.

    ## When it stays silent
    - The units agree: `len(loader) * epochs` in every batch, `epochs` in every epoch, OneCycle and cosine of the right
      length.
    - `step` is told the epoch or the metric, or asks for a condition of its own, such as a warm-up in iterations.
    - The numbers could be meant as they are: a fall every thousand batches.
    - The loop over epochs is one over batches after all: the optimizer steps in it, and in no loop inside.
    - It cannot be told how often the scheduler is stepped, or by default another one is.
    """
    reported: set[int] = set()
    for run in trace.runs:
        for stepping in steppings(run):
            kind = _kind(stepping)
            finding = None if kind is None else SAID[kind](trace, stepping)
            if finding is not None and id(finding.place.node) not in reported:
                reported.add(id(finding.place.node))
                yield replace(finding, experiment=partial(_experiment, trace, run, stepping, str(kind)))


def _kind(stepping: Stepping) -> Kind | None:
    if stepping.in_batches and stepping.in_epochs:
        return "twice"
    if stepping.in_batches and _counts_epochs(stepping):
        return "too often"
    if stepping.in_epochs and not stepping.trains_directly and _counts_batches(stepping):
        return "too seldom"
    return None


def _experiment(trace: Trace, run: Run, stepping: Stepping, kind: str) -> Experiment | None:
    """The script's own loops, run for the rates alone."""
    optimizer = by_default(stepping.scheduler.arguments.get(0, "optimizer"))
    if optimizer is None:
        return None
    schedule = Schedule(optimizer, stepping.epochs, stepping.scheduler, _written(stepping))
    return rehearsal(trace, run, schedule, {"finding": kind, "epochs": number(stepping.epochs.count)})


# --- what it counts --------------------------------------------------------------------------------------------------


def _horizon(stepping: Stepping) -> tuple[str, Value] | None:
    """The argument that says how many steps the scheduler is made for, with its name."""
    scheduler = _timed(stepping.scheduler)
    for position, name in HORIZONS.get(scheduler.name, ()):
        given = scheduler.attributes.get("factor") if name == "lr_lambda" else scheduler.arguments.get(position, name)
        value = by_default(given)
        if value is not None:
            return name, value
    return None


def _timed(scheduler: Object) -> Object:
    """The scheduler whose argument says how many steps there are: the last of those that follow each other."""
    parts = resolve_setting(scheduler.arguments.get(1, "schedulers")) if scheduler.name == "SequentialLR" else None
    last = by_default(parts.items[-1]) if isinstance(parts, Sequence) and parts.items and not parts.open else None
    return last if isinstance(last, Object) and last.name in HORIZONS else scheduler


def _counts_batches(stepping: Stepping) -> bool:
    horizon = _horizon(stepping)
    return horizon is not None and any(map(is_length, leaves(horizon[1])))


def _counts_epochs(stepping: Stepping) -> bool:
    epochs = number(stepping.epochs.count)
    if _counts_batches(stepping) or epochs is None or not 5 <= epochs <= LONGEST:
        return False
    horizon = _horizon(stepping)
    if horizon is None:
        return stepping.scheduler.name == "ExponentialLR" and _is_soon_over(stepping, epochs)
    name, value = horizon
    longest = _longest(value)
    if name == "lr_lambda":
        rate = rate_of(stepping.scheduler, 1.0)
        return _shares_epochs(stepping, value) and rate is not None and rate(int(epochs)) < DONE
    if _shares_epochs(stepping, value):
        return longest is not None and longest <= 2 * epochs
    if longest is None:
        return False
    if name == "step_size":
        return longest <= epochs and _is_soon_over(stepping, epochs)
    return longest <= epochs if name == "milestones" else longest == epochs


def _longest(value: Value) -> float | None:
    """The number of steps, or the last milestone."""
    resolved = resolve_setting(by_default(value))
    if isinstance(resolved, Sequence):
        found = [number(item) for item in resolved.items]
        return None if not found or None in found else max(item for item in found if item is not None)
    return number(value)


def _shares_epochs(stepping: Stepping, value: Value) -> bool:
    """Whether the steps are computed from the number of epochs, as values or as they are written."""
    epochs = leaves(stepping.epochs.count)
    if any(same(leaf, other) for leaf in leaves(value) for other in epochs):
        return True
    written, loop = _written(stepping), stepping.epochs.node
    if written is None or not isinstance(loop, cst.For):
        return False
    return not (spoken(loop.iter) - {stepping.epochs.target}).isdisjoint(spoken(written))


def _is_soon_over(stepping: Stepping, epochs: float) -> bool:
    """Whether the rate is faint before a quarter of the run is over, however few batches there are."""
    rate = rate_of(stepping.scheduler, 1.0)
    return rate is not None and rate(int(epochs * FEWEST_BATCHES / 4)) < FAINT


# --- what is said ----------------------------------------------------------------------------------------------------


def _anchor(trace: Trace, event: Event) -> Place | None:
    """The event itself if it is in the file that is read, else the call in this file that leads to it."""
    if event.place.source is trace.source:
        return event.place
    return next((site.place for site in reversed(event.context.calls) if site.place.source is trace.source), None)


def _written(stepping: Stepping) -> cst.BaseExpression | None:
    """The expression that says how many steps the scheduler is made for."""
    timed = _timed(stepping.scheduler)
    built = stepping.build.place.node if timed is stepping.scheduler or timed.origin is None else timed.origin.node
    for position, name in HORIZONS.get(timed.name, ()):
        written = argument_of(built, position, name)
        if written is not None:
            return written
    return None


def _counts(stepping: Stepping) -> str:
    """The horizon as the script writes it: `` (T_max=len(loader))``."""
    horizon, written = _horizon(stepping), _written(stepping)
    if horizon is None or written is None:
        return ""
    text = " ".join(stepping.build.place.source.module.code_for_node(written).split())
    return f" ({horizon[0]}={text})" if len(text) <= 60 else ""


def _notes(stepping: Stepping, place: Place, *others: Note) -> tuple[Note, ...]:
    loop = stepping.epochs.node
    epochs = number(stepping.epochs.count)
    counted = Place(stepping.epochs.source, loop.iter if isinstance(loop, cst.For) else loop)
    notes = (
        Note(stepping.build.place, "the scheduler is built here"),
        Note(counted, "the epochs of the run" if epochs is None else f"the run has {epochs:g} epochs"),
        *others,
    )
    return tuple(note for note in notes if note.place.node is not place.node)


def _too_often(trace: Trace, stepping: Stepping) -> Finding | None:
    step = stepping.in_batches[0]
    place = _anchor(trace, step)
    if place is None:
        return None
    return Finding(
        place,
        f"{stepping.scheduler.name} counts epochs{_counts(stepping)} and is stepped in every batch: "
        f"{_consequence(stepping)}",
        "the schedule is over before the first epochs are, and the rest of the run has a rate that nobody chose",
        "step it once an epoch, after the loop over the batches, or give it the number of batches of the whole run",
        _notes(stepping, place, Note(step.place, "it is stepped here, in every batch")),
        confidence=Confidence.HIGH,
    )


def _consequence(stepping: Stepping) -> str:
    """What becomes of the rate, in numbers where they are known."""
    base = base_rate(by_default(stepping.scheduler.arguments.get(0, "optimizer")))
    rate = rate_of(stepping.scheduler, base or 1.0)
    options = Options(stepping.scheduler)
    if stepping.scheduler.name == "CosineAnnealingLR":
        return f"the rate goes down and up again every {2 * options.number(1, 'T_max'):g} batches"
    if stepping.scheduler.name == "CosineAnnealingWarmRestarts":
        return f"the rate is restarted after {options.number(1, 'T_0'):g} batches"
    first = rate(0) if rate is not None else 0.0
    rates = map(rate or (lambda steps: first), range(FOLLOWED))
    faint = sum(1 for _ in takewhile(lambda value: value >= FAINT * first, rates))
    if faint == FOLLOWED:
        return "its steps are used up by as many batches"
    start = f" ({first:.3g})" if base is not None else ""
    return f"the rate is below 1 % of its start{start} after {faint} batches"


def _too_seldom(trace: Trace, stepping: Stepping) -> Finding | None:
    step, place = stepping.in_epochs[0], _anchor(trace, stepping.build)
    if place is None:
        return None
    epochs = number(stepping.epochs.count)
    steps = "each epoch is one step" if epochs is None else f"the run's {epochs:g} epochs are {epochs:g} steps"
    return Finding(
        place,
        f"{stepping.scheduler.name} counts batches{_counts(stepping)} and is stepped once an epoch: {steps} of it",
        "the run ends somewhere in the schedule, at a rate that nobody chose",
        "give it the number of epochs, or step it in every batch for as many batches as the whole run has",
        _notes(stepping, place, Note(step.place, "it is stepped here, once an epoch")),
        fix=_count_epochs(stepping),
        confidence=Confidence.HIGH,
    )


def _count_epochs(stepping: Stepping) -> Fix | None:
    """``T_max=len(loader)`` becomes what the loop over epochs is written with, if both stand in one function."""
    step, written, loop = stepping.in_epochs[0], _written(stepping), stepping.epochs.node
    if stepping.scheduler.name != "CosineAnnealingLR" or written is None or not isinstance(loop, cst.For):
        return None
    if step.context.calls != stepping.build.context.calls or step.place.source is not stepping.build.place.source:
        return None
    rounds = argument_of(loop.iter, 0, "stop")
    if rounds is None or not isinstance(loop.iter, cst.Call) or len(loop.iter.args) != 1 or spoken(loop.iter.func):
        return None
    text = stepping.build.place.source.module.code_for_node(rounds)
    return Fix("count epochs", (Edit("replace", Place(stepping.build.place.source, written), text),))


def _stepped_twice(trace: Trace, stepping: Stepping) -> Finding | None:
    step = stepping.in_epochs[0]
    place = _anchor(trace, step)
    if place is None:
        return None
    return Finding(
        place,
        f"{stepping.scheduler.name} is stepped in every batch and once more in every epoch",
        "the scheduler counts calls, so it counts neither epochs nor batches",
        "keep the one that the schedule was made for",
        _notes(stepping, place, Note(stepping.in_batches[0].place, "it is stepped here in every batch")),
        confidence=Confidence.HIGH,
    )


SAID: dict[Kind, Callable[[Trace, Stepping], Finding | None]] = {
    "too often": _too_often,
    "too seldom": _too_seldom,
    "twice": _stepped_twice,
}
