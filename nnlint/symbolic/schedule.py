"""The learning rate over a run: what schedulers, and the script itself, make of it, round by round."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import libcst as cst

from nnlint.symbolic.loops import EPOCH
from nnlint.symbolic.scalar import OPERATORS, evaluate, number, truth_by_default
from nnlint.symbolic.trace import Build, Condition, Event, Run, SchedulerStep, SetRate, Step
from nnlint.symbolic.values import (
    Carried,
    Choice,
    Const,
    Function,
    Index,
    Instance,
    Loop,
    Object,
    Operation,
    Sequence,
    Setting,
    Symbol,
    Unknown,
    Value,
    alternatives,
    resolve_setting,
)

LONGEST = 5_000
"""Rounds that are followed; loops that go round more often are not."""

BATCHES_AN_EPOCH = 100
"""What the length of a loader is taken to be where a rate is written in terms of it."""

RATE_NAME = re.compile(r"(^|_)(lr|learning_?rate)($|_)", re.IGNORECASE)
"""Names that a learning rate goes by."""

DEFAULT_RATES = {"Adam": 1e-3, "AdamW": 1e-3, "SGD": 1e-3, "RMSprop": 1e-2, "Adagrad": 1e-2, "Adadelta": 1.0}
"""The rate of an optimizer that is given none (torch 2)."""

PLATEAU = frozenset(("ReduceLROnPlateau", "PlateauLRScheduler"))
"""Schedulers that go by a metric."""

Rate = Callable[[int], float]
"""The learning rate after so many steps of a scheduler."""


# --- the schedulers of torch ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of a scheduler as numbers."""

    scheduler: Object

    def value(self, position: int, name: str) -> Value | None:
        """An argument; positions count the optimizer as 0."""
        return self.scheduler.arguments.get(position, name)

    def number(self, position: int, name: str, default: float = math.nan) -> float:
        """An argument as a number; NaN where it cannot be told."""
        value = self.value(position, name)
        if value is None:
            return math.nan if self.scheduler.arguments.star else default
        found = number(value)
        return math.nan if found is None else found


