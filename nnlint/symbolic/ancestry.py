"""Everything that a value was made of, whatever was done to it: its ancestors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as Table

from nnlint.symbolic.values import (
    Attribute,
    Carried,
    Choice,
    Instance,
    Mapping,
    Method,
    Object,
    Operation,
    Partial,
    Sequence,
    Setting,
    Unknown,
    Value,
    Wrapped,
)

Assumed = Table[int, bool]
"""Outcomes of tests, by the identity (``id``) of the test."""

FARTHEST = 4_000
"""Values that one walk visits at most."""


def parents(value: Value, assumed: Assumed | None = None) -> list[Value]:
    """What a value was directly made of: the inputs of its operation, the items of a container, the sides of a choice.

    Of a choice whose test is ``assumed`` to have come out one way, only that side.
    """
    found: list[Value] = [] if value.origin is None else list(value.origin.inputs)
    if isinstance(value, Choice):
        outcome = None if assumed is None or value.test is None else assumed.get(id(value.test))
        if outcome is None:
            found += [part for part in (value.test, value.yes, value.no) if part is not None]
        else:
            found.append(value.yes if outcome else value.no)
    elif isinstance(value, Operation):
        found += value.args
    elif isinstance(value, (Setting, Carried)):
        found.append(value.default if isinstance(value, Setting) else value.initial)
    elif isinstance(value, Sequence):
        found += [*value.items, *([value.element] if value.element is not None else [])]
    elif isinstance(value, Mapping):
        found += [*value.items.values(), *([value.default] if value.default is not None else [])]
    elif isinstance(value, Wrapped):
        found += value.sources
    elif isinstance(value, (Method, Attribute)):
        found.append(value.receiver)
    elif isinstance(value, Partial):
        found += [value.function, *value.args, *value.kwargs.values()]
    elif isinstance(value, Object):
        found += [*value.arguments.positional, *value.arguments.keywords.values(), *value.children]
    elif isinstance(value, Instance):
        found += value.attributes.values()
    elif isinstance(value, Unknown) and value.items:
        found += value.items.values()
    return found


def ancestors(
    value: Value, assumed: Assumed | None = None, barrier: Callable[[Value], bool] | None = None
) -> Iterator[Value]:
    """The value and everything it was made of, nearest first, each once; not beyond what ``barrier`` holds for."""
    seen = {id(value)}
    queue = [value]
    for item in queue:
        yield item
        if len(queue) > FARTHEST:
            return
        if barrier is not None and barrier(item):
            continue
        for parent in parents(item, assumed):
            if id(parent) not in seen:
                seen.add(id(parent))
                queue.append(parent)
