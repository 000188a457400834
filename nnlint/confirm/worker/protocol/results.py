"""What a layer gave, kept without its graph, or sampled to be compared with what it gives another time."""

from __future__ import annotations

from typing import Any

from .ledger import SAMPLED
from .stand_in import StandIn, flat


def sampled_numbers(result: Any) -> tuple[float, ...] | None:
    """Some of the numbers in the tensors of a result, evenly spread; None if there are none."""
    import torch

    tensors = [each.detach().reshape(-1) for each in flat([result]) if isinstance(each, torch.Tensor)]
    found = [each[:: max(1, each.numel() // SAMPLED)].float().tolist() for each in tensors if not each.is_complex()]
    return tuple(number for numbers in found for number in numbers) or None


def copied(value: Any) -> Any:
    """A tensor as it is now, without its graph; anything else as it is."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return value.detach() if isinstance(value, StandIn) else value
