"""Weights as training could leave them: a zero, or a dead unit, of the initial ones hides what it multiplies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VARIATIONS = 5
"""How many sets of weights are tried before something is said of all."""


@contextmanager
def other_weights(module: Any, number: int) -> Iterator[None]:
    """All weights of a module drawn anew, always the same for a number; with 0 they stay as they are."""
    import torch

    kept = []
    if isinstance(module, torch.nn.Module) and number:
        generator = torch.Generator().manual_seed(number)
        kept = [(each, each.detach().clone()) for each in module.parameters() if each.is_floating_point()]
        with torch.no_grad():
            for each, value in kept:
                scale = max(float(value.std(unbiased=False)), 0.1) if value.numel() else 0.1
                each.copy_((scale * torch.randn(each.shape, generator=generator)).to(each))
    try:
        yield
    finally:
        with torch.no_grad():
            for each, value in kept:
                each.copy_(value)
