"""What torch would compile runs as it is written: compiling takes longer than an experiment and changes no verdict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .replacement import replaced


@contextmanager
def without_compiler() -> Iterator[None]:
    """``torch.compile``, as a function and as a decorator, gives back what it is given; modules stay what they are."""
    import torch

    modules = [(torch.nn.Module, "compile", _stays)] if hasattr(torch.nn.Module, "compile") else []
    with replaced([(torch, "compile", _as_it_is), *modules]):
        yield


def _as_it_is(model: Any = None, *args: Any, **kwargs: Any) -> Any:
    return model if model is not None else _as_it_is


def _stays(module: Any, *args: Any, **kwargs: Any) -> None:
    pass
