"""What becomes of the graphs that losses were computed by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...verdict import Inconclusive, Verdict, confirmed, refuted
from ..record import Backward, Record

FEWEST = 4
"""Backward passes that a growth is told by."""


def retained_graph(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """The graphs of ever more backward passes are held while the next ones are gone through.

    The control is the same lines with the accused value detached.
    """
    if not record.seen.get("kept"):
        raise Inconclusive("the value that is added up is not reached")
    held = _held(record)
    if len(held) < FEWEST:
        raise Inconclusive(f"only {len(held)} backward passes of one epoch are reached")
    growing = held[-1] - held[0] >= len(held) - 2
    figures: dict[str, Any] = {"graphs_held": held}
    if not growing:
        return refuted(f"at most {max(held)} earlier graphs are held in {len(held)} backward passes", **figures)
    control = _held(record.again(detach=True))
    figures["graphs_held_if_detached"] = control
    if len(control) != len(held) or control[-1] - control[0] >= len(held) - 2:
        raise Inconclusive(
            f"graphs are held by something else: with the value detached there are {control[-1] if control else 0}"
        )
    return confirmed(
        f"at backward pass {len(held)} the graphs of {held[-1]} earlier ones are still held; with the value detached "
        f"there are {control[-1]}",
        **figures,
    )


def _held(record: Record) -> list[int]:
    """How many earlier graphs are held at each backward pass, in the first round of the outermost loop."""
    events = record.of(Backward)
    first: list[Backward] = []
    for event in events:
        outer = [number for name, number in event.rounds.items() if name.startswith("epochs")]
        if not any(outer):
            first.append(event)
    lines = {event.lines[:1] for event in first}
    # Where several losses go backward in a round one of them tells of all.
    kept = [event for event in first if event.lines[:1] == first[0].lines[:1]] if lines else []
    numbers = {event.number for event in kept}
    return [len(numbers.intersection(event.alive)) for event in kept]
