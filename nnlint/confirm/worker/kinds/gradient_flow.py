"""Which examples still teach: the gradient that comes back to a loss from above and from below its bound."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..bench import Bench
from ..building.guessing import BATCH, STEPS
from ..job import Job, Slice
from ..losses.accepting import Accepting
from ..losses.supply import BATCHES, CLASSES, UNKNOWN
from ..losses.teaching import Attempt, Bounded, Lesson, Push, Teaching, strength
from ..program import Program
from ..verdict import Inconclusive, Verdict, confirmed, refuted

SHAPES = (
    ((BATCH, CLASSES), 32, True, False),
    ((BATCH, CLASSES), 64, False, False),
    ((BATCH, CLASSES, 8, 8), 28, False, False),
    ((BATCH,), 96, False, False),
    ((BATCH, STEPS, CLASSES), 32, True, False),
    ((BATCH, 1, 16, 16), 32, False, False),
    ((BATCH, 3, 32, 32), 224, False, False),
    ((BATCH, STEPS, 3), 32, False, True),
    ((BATCH, STEPS), 32, False, True),
    ((BATCH, 1), 32, False, False),
)
"""Shapes for tensors of which nothing is known, sizes of images, whether labels are classes, whether names tell."""

FEW = 4
"""Shapes that are tried with what may be missing there."""

ALIKE = 3
"""After so many shapes with the same failure no others are tried."""

LARGER = (1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e8)
SMALLER = (0.3, 0.1, 0.01, 1e-3)
"""Factors that bring losses above the bound, and below it."""

STEPS_TAKEN = 30
"""Steps uphill that are tried on a loss that no factor brings above its bound, and downhill below it."""

BEYOND = 1e30
"""A loss that exceeds any bound."""

ROOM = 1.25
"""How many times the largest loss that was found a bound must be to be out of reach."""

MOST_NAMES = 8
"""Stand-ins that are named with a verdict."""

MARGIN = 1e-4
"""How far, as a share of the bound, a value must lie above it: less is rounding."""


def run(job: Job, bench: Bench) -> Verdict:
    """Bring the loss above its bound and below it, with the bound and without, and see what gradient comes back."""
    lines = _running(job, bench)
    settings = job.settings
    search = _Search(lines, settings["squared"], settings["in_place"], settings["limit"])
    verdict = search.verdict()
    _note(search.last, lines, bench)
    scale = verdict.figures.get("scale", 1)
    if scale > 1:
        bench.assume(f"what the loss is computed from may be {scale:g} times as large")
    return verdict


def _running(job: Job, bench: Bench) -> Teaching:
    """The lines, from a script on if one leads to them, else those of the function around them.

    Raises:
        Inconclusive: they do not lead to a loss with gradients.
    """
    if job.script is not None:
        notes = bench.another()
        try:
            lines = _leading(job, job.script, notes, alone=(False,))
        except Inconclusive:
            pass
        else:
            notes.hand_over(bench)
            return lines
    other = job.settings["function"] not in ("", job.program.entry)
    return _leading(job, job.program, bench, alone=(False, True) if other else (False,))


def _leading(job: Job, slice_: Slice, bench: Bench, alone: tuple[bool, ...]) -> Teaching:
    """The lines, with the first shapes for what nobody gives that lead to a loss with gradients, past the bound if any.

    Args:
        job: the experiment.
        slice_: the program to run.
        bench: where it is run.
        alone: whether the function around the bound is called by itself, one after another.

    Raises:
        Inconclusive: none does.
    """
    program = Program(slice_, bench)
    accepting = Accepting(program)
    unknown = ""
    reasons: list[str] = []
    beside: Teaching | None = None
    for by_itself, present in itertools.product(alone, (False, True)):
        tried: list[str] = []
        alike: list[str] = []
        for attempt in _attempts(slice_, present):
            if len(alike) == ALIKE and len(set(alike)) == 1 and alike[0]:
                # It does not lie in the shapes.
                break
            lines = Teaching(program, job.settings, attempt, by_itself, accepting)
            # Without the bound, for all losses may lie above it.
            lesson = lines.lesson(Push(), bound=False)
            if lesson.reached and lesson.teaches and not lesson.opaque and not lesson.broken:
                if lesson.bounded:
                    return lines
                beside = beside or lines
                break
            tried.append(_why_not(lesson, _place(job)))
            alike += [] if attempt.accepted else [lesson.broken or lesson.failed]
            if lesson.opaque and not lesson.broken:
                unknown = unknown or tried[-1]
                if not lesson.opaque.startswith(UNKNOWN):
                    # Nobody gives what computes it: no shapes help.
                    break
            if not lesson.supply.tensors:
                break
        reasons += tried[:1]
    if beside is not None:
        return beside
    raise Inconclusive(unknown or next((each for each in reasons if "NoneType" not in each), reasons[0]))


def _attempts(slice_: Slice, present: bool) -> list[Attempt]:
    """What is tried for what nobody gives: a shape, what the models accept, and other shapes, one after another."""
    widths = [((BATCH, STEPS, width), 32, True, False) for width in _widths(slice_)]
    shapes = [*SHAPES, *widths][: FEW if present else None]
    attempts = [Attempt(shape, side, classes, named, present) for shape, side, classes, named in shapes]
    accepted = [Attempt((BATCH, CLASSES), 32, classes, present=present, accepted=True) for classes in (True, False)]
    return [*attempts[:1], *accepted, *attempts[1:]]


def _widths(slice_: Slice) -> list[int]:
    """Sizes of last axes that the lines speak of: ``reshape(-1, 97)``."""
    text = slice_.file(slice_.path).text
    found = re.findall(r"(?:view|reshape)\(-1, (\d+)\)", text)
    return list(dict.fromkeys(map(int, found)))[:2]


def _place(job: Job) -> str:
    """Where the bound stands: ``train.py:30``."""
    path = str(job.settings["file"])
    clipped = next(each for each in job.program.file(path).watches if each.name == "clipped")
    return f"{os.path.basename(path)}:{clipped.row}"


def _why_not(lesson: Lesson, place: str) -> str:
    """Why a lesson shows nothing; ``place`` is where the bound stands."""
    failed = lesson.failed or lesson.lost
    if lesson.broken or (failed and not lesson.opaque):
        made_up = ", with made-up inputs" if lesson.supply.tensors else ""
        return f"{lesson.broken or failed}{made_up}"
    if lesson.opaque.startswith(UNKNOWN):
        why, _, path = lesson.opaque.removeprefix(UNKNOWN).partition("\n")
        return f"{place}: the loss comes from {path.strip('.') or 'something'}, which could not be had: {why}"
    if lesson.opaque:
        return f"{place}: the loss comes from {lesson.opaque}: which values that takes is not known"
    return f"{place}: no gradient comes back from the loss" if lesson.reached else "the lines do not lead to the loss"


@dataclass(frozen=True)
class _Losses:
    """All values that went through the bound in a run, side by side."""

    before: Any
    after: Any
    gradient: Any
    above: Any
    """Which of them the bound has cut."""


class _Search:
    def __init__(self, lines: Teaching, squared: bool, in_place: bool, limit: float | None) -> None:
        self.lines = lines
        self.squared = squared
        self.in_place = in_place
        self.limit = limit
        self.largest: dict[float, float] = {}
        self.last: Lesson | None = None

    def verdict(self) -> Verdict:
        self.limit = self.probed()
        if self.limit is not None and self.limit >= BEYOND:
            return refuted("the bound is infinite when the lines run: no loss is cut")
        push, losses, lesson = self.above()
        if push is None or losses is None or lesson is None:
            return self.never_above()
        free = self.lesson(push, bound=False)
        without = _side_by_side(free, self.squared)
        if without is None or without.gradient.shape != losses.gradient.shape:
            raise Inconclusive("without the bound the lines take another way")
        above = losses.above & (without.gradient != 0) & without.gradient.isfinite()
        if not bool(above.any()):
            raise Inconclusive("above the bound no finite gradient comes back even without it")
        sent = strength(free, above)
        if not 0 < sent < float("inf"):
            raise Inconclusive(f"above the bound the gradient is {sent:g} even without it")
        flowing = above & (losses.gradient != 0)
        figures = self.figures(push, losses, without, above)
        figures["norm_without_bound"] = _rounded(sent)
        if bool(flowing.any()):
            return self.flowing(losses, above, flowing, figures)
        below, at = self.below()
        if below is None:
            raise Inconclusive("no loss was brought below the bound to compare with")
        figures.update(loss_below=at, gradient_below=_rounded(below))
        return self.dead(lesson, losses, above, figures)

    # --- ways above and below ----------------------------------------------------------------------------------------

    def lesson(self, push: Push, bound: bool = True) -> Lesson:
        lesson = self.lines.lesson(push, bound=bound)
        self.last = self.last or lesson
        return lesson

    def above(self) -> tuple[Push | None, _Losses | None, Lesson | None]:
        """The first push that brings losses above the bound while they are finite."""
        for push in self.pushes():
            lesson = self.lesson(push)
            losses = _side_by_side(lesson, self.squared)
            value = _largest(losses, lesson)
            if value is None:
                continue
            self.largest[push.scale] = max(value, self.largest.get(push.scale, value))
            if losses is not None and bool((losses.above & losses.before.isfinite()).any()):
                return push, losses, lesson
            if losses is not None and self.limit is not None and value > self.limit * (1 + 10 * MARGIN):
                break
        return None, None, None

    def pushes(self) -> Iterator[Push]:
        for scale in (*LARGER, *SMALLER):
            yield Push(scale)
        yield from self.steps(uphill=True)

    def steps(self, *, uphill: bool) -> Iterator[Push]:
        """Steps that make the loss larger, or smaller."""
        push = Push()
        for _ in range(STEPS_TAKEN):
            further = self.step(push, uphill)
            if further is None:
                return
            push = further
            yield push

    def step(self, push: Push, uphill: bool) -> Push | None:
        """One of them: along the gradient of the lines without the bound; None where there is none."""
        lesson = self.lesson(push, bound=False)
        if not lesson.teaches:
            return None
        values, moves = dict(push.values), dict(push.moves)
        for number, each in enumerate(lesson.supply.tensors):
            gradient = lesson.gradients.get(id(each.leaf))
            if gradient is not None and each.demand.kind == "free":
                values[number] = (each.leaf + (_uphill(gradient) if uphill else _downhill(gradient))).detach()
        for key, gradient in lesson.gradients.items():
            if key in lesson.parameters:
                place = lesson.parameters[key]
                moves[place] = moves.get(place, 0) + (0.1 * _uphill(gradient) if uphill else _downhill(gradient))
        return Push(push.scale, values, moves)

    def below(self) -> tuple[float | None, float | None]:
        """The gradient that comes back to a loss below the bound, on average, and that loss."""
        for scale in (1.0, *SMALLER):
            found = self.alive(Push(scale))
            if found is not None:
                return found
        found = self.shrunk()
        for push in self.steps(uphill=False) if found is None else ():
            found = self.alive(push)
            if found is not None:
                break
        return found or (None, None)

    def alive(self, push: Push) -> tuple[float, float | None] | None:
        """The gradient of losses below the bound in one run, and those losses, on average; None if there are none."""
        lesson = self.lesson(push)
        losses = _side_by_side(lesson, self.squared)
        if losses is None:
            # The lines with the bound may not have been entered at all.
            return (lesson.norm, _value(lesson.loss)) if lesson.teaches else None
        alive = ~losses.above & (losses.gradient != 0)
        if not bool(alive.any()):
            return None
        return float(losses.gradient[alive].abs().mean()), float(losses.before[alive].mean())

    def shrunk(self) -> tuple[float, float | None] | None:
        """The same where nothing brings the loss itself below the bound: a share of it is given to the bound."""
        limit, largest = self.limit, max(self.largest.values())
        if limit is None or self.in_place or not 0 < limit < largest:
            return None
        losses = _side_by_side(self.lines.lesson(Push(), share=0.5 * limit / largest), self.squared)
        if losses is None or not bool((losses.gradient != 0).any()):
            return None
        return float(losses.gradient.abs().mean()), float(losses.before.mean())

    # --- verdicts ----------------------------------------------------------------------------------------------------

    def figures(self, push: Push, losses: _Losses, without: _Losses, above: Any) -> dict[str, Any]:
        return {
            "losses": losses.before.numel(),
            "above": int(losses.above.sum()),
            "bound": _rounded(float(losses.after[losses.above].abs().max())),
            "largest_loss": _rounded(float(losses.before.abs().max())),
            "gradient_above": _rounded(float(losses.gradient[above].abs().mean())),
            "gradient_above_without_bound": _rounded(float(without.gradient[above].abs().mean())),
            "scale": push.scale,
        }

    def dead(self, lesson: Lesson, losses: _Losses, above: Any, figures: dict[str, Any]) -> Verdict:
        bound, largest = figures["bound"], figures["largest_loss"]
        count, total = int(above.sum()), losses.before.numel()
        if total == 1:
            said = f"a loss of {_told(largest)} is cut to {_told(bound)}, and its gradient is exactly 0"
            rest = ", though other parts of the loss still teach" if lesson.teaches else ""
        else:
            said = f"of {total} losses up to {_told(largest)}, {count} are cut to {_told(bound)}"
            rest = ", and their gradient is exactly 0"
        norm = figures["norm_without_bound"]
        control = f"without the bound the gradient has the norm {norm:.3g}, and below the bound it arrives"
        return confirmed(f"{said}{rest}; {control}", **figures)

    def flowing(self, losses: _Losses, above: Any, flowing: Any, figures: dict[str, Any]) -> Verdict:
        count, alive = int(above.sum()), int(flowing.sum())
        if alive < count:
            raise Inconclusive(f"of {count} losses above the bound {alive} still get a gradient, the others none")
        share = figures["gradient_above"] / (figures["gradient_above_without_bound"] or 1)
        return refuted(
            f"a loss of {_told(figures['largest_loss'])} is cut to {_told(figures['bound'])}, but its gradient arrives "
            f"all the same, {share:.3g} times as large as without the bound",
            **figures,
        )

    def never_above(self) -> Verdict:
        """No loss was cut: because none can be so large, or because the search did not find one."""
        if not self.largest:
            raise Inconclusive("the loss is not finite on the inputs that were tried")
        largest = max(self.largest.values())
        limit = self.limit
        if limit is None:
            raise Inconclusive(f"the lines with the bound were not reached: the largest loss tried is {_told(largest)}")
        figures = {"bound": _rounded(limit), "largest_loss": _rounded(largest)}
        if largest > limit * (1 + 10 * MARGIN):
            return self.uncut(limit, figures)
        if largest * ROOM > limit:
            raise Inconclusive(f"the largest loss found is {_told(largest)}, close to the bound of {_told(limit)}")
        assert self.last is not None
        if self.last.supply.takes_factors_for_granted:
            below = f"the largest loss tried is {_told(largest)} and the bound {_told(limit)}"
            raise Inconclusive(f"{below}, but factors of the loss are not known")
        presumed = next((each.name for each in self.last.supply.tensors if each.demand.kind == "presumed"), None)
        if presumed is not None:
            raise Inconclusive(
                f"the loss stays below its bound of {_told(limit)}, it is at most {_told(largest)}, if {presumed} lies "
                f"in [0, 1] as what it is compared with; but nobody knows what it holds"
            )
        sizes = [self.largest[scale] for scale in LARGER if scale in self.largest]
        if len(sizes) < 5 or max(sizes[-2:]) > 1.05 * max(sizes[:-2]):
            raise Inconclusive(
                f"no loss above {_told(limit)} was found: the largest is {_told(largest)}, and it still grows"
            )
        return refuted(
            f"the loss stays below its bound of {_told(limit)}: it is at most {_told(largest)}, however large what it "
            f"is computed from, even after {STEPS_TAKEN} steps of gradient ascent",
            **figures,
        )

    def uncut(self, limit: float, figures: dict[str, Any]) -> Verdict:
        """Losses above the bound go through its lines as they are, or by them."""
        for push in map(Push, LARGER):
            losses = _side_by_side(self.lesson(push), self.squared)
            above = None if losses is None else losses.before.isfinite() & (losses.before > limit)
            if losses is not None and above is not None and bool(above.any()):
                if bool((losses.gradient[above] != 0).all()):
                    figures["gradient_above"] = _rounded(float(losses.gradient[above].abs().mean()))
                    return refuted(f"losses above {_told(limit)} are not cut, and their gradient arrives", **figures)
                break
        raise Inconclusive(
            f"losses up to {_told(figures['largest_loss'])} do not lead to the lines that cut them to {_told(limit)}"
        )

    def probed(self) -> float | None:
        """The bound itself: what the user's line makes of a value beyond any bound."""
        lesson = self.lines.lesson(Push(), probe=BEYOND)
        found = [float(each.after.max()) for each in lesson.bounded if each.after is not None]
        return max(found) if found else self.limit


