"""Flags that a call hands over in the place of another parameter, while the parameter of their name is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from nnlint.rule import Place
from nnlint.symbolic.calls import parameters
from nnlint.symbolic.trace import CallSite, Run, Sample
from nnlint.symbolic.values import Function, Instance

SAMPLE = "__getitem__"

MOVES = re.compile(r"flip|mirror|rot(at)?|crop|angle|shift|aug", re.IGNORECASE)
"""Names of flags and numbers that a target is moved by."""


@dataclass(frozen=True, slots=True, eq=False)
class MisplacedFlag:
    """An argument called ``name`` that becomes the parameter ``taken_for`` of ``function``.

    ``argument`` is where it stands if it may be passed by its name there, None if other arguments follow; ``position``
    counts from 0. ``dataset`` is what makes the call for a sample.
    """

    place: Place
    name: str
    taken_for: str
    function: str
    argument: Place | None
    position: int
    dataset: Instance | None


def misplaced_flags(run: Run) -> Iterator[MisplacedFlag]:
    """The flags in the wrong place among the calls that a dataset makes for a sample, each call once."""
    seen: set[int] = set()
    for event in run.events:
        method: Function | None = None
        for site in event.context.calls:
            if method is not None and id(site.place.node) not in seen:
                seen.add(id(site.place.node))
                yield from _in_call(site, _dataset_of(method, run))
            if method is None and site.function.name == SAMPLE:
                method = site.function


def _dataset_of(method: Function, run: Run) -> Instance | None:
    """The dataset of a run that has a method."""
    samples = (sample.dataset for sample in run.of(Sample))
    return next((dataset for dataset in samples if dataset.cls.lookup(SAMPLE) is method), None)


def _in_call(site: CallSite, dataset: Instance | None) -> Iterator[MisplacedFlag]:
    node = site.place.node
    if not isinstance(node, cst.Call) or any(arg.star for arg in node.args):
        return
    names, _, _, _ = parameters(site.function.node)
    if names[:1] in (["self"], ["cls"]):
        names = names[1:]
    given = [arg for arg in node.args if arg.keyword is None]
    keywords = {arg.keyword.value for arg in node.args if arg.keyword is not None}
    left_out = set(names[len(given) :]) - keywords
    for position, (arg, taken_for) in enumerate(zip(given, names, strict=False)):
        name = arg.value.value if isinstance(arg.value, cst.Name) else ""
        if name != taken_for and name in left_out and MOVES.search(name):
            argument = Place(site.place.source, arg.value) if arg is given[-1] else None
            yield MisplacedFlag(site.place, name, taken_for, site.function.name, argument, position, dataset)
