"""What the script itself builds a class with, and gives to what it built, recorded while its own lines run."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from ..anything import Anything
from ..bench import Bench
from ..job import parse_slice
from ..program import Enough, Program
from ..verdict import Inconclusive
from .construction import Arguments, has_missing, likely
from .guessing import NoGuess
from .prepared import Prepared

MOST = 4
"""Calls of a class in one outer module that are looked at."""

Prepare = Callable[[Any, Mapping[str, Any], Bench], Prepared]
"""Makes a module ready to run, by its class and the settings for it."""


@dataclass
class Recorded:
    """A call of a class: its arguments, and what the instance was then called with, if that was seen.

    ``notes`` is what was assumed for it, and stood in.
    """

    positional: Sequence[Any]
    named: Mapping[str, Any]
    place: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    notes: Bench | None = None

    def by_name(self, function: Any) -> dict[str, Any] | None:
        """The arguments by the parameters of a function; None if it does not take them."""
        try:
            bound = inspect.signature(function).bind(*self.positional, **self.named)
        except (TypeError, ValueError):
            return None
        named: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            kind = bound.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                named.update(value)
            elif kind is inspect.Parameter.VAR_POSITIONAL:
                named.update((f"*{number}", each) for number, each in enumerate(value))
            else:
                named[name] = value
        return named


def recorded_calls(settings: Mapping[str, Any], bench: Bench, prepare: Prepare) -> Iterator[Recorded]:
    """The calls of a class, in the order of ``settings["constructions"]``, those of them that are reached."""
    for each in settings.get("constructions", ()):
        notes = bench.another()
        try:
            program = Program(parse_slice(each["program"]), notes)
            calls = _within(each, program, notes, prepare) if each["within"] else _in_script(each, program, notes)
        except Inconclusive:
            continue
        for call in calls:
            call.notes = notes
            yield call


def _in_script(each: Mapping[str, Any], program: Program, notes: Bench) -> list[Recorded]:
    """The call as the script makes it; if it does not come there, as the function around it does when called alone.

    Where arguments are missing then, the function is called once more with what its parameters' names suggest.
    """
    found: list[Recorded] = []

    def record(*positional: Any, **named: Any) -> Any:
        found.append(Recorded(positional, named, each["place"]))
        raise Enough

    program.supply[each["watch"]] = lambda: record
    with suppress(Inconclusive):
        program.run()
    if not found and each["function"]:
        with suppress(Exception, Enough):
            _call_alone(each, program)
    if each["function"] and not any(_is_complete(call) for call in found):
        with suppress(Exception, Enough):
            _call_alone(each, program, notes)
    return sorted(found, key=lambda call: not _is_complete(call))


def _is_complete(call: Recorded) -> bool:
    return not has_missing([*call.positional, *call.named.values()])


def _call_alone(each: Mapping[str, Any], program: Program, notes: Bench | None = None) -> None:
    """Call the function around a call with missing values; with ``notes``, which learn of them, with likely ones."""
    value: Any = program.module(each["path"])
    holder: Any = None
    for part in each["function"].split("."):
        holder, value = value, getattr(value, part)
    parameters = list(inspect.signature(value).parameters.values())
    given = {
        parameter.name: Anything(f"{parameter.name} of {each['function']} is not known")
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    if isinstance(holder, type) and parameters and parameters[0].name in given:
        given[parameters.pop(0).name] = _bare(holder)
    guessed: dict[str, Any] = {}
    for parameter in parameters if notes is not None else ():
        if parameter.name in given:
            with suppress(NoGuess):
                given[parameter.name] = likely(value, parameter, 0, guessed)
    if notes is not None and guessed:
        notes.assume(f"{each['function']} is called with {Arguments({}, guessed).described()}")
    value(**given)


def _bare(kind: type) -> Any:
    """An instance that was never initialized: its attributes are missing until they are set."""

    def attribute(self: object, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(f"{kind.__name__}.{name} is not known")

    return object.__new__(type(kind.__name__, (kind,), {"__getattr__": attribute}))


def _within(each: Mapping[str, Any], program: Program, bench: Bench, prepare: Prepare) -> list[Recorded]:
    """The calls that another module makes when it is built, with what it gives the inner modules when it is run."""
    found: list[tuple[Any, Recorded]] = []
    try:
        with _recording(each["inner"], each["place"], found):
            outer = prepare(program.entry(), {**each, "unproved": True}, bench)
    except Inconclusive:
        # It was built at least, if it could not be run.
        return [call for _, call in found[:MOST]]
    inside = {id(module) for module in outer.module.modules()}
    instances = [(instance, call) for instance, call in found if id(instance) in inside]
    calls = [call for _, call in instances]
    for instance, call in instances:
        _observe(instance, call, lambda: all(each.inputs for each in calls[:MOST]))
    with suppress(Enough, Exception):
        outer.call()
    return sorted(calls, key=lambda call: not call.inputs)[:MOST]


@contextmanager
def _recording(name: str, place: str, found: list[tuple[Any, Recorded]]) -> Iterator[None]:
    """The instances of a class of modules that are made meanwhile go into ``found``, with their arguments.

    The class may come from anywhere; its arguments are what its initializer has when it calls that of all modules.
    """
    import torch

    original = torch.nn.Module.__init__

    def initialize(self: Any, *positional: Any, **named: Any) -> None:
        kind = type(self)
        if kind.__name__ == name:
            frame = sys._getframe(1)
            while frame.f_back is not None and frame.f_code is not getattr(kind.__init__, "__code__", None):
                frame = frame.f_back
            if frame.f_back is not None:
                found.append((self, _call_of(frame, place)))
        original(self, *positional, **named)

    torch.nn.Module.__init__ = initialize
    try:
        yield
    finally:
        torch.nn.Module.__init__ = original


def _call_of(frame: FrameType, place: str) -> Recorded:
    """The call of an initializer that has just begun."""
    arguments = inspect.getargvalues(frame)
    values = arguments.locals
    positional = [values[name] for name in arguments.args[1:] if name in values]
    if arguments.varargs is not None:
        positional += values[arguments.varargs]
    code = frame.f_code
    only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    named = {name: values[name] for name in only if name in values}
    named.update(values[arguments.keywords] if arguments.keywords is not None else {})
    return Recorded(positional, named, place)


def _observe(instance: Any, call: Recorded, done: Callable[[], bool]) -> None:
    """See what an instance is called with, the first time; the run ends once that is ``done``."""

    def hook(module: Any, positional: Sequence[Any], named: Mapping[str, Any]) -> None:
        if not call.inputs:
            try:
                call.inputs = dict(inspect.signature(module.forward).bind(*positional, **named).arguments)
            except TypeError:
                return
            if done():
                raise Enough

    instance.register_forward_pre_hook(hook, with_kwargs=True)
