"""The learning rate over a run: what schedulers, and the script itself, make of it, round by round."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice, takewhile

import libcst as cst

from nnlint.evidence.leaves import by_default, is_current_rate, is_first_rate, leaves, lengths
from nnlint.evidence.rates import NO_RATE, Options, Rate, base_rate, rate_arguments, rate_of
from nnlint.evidence.rounds import (
    conditions_of_training,
    happens_by_default,
    inner_loops,
    is_optimizer_built,
    is_presumed,
    last_reading,
    loops_of_rates,
    outcome,
    stepped,
)
from nnlint.symbolic.loops import EPOCH
from nnlint.symbolic.scalar import LARGEST, evaluate, is_loop_dependent, number
from nnlint.symbolic.trace import Build, Condition, Event, Run, SchedulerStep, SetRate, Step
from nnlint.symbolic.values import Carried, Const, Function, Index, Loop, Object, Unknown, Value
from nnlint.symbolic.words import below

LONGEST = 5_000
"""Rounds that are followed; loops that go round more often are not."""

RATE_NAME = re.compile(r"(^|_)(lr|learning_?rate)($|_)", re.IGNORECASE)
"""Names that a learning rate goes by."""


class Unpredictable(Exception):
    """A rate depends on what only the run can tell."""


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """An event that changes the rate of an optimizer: it sets it to ``rate``, or steps ``scheduler``."""

    event: Event
    optimizer: Value
    rate: Value | None = None
    scheduler: Object | None = None
    argument: Value | None = None

    @property
    def expressions(self) -> list[Value]:
        """What the change depends on, but for the scheduler's own arguments."""
        own = [value for value in (self.rate, self.argument) if value is not None]
        return [*own, *(condition.test for condition in self.event.context.conditions)]


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """The learning rate over a run.

    ``rates`` are those that the rounds of ``loop`` train with; where the optimizer's rate is not known they count
    from 1 (``relative``). ``first`` is the number of the first round. ``scheduler`` is None for rates that the script
    sets itself.
    """

    loop: Loop
    rates: tuple[float, ...]
    changes: tuple[Change, ...]
    scheduler: Object | None
    relative: bool
    first: int
    later: Callable[[int], list[float]]
    """The rates that as many more rounds would train with, as far as they can be told."""

    @property
    def unit(self) -> str:
        """What the rounds are."""
        return "epoch" if self.loop.kind == Loop.EPOCHS else "iteration"

    def expressions(self) -> list[Value]:
        """The values that the rates are computed from."""
        if self.scheduler is not None:
            return rate_arguments(self.scheduler)
        return [value for change in self.changes for value in change.expressions]

    def words(self) -> set[str]:
        """The names that the rates are written with."""
        if self.scheduler is not None:
            return {word for node in _written(self.scheduler) for word in spoken(node)}
        return {word for change in self.changes for word in _words_around(change.event, self.loop)}


def courses(run: Run) -> Iterator[Course]:
    """The learning rate over every counted loop in which it changes, one for each optimizer."""
    loops = loops_of_rates(run)
    rounds_of = {id(loop): last_reading(run, loop) for loop in loops}
    changes = [(loop, change) for loop in loops for change in _changes(run, loop, rounds_of[id(loop)])]
    groups: dict[int, list[tuple[Loop, Change]]] = {}
    for loop, change in changes:
        groups.setdefault(id(change.optimizer), []).append((loop, change))
    for group in groups.values():
        loop = group[0][0]
        rounds = number(loop.count)
        if rounds is None or not 1 <= rounds <= LONGEST or rounds != int(rounds):
            continue
        if any(other is not loop for other, _ in group) or any(_outlives(run, loop, change) for _, change in group):
            continue
        course = _course(loop, int(rounds), rounds_of[id(loop)], [change for _, change in group])
        if course is not None:
            yield course


