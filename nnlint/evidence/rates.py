"""The learning rates that the schedulers of torch set, in plain Python.

The closed forms are those of the documentation of ``torch.optim.lr_scheduler``.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from nnlint.evidence.leaves import by_default, lengths
from nnlint.symbolic.scalar import number
from nnlint.symbolic.values import Mapping, Object, Sequence, Value, resolve_setting

DEFAULT_RATES = {"Adam": 1e-3, "AdamW": 1e-3, "SGD": 1e-3, "RMSprop": 1e-2, "Adagrad": 1e-2, "Adadelta": 1.0}
"""The rate of an optimizer that is given none (torch 2)."""

PLATEAU = frozenset(("ReduceLROnPlateau", "PlateauLRScheduler"))
"""Schedulers that go by a metric."""

Rate = Callable[[int], float]
"""The learning rate after so many steps of a scheduler; NaN where it cannot be told."""


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of a scheduler as numbers; positions count the optimizer as 0."""

    scheduler: Object

    def value(self, position: int, name: str) -> Value | None:
        """An argument, None if it is not given."""
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
        # a share instead of a number of epochs: as floats go, hardly an epoch is divisible by it
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
        period, since = first, steps % first if growth == 1 else float(steps)
        while since >= period >= 1 < growth:
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
    assumed = lengths(factor)

    def rate(steps: int) -> float:
        found = number(factor, {**assumed, id(counter): steps})
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
"""By the name of the class: the rate, from the arguments and the rate that the optimizer is built with."""


def rate_of(scheduler: Object, base: float) -> Rate | None:
    """The rate that a scheduler sets, from the optimizer's ``base``; None for schedulers that are not known."""
    kind = RATES.get(scheduler.name)
    if kind is None:
        return None
    formula = kind(Options(scheduler), base)

    def rate(steps: int) -> float:
        try:
            return float(formula(steps))
        except (ArithmeticError, TypeError, ValueError):
            return math.nan

    return rate


def rate_arguments(scheduler: Object) -> list[Value]:
    """The arguments of a scheduler that its rates are computed from."""
    given = [*scheduler.arguments.positional[1:]]
    given += [value for name, value in scheduler.arguments.keywords.items() if name not in NO_RATE]
    factor = scheduler.attributes.get("factor")
    return given if factor is None else [*given, factor]


NO_RATE = frozenset(("optimizer", "last_epoch", "verbose"))
"""Arguments of schedulers that no rate is computed from."""


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
    if given is not None:
        return number(given)
    groups = by_default(optimizer.arguments.get(0, "params"))
    own = isinstance(groups, Sequence) and any(
        isinstance(group, Mapping) and "lr" in group.items for group in groups.items
    )
    return None if own or optimizer.arguments.star else DEFAULT_RATES.get(optimizer.name)
