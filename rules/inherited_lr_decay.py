"""NN301: a decay of the learning rate that does not fit the run it is in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.schedule import (
    RATE_NAME,
    Course,
    Options,
    by_default,
    courses,
    is_current_rate,
    leaves,
    numbers,
    pulses,
    rate_arguments,
    spoken,
)
from nnlint.symbolic.trace import Build, Event, Run, SetRate
from nnlint.symbolic.values import Object, Setting, Value, same

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

FAINT = 0.01
"""A rate below this share of the highest one hardly moves the weights."""

LONG = 0.25
"""A faint rate over this share of the run is too long."""

LAST = 0.005
"""The rate must end below this share of the highest one: two falls by ten are no finding."""

GONE = 1e-4
"""Below this share of the highest rate nothing is learned, on any data set."""

SHORT = 10
"""Runs of fewer rounds are tried out, not trained."""

STEADY = 0.02
"""A rate that changes by no more than this share is constant."""

SWITCHED_OFF = 20
"""A setting that puts the first fall this many runs away switches the decay off on purpose."""

HOME = re.compile(r"cifar|imagenet|ilsvrc|svhn", re.IGNORECASE)
"""The data sets that the schedules people copy were made for."""

PRETRAINED = re.compile(r"pretrain|weights|mean|std|stats|normali[sz]e", re.IGNORECASE)
"""Words around ImageNet's name where only its weights or its statistics are used."""

GAMMA_AT = {"StepLR": 2, "MultiStepLR": 2, "ExponentialLR": 1}
"""The position of ``gamma`` among the arguments."""

