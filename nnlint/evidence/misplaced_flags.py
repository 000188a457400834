"""Flags that a call hands over in the place of another parameter, while the parameter of their name is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from nnlint.rule import Place
from nnlint.symbolic.calls import parameters
from nnlint.symbolic.trace import CallSite, Run

SAMPLE = "__getitem__"

MOVES = re.compile(r"flip|mirror|rot(at)?|crop|angle|shift|aug", re.IGNORECASE)
"""Names of flags and numbers that a target is moved by."""


@dataclass(frozen=True, slots=True, eq=False)
class MisplacedFlag:
    """An argument called ``name`` that becomes the parameter ``taken_for`` of ``function``.

    ``argument`` is where it stands if it may be passed by its name there, None if other arguments follow.
    """

    place: Place
    name: str
    taken_for: str
    function: str
    argument: Place | None


def misplaced_flags(run: Run) -> Iterator[MisplacedFlag]:
    """The flags in the wrong place among the calls that a dataset makes for a sample, each call once."""
    seen: set[int] = set()
    for event in run.events:
        inside = False
        for site in event.context.calls:
            if inside and id(site.place.node) not in seen:
                seen.add(id(site.place.node))
                yield from _in_call(site)
            inside = inside or site.function.name == SAMPLE


def _in_call(site: CallSite) -> Iterator[MisplacedFlag]:
    node = site.place.node
    if not isinstance(node, cst.Call) or any(arg.star for arg in node.args):
        return
    names, _, _, _ = parameters(site.function.node)
    if names[:1] in (["self"], ["cls"]):
        names = names[1:]
    given = [arg for arg in node.args if arg.keyword is None]
    keywords = {arg.keyword.value for arg in node.args if arg.keyword is not None}
    left_out = set(names[len(given) :]) - keywords
    for arg, taken_for in zip(given, names, strict=False):
        name = arg.value.value if isinstance(arg.value, cst.Name) else ""
        if name != taken_for and name in left_out and MOVES.search(name):
            argument = Place(site.place.source, arg.value) if arg is given[-1] else None
            yield MisplacedFlag(site.place, name, taken_for, site.function.name, argument)
