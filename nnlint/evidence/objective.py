"""What makes a value a loss: it was computed by a loss function, it is an error, or it is called one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nnlint.diagnostic import Confidence
from nnlint.evidence.provenance import (
    DIFFERENCE,
    POWER,
    PRODUCT,
    QUOTIENT,
    SAME,
    ingredients,
    operands,
    operation_of,
    walk_back,
)
from nnlint.symbolic.scalar import is_numeric, number
from nnlint.symbolic.values import Attribute, Class, Function, Instance, Library, Object, Origin, Tensor, Unknown, Value

_NAME = re.compile(r"(^|_)loss(es)?\d*(_|$)|[a-z\d]Loss(es)?([A-Z_\d]|$)|^loss(es)?[A-Z\d]", re.ASCII)
_CALLEE = re.compile(r"loss|criteri|^crit$", re.IGNORECASE)
_OF_A_LOSS = re.compile(
    r"_(weights?|w|scales?|ratio|masks?|fn|func\w*|coe?f\w*|factors?|thresh\w*|limit|max|min|type|name|clip|cap|bound|"
    r"target|input|labels?|diff)\d*$",
    re.IGNORECASE,
)
"""Endings of names that speak of a loss and mean something else: its weight, its limit, what it is given."""


def says_loss(name: str) -> bool:
    """Whether a variable, key or function of this name holds, or returns, a loss."""
    return bool(_NAME.search(name)) and not _OF_A_LOSS.search(name)


def computes_loss(name: str) -> bool:
    """Whether a callable of this name computes a loss."""
    return bool(_CALLEE.search(name))


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Why a value is taken for a loss: in words for a message, how certain that is, and where it comes from."""

    words: str
    confidence: Confidence
    origin: Origin | None
    computed: bool = False
    """Whether a known loss function computed it, so that its range is known to have no end."""
    error: bool = False
    """Whether it is an error: a square, an absolute value or a norm of a difference."""


def evidence(value: Value) -> Evidence | None:
    """The best reason to take a value for a loss, or a part of one; None if there is none."""
    best: Evidence | None = None
    for part in walk_back(value, ingredients):
        found = _evidence(part.value)
        if found is not None and (best is None or found.confidence > best.confidence):
            best = found
            if found.confidence is Confidence.HIGH:
                break
    return best


def _evidence(value: Value) -> Evidence | None:
    origin = value.origin
    if isinstance(value, Tensor) and value.loss not in ("", "named") and not is_detached(value):
        return Evidence(f"`{value.loss.rpartition('.')[2]}` computes the loss", Confidence.HIGH, origin, computed=True)
    if origin is not None:
        if is_error(value):
            return Evidence("the error is computed", Confidence.HIGH, origin, error=True)
        callee = _callee(origin)
        if callee and computes_loss(callee):
            return Evidence(f"`{callee}` computes the loss", Confidence.MEDIUM, origin)
        if origin.op == "getattr" and isinstance(value, Unknown) and value.name == "loss":
            return Evidence("the model computes the loss", Confidence.MEDIUM, origin)
    if isinstance(value, (Tensor, Unknown)) and says_loss(value.name) and not is_detached(value):
        return Evidence(f"`{value.name}` is computed", Confidence.LOW, origin)
    return None


def is_detached(value: Value) -> bool:
    """Whether a value was cut from the graph by the very operation it comes from."""
    origin = value.origin
    return origin is not None and operation_of(origin) in ("detach", "detach_", "data", "item", "numpy", "tolist")


def is_error(value: Value) -> bool:
    """Whether a value is the square, the absolute value or the norm of a difference of two values."""
    origin = value.origin
    if origin is None or not origin.inputs:
        return False
    op = operation_of(origin)
    both = operands(origin)
    if op in POWER:
        return both is not None and number(both[1]) in (2, 4) and is_difference(both[0])
    if op in PRODUCT:
        return both is not None and both[0] is both[1] and is_difference(both[0])
    return op in ("square", "abs", "norm", "vector_norm") and is_difference(origin.inputs[0])


def is_difference(value: Value) -> bool:
    """Whether a value is a difference of two values neither of which is a number, perhaps masked or scaled."""
    for _ in range(6):
        origin = value.origin
        if origin is None or not origin.inputs:
            return False
        op = operation_of(origin)
        both = operands(origin)
        if op in DIFFERENCE:
            return both is not None and not is_numeric(both[0]) and not is_numeric(both[1])
        if op not in SAME and op not in PRODUCT and op not in QUOTIENT:
            return False
        value = origin.inputs[0]
    return False


def _callee(origin: Origin) -> str:
    """The name of the function nobody knows that computed a value."""
    if origin.op != "call":
        return origin.op if "." in origin.op and not origin.op.startswith((".", "torch.", "builtins.")) else ""
    return name_of_callable(origin.inputs[0])


def name_of_callable(callee: Value) -> str:
    """What a callable is called: its own name, its class's, or its path's."""
    if isinstance(callee, (Unknown, Attribute, Function, Class)):
        return callee.name
    if isinstance(callee, Instance):
        return callee.cls.name
    if isinstance(callee, (Object, Library)):
        return callee.path
    return ""
