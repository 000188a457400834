"""The views of a run: which of them take back the sizes that another one has made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

VIEWING = frozenset(("view", "reshape", "view_as", "reshape_as", "unflatten"))
"""Functions that change the sizes and move no element."""


@dataclass(frozen=True)
class View:
    """A view as it happened: the sizes before and after."""

    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass
class Views:
    """All views of a run in their order. ``taken`` is the result of the one with the number ``take``.

    ``change`` changes what that view is of, and ``put`` is given on in the place of its result.
    """

    seen: list[View] = field(default_factory=list)
    take: int = -1
    taken: Any = None
    change: Callable[[Any], Any] | None = None
    put: Any = None
    paused: bool = False


class _Recording(TorchFunctionMode):  # type: ignore[misc,unused-ignore] # torch is not read by the type checker
    def __init__(self, views: Views) -> None:
        super().__init__()
        self.views = views

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        views = self.views
        if views.paused or getattr(function, "__name__", "") not in VIEWING or not isinstance(args[0], Tensor):
            return function(*args, **(kwargs or {}))
        number = len(views.seen)
        if number == views.take and views.change is not None:
            args = (views.change(args[0]), *args[1:])
        result = function(*args, **(kwargs or {}))
        views.seen.append(View(tuple(args[0].shape), tuple(result.shape)))
        if number == views.take:
            views.taken = result
            return result if views.put is None else views.put.clone()
        return result


@contextmanager
def recorded(views: Views) -> Iterator[Views]:
    """While it lasts, the views are written down."""
    with _Recording(views):
        yield views


def brings_back(view: View, accused: View) -> bool:
    """Whether two views, one after the other, leave the axes in their order.

    One of them then takes the other back. A later view may also take axes apart, and the accused one, if it is the
    later, put some together; the other way round nobody knows which axes they are. The last axis may have become
    another between the two.
    """
    if view.after == accused.before:
        return set(_ends(accused.after)) <= set(_ends(view.before))
    if accused.after == view.before:
        return set(_ends(accused.before)) <= set(_ends(view.after))
    return (
        accused.before[-1:] == accused.after[-1:]
        and view.before[-1:] == view.after[-1:]
        and (view.before[:-1], view.after[:-1]) == (accused.after[:-1], accused.before[:-1])
    )


def _ends(sizes: tuple[int, ...]) -> Iterator[int]:
    """How many elements lie behind each axis."""
    count = 1
    for size in reversed(sizes):
        yield count
        count *= size
    yield count


def elements_apart(accused: View) -> int:
    """How many stretches of elements a view moves as wholes; those of the last axes that it leaves as they are."""
    sizes = list(accused.before)
    for other in reversed(accused.after):
        if not sizes or sizes[-1] != other:
            break
        sizes.pop()
    count = 1
    for size in sizes:
        count *= size
    return count
