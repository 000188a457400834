"""What a rehearsal asks layers: for their parameters, and whether the mode makes a difference to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def parameters_in(layers: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The parameters of a module, of a list or dict of modules, or the one that is given, with names."""
    import torch

    if isinstance(layers, torch.nn.Parameter):
        yield name or "a parameter", layers
    elif isinstance(layers, torch.nn.Module):
        yield from ((f"{name}.{each}" if name else each, value) for each, value in layers.named_parameters())
    elif isinstance(layers, Mapping):
        for key, each in layers.items():
            yield from parameters_in(each, f"{name}.{key}" if name else str(key))
    elif isinstance(layers, (list, tuple)):
        for number, each in enumerate(layers):
            yield from parameters_in(each, f"{name}.{number}" if name else str(number))


def is_same_in_both_modes(module: Any) -> bool:
    """Whether a layer that is made to depend on the mode does not: it drops nothing, or keeps no statistics."""
    import torch

    if isinstance(module, torch.nn.modules.dropout._DropoutNd):
        return bool(module.p == 0)
    return isinstance(module, torch.nn.modules.batchnorm._NormBase) and module.running_mean is None
