"""Targets that are boxes or keypoints: compared with where the picture shows their corners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..verdict import Inconclusive, Verdict, confirmed, refuted
from .arrangement import Experiment
from .coded_pictures import pattern
from .draws import CONTROLS, DIGITS, DRAWS, ENOUGH, FEWEST, LEAST, in_others
from .places import moved_points
from .sightings import Placements


@dataclass(frozen=True)
class _Draw:
    """One draw: how the picture came to lie, its height and width, and the numbers of the target."""

    number: int
    placement: int
    size: tuple[int, int]
    numbers: tuple[float, ...]


def verdict_on_places(experiment: Experiment) -> Verdict:
    """The numbers of the target, compared with where the picture shows that its places are."""
    picture, target = experiment.names
    placements = Placements()
    draws: list[_Draw] = []
    for number in range(DRAWS):
        found = _drawn(experiment, number, placements)
        if found is not None:
            draws.append(found)
        first = [each for each in draws if each.placement == 0]
        still = all(each.numbers == draws[0].numbers for each in draws)
        if still and len(draws) >= FEWEST and len(draws) - len(first) >= ENOUGH:
            break
    if not draws or len(draws) < number // 2:
        raise Inconclusive(f"{picture} and {target} cannot be compared in most of {number + 1} draws")
    if len(placements.known) < 2:
        raise Inconclusive(
            f"{picture} comes out in the same place in all {number + 1} draws: nothing is moved at random"
        )
    if not _depends(experiment):
        raise Inconclusive(f"{target} does not depend on what the dataset is given")
    errors = _errors(experiment, draws)
    figures: dict[str, Any] = {
        "draws": number + 1,
        "compared": len(errors),
        "placements": len(placements.known),
        "picture": [experiment.sights.stage.height, experiment.sights.stage.width],
        "values": len({each.numbers for each in draws}),
    }
    return _judged(experiment, draws, errors, figures)


def _judged(
    experiment: Experiment, draws: list[_Draw], errors: list[tuple[_Draw, dict[str, float]]], figures: dict[str, Any]
) -> Verdict:
    """The verdict on draws and the offsets that they have in each format, in pixels that come out."""
    picture, target = experiment.names
    near, far = experiment.step, 2 * experiment.step
    written = _format(errors, near)
    control = ""
    if written is None:
        written = _format(_healthy_errors(experiment), near)
        control = experiment.control.words
    if written is None:
        raise Inconclusive(f"how {target} is written cannot be told: it never matches {picture}")
    offsets = [error[written] for _, error in errors]
    apart = [offset for offset in offsets if offset > far]
    agreeing = sum(offset <= near for offset in offsets)
    figures |= {"apart": len(apart), "agreeing": agreeing, "format": written}
    still = figures["values"] == 1
    if len(apart) >= LEAST and (still or agreeing):
        control = control or in_others(agreeing)
        why = f": {target} keep{'' if target.endswith('s') else 's'} the same numbers in all of them" if still else ""
        return confirmed(
            f"{picture} and {target} lie up to {max(apart):.0f} px apart in {len(apart)} of {len(offsets)} draws of a "
            f"picture of {experiment.size}{why}; {control}",
            **figures,
            offset=round(max(apart), 1),
            control=control,
        )
    if agreeing == len(offsets) and agreeing >= FEWEST and not still:
        experiment.require_run(len(draws))
        return refuted(
            f"{picture} and {target} match in all {agreeing} draws that show {target} whole, in which {picture} comes "
            f"out in {figures['placements']} different places",
            **figures,
        )
    raise Inconclusive(
        f"{picture} and {target} match in {agreeing} of {len(offsets)} draws and are apart in {len(apart)}"
    )


def _drawn(experiment: Experiment, number: int, placements: Placements) -> _Draw | None:
    sights = experiment.sights
    sights.begin(number)
    seen = sights.both(pattern(sights.stage.height, sights.stage.width))
    if seen is None or seen.picture is None or not seen.numbers:
        return None
    return _Draw(number, placements.number(seen.picture), tuple(seen.picture.shape), seen.numbers)


def _depends(experiment: Experiment) -> bool:
    """Whether other places come out if others are given."""
    sights, places = experiment.sights, experiment.places
    assert places is not None
    found = []
    for shift in (0.0, 3.0):
        places.shift = shift
        sights.begin(0)
        seen = sights.both(pattern(sights.stage.height, sights.stage.width))
        found.append(None if seen is None else seen.numbers)
    places.shift = 0.0
    return found[0] != found[1]


def _errors(experiment: Experiment, draws: list[_Draw]) -> list[tuple[_Draw, dict[str, float]]]:
    """Draws in which all places are in the picture, with the largest offset that they have in each format."""
    sights, places = experiment.sights, experiment.places
    assert places is not None
    origins: dict[int, Any] = {}
    found: list[tuple[_Draw, dict[str, float]]] = []
    for draw in draws:
        if draw.placement not in origins:
            sights.begin(draw.number)
            origins[draw.placement] = sights.coordinates_of(DIGITS)[0]
        origin = origins[draw.placement]
        moved = None if origin is None else moved_points(places.points, origin, experiment.step)
        expected = [] if moved is None else places.expected(moved)
        if len(expected) != len(draw.numbers) or not expected:
            continue
        height, width = draw.size
        errors: dict[str, float] = {}
        for name, form in places.formats().items():
            scale = _scale(origin) * (max(height, width) if "shares" in name else 1)
            written = form(expected, width, height)
            errors[name] = scale * max(abs(here - draw.numbers[place]) for place, here in enumerate(written))
        found.append((draw, errors))
    return found


def _scale(origin: Any) -> float:
    """How many pixels of the stage a pixel that comes out covers."""
    known = origin[:, ~origin.isnan().any(0)]
    reach = (known.amax(1) - known.amin(1)).sum()
    pixels: int = origin.shape[1] + origin.shape[2]
    return float(reach) / pixels


def _healthy_errors(experiment: Experiment) -> list[tuple[_Draw, dict[str, float]]]:
    """The same in the healthy case; nothing if it cannot be had."""
    if not experiment.control.possible:
        return []
    experiment.control.on = True
    try:
        placements = Placements()
        draws = [_drawn(experiment, number, placements) for number in range(CONTROLS)]
        return _errors(experiment, [draw for draw in draws if draw is not None])
    finally:
        experiment.control.on = False


def _format(errors: list[tuple[_Draw, dict[str, float]]], near: float) -> str | None:
    """The format in which the numbers agree most often, None if they never do."""
    counts = {name: sum(error[name] <= near for _, error in errors) for name in (errors[0][1] if errors else ())}
    best = max(counts, key=lambda name: counts[name], default=None)
    return best if best is not None and counts[best] else None