Kind = Literal["compounding", "faint", "never"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a course; ``since`` is the round from which it is, counted from 0."""

    kind: Kind
    since: int | None


@rule("NN301", severity=Severity.WARNING, since="0.1.0", mentions=("param_groups", "lr_scheduler", "optimizer", "optim"))
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
    The script's optimizer and schedule will be stepped as the script's own loops step them, and the rate of every epoch
    measured: the first one below 1 % of the start, how many there are, and the last.

    ## When it stays silent
    - The schedule is computed from the number of epochs, or goes by a metric.
    - The rate is below 1 % of its start for less than a quarter of the run, or not below 0.5 % at the end: two falls by
      ten, one late fall, a floor (`eta_min`, `max(lr, 1e-5)`), warm restarts.
    - The recipe is at home: ImageNet's and CIFAR's schedules on ImageNet and CIFAR.
    - The loop may end before the rate is faint (early stopping).
    - A setting puts the decay so far away that it is switched off on purpose.
    - The number of epochs, or what the schedule depends on, is not known to the script.
    """
    reported: set[int] = set()
    for finding in chain(_of_courses(trace), _of_functions(trace), _of_factors(trace)):
        if id(finding.place.node) not in reported:
            reported.add(id(finding.place.node))
            yield finding


# --- courses ---------------------------------------------------------------------------------------------------------


def _of_courses(trace: Trace) -> Iterator[Finding]:
    """Schedules whose rate over the whole run is known."""
    for run in trace.runs:
        for course in courses(run):
            verdict = judge(course)
            place = _anchor(trace, run, course)
            if verdict is None or place is None:
                continue
            if verdict.kind == "faint" and not _is_gone(course) and _is_at_home(trace, course):
                continue
            yield _finding(course, verdict, place)


def judge(course: Course) -> Verdict | None:
    """What is wrong with a course of the learning rate, if anything."""
    if _compounds(course) and course.rates[-1] < GONE * max(course.rates):
        return Verdict("compounding", _faint_since(course))
    verdict = _never(course) or _faint(course)
    return None if verdict is not None and is_computed(course) else verdict


def _faint_since(course: Course) -> int:
    """The first round from which the rate is faint to the end; the number of rounds if it never is."""
    bound = FAINT * max(course.rates) * (1 - 1e-6)
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
    highest, rounds = max(course.rates), len(course.rates)
    if rounds < 3 or min(course.rates) < (1 - STEADY) * highest:
        return None
    scheduler = course.scheduler
    if scheduler is not None and scheduler.name == "StepLR" and 0 < Options(scheduler).number(1, "step_size") < 1:
        return Verdict("never", None)
    later = course.later(max(300, SWITCHED_OFF * rounds))
    falls = (number for number, rate in enumerate(later, rounds) if rate < (1 - STEADY) * highest)
    since = next(falls, None)
    if since is not None:
        return Verdict("never", since)
    if scheduler is not None and scheduler.name == "CosineAnnealingLR" and not _settings(scheduler):
        return Verdict("never", None)
    return None


def _compounds(course: Course) -> bool:
    return any(isinstance(event, SetRate) and is_compounding(event) for event in course.causes)


def _is_gone(course: Course) -> bool:
    return course.rates[-1] < GONE * max(course.rates)


def _settings(scheduler: Object) -> list[Value]:
    return [leaf for argument in rate_arguments(scheduler) for leaf in leaves(argument) if isinstance(leaf, Setting)]


def is_computed(course: Course) -> bool:
    """Whether the schedule is written in terms of the number of rounds."""
    length = leaves(course.loop.count)
    used = [leaf for expression in course.expressions() for leaf in leaves(expression)]
    if any(same(leaf, other) for leaf in used for other in length):
        return True
    loop = course.loop.node
    return isinstance(loop, cst.For) and not spoken(loop.iter).isdisjoint(course.words())


def _may_end_early(course: Course) -> bool:
    """Whether the body of the loop can leave it."""
    loop = course.loop.node
    return isinstance(loop, (cst.For, cst.While)) and _leaves(loop.body)


def _leaves(node: cst.CSTNode) -> bool:
    for child in node.children:
        if isinstance(child, (cst.Break, cst.Return)):
            return True
        if isinstance(child, (cst.FunctionDef, cst.ClassDef, cst.Lambda, cst.BaseExpression)):
            continue
        if isinstance(child, (cst.For, cst.While)):
            continue
        if _leaves(child):
            return True
    return False


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


def is_compounding(event: SetRate) -> bool:
    """Whether a power of the epoch is multiplied into the current rate again and again."""
    return compounding_since(event) is not None


def compounding_since(event: SetRate) -> tuple[int, float] | None:
    """The first round from which every round shrinks the current rate, and by what; None if it is set anew."""
    factors = pulses(event)
    if factors is None:
        return None
    since = len(factors)
    while since and factors[since - 1] <= 0.5:
        since -= 1
    constant = max(factors) - min(factors) < 1e-12
    return None if constant or len(factors) - since < 10 else (since, factors[since])


def _of_functions(trace: Trace) -> Iterator[Finding]:
    """Functions of this file that would collapse the rate in any run that is long enough."""
    for event in trace.of(SetRate):
        found = compounding_since(event) if event.place.source is trace.source else None
        if found is None:
            continue
        since, factor = found
        yield Finding(
            event.place,
            f"the decay is multiplied into the current learning rate again every epoch: from epoch {since} on each "
            f"epoch makes the rate {_times(1 / factor)} smaller",
            "the current rate holds the earlier decays already, so they compound and training comes to a halt",
            "set the rate from the initial one: `param_group['lr'] = initial_lr * decay`",
            fix=_set_anew(event),
            confidence=Confidence.MEDIUM,
        )


def _set_anew(event: SetRate) -> Fix | None:
    """``group["lr"] *= decay`` becomes ``group["lr"] = lr * decay`` where the function is given the initial rate."""
    if not event.context.calls:
        return None
    function = event.context.calls[-1].function.node
    parameters = [param.name.value for param in function.params.params]
    given = next((name for name in parameters if RATE_NAME.search(name) and "decay" not in name), None)
    statement = _augmented(function, event.place.node)
    if given is None or statement is None:
        return None
    write = event.place.source.module.code_for_node
    text = f"{write(statement.target)} = {given} * {write(statement.value)}"
    return Fix("set the rate from the initial one", (Edit("replace", Place(event.place.source, statement), text),))


def _augmented(node: cst.CSTNode, target: cst.CSTNode) -> cst.AugAssign | None:
    """The ``*=`` below ``node`` whose target is ``target``."""
    if isinstance(node, cst.AugAssign):
        return node if node.target is target and isinstance(node.operator, cst.MultiplyAssign) else None
    return next((found for child in node.children if (found := _augmented(child, target)) is not None), None)


# --- factors ---------------------------------------------------------------------------------------------------------


def _of_factors(trace: Trace) -> Iterator[Finding]:
    """Schedulers whose factor is the learning rate itself."""
    for event in trace.of(Build):
        scheduler = event.value
        if event.place.source is not trace.source or not isinstance(scheduler, Object):
            continue
        if scheduler.kind != "scheduler" or scheduler.name not in GAMMA_AT:
            continue
        gamma = scheduler.arguments.get(GAMMA_AT[scheduler.name], "gamma")
        written = _written(event.place.node, GAMMA_AT[scheduler.name], "gamma")
        if gamma is None or written is None or not _is_rate(scheduler, gamma, written):
            continue
        text = event.place.source.module.code_for_node(written)
        yield Finding(
            event.place,
            f"{scheduler.name} multiplies the learning rate by the learning rate: gamma={text}",
            "gamma is the factor of each fall; the first one ends the training",
            "give gamma a factor of its own, such as 0.1 or 0.5",
            confidence=Confidence.HIGH,
        )


def _written(node: cst.CSTNode, position: int, name: str) -> cst.BaseExpression | None:
    """The expression that a call is given for an argument."""
    if not isinstance(node, cst.Call):
        return None
    for number, arg in enumerate(node.args):
        if arg.keyword is not None and arg.keyword.value == name:
            return arg.value
        if arg.keyword is None and arg.star == "" and number == position:
            return arg.value
    return None


def _is_rate(scheduler: Object, gamma: Value, written: cst.BaseExpression) -> bool:
    optimizer = by_default(scheduler.arguments.get(0, "optimizer"))
    rate = optimizer.arguments.get(1, "lr") if isinstance(optimizer, Object) else None
    if isinstance(gamma, Setting) and rate is not None and same(gamma, rate):
        return True
    words = spoken(written)
    return len(words) == 1 and all(re.fullmatch(r"lr|learning_?rate|(base|init|initial)_lr", word) for word in words)


# --- what is said ----------------------------------------------------------------------------------------------------


def _anchor(trace: Trace, run: Run, course: Course) -> Place | None:
    """Where the schedule is made in the file that is read: where it is written, or where its function is called."""
    event: Event | None = course.causes[0]
    if course.scheduler is not None:
        event = next((build for build in run.of(Build) if build.value is course.scheduler), None)
    if event is None:
        return None
    if event.place.source is trace.source:
        return event.place
    sites = (site.place for site in reversed(event.context.calls) if site.place.source is trace.source)
    return next(sites, None)


def _finding(course: Course, verdict: Verdict, place: Place) -> Finding:
    rounds = len(course.rates)
    unit = course.unit
    schedule = _described(course)
    notes = [_loop_note(course)]
    made = course.causes[0].place
    if made.node is not place.node:
        stepped = "the rate is set here" if course.scheduler is None else f"it is stepped here, once in every {unit}"
        notes.append(Note(made, stepped))
    confidence = Confidence.MEDIUM if course.relative else Confidence.HIGH
    if verdict.kind == "never":
        if verdict.since is None:
            when = f"{schedule} does not lower it in any run"
        else:
            when = f"{schedule} would first lower it at {unit} {course.first + verdict.since}"
        return Finding(
            place,
            f"the learning rate stays {_rate(course, 0)} in all {rounds} {unit}s of the run: {when}",
            "the script speaks of a decay that it does not have",
            f"derive the decay from the number of {unit}s, or leave it out",
            tuple(notes),
            confidence=confidence,
        )
    assert verdict.since is not None
    since, faint = verdict.since, rounds - verdict.since
    course_of_it = (
        f"below 1 % of its start from {unit} {course.first + since} on, for {faint} of the run's {rounds} {unit}s "
        f"({_rate(course, 0)} at the start, {_rate(course, -1)} at the end)"
    )
    if verdict.kind == "compounding":
        return Finding(
            place,
            f"the decay is multiplied into the current learning rate again every {unit}, which brings it {course_of_it}",
            "the current rate holds the earlier decays already, so they compound and training comes to a halt",
            "set the rate from the initial one: `param_group['lr'] = initial_lr * decay`",
            tuple(notes),
            fix=next((_set_anew(event) for event in course.causes if isinstance(event, SetRate)), None),
            severity=Severity.ERROR,
            confidence=confidence,
        )
    return Finding(
        place,
        f"{schedule} brings the learning rate {course_of_it}",
        "with so small a rate the weights hardly move: that part of the run teaches nothing",
        f"derive the decay from the number of {unit}s (a cosine over the run, or one late fall), or keep the rate constant",
        tuple(notes),
        confidence=confidence,
    )


def _loop_note(course: Course) -> Note:
    loop = course.loop.node
    node = loop.iter if isinstance(loop, cst.For) else loop
    defaults = " by default" if any(isinstance(leaf, Setting) for leaf in leaves(course.loop.count)) else ""
    return Note(Place(course.loop.source, node), f"the run has {len(course.rates)} {course.unit}s{defaults}")


def _rate(course: Course, number: int) -> str:
    rate = course.rates[number]
    if course.relative:
        return "at its start" if number == 0 else f"{rate / course.rates[0]:.2g} of it"
    return f"{rate:.3g}"


def _times(factor: float) -> str:
    return f"{factor:.3g} times"


def _described(course: Course) -> str:
    """The schedule in the words of its numbers."""
    scheduler = course.scheduler
    if scheduler is None:
        return "the script's schedule"
    options = Options(scheduler)
    if scheduler.name == "StepLR":
        size, gamma = options.number(1, "step_size"), options.number(2, "gamma", 0.1)
        return f"StepLR (times {gamma:g} every {size:g} {course.unit}s)"
    if scheduler.name == "MultiStepLR":
        milestones = numbers(options.value(1, "milestones")) or []
        return f"MultiStepLR (times {options.number(2, 'gamma', 0.1):g} at {', '.join(f'{each:g}' for each in milestones)})"
    if scheduler.name == "ExponentialLR":
        return f"ExponentialLR (times {options.number(1, 'gamma'):g} every {course.unit})"
    if scheduler.name == "CosineAnnealingLR":
        return f"CosineAnnealingLR over {options.number(1, 'T_max'):g} {course.unit}s"
    return scheduler.name
