"""Which modules an optimizer was built for: it holds the parameters that they had at that time."""

from __future__ import annotations

from collections.abc import Iterator

from nnlint.evidence.provenance import everything, walk_back
from nnlint.symbolic.modes import holds
from nnlint.symbolic.values import Attribute, Object, Origin, Value

PARAMETERS = frozenset((".parameters", ".named_parameters"))
"""Methods that give the parameters of a module."""


def sources_of(optimizer: Value) -> list[Origin]:
    """The calls of ``parameters()`` that an optimizer of a library is given the results of."""
    if not isinstance(optimizer, Object) or optimizer.kind != "optimizer":
        return []
    given = optimizer.arguments.get(0, "params")
    if given is None:
        return []
    origins = (part.value.origin for part in walk_back(given, everything))
    return [origin for origin in origins if origin is not None and origin.op in PARAMETERS and origin.inputs]


def modules_of(optimizer: Value) -> list[Value]:
    """The modules whose ``parameters()`` an optimizer of a library is given."""
    return [origin.inputs[0] for origin in sources_of(optimizer)]


def owner_of(value: Value) -> Value | None:
    """The module whose parameters a loop goes through; None for what no such loop yields."""
    for _ in range(3):
        if value.origin is None or not value.origin.inputs:
            return None
        if value.origin.op in PARAMETERS:
            return value.origin.inputs[0]
        value = value.origin.inputs[0]
    return None


def is_built_for(optimizer: Value, module: Value) -> bool:
    """Whether an optimizer was built for a module, or for one that it is part of."""
    modules = modules_of(optimizer)
    return any(each is part for part in around(module) for each in modules) or any(
        holds(each, module) for each in modules
    )


def around(module: Value) -> Iterator[Value]:
    """A module and those that it was taken from: ``model`` of ``model.encoder[0]``."""
    for _ in range(4):
        yield module
        if isinstance(module, Attribute):
            module = module.receiver
        elif module.origin is not None and module.origin.op in ("getattr", "getitem") and module.origin.inputs:
            module = module.origin.inputs[0]
        else:
            return
