"""The generators' states in the processes that load the samples."""

from __future__ import annotations

import os
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
    import torch

    try:
        probing = torch.utils.data.DataLoader(
            Probe(BATCHES),
            batch_size=1,
            num_workers=min(workers_of(loader), WORKERS),
            worker_init_fn=loader.worker_init_fn,
            generator=loader.generator,
            collate_fn=_first,
            timeout=20,
            multiprocessing_context="fork",
        )
        found = list(probing)
    except (OSError, RuntimeError, ValueError) as error:
        raise Inconclusive(f"worker processes cannot be started here: {str(error).partition(chr(10))[0]}") from error
    if any(each.pop("process") == str(os.getpid()) for each in found):
        raise Inconclusive("the samples were loaded in the main process")
    return found


def _first(samples: list[dict[str, str]]) -> dict[str, str]:
    return samples[0]
