"""Digits and letters whose pictures are mirrored, while their labels stay."""

from __future__ import annotations

import inspect
from typing import Any

from ..anything import is_missing
from ..bench import Bench
from ..job import Job
from ..program import Program
from ..verdict import Inconclusive, Verdict, confirmed, refuted
from .coded_pictures import SIZES, Stage, pattern
from .draws import DIGITS, DRAWS, ENOUGH, FEWEST
from .sightings import Placements, Sights
from .subjects import Subject, call_of_class
from .virtual_files import virtual_files


def verdict_on_characters(job: Job, bench: Bench) -> Verdict:
    """Whether the transform of a dataset of characters mirrors its pictures."""
    reasons: list[str] = []
    for size in SIZES:
        program, stage = Program(job.program, bench), Stage(size)
        with virtual_files(stage, bench):
            cls, args, kwargs = call_of_class(program, job.settings, bench)
            transform = inspect.signature(cls).bind_partial(*args, **kwargs).arguments.get("transform")
            if transform is None or is_missing(transform):
                raise Inconclusive(program.why_missing() or "the transform could not be had")
            gray = "" if cls.__name__ in COLOURED else " gray"

            def ask(state: Any, index: int, stage: Stage = stage, gray: str = gray) -> Any:
                return state(stage.picture(f"pil{gray}", is_target=False)), index

            sights = Sights(program, Subject(transform, ask), stage, ([0], [1]), bench, coordinates=True)
            try:
                return _mirroring(sights, cls.__name__)
            except Inconclusive as reason:
                reasons.append(str(reason))
    raise Inconclusive(reasons[-1])


COLOURED = ("SVHN", "GTSRB", "RenderedSST2")
"""Datasets of characters whose pictures have three channels."""


def _mirroring(sights: Sights, name: str) -> Verdict:
    placements = Placements()
    mirrored: dict[int, bool | None] = {}
    counts = {True: 0, False: 0, None: 0}
    for draw in range(DRAWS):
        sights.begin(draw)
        seen = sights.both(pattern(sights.stage.height, sights.stage.width))
        placement = -1 if seen is None else placements.number(seen.picture)
        if placement not in mirrored:
            mirrored[placement] = None if placement < 0 else _is_mirrored(sights.coordinates_of(DIGITS)[0])
        counts[mirrored[placement]] += 1
        if counts[True] >= ENOUGH and draw + 1 >= FEWEST:
            break
    made = draw + 1
    figures = {"draws": made, "mirrored": counts[True], "upright": counts[False], "placements": len(placements.known)}
    if counts[None] > made // 2:
        raise Inconclusive("what the transform makes of a picture cannot be read off")
    if counts[True] and counts[False]:
        return confirmed(
            f"{counts[True]} of {made} pictures of {name} come out mirrored, with the same label", **figures
        )
    if not counts[True] and len(placements.known) > 1:
        return refuted(
            f"none of {made} pictures of {name} comes out mirrored, though they lie in {len(placements.known)} "
            "different places",
            **figures,
        )
    raise Inconclusive(f"the transform does the same to all {made} pictures")


def _is_mirrored(origin: Any) -> bool | None:
    """Whether a picture shows its places as a mirror does, None if that cannot be told."""
    import torch

    if origin is None:
        return None
    rows, columns = (~origin.isnan().any(0)).nonzero(as_tuple=True)
    if len(rows) < 16:
        return None
    here = torch.stack([rows.float(), columns.float()])
    there = origin[:, rows, columns]
    here, there = here - here.mean(1, keepdim=True), there - there.mean(1, keepdim=True)
    return bool(torch.linalg.det(here @ there.T) < 0)
