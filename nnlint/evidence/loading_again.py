"""What would prove what chance does to the samples of a loader: the loader, as the script builds it."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst

from nnlint.evidence.copied_generators import Copied
from nnlint.evidence.loaders import way_to
from nnlint.evidence.repeating import result_of
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Place
from nnlint.symbolic.trace import Build, Run
from nnlint.symbolic.values import Instance, Object, Value
from nnlint.verdict import Json

KIND = "repeat"


def loading_in_workers(run: Run, build: Build, copied: Copied) -> Experiment:
    """Load samples in worker processes, and compare what is drawn in one with what is drawn in another."""
    drawn, call = result_of(copied.draw), copied.draw.node
    # Of numpy's global generator it is the function whose evaluation says that a draw begins.
    begun = Place(copied.draw.source, call.func) if isinstance(call, cst.Call) else copied.draw
    watches = [Watch("drawn", drawn), Watch("generator", copied.generator or begun)]
    settings: dict[str, Json] = {
        "subject": "workers",
        "what": copied.what,
        "in place": drawn is not copied.draw,
        "global": copied.generator is None,
    }
    return _loading(run, build, [copied.dataset], watches, settings)


def loading_for_evaluation(
    run: Run, build: Build, datasets: Sequence[Value], transforms: Sequence[Object]
) -> Experiment:
    """Load one sample of evaluation data several times, and compare what comes out."""
    origins = [transform.origin for transform in transforms]
    watches = [
        Watch(f"transform {number}", Place(origin.source, origin.node))
        for number, origin in enumerate(origins)
        if origin is not None
    ]
    names = list(dict.fromkeys(transform.name for transform in transforms))
    return _loading(run, build, datasets, watches, {"subject": "evaluation", "transforms": names})


def _loading(
    run: Run, build: Build, datasets: Sequence[Value], watches: list[Watch], settings: dict[str, Json]
) -> Experiment:
    """The script, or the function that nobody calls, as far as the calls that build a loader and its data sets."""
    alike = [each.value for each in run.of(Build) if each.place.node is build.place.node]
    settings["which"] = [alike.index(build.value), len(alike)]
    builds = [each for each in run.of(Build) if any(each.value is dataset for dataset in datasets)]
    anchors, entry = way_to(build)
    for each in builds:
        anchors += [place for place in way_to(each)[0] if all(place.node is not known.node for known in anchors)]
        if isinstance(each.place.node, cst.Call) and isinstance(each.value, Instance):
            watches = [Watch("dataset", Place(each.place.source, each.place.node.func)), *watches]
    return Experiment(KIND, tuple(anchors), (Watch("loader", build.place), *watches), entry, settings)
