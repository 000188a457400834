"""NN301: a decay of the learning rate that does not fit the run it is in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Literal

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.leaves import by_default, leaves
from nnlint.evidence.rates import Options, numbers
from nnlint.evidence.rehearsal import Schedule, rehearsal, rehearsal_of_function
from nnlint.evidence.schedule import RATE_NAME, Change, Course, argument_of, courses, factors, spoken
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.trace import Build, Event, Run, SetRate
from nnlint.symbolic.values import Object, Setting, Value, same

if TYPE_CHECKING:
    from nnlint.experiment import Experiment
    from nnlint.symbolic.trace import Trace
    from nnlint.verdict import Json

FAINT = 0.01
"""A rate below this share of the highest one hardly moves the weights."""

LONG = 0.25
"""A faint rate over this share of the run is too long."""

LAST = 0.005
"""The rate must end below this share of the highest one: two falls by ten are no finding."""

GONE = 1e-4
"""Below this share of the highest rate nothing is learned, on any data set."""

SHORT = 10
"""Runs of fewer rounds are too short to have a long end."""

TRIED_OUT = 5
"""Runs of fewer rounds are tried out, not trained."""

EPISODES = re.compile(r"episode|rollout|game", re.IGNORECASE)
"""Words for rounds that are no epochs: how often they go round says nothing of the training."""

STEADY = 1e-9
"""A rate that changes by no more than this share is constant."""

SHALLOW = 0.02
"""A cosine that has lowered the rate by no more than this share at the end of the run has hardly begun."""

SWITCHED_OFF = 20
"""A setting that puts the first fall this many runs away switches the decay off on purpose."""

FOLLOWED = 5_000
"""Rounds beyond the end of the run for which a rate is followed."""

HOME = re.compile(r"cifar|imagenet|ilsvrc|svhn", re.IGNORECASE)
"""The data sets that the schedules people copy were made for."""

PRETRAINED = re.compile(r"pretrain|weights|mean|std|stats|normali[sz]e", re.IGNORECASE)
"""Words around ImageNet's name where only its weights or its statistics are used."""

GAMMA_AT = {"StepLR": 2, "MultiStepLR": 2, "ExponentialLR": 1}
"""The position of ``gamma`` among the arguments."""

IS_RATE = re.compile(r"lr|learning_?rate|(base|init|initial)_lr")
"""What a learning rate is called when it is called nothing else."""

