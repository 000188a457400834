"""The surroundings the user's lines run in: no arguments but those the finding is about, no downloads, one device."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from ..bench import Bench
from .accelerator import moved_to_bench
from .command_line import without_arguments
from .compiler import without_compiler
from .downloads import without_downloads


@contextmanager
def surroundings(bench: Bench, options: Mapping[str, Any]) -> Iterator[None]:
    """Everything of the process that the user's lines would find otherwise, replaced as long as an experiment runs.

    ``options`` are arguments of the script that are not left at their defaults.
    """
    replacements = (
        without_arguments(bench, options),
        without_downloads(bench),
        without_compiler(),
        moved_to_bench(bench),
    )
    with warnings.catch_warnings(), ExitStack() as stack:
        for each in replacements:
            stack.enter_context(each)
        warnings.simplefilter("ignore")
        yield