def _side_by_side(lesson: Lesson, squared: bool) -> _Losses | None:
    """The values that went through the bound; None if none did."""
    import torch

    parts = [_flat(each) for each in lesson.bounded if each.after is not None]
    if not parts:
        return None
    before, after, gradient = (torch.cat([part[place] for part in parts]) for place in range(3))
    if squared:
        above = before.abs() > after.abs() * (1 + MARGIN) + 1e-12
    else:
        above = before > after + MARGIN * after.abs() + 1e-12
    return _Losses(before, after, gradient, above)


def _flat(bounded: Bounded) -> tuple[Any, Any, Any]:
    import torch

    before = bounded.before.reshape(-1).double()
    after = bounded.after.reshape(-1).double()
    if after.numel() != before.numel():
        after = after[:1].expand_as(before)
    gradient = torch.zeros_like(before) if bounded.gradient is None else bounded.gradient.reshape(-1).double()
    return before, after, gradient


def _largest(losses: _Losses | None, lesson: Lesson) -> float | None:
    """The largest loss of a run, None if it is not finite."""
    value = _value(lesson.loss) if losses is None else float(losses.before.max())
    return value if value is not None and abs(value) < float("inf") else None


def _value(loss: Any) -> float | None:
    return None if loss is None else float(loss.detach().double().mean())


