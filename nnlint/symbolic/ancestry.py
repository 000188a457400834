"""Everything that a value was made of, whatever was done to it: its ancestors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as Table
from functools import lru_cache
from typing import Any

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
    if type(value) is Choice:
        outcome = None if assumed is None or value.test is None else assumed.get(id(value.test))
        if outcome is None:
            found += [part for part in (value.test, value.yes, value.no) if part is not None]
        else:
            found.append(value.yes if outcome else value.no)
        return found
    parts = _PARTS.get(type(value))
    if parts is not None:
        found += parts(value)
    return found


_PARTS: dict[type, Callable[[Any], Iterable[Value]]] = {
    Operation: lambda value: value.args,
    Setting: lambda value: (value.default,),
    Carried: lambda value: (value.initial,),
    Sequence: lambda value: value.items if value.element is None else (*value.items, value.element),
    Mapping: lambda value: [*value.items.values(), *([] if value.default is None else [value.default])],
    Wrapped: lambda value: value.sources,
    Method: lambda value: (value.receiver,),
    Attribute: lambda value: (value.receiver,),
    Partial: lambda value: (value.function, *value.args, *value.kwargs.values()),
    Object: lambda value: (
        *value.arguments.positional,
        *value.arguments.keywords.values(),
        *value.children,
    ),
    Instance: lambda value: value.attributes.values(),
    Unknown: lambda value: value.items.values() if value.items else (),
}
"""What values of a type hold. By type, for speed: nothing is asked more often."""


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


@lru_cache(maxsize=64)
def made_of(value: Value) -> frozenset[int]:
    """The identities of the value and of everything it was made of; for losses, which many rules ask about."""
    return frozenset(map(id, ancestors(value)))
