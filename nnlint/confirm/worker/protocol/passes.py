"""How the lines go through the accused loader: the batches that they take of it, and the figures that come of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..bench import Bench
from ..draws.fingerprints import is_loader
from ..draws.loading import given_to, is_made_up, rebuilt, unread
from ..program import Enough
from .record import Figure, Line, Pass, Place, lead_through

WATCHES = ("gone through", "term", "figure", "break")
"""The watches that are shown what this is about: the loader, what is added to the total of a score for a batch, the
score, and what ends the loop early.
"""

SOME = 6
"""Batches of a loader where nobody knows how many there are."""

MOST = 2_000
"""Batches of a pass for a control."""


class Passes:
    """What is seen of the loaders that the watch ``gone through`` has shown, in the loop of the finding.

    ``change`` says what is done differently for a control: with ``evened`` these loaders have batches of a size that
    divides their samples; with ``stayed`` the loop is not left where the finding says that it is, and what the lines
    leave of the loaders is taken after them.

    Args:
        bench: where assumptions are noted.
        change: one of these, or empty.
        supposes: whether a number of samples that nobody knows is taken to be one that the batch size does not divide.
        size: the batch size, if the reading knows it.
        accused: the lines in which the loop asks for its batches.
        ways: the calls that lead to the score.
    """

    def __init__(
        self,
        bench: Bench,
        change: str,
        *,
        supposes: bool,
        size: int | None,
        accused: Sequence[Place],
        ways: Sequence[Place],
    ) -> None:
        self.found: list[Pass] = []
        self._bench = bench
        self._change = change
        self._supposes = supposes
        self._size = size
        self._accused = accused
        self._ways = ways
        self._loaders: list[tuple[Any, str]] = []
        """Those that were shown, each with what made-up number its number of samples may rest on."""
        self._supposed: list[Any] = []
        """Those whose number of samples was supposed."""
        self._guessed = ""
        self._rests: list[tuple[Pass, Iterator[Any]]] = []

    def guess(self, name: str, *, size: bool) -> None:
        """Note that a number was made up: that of the samples may rest on it, or in a pass the ``size`` of a batch."""
        self._guessed = self._guessed or name
        if size and self.found and not self.found[-1].left:
            self.found[-1].unsized = self.found[-1].unsized or name

    def see(self, name: str, value: Any, lines: Sequence[Line]) -> Any:
        """Be shown the value of a watch; what is given back takes its place.

        Raises:
            Enough: the score is made of all that the lines take.
        """
        if name == "break":
            return self._change != "stayed"
        if name == "gone through" and is_loader(value):
            value, made_up = self._fitted(value)
            self._loaders.append((value, made_up))
        elif name == "term" and self.found:
            self.found[-1].terms.append(_number(value))
        elif name == "figure" and self.found and all(lead_through(lines, [way]) for way in self._ways):
            now = self.found[-1]
            now.figures.append(Figure(_number(value), len(now.sizes), len(now.terms)))
            if now.left:
                raise Enough
        return value

    def shows(self, loader: Any) -> bool:
        """Whether a loader is one that was shown: it is not cut short."""
        return any(loader is each for each, _ in self._loaders)

    def through(
        self,
        loader: Any,
        items: Iterator[Any],
        lines: Sequence[Line],
        missing: Callable[[int | None, Exception], Any],
    ) -> Iterator[Any]:
        """All batches of a loader that was shown.

        Args:
            loader: what is gone through.
            items: its batches, as far as they can be loaded.
            lines: the lines that ask for them.
            missing: what stands for a batch of so many examples that cannot be loaded for a reason.

        Raises:
            Enough: the loop begins anew, and the score was made.
        """
        sizes = sizes_of(loader)
        batches = _all(items, sizes, missing)
        if not lead_through(lines, self._accused):
            yield from batches
            return
        if self.found and self.found[-1].figures:
            raise Enough
        made_up = next(made_up for each, made_up in self._loaders if each is loader)
        now = Pass(sizes, made_up, _size_given(loader), supposed=any(each is loader for each in self._supposed))
        self.found.append(now)
        self._rests.append((now, batches))
        try:
            for batch in batches:
                now.sizes.append(0 if sizes is None else sizes[len(now.sizes)])
                yield batch
            now.ended = True
        finally:
            now.left = True

    def finish(self) -> None:
        """For the control, take what the lines have left of the loaders."""
        if self._change == "stayed":
            for now, batches in self._rests:
                now.rest = sum(1 for _ in batches)

    def _fitted(self, loader: Any) -> tuple[Any, str]:
        """A loader as it is to be gone through, and what made-up number its number of samples may rest on."""
        made_up = "the data set" if is_made_up(loader.dataset) else self._guessed
        size = _size_given(loader)
        known = size == self._size or not self._guessed
        if self._supposes and made_up and known and size is not None and size > 1:
            count = 3 * size + size // 2
            supposed = rebuilt(loader, dataset=unread(count, made_up=False)())
            if supposed is not loader:
                self._bench.assume(
                    f"there are {count:,} samples, which {size} does not divide: how many there are is not known"
                )
                loader, made_up = supposed, ""
                self._supposed.append(loader)
        size = _dividing(sizes_of(loader)) if self._change == "evened" else None
        return (loader if size is None else rebuilt(loader, batch_size=size)), made_up


def sizes_of(loader: Any) -> tuple[int, ...] | None:
    """How many samples each batch of a loader has; None where its samplers do not say."""
    import torch

    if type(loader.batch_sampler) is not torch.utils.data.BatchSampler:
        return None
    try:
        samples: int = len(loader.sampler)
    except (TypeError, NotImplementedError):
        return None
    size: int = loader.batch_sampler.batch_size
    last = samples % size
    return (size,) * (samples // size) + ((last,) if last and not loader.drop_last else ())


def _size_given(loader: Any) -> int | None:
    """The batch size that the lines have given a loader; None if it is not known."""
    size = given_to(loader).get("batch_size")
    return size if isinstance(size, int) else None


def _dividing(sizes: Sequence[int] | None) -> int | None:
    """A batch size that divides the samples of a loader, as near to its own as can be; None if there is none."""
    if not sizes:
        return None
    samples = sum(sizes)
    found = [each for each in range(1, samples // 2 + 1) if samples % each == 0 and samples // each <= MOST]
    return min(found, key=lambda each: abs(math.log(each / sizes[0])), default=None)


def _all(
    items: Iterator[Any], sizes: Sequence[int] | None, missing: Callable[[int | None, Exception], Any]
) -> Iterator[Any]:
    """The batches of a loader, and stand-ins from the first on that cannot be loaded."""
    number = 0
    try:
        for batch in items:
            yield batch
            number += 1
    except Exception as error:
        for size in (None,) * SOME if sizes is None else sizes[number:]:
            yield missing(size, error)


def _number(value: Any) -> float | None:
    """A value as a number; None if it is none."""
    try:
        number = float(value)
    except Exception:
        return None
    return number if math.isfinite(number) else None
