"""What a script tells people of a value: the calls that print or log what it was put into, and the returns."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst

from nnlint.symbolic.words import below, words_of

TELLS = re.compile(r"^(print|log\w*|info|debug|warning|write\w*|add_scalars?)$")
"""Names of functions and methods that tell people something."""


def tellings(scope: cst.Module | cst.FunctionDef, node: cst.CSTNode) -> Iterator[cst.BaseExpression]:
    """The expressions of a scope that tell of what comes of one of its expressions, followed by names, in order."""
    names: set[str] = set()
    for statement in _statements(scope):
        if not names & words_of(statement) and not any(each is node for each in below(statement)):
            continue
        if isinstance(statement, cst.Assign):
            names |= {name for each in statement.targets for name in _bound_by(each.target)}
        elif isinstance(statement, cst.AnnAssign | cst.AugAssign):
            names |= set(_bound_by(statement.target))
        elif (told := _told_by(statement)) is not None:
            yield told


def _statements(scope: cst.CSTNode) -> Iterator[cst.BaseSmallStatement]:
    """The small statements of a scope, without those of the functions and classes in it."""
    stack: list[cst.CSTNode] = [scope.body] if isinstance(scope, cst.FunctionDef) else [scope]
    while stack:
        node = stack.pop()
        if isinstance(node, cst.BaseSmallStatement):
            yield node
        elif not isinstance(node, cst.FunctionDef | cst.ClassDef | cst.BaseExpression):
            stack += reversed(node.children)


def _bound_by(target: cst.BaseExpression) -> Iterator[str]:
    """The names that an assignment to a target binds."""
    if isinstance(target, cst.Name):
        yield target.value
    elif isinstance(target, cst.Tuple | cst.List):
        for element in target.elements:
            yield from _bound_by(element.value)


def _told_by(statement: cst.BaseSmallStatement) -> cst.BaseExpression | None:
    """What a statement tells or returns; None if it does neither."""
    if isinstance(statement, cst.Return):
        return statement.value
    if not isinstance(statement, cst.Expr) or not isinstance(statement.value, cst.Call):
        return None
    function = statement.value.func
    name = function.attr if isinstance(function, cst.Attribute) else function
    return statement.value if isinstance(name, cst.Name) and TELLS.search(name.value) is not None else None
