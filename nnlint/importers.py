"""Whether a file is imported by others of its repository that a run does not read."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from nnlint.discovery import python_files
from nnlint.symbolic.project import Project

if TYPE_CHECKING:
    from nnlint.config import Configuration

LOOKED_AT = 5_000
"""Files of a repository that are looked at."""


def imported_outside(path: Path, root: Path, run: Collection[str], configuration: Configuration) -> bool:
    """Whether a file below ``root`` that is not in the ``run`` imports the file at ``path``."""
    name = path.parent.name if path.stem == "__init__" else path.stem
    word = re.compile(rb"\b" + re.escape(name).encode() + rb"\b")
    project = Project(root)
    for other in islice(python_files(root, configuration), LOOKED_AT):
        if str(other) in run:
            continue
        try:
            content = other.read_bytes()
        except OSError:
            continue
        if word.search(content) and _imports(content, other, path, project):
            return True
    return False


def _imports(content: bytes, importer: Path, path: Path, project: Project) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    found = (project.find(importer, dotted, level) for dotted, level in _modules(tree))
    return any(source is not None and source.path == path for source in found)


def _modules(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The modules that a file may import, as dotted names with the number of leading dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, 0
        elif isinstance(node, ast.ImportFrom):
            package = node.module or ""
            yield package, node.level
            for alias in node.names:
                yield f"{package}.{alias.name}".lstrip("."), node.level
