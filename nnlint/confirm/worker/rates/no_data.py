"""No data are loaded: loaders yield missing values, and data sets that everybody knows have only their lengths."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..anything import Anything
from ..bench import Bench
from ..job import Job
from ..setting.torchvision_operators import load_torchvision

TRAIN_OR_TEST = {
    "MNIST": (60_000, 10_000),
    "FashionMNIST": (60_000, 10_000),
    "KMNIST": (60_000, 10_000),
    "CIFAR10": (50_000, 10_000),
    "CIFAR100": (50_000, 10_000),
}
"""Samples of those that are asked for with ``train``."""

SPLITS: dict[str, dict[str, int]] = {
    "SVHN": {"train": 73_257, "test": 26_032, "extra": 531_131},
    "STL10": {"train": 5_000, "test": 8_000, "unlabeled": 100_000, "train+unlabeled": 105_000},
    "ImageNet": {"train": 1_281_167, "val": 50_000},
    "CelebA": {"train": 162_770, "valid": 19_867, "test": 19_962, "all": 202_599},
}
"""Samples of those that are asked for with ``split``."""


@contextmanager
def without_data(job: Job, bench: Bench) -> Iterator[None]:
    """Loaders have lengths and yield no data; the data sets of torchvision need not be there to have theirs."""
    import torch

    loader = torch.utils.data.DataLoader
    before = loader.__iter__
    loader.__iter__ = _batches
    try:
        with _known_lengths(job, bench):
            yield
    finally:
        loader.__iter__ = before


def _batches(loader: Any) -> Iterator[Any]:
    """As many missing values as a loader has batches; none where that is not known."""
    try:
        number = len(loader)
    except (TypeError, NotImplementedError):
        return
    for _ in range(number):
        yield Anything("no data are loaded")


@contextmanager
def _known_lengths(job: Job, bench: Bench) -> Iterator[None]:
    """Without effect where torchvision is not used."""
    if not any("torchvision" in file.text for file in job.program.files):
        yield
        return
    try:
        load_torchvision()
        datasets: Any = importlib.import_module("torchvision.datasets")
    except Exception:
        # The user's lines will say what is wrong.
        yield
        return
    before = {name: getattr(datasets, name) for name in (*TRAIN_OR_TEST, *SPLITS) if hasattr(datasets, name)}
    for name in before:
        setattr(datasets, name, _stand_in(name, bench))
    try:
        yield
    finally:
        for name, cls in before.items():
            setattr(datasets, name, cls)


def _stand_in(name: str, bench: Bench) -> Any:
    import torch

    def length(args: tuple[Any, ...], given: Mapping[str, Any]) -> int:
        if name in TRAIN_OR_TEST:
            train = given.get("train", args[0] if args else True)
            return TRAIN_OR_TEST[name][0 if train else 1]
        return SPLITS[name][str(given.get("split", args[0] if args else "train"))]

    def initialize(self: Any, root: Any = None, *args: Any, **given: Any) -> None:
        self.length = length(args, given)
        bench.stand_in(f"the data set {name}, of which only its {self.length:,} samples are known")

    def getitem(self: Any, index: int) -> Any:
        raise LookupError(f"the data of {name} are not loaded")

    members = {"__init__": initialize, "__getitem__": getitem, "__len__": lambda self: self.length}
    return type(name, (torch.utils.data.Dataset,), members)
