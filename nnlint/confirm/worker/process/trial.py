"""One experiment from the inside: the kind is asked, and whatever happens becomes a verdict."""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import kinds, reason
from ..bench import Bench
from ..job import Job, parse_job
from ..setting.surroundings import surroundings
from ..verdict import Inconclusive, Verdict, inconclusive
from .bounds import Bounds


def bounds_of(message: Mapping[str, Any]) -> Bounds:
    """What the experiment that a job asks for may take."""
    slices = (message["program"], message.get("mended") or {"files": ()})
    paths = frozenset(file["path"] for each in slices for file in each["files"])
    return Bounds(message["timeout"], message["memory"], paths)


def answer(
    message: Mapping[str, Any], result: Mapping[str, Any], seconds: float, description: Mapping[str, Any]
) -> dict[str, Any]:
    """The answer to a job, from what its experiment gave."""
    return {
        "id": message["id"],
        **result,
        "device": description["device"],
        "torch": description["torch"],
        "seconds": round(seconds, 4),
        "unenforced": description["unenforced"],
    }


def inconclusive_answer(why: str) -> dict[str, Any]:
    """What an experiment gives that did not come to its end."""
    return {"outcome": "inconclusive", "summary": why, "figures": {}, "assumptions": [], "stood_in": []}


def verdict_on(
    message: Mapping[str, Any], device: str, apart: Callable[[Sequence[Callable[[], Any]]], list[Any]]
) -> dict[str, Any]:
    """The verdict on the finding that a job is about, with what the bench has noted, as plain data."""
    bench = Bench(device, apart)
    if device.startswith("cuda"):
        _choose_deterministic_kernels()
    try:
        verdict = _run(parse_job(dict(message)), bench)
    except Inconclusive as error:
        verdict = inconclusive(str(error))
    except BaseException as error:
        verdict = inconclusive(_failure(error, bounds_of(message)))
    return {
        "outcome": verdict.outcome,
        "summary": verdict.summary,
        "figures": verdict.figures,
        "assumptions": bench.assumptions,
        "stood_in": bench.stood_in,
    }


def _choose_deterministic_kernels() -> None:
    """Let convolutions sum in the same order on every run; CUDA is not woken by it."""
    import torch

    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def _run(job: Job, bench: Bench) -> Verdict:
    if not job.kind.isidentifier():
        raise Inconclusive(f"there is no kind of experiment {job.kind!r}")
    name = f"{kinds.__name__}.{job.kind}"
    try:
        kind = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise Inconclusive(f"there is no kind of experiment {job.kind!r}") from None
    with surroundings(bench, job.settings.get("options", {})):
        verdict = kind.run(job, bench)
    if not isinstance(verdict, Verdict):
        raise Inconclusive(f"the experiment {job.kind!r} gives no verdict")
    return verdict


def _failure(error: BaseException, bounds: Bounds) -> str:
    """An error in words; one that no line of the user's is part of is our own."""
    said = reason.of_error(error, bounds.paths, bounds.memory)
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, MemoryError) or not frames or any(frame.filename in bounds.paths for frame in frames):
        return said
    return f"internal error in {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}: {said}"
