"""The bench an experiment works at: its device, its randomness, and the notes of what was taken for granted."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

SEED = 20190425
"""The seed of every experiment: the same verdict and the same figures in every run."""


class Bench:
    """What one experiment works with. ``device`` is a device string of torch: ``cpu``, ``cuda:0``, ``mps``."""

    def __init__(self, device: str, apart: Callable[[Sequence[Callable[[], Any]]], list[Any]]) -> None:
        self.device = device
        self._apart = apart
        self._assumptions: dict[str, None] = {}
        self._stood_in: dict[str, None] = {}

    def assume(self, what: str) -> None:
        """Note something taken for granted, to be said with the verdict."""
        self._assumptions.setdefault(what)

    def stand_in(self, what: str) -> None:
        """Note something that was replaced: a package, a file, a value."""
        self._stood_in.setdefault(what)

    @property
    def assumptions(self) -> list[str]:
        """What was taken for granted, in the order it was noted."""
        return list(self._assumptions)

    @property
    def stood_in(self) -> list[str]:
        """What was replaced, in the order it was noted."""
        return list(self._stood_in)

    @property
    def missing_packages(self) -> list[str]:
        """The packages that were stood in for, in words, each as a reason why something could not be had."""
        return [f"{note}, is stood in for" for note in self._stood_in if note.endswith("is not installed")]

    def hand_over(self, other: Bench) -> None:
        """Let another bench have the notes of this one, where a trial was made whose notes count after all."""
        other._assumptions.update(self._assumptions)
        other._stood_in.update(self._stood_in)

    def another(self) -> Bench:
        """A bench like this one that has noted nothing, for a trial whose notes may not count."""
        return Bench(self.device, self._apart)

    def seed(self, number: int = 0) -> None:
        """Seed torch, ``random`` and, where it is loaded, numpy; every ``number`` is another seed."""
        random.seed(SEED + number)
        seed_torch(SEED + number, self.device)
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            numpy.random.seed(SEED + number)

    def apart(self, work: Callable[[], Any]) -> Any:
        """Do ``work`` in a process of its own, forked from here; what it returns, if JSON can say it.

        Raises:
            Inconclusive: the process ended without a result; what it raised as Inconclusive is raised here.
        """
        return self.each_apart(work)[0]

    def each_apart(self, *works: Callable[[], Any]) -> list[Any]:
        """The same for several pieces of work, at the same time where the machine has room for it.

        Raises:
            Inconclusive: as :meth:`apart` does, for the first of them that is inconclusive.
        """
        return self._apart(works)


def seed_torch(seed: int, device: str) -> None:
    """Seed the generators of torch that lines on a device may draw from."""
    import torch

    if device == "cpu":
        # torch.manual_seed would also ask every accelerator there may be, which takes its time.
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
