"""What of a file is run: module level with its ``__main__`` block, then what nothing in the file calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from collections.abc import Sequence as Items
from dataclasses import dataclass
from functools import partial
from typing import Any

import libcst as cst

from nnlint.source import Source
from nnlint.symbolic import calls, loops, modes, registration
from nnlint.symbolic.branches import changes, undo
from nnlint.symbolic.executor import STEPS_PER_FILE, STEPS_PER_ROOT, STEPS_PER_SCRIPT, Executor, OutOfSteps
from nnlint.symbolic.project import Project
from nnlint.symbolic.scope import Frame, Module
from nnlint.symbolic.trace import Build, Event, Run, Trace
from nnlint.symbolic.values import (
    Arguments,
    Class,
    Const,
    Function,
    Instance,
    Object,
    Origin,
    Setting,
    Unknown,
    Value,
)
from nnlint.symbolic.words import BINDS_CONTAINER, binds_container, words_of


def execute(source: Source, project: Project, words: Collection[str] | None = None) -> Trace:
    """Read a file: run it from every root and write down what happens.

    Functions that nothing in the file calls are roots only if they, or functions of the file that they name, use a
    name in which one of ``words``, regular expressions, is found (None: all are).

    Raises:
        ParseFailure: the file is no Python that libcst can parse.
    """
    pattern = None if words is None else re.compile("|".join(sorted(words)) or "(?!)", re.MULTILINE)
    return _Reading(source, project, pattern).trace()


class _Reading:
    """The reading of one file: its runs share the module's names, which each run leaves as it found them."""

    def __init__(self, source: Source, project: Project, words: re.Pattern[str] | None) -> None:
        self.source = source
        self.project = project
        self.words = words
        self.module = Module(source, source.path.stem)
        self.executed: set[int] = set()
        self.instances: dict[int, _Instance] = {}
        self.steps = 0
        self.result = Trace(source, root=project.root)

    def trace(self) -> Trace:
        body = self.source.module.body
        executor = self.run("", script=True, main=_has_main_guard(body))
        self.guarded(executor, partial(executor.block, body))
        self.guarded(executor, partial(_sample_datasets, executor))
        self.finish(executor, keep_names=True)
        relevant = self.relevant()
        for function, cls in self.uncalled():
            if id(function.node) in self.executed:
                continue
            if relevant is not None and id(function.node) not in relevant:
                continue
            if self.steps >= STEPS_PER_FILE:
                self.result.truncated = f"the file took more than {STEPS_PER_FILE} steps"
                break
            executor = self.run(function.name if cls is None else f"{cls.name}.{function.name}")
            self.guarded(executor, partial(self.root, executor, function, cls))
            self.guarded(executor, partial(_sample_datasets, executor))
            self.finish(executor)
        return self.result

    def run(self, name: str, *, script: bool = False, main: bool = False) -> Executor:
        """An executor for a new run."""
        executor = Executor(self.project)
        executor.module = self.module
        executor.frame = Frame(self.module, self.module.names)
        executor.run = Run(name, script, main)
        executor.limit = min(STEPS_PER_SCRIPT if script else STEPS_PER_ROOT, STEPS_PER_FILE - self.steps)
        executor.executed = self.executed
        return executor

    def guarded(self, executor: Executor, work: Callable[[], object]) -> None:
        """Do a part of a run; a bound that is hit ends the part and is written down."""
        state = executor.frame, executor.module
        try:
            work()
        except OutOfSteps:
            executor.run.whole = False
            self.result.truncated = f"{executor.run.root or 'module level'} took more than {executor.limit} steps"
        except RecursionError:
            executor.run.whole = False
            self.result.truncated = f"{executor.run.root or 'module level'} is nested too deeply"
        executor.frame, executor.module = state
        executor.calls, executor.loops, executor.conditions, executor.round = (), (), (), 0

    def finish(self, executor: Executor, *, keep_names: bool = False) -> None:
        """End a run. What it changed is taken back, but for the names of module level, which other runs need."""
        self.steps += executor.steps
        modes.remember_parts(executor.run)
        if executor.unmodelled and self.result.truncated is None:
            self.result.truncated = f"{executor.unmodelled} statements could not be modelled"
        if executor.run.events or executor.run.script:
            self.result.runs.append(executor.run)
        if keep_names:
            names = dict(self.module.names)
            undo(executor.journal)
            self.module.names.update(names)
        else:
            undo(executor.journal)

    def root(self, executor: Executor, function: Function, cls: Class | None) -> None:
        """Run a function whose caller is unknown: its parameters are unknown, or have their defaults."""
        receiver: Value | None = None
        if cls is not None and calls.is_decorated(function, "classmethod"):
            receiver = cls
        elif cls is not None and not calls.is_decorated(function, "staticmethod"):
            receiver = Instance(cls) if function.name == "__init__" else self.instance(executor, cls)
        if function.name == "__getitem__" and isinstance(receiver, Instance) and _is_dataset(receiver.cls):
            calls.sample(executor, receiver, function.node)
            return
        executor.executed.add(id(function.node))
        names = _root_names(executor, function, receiver)
        value = calls.execute_body(executor, function, receiver, names, executor.place(function.node), 1)
        if function.name == "__init__" and isinstance(receiver, Instance) and calls.is_module(receiver.cls):
            registration.note_hidden(executor, receiver, receiver.cls.node)
        if not isinstance(value, Const):
            calls.emit_return(executor, function, value, receiver)

    def instance(self, executor: Executor, cls: Class) -> Instance:
        """An object of a class nobody builds: its initializer runs with unknown arguments.

        It runs once for all methods of the class; for the next one, what it did is done again without running it.
        """
        known = self.instances.get(id(cls.node))
        if known is not None:
            for target, key, value in known.state:
                executor.put(target, key, value)
            executor.run.events += known.events
            return known.value
        written, happened = len(executor.journal), len(executor.run.events)
        value = _built(executor, cls)
        state = tuple((target, key, after) for target, key, _, after in changes(executor.journal[written:]).values())
        self.instances[id(cls.node)] = _Instance(value, state, tuple(executor.run.events[happened:]))
        return value

    def uncalled(self) -> Iterator[tuple[Function, Class | None]]:
        """The functions and methods that the file defines, in order; those that were executed are among them."""
        for value in list(self.module.names.values()):
            if isinstance(value, Function) and value.frame.module is self.module:
                yield value, None
            elif isinstance(value, Class) and value.frame.module is self.module:
                methods = [item for item in value.namespace.values() if isinstance(item, Function)]
                # what builds the object comes first, what is called by others before what nobody calls
                for method in sorted(methods, key=lambda method: _ORDER.get(method.name, 1)):
                    if isinstance(method.node, cst.FunctionDef):
                        yield method, value

    def relevant(self) -> set[int] | None:
        """The functions that are worth being roots, by the identity of their nodes; None: all."""
        if self.words is None:
            return None
        mentioned: dict[int, frozenset[str]] = {}
        named: dict[str, list[int]] = {}
        for function, cls in self.uncalled():
            if id(function.node) in self.executed:
                continue
            mentioned[id(function.node)] = words_of(function.node)
            if binds_container(function.node):
                mentioned[id(function.node)] |= {BINDS_CONTAINER}
            named.setdefault(function.name, []).append(id(function.node))
            if cls is not None and function.name in ("__init__", "forward", "__call__"):
                named.setdefault(cls.name, []).append(id(function.node))
        found = {node for node, words in mentioned.items() if self.words.search("\n".join(words))}
        grown = True
        while grown:
            names = {name for name, nodes in named.items() if any(node in found for node in nodes)}
            more = {node for node, words in mentioned.items() if node not in found and words & names}
            found |= more
            grown = bool(more)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Instance:
    """An object that a run has built, what its initializer wrote (target, key, value), and what happened in it."""

    value: Instance
    state: tuple[tuple[Any, Any, Any], ...]
    events: tuple[Event, ...]


