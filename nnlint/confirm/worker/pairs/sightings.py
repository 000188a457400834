"""Samples of which picture and target are read off: where they lie with respect to each other, draw by draw."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..anything import Anything, decisions, is_missing, reason
from ..bench import Bench
from ..program import Program
from ..verdict import Inconclusive
from .coded_pictures import Digit, Stage, decoded, signs, stretched, surface
from .subjects import Subject

AGREES = 0.08
"""The share of pixels up to which two pictures agree: what interpolation and rounding leave at the edges."""

APART = 0.15
"""The share of pixels from which on two pictures are apart; those that have nothing to do with each other: 0.5."""

VISIBLE = 0.2
"""The share of pixels that must tell something."""

Path = Sequence["str | int"]


@dataclass(frozen=True)
class Sighting:
    """One draw: the signs of the picture, and of the target or the numbers it consists of; None where none are seen."""

    picture: Any
    target: Any
    numbers: tuple[float, ...] | None = None


class Sights:
    """Looks at samples of a subject, with whatever is shown on the stage.

    ``paths`` are those of picture and target in a sample; with ``coordinates`` the target consists of numbers.
    """

    def __init__(
        self,
        program: Program,
        subject: Subject,
        stage: Stage,
        paths: tuple[Path, Path],
        bench: Bench,
        *,
        coordinates: bool = False,
    ) -> None:
        self.program, self.subject, self.stage, self.bench = program, subject, stage, bench
        self.paths = paths
        self.coordinates = coordinates
        self.draw = 0
        self.decided = ""
        """What is missing and has decided what happens in a sample; empty if nothing has."""

    def begin(self, draw: int) -> None:
        """Begin a draw: all samples until the next one draw the same."""
        self.draw = draw
        self.subject.begin()
        self.bench.seed(draw)
        self._start = _states()

    def restart(self) -> None:
        """Let the generators stand where the draw began."""
        import torch

        python, numpy, tensors = self._start
        random.setstate(python)
        torch.set_rng_state(tensors)
        if numpy is not None:
            sys.modules["numpy"].random.set_state(numpy)

    def sample(self, plane: Any) -> tuple[Any, Any]:
        """Picture and target of a sample, everything showing ``plane``.

        Raises:
            Inconclusive: the user's lines fail.
        """
        self.stage.show(plane)
        self.restart()
        try:
            with decisions() as decided:
                sample = self.subject.sample(self.draw)
            self.decided = self.decided or "".join(decided[:1])
        except Inconclusive:
            raise
        except Exception as error:
            raise Inconclusive(why(self.program, error)) from error
        return taken(sample, self.paths[0]), taken(sample, self.paths[1])

    def both(self, plane: Any) -> Sighting | None:
        """What is seen of ``plane``; None if what is drawn depends on the pixels."""
        white, after_white = self.sample(plane), _states()
        black, after_black = self.sample(~plane), _states()
        if not _same_states(after_white, after_black):
            return None
        picture = signs(surface(white[0]), surface(black[0]))
        if self.coordinates:
            return Sighting(picture, None, numbers(white[1]))
        return Sighting(picture, signs(surface(white[1]), surface(black[1])))

    def is_repeatable(self) -> bool:
        """Whether the same seeds give the same sample."""
        plane = self.stage.shown
        first, state = self.sample(plane), _states()
        second = self.sample(plane)
        return _same_states(state, _states()) and _equal(first[0], second[0]) and _equal(first[1], second[1])

    def coordinates_of(self, digits: int) -> tuple[Any, Any]:
        """Where every pixel of picture and target comes from: (2, height, width) in pixels of the stage, nan: unknown.

        The target's is None where it consists of numbers.
        """
        import torch

        height, width = self.stage.height, self.stage.width
        found: list[list[Any]] = [[], []]
        for axis in (0, 1):
            seen = [self.both(Digit(axis, number).plane(height, width, digits)) for number in range(digits)]
            for part in (0, 1):
                planes = [None if each is None else (each.picture, each.target)[part] for each in seen]
                if any(plane is None for plane in planes):
                    found[part].append(None)
                    continue
                known = torch.stack([plane != 0 for plane in planes]).all(0)
                place = (decoded(planes).float() + 0.5) * ((height, width)[axis] / (1 << digits))
                found[part].append(torch.where(known, place, torch.tensor(float("nan"))))
        pairs = [None if any(each is None for each in part) else torch.stack(part) for part in found]
        return pairs[0], pairs[1]


def why(program: Program, error: Exception) -> str:
    """What made the user's lines fail: the value that is missing, where that is what they stumble over."""
    said = program.failed(error)
    if Anything.__name__ not in said:
        return said
    place = said.rpartition(f"{type(error).__name__}:")[0]
    traceback, missing = error.__traceback__, ""
    while traceback is not None:
        values = [value for value in traceback.tb_frame.f_locals.values() if is_missing(value)]
        missing = missing or (reason(values[0]) if values else "")
        traceback = traceback.tb_next
    return f"{place}{missing}" if missing else said


