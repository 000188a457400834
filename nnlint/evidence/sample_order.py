"""What would prove in which order a loader gives its samples: the script's own epochs over it, begun and cut short."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import libcst as cst

from nnlint.evidence.conditions import given_by
from nnlint.evidence.loaders import Use, datasets
from nnlint.evidence.protocol import made_for_effect, protocol
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Place
from nnlint.source import Source
from nnlint.symbolic.loops import names_of
from nnlint.symbolic.trace import Build, Return, Step
from nnlint.symbolic.values import Instance
from nnlint.symbolic.words import below, words_of
from nnlint.verdict import Json

PARSED = frozenset(("parse_args", "parse_known_args", "ArgumentParser"))
"""Words of values that many variables are made of: they hold options."""

EPOCHS = 3
"""Epochs that are begun."""

BATCHES = 2
"""Batches of each that are trained on."""


def stored_order(use: Use, accused: Place) -> Experiment | None:
    """Go through the epochs of a loader, and look in which order it asks for its samples."""
    return _rehearsal(use, accused, "stored-order", [use.build], (), {})


def repeated_order(use: Use, sampler: Build, accused: Place) -> Experiment | None:
    """Go through the epochs of a loader, and compare the orders that its distributed sampler gives."""
    watches = (Watch("sampler", sampler.place),)
    return _rehearsal(use, accused, "repeated-order", [use.build, sampler], watches, {"distributed": True})


def _rehearsal(
    use: Use, accused: Place, check: str, built: Sequence[Build], watches: Sequence[Watch], settings: dict[str, Json]
) -> Experiment | None:
    shared: dict[str, Json] = {
        "check": check,
        "epochs": EPOCHS,
        "batches": BATCHES,
        "options": _options(use, built),
        **settings,
    }
    watches = (Watch("loader", use.build.place), *watches)
    if use.loop is None:
        return _hook(use, accused, watches, shared)
    places = [event.place for event in built]
    places += [site.place for event in built for site in event.context.calls if isinstance(site.place.node, cst.Call)]
    experiment = protocol(
        use.run,
        check,
        accused=accused,
        around=use.event,
        watches=watches,
        anchors=(*places, *_preparations(use, places)),
        settings=shared,
        kinds=(Step,),
    )
    if experiment is None:
        return None
    # The order of the samples is seen whatever becomes of the steps.
    return replace(experiment, watches=tuple(watch for watch in experiment.watches if watch.name != "event"))


def _options(use: Use, built: Sequence[Build]) -> dict[str, Json]:
    """What must be given on the command line for the loader, and one of its data sets, to be built."""
    known = {id(event.value): event for event in use.run.of(Build)}
    loaded = [known[id(each)] for each in datasets(use.loader) if id(each) in known]
    # The files of a library's data set can be stood in for.
    loaded.sort(key=lambda event: isinstance(event.value, Instance))
    conditions = [condition for event in (*built, *loaded[:1]) for condition in event.context.conditions]
    return given_by((condition.test, condition.outcome) for condition in conditions)


def _preparations(use: Use, places: Sequence[Place]) -> Iterator[Place]:
    """What is done, where the loader is built and its builder is called, to what it is built of: ``mix(rows)``."""
    scopes: dict[int, tuple[Source, cst.CSTNode]] = {id(use.build.place.source): _module(use.build.place.source)}
    for site in use.build.context.calls:
        source = site.function.frame.module.source
        scopes[id(site.function.node)] = source, site.function.node
        scopes.setdefault(id(site.place.source), _module(site.place.source))
    for source, scope in scopes.values():
        inside = {id(node) for node in below(scope)}
        names = _made_of(scope, [place.node for place in places if id(place.node) in inside])
        yield from (Place(source, node) for node, spoken in made_for_effect(scope) if spoken & names)


def _module(source: Source) -> tuple[Source, cst.CSTNode]:
    return source, source.module


def _made_of(scope: cst.CSTNode, nodes: Sequence[cst.CSTNode]) -> set[str]:
    """The variables of a scope that some expressions are made of, directly or not."""
    assigned: dict[str, set[str]] = {}
    for node in below(scope):
        if isinstance(node, cst.Assign) and not PARSED & words_of(node.value):
            for target in node.targets:
                for name in _bound(target.target):
                    assigned.setdefault(name, set()).update(words_of(node.value))
    found: set[str] = set()
    wanted = {word for node in nodes for word in words_of(node)}
    while wanted:
        name = wanted.pop()
        if name in assigned and name not in found:
            found.add(name)
            wanted |= assigned[name]
    return found


def _bound(target: cst.BaseExpression) -> Iterator[str]:
    """The names that an assignment binds; of an attribute its own."""
    if isinstance(target, cst.Attribute):
        yield target.attr.value
    else:
        yield from names_of(target)


def _hook(use: Use, accused: Place, watches: Sequence[Watch], settings: dict[str, Json]) -> Experiment | None:
    """Ask the method of a framework for its loader, and go through that as the framework does."""
    if not isinstance(use.event, Return):
        return None
    function = use.event.function
    return Experiment(
        "protocol",
        anchors=(accused, use.build.place, use.event.place),
        watches=(Watch("accused", accused), *watches),
        entry=Place(function.frame.module.source, function.node),
        settings={**settings, "hook": True},
    )
