"""Decisions by a figure: the checkpoint that is kept, and the end of the training."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import libcst as cst

from nnlint.evidence.figures import everything_in, learning_loops, measured_on
from nnlint.evidence.loaders import anchor
from nnlint.evidence.rates import PLATEAU
from nnlint.evidence.rounds import stepped
from nnlint.evidence.seeding import contains
from nnlint.rule import Place
from nnlint.symbolic.trace import Break, CallSite, Condition, Event, Forward, Run, Save, SchedulerStep, Trace
from nnlint.symbolic.values import Carried, Choice, Loop, Operation, Setting, Symbol, Tensor, Unknown, Value
from nnlint.symbolic.words import below

COMPARISONS = ("<", "<=", ">", ">=")

RECORD = re.compile(r"best|(^|_)(min|max|prev|previous|last|record|highest|lowest)(_|$)", re.IGNORECASE)
"""Names of the figure that a new one is compared with."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """A checkpoint that is kept, or a loop that is left, because of a figure; ``data`` is what it was measured on."""

    event: Save | Break
    condition: Condition
    loop: Loop
    figure: Value
    data: tuple[Value, ...]

    @property
    def stops(self) -> bool:
        """Whether it ends the training."""
        return isinstance(self.event, Break)


@dataclass(frozen=True, slots=True, eq=False)
class Adjustment:
    """A rate that a scheduler lowers when a figure stands still; ``data`` is what it was measured on."""

    event: SchedulerStep
    loop: Loop
    data: tuple[Value, ...]


def adjustments(run: Run) -> Iterator[Adjustment]:
    """The steps of schedulers that wait for a plateau, in the rounds of a loop that trains."""
    for event in run.of(SchedulerStep):
        loop = training_loop(run, event) if event.argument is not None else None
        if loop is None or event.argument is None or not any(item.name in PLATEAU for item in stepped(event)):
            continue
        data = measured_on(event.argument)
        if data:
            yield Adjustment(event, loop, tuple(data))


def decisions(run: Run) -> Iterator[Decision]:
    """The decisions that a run takes in the rounds of a loop that trains."""
    for event in run.events:
        if not isinstance(event, (Save, Break)):
            continue
        loop = training_loop(run, event)
        if loop is None or (isinstance(event, Break) and not is_left_by(loop, event.place.node)):
            continue
        found = (
            Decision(event, condition, loop, contest.figure, tuple(data))
            for condition in reversed(event.context.conditions)
            for contest in contests(condition.test)
            if (data := measured_on(contest.figure))
        )
        yield from islice(found, 1)


def place_of(trace: Trace, run: Run, decision: Decision) -> Place | None:
    """The condition where the figure is at hand, else the call that hands the figure on to it."""
    place = decision.condition.place
    for site in reversed(decision.event.context.calls):
        if not contains(site.function.node, place.node):
            continue
        if place.source is trace.source and (contains(site.function.node, decision.loop.node) or _runs(run, site)):
            return place
        place = site.place
    return place if place.source is trace.source else anchor(trace, decision.event)


def _runs(run: Run, site: CallSite) -> bool:
    """Whether the model is run in a function that is called."""
    return any(site.function.node is each.function.node for event in run.of(Forward) for each in event.context.calls)


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """A comparison of a figure with the best one of earlier rounds."""

    figure: Value
    record: Value


def contests(test: Value) -> Iterator[Contest]:
    """The comparisons that a test depends on, of a figure with its record."""
    for item in everything_in(test):
        sides = compared(item)
        if sides is not None:
            left, right = sides
            for figure, record in ((left, right), (right, left)):
                if _is_record(record, figure):
                    yield Contest(figure, record)
                    break


def compared(value: Value, *further: str) -> tuple[Value, Value] | None:
    """The two sides of a comparison by size, or by one of ``further`` operators; None for anything else."""
    operators = (*COMPARISONS, *further)
    if isinstance(value, Operation) and value.op in operators and len(value.args) == 2:
        return value.args[0], value.args[1]
    origin = value.origin
    if origin is not None and origin.op in operators and len(origin.inputs) == 2:
        return origin.inputs[0], origin.inputs[1]
    return None


def _is_record(value: Value, figure: Value) -> bool:
    """Whether a value is the figure of an earlier round, the best of them as a rule."""
    if isinstance(value, Choice) and value.test is not None:
        sides = compared(value.test)
        if sides is not None and (value.yes in sides or value.no in sides):
            return True  # the better of two
    for item in everything_in(value, lambda item: isinstance(item, Carried)):
        if isinstance(item, Carried) and item.update is not None and RECORD.search(item.name):
            return True
        if isinstance(item, (Unknown, Tensor, Symbol, Setting)) and RECORD.search(item.name):
            return True
        if isinstance(item, Carried) and item.update is not None and item is not figure:
            return any(part is figure for part in everything_in(item.update))
    return False


def training_loop(run: Run, event: Event) -> Loop | None:
    """The outermost loop around an event in which something is learned as well; None if there is none."""
    for loop in event.context.loops:
        if id(loop) in learning_loops(run):
            return loop
    return None


def is_left_by(loop: Loop, node: cst.CSTNode) -> bool:
    """Whether a ``break`` stands in a loop itself, not in one inside it."""
    if not isinstance(loop.node, (cst.For, cst.While)):
        return False
    inner = (item for item in below(loop.node.body) if isinstance(item, (cst.For, cst.While)))
    return _holds(loop.node.body, node) and not any(_holds(each.body, node) for each in inner)


def _holds(body: cst.CSTNode, node: cst.CSTNode) -> bool:
    lines = (item for item in below(body) if type(item) in (cst.SimpleStatementLine, cst.SimpleStatementSuite))
    return any(small is node for line in lines for small in getattr(line, "body", ()))
