"""What functions say: their statements, as the texts of their files have them."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable
from functools import lru_cache
from types import CodeType
from typing import Any


def body_of(function: Callable[..., Any]) -> list[ast.stmt]:
    """The statements of a function; none if its text is not at hand."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return [] if code is None else body_at(code)


def body_at(code: CodeType) -> list[ast.stmt]:
    """The statements that code was made of: those of a function, or of a whole file; none if it is neither."""
    tree = _parsed("".join(linecache.getlines(code.co_filename)))
    if code.co_name == "<module>":
        return tree.body
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == code.co_name:
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            if code.co_firstlineno in (first, node.lineno):
                return node.body
    return []


@lru_cache(maxsize=64)
def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module([], [])
