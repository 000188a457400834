"""Which loops of a script train, and which evaluate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from nnlint.diagnostic import Confidence
from nnlint.evidence.splits import Role, Split, split_of
from nnlint.symbolic.trace import Backward, Event, Forward, Run, Step
from nnlint.symbolic.values import Loop


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """A loop over batches, with the events of its rounds in order and the split that it goes over.

    ``trains`` is whether gradients are computed or an optimizer steps in it.
    """

    loop: Loop
    events: tuple[Event, ...]
    split: Split | None
    trains: bool

    @property
    def role(self) -> Role | None:
        """The split that the loop goes over; None if the script does not say."""
        return None if self.split is None else self.split.role

    @property
    def evaluates(self) -> bool:
        """Whether a model is run over data that are surely not for training, and nothing is learned from them."""
        return (
            not self.trains
            and self.role in ("validation", "test")
            and any(isinstance(event, Forward) for event in self.events)
        )

    @property
    def is_certain(self) -> bool:
        """Whether more than a name says which split it is."""
        return self.split is not None and self.split.confidence > Confidence.LOW


@lru_cache(maxsize=4)
def phases(run: Run) -> tuple[Phase, ...]:
    """The loops over batches of a run, in the order in which they begin."""
    return tuple(_phases(run))


def _phases(run: Run) -> Iterator[Phase]:
    loops: dict[int, Loop] = {}
    events: dict[int, list[Event]] = {}
    for event in run.events:
        for loop in event.context.loops:
            if loop.kind == Loop.BATCHES:
                loops.setdefault(id(loop), loop)
                events.setdefault(id(loop), []).append(event)
    for key, loop in loops.items():
        trains = any(isinstance(event, (Backward, Step)) for event in events[key])
        yield Phase(loop, tuple(events[key]), split_of(loop.iterates), trains)