Kind = Literal["compounding", "faint", "never"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a course; ``since`` is the round from which it is, counted from 0."""

    kind: Kind
    since: int


@rule(
    "NN301",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=(
        *("lr_sched", "param_groups", "adjust_l", "cheduler", "lr_decay", "decay_lr", "_lr(", "learning_rate("),
        *("lr *=", "lr /="),
    ),
    requires=("epoch", ".step(", "param_groups"),
    roots=("param_groups", "sched"),
)
def inherited_lr_decay(trace: Trace) -> Iterator[Finding]:
    """A decay of the learning rate that was made for another run: it never comes, or comes far too early.

    ## Why it matters
    Schedules are copied from other people's code together with their numbers, and the numbers belong to another data
    set and another count of epochs. The rate then is near zero while most of the run is still to come, or the decay
    lies beyond the last epoch, or it is multiplied into the current rate again every epoch and collapses. The network
    still trains, only not to the end. The recipe warns of exactly this: do not trust the defaults of a decay, derive it
    from your own run, or keep the rate constant until everything else works and tune the decay last.

    ## Example
    ```python
    import torch
    from torch import nn, optim

    torch.manual_seed(0)
    inputs, targets = torch.randn(256, 10), torch.randn(256, 1)
    model = nn.Linear(10, 1)
    optimizer = optim.Adam(model.parameters(), lr=1e-4)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.1)

    for epoch in range(40):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
        scheduler.step()
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn, optim

    torch.manual_seed(0)
    epochs = 40
    inputs, targets = torch.randn(256, 10), torch.randn(256, 1)
    model = nn.Linear(10, 1)
    optimizer = optim.Adam(model.parameters(), lr=1e-4)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)

    for epoch in range(epochs):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
        scheduler.step()
    ```

    ## How it is confirmed
    The script's own loops are gone through for all epochs with everything that sets the rate: its optimizer on a
    parameter of ours, its scheduler, its functions. Models, data and the steps of the optimizer are left out, and
    the rate is read wherever the optimizer would step. Confirmed is a rate that is below 1 % of its highest for a
    quarter of the run or more, one that never falls although the same lines lower it in a later epoch, or one that
    collapses where the same lines with the first rate put back before every epoch do not; refuted is a rate that the
    run keeps up, or lowers, after all. It abstains where the loops or what sets the rate in them cannot be run, and
    where they may be left early, for a reason that is not run, and the verdict would be another.

    ## When it stays silent
    - The schedule is computed from the number of epochs, or goes by a metric.
    - The rate is below 1 % of its start for less than a quarter of the run, or not below 0.5 % at the end: two falls by
      ten, one late fall, a floor (`eta_min`, `max(lr, 1e-5)`), warm restarts.
    - The recipe is at home: ImageNet's and CIFAR's schedules on ImageNet and CIFAR.
    - The loop may end before the rate is faint (early stopping), goes on with the schedule of a loop before it, or
      counts episodes.
    - A setting puts the decay so far away that it is switched off on purpose.
    - The number of epochs, or what the schedule depends on, is not known to the script.
    """
    reported: set[int] = set()
    for finding in chain(_of_factors(trace), _of_courses(trace), _of_functions(trace)):
        if id(finding.place.node) not in reported:
            reported.add(id(finding.place.node))
            yield finding


# --- courses ---------------------------------------------------------------------------------------------------------


def _of_courses(trace: Trace) -> Iterator[Finding]:
    """Schedules whose rate over the whole run is known."""
    for run in trace.runs:
        for course in courses(run):
            verdict = judge(course)
            place = _anchor(trace, run, course) if verdict is not None else None
            if verdict is None or place is None:
                continue
            if verdict.kind != "faint" or _is_gone(course) or not _is_at_home(trace, course):
                finding = SAID[verdict.kind](course, verdict.since, place)
                yield replace(finding, experiment=partial(_experiment, trace, run, course, verdict))


def _experiment(trace: Trace, run: Run, course: Course, verdict: Verdict) -> Experiment | None:
    """The script's own loops, run for the rates alone."""
    settings: dict[str, Json] = {"finding": verdict.kind, "unit": course.unit}
    if verdict.kind == "never":
        cosine = course.scheduler is not None and course.scheduler.name == "CosineAnnealingLR"
        further = verdict.since - len(course.rates) + 2
        settings["tolerance"] = SHALLOW if cosine else STEADY
        settings["beyond"] = further if 0 < further <= FOLLOWED else 0
    schedule = Schedule(course.changes[0].optimizer, course.loop, course.scheduler)
    return rehearsal(trace, run, schedule, settings)


def judge(course: Course) -> Verdict | None:
    """What is wrong with a course of the learning rate, if anything."""
    if _is_gone(course) and any(map(_is_compounding, course.changes)):
        return Verdict("compounding", _faint_since(course))
    verdict = _never(course) or _faint(course)
    return None if verdict is not None and (is_computed(course) or _counts_episodes(course)) else verdict


def _is_gone(course: Course) -> bool:
    return course.rates[-1] < GONE * max(course.rates)


def _is_compounding(change: Change) -> bool:
    return isinstance(change.event, SetRate) and compounding_since(change.event) is not None


def _faint_since(course: Course) -> int:
    """The first round from which the rate is faint to the end; the number of rounds if it never is."""
    bound = FAINT * max(course.rates) * (1 - STEADY)
    since = len(course.rates)
    while since and course.rates[since - 1] < bound:
        since -= 1
    return since


def _faint(course: Course) -> Verdict | None:
    rounds, since = len(course.rates), _faint_since(course)
    if rounds < SHORT or rounds - since < LONG * rounds or course.rates[-1] >= LAST * max(course.rates):
        return None
    return None if _may_end_early(course) else Verdict("faint", since)


def _never(course: Course) -> Verdict | None:
    highest, rounds, scheduler = max(course.rates), len(course.rates), course.scheduler
    cosine = scheduler is not None and scheduler.name == "CosineAnnealingLR"
    if rounds < TRIED_OUT or min(course.rates) < (1 - (SHALLOW if cosine else STEADY)) * highest:
        return None
    later = [] if cosine else course.later(min(max(300, SWITCHED_OFF * rounds), FOLLOWED))
    since = next((number for number, rate in enumerate(later, rounds) if rate < (1 - STEADY) * highest), None)
    if since is None and scheduler is not None:
        since = _first_fall(scheduler)
    if since is None or (since >= SWITCHED_OFF * rounds and _has_settings(course)):
        return None
    return Verdict("never", since)


def _first_fall(scheduler: Object) -> int | None:
    """The number of steps after which a scheduler of torch first lowers the rate (a cosine: has lowered it)."""
    options = Options(scheduler)
    if scheduler.name in ("StepLR", "MultiStepLR") and options.number(2, "gamma", 0.1) >= 1:
        return None
    milestones = numbers(options.value(1, "milestones")) if scheduler.name == "MultiStepLR" else None
    if milestones:
        return int(first) if math.isfinite(first := min(milestones)) else None
    name = {"StepLR": "step_size", "CosineAnnealingLR": "T_max"}.get(scheduler.name)
    steps = math.nan if name is None else options.number(1, name)
    return int(steps) if math.isfinite(steps) else None


def _has_settings(course: Course) -> bool:
    return any(isinstance(leaf, Setting) for value in course.expressions() for leaf in leaves(value))


def is_computed(course: Course) -> bool:
    """Whether the schedule is written in terms of the number of rounds."""
    rounds = leaves(course.loop.count)
    used = [leaf for expression in course.expressions() for leaf in leaves(expression)]
    if any(same(leaf, other) for leaf in used for other in rounds):
        return True
    loop = course.loop.node
    return isinstance(loop, cst.For) and not spoken(loop.iter).isdisjoint(course.words())


def _counts_episodes(course: Course) -> bool:
    loop = course.loop.node
    words = spoken(loop.iter) if isinstance(loop, cst.For) else set()
    return any(map(EPISODES.search, (course.loop.target, *words)))


def _may_end_early(course: Course) -> bool:
    """Whether the body of the loop can leave it."""
    loop = course.loop.node
    return isinstance(loop, (cst.For, cst.While)) and _leaves(loop.body)


def _leaves(node: cst.CSTNode) -> bool:
    nested = (cst.For, cst.While, cst.FunctionDef, cst.ClassDef, cst.BaseExpression)
    return isinstance(node, (cst.Break, cst.Return)) or any(
        _leaves(child) for child in node.children if not isinstance(child, nested)
    )


def _is_at_home(trace: Trace, course: Course) -> bool:
    """Whether the script trains on a data set that copied schedules come from."""
    sources = {trace.source.path: trace.source, course.loop.source.path: course.loop.source}
    for source in sources.values():
        if HOME.search(source.path.name):
            return True
        for line in source.text.split("\n"):
            code = line.partition("#")[0]
            if HOME.search(code) and not PRETRAINED.search(code):
                return True
    return False


# --- functions that are called every epoch ----------------------------------------------------------------------------


def compounding_since(event: SetRate) -> tuple[int, float] | None:
    """The first round from which every round shrinks the current rate, and by what; None if none does."""
    shrinks = factors(event)
    if shrinks is None or math.isclose(min(shrinks), max(shrinks)):
        return None
    since = len(shrinks)
    while since and shrinks[since - 1] <= 0.5:
        since -= 1
    return (since, shrinks[since]) if len(shrinks) - since >= SHORT else None


def _of_functions(trace: Trace) -> Iterator[Finding]:
    """Functions of this file that would collapse the rate in any run that is long enough."""
    for event in trace.of(SetRate):
        found = compounding_since(event) if event.place.source is trace.source else None
        if found is not None:
            since, factor = found
            yield Finding(
                event.place,
                f"{COMPOUNDS} epoch: from epoch {since} on each epoch makes the rate {1 / factor:.3g} times smaller",
                HALT,
                SET_ANEW,
                fix=_set_anew(event),
                confidence=Confidence.MEDIUM,
                experiment=partial(rehearsal_of_function, event, since + 2 * SHORT),
            )


def _set_anew(event: Event) -> Fix | None:
    """``group["lr"] *= decay`` becomes ``group["lr"] = lr * decay`` where the function is given the initial rate."""
    if not event.context.calls:
        return None
    function = event.context.calls[-1].function.node
    parameters = [param.name.value for param in function.params.params]
    given = next((name for name in parameters if RATE_NAME.search(name) and "decay" not in name), None)
    statement = _multiplication(function, event.place.node)
    if given is None or statement is None:
        return None
    write = event.place.source.module.code_for_node
    text = f"{write(statement.target)} = {given} * {write(statement.value)}"
    return Fix("set the rate from the initial one", (Edit("replace", Place(event.place.source, statement), text),))


def _multiplication(node: cst.CSTNode, target: cst.CSTNode) -> cst.AugAssign | None:
    """The ``*=`` below ``node`` whose target is ``target``."""
    if isinstance(node, cst.AugAssign):
        return node if node.target is target and isinstance(node.operator, cst.MultiplyAssign) else None
    return next((found for child in node.children if (found := _multiplication(child, target)) is not None), None)


# --- factors ---------------------------------------------------------------------------------------------------------


def _of_factors(trace: Trace) -> Iterator[Finding]:
    """Schedulers whose factor is the learning rate itself."""
    for event in trace.of(Build):
        scheduler = event.value
        if event.place.source is not trace.source or not isinstance(scheduler, Object):
            continue
        position = GAMMA_AT.get(scheduler.name) if scheduler.kind == "scheduler" else None
        if position is None:
            continue
        gamma, written = scheduler.arguments.get(position, "gamma"), argument_of(event.place.node, position, "gamma")
        if gamma is not None and written is not None and _is_rate(scheduler, gamma, written):
            yield Finding(
                event.place,
                f"{scheduler.name} multiplies the learning rate by the learning rate: "
                f"gamma={event.place.source.module.code_for_node(written)}",
                "gamma is the factor of each fall, and the first one ends the training",
                "give gamma a factor of its own, such as 0.1 or 0.5",
                confidence=Confidence.HIGH,
                experiment=partial(_experiment_on_factor, trace, event, scheduler),
            )


def _experiment_on_factor(trace: Trace, build: Build, scheduler: Object) -> Experiment | None:
    """The optimizer and the scheduler as the script builds them, stepped alone."""
    run = next(run for run in trace.runs if build in run.events)
    optimizer = by_default(scheduler.arguments.get(0, "optimizer"))
    if optimizer is None:
        return None
    schedule = Schedule(optimizer, None, scheduler)
    return rehearsal(trace, run, schedule, {"finding": "factor", "needs rate": True})


def _is_rate(scheduler: Object, gamma: Value, written: cst.BaseExpression) -> bool:
    optimizer = by_default(scheduler.arguments.get(0, "optimizer"))
    rate = optimizer.arguments.get(1, "lr") if isinstance(optimizer, Object) else None
    if isinstance(gamma, Setting) and same(gamma, rate):
        return True
    words = spoken(written)
    return len(words) == 1 and all(map(IS_RATE.fullmatch, words))


# --- what is said ----------------------------------------------------------------------------------------------------

COMPOUNDS = "the decay is multiplied into the current learning rate again every"
HALT = "the current rate holds the earlier decays already, so they compound and training comes to a halt"
SET_ANEW = "set the rate from the initial one: `param_group['lr'] = initial_lr * decay`"


def _anchor(trace: Trace, run: Run, course: Course) -> Place | None:
    """Where the schedule is made in the file that is read: where it is written, or where its function is called."""
    event: Event | None = course.changes[0].event
    if course.scheduler is not None:
        event = next((build for build in run.of(Build) if build.value is course.scheduler), None)
    if event is None:
        return None
    if event.place.source is trace.source:
        return event.place
    return next((site.place for site in reversed(event.context.calls) if site.place.source is trace.source), None)


def _say_compounding(course: Course, since: int, place: Place) -> Finding:
    return Finding(
        place,
        f"{COMPOUNDS} {course.unit}, which brings it {_below(course, since)}",
        HALT,
        SET_ANEW,
        _notes(course, place),
        fix=next(filter(None, (_set_anew(change.event) for change in course.changes)), None),
        severity=Severity.ERROR,
        confidence=_confidence(course),
    )


def _say_never(course: Course, since: int, place: Place) -> Finding:
    unit, rounds = course.unit, len(course.rates)
    return Finding(
        place,
        f"the learning rate stays {_rate(course, 0)} in all {rounds} {unit}s of the run: {_why_never(course, since)}",
        "the script speaks of a decay that it does not have",
        f"derive the decay from the number of {unit}s, or leave it out",
        _notes(course, place),
        confidence=_confidence(course),
    )


def _say_faint(course: Course, since: int, place: Place) -> Finding:
    return Finding(
        place,
        f"{_described(course)} brings the learning rate {_below(course, since)}",
        "with so small a rate the weights hardly move: that part of the run teaches nothing",
        f"derive the decay from the number of {course.unit}s (a cosine over the run, one late fall), or leave it out",
        _notes(course, place),
        confidence=_confidence(course),
    )


SAID: dict[Kind, Callable[[Course, int, Place], Finding]] = {
    "compounding": _say_compounding,
    "never": _say_never,
    "faint": _say_faint,
}


def _confidence(course: Course) -> Confidence:
    return Confidence.MEDIUM if course.relative else Confidence.HIGH


def _below(course: Course, since: int) -> str:
    rounds = len(course.rates)
    return (
        f"below 1 % of its start from {course.unit} {course.first + since} on, for {rounds - since} of the run's "
        f"{rounds} {course.unit}s ({_rate(course, 0)} at the start, {_rate(course, -1)} at the end)"
    )


def _why_never(course: Course, since: int) -> str:
    if course.scheduler is not None and course.scheduler.name == "CosineAnnealingLR":
        return f"{_described(course)} has hardly begun when it ends"
    if since == 0:
        return "a step_size below 1 is no number of epochs"
    return f"{_described(course)} would first lower it at {course.unit} {course.first + since}"


def _notes(course: Course, place: Place) -> tuple[Note, ...]:
    loop = course.loop.node
    defaults = " by default" if any(isinstance(leaf, Setting) for leaf in leaves(course.loop.count)) else ""
    counted = Place(course.loop.source, loop.iter if isinstance(loop, cst.For) else loop)
    notes = [Note(counted, f"the run has {len(course.rates)} {course.unit}s{defaults}")]
    changed = course.changes[0].event.place
    if changed.node is not place.node:
        what = (
            "the rate is set here" if course.scheduler is None else f"it is stepped here, once in every {course.unit}"
        )
        notes.append(Note(changed, what))
    return tuple(notes)


def _rate(course: Course, number: int) -> str:
    rate = course.rates[number]
    if course.relative:
        return "at its start" if number == 0 else f"{rate / course.rates[0]:.2g} of it"
    return f"{rate:.3g}"


def _described(course: Course) -> str:
    """The schedule in the words of its numbers."""
    scheduler = course.scheduler
    if scheduler is None:
        return "the script's schedule"
    options, unit = Options(scheduler), course.unit
    if scheduler.name == "StepLR":
        size = options.number(1, "step_size")
        every = unit if size == 1 else f"{size:g} {unit}s"
        return f"StepLR (times {options.number(2, 'gamma', 0.1):g} every {every})"
    if scheduler.name == "MultiStepLR":
        milestones = ", ".join(f"{each:g}" for each in numbers(options.value(1, "milestones")) or [])
        return f"MultiStepLR (times {options.number(2, 'gamma', 0.1):g} at {milestones})"
    if scheduler.name == "ExponentialLR":
        return f"ExponentialLR (times {options.number(1, 'gamma'):g} every {unit})"
    if scheduler.name == "CosineAnnealingLR":
        return f"CosineAnnealingLR over {options.number(1, 'T_max'):g} {unit}s"
    return scheduler.name
