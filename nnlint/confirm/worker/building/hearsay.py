"""What the user's own lines say of an argument that nobody gives: what it is compared with, what others default to."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from ..definitions import body_of


def word_for(function: Callable[..., Any], name: str) -> str | None:
    """A string that an argument may be: the first that it is compared with, or a default of that name in the file."""
    compared = (
        word for statement in body_of(function) for node in ast.walk(statement) for word in _compared(node, name)
    )
    found = next(compared, None)
    if found is None:
        default = default_of(function, name)
        found = default if isinstance(default, str) else None
    return found


def default_of(function: Callable[..., Any], name: str) -> Any:
    """What an argument is by default in another function of the same file; None if it has no constant there."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return None if code is None else _defaults("".join(linecache.getlines(code.co_filename))).get(name)


def _compared(node: ast.AST, name: str) -> Iterator[str]:
    if not isinstance(node, ast.Compare) or not isinstance(node.left, ast.Name) or node.left.id != name:
        return
    for side in node.comparators:
        for each in side.elts if isinstance(side, (ast.Tuple, ast.List, ast.Set)) else [side]:
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                yield each.value


@lru_cache(maxsize=8)
def _defaults(text: str) -> dict[str, Any]:
    """The first constant default of each parameter name in a file."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = node.args
            placed = [*arguments.posonlyargs, *arguments.args][-len(arguments.defaults) or len(arguments.args) :]
            for parameter, default in (
                *zip(placed, arguments.defaults),
                *zip(arguments.kwonlyargs, arguments.kw_defaults),
            ):
                if isinstance(default, ast.Constant) and isinstance(default.value, (str, int, float)):
                    found.setdefault(parameter.arg, default.value)
    return found
