"""The nodes and names of a piece of a script, gathered without executing it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import libcst as cst

_SKIPPED = frozenset(
    "lpar rpar lbracket rbracket lbrace rbrace semicolon comma equal leading_lines header footer "
    "lines_after_decorators annotation returns star dot operator indent".split()
)
"""Fields that hold punctuation, blanks, comments or type annotations."""

_FIELDS: dict[type, tuple[str, ...] | None] = {list: None, tuple: None}
"""The fields of a node type worth looking into, in source order; None for lists, empty for what is no node.

Nodes of libcst are abstract base classes and its ``children`` runs a visitor: asking by type is ten times as fast.
"""


def _fields(kind: type) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    blank = (cst.BaseParenthesizableWhitespace, cst.TrailingWhitespace)
    if issubclass(kind, cst.CSTNode) and not issubclass(kind, blank):
        names = [field.name for field in fields(kind)]
        found = tuple(name for name in names if name not in _SKIPPED and "whitespace" not in name)
    _FIELDS[kind] = found
    return found


def below(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """A node and the nodes below it in source order, without blanks, comments, punctuation and annotations."""
    stack: list[object] = [node]
    while stack:
        item = stack.pop()
        kind = type(item)
        names = _FIELDS[kind] if kind in _FIELDS else _fields(kind)
        if names is None:
            stack.extend(reversed(item))  # type: ignore[call-overload]
        elif names:
            yield item  # type: ignore[misc]
            stack.extend([getattr(item, name) for name in reversed(names)])


def words_of(node: cst.CSTNode) -> set[str]:
    """Every name and attribute below a node."""
    return {item.value for item in below(node) if type(item) is cst.Name}
