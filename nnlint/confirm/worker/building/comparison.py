"""Outputs of two runs side by side: by how much they differ, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MARGIN = 10
"""A difference counts if it is more than so many times what two equal runs differ by."""


@dataclass(frozen=True)
class Difference:
    """How far outputs are from others, element by element.

    ``largest`` is the largest distance of two elements, ``scale`` the largest magnitude of all of them, ``differing``
    the number of elements further apart than the noise allows, of ``elements``. Where the shapes are not the same,
    ``shapes`` are the first two that are not, and nothing else was compared.
    """

    largest: float = 0.0
    scale: float = 0.0
    differing: int = 0
    elements: int = 0
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def __bool__(self) -> bool:
        return self.differing > 0 or self.shapes is not None

    @property
    def share(self) -> float:
        """The part of the elements that differ, 0 to 1."""
        return self.differing / self.elements if self.elements else 0.0

    @property
    def relative(self) -> float:
        """The largest distance in units of the largest magnitude."""
        return self.largest / self.scale if self.scale else 0.0


def difference(before: Sequence[Any], after: Sequence[Any], noise: float = 0.0, rounding: float = 0.0) -> Difference:
    """How far one list of tensors is from another.

    Elements that are not a number on both sides, or the same infinity, are equal; any others differ if they are further
    apart than ``noise``, and than ``rounding`` of the largest magnitude of their tensor. With 0 for both they must
    agree to the bit. The number of tensors counts as a shape.
    """
    if len(before) != len(after):
        return Difference(shapes=((len(before),), (len(after),)))
    found = Difference()
    for one, other in zip(before, after):
        if one.shape != other.shape:
            return Difference(shapes=(tuple(one.shape), tuple(other.shape)))
        found = _joined(found, _of_tensors(one, other, noise, rounding))
    return found


def noise_between(one: Sequence[Any], other: Sequence[Any]) -> float:
    """What two runs of the same lines differ by; beyond :data:`MARGIN` times that a difference counts.

    On a CPU it is 0 as a rule.
    """
    return difference(one, other).largest * MARGIN


def _of_tensors(one: Any, other: Any, noise: float, rounding: float) -> Difference:
    import torch

    one, other = (torch.view_as_real(each) if each.is_complex() else each for each in (one.detach(), other.detach()))
    one, other = one.double(), other.double()
    distance = torch.where((one == other) | (one.isnan() & other.isnan()), torch.zeros_like(one), (one - other).abs())
    distance = distance.nan_to_num(float("inf"), float("inf"))
    finite = distance[distance.isfinite()]
    magnitudes = [each[each.isfinite()].abs() for each in (one, other)]
    scale = max((float(each.max()) for each in magnitudes if each.numel()), default=0.0)
    return Difference(
        largest=float(finite.max()) if finite.numel() else 0.0,
        scale=scale,
        differing=int((distance > max(noise, rounding * scale)).sum()),
        elements=distance.numel(),
    )


def _joined(one: Difference, other: Difference) -> Difference:
    return Difference(
        max(one.largest, other.largest),
        max(one.scale, other.scale),
        one.differing + other.differing,
        one.elements + other.elements,
    )