def _outlives(run: Run, loop: Loop, change: Change) -> bool:
    """Whether what a change builds on is older than the loop that ``loop`` lies in, so that it is not begun anew."""
    around = change.event.context.loops[: change.event.context.loops.index(loop)]
    if change.scheduler is None and not any(map(is_current_rate, leaves(change.rate))):
        return False
    lasting = change.scheduler or change.optimizer
    built = next((event for event in run.of(Build) if event.value is lasting), None)
    return bool(around) and (built is None or any(each not in built.context.loops for each in around))


def _changes(run: Run, loop: Loop, events: Sequence[Event]) -> Iterator[Change]:
    """What changes the rates in a round of a loop."""
    for event in events:
        if isinstance(event, SetRate):
            yield Change(event, by_default(event.optimizer) or event.optimizer, rate=event.rate)
        elif isinstance(event, SchedulerStep):
            schedulers = stepped(event)
            optimizer = by_default(schedulers[0].arguments.get(0, "optimizer")) if len(schedulers) == 1 else None
            if optimizer is not None:
                yield Change(event, optimizer, scheduler=schedulers[0], argument=event.argument)
        elif isinstance(event, Build) and is_optimizer_built(event):
            rate = event.value.arguments.get(1, "lr")
            if is_loop_dependent(rate):
                yield Change(event, _built_before(run, loop) or event.value, rate=rate)


def _built_before(run: Run, loop: Loop) -> Value | None:
    """The optimizer that one built anew in a loop takes the place of."""
    built = [event for event in run.of(Build) if is_optimizer_built(event)]
    outside = list(takewhile(lambda event: loop not in event.context.loops, built))
    return outside[-1].value if outside else None


def _course(loop: Loop, rounds: int, events: Sequence[Event], changes: list[Change]) -> Course | None:
    try:
        replay = _Replay(loop, events, changes)
        rates = tuple(islice(replay.rates(), rounds))
    except Unpredictable:
        return None
    if not replay.changes or any(math.isnan(rate) for rate in rates):
        return None

    def later(more: int) -> list[float]:
        found: list[float] = []
        with contextlib.suppress(Unpredictable):
            found.extend(islice(replay.rates(), rounds, rounds + more))
        return found

    scheduler = replay.changes[0].scheduler
    return Course(loop, rates, tuple(replay.changes), scheduler, replay.relative, replay.first, later)