def _uphill(gradient: Any) -> Any:
    return gradient / (gradient.abs().mean() + 1e-30)


def _downhill(gradient: Any) -> Any:
    """A small step: a large one leads over the valley, and up again."""
    return -0.1 * gradient / (gradient.abs().max() + 1e-30)


def _told(value: float) -> str:
    """A loss or bound in words: ``0.975``, ``59,183``."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _note(lesson: Lesson | None, lines: Teaching, bench: Bench) -> None:
    """Say what the run has taken for granted."""
    if lesson is None:
        return
    for each in lesson.assumed:
        bench.assume(each)
    reasons = lines.program.losses[: lines.set_up] or lines.program.losses
    made_up = [each for each in lesson.supply.tensors if each.path.startswith((UNKNOWN, BATCHES))]
    if made_up and (reasons or made_up[0].path.startswith(UNKNOWN)):
        bench.stand_in(f"what could not be set up: {(reasons or ['its packages are missing'])[0]}")
    demands = {each.name: each.demand for each in lesson.supply.tensors if not each.name.startswith(UNKNOWN)}
    for name, demand in list(demands.items())[:MOST_NAMES]:
        within = " in [0, 1]" if demand.kind in ("share", "presumed") else ""
        bench.stand_in(f"{name}: made-up numbers{within} of shape {demand.shape}")
    for name, number in lesson.supply.numbers.items():
        bench.assume(f"{name} = {number:g}")
