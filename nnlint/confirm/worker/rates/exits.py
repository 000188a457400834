"""Where the user's loops may end early without the slice knowing: what decides it is not run."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

from ..job import File, Job


def exits_left_out(job: Job) -> list[str]:
    """The lines (``train.py:40``) of ``break`` and ``return`` in the watched loops that the slice does not have."""
    found: dict[str, None] = {}
    for file in job.program.files:
        loops = {(each.row, each.column) for each in file.watches if each.name.startswith(("batches ", "round"))}
        if loops:
            found.update(dict.fromkeys(_left_out(file, loops)))
    return list(found)


def _left_out(file: File, loops: set[tuple[int, int]]) -> Iterator[str]:
    kept = set(file.keep)
    for node in ast.walk(ast.parse(file.text)):
        over = node.iter if isinstance(node, ast.For) else node.test if isinstance(node, ast.While) else None
        if isinstance(node, (ast.For, ast.While)) and over is not None and (over.lineno, over.col_offset) in loops:
            for statement in node.body:
                for leaving in _leaving(statement, inside=False):
                    if (leaving.lineno, leaving.col_offset) not in kept:
                        yield f"{os.path.basename(file.path)}:{leaving.lineno}"


def _leaving(node: ast.AST, *, inside: bool) -> Iterator[ast.stmt]:
    """The statements below a node that leave the loop around it; ``inside``: a loop of its own is around the node."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
        return
    if isinstance(node, ast.Return) or (isinstance(node, ast.Break) and not inside):
        yield node
    loop = isinstance(node, (ast.For, ast.AsyncFor, ast.While))
    for child in ast.iter_child_nodes(node):
        yield from _leaving(child, inside=inside or loop)
