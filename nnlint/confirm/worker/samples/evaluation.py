"""A sample of evaluation data, loaded again and again: what chance makes of it.

Settings:
    transforms: the names of the transforms that the finding accuses; each is built at a watch ``transform 0``, ….
    which: of the loaders that are built at the watch ``loader`` the one that is meant, and how many there are.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..anything import decisions, is_missing
from ..bench import SEED, Bench, seed_torch
from ..draws.generators import GENERATORS
from ..job import Job
from ..pairs.coded_pictures import SIZES
from ..pairs.sightings import why
from ..pairs.subjects import Subject, item_of
from ..pairs.virtual_files import virtual_files
from ..program import Program
from ..verdict import Inconclusive, Verdict, confirmed, refuted
from .loaders import dataset_of, loaders_of, meant, stand_ins
from .parts import differing, farthest, parts_of
from .photographs import Photograph, shown_by_torchvision

FEWEST = 24
"""Draws that are made in any case: what happens every other time is missed once in eight million times."""

MOST = 66
"""Draws after which what happens every tenth time would have been missed once in a thousand times: 0.9 ** 66."""


def verdict_on_evaluation(job: Job, bench: Bench) -> Verdict:
    """Confirmed if draws of one sample differ, and agree from the same states; refuted if all of many agree."""
    reasons: list[str] = []
    for size in SIZES:
        trial = bench.another()
        try:
            verdict = _Evaluation(job, trial, size).verdict()
            trial.hand_over(bench)
            return verdict
        except Inconclusive as failure:
            again = str(failure) in reasons
            reasons.append(str(failure))
            if again:
                # It is not for want of pixels.
                break
    trial.hand_over(bench)
    raise Inconclusive(reasons[-1])


class _Evaluation:
    """The data set that a script evaluates on, with photographs of a size in the place of its pictures."""

    def __init__(self, job: Job, bench: Bench, size: tuple[int, int]) -> None:
        self.names = " and ".join(job.settings["transforms"])
        self.bench = bench
        self.program = Program(job.program, bench)
        self.stage = Photograph(size)
        self.accused = _Accused()
        self.decided = ""
        watches = (watch.name for file in job.program.files for watch in file.watches)
        self.program.see.update({name: self.accused.see for name in watches if name.startswith("transform ")})
        with stand_ins(self.stage, bench), shown_by_torchvision(self.stage):
            loaders = loaders_of(self.program, job.settings, bench)
        self.subject = Subject(dataset_of(meant(loaders, job.settings)), item_of)

    def verdict(self) -> Verdict:
        """What is said of the draws of one sample."""
        with virtual_files(self.stage, self.bench):
            first = self.first()
            shown = self.shown(first)
            self.accused.runs = 0
            draws = self.draws(first, shown)
            decides = self.decides(shown) if draws.unlike else ""
        if self.decided:
            raise Inconclusive(f"{self.decided}, and it decides what happens to a sample")
        figures = {
            "draws": draws.made,
            "differ": draws.unlike,
            "largest_difference": draws.largest,
            "sample": [list(first[path].shape) for path in sorted(shown, key=repr)],
        }
        if draws.unlike:
            if not self.accused.runs:
                raise Inconclusive(f"draws of one sample differ, but {self.names} did not run for it")
            far = "in its size" if draws.largest is None else f"in a pixel by up to {draws.largest:.3g}"
            return confirmed(
                f"{draws.unlike} of {draws.made} draws of one sample differ from the first, {far}, by the state of "
                f"{decides or 'several generators'}; drawn from the same state they are equal",
                **figures,
                generator=decides,
            )
        ran = (
            f"{self.names} ran and made the same of it each time"
            if self.accused.runs
            else f"{self.names} did not run for it"
        )
        return refuted(f"all {draws.made} draws of one sample are equal: {ran}", **figures, ran=self.accused.runs)

    # --- draws -------------------------------------------------------------------------------------------------------

    def load(self, seed: Callable[[], None]) -> dict[Any, Any]:
        """The parts of the sample, loaded once the generators are seeded.

        Raises:
            Inconclusive: the user's lines fail, or a part is missing.
        """
        seed()
        try:
            with decisions() as decided:
                sample = self.subject.sample(0)
        except Inconclusive:
            raise
        except Exception as error:
            raise Inconclusive(why(self.program, error)) from error
        self.decided = self.decided or "".join(decided[:1])
        return parts_of(sample)

    def first(self) -> dict[Any, Any]:
        """The first draw, which the same state of all generators gives again and again.

        Raises:
            Inconclusive: it does not.
        """
        self.subject.begin()
        for copies in (False, True):
            # Copies of a data set draw alike also from a generator that it holds.
            self.subject.copies = copies
            first = self.load(partial(self.bench.seed, 0))
            if not any(differing(first, self.load(partial(self.bench.seed, 0))) for _ in range(FEWEST)):
                return first
        raise Inconclusive("two draws of one sample differ even from the same state of all generators")

    def shown(self, first: dict[Any, Any]) -> set[Any]:
        """The parts of a sample that show the picture that is read: what is done to it is seen there.

        Raises:
            Inconclusive: there are none.
        """
        self.stage.turn(1)
        other = self.load(partial(self.bench.seed, 0))
        self.stage.turn(0)
        found = {path for path in differing(first, other) if path in first and first[path].numel() > 1}
        if not found:
            raise Inconclusive(self.program.why_missing() or "no part of a sample shows the picture that is read")
        return found

    def draws(self, first: dict[Any, Any], shown: set[Any]) -> _Draws:
        """Draws from other states of all generators, beside the first: more of them if none differs."""
        draws = _Draws()
        for number in range(1, MOST + 1):
            if number > FEWEST and draws.unlike:
                break
            self.subject.begin()
            draws.note(first, self.load(partial(self.bench.seed, number)), shown)
        return draws

    def decides(self, shown: set[Any]) -> str:
        """The only generator whose state makes a difference while that of the others stays; empty if there are more."""
        first = self.load(partial(self.bench.seed, 0))
        found = [f"{name}'s generator" for name in GENERATORS if self.matters(name, first, shown)]
        return found[0] if len(found) == 1 else "" if found else "a generator of its own"

    def matters(self, name: str, first: dict[Any, Any], shown: set[Any]) -> bool:
        """Whether other states of one generator, the others' being the same, give other draws than the first."""
        seeds = (partial(_seed_one, name, number, self.bench) for number in range(1, FEWEST + 1))
        return any(differing(first, self.load(seed)) & shown for seed in seeds)


