"""What the network would bring: pretrained weights, where the initial ones stay, and data, which are missing."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..bench import Bench

LOADERS = ("torch.hub", "torch.utils.model_zoo", "torchvision._internally_replaced_utils", "torchvision.models._api")
"""Modules that know the function that downloads weights."""

NAMES = ("load_state_dict_from_url", "load_url")
"""What the function is called there."""

PRETRAINED = "pretrained weights"
"""What the note of weights that are not downloaded begins with."""


class Absent(dict):  # type: ignore[type-arg]
    """A state dict that was not downloaded."""


@contextmanager
def without_downloads(bench: Bench) -> Iterator[None]:
    """Nothing is downloaded, and loading what was not downloaded leaves a module as it is."""
    import torch

    def load_from_url(url: str, *args: Any, **kwargs: Any) -> Absent:
        bench.stand_in(f"{PRETRAINED} ({url.rpartition('/')[2]}), which are not downloaded")
        return Absent()

    def refuse(*args: Any, **kwargs: Any) -> Any:
        # The network is closed; to say so at once spares looking names up and reading certificates.
        raise urllib.error.URLError("experiments have no network")

    load = torch.nn.Module.load_state_dict
    opening = urllib.request.urlopen

    def load_state_dict(self: Any, state: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(state, Absent):
            return torch.nn.modules.module._IncompatibleKeys([], [])
        return load(self, state, *args, **kwargs)

    known = [sys.modules[name] for name in LOADERS if name in sys.modules]
    before = [(module, name, getattr(module, name)) for module in known for name in NAMES if hasattr(module, name)]
    for module, name, _ in before:
        setattr(module, name, load_from_url)
    torch.nn.Module.load_state_dict = load_state_dict
    urllib.request.urlopen = refuse
    try:
        yield
    finally:
        torch.nn.Module.load_state_dict = load
        urllib.request.urlopen = opening
        for module, name, function in before:
            setattr(module, name, function)
