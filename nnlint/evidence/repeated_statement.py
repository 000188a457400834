"""An assignment written once more for another variable: ``mask = mirror(mask)`` beside ``image = mirror(image)``."""

from __future__ import annotations

from collections.abc import Container

import libcst as cst

from nnlint.symbolic.words import below


def repeated_for(function: cst.CSTNode, expression: cst.CSTNode, name: str, draws: Container[int]) -> str | None:
    """The assignment that ``expression`` stands in, for the variable ``name`` of the same function.

    None if it is no plain assignment to a variable that it reads, if ``name`` is not assigned before it, or if it
    contains one of the nodes ``draws`` (by identity), which would draw again.
    """
    known: set[str] = set()
    for node in below(function):
        if not isinstance(node, cst.Assign):
            continue
        inside = list(below(node.value))
        target = node.targets[0].target
        if not any(part is expression for part in inside):
            known.update(part.value for at in node.targets for part in below(at.target) if isinstance(part, cst.Name))
            continue
        if len(node.targets) > 1 or not isinstance(target, cst.Name) or name not in known:
            return None
        reads = any(isinstance(part, cst.Name) and part.value == target.value for part in inside)
        if not reads or any(id(part) in draws for part in inside):
            return None
        return cst.Module([]).code_for_node(_renamed(node, target.value, name))
    return None


def _renamed(statement: cst.Assign, old: str, new: str) -> cst.CSTNode:
    """A statement with one variable written for another; attributes and keywords of its name are others."""

    class Renamed(cst.CSTTransformer):
        def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:  # noqa: N802
            return updated_node.with_changes(value=new) if original_node.value == old else updated_node

        def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.Attribute:  # noqa: N802
            return updated_node.with_changes(attr=original_node.attr)

        def leave_Arg(self, original_node: cst.Arg, updated_node: cst.Arg) -> cst.Arg:  # noqa: N802
            return updated_node.with_changes(keyword=original_node.keyword)

    renamed = statement.visit(Renamed())
    assert isinstance(renamed, cst.CSTNode)
    return renamed
