"""The names that a piece of a script mentions, gathered without executing it."""

from __future__ import annotations

from dataclasses import fields

import libcst as cst

_SKIPPED = frozenset(
    "lpar rpar semicolon comma equal leading_lines header footer trailing_whitespace lines_after_decorators "
    "whitespace_before whitespace_after annotation returns star dot operator".split()
)

_FIELDS: dict[type[cst.CSTNode], tuple[str, ...]] = {}


def _children(node: cst.CSTNode) -> tuple[str, ...]:
    kind = type(node)
    found = _FIELDS.get(kind)
    if found is None:
        found = tuple(
            field.name
            for field in fields(kind)
            if field.name not in _SKIPPED and not field.name.startswith("whitespace")
        )
        _FIELDS[kind] = found
    return found


def words_of(node: cst.CSTNode) -> set[str]:
    """Every name and attribute below a node."""
    words: set[str] = set()
    stack: list[object] = [node]
    while stack:
        item = stack.pop()
        if type(item) is cst.Name:
            words.add(item.value)
        elif isinstance(item, (list, tuple)):
            stack.extend(item)
        elif isinstance(item, cst.CSTNode):
            for name in _children(item):
                value = getattr(item, name)
                if value is not None and not isinstance(value, str):
                    stack.append(value)
    return words
