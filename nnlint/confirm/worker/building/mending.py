"""Inputs of the sizes that an error asks for: what torch says when they do not fit tells how large they should be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from .guessing import BATCH
from .sketches import Sketch

WRONG_SIZE = (
    re.compile(r"to have (?P<wanted>\d+) channels, but got (?P<given>\d+) channels"),
    re.compile(r"size of tensor a \((?P<given>\d+)\) must match the size of tensor b \((?P<wanted>\d+)\)"),
    re.compile(r"size of tensor a \((?P<wanted>\d+)\) must match the size of tensor b \((?P<given>\d+)\)"),
    re.compile(r"Expected size (?P<wanted>\d+) but got size (?P<given>\d+) for tensor number"),
    re.compile(r"Expected size (?P<given>\d+) but got size (?P<wanted>\d+) for tensor number"),
    re.compile(r"has size (?P<wanted>\d+) for operand \d+ which does not broadcast .* size (?P<given>\d+)"),
    re.compile(r"has size (?P<given>\d+) for operand \d+ which does not broadcast .* size (?P<wanted>\d+)"),
    re.compile(r"running_mean should contain (?P<given>\d+) elements not (?P<wanted>\d+)"),
    re.compile(r"must be equal to input_size\. Expected (?P<wanted>\d+), got (?P<given>\d+)"),
    re.compile(r"expected input with shape \[\*, (?P<wanted>\d+)\], but got input of size\[.*?(?P<given>\d+)\]"),
    re.compile(r"[Ii]nput \w*\s?(size|height|width) \((?P<given>\d+).*? model \((?P<wanted>\d+)"),
)
"""What is said of one size that should be another."""

PRODUCT = re.compile(
    r"(?:cannot be multiplied \(|same reduction dim, but got \[)(?P<rows>\d+)(?:x|, )(?P<given>\d+)\D+(?P<wanted>\d+)"
)
"""What is said, on a device or on ``meta``, of features that a linear layer does not take."""

LARGEST = 1 << 24
"""No tensor is made of more elements."""

OBLONGS = 2
"""Images that are not square which are tried for a number of places, each lying and standing."""

NEAR = 3
"""How far the side of an image may be from the one that is reckoned."""


def mended(sketch: Sketch, error: BaseException) -> Iterator[Sketch]:
    """A tensor in other sizes, as far as an error tells them: those in which it asks for another number."""
    return (each for each in dict.fromkeys(_mended(sketch, str(error))) if math.prod(each.shape) <= LARGEST)


def _mended(sketch: Sketch, said: str) -> Iterator[Sketch]:
    for pattern in WRONG_SIZE:
        found = pattern.search(said)
        if found is not None:
            given, wanted = int(found["given"]), int(found["wanted"])
            yield from _with_size(sketch, given, wanted)
            if len(sketch.shape) == 3 and sketch.shape[2] + wanted > given:
                yield _resized(sketch, {2: sketch.shape[2] + wanted - given})
    found = PRODUCT.search(said)
    if found is not None:
        rows, given, wanted = (int(found[name]) for name in ("rows", "given", "wanted"))
        yield from _with_size(sketch, given, wanted)
        yield from _flattened_to(sketch, rows, given, wanted)


def asked(error: BaseException) -> tuple[int, int] | None:
    """The size that an error speaks of and the one it asks for; None if it speaks of no single size."""
    found = next((found for pattern in WRONG_SIZE if (found := pattern.search(str(error)))), None)
    return None if found is None else (int(found["given"]), int(found["wanted"]))


def distance(error: BaseException | None) -> float:
    """By what factor, as a logarithm, features that a linear layer is given miss those it takes."""
    found = PRODUCT.search(str(error))
    if found is None:
        return math.inf
    return abs(math.log(max(int(found["given"]), 1) / max(int(found["wanted"]), 1)))


def _with_size(sketch: Sketch, given: int, wanted: int) -> Iterator[Sketch]:
    """One size in the place of another, on each axis behind the examples that has it."""
    for axis in reversed(range(1, len(sketch.shape))):
        if sketch.shape[axis] == given != wanted:
            yield _resized(sketch, {axis: wanted})
    if given != wanted and sketch.shape.count(given) > 1:
        yield _resized(sketch, {axis: wanted for axis, size in enumerate(sketch.shape) if axis and size == given})


def _flattened_to(sketch: Sketch, rows: int, given: int, wanted: int) -> Iterator[Sketch]:
    """Other sizes with which as many features as are wanted remain of an example, or of all of them (one row)."""
    if not given:
        return
    shape = sketch.shape
    elements = math.prod(shape) if rows == 1 else math.prod(shape[1:])
    whole, rest = divmod(elements * wanted, given)
    if not rest and len(shape) < 3:
        yield replace(sketch, shape=(whole,) if rows == 1 else (BATCH, whole))
    if len(shape) > 2:
        yield from _with_sides(sketch, [*range(2, len(shape))], wanted / given)
        if len(shape) == 4:
            yield from _with_oblongs(sketch, shape[2] * shape[3] * wanted / given)
        channels, rest = divmod(shape[1] * wanted, given)
        if not rest and channels:
            yield _resized(sketch, {1: channels})


def _with_sides(sketch: Sketch, axes: Sequence[int], ratio: float) -> Iterator[Sketch]:
    """Larger or smaller images: so many times as many places, and some sides around that."""
    scale = ratio ** (1 / len(axes))
    for offset in sorted(range(-NEAR, NEAR + 1), key=abs):
        sides = {axis: round(sketch.shape[axis] * scale) + offset for axis in axes}
        if all(side > 0 for side in sides.values()):
            yield _resized(sketch, sides)


def _with_oblongs(sketch: Sketch, places: float) -> Iterator[Sketch]:
    """Images of so many places whose height is not their width, the least oblong ones first."""
    if places != int(places) or not 1 < places <= LARGEST:
        return
    heights = [side for side in range(int(places**0.5), 1, -1) if places % side == 0][:OBLONGS]
    for height in heights:
        width = int(places) // height
        yield _resized(sketch, {2: height, 3: width})
        yield _resized(sketch, {2: width, 3: height})


def _resized(sketch: Sketch, sizes: dict[int, int]) -> Sketch:
    return replace(sketch, shape=tuple(sizes.get(axis, size) for axis, size in enumerate(sketch.shape)))
