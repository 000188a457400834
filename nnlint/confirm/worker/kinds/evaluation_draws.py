"""Does a line that drops out at random go on doing so in evaluation mode, and do the outputs show it?

The entry is built and run on inputs that it accepts, its mode set by the flags. The watch ``dropout`` sees the function
or the layer that the line calls. Two calls of the module are alike in all but the state of the generators that the line
finds: what differs then is its doing. The control is the mended program, in which the line is told the mode: treated
alike, its outputs must agree.

Settings:
    rate: the names in the expression of the rate.
"""

from __future__ import annotations

import ast
import copy
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..anything import is_missing
from ..bench import Bench
from ..building.comparison import Difference, difference, noise_between
from ..building.construction import Arguments
from ..building.prepared import Prepared
from ..building.synthesis import prepare, said, twin
from ..elements.weights import VARIATIONS, other_weights
from ..job import Job, parse_slice
from ..program import Program
from ..verdict import Inconclusive, Verdict, confirmed, refuted

SEEDS = 5
"""Calls from other seeds, in which a line that some chance leads to would be reached in one or the other."""

AFTERWARDS = 100
"""The number of the seed for what is drawn after the line: the same, whatever the line has drawn."""

RATES = (0.25, 0.75)
"""What an argument is varied to, to see whether the rate comes from it."""


def run(job: Job, bench: Bench) -> Verdict:
    """Call the module twice, and then the mended one."""
    return _Evaluation(job, bench).verdict()


class _Line:
    """The accused line: how often it is reached, at which rates it drops, and what it does beyond."""

    def __init__(self, program: Program, bench: Bench) -> None:
        self.bench = bench
        self.state = 1
        """The number of the seed that it draws from."""
        self.forced = False
        """Whether it drops one half, whatever its rate."""
        self.rates: list[Any] = []
        self.results: list[Any] = []
        program.see["dropout"] = self.watched

    def watched(self, function: Any) -> Any:
        """What the line calls, drawing from a state of its own."""
        if is_missing(function):
            return function

        def drop(*args: Any, **kwargs: Any) -> Any:
            from torch.nn import functional

            self.rates.append(_rate(function, args, kwargs))
            self.bench.seed(self.state)
            try:
                result = function(*args, **kwargs)
                self.results.append(result.detach().clone())
                return functional.dropout(result, 0.5) if self.forced else result
            finally:
                self.bench.seed(AFTERWARDS)

        return drop

    def is_reached(self, prepared: Prepared, *, training: bool, seed: int) -> bool:
        """Whether a call of the module comes to it, gradients being recorded."""
        self.forget()
        _outputs(lambda: prepared.call(gradient=True, training=training, seed=seed))
        return bool(self.rates)

    def forget(self) -> None:
        """Forget the calls."""
        self.rates, self.results = [], []


@dataclass(frozen=True)
class _Pair:
    """What a module gives, the line drawing from one state and from another.

    ``draws``: whether what the line itself gives is different.
    """

    one: list[Any]
    other: list[Any]
    draws: bool


