"""Boxes and keypoints: what a dataset is given, and where they ought to be once the picture has been moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

FORMS = ("array", "list", "tensor", "flat", "one", "row")
"""The types that the places of a sample are handed over in, tried in turn; ``one`` is a single place, as a list."""

Format = Callable[[list[float], float, float], list[float]]
"""Writes places of pixels in another way, for a picture of a width and a height."""

Points = tuple[tuple[float, float], ...]

_BOXES: Points = ((0.30, 0.26), (0.52, 0.44), (0.42, 0.36), (0.66, 0.70))
"""Opposite corners (x, y) of two boxes, as shares of width and height, near the middle of the picture."""

_KEYPOINTS: Points = ((0.32, 0.34), (0.60, 0.30), (0.46, 0.50), (0.36, 0.68), (0.64, 0.64))


class Places:
    """Boxes or keypoints of a picture of ``height`` and ``width`` pixels."""

    def __init__(self, kind: str, height: int, width: int, form: str) -> None:
        self.kind, self.form = kind, form
        shares = _BOXES if kind == "boxes" else _KEYPOINTS
        if form == "one":
            shares = shares[: 2 if kind == "boxes" else 1]
        self.points: Points = tuple((round(x * width) + 0.0, round(y * height) + 0.0) for x, y in shares)
        self.shift = 0.0

    def given(self) -> Any:
        """What the dataset gets: a box as x0, y0, x1, y1 and a keypoint as x, y, in pixels."""
        columns = 4 if self.kind == "boxes" else 2
        flat = [coordinate + self.shift for point in self.points for coordinate in point]
        rows = [flat[start : start + columns] for start in range(0, len(flat), columns)]
        if self.form == "list":
            return rows
        if self.form in ("flat", "one"):
            return flat
        import torch

        if self.form == "row":
            return _row_of(torch.tensor(flat).numpy())
        return torch.tensor(rows).numpy() if self.form == "array" else torch.tensor(rows)

    def expected(self, moved: Sequence[tuple[float, float]]) -> list[float]:
        """The numbers of boxes or keypoints whose points have been moved: of a box its outermost corners."""
        if self.kind != "boxes":
            return [coordinate for point in moved for coordinate in point]
        found: list[float] = []
        for start in range(0, len(moved), 2):
            (x, y), (right, bottom) = moved[start : start + 2]
            found += [min(x, right), min(y, bottom), max(x, right), max(y, bottom)]
        return found

    def formats(self) -> dict[str, Format]:
        """How the numbers may be written, of a picture of a width and a height that come out."""
        plain: dict[str, Format] = {"pixels": _pixels, "shares": _shares}
        if self.kind != "boxes":
            return plain
        return {
            **plain,
            "x, y, width, height": _extents,
            "center, width, height": _centered,
            "center, width, height in shares": lambda box, width, height: _shares(_centered(box, 0, 0), width, height),
        }


def _row_of(numbers: Any) -> Any:
    """Numbers in a row of a table, as pandas has it, as far as it differs from an array."""

    class Row(type(numbers)):  # type: ignore[misc]
        values = property(lambda self: self.view(type(numbers)))

        def to_numpy(self, dtype: Any = None, **options: Any) -> Any:
            return self.values.astype(dtype or self.dtype)

    return numbers.view(Row)


def moved_points(points: Points, origin: Any, tolerance: float) -> list[tuple[float, float]] | None:
    """Where points (x, y) of the stage lie in a picture that comes out; None if one of them has left it.

    Args:
        points: in pixels of the stage.
        origin: where every pixel that comes out comes from (2, height, width).
        tolerance: how far the nearest pixel may come from a point, in pixels of the stage.
    """
    found: list[tuple[float, float]] = []
    for x, y in points:
        far = ((origin[0] - y).abs() + (origin[1] - x).abs()).nan_to_num(1e9)
        least = float(far.min())
        if least > tolerance:
            return None
        rows, columns = (far <= least + 0.5).nonzero(as_tuple=True)
        found.append((float(columns.float().mean()) + 0.5, float(rows.float().mean()) + 0.5))
    return found


def _pixels(places: list[float], width: float, height: float) -> list[float]:
    return places


def _shares(places: list[float], width: float, height: float) -> list[float]:
    return [value / (height if number % 2 else width) for number, value in enumerate(places)]


def _extents(boxes: list[float], width: float, height: float) -> list[float]:
    found: list[float] = []
    for start in range(0, len(boxes), 4):
        x, y, right, bottom = boxes[start : start + 4]
        found += [x, y, right - x, bottom - y]
    return found


def _centered(boxes: list[float], width: float, height: float) -> list[float]:
    found: list[float] = []
    for start in range(0, len(boxes), 4):
        x, y, right, bottom = boxes[start : start + 4]
        found += [(x + right) / 2, (y + bottom) / 2, right - x, bottom - y]
    return found
