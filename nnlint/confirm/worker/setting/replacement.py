"""Attributes of modules and classes that are something else for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def replaced(replacements: Iterable[tuple[Any, str, Any]]) -> Iterator[None]:
    """Each attribute (its owner and its name) has another value; afterwards an inherited one is inherited again."""
    with ExitStack() as stack:
        for owner, name, value in replacements:
            own = vars(owner)
            stack.callback(*((setattr, owner, name, own[name]) if name in own else (delattr, owner, name)))
            setattr(owner, name, value)
        yield
