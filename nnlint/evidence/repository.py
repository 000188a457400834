"""What the other files of a repository say, looked up only when a rule is about to speak."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

MOST_FILES = 5_000
"""Files that are looked into; no script belongs to more."""

LARGEST = 2_000_000
"""Bytes of a file that somebody has written."""

ELSEWHERE = frozenset("node_modules site-packages __pycache__ venv env build dist".split())
"""Folders of a repository that hold what is not its own."""


def is_said(trace: Trace, pattern: str) -> bool:
    """Whether a Python file of the repository, or the script itself, contains a regular expression."""
    words = re.compile(pattern)
    if words.search(trace.source.text):
        return True
    return _is_said(trace.root or trace.source.path.parent, pattern)


@lru_cache(maxsize=64)
def _is_said(root: Path, pattern: str) -> bool:
    words = re.compile(pattern.encode())
    return any(words.search(data) for data in islice(_files(root), MOST_FILES))


def _files(root: Path) -> Iterator[bytes]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in ELSEWHERE and not name.startswith(".")]
        for name in names:
            path = Path(folder, name)
            if name.endswith(".py"):
                try:
                    if path.stat().st_size <= LARGEST:
                        yield path.read_bytes()
                except OSError:
                    continue
