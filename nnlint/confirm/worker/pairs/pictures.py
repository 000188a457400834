"""Targets that are pictures: compared with the image pixel by pixel, draw by draw."""

from __future__ import annotations

from typing import Any

from ..verdict import Inconclusive, Verdict, confirmed, refuted
from .arrangement import Experiment
from .coded_pictures import pattern, stretched
from .draws import CONTROLS, DIGITS, DRAWS, ENOUGH, FEWEST, LEAST, MEASURED, in_others
from .sightings import AGREES, APART, Placements, Sights, disagreement


def verdict_on_pictures(experiment: Experiment) -> Verdict:
    """Two pictures, compared draw by draw."""
    sights, (picture, target) = experiment.sights, experiment.names
    placements = Placements()
    apart: list[int] = []
    agreeing = between = unseen = made = 0
    for draw in range(DRAWS):
        sights.begin(draw)
        seen = sights.both(pattern(sights.stage.height, sights.stage.width))
        made += 1
        share = None if seen is None else disagreement(seen.picture, seen.target)
        if seen is None or share is None:
            unseen += 1
            continue
        placements.number(seen.picture)
        if share >= APART:
            apart.append(draw)
        elif share <= AGREES:
            agreeing += 1
        else:
            between += 1
        if len(apart) >= ENOUGH and made >= FEWEST:
            break
    figures = {
        "draws": made,
        "apart": len(apart),
        "agreeing": agreeing,
        "undecided": between,
        "unseen": unseen,
        "placements": len(placements.known),
        "picture": [sights.stage.height, sights.stage.width],
    }
    if unseen > made // 2:
        raise Inconclusive(f"{picture} and {target} cannot be compared in {unseen} of {made} draws")
    if len(apart) >= LEAST:
        return _apart(experiment, apart, agreeing, figures)
    if apart or between:
        raise Inconclusive(
            f"{picture} and {target} match neither well nor badly in {len(apart) + between} of {made} draws"
        )
    if len(placements.known) < 2:
        raise experiment.unmoved(made)
    experiment.require_run(made)
    return refuted(
        f"{picture} and {target} match in all {made} draws, in which {picture} comes out in "
        f"{len(placements.known)} different places",
        **figures,
    )


def _apart(experiment: Experiment, apart: list[int], agreeing: int, figures: dict[str, Any]) -> Verdict:
    """Confirmed, once it is known how far they are apart, and that they agree where they should."""
    sights, (picture, target) = experiment.sights, experiment.names
    offsets: list[float] = []
    for draw in apart[:MEASURED]:
        sights.begin(draw)
        offset = _offset(sights)
        if offset is not None:
            offsets.append(offset)
    if not offsets or max(offsets) < experiment.step / 2:
        raise Inconclusive(f"it cannot be read off how far {picture} and {target} are apart")
    control = in_others(agreeing) if agreeing else _healthy(experiment)
    return confirmed(
        f"{picture} and {target} do not match in {len(apart)} of {figures['draws']} draws: what belongs together lies "
        f"{max(offsets):.0f} px apart on average in a picture of {experiment.size}; {control}",
        **figures,
        offsets=[round(offset, 1) for offset in offsets],
        control=control,
    )


def _offset(sights: Sights) -> float | None:
    """The mean distance between the places that a pixel of picture and target come from, in pixels of the stage."""
    import torch

    one, other = sights.coordinates_of(DIGITS)
    if one is None or other is None:
        return None
    height, width = max(one.shape[1], other.shape[1]), max(one.shape[2], other.shape[2])
    planes = [torch.stack([stretched(axis, height, width) for axis in part]) for part in (one, other)]
    distance = (planes[0] - planes[1]).square().sum(0).sqrt()
    distance = distance[~distance.isnan()]
    return float(distance.mean()) if len(distance) else None


def _healthy(experiment: Experiment) -> str:
    """What is left of the difference in the healthy case, in words.

    Raises:
        Inconclusive: it cannot be had, or picture and target do not agree in it either.
    """
    sights, control, (picture, target) = experiment.sights, experiment.control, experiment.names
    if not control.possible:
        raise Inconclusive(f"{picture} and {target} never match, and there is no draw to compare with")
    control.on = True
    try:
        for draw in range(CONTROLS):
            sights.begin(draw)
            seen = sights.both(pattern(sights.stage.height, sights.stage.width))
            share = None if seen is None else disagreement(seen.picture, seen.target)
            if share is None or share > AGREES:
                raise Inconclusive(f"{picture} and {target} do not match where nothing parts them either")
    finally:
        control.on = False
    return control.words
