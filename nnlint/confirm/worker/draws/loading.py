"""Data sets and loaders whose files are not at hand: stand-ins are ordered and split in their place."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from ..anything import Anything, is_missing
from ..bench import Bench

SAMPLES = 997
"""How many samples a data set has that nobody knows: a prime, so that no batch size divides it."""

KNOWN = {
    "MNIST": (60_000, 10_000),
    "FashionMNIST": (60_000, 10_000),
    "KMNIST": (60_000, 10_000),
    "CIFAR10": (50_000, 10_000),
    "CIFAR100": (50_000, 10_000),
}
"""How many samples the data sets of torchvision have for training and for testing, by the name of the class."""

ORDER = ("shuffle", "sampler", "batch_sampler")
"""What decides the order of a loader; a loader that lacks it is no loader of the user's."""

LOADER = (
    *("dataset", "batch_size", *ORDER, "num_workers", "collate_fn", "pin_memory", "drop_last", "timeout"),
    *("worker_init_fn", "multiprocessing_context", "generator"),
)
"""The parameters of a loader that may be given by their place."""

OF_WORKERS = ("num_workers", "prefetch_factor", "persistent_workers", "timeout", "multiprocessing_context")
"""Parameters that are about worker processes."""


_workers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


class Unread:
    """A data set that could not be read: it has a length, and nothing is known of its samples."""

    length = SAMPLES

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        return Anything("the data set could not be read")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything("the data set could not be read")


def unread(count: int, kind: type = object) -> type:
    """The class of those data sets of a ``kind`` that could not be read and have ``count`` samples."""
    methods = {name: Unread.__dict__[name] for name in ("__len__", "__getitem__", "__getattr__")}
    return type(kind.__name__, (kind,), {**methods, "length": count})


def is_unread(dataset: Any) -> bool:
    """Whether a data set is a stand-in for one that could not be read."""
    return getattr(type(dataset), "__getitem__", None) is Unread.__getitem__


def workers_of(loader: Any) -> int:
    """How many worker processes the user wants a loader to have."""
    return _workers.get(loader, 0)


@contextmanager
def without_data(bench: Bench) -> Iterator[None]:
    """Loaders, splits and the data sets of torchvision are built also where there is nothing to read."""
    import torch

    data = torch.utils.data
    build, split = data.DataLoader.__init__, data.random_split

    def loader(self: Any, *args: Any, **kwargs: Any) -> None:
        given = {**dict(zip(LOADER, args)), **kwargs}
        for name in ORDER:
            if is_missing(given.get(name)):
                raise ValueError(f"the {name} of the loader is missing: {given[name]!r}")
        for name in [name for name, value in given.items() if is_missing(value) and name != "dataset"]:
            bench.assume(f"the {name} of a loader is its default")
            del given[name]
        given["dataset"] = present(given.get("dataset"), bench)
        # What the user's lines load on the way is loaded here: worker processes take long to start.
        _workers[self] = given.get("num_workers", 0)
        build(self, **{name: value for name, value in given.items() if name not in OF_WORKERS})
        self.worker_init_fn = given.get("worker_init_fn")

    def random_split(dataset: Any, lengths: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        count = sum(lengths)
        return split(present(dataset, bench, int(count) if count > 1 else SAMPLES), lengths, *args, **kwargs)

    with ExitStack() as stack:
        for owner, name, value in (
            (data.DataLoader, "__init__", loader),
            (data, "random_split", random_split),
            (data.dataset, "random_split", random_split),
            *((each, "__init__", _readable(each, bench)) for each in _torchvision_datasets()),
        ):
            own = name in vars(owner)
            stack.callback(*((setattr, owner, name, vars(owner)[name]) if own else (delattr, owner, name)))
            setattr(owner, name, value)
        yield


def present(dataset: Any, bench: Bench, count: int = SAMPLES) -> Any:
    """A data set as it is if it holds samples, or else a stand-in of ``count`` samples."""
    import torch

    if isinstance(dataset, torch.utils.data.IterableDataset):
        return dataset
    try:
        if not is_missing(dataset) and len(dataset) > 0:
            return dataset
    except Exception:
        pass
    bench.stand_in(f"a data set that could not be read, by {count:,} samples")
    stand_in = Unread()
    stand_in.length = count
    return stand_in


def _torchvision_datasets() -> list[Any]:
    """The data sets of torchvision that read files in their initializers."""
    datasets = getattr(sys.modules.get("torchvision"), "datasets", None)
    # Not by getattr: some names are imported when they are asked for, with all that they need.
    found = {} if datasets is None else vars(datasets)
    return [found[name] for name in found.get("__all__", ()) if isinstance(found.get(name), type)]


def _readable(kind: Any, bench: Bench) -> Any:
    original = kind.__init__

    def initialize(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            original(self, *args, **kwargs)
        except Exception:
            name = type(self).__name__
            train, test = KNOWN.get(name, (SAMPLES, SAMPLES))
            count = train if kwargs.get("train", args[1] if len(args) > 1 else True) else test
            bench.stand_in(f"the files of {name}, by {count:,} samples")
            self.__class__ = unread(count, type(self))

    return initialize
