"""Loaders: which of them a script trains on, in which order they read, and of what kind their data are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from nnlint.evidence.phases import phases
from nnlint.rule import Place
from nnlint.symbolic.loops import innermost_source
from nnlint.symbolic.trace import Build, Event, Return, Run, Step, Trace
from nnlint.symbolic.values import (
    Choice,
    Class,
    Const,
    Instance,
    Loop,
    Object,
    Sequence,
    Unknown,
    Value,
    alternatives,
    resolve_setting,
)

LOADERS = frozenset(("torch.utils.data.DataLoader", "torch_geometric.loader.DataLoader"))
"""Loaders whose arguments begin with the dataset, the batch size and ``shuffle``."""

SEEDS_NUMPY = (1, 9)
"""From this version of torch on each worker seeds numpy's global generator anew, from torch's seed."""


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """A loader that was built in sight and that a script trains on.

    ``event`` is what tells so: a step of an optimizer in ``loop``, the loop over its batches, or the return of
    Lightning's ``train_dataloader``, which has no loop.
    """

    run: Run
    loader: Object
    build: Build
    event: Event
    loop: Loop | None


def training_loaders(trace: Trace) -> Iterator[Use]:
    """The loaders that a script trains on, each once a run."""
    for run in trace.runs:
        seen: set[int] = set()
        builds = {id(build.value): build for build in run.of(Build)}
        for loader, event, loop in (*_stepped_on(run), *_returned(run)):
            build = builds.get(id(loader))
            if build is not None and id(loader) not in seen and loader.path in LOADERS:
                seen.add(id(loader))
                yield Use(run, loader, build, event, loop)


def _stepped_on(run: Run) -> Iterator[tuple[Object, Event, Loop]]:
    """The loaders whose batches an optimizer, built before, steps on in every epoch."""
    for phase in phases(run):
        if phase.role in ("validation", "test"):
            continue
        inside = {id(event.value) for event in phase.events if isinstance(event, Build)}
        step = next(
            (each for each in phase.events if isinstance(each, Step) and id(each.optimizer) not in inside), None
        )
        source = innermost_source(phase.loop.iterates or Unknown())
        repeated = step is not None and step.context.innermost(Loop.EPOCHS) is not None
        if step is not None and repeated and isinstance(source, Object) and source.kind == "loader":
            yield source, step, phase.loop


def _returned(run: Run) -> Iterator[tuple[Object, Event, None]]:
    """The loaders that a ``train_dataloader`` returns."""
    for event in run.of(Return):
        value = event.value
        if event.function.name == "train_dataloader" and isinstance(value, Object) and value.kind == "loader":
            yield value, event, None


def anchor(trace: Trace, event: Event) -> Place | None:
    """Where the file of a trace makes something happen: at the event itself, or the nearest call that leads to it."""
    if event.place.source is trace.source:
        return event.place
    return next((site.place for site in reversed(event.context.calls) if site.place.source is trace.source), None)


def way_to(event: Event) -> tuple[list[Place], Place | None]:
    """What must run for an event to happen, and the definition of the function that nobody calls, if that is in one."""
    sites = [site.place for site in event.context.calls]
    entry = None
    if sites and isinstance(sites[0].node, (cst.FunctionDef, cst.ClassDef)):
        entry = sites.pop(0)
    return [event.place, *sites], entry


def given(value: Value | None) -> Value | None:
    """An argument; None if it is not given, or is None."""
    resolved = resolve_setting(value)
    return None if resolved is None or (isinstance(resolved, Const) and resolved.value is None) else value


# --- datasets --------------------------------------------------------------------------------------------------------


def datasets(loader: Object) -> list[Value]:
    """What a loader's dataset may be, those of its subsets and concatenations taken apart."""
    found: list[Value] = []
    stack = [resolve_setting(loader.arguments.get(0, "dataset"))]
    for _ in range(20):
        value = stack.pop() if stack else None
        if value is None:
            break
        if isinstance(value, Choice):
            stack += alternatives(value)
        elif isinstance(value, Object) and value.name in ("Subset", "ConcatDataset") and value.kind == "dataset":
            whole = resolve_setting(next(iter(value.children), None) or value.arguments.get(0, "dataset"))
            stack += whole.items if isinstance(whole, Sequence) else [Unknown() if whole is None else whole]
        else:
            found.append(value)
    return found


def has_items(dataset: Value) -> bool | None:
    """Whether a dataset is asked for its items by number, so that a loader decides their order; None: not known."""
    if isinstance(dataset, Instance):
        return _has_items(dataset.cls)
    if isinstance(dataset, Object):
        return True if dataset.kind == "dataset" and dataset.name != "ChainDataset" else None
    return True if isinstance(dataset, Sequence) else None


def _has_items(cls: Class) -> bool | None:
    libraries = set(cls.libraries())
    if any("Iterable" in path for path in libraries) or cls.lookup("__iter__") is not None:
        return False
    if cls.lookup("__getitem__") is not None or any(path.startswith("torchvision.datasets.") for path in libraries):
        return True
    return None
