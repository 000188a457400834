"""A view that another one takes back: whether anything between the two has seen the elements in the wrong order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..building.comparison import difference, noise_between
from ..building.prepared import Prepared
from .accused_view import AccusedView, Script, See
from .perturbation import fresh, moved
from .views import View, Views, brings_back, elements_apart, recorded
from .weights import VARIATIONS, other_weights

PLACES = 4
"""How many elements are changed, besides the last."""


@dataclass(frozen=True)
class Passage:
    """The views of a run: the accused one, and which of them, by number, takes it back or is taken back by it."""

    accused: View
    later: View | None = None
    earlier: View | None = None
    harmless: bool = False
    """Whether each element between the two depends on itself alone, whatever the weights."""


def passage(accused: AccusedView, run: Prepared | Script) -> Passage | None:
    """The way through the accused view and back; None if the run does not come to the view."""
    shapes: list[tuple[int, ...]] = []
    seen: list[View] = []
    hits: list[int] = []
    views = Views()

    def before(value: Any) -> Any:
        shapes.append(tuple(value.shape))
        return value

    def after(value: Any) -> Any:
        seen.append(View(shapes[-1], tuple(value.shape)))
        hits.append(len(views.seen) - 1)
        return value

    with accused.watching(before, after), recorded(views):
        run.call()
    if not seen:
        return None
    view, first, until = seen[0], hits[0], hits[1] if len(hits) > 1 else len(views.seen)
    stretches = elements_apart(view)
    found = Passage(view)
    for number in range(first + 1, until):
        if brings_back(views.seen[number], view):
            found = Passage(view, later=views.seen[number])
            stays = _always_stays(run, stretches, partial(_behind_later, accused, run, number))
            if stays and _goes_only_through(accused, run, number):
                return Passage(view, later=views.seen[number], harmless=True)
    for number in range(first):
        if brings_back(views.seen[number], view):
            found = Passage(view, earlier=views.seen[number])
            if _always_stays(run, stretches, partial(_behind_accused, accused, run, number)):
                return Passage(view, earlier=views.seen[number], harmless=True)
    return found


def _goes_only_through(accused: AccusedView, run: Prepared | Script, number: int) -> bool:
    """Whether nothing else sees the elements in the wrong order: with the later view's result kept, they may be any."""
    views = Views(take=number)
    with recorded(views):
        outputs = run.call()
    seen: list[Any] = []

    def once(value: Any) -> Any:
        seen.append(value)
        return fresh(value) if len(seen) == 1 else value

    with accused.watching(None, once), recorded(Views(take=number, put=views.taken)):
        others = run.call()
    return not difference(outputs, others, noise_between(outputs, run.call()))


def _always_stays(run: Prepared | Script, stretches: int, passed: Callable[[See], Any]) -> bool:
    """Whether elements only change themselves with any weights; those of a script are the ones it starts with."""
    module = run.module if isinstance(run, Prepared) else None
    for number in range(1 if module is None else VARIATIONS):
        with other_weights(module, number):
            if not _stays(stretches, passed):
                return False
    return True


def _stays(stretches: int, passed: Callable[[See], Any]) -> bool:
    """Whether what is changed before the first of two views is all that is changed behind the second.

    Of so many stretches of elements as the views leave together some are changed, one by one. ``passed`` gives what
    comes out of the second view, from a function that changes what goes into the first.
    """
    base, again = (passed(lambda value: value) for _ in range(2))
    if base is None or base.numel() % stretches:
        return False
    noise = noise_between([base], [again])
    reached = False
    for number in sorted({stretches * part // PLACES for part in range(PLACES)} | {stretches - 1}):
        other = passed(partial(_with_other, number=number, stretches=stretches))
        if other is None or other.shape != base.shape:
            return False
        where = moved(base, other, noise).reshape(stretches, -1).any(1).nonzero().flatten().tolist()
        if set(where) - {number}:
            return False
        reached = reached or bool(where)
    return reached


def _behind_later(accused: AccusedView, run: Prepared | Script, number: int, change: See) -> Any:
    """The result of a later view when what the accused one is of is changed."""
    views = Views(take=number)

    def unseen(value: Any) -> Any:
        views.paused = True
        try:
            return change(value)
        finally:
            views.paused = False

    with accused.watching(unseen), recorded(views):
        run.call()
    return None if views.taken is None else views.taken.clone()


def _behind_accused(accused: AccusedView, run: Prepared | Script, number: int, change: See) -> Any:
    """The result of the accused view when what an earlier one is of is changed."""
    seen: list[Any] = []

    def keep(value: Any) -> Any:
        seen.append(value.clone())
        return value

    with accused.watching(None, keep), recorded(Views(take=number, change=change)):
        run.call()
    return seen[0] if seen else None


def _with_other(value: Any, *, number: int, stretches: int) -> Any:
    """A tensor with one of its stretches replaced."""
    rows = value.detach().clone().reshape(stretches, -1)
    rows[number] = fresh(rows[number])
    return rows.reshape(value.shape)
