"""Which element lies where: the accused expression on a tensor whose elements are their own numbers."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from ..verdict import Inconclusive


@dataclass(frozen=True)
class Witness:
    """What became of numbered elements.

    Attributes:
        before: the sizes before.
        after: the sizes after.
        misplaced: the share of elements that lie elsewhere than the axes they are asked for say, 0 to 1.
        place: one such element of the result; empty if there is none.
        holds: the element that lies there, by its place before.
        axis: the axis before that is not where it should be.
        wanted: where on that axis the element there should be from; None where that is not known.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    misplaced: float
    place: tuple[int, ...] = ()
    holds: tuple[int, ...] = ()
    axis: int = 0
    wanted: int | None = None

    def told(self, before: Sequence[str], after: Sequence[str]) -> str:
        """How many elements lie elsewhere, and one of them, with the names of the axes where they have some."""
        here, there = _names(before, self.before), _names(after, self.after)
        share = f"{self.misplaced:.0%} of the elements end up in the wrong place"
        held = dict(zip(here, self.holds))
        apart = [name for name, number in zip(there, self.place) if name and held.get(name, number) != number]
        if apart:
            element = ", ".join(f"{name}={held[name]}" for name in apart)
            return f"{share}: result[{_at(self.place, there)}] holds the element of {element}"
        place, element = f"result[{_at(self.place)}]", f"input[{_at(self.holds)}]"
        if self.wanted is None:
            return f"{share}: {place} holds {element}"
        whole = ", ".join(str(self.wanted) if axis == self.axis else ":" for axis in range(len(self.before)))
        return f"{share}: {place} should come from input[{whole}] but is {element}"


def numbered(value: Any) -> Any:
    """A tensor, or an array, like another one, whose elements are their own numbers.

    Raises:
        Inconclusive: it is neither.
    """
    import torch

    if isinstance(value, torch.Tensor):
        return torch.arange(value.numel(), device=value.device).reshape(value.shape)
    if hasattr(value, "__array_interface__"):
        return importlib.import_module("numpy").arange(value.size).reshape(value.shape)
    raise Inconclusive(f"what is viewed is no tensor but a {type(value).__name__}")


def witness(before: Sequence[int], numbers: Any, pairs: Sequence[Mapping[str, Any]]) -> Witness:
    """Where the numbered elements of a tensor of sizes ``before`` are in the result.

    Args:
        before: the sizes before.
        numbers: the result, whose elements are their numbers before.
        pairs: which axis of the result (``target``) should run over which axis before (``source``), and whether both
            are meant as a whole (``whole_source``, ``whole_target``) or as a factor of their sizes.

    Raises:
        Inconclusive: the axes are not those that the pairs speak of.
    """
    import torch

    elements = torch.as_tensor(numbers)
    sizes, after = tuple(before), tuple(elements.shape)
    compared = [(pair, found) for pair in pairs if (found := _compared(sizes, elements, pair)) is not None]
    if not compared:
        raise Inconclusive("what the axes stand for at run time cannot be told apart")
    wrong = torch.stack([is_there != belongs for _, (is_there, belongs) in compared])
    if not wrong.any():
        return Witness(sizes, after, 0.0)
    share = wrong.any(0).double().mean().item()
    worst = next(number for number in range(len(compared)) if wrong[number].any())
    first = int(wrong[worst].flatten().nonzero()[0])
    pair, (_, belongs) = compared[worst]
    wanted = int(belongs.flatten()[first]) if pair["whole_source"] else None
    holds = _place(int(elements.flatten()[first]), sizes)
    return Witness(sizes, after, share, _place(first, after), holds, pair["source"], wanted)


def _compared(before: tuple[int, ...], elements: Any, pair: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """For each element of the result what it is on an axis and what belongs there; None if that cannot be told."""
    source, target = pair["source"], pair["target"]
    after = tuple(elements.shape)
    if source >= len(before) or target >= len(after):
        raise Inconclusive(f"the sizes are {before} and {after} at run time: not the axes that were read")
    held = elements // _product(before[source + 1 :]) % before[source]
    place = _along(target, elements)
    wanted, size = before[source], after[target]
    if pair["whole_source"] and pair["whole_target"]:
        if wanted != size:
            raise Inconclusive(f"axis {source} has {wanted} elements at run time, axis {target} of the result {size}")
        return held, place
    if pair["whole_source"] and size % wanted == 0:
        ways = [(held, place // step % wanted) for step in _divisors(size // wanted)]
    elif pair["whole_target"] and wanted % size == 0:
        ways = [(held // step % size, place) for step in _divisors(wanted // size)]
    else:
        return None
    return min(ways, key=lambda way: int((way[0] != way[1]).sum()))


def _along(axis: int, elements: Any) -> Any:
    import torch

    shape = [1] * elements.dim()
    shape[axis] = elements.shape[axis]
    return torch.arange(elements.shape[axis], device=elements.device).reshape(shape).expand(elements.shape)


def _product(sizes: Sequence[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def _divisors(number: int) -> Iterator[int]:
    return (each for each in range(1, number + 1) if number % each == 0)


def _place(number: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    place: list[int] = []
    for size in reversed(sizes):
        place.insert(0, number % size)
        number //= size
    return tuple(place)


def _names(names: Sequence[str], sizes: Sequence[int]) -> list[str]:
    """The names of axes, empty for those that have none of their own."""
    if len(names) != len(sizes):
        return [""] * len(sizes)
    return [name if name.isidentifier() and names.count(name) == 1 else "" for name in names]


def _at(place: Sequence[int], names: Sequence[str] = ()) -> str:
    return ", ".join(f"{name}={number}" if name else str(number) for name, number in zip_longest(names, place))