_ORDER = {"__init__": 2, "forward": 0, "training_step": 0, "__getitem__": 0, "__call__": 0}


def _has_main_guard(body: Items[cst.CSTNode]) -> bool:
    from nnlint.symbolic.expressions import is_main_guard

    return any(isinstance(statement, cst.If) and is_main_guard(statement.test) for statement in body)


def _sample_datasets(executor: Executor) -> None:
    """Ask every dataset that was built for a sample, unless a loader has done so."""
    for event in list(executor.run.events):
        if isinstance(event, Build) and isinstance(event.value, Instance):
            dataset = event.value
            if id(dataset) not in executor.sampled and _is_dataset(dataset.cls):
                calls.sample(executor, dataset, event.place.node)
        elif isinstance(event, Build) and isinstance(event.value, Object) and event.value.kind == "loader":
            loops.batch(executor, event.value)


def _is_dataset(cls: Class) -> bool:
    if not isinstance(cls.namespace.get("__getitem__"), Function):
        return False
    return any("Dataset" in path or "Data" in path for path in cls.libraries()) or "__len__" in cls.namespace


def _built(executor: Executor, cls: Class) -> Instance:
    """An object whose initializer has run with unknown arguments."""
    instance = Instance(cls, origin=Origin("new", (), executor.module.source, cls.node))
    initializer = cls.lookup("__init__")
    if isinstance(initializer, Function):
        executor.executed.add(id(initializer.node))
        names = _root_names(executor, initializer, instance)
        calls.execute_body(executor, initializer, instance, names, executor.place(cls.node), 1)
        executor.conditions = ()
        if calls.is_module(cls):
            registration.note_hidden(executor, instance, cls.node)
    elif cls.lookup("__fields__") is not None:
        built = calls.instantiate(executor, cls, Arguments(star=True), cls.node)
        return built if isinstance(built, Instance) else instance
    return instance


def _root_names(executor: Executor, function: Function, receiver: Value | None) -> dict[str, Value]:
    """The parameters of a root: settings where they have defaults, unknown by their name otherwise."""
    names = calls.bound_arguments(function, receiver, Arguments())
    origin = Origin("parameter", (), executor.module.source, function.node)
    for name, value in names.items():
        if isinstance(value, Const) and name in function.defaults:
            names[name] = Unknown(name, origin=origin) if value.value is None else Setting(name, value)
        elif isinstance(value, Unknown) and value.origin is None:
            value.origin = origin
    return names
