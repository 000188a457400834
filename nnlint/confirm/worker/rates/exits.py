"""Where the user's loops may end early without the slice knowing: what decides it is not run."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..job import File, Job

BROKEN = re.compile(r"\b(isnan|isinf|isfinite|nan|inf)\b")
"""What asks whether a run has broken down."""


@dataclass(frozen=True)
class Exit:
    """A ``break`` or ``return`` in a loop of the run: over ``batches``, or its rounds.

    ``broken`` says that it only ends what has broken down: a loss that is no number.
    """

    place: str
    batches: bool
    broken: bool


def exits_left_out(job: Job) -> list[Exit]:
    """The exits of the watched loops that the slice does not have, by their lines (``train.py:40``)."""
    found: dict[str, Exit] = {}
    for file in job.program.files:
        loops = {
            (each.row, each.column): each.name.startswith("batches")
            for each in file.watches
            if each.name.startswith(("batches ", "round"))
        }
        for each in _left_out(file, loops) if loops else ():
            found.setdefault(each.place, each)
    return list(found.values())


def _left_out(file: File, loops: dict[tuple[int, int], bool]) -> Iterator[Exit]:
    kept = set(file.keep)
    lines = file.text.splitlines()
    for node in ast.walk(ast.parse(file.text)):
        over = node.iter if isinstance(node, ast.For) else node.test if isinstance(node, ast.While) else None
        if isinstance(node, (ast.For, ast.While)) and over is not None and (over.lineno, over.col_offset) in loops:
            for statement in node.body:
                for leaving in _leaving(statement, inside=False):
                    if (leaving.lineno, leaving.col_offset) not in kept:
                        test = "".join(lines[statement.lineno - 1 : leaving.lineno])
                        yield Exit(
                            f"{os.path.basename(file.path)}:{leaving.lineno}",
                            batches=loops[over.lineno, over.col_offset],
                            broken=BROKEN.search(test) is not None,
                        )


def _leaving(node: ast.AST, *, inside: bool) -> Iterator[ast.stmt]:
    """The statements below a node that leave the loop around it; ``inside``: a loop of its own is around the node."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
        return
    if isinstance(node, ast.Return) or (isinstance(node, ast.Break) and not inside):
        yield node
    loop = isinstance(node, (ast.For, ast.AsyncFor, ast.While))
    for child in ast.iter_child_nodes(node):
        yield from _leaving(child, inside=inside or loop)
