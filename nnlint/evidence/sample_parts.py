"""The parts of what a dataset returns, under the names that the script has for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import libcst as cst

from nnlint.evidence.movement import Tests
from nnlint.symbolic.ancestry import Assumed
from nnlint.symbolic.trace import Return, Sample
from nnlint.symbolic.values import Choice, Mapping, Sequence, Unknown, Value
from nnlint.symbolic.words import below

Path = tuple["str | int", ...]

PARTS = 24
"""Parts of a sample that are looked at."""

WAYS = 6
"""Tests between ways to return that are told apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A part of what a dataset returns; ``label`` is what the script calls it, ``tests`` what led to the return.

    ``path`` are the keys and numbers by which it is taken from what is returned, None if they are not known.
    """

    label: str
    value: Value
    tests: Tests = field(default_factory=dict)
    path: Path | None = ()

    @property
    def assumed(self) -> Assumed:
        """How the tests came out that led to the return."""
        return {key: outcome for key, (_, outcome) in self.tests.items()}


def parts_of(returned: Sample | Return) -> Iterator[list[Part]]:
    """The parts of what is returned, once for each way to return more than one."""
    names = returned_names(returned.place.node)
    for value, tests in _ways(returned.value, {}):
        parts = list(_flattened(Part("", value, tests), names))[:PARTS]
        if len(parts) > 1:
            yield parts


def _ways(value: Value, tests: Tests) -> Iterator[tuple[Value, Tests]]:
    if not isinstance(value, Choice) or len(tests) >= WAYS:
        yield value, tests
        return
    for side, outcome in ((value.yes, True), (value.no, False)):
        yield from _ways(side, tests | ({} if value.test is None else {id(value.test): (value.test, outcome)}))


def _flattened(part: Part, names: dict[int, list[str]]) -> Iterator[Part]:
    """The parts of a part, itself if it has none; ``names`` are those of the items by their number."""
    value, label = part.value, part.label
    if isinstance(value, Sequence) and value.items:
        spoken = [] if label else names.get(len(value.items), [])
        for number, item in enumerate(value.items):
            named = spoken[number] if spoken else label
            yield from _flattened(Part(named, item, part.tests, _below(part.path, number)), {})
        return
    items = value.items if isinstance(value, (Mapping, Unknown)) else None
    if items:
        for key, item in items.items():
            named = key if isinstance(key, str) else label
            yield from _flattened(Part(named, item, part.tests, _below(part.path, key)), {})
    else:
        yield part


def _below(path: Path | None, key: object) -> Path | None:
    return (*path, key) if path is not None and isinstance(key, (str, int)) else None


def returned_names(node: cst.CSTNode) -> dict[int, list[str]]:
    """What the ``return`` statements of a function call the items of the tuples they return, by the number of items."""
    found: dict[int, list[str]] = {}
    inner = [item for item in below(node) if type(item) is cst.FunctionDef and item is not node]
    foreign = {id(item) for function in inner for item in below(function)}
    for item in below(node):
        if type(item) is cst.Return and id(item) not in foreign and isinstance(item.value, (cst.Tuple, cst.List)):
            found[len(item.value.elements)] = [spoken(element.value) for element in item.value.elements]
    return found


def spoken(node: cst.BaseExpression) -> str:
    """The name that an expression is about: itself, a key, the receiver of a method, or a first argument."""
    while True:
        if isinstance(node, cst.Name):
            return node.value
        if isinstance(node, cst.Attribute):
            return node.attr.value
        if isinstance(node, cst.BinaryOperation):
            node = node.left
        elif isinstance(node, cst.Subscript):
            index = node.slice[0].slice
            key = index.value if isinstance(index, cst.Index) else None
            if isinstance(key, cst.SimpleString):
                return str(key.evaluated_value)
            node = node.value
        elif isinstance(node, cst.Call):
            receiver = node.func.value if isinstance(node.func, cst.Attribute) else None
            if receiver is not None and (not node.args or isinstance(receiver, (cst.Call, cst.Subscript))):
                node = receiver
            elif node.args:
                node = node.args[0].value
            else:
                return ""
        else:
            return ""
