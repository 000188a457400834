"""Data sets and loaders whose files are not at hand: stand-ins are ordered and split in their place."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from ..anything import Anything, is_missing
from ..bench import Bench
from ..setting.replacement import replaced

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

PAIRED = ("Cityscapes", "VOCSegmentation", "SBDataset")
"""The data sets of torchvision whose target is a picture too."""

ORDER = ("shuffle", "sampler", "batch_sampler")
"""What decides the order of a loader; a loader that lacks it is no loader of the user's."""

LOADER = (
    *("dataset", "batch_size", *ORDER, "num_workers", "collate_fn", "pin_memory", "drop_last", "timeout"),
    *("worker_init_fn", "multiprocessing_context", "generator"),
)
"""The parameters of a loader that may be given by their place."""

OF_WORKERS = ("num_workers", "prefetch_factor", "persistent_workers", "timeout", "multiprocessing_context")
"""Parameters that are about worker processes."""


_given: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()
"""What the user's lines have given each loader, by parameter."""


class Unread:
    """A data set that could not be read: it has a length, and nothing is known of its samples."""

    length = SAMPLES
    made_up = True
    """Whether nobody knows the length."""

    @property
    def touched(self) -> set[str]:
        """The attributes that were assigned, or asked for in vain, since it was built."""
        found: set[str] = vars(self).setdefault("_touched", set())
        return found

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        return Anything("the data set could not be read")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.touched.add(name)
        return Anything("the data set could not be read")

    def __setattr__(self, name: str, value: object) -> None:
        self.touched.add(name)
        object.__setattr__(self, name, value)


METHODS = ("touched", "__len__", "__getitem__", "__getattr__", "__setattr__")
"""What a data set that could not be read has of :class:`Unread`."""


def unread(count: int, kind: type = object, *, made_up: bool = True) -> type:
    """The class of those data sets of a ``kind`` that could not be read and have ``count`` samples."""
    methods = {name: Unread.__dict__[name] for name in METHODS}
    return type(kind.__name__, (kind,), {**methods, "length": count, "made_up": made_up})


def is_unread(dataset: Any) -> bool:
    """Whether a data set is a stand-in for one that could not be read."""
    return getattr(type(dataset), "__getitem__", None) is Unread.__getitem__


def is_made_up(dataset: Any) -> bool:
    """Whether nobody knows how many samples a data set has: it is a stand-in, or made of one."""
    if is_missing(dataset):
        return True
    if is_unread(dataset):
        return bool(dataset.made_up)
    parts = [*getattr(dataset, "datasets", ()), getattr(dataset, "dataset", None)]
    return any(is_made_up(part) for part in parts if part is not None)


def workers_of(loader: Any) -> int:
    """How many worker processes the user wants a loader to have."""
    return int(given_to(loader).get("num_workers", 0))


def given_to(loader: Any) -> Mapping[str, Any]:
    """What the user's lines have given a loader, by parameter; what is missing in it is left out, but for the data."""
    return _given.get(loader, {})


def rebuilt(loader: Any, **changes: Any) -> Any:
    """A loader of torch with other arguments; one of the user's own class as it is."""
    import torch

    if type(loader) is not torch.utils.data.DataLoader:
        return loader
    given = {name: value for name, value in given_to(loader).items() if name not in OF_WORKERS}
    return torch.utils.data.DataLoader(**{**given, "dataset": loader.dataset, **changes})


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
        _given[self] = dict(given)
        given["dataset"] = present(given.get("dataset"), bench)
        # What the user's lines load on the way is loaded here: worker processes take long to start.
        build(self, **{name: value for name, value in given.items() if name not in OF_WORKERS})
        self.worker_init_fn = given.get("worker_init_fn")

    def random_split(dataset: Any, lengths: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        count = sum(lengths)
        return split(present(dataset, bench, int(count) if count > 1 else None), lengths, *args, **kwargs)

    replacements = (
        (data.DataLoader, "__init__", loader),
        (data, "random_split", random_split),
        (data.dataset, "random_split", random_split),
        *((each, "__init__", _readable(each, bench)) for each in torchvision_datasets()),
    )
    with replaced(replacements):
        yield


def present(dataset: Any, bench: Bench, count: int | None = None) -> Any:
    """A data set as it is if it holds samples, or else a stand-in of ``count`` samples, if that is known."""
    import torch

    if isinstance(dataset, torch.utils.data.IterableDataset):
        return dataset
    try:
        if not is_missing(dataset) and len(dataset) > 0:
            return dataset
    except Exception:
        pass
    stand_in = unread(SAMPLES if count is None else count, made_up=count is None)()
    bench.stand_in(f"a data set that could not be read, by {len(stand_in):,} samples")
    return stand_in


def torchvision_datasets() -> list[Any]:
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
            self.__class__ = unread(count, type(self), made_up=name not in KNOWN)
        if is_unread(self):
            # What initializers of classes above have done was not the user's doing.
            for attribute in [each for each, value in vars(self).items() if is_missing(value)]:
                object.__delattr__(self, attribute)
            self.touched.clear()

    return initialize
