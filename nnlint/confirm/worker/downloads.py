"""Pretrained weights, which the network would have to bring: the initial ones stay."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .bench import Bench

LOADERS = ("torch.hub", "torch.utils.model_zoo", "torchvision._internally_replaced_utils", "torchvision.models._api")
"""Modules that know ``load_state_dict_from_url`` by its name."""


class _Absent(dict):  # type: ignore[type-arg]
    """A state dict that was not downloaded."""


@contextmanager
def without_downloads(bench: Bench) -> Iterator[None]:
    """Nothing is downloaded, and loading what was not downloaded leaves a module as it is."""
    import torch

    def load_from_url(url: str, *args: Any, **kwargs: Any) -> _Absent:
        bench.stand_in(f"pretrained weights ({url.rpartition('/')[2]}): the initial ones are used")
        return _Absent()

    load = torch.nn.Module.load_state_dict

    def load_state_dict(self: Any, state: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(state, _Absent):
            return torch.nn.modules.module._IncompatibleKeys([], [])
        return load(self, state, *args, **kwargs)

    known = [sys.modules[name] for name in LOADERS if name in sys.modules]
    before = [(module, getattr(module, "load_state_dict_from_url", None)) for module in known]
    for module, function in before:
        if function is not None:
            module.load_state_dict_from_url = load_from_url  # type: ignore[attr-defined]
    torch.nn.Module.load_state_dict = load_state_dict
    try:
        yield
    finally:
        torch.nn.Module.load_state_dict = load
        for module, function in before:
            if function is not None:
                module.load_state_dict_from_url = function  # type: ignore[attr-defined]
