"""Libraries that are given a function of the script and call it: command lines, processes, searches."""

from __future__ import annotations

from dataclasses import dataclass

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.values import (
    Arguments,
    Class,
    Function,
    Mapping,
    Method,
    Object,
    Partial,
    Sequence,
    Symbol,
    Unknown,
    Value,
    resolve_setting,
)

CALLABLE = (Function, Method, Partial, Class)


@dataclass(frozen=True, slots=True)
class Launch:
    """How a library calls a function that it is given.

    ``function`` is the name and position of that argument, ``arguments`` those of the tuple of arguments that are
    passed on, if there is one; ``first`` is whether a number (a rank, a seed) comes before them.
    """

    function: tuple[str, int]
    arguments: tuple[str, int] | None = None
    first: bool = False


TARGET = Launch(("target", 1), ("args", 3))

LAUNCHERS: dict[str, Launch] = {
    "fire.Fire": Launch(("component", 0)),
    "typer.run": Launch(("function", 0)),
    "absl.app.run": Launch(("main", 0)),
    "tensorflow.app.run": Launch(("main", 0)),
    "defopt.run": Launch(("funcs", 0)),
    "plac.call": Launch(("obj", 0)),
    "argh.dispatch_command": Launch(("function", 0)),
    "torch.multiprocessing.spawn": Launch(("fn", 0), ("args", 1), first=True),
    "torch.multiprocessing.start_processes": Launch(("fn", 0), ("args", 1), first=True),
    "torch_xla.distributed.xla_multiprocessing.spawn": Launch(("fn", 0), ("args", 1), first=True),
    "torch.multiprocessing.Process": TARGET,
    "multiprocessing.Process": TARGET,
    "threading.Thread": TARGET,
    "accelerate.notebook_launcher": Launch(("function", 0), ("args", 1)),
    "accelerate.debug_launcher": Launch(("function", 0), ("args", 1)),
    "detectron2.engine.launch": Launch(("main_func", 0), ("args", 5)),
    "ray.tune.run": Launch(("run_or_experiment", 0)),
    "wandb.agent": Launch(("function", 1)),
    "hyperopt.fmin": Launch(("fn", 0)),
}
"""Functions that call a function of the script, by their path."""


def _called(call: Call, function: Value | None, arguments: Arguments) -> Value:
    function = resolve_setting(function) or function
    if isinstance(function, CALLABLE):
        return call.executor.call(function, arguments, call.node)
    return call.unknown()


def _launch(launch: Launch) -> Handler:
    def handle(call: Call) -> Value:
        function = call.get(launch.function[1], launch.function[0])
        given: Value | None = None
        if launch.arguments is not None:
            given = call.get(launch.arguments[1], launch.arguments[0])
        first = (Symbol("rank"),) if launch.first else ()
        if isinstance(given, Sequence) and not given.open:
            return _called(call, function, Arguments((*first, *given.items)))
        return _called(call, function, Arguments(first, star=given is not None or launch.arguments is None))

    return handle


def _process(call: Call) -> Value:
    """A process: its target runs once it is started, for which its making is taken."""
    named = call.get(None, "kwargs")
    if isinstance(named, Mapping):
        keywords = {str(key): value for key, value in named.items.items()}
        _called(call, call.get(1, "target"), Arguments((), keywords, star=True))
    else:
        _launch(TARGET)(call)
    return Object(call.path, "process", call.arguments, origin=call.origin())


def _handed_on(call: Call) -> Value:
    """``study.optimize(objective)``, ``executor.submit(train, config)``: the first argument is called with the rest."""
    function = call.get(0, "func") or call.get(0, "fn")
    if call.path == ".optimize":
        return _called(call, function, Arguments((Unknown("trial"),)))
    rest = call.arguments.positional[1:]
    return _called(call, function, Arguments(rest, dict(call.arguments.keywords), call.arguments.star))


# --- groups of commands ----------------------------------------------------------------------------------------------


def _group(call: Call) -> Value:
    """``@click.group()``: a decorator that makes a function a group of commands, which runs before any of them."""
    return Object("click.group", "grouping", call.arguments, origin=call.origin())


def _grouped(call: Call) -> Value:
    function = call.get(0, "")
    children = [] if function is None else [function]
    return Object("click.Group", "commands", call.arguments, children=children, origin=call.origin())


def _register(call: Call) -> Value:
    """``@app.command()``: a decorator that makes a function one of the group's commands."""
    decorator = Object("command", "registration", call.arguments, origin=call.origin())
    if call.receiver is not None:
        decorator.children.append(call.receiver)
    return decorator


def _registered(call: Call) -> Value:
    """The decorator is given its function."""
    decorator, function = call.receiver, call.get(0, "")
    assert isinstance(decorator, Object)
    group = decorator.children[0]
    if isinstance(group, Object) and function is not None:
        call.executor.put(group, "children", [*group.children, function])
    return function or Unknown()


def _add_command(call: Call) -> Value:
    group, function = call.receiver, call.get(0, "cmd")
    if isinstance(group, Object) and function is not None:
        call.executor.put(group, "children", [*group.children, function])
    return Unknown()


def _run_commands(call: Call) -> Value:
    """``app()``: any of the commands may be the one that is asked for; they are read in order."""
    group = call.receiver
    assert isinstance(group, Object)
    for command in group.children:
        _called(call, command, Arguments(star=True))
    return Unknown()


KINDS: dict[str, str] = {
    "typer.Typer": "commands",
    "cyclopts.App": "commands",
    "ignite.distributed.Parallel": "launcher",
}

FUNCTIONS: dict[str, Handler] = {
    **{path: _process if launch is TARGET else _launch(launch) for path, launch in LAUNCHERS.items()},
    "click.group": _group,
}

OBJECT_METHODS: dict[tuple[str, str], Handler] = {
    ("commands", "command"): _register,
    ("commands", "default"): _register,
    ("commands", "add_command"): _add_command,
    ("commands", "__call__"): _run_commands,
    ("registration", "__call__"): _registered,
    ("grouping", "__call__"): _grouped,
    ("launcher", "run"): _handed_on,
    ("unknown", "optimize"): _handed_on,
    ("unknown", "submit"): _handed_on,
}