class _Replay:
    """One round of a loop, run over and over with numbers."""

    def __init__(self, loop: Loop, events: Sequence[Event], changes: list[Change]) -> None:
        self.loop = loop
        self.first, self.stride = _numbering(loop)
        self.training = conditions_of_training(events)
        self.changes = [change for change in changes if happens_by_default(change.event)]
        by_event = {id(change.event): change for change in self.changes}
        self.round = [by_event.get(id(event)) for event in events if isinstance(event, Step) or id(event) in by_event]
        self.base, self.relative = self._start()
        self.schedules = {
            id(change.scheduler): self._schedule(change) for change in self.changes if change.scheduler is not None
        }
        if len(self.schedules) > 1 or (self.schedules and any(change.rate is not None for change in self.changes)):
            # they multiply each other's rates, in an order that matters
            raise Unpredictable
        self._assume()

    def _start(self) -> tuple[float, bool]:
        """The rate before the first round, and whether it stands for one that is not known."""
        base = base_rate(self.changes[0].optimizer) if self.changes else None
        if base is not None:
            return base, False
        absolute = any(
            change.rate is not None and not any(map(is_current_rate, leaves(change.rate))) for change in self.changes
        )
        return math.nan if absolute else 1.0, True

    def _schedule(self, change: Change) -> Rate:
        scheduler = change.scheduler
        rate = rate_of(scheduler, self.base) if scheduler is not None else None
        if scheduler is None or rate is None or _is_counted(change.event, self.loop):
            raise Unpredictable
        if number(scheduler.arguments.get(None, "last_epoch") or Const(-1)) != -1:
            raise Unpredictable
        if self.relative and Options(scheduler).number(2, "eta_min", 0.0) != 0 and scheduler.name.startswith("Cosine"):
            raise Unpredictable
        return rate

    def _assume(self) -> None:
        """What stays the same over the rounds, and what a round hands on to the next."""
        expressions = [value for change in self.changes for value in change.expressions]
        atoms = {id(leaf): leaf for expression in expressions for leaf in leaves(expression)}
        self.assumed: dict[int, object] = lengths(*expressions)
        self.current = [key for key, atom in atoms.items() if is_current_rate(atom)]
        self.carried = [atom for atom in atoms.values() if isinstance(atom, Carried) and atom.loop is self.loop]
        for key, atom in atoms.items():
            if is_first_rate(atom):
                self.assumed[key] = self.base
            elif isinstance(atom, Index) and atom.loop is not self.loop:
                self.assumed[key] = number(atom.start)
        named = [key for key, atom in atoms.items() if isinstance(atom, Unknown) and RATE_NAME.search(atom.name)]
        if self.relative and len(named) == 1:
            self.assumed[named[0]] = 1.0

    def rates(self) -> Iterator[float]:
        """The rate that each round trains with, without end."""
        # a scheduler sets its first rate when it is built
        rate = next((schedule(0) for schedule in self.schedules.values()), self.base)
        steps = 0
        carried = {id(each): evaluate(each.initial, self.assumed) for each in self.carried}
        for turn in count():
            assumed = {**self.assumed, **{key: value for key, value in carried.items() if value is not None}}
            if self.loop.variable is not None:
                assumed[id(self.loop.variable)] = self.first + turn * self.stride
            trained: float | None = None
            for change in self.round:
                if change is None:
                    trained = rate if trained is None else trained
                    continue
                assumed.update(dict.fromkeys(self.current, rate))
                if not all(self._holds(condition, change, assumed) for condition in change.event.context.conditions):
                    continue
                if change.scheduler is None:
                    rate = self._set(change, assumed)
                else:
                    steps = _stepped(change, steps, assumed)
                    rate = self.schedules[id(change.scheduler)](steps)
            yield rate if trained is None else trained
            carried = {id(each): _bounded(evaluate(each.update, assumed)) for each in self.carried}

    def _holds(self, condition: Condition, change: Change, assumed: dict[int, object]) -> bool:
        found = outcome(condition.test, assumed)
        if found is not None:
            return found == condition.outcome
        if is_presumed(condition, change.event, self.training):
            return True
        raise Unpredictable

    def _set(self, change: Change, assumed: dict[int, object]) -> float:
        found = number(change.rate, assumed)
        builds_on_itself = any(is_current_rate(leaf) or isinstance(leaf, Carried) for leaf in leaves(change.rate))
        if found is None or (builds_on_itself and _is_counted(change.event, self.loop)):
            raise Unpredictable
        return found


def _numbering(loop: Loop) -> tuple[int, int]:
    """The number of the first round of a loop, and by what the numbers rise."""
    if loop.variable is None:
        return 0, 1
    first, stride = number(loop.variable.start), number(loop.variable.step)
    if first is None or stride is None or not (abs(first) <= LARGEST and abs(stride) <= LARGEST):
        raise Unpredictable
    return int(first), int(stride)


def _bounded(value: object) -> object:
    """A number that is carried on, None once it has grown beyond all use."""
    return None if isinstance(value, (int, float)) and not abs(value) <= LARGEST else value


def _is_counted(event: Event, loop: Loop) -> bool:
    """Whether an event happens many times in a round: in a loop over batches, or another counted one."""
    return any(inner.kind != Loop.OTHER or inner.count is not None for inner in inner_loops(event, loop))


def _stepped(change: Change, steps: int, assumed: dict[int, object]) -> int:
    """How many steps a scheduler has done after one more."""
    if change.argument is None:
        return steps + 1
    asked = number(change.argument, assumed)
    if asked is None or not abs(asked) <= LARGEST:
        raise Unpredictable
    return int(asked)