def taken(sample: Any, path: Path) -> Any:
    """The part of a sample at a path.

    Raises:
        Inconclusive: there is none.
    """
    for step in path:
        if is_missing(sample):
            break
        try:
            sample = sample[step]
        except (TypeError, KeyError, IndexError) as error:
            raise Inconclusive(f"the sample has no part {step!r}") from error
    if is_missing(sample):
        raise Inconclusive(reason(sample))
    return sample


def numbers(value: Any) -> tuple[float, ...] | None:
    """The numbers that a target consists of, in order; None if it consists of something else."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (float(value),)
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return None
    parts = [numbers(each) for each in value]
    return None if any(part is None for part in parts) else tuple(number for part in parts for number in part or ())


def disagreement(one: Any, other: Any) -> float | None:
    """The share of pixels that two signs differ in, whichever of them is inverted; None if too few tell something."""
    if one is None or other is None:
        return None
    height, width = max(one.shape[0], other.shape[0]), max(one.shape[1], other.shape[1])
    one, other = stretched(one, height, width), stretched(other, height, width)
    known = (one != 0) & (other != 0)
    if float(known.float().mean()) < VISIBLE:
        return None
    differing = float((one != other)[known].float().mean())
    return min(differing, 1 - differing)


class Placements:
    """The ways in which a picture came to lie, told apart by what is seen of the same pattern."""

    def __init__(self) -> None:
        self.known: list[Any] = []

    def number(self, seen: Any) -> int:
        """The number of the placement, a new one for what was not seen yet; -1 if nothing is seen."""
        if seen is None:
            return -1
        for number, other in enumerate(self.known):
            apart = disagreement(seen, other) if seen.shape == other.shape else None
            if apart is not None and apart <= AGREES:
                return number
        self.known.append(seen)
        return len(self.known) - 1


def _states() -> tuple[Any, Any, Any]:
    """Where the generators of ``random``, numpy (None where it is not loaded) and torch stand."""
    import torch

    numpy = sys.modules.get("numpy")
    return random.getstate(), None if numpy is None else numpy.random.get_state(), torch.get_rng_state()


def _same_states(one: tuple[Any, Any, Any], other: tuple[Any, Any, Any]) -> bool:
    numpy = one[1] is None or (one[1][2:] == other[1][2:] and bool((one[1][1] == other[1][1]).all()))
    return one[0] == other[0] and numpy and bool((one[2] == other[2]).all())


def _equal(one: Any, other: Any) -> bool:
    import torch

    surfaces = surface(one), surface(other)
    if surfaces[0] is not None and surfaces[1] is not None:
        return surfaces[0].shape == surfaces[1].shape and bool(torch.equal(*surfaces))
    return numbers(one) == numbers(other)
