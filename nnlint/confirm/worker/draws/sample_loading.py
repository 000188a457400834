"""Samples loaded by worker processes, and the generators' states that they find there."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from ..verdict import Inconclusive
from .generators import states
from .loading import workers_of

WORKERS = 2
"""Worker processes that are started, however many the user's loader has: each is seeded by its number."""

BATCHES = 4
"""Batches that are asked for."""


class Probe:
    """A data set whose samples are the states of the generators where they are loaded, and the process that is."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> dict[str, str]:
        return {**states(), "process": str(os.getpid())}


def states_in_workers(loader: Any) -> list[dict[str, str]]:
    """The states that the first samples of an epoch find, loaded as ``loader`` would have them loaded.

    Raises:
        Inconclusive: worker processes cannot be started here.
    """
    found = loaded_in_workers(Probe(BATCHES), loader, loader.dataset, min(workers_of(loader), WORKERS))
    if any(each.pop("process") == str(os.getpid()) for each in found):
        raise Inconclusive("the samples were loaded in the main process")
    return found


def loaded_in_workers(dataset: Any, loader: Any, told: Any, workers: int = WORKERS) -> list[Any]:
    """The samples of a data set in their order, loaded by processes that begin as those of ``loader`` would.

    Args:
        dataset: what is asked for samples.
        loader: the user's.
        told: the data set that the user's lines find where they ask what worker they are in.
        workers: how many processes load.

    Raises:
        Inconclusive: worker processes cannot be started here.
    """
    import torch

    try:
        loading = torch.utils.data.DataLoader(
            dataset,
            batch_size=1,
            num_workers=workers,
            worker_init_fn=partial(_begin, loader.worker_init_fn, told),
            generator=loader.generator,
            collate_fn=_first,
            timeout=20,
            multiprocessing_context="fork",
        )
        return list(loading)
    except (OSError, RuntimeError, ValueError) as error:
        raise Inconclusive(f"worker processes cannot be started here: {str(error).partition(chr(10))[0]}") from error


def worker_number() -> int:
    """The number of the worker that this process is; 0 in the main process."""
    import torch

    info = torch.utils.data.get_worker_info()
    return 0 if info is None else int(info.id)


def _begin(function: Callable[[int], Any] | None, told: Any, worker: int) -> None:
    """Begin as a worker of the user's does."""
    import torch

    object.__setattr__(torch.utils.data.get_worker_info(), "dataset", told)
    if function is not None:
        function(worker)


def _first(samples: list[Any]) -> Any:
    return samples[0]
