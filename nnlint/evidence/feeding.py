"""The experiment on what a pretrained network is fed: the script, as far as pictures come to its first layer."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from nnlint.evidence.element_order import is_module_method, leading_to_module
from nnlint.evidence.loaders import datasets
from nnlint.evidence.pretraining import Pretrained, Statistics
from nnlint.evidence.protocol import effects
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Place
from nnlint.symbolic.trace import Build, Forward, Run
from nnlint.symbolic.values import Instance, Object, Value
from nnlint.verdict import Json


def feeding(
    run: Run, forward: Forward, model: Pretrained, statistics: Statistics | None, loader: Value | None
) -> Experiment | None:
    """What shows how the pictures are scaled that reach a pretrained network; None where nothing can be entered.

    Args:
        run: the run in which it is fed.
        forward: its call.
        model: the network.
        statistics: what the reading says the pictures are normalized with; None for pictures between 0 and 1.
        loader: the loader that they come from, as far as that is known.
    """
    sites = forward.context.calls
    entry = None
    if not run.script:
        if not sites or not isinstance(sites[0].function.node, cst.FunctionDef):
            return None
        entry = Place(sites[0].function.frame.module.source, sites[0].function.node)
    inside = any(is_module_method(site.function) for site in sites)
    anchors = [site.place for site in leading_to_module(sites) if isinstance(site.place.node, cst.Call)]
    anchors += effects(run, [forward])
    settings: dict[str, Json] = {
        "model": model.name,
        "given": None if statistics is None else [list(each) for each in statistics],
        "expected": None if model.statistics is None else [list(each) for each in model.statistics],
    }
    alike = _built_alike(run, loader)
    if alike:
        settings["which"] = [next(place for place, each in enumerate(alike) if each is loader), len(alike)]
    return Experiment(
        "input_scale",
        anchors=tuple(anchors if inside else [*anchors, forward.place]),
        watches=(*_of_network(model), *_of_data(run, loader)),
        entry=entry,
        settings=settings,
    )


def _of_network(model: Pretrained) -> Iterator[Watch]:
    """Where the network is built, and of timm's the function that would load its weights."""
    source, node = model.built.source, model.built.node
    yield Watch("pretrained", Place(source, node))
    if model.statistics is None and isinstance(node, cst.Call):
        yield Watch("builder", Place(source, node.func))


def _built_alike(run: Run, loader: Value | None) -> list[Value]:
    """The loaders that one line builds, one of which is meant; none where that line is not known."""
    builds = list(run.of(Build))
    own = next((build for build in builds if build.value is loader), None)
    return [] if own is None else [build.value for build in builds if build.place.node is own.place.node]


def _of_data(run: Run, loader: Value | None) -> Iterator[Watch]:
    """Where the loader is built, and the classes of the repository that its data are of."""
    wanted = [loader, *(datasets(loader) if isinstance(loader, Object) else ())]
    for build in run.of(Build):
        if any(build.value is each for each in wanted) and isinstance(build.place.node, cst.Call):
            if build.value is loader:
                yield Watch("loader", build.place)
            elif isinstance(build.value, Instance):
                yield Watch("dataset", Place(build.place.source, build.place.node.func))
