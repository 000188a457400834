"""What a data set draws in the processes that load its samples: the numbers of one beside those of another.

Settings:
    what: what is drawn from, in words.
    in place: whether what is drawn is seen before it is shuffled.
    global: whether it is numpy's global generator.
    which: of the loaders that are built at the watch ``loader`` the one that is meant, and how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..anything import decisions, is_missing, reason
from ..bench import Bench
from ..draws.generators import start
from ..draws.loading import given_to, is_unread, workers_of
from ..draws.sample_loading import WORKERS, loaded_in_workers, worker_number
from ..job import Job
from ..pairs.coded_pictures import SIZES, Stage
from ..pairs.sightings import why
from ..pairs.subjects import item_of
from ..pairs.virtual_files import virtual_files
from ..program import Program
from ..verdict import Inconclusive, Verdict, confirmed, refuted
from .drawing import APART, OWN, TOGETHER, Drawing
from .loaders import dataset_of, loaders_of, meant, stand_ins

SAMPLES = 16
"""Samples that each worker loads: as many tosses of a coin come out alike once in 65,536 times."""

FEWEST = 8
"""Draws of each worker that must be seen."""

TOLD = 3
"""Numbers that are repeated in words."""


@dataclass(frozen=True)
class Beside:
    """The draws of two workers, in the order in which each makes them.

    Attributes:
        draws: of each worker; as many as the one that makes fewer.
        begun: those of the second worker that begin in a state in which some draw of the first begins.
        equal: those that come out alike.
        numbers: what is drawn first in each worker, where that is a number.
    """

    draws: int
    begun: int
    equal: int
    numbers: list[list[str]]


def verdict_on_workers(job: Job, bench: Bench) -> Verdict:
    """Confirmed if two workers draw the same, and would not if their states were apart; refuted if they share none."""
    import torch

    # Here, that it is not compiled in another process.
    Program(job.program, bench)
    result = bench.apart(lambda: _loaded(job, bench))
    for note in result["assumptions"]:
        bench.assume(note)
    for note in result["stood_in"]:
        bench.stand_in(note)
    own, apart, together = (Beside(**result[each]) for each in (OWN, APART, TOGETHER))
    version = str(torch.__version__).partition("+")[0]
    if job.settings["global"]:
        bench.assume(f"torch {version}, though the project asks for one below 1.9")
    figures = {**asdict(own), "workers": WORKERS, "equal_if_apart": apart.equal, "torch": version}
    if own.draws < FEWEST:
        what = job.settings["what"]
        raise Inconclusive(result["failed"] or f"{SAMPLES} samples draw from {what} only {own.draws} times")
    if result["decided"]:
        raise Inconclusive(f"{result['decided']}, and it decides what is drawn for a sample")
    if own.begun == own.equal == own.draws and apart.equal < apart.draws:
        listed = f" ({', '.join(own.numbers[0])}, …)" if own.numbers else ""
        again = ", and make them again in the next epoch" if result["again"] else ""
        return confirmed(
            f"two workers make the same {own.draws} draws{listed}{again}; where each has a seed of its own, "
            f"{apart.draws - apart.equal} of {apart.draws} differ",
            **figures,
            again=result["again"],
        )
    if own.begun == 0 and own.equal < own.draws and together.equal == together.draws > 0:
        return refuted(
            f"with torch {version} none of the {own.draws} draws of a worker starts from a state that the other worker "
            f"is in; where both have the same seed, all {together.draws} are the same",
            **figures,
        )
    raise Inconclusive(
        f"{own.begun} of the {own.draws} draws of a worker start from a state that the other worker is in, and "
        f"{own.equal} are the same; where each has a seed of its own, {apart.equal} are"
    )


def _loaded(job: Job, bench: Bench) -> dict[str, Any]:
    """The draws of two workers, in each of the states; to be done in a process of its own."""
    program = Program(job.program, bench)
    program.replaced.update(start(1, bench.device).modules)
    stage = Stage(SIZES[0])
    with stand_ins(stage, bench):
        loader = _with_workers(meant(loaders_of(program, job.settings, bench), job.settings), bench)
    drawing = Drawing(program, in_place=job.settings["in place"], of_numpy=job.settings["global"])
    bench.seed()
    with virtual_files(stage, bench):
        samples = _samples(loader, (OWN, APART, TOGETHER), program, drawing)
        next_epoch = _samples(loader, (OWN,), program, drawing)
    lasting = given_to(loader).get("persistent_workers")
    return {
        **{states: asdict(_beside(samples, states)) for states in (OWN, APART, TOGETHER)},
        "again": not lasting and _draws(samples, OWN, 0) == _draws(next_epoch, OWN, 0),
        "failed": next((each["failed"] for each in samples if each["failed"]), program.why_missing()),
        "decided": next((each["decided"] for each in samples if each["decided"]), ""),
        "assumptions": bench.assumptions,
        "stood_in": bench.stood_in,
    }


def _with_workers(loader: Any, bench: Bench) -> Any:
    """A loader, if it has several workers and a data set that can be asked.

    Raises:
        Inconclusive: it has not.
    """
    if any("num_workers" in note for note in bench.assumptions):
        raise Inconclusive("the number of workers is missing")
    if workers_of(loader) < 2:
        raise Inconclusive(f"num_workers is {workers_of(loader)} here")
    if is_unread(dataset_of(loader)):
        raise Inconclusive("the data set could not be read")
    return loader


def _beside(samples: Sequence[Mapping[str, Any]], states: str) -> Beside:
    both = [_draws(samples, states, worker) for worker in range(WORKERS)]
    count = min(map(len, both))
    one, other = (each[:count] for each in both)
    begun = {draw["state"] for draw in one}
    spoken = [[draw["number"] for draw in each[:TOLD]] for each in (one, other)]
    return Beside(
        count,
        sum(draw["state"] in begun for draw in other),
        sum(first["value"] == second["value"] != "" for first, second in zip(one, other)),
        spoken if count and all(map(all, spoken)) else [],
    )


def _draws(samples: Sequence[Mapping[str, Any]], states: str, worker: int) -> list[dict[str, str]]:
    meant = (each for each in samples if (each["states"], each["worker"]) == (states, worker))
    return [draw for sample in meant for draw in sample["draws"]]


# --- in the workers --------------------------------------------------------------------------------------------------


def _samples(loader: Any, states: Sequence[str], program: Program, drawing: Drawing) -> list[dict[str, Any]]:
    """What workers draw for their samples, :data:`SAMPLES` each in one of the ``states`` after the other."""
    import torch

    dataset = dataset_of(loader)

    class Samples:
        def __len__(self) -> int:
            return SAMPLES * WORKERS * len(states)

        def __getitem__(self, number: int) -> dict[str, Any]:
            which, index = divmod(number, SAMPLES * WORKERS)
            return _told(lambda: _item(dataset, index), states[which], program, drawing)

    class Stream(torch.utils.data.IterableDataset):  # type: ignore[misc,unused-ignore] # torch is not read by it
        def __iter__(self) -> Iterator[dict[str, Any]]:
            for each in states:
                samples = iter(dataset)
                for _ in range(SAMPLES):
                    yield _told(lambda: next(samples), each, program, drawing)  # noqa: B023 # it is called at once

    watched = Stream() if isinstance(dataset, torch.utils.data.IterableDataset) else Samples()
    return loaded_in_workers(watched, loader, dataset)


def _item(dataset: Any, index: int) -> Any:
    """A sample of a data set, also of one that has fewer."""
    length = len(dataset) if hasattr(dataset, "__len__") else 0
    return dataset[index % length] if length else item_of(dataset, index)


def _told(load: Callable[[], Any], states: str, program: Program, drawing: Drawing) -> dict[str, Any]:
    """What is drawn while a sample is loaded, in which worker, and why it could not be had if it could not."""
    drawing.begin(states, worker_number())
    failed = ""
    with decisions() as decided:
        try:
            sample = load()
            failed = reason(sample) if is_missing(sample) else ""
        except Exception as error:
            failed = why(program, error)
    return {
        "states": states,
        "worker": worker_number(),
        "draws": drawing.draws(),
        "failed": drawing.missing or failed,
        "decided": "".join(decided[:1]),
    }
