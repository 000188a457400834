"""Which rows of the outputs move when a row of the inputs is another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..building.prepared import Prepared

SEED = 7
"""Of what the rows are replaced by; a generator of its own, so that the user's draws stay the same."""


def fresh(value: Any, bound: int = 0) -> Any:
    """Another tensor of the same shape and kind, with no element as it was; integers stay in their range."""
    import torch

    generator = torch.Generator().manual_seed(SEED)
    if value.is_floating_point() or value.is_complex():
        drawn = torch.randn(value.shape, generator=generator).to(value.device).to(value.dtype)
        return value + drawn.sign() * (drawn.abs() + 0.5)
    if value.dtype == torch.bool:
        return ~value
    above = bound or (int(value.max()) + 1 if value.numel() else 1)
    drawn = torch.randint(1, max(above, 2), value.shape, generator=generator).to(value.device).to(value.dtype)
    return (value + drawn) % max(above, 2)


def moved(one: Any, other: Any, noise: float) -> Any:
    """Which elements of two tensors of one shape differ by more than ``noise``."""
    import torch

    if not (one.is_floating_point() or one.is_complex()):
        return one != other
    difference = (one.to(torch.cdouble if one.is_complex() else torch.double) - other).abs()
    return torch.nan_to_num(difference, nan=float("inf")).gt(noise) & (one != other)


def rows_that_move(
    run: Prepared, axis: int, rows: Sequence[int], outputs: Sequence[Any], noise: float
) -> dict[int, list[int]] | None:
    """For each of some rows of the inputs along an axis the rows of the outputs that depend on it.

    All inputs that have as many rows as the first get another one in its place, by draws of their own kind; the same
    seed is set before each run, and what differs by more than ``noise`` from ``outputs``, those of a call, has moved.
    None if no output has such rows, or their sizes depend on the values.
    """
    size = run.inputs[0].shape[axis]
    if not any(each.dim() > axis and each.shape[axis] == size for each in outputs):
        return None
    found: dict[int, list[int]] = {}
    for row in rows:
        others = changed(run, lambda tensor, bound, row=row: _replaced(tensor, bound, axis, size, row))  # type: ignore[misc]
        if [each.shape for each in others] != [each.shape for each in outputs]:
            return None
        seen: set[int] = set()
        for one, other in zip(outputs, others):
            if one.dim() > axis and one.shape[axis] == size:
                lines = moved(one, other, noise).movedim(axis, 0).reshape(size, -1).any(1)
                seen.update(lines.nonzero().flatten().tolist())
        found[row] = sorted(seen)
    return found


def changed(run: Prepared, change: Callable[[Any, int], Any]) -> list[Any]:
    """The outputs for changed inputs; the inputs are afterwards what they were."""
    before = list(run.inputs)
    run.inputs[:] = [change(tensor, bound) for tensor, bound in zip(before, run.bounds)]
    try:
        return run.call()
    finally:
        run.inputs[:] = before


def _replaced(tensor: Any, bound: int, axis: int, size: int, row: int) -> Any:
    if tensor.dim() <= axis or tensor.shape[axis] != size:
        return tensor
    result = tensor.clone()
    part = result.select(axis, row)
    part.copy_(fresh(part, bound))
    return result