def _step(options: Options, base: float) -> Rate:
    size, gamma = options.number(1, "step_size"), options.number(2, "gamma", 0.1)
    if size < 1:
        # a share instead of a number of epochs: no epoch but 0 is divisible by it, as floats go
        return lambda steps: base
    return lambda steps: base * gamma ** (steps // size)


def _multi_step(options: Options, base: float) -> Rate:
    milestones, gamma = numbers(options.value(1, "milestones")), options.number(2, "gamma", 0.1)
    if milestones is None:
        return lambda steps: math.nan
    ordered = sorted(milestones)
    return lambda steps: base * gamma ** bisect_right(ordered, steps)


def _exponential(options: Options, base: float) -> Rate:
    gamma = options.number(1, "gamma")
    return lambda steps: base * gamma**steps


def _cosine(options: Options, base: float) -> Rate:
    period, least = options.number(1, "T_max"), options.number(2, "eta_min", 0.0)
    return lambda steps: least + (base - least) * (1 + math.cos(math.pi * steps / period)) / 2


def _restarts(options: Options, base: float) -> Rate:
    first, growth, least = options.number(1, "T_0"), options.number(2, "T_mult", 1), options.number(3, "eta_min", 0.0)

    def rate(steps: int) -> float:
        period, since = first, float(steps)
        while since >= period >= 1:
            since -= period
            period *= growth
        return least + (base - least) * (1 + math.cos(math.pi * since / period)) / 2

    return rate


def _linear(options: Options, base: float) -> Rate:
    first, last = options.number(1, "start_factor", 1 / 3), options.number(2, "end_factor", 1.0)
    rounds = options.number(3, "total_iters", 5)
    return lambda steps: base * (first + (last - first) * min(steps, rounds) / rounds)


def _constant(options: Options, base: float) -> Rate:
    factor, rounds = options.number(1, "factor", 1 / 3), options.number(2, "total_iters", 5)
    return lambda steps: base * (factor if steps < rounds else 1.0)


def _polynomial(options: Options, base: float) -> Rate:
    rounds, power = options.number(1, "total_iters", 5), options.number(2, "power", 1.0)
    return lambda steps: base * (1 - min(steps, rounds) / rounds) ** power


def _function(options: Options, base: float) -> Rate:
    counter, factor = (options.scheduler.attributes.get(name) for name in ("counter", "factor"))
    if counter is None or factor is None:
        return lambda steps: math.nan
    lengths = _lengths(factor)

    def rate(steps: int) -> float:
        found = number(factor, {**lengths, id(counter): steps})
        return math.nan if found is None else base * found

    return rate


RATES: dict[str, Callable[[Options, float], Rate]] = {
    "StepLR": _step,
    "MultiStepLR": _multi_step,
    "ExponentialLR": _exponential,
    "CosineAnnealingLR": _cosine,
    "CosineAnnealingWarmRestarts": _restarts,
    "LinearLR": _linear,
    "ConstantLR": _constant,
    "PolynomialLR": _polynomial,
    "LambdaLR": _function,
}
"""The rate that the schedulers of ``torch.optim.lr_scheduler`` set, by the name of the class."""


def rate_of(scheduler: Object, base: float) -> Rate | None:
    """The rate that a scheduler sets, from the optimizer's ``base``; None for schedulers that are not known."""
    kind = RATES.get(scheduler.name)
    return None if kind is None else kind(Options(scheduler), base)


def numbers(value: Value | None) -> list[float] | None:
    """The numbers of a list, None where one of them cannot be told."""
    resolved = resolve_setting(by_default(value))
    if not isinstance(resolved, Sequence) or resolved.open:
        return None
    found = [number(item) for item in resolved.items]
    return None if None in found else [item for item in found if item is not None]


def base_rate(optimizer: Value | None) -> float | None:
    """The rate that an optimizer is built with, None where it cannot be told."""
    if not isinstance(optimizer, Object) or optimizer.kind != "optimizer":
        return None
    given = optimizer.arguments.get(1, "lr")
    if given is None:
        return None if optimizer.arguments.star else DEFAULT_RATES.get(optimizer.name)
    return number(given)


# --- values ----------------------------------------------------------------------------------------------------------


def by_default(value: Value | None) -> Value | None:
    """What a choice comes out as when every setting has its default; the choice itself where that cannot be told."""
    while isinstance(value, Choice) and value.test is not None:
        outcome = truth_by_default(value.test)
        if outcome is None:
            break
        value = value.yes if outcome else value.no
    return value


def leaves(value: Value | None) -> list[Value]:
    """What an expression is made of, arithmetic with unknown values included, in order, once each."""
    found: list[Value] = []
    stack = [value]
    seen: set[int] = set()
    while stack:
        item = stack.pop()
        if item is None or id(item) in seen or isinstance(item, Const):
            continue
        seen.add(id(item))
        if isinstance(item, Operation):
            stack.extend(reversed(item.args))
        elif isinstance(item, Choice):
            stack += [item.no, item.yes, item.test]
        elif isinstance(item, Sequence):
            stack.extend(reversed(item.items))
        elif isinstance(item, Unknown) and item.origin is not None and _is_arithmetic(item.origin.op):
            stack.extend(reversed(item.origin.inputs))
        elif isinstance(item, Setting) and not isinstance(item.default, Const):
            stack.append(item.default)
        else:
            found.append(item)
            if isinstance(item, Carried):
                stack += [item.initial, item.update]
    return found


def _is_arithmetic(op: str) -> bool:
    return op in OPERATORS or op.startswith(("builtins.", "math.", "numpy."))


def is_length(value: Value) -> bool:
    """Whether a number is the length of a loader or dataset."""
    return isinstance(value, Symbol) and (value.name.startswith("len(") or isinstance(value.of, (Object, Instance)))


def is_current_rate(value: Value) -> bool:
    """Whether a number is the rate that a parameter group has at the time."""
    return isinstance(value, Symbol) and value.name == "lr" and isinstance(value.of, Object)


def is_first_rate(value: Value) -> bool:
    """Whether a number is the rate that a parameter group began with."""
    return isinstance(value, Symbol) and value.name == "initial_lr" and isinstance(value.of, Object)


def _lengths(*values: Value | None) -> dict[int, object]:
    """Assumptions for the lengths of loaders in expressions."""
    return {
        id(leaf): BATCHES_AN_EPOCH
        for value in values
        for leaf in leaves(value)
        if is_length(leaf) and not is_current_rate(leaf) and not is_first_rate(leaf)
    }


def rate_arguments(scheduler: Object) -> list[Value]:
    """The arguments of a scheduler that its rates are computed from."""
    given = [*scheduler.arguments.positional[1:]]
    given += [value for name, value in scheduler.arguments.keywords.items() if name not in _NO_RATE]
    factor = scheduler.attributes.get("factor")
    return given if factor is None else [*given, factor]


_NO_RATE = frozenset(("optimizer", "last_epoch", "verbose"))
_COMMON = frozenset("range tqdm trange len int float max min round enumerate math numpy np".split())


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


def _written(scheduler: Object) -> list[cst.CSTNode]:
    """The expressions that the arguments of a scheduler are written with."""
    call = scheduler.origin.node if scheduler.origin is not None else None
    if not isinstance(call, cst.Call):
        return []
    given = [arg.value for arg in call.args[1:] if arg.keyword is None]
    given += [arg.value for arg in call.args if arg.keyword is not None and arg.keyword.value not in _NO_RATE]
    function = scheduler.arguments.get(1, "lr_lambda")
    return [*given, function.node] if isinstance(function, Function) else [*given]


def _words_of_function(event: Event, loop: Loop) -> set[str]:
    """The names that a function called in a loop uses, and is called with; none if the loop is in the function."""
    if not event.context.calls:
        return set()
    site = event.context.calls[-1]
    function = site.function.node
    if _holds(function, loop.node):
        return set()
    parameters = {param.name.value for param in function.params.params}
    called = spoken(site.place.node) if isinstance(site.place.node, cst.Call) else set()
    return (spoken(function.body) - parameters | called) - {loop.target}


def _holds(node: cst.CSTNode, other: cst.CSTNode) -> bool:
    return node is other or any(_holds(child, other) for child in node.children)


def pulses(event: SetRate, rounds: int = 200) -> list[float] | None:
    """What an assignment to the rate multiplies the current one by, round by round; None if it sets the rate anew."""
    atoms = leaves(event.rate)
    current = [leaf for leaf in atoms if is_current_rate(leaf) or (isinstance(leaf, Carried) and RATE_NAME.search(leaf.name))]
    turning = [leaf for leaf in atoms if _is_epoch(leaf)]
    if not current or len(turning) != 1:
        return None
    lengths = _lengths(event.rate)

    def rate(before: float, turn: int) -> float | None:
        assumed = {**lengths, **{id(leaf): before for leaf in current}, id(turning[0]): turn}
        for condition in event.context.conditions:
            if _outcome(condition.test, assumed) not in (None, condition.outcome):
                return before
        return number(event.rate, assumed)

    found = [rate(1.0, turn) for turn in range(rounds)]
    factors = [factor for factor in found if factor is not None]
    proportional = all(
        (twice := rate(2.0, turn)) is not None and math.isclose(twice, 2 * factor, abs_tol=1e-300)
        for turn, factor in enumerate(factors[:3])
    )
    return factors if len(factors) == rounds and proportional else None


def _is_epoch(value: Value) -> bool:
    if isinstance(value, Index):
        return value.loop.kind == Loop.EPOCHS
    return isinstance(value, Unknown) and EPOCH.search(value.name) is not None


# --- what happens in a round -----------------------------------------------------------------------------------------


def last_reading(run: Run, loop: Loop) -> list[Event]:
    """The events of one round of a loop, as its last reading saw them."""
    found: list[Event] = []
    for position, event in enumerate(run.events):
        loops = event.context.loops
        if loop in loops and all(
            each.reread is None or position >= each.reread for each in loops[loops.index(loop) :]
        ):
            found.append(event)
    return found


def stepped(event: SchedulerStep) -> list[Object]:
    """The schedulers of torch that an event may step; by default one."""
    value = by_default(event.scheduler)
    return [] if value is None else [item for item in alternatives(value) if isinstance(item, Object)]


def optimizer_of(event: Event) -> Value | None:
    """The optimizer whose rate an event changes."""
    if isinstance(event, SetRate):
        return by_default(event.optimizer)
    if isinstance(event, SchedulerStep):
        schedulers = stepped(event)
        return by_default(schedulers[0].arguments.get(0, "optimizer")) if len(schedulers) == 1 else None
    return None


def is_inside(event: Event, loop: Loop) -> bool:
    """Whether an event happens in a loop over batches, or another counted one, inside ``loop``."""
    loops = event.context.loops
    return any(each.kind != Loop.OTHER or each.count is not None for each in loops[loops.index(loop) + 1 :])


class Unpredictable(Exception):
    """A rate depends on what only the run can tell."""


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """The learning rate over a run.

    ``rates`` are those that the rounds of ``loop`` train with; where the optimizer's rate is not known they count
    from 1 (``relative``). ``causes`` are the events that change it, ``first`` the number of the first round.
    """

    loop: Loop
    optimizer: Value
    rates: tuple[float, ...]
    causes: tuple[SetRate | SchedulerStep, ...]
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
        tests = [condition.test for event in self.causes for condition in event.context.conditions]
        return tests + [event.rate for event in self.causes if isinstance(event, SetRate)]

    def words(self) -> set[str]:
        """The names that the rates are written with."""
        if self.scheduler is not None:
            return {word for node in _written(self.scheduler) for word in spoken(node)}
        return {word for event in self.causes for word in _words_of_function(event, self.loop)}


def courses(run: Run) -> Iterator[Course]:
    """The learning rate over every counted loop in which it changes, one for each optimizer."""
    for loop in _loops_of(run):
        rounds = number(loop.count)
        if rounds is None or rounds != int(rounds) or not 1 <= rounds <= LONGEST:
            continue
        events = last_reading(run, loop)
        optimizers: dict[int, Value] = {}
        for event in events:
            optimizer = optimizer_of(event)
            if optimizer is not None:
                optimizers.setdefault(id(optimizer), optimizer)
        for optimizer in optimizers.values():
            course = _course(loop, optimizer, events, int(rounds))
            if course is not None:
                yield course


def _loops_of(run: Run) -> list[Loop]:
    """The loops that rates change in: those over epochs, and over batches where there is none over epochs around."""
    found: dict[int, Loop] = {}
    for event in run.events:
        if isinstance(event, (SetRate, SchedulerStep)):
            context = event.context
            loop = context.innermost(Loop.EPOCHS) or context.innermost(Loop.BATCHES)
            if loop is not None:
                found.setdefault(id(loop), loop)
    return list(found.values())


def _course(loop: Loop, optimizer: Value, events: list[Event], rounds: int) -> Course | None:
    changes = [event for event in events if isinstance(event, (SetRate, SchedulerStep)) and optimizer_of(event) is optimizer]
    try:
        replay = _Replay(loop, optimizer, events, changes)
        rates = list(islice(replay.rates(), rounds))
    except Unpredictable:
        return None
    if not replay.causes or any(math.isnan(rate) for rate in rates):
        return None

    def later(more: int) -> list[float]:
        found: list[float] = []
        try:
            found.extend(islice(_Replay(loop, optimizer, events, changes).rates(), rounds, rounds + more))
        except Unpredictable:
            pass
        return found

    schedulers = {id(each): each for event in replay.causes if isinstance(event, SchedulerStep) for each in stepped(event)}
    return Course(
        loop=loop,
        optimizer=optimizer,
        rates=tuple(rates),
        causes=tuple(replay.causes),
        scheduler=next(iter(schedulers.values())) if len(schedulers) == 1 else None,
        relative=replay.relative,
        first=replay.first,
        later=later,
    )


class _Replay:
    """One round of a loop, run over and over with numbers."""

    def __init__(
        self, loop: Loop, optimizer: Value, events: list[Event], changes: Iterable[SetRate | SchedulerStep]
    ) -> None:
        self.loop = loop
        self.first = 0
        self.stride = 1
        if loop.variable is not None:
            first, stride = number(loop.variable.start), number(loop.variable.step)
            if first is None or stride is None:
                raise Unpredictable
            self.first, self.stride = int(first), int(stride)
        self.training = {
            (id(condition.test), condition.outcome)
            for event in events
            if isinstance(event, Step)
            for condition in event.context.conditions
        }
        self.causes = [event for event in changes if self._is_default(event)]
        self.events = [event for event in events if isinstance(event, Step) or event in self.causes]
        base = base_rate(optimizer)
        self.relative = base is None
        absolute = any(
            isinstance(event, SetRate) and not any(map(is_current_rate, leaves(event.rate))) for event in self.causes
        )
        self.base = base if base is not None else math.nan if absolute else 1.0
        self.schedules: dict[int, Rate] = {}
        for event in self.causes:
            if isinstance(event, SchedulerStep):
                self._prepare(event)
        self._assume()

    def _prepare(self, event: SchedulerStep) -> None:
        if is_inside(event, self.loop):
            raise Unpredictable
        (scheduler,) = stepped(event)
        rate = rate_of(scheduler, self.base)
        if rate is None or (self.schedules and id(scheduler) not in self.schedules):
            raise Unpredictable
        if self.relative and (scheduler.arguments.get(None, "eta_min") or scheduler.name == "CosineAnnealingLR"):
            least = Options(scheduler).number(2, "eta_min", 0.0)
            if least != 0:
                raise Unpredictable
        self.schedules[id(scheduler)] = rate

    def _assume(self) -> None:
        """What stays the same, or starts somewhere, over the rounds."""
        expressions: list[Value | None] = []
        for event in self.causes:
            expressions += [condition.test for condition in event.context.conditions]
            expressions += [event.rate if isinstance(event, SetRate) else event.argument]
        atoms = [leaf for expression in expressions for leaf in leaves(expression)]
        self.assumed: dict[int, object] = _lengths(*expressions)
        self.carried = [atom for atom in atoms if isinstance(atom, Carried) and atom.loop is self.loop]
        self.current = [atom for atom in atoms if is_current_rate(atom)]
        for atom in atoms:
            if is_first_rate(atom):
                self.assumed[id(atom)] = self.base
            elif isinstance(atom, Index) and atom.loop is not self.loop:
                start = number(atom.start)
                if start is not None:
                    self.assumed[id(atom)] = start
        named = {id(atom): atom for atom in atoms if isinstance(atom, Unknown) and RATE_NAME.search(atom.name)}
        if self.relative and len(named) == 1:
            self.assumed[next(iter(named))] = 1.0

    def _is_default(self, event: Event) -> bool:
        """Whether an event happens when every setting has its default."""
        return all(
            _outcome(condition.test, {}) in (None, condition.outcome) or _is_periodic(condition)
            for condition in event.context.conditions
        )

    def _holds(self, condition: Condition, event: Event, assumed: dict[int, object]) -> bool:
        outcome = _outcome(condition.test, assumed)
        if outcome is not None:
            return outcome == condition.outcome
        if (id(condition.test), condition.outcome) in self.training or _asks_for(condition, event):
            return True
        raise Unpredictable

    def rates(self) -> Iterator[float]:
        """The rate that each round trains with, without end."""
        rate = self.base
        steps = dict.fromkeys(self.schedules, 0)
        carried: dict[int, object] = {}
        for each in self.carried:
            carried[id(each)] = evaluate(each.initial, self.assumed)
        for turn in count():
            assumed = {**self.assumed, **carried}
            if self.loop.variable is not None:
                assumed[id(self.loop.variable)] = self.first + turn * self.stride
            trained: float | None = None
            for event in self.events:
                if isinstance(event, Step):
                    trained = rate if trained is None else trained
                    continue
                assumed.update((id(symbol), rate) for symbol in self.current)
                if not all(self._holds(condition, event, assumed) for condition in event.context.conditions):
                    continue
                if isinstance(event, SetRate):
                    rate = self._set(event, assumed)
                elif isinstance(event, SchedulerStep):
                    key = id(stepped(event)[0])
                    steps[key] = self._stepped(event, steps[key], assumed)
                    rate = self.schedules[key](steps[key])
            yield rate if trained is None else trained
            carried = {id(each): self._carry(each, assumed) for each in self.carried}

    def _set(self, event: SetRate, assumed: dict[int, object]) -> float:
        if is_inside(event, self.loop) and any(
            is_current_rate(leaf) or isinstance(leaf, Carried) for leaf in leaves(event.rate)
        ):
            raise Unpredictable
        found = number(event.rate, assumed)
        if found is None:
            raise Unpredictable
        return found

    def _stepped(self, event: SchedulerStep, steps: int, assumed: dict[int, object]) -> int:
        if event.argument is None:
            return steps + 1
        asked = number(event.argument, assumed)
        if asked is None:
            raise Unpredictable
        return int(asked)

    def _carry(self, each: Carried, assumed: dict[int, object]) -> object:
        found = evaluate(each.update, assumed)
        if found is None and _decides(each, self.causes):
            raise Unpredictable
        return found


def _outcome(test: Value, assumed: dict[int, object]) -> bool | None:
    resolved = resolve_setting(test)
    if isinstance(resolved, Const):
        return bool(resolved.value)
    found = evaluate(test, assumed)
    return None if found is None else bool(found)


def _is_periodic(condition: Condition) -> bool:
    """Whether a condition changes from round to round."""
    return any(isinstance(leaf, (Index, Carried)) for leaf in leaves(condition.test))


def _asks_for(condition: Condition, event: Event) -> bool:
    """Whether a condition asks for no more than that there is a scheduler (``if scheduler is not None``)."""
    if not isinstance(event, SchedulerStep):
        return False
    test = condition.test
    asked = [test]
    if isinstance(test, Unknown) and test.origin is not None and test.origin.op in ("is not", "is", "not", "!=", "=="):
        asked += test.origin.inputs
    schedulers = stepped(event)
    return any(option in schedulers for value in asked for option in alternatives(value))


def _decides(each: Carried, causes: Iterable[SetRate | SchedulerStep]) -> bool:
    """Whether a carried number takes part in a rate or a condition itself."""
    return any(
        leaf is each
        for event in causes
        for expression in (
            *(condition.test for condition in event.context.conditions),
            event.rate if isinstance(event, SetRate) else event.argument,
        )
        for leaf in leaves(expression)
    )


__all__ = ["Build", "Course", "Options", "by_default", "courses", "last_reading", "leaves", "rate_of"]
