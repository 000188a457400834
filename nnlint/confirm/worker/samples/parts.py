"""The parts of a sample that hold numbers, and what differs between those of two samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..anything import is_missing, reason
from ..pairs.coded_pictures import surface
from ..verdict import Inconclusive

Path = tuple[Any, ...]
"""The keys that lead to a part."""

DEPTH = 4
"""How deep containers are looked into."""


def parts_of(sample: Any) -> dict[Path, Any]:
    """The pictures, tensors, arrays and numbers of a sample, as tensors of floats.

    Raises:
        Inconclusive: the sample, or a part of it, is missing.
    """
    return dict(_parts(sample, ()))


def _parts(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    import torch

    if is_missing(value):
        raise Inconclusive(reason(value))
    if isinstance(value, Mapping):
        value = value.items()
    elif isinstance(value, (list, tuple)):
        value = enumerate(value)
    elif isinstance(value, torch.Tensor):
        if not value.is_complex():
            yield path, value.detach().as_subclass(torch.Tensor).cpu().double()
        return
    elif isinstance(value, (int, float)):
        yield path, torch.tensor(float(value), dtype=torch.float64)
        return
    else:
        seen = surface(value)
        if seen is None and type(value).__module__ == "numpy" and getattr(value, "dtype", None) is not None:
            seen = torch.as_tensor(value) if value.dtype.kind in "uifb" else None
        if seen is not None:
            yield path, seen.double()
        return
    if len(path) < DEPTH:
        for key, each in value:
            yield from _parts(each, (*path, key))


def differing(one: Mapping[Path, Any], other: Mapping[Path, Any]) -> set[Path]:
    """The parts that two samples do not have in common."""
    import torch

    paths = {*one, *other}
    return {
        path
        for path in paths
        if path not in one
        or path not in other
        or one[path].shape != other[path].shape
        or not torch.equal(one[path].nan_to_num(), other[path].nan_to_num())
    }


def farthest(one: Any, other: Any) -> float | None:
    """The largest distance of two numbers that take the same place in two tensors; None where these are not alike."""
    if one.shape != other.shape or not one.numel():
        return None
    return float((one - other).abs().nan_to_num(0.0).max())