# --- decays that build on themselves ---------------------------------------------------------------------------------


def factors(event: SetRate, rounds: int = 200) -> list[float] | None:
    """What an assignment to the rate multiplies the current one by, round by round; None if it sets the rate anew."""
    atoms = leaves(event.rate)
    current = [leaf for leaf in atoms if is_current_rate(leaf) or _is_carried_rate(leaf)]
    turning = [leaf for leaf in atoms if _is_epoch(leaf)]
    if not current or len(turning) != 1:
        return None
    fixed = lengths(event.rate)

    def rate(before: float, turn: int) -> float | None:
        assumed = {**fixed, **{id(leaf): before for leaf in current}, id(turning[0]): turn}
        for condition in event.context.conditions:
            if outcome(condition.test, assumed) not in (None, condition.outcome):
                return before
        return number(event.rate, assumed)

    found = [rate(1.0, turn) for turn in range(rounds)]
    known = [factor for factor in found if factor is not None]
    twice = [rate(2.0, turn) for turn in range(3)]
    if len(known) < rounds or any(
        double is None or not math.isclose(double, 2 * factor) for double, factor in zip(twice, known, strict=False)
    ):
        return None
    return known


def _is_carried_rate(value: Value) -> bool:
    return isinstance(value, Carried) and RATE_NAME.search(value.name) is not None


def _is_epoch(value: Value) -> bool:
    if isinstance(value, Index):
        return value.loop.kind == Loop.EPOCHS
    return isinstance(value, Unknown) and EPOCH.search(value.name) is not None


# --- how rates are written -------------------------------------------------------------------------------------------

_COMMON = frozenset(("range", "tqdm", "trange", "len", "int", "float", "max", "min", "round", "math", "numpy", "np"))


def spoken(node: cst.CSTNode) -> set[str]:
    """The names that a piece of a script uses: of ``args.epochs`` and ``config["epochs"]`` the last part."""
    if isinstance(node, cst.Name):
        return {node.value} - _COMMON
    if isinstance(node, cst.Attribute):
        return {node.attr.value}
    if isinstance(node, cst.Subscript) and len(node.slice) == 1:
        key = node.slice[0].slice
        if isinstance(key, cst.Index) and isinstance(key.value, cst.SimpleString):
            return {str(key.value.evaluated_value)}
    return {word for child in node.children for word in spoken(child)}


def argument_of(call: cst.CSTNode, position: int, name: str) -> cst.BaseExpression | None:
    """The expression that a call is given for an argument, None if there is none."""
    if not isinstance(call, cst.Call):
        return None
    for at, arg in enumerate(call.args):
        if arg.star == "" and (at == position if arg.keyword is None else arg.keyword.value == name):
            return arg.value
    return None


def _written(scheduler: Object) -> list[cst.CSTNode]:
    """The expressions that the arguments of a scheduler are written with."""
    call = scheduler.origin.node if scheduler.origin is not None else None
    if not isinstance(call, cst.Call):
        return []
    given: list[cst.CSTNode] = [arg.value for arg in call.args[1:] if arg.keyword is None]
    given += [arg.value for arg in call.args if arg.keyword is not None and arg.keyword.value not in NO_RATE]
    function = scheduler.arguments.get(1, "lr_lambda")
    return [*given, function.node] if isinstance(function, Function) else given


def _words_around(event: Event, loop: Loop) -> set[str]:
    """The names that a function called in a loop uses, and is called with; none if the loop is in the function."""
    if not event.context.calls:
        return set()
    site = event.context.calls[-1]
    function = site.function.node
    if any(node is loop.node for node in below(function)):
        return set()
    parameters = {param.name.value for param in function.params.params}
    called = spoken(site.place.node) if isinstance(site.place.node, cst.Call) else set()
    return (spoken(function.body) - parameters | called) - {loop.target}


__all__ = ["Build", "Change", "Course", "argument_of", "courses", "factors", "spoken"]
