"""The nodes and names of a piece of a script, gathered without executing it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import lru_cache

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


_SCOPES: set[type] = set()
"""The types of functions and classes, as far as any was met: libcst is not imported before it is needed."""


def _fields(kind: type) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    blank = (cst.BaseParenthesizableWhitespace, cst.TrailingWhitespace)
    if issubclass(kind, cst.CSTNode) and not issubclass(kind, blank):
        names = [field.name for field in fields(kind)]
        found = tuple(name for name in names if name not in _SKIPPED and "whitespace" not in name)
    _FIELDS[kind] = found
    if issubclass(kind, (cst.FunctionDef, cst.ClassDef)):
        _SCOPES.add(kind)
    return found


def below(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """A node and the nodes below it in source order, without blanks, comments, punctuation and annotations."""
    return iter(_in_scope(node)) if type(node) in _SCOPES else _walk(node)


@lru_cache(maxsize=128)
def _in_scope(scope: cst.CSTNode) -> tuple[cst.CSTNode, ...]:
    """The same for a function or class: many rules look through the same few, one after the other."""
    return tuple(_walk(scope))


def _walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    stack: list[object] = [node]
    while stack:
        item = stack.pop()
        kind = type(item)
        names = _FIELDS[kind] if kind in _FIELDS else _fields(kind)
        if kind in _SCOPES and item is not node:
            yield from _in_scope(item)
        elif names is None:
            stack.extend(reversed(item))  # type: ignore[call-overload]
        elif names:
            yield item  # type: ignore[misc]
            stack.extend([getattr(item, name) for name in reversed(names)])


def words_of(node: cst.CSTNode) -> frozenset[str]:
    """Every name and attribute below a node."""
    return _words_in_scope(node) if type(node) in _SCOPES else _words(node)


BINDS_CONTAINER = "self.attribute=[]"
"""Stands among the words of a function that binds an attribute to a list or dict; no name is spelt like it."""


def binds_container(function: cst.CSTNode) -> bool:
    """Whether a function binds an attribute to a list or dict, as it is written."""
    return any(
        (
            (type(node) is cst.Assign and any(type(each.target) is cst.Attribute for each in node.targets))
            or (type(node) is cst.AnnAssign and node.value is not None and type(node.target) is cst.Attribute)
        )
        and any(_makes_container(part) for part in below(node))
        for node in below(function)
    )


def _makes_container(node: cst.CSTNode) -> bool:
    if type(node) is cst.Name:
        return node.value in ("dict", "list", "OrderedDict", "defaultdict")
    return type(node) in (cst.List, cst.ListComp, cst.Dict, cst.DictComp)


@lru_cache(maxsize=128)
def _words_in_scope(scope: cst.CSTNode) -> frozenset[str]:
    return _words(scope)


def _words(node: cst.CSTNode) -> frozenset[str]:
    return frozenset(item.value for item in below(node) if type(item) is cst.Name)