@dataclass
class _Draws:
    """How many draws were made beside the first one, how many differ from it, and by how much at most."""

    made: int = 0
    unlike: int = 0
    largest: float | None = None
    """None where only sizes differ."""

    def note(self, first: dict[Any, Any], other: dict[Any, Any], shown: set[Any]) -> None:
        """Take one more into account, by the parts that are ``shown``."""
        unlike = differing(first, other) & shown
        self.made += 1
        self.unlike += bool(unlike)
        found = [farthest(first[path], other[path]) for path in unlike if path in other]
        self.largest = max((each for each in (*found, self.largest) if each is not None), default=None)


@dataclass
class _Accused:
    """The transforms that are accused: how often they ran."""

    runs: int = 0

    def see(self, transform: Any) -> Any:
        """Is shown a transform when it is built."""
        import torch

        if isinstance(transform, torch.nn.Module):
            transform.register_forward_hook(lambda *_: self._run())
        elif not is_missing(transform) and callable(transform):
            cls: Any = type(transform)
            transform.__class__ = type(cls)(cls.__name__, (cls,), {"__call__": self._counted(cls.__call__)})
        return transform

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def __call__(transform: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 # it stands in for that one
            self._run()
            return call(transform, *args, **kwargs)

        return __call__

    def _run(self) -> None:
        self.runs += 1


def _seed_one(name: str, number: int, bench: Bench) -> None:
    """Seed all generators as for the first draw, but one of them."""
    bench.seed(0)
    if name == "random":
        random.seed(SEED + number)
    elif name == "torch":
        seed_torch(SEED + number, bench.device)
    elif "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(SEED + number)
