"""How many dimensions a function's arguments have, as far as its text tells."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from ..definitions import body_of
from .sketches import Sketch

MOVING = frozenset("permute transpose swapaxes flatten size".split())
"""Methods whose arguments are dimensions."""

Ranks = dict[str, tuple[int, int]]
"""The least and the largest number of dimensions by parameter; of 0 nothing is known, or it is no tensor."""

MOST = 6
"""No argument is taken to have more dimensions."""


def ranks_of(function: Callable[..., Any]) -> Ranks:
    """What is done to a function's arguments before they are bound anew: sizes are unpacked, dimensions named."""
    body = body_of(function)
    known: Ranks = {}
    bound: set[str] = set()
    for statement in body:
        # What is done only under a condition may be done because of it.
        for node in () if isinstance(statement, (ast.If, ast.Try, ast.While)) else ast.walk(statement):
            for name, least, most in _told(node):
                if name not in bound:
                    low, high = known.get(name, (0, MOST))
                    known[name] = (max(low, least), min(high, most))
        bound.update(
            node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        )
    return {name: (low, high) for name, (low, high) in known.items() if low <= high}


def fits(sketch: Sketch | None, rank: tuple[int, int] | None) -> bool:
    """Whether a tensor has as many dimensions as are asked for; what is no tensor may be anything."""
    return sketch is None or rank is None or rank[0] <= len(sketch.shape) <= rank[1]


def _told(node: ast.AST) -> Iterator[tuple[str, int, int]]:
    """What a node tells: a name, and the least and the largest number of its dimensions."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
        name, count = _sizes_of(node.value), len(node.targets[0].elts)
        if any(isinstance(each, ast.Starred) for each in node.targets[0].elts):
            if name:
                yield name, count - 1, MOST
        elif name:
            yield name, count, count
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and type(node.slice.value) is int:
        name = _sizes_of(node.value)
        if name:
            yield name, _needed(node.slice.value), MOST
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        numbers = [number for number in map(_number, node.args) if number is not None]
        if node.func.attr in MOVING and numbers and len(numbers) == len(node.args):
            least = max(map(_needed, numbers))
            exact = node.func.attr == "permute"
            yield node.func.value.id, len(numbers) if exact else least, len(numbers) if exact else MOST


def _sizes_of(node: ast.expr) -> str:
    """The name whose sizes an expression is: ``x.shape``, ``x.size()``."""
    if (
        isinstance(node, ast.Call)
        and not node.args
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "size"
    ):
        node = node.func.value
    elif isinstance(node, ast.Attribute) and node.attr == "shape":
        node = node.value
    else:
        return ""
    return node.id if isinstance(node, ast.Name) else ""


def _number(node: ast.expr) -> int | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _number(node.operand)
        return None if number is None else -number
    return node.value if isinstance(node, ast.Constant) and type(node.value) is int else None


def _needed(number: int) -> int:
    """How many dimensions there are at least, if there is one of this number."""
    return number + 1 if number >= 0 else -number
