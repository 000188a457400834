"""Does broadcasting compare every prediction with every target? The shapes of both where they meet.

Watches: ``left`` and ``right``, what is compared. The script, or the function that the entry names, is run as far as
that. The control is the mended program, where both must have one shape.
"""

from __future__ import annotations

from typing import Any

from ..bench import Bench
from ..job import Job, Slice
from ..losses.reaching import at_the_watches, note_supplied
from ..verdict import Inconclusive, Verdict, confirmed, refuted

NAMES = ("left", "right")


def run(job: Job, bench: Bench) -> Verdict:
    """Look at the two shapes, as they are and mended."""
    left, right = _shapes(job, job.program, bench)
    figures: dict[str, Any] = {"left": list(left), "right": list(right)}
    if left == right:
        return refuted(f"both have the shape {left}", **figures)
    result = _broadcast(left, right)
    figures["result"] = list(result)
    if _count(result) <= max(_count(left), _count(right)):
        return refuted(f"{left} and {right} give {result}: no element is compared twice", **figures)
    said = f"{left} and {right} give {result}: {_count(result)} differences of {min(_count(left), _count(right))} pairs"
    if job.mended is not None:
        first, second = _shapes(job, job.mended, bench)
        if first != second:
            raise Inconclusive(f"mended the shapes are {first} and {second}, which are not one either")
        figures["mended"] = list(first)
        said += f", mended {_count(first)}"
    return confirmed(said, **figures)


def _shapes(job: Job, slice_: Slice, bench: Bench) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of both sides.

    Raises:
        Inconclusive: they are not reached, or hang on tensors that were made up.
    """
    import torch

    reached = at_the_watches(job, slice_, bench, NAMES)
    if reached.supplied:
        note_supplied(reached, bench)
        names = ", ".join(dict.fromkeys(each.name for each in reached.supplied[:3]))
        raise Inconclusive(f"the shapes hang on {names}, which nobody gives here")
    values = [reached.seen[name] for name in NAMES]
    if not all(isinstance(value, torch.Tensor) for value in values):
        raise Inconclusive("what is compared are no tensors")
    return tuple(values[0].shape), tuple(values[1].shape)


def _broadcast(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    import torch

    try:
        return tuple(torch.broadcast_shapes(left, right))
    except RuntimeError as error:
        raise Inconclusive(f"{left} and {right} do not go together") from error


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