class _Evaluation:
    def __init__(self, job: Job, bench: Bench) -> None:
        self.job = job
        self.bench = bench
        program = Program(job.program, bench)
        self.line = _Line(program, bench)
        self.entry = program.entry()
        self.prepared = prepare(self.entry, job.settings, bench)

    def verdict(self) -> Verdict:
        """What comes of it.

        Raises:
            Inconclusive: the line is not reached, its rate is not known, or the outputs do not show what it does.
        """
        import torch

        if not isinstance(self.prepared.module, torch.nn.Module):
            raise Inconclusive("what is run is no module")
        self.bench.assume(f"called with {self.prepared.described}")
        switch = _own_switch(self.prepared.module)
        if switch:
            raise Inconclusive(f"{switch}() is written anew, and may do more than to set the mode")
        draws = self.called_twice(self.prepared, self.line).draws
        if not self.line.rates:
            return self.unreached()
        rate = max(self.line.rates)
        self.require_known(rate)
        for number in range(VARIATIONS):
            with other_weights(self.prepared.module, number):
                pair = self.called_twice(self.prepared, self.line)
                noise = noise_between(pair.one, self.called_twice(self.prepared, self.line).one)
                found = difference(pair.one, pair.other, noise)
                if found:
                    self.require_constant(rate)
                    self.require_healthy(noise)
                    return _differ(found, rate, noise)
        if draws:
            raise Inconclusive(f"it drops at a rate of {rate:g}, but no output shows it")
        return self.idle(rate, noise)

    def called_twice(self, prepared: Prepared, line: _Line) -> _Pair:
        """Call a module in evaluation mode, the line drawing from one state and from another."""
        outputs, results = [], []
        for state in (1, 2):
            line.forget()
            line.state = state
            outputs.append(_outputs(prepared.call))
            results.append(line.results)
        return _Pair(outputs[0], outputs[1], bool(difference(results[0], results[1])))

    def idle(self, rate: float, noise: float) -> Verdict:
        """Refuted if the outputs would show it, if the line dropped anything."""
        self.line.forced = True
        pair = self.called_twice(self.prepared, self.line)
        if not difference(pair.one, pair.other, noise):
            raise Inconclusive("it drops nothing, but nor would any output show it")
        self.require_constant(rate)
        return refuted(
            f"{'it drops nothing' if rate else 'its rate is 0'}: called twice with the same input the outputs agree, "
            "which they would not if it dropped one half",
            rate=rate,
            elements=sum(each.numel() for each in pair.one),
        )

    def require_healthy(self, noise: float) -> None:
        """Raise if the outputs differ with the mended line as well."""
        if self.job.mended is None:
            raise Inconclusive("there is no mended line to compare with")
        program = Program(self.job.mended, self.bench)
        line = _Line(program, self.bench)
        mended = twin(self.prepared, program.entry(), self.job.settings, self.bench)
        pair = self.called_twice(mended, line)
        if not line.rates:
            raise Inconclusive("the mended line is not reached")
        if difference(pair.one, pair.other, noise):
            raise Inconclusive("the outputs differ as well where the line is told the mode")

    # --- a line that is not reached ----------------------------------------------------------------------------------

    def unreached(self) -> Verdict:
        """Refuted if it is in training mode: there and only there the line drops."""
        trained = [self.line.is_reached(self.prepared, training=True, seed=number) for number in range(SEEDS)]
        evaluated = [self.line.is_reached(self.prepared, training=False, seed=number) for number in range(SEEDS)]
        if not all(trained):
            raise Inconclusive(f"the line is not reached with {self.prepared.described}")
        if any(evaluated):
            raise Inconclusive("the line is only reached where gradients are recorded")
        return refuted("with the same input the line is reached in training mode, and in evaluation mode it is not")

    # --- where the rate comes from -----------------------------------------------------------------------------------

    def require_known(self, rate: float) -> None:
        """Raise if the rate comes from an argument that was guessed, or is 0 for want of a call that says more."""
        arguments = self.prepared.arguments
        if arguments is None:
            return
        name = self.prepared.name
        for each in arguments.guessed:
            if self.decides(each, arguments):
                raise Inconclusive(f"the rate comes with the argument {each} of {name}, which is not known")
        if self.prepared.built_at:
            return
        for each in _left_at_default(self.entry, arguments):
            if self.decides(each, arguments):
                if not rate:
                    raise Inconclusive(f"the rate comes with {each} of {name}, 0 by default, and nobody builds {name}")
                self.bench.assume(f"{name} is built with the {each} that is its default")

    def require_constant(self, rate: float) -> None:
        """Raise if what the rate is computed from is also assigned elsewhere than where the module is built."""
        files = [*self.job.program.files]
        for each in self.job.settings.get("constructions", ()):
            files += parse_slice(each["program"]).files
        texts = {file.path: file.text for file in files}.values()
        for name in self.job.settings.get("rate", ()):
            of_others = re.compile(rf"(?<!self)\.{name}\s*[-+*/]?=[^=]")
            own = sum(_assignments(text, self.prepared.name, name) for text in texts)
            if own > 1 or any(of_others.search(text) for text in texts):
                raise Inconclusive(f"its rate is {rate:g} at first, but {name} is assigned in other places as well")

    def decides(self, name: str, arguments: Arguments) -> bool:
        """Whether the rate is another one with another value of an argument of the class."""
        rates = []
        for value in RATES:
            other = copy.copy(self.prepared)
            other.arguments = _with(arguments, name, value)
            self.line.forget()
            try:
                twin(other, self.entry, self.job.settings, self.bench).call()
            except Exception:
                return False
            rates.append(self.line.rates)
        return rates[0] != rates[1]


def _rate(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The rate that a function drops at when it is called, or a layer."""
    if hasattr(function, "p"):
        return function.p
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments["p"]


def _outputs(call: Callable[[], list[Any]]) -> list[Any]:
    try:
        outputs = call()
    except Exception as error:
        raise Inconclusive(said(error)) from error
    if not outputs:
        raise Inconclusive("no tensor is returned")
    return outputs


def _own_switch(module: Any) -> str:
    """A ``train`` or ``eval`` of the user's, which would run in the place of torch's; empty if there is none."""
    for each in module.modules():
        for name in ("train", "eval"):
            if "__nnlint__" in getattr(getattr(type(each), name), "__globals__", {}):
                return f"{type(each).__name__}.{name}"
    return ""


def _assignments(text: str, cls: str, name: str) -> int:
    """How often a class assigns an attribute of its own."""
    classes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef) and node.name == cls)
    return sum(
        isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr == name
        for each in classes
        for node in ast.walk(each)
    )


def _left_at_default(entry: Any, arguments: Arguments) -> Iterator[str]:
    """The parameters of a class that nobody gives an argument for, and that may be rates."""
    parameters: Mapping[str, inspect.Parameter] = inspect.signature(entry).parameters
    for name, each in parameters.items():
        if name not in arguments.named and type(each.default) in (int, float) and 0 <= each.default <= 1:
            yield name


def _with(arguments: Arguments, name: str, value: float) -> Arguments:
    """The arguments with another value for one of them, or for a field of a configuration among them."""
    for holder in arguments.named.values():
        if name not in arguments.named and name in getattr(holder, "__dict__", {}):
            named = copy.deepcopy(arguments.named)
            for each in named.values():
                if name in getattr(each, "__dict__", {}):
                    each.__dict__[name] = value
            return replace(arguments, named=named)
    return replace(arguments, named={**arguments.named, name: value})


def _differ(found: Difference, rate: float, noise: float) -> Verdict:
    said_of_it = f"in evaluation mode it drops at a rate of {rate:g}: called twice with the same input"
    if found.shapes is not None:
        return confirmed(
            f"{said_of_it}, the outputs have the shapes {found.shapes[0]} and {found.shapes[1]}; told the mode, "
            "they agree",
            rate=rate,
            shapes=[list(shape) for shape in found.shapes],
        )
    return confirmed(
        f"{said_of_it}, {found.share:.0%} of {found.elements:,} outputs differ, by up to {found.relative:.2g} of the "
        "largest; told the mode, they agree",
        rate=rate,
        share=round(found.share, 4),
        elements=found.elements,
        largest_difference=found.largest,
        scale=found.scale,
        noise=noise,
    )
