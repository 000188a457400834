"""In which order the accused loader asks its data set for samples, and which samples it is given."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ..anything import Anything, is_missing
from ..bench import Bench
from ..building.prepared import generators_kept
from ..draws.alone import alone
from ..draws.fingerprints import fingerprint, first_samples, is_loader
from ..draws.loading import is_made_up, is_unread, present, rebuilt
from ..draws.other_seeds import other_seeds
from ..pairs.virtual_files import FOLDER, LINES, virtual_folders
from .record import Order
from .stand_in import StandIn, flat

MOST = 100_000
"""Samples of an epoch whose order is looked at."""

LOOKED_AT = 256
"""Samples of an epoch that are told apart, from its beginning."""

LAST = 32
"""Samples that are looked at from its end: data sets that reshuffle themselves do it there."""

PROCESSES = 2
"""Members of the process group in which a distributed sampler gives this process its share."""

LAUNCHED = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": str(PROCESSES), "LOCAL_WORLD_SIZE": str(PROCESSES)}
"""What a launcher tells the first of them."""

WANTED = {"redrawn": 1, "shuffled": 2}
"""Epochs that a control takes; others go through as many as the lines that they are compared to."""

CHECKS = ("stored-order", "repeated-order")
"""The checks that ask for orders."""

HOLDING = frozenset(("samples", "imgs", "data", "images"))
"""Attributes of torchvision's data sets by which a script may reorder what they hold."""


class Orders:
    """What is seen of the loaders that the watch ``loader`` has shown, and of the samplers of the watch ``sampler``.

    ``change`` says what is done differently for a control: ``shuffled`` builds the loader with ``shuffle=True``,
    ``told`` tells the sampler how often it was gone through, ``redrawn`` moves all seeds of the user's lines.
    """

    def __init__(self, bench: Bench, change: str, failed: Callable[[BaseException], str]) -> None:
        self._bench = bench
        self._change = change
        self._failed = failed
        self._loaders: list[Any] = []
        self._samplers: list[Any] = []
        self._passes = 0
        self._rounds: set[tuple[tuple[str, int], ...]] = set()
        self._wanted = 0
        self._tells_apart = False
        self._guessed = False

    @contextmanager
    def surroundings(self, settings: Mapping[str, Any]) -> Iterator[None]:
        """What the orders depend on beside the loader: the process group, if it is about one, and the seeds."""
        self._wanted = WANTED.get(self._change, int(settings.get("epochs", 0)))
        self._tells_apart = settings["check"] == "stored-order" and self._change != "shuffled"
        with ExitStack() as stack:
            if settings["check"] in CHECKS:
                stack.enter_context(virtual_folders(self._bench))
            if settings.get("distributed"):
                stack.enter_context(alone(self._bench, PROCESSES))
                stack.enter_context(_launched())
                stack.enter_context(_spread(self._bench))
            if self._change == "redrawn":
                stack.enter_context(other_seeds())
                self._bench.seed(1)
            yield

    def see(self, name: str, value: Any) -> Any:
        """Be shown the value of a watch; what is given back takes its place."""
        if name == "sampler":
            self._samplers.append(value)
        elif is_loader(value):
            value = rebuilt(value, shuffle=True) if self._change == "shuffled" else value
            self._loaders.append(value)
        return value

    @property
    def are_known(self) -> bool:
        """Whether all is seen that matters: the orders of as many epochs as it takes, of the only loader there is."""
        return len(self._loaders) == 1 and len(self._rounds) == self._wanted

    def of(self, loader: Any, rounds: Mapping[str, int]) -> Order | None:
        """The order of the pass that begins now; None if the loader is not one of those that were shown.

        ``rounds`` are those of the loops that are under way, as an event has them.
        """
        if not any(loader is each for each in self._loaders):
            return None
        if rounds:
            self._rounds.add(tuple(rounds.items()))
        sampler = loader.sampler
        if self._change == "told" and hasattr(sampler, "set_epoch"):
            sampler.set_epoch(self._passes)
        self._passes += 1
        indices: Sequence[int] = ()
        samples: tuple[str, ...] = ()
        unseen = ""
        try:
            indices = first_samples(loader, MOST)
            looked_at = [*indices[:LOOKED_AT], *indices[LOOKED_AT:][-LAST:]] if self._tells_apart else []
            samples = tuple(self._given(loader.dataset, index) for index in looked_at)
        except _Unseen as reason:
            unseen = str(reason)
        except Exception as error:
            unseen = self._failed(error)
        return Order(
            indices=tuple(indices),
            samples=samples,
            unseen=unseen,
            at_once=len(indices) <= (loader.batch_size or 0),
            made_up=self._is_made_up(loader.dataset),
            by_sampler=any(sampler is each for each in self._samplers),
        )

    def guess(self) -> None:
        """Note that a number was made up: that of the samples, if it was asked for."""
        self._guessed = True

    def _is_made_up(self, dataset: Any) -> bool:
        """Whether nobody knows how many samples there are; it is said then."""
        self._guessed = False
        count = len(dataset)
        if self._guessed:
            self._bench.stand_in(f"how many samples there are, by {count}")
        return self._guessed or is_made_up(dataset) or not {FOLDER, LINES}.isdisjoint(self._bench.stood_in)

    def _given(self, dataset: Any, index: int) -> str:
        """A text that tells which sample a data set gives, whatever chance does to it.

        Raises:
            _Unseen: it cannot be told.
        """
        leaf, name = _leaf(dataset, index)
        if is_unread(leaf):
            _require_own_order(leaf)
            return name
        with generators_kept():
            # With the same draws for all of them two looks at one sample are alike.
            self._bench.seed()
            try:
                sample = dataset[index]
            except FileNotFoundError as error:
                if error.filename is None:
                    raise
                self._bench.stand_in("the samples, by the names of their files")
                return f"the file {os.fspath(error.filename)!r}"
        if any(is_missing(part) or isinstance(part, StandIn) for part in flat([sample])):
            raise _Unseen("what the samples are made of is not there")
        return _digest(sample)


class _Unseen(Exception):
    """Which samples a data set gives is not seen; the message is the reason."""


def _leaf(dataset: Any, index: int) -> tuple[Any, str]:
    """The data set that a sample of subsets and concatenations comes from, and the place of the sample in it."""
    import torch

    data = torch.utils.data
    parts = ""
    while True:
        if isinstance(dataset, data.Subset):
            dataset, index = dataset.dataset, int(dataset.indices[index])
        elif isinstance(dataset, data.ConcatDataset):
            part = bisect_right(dataset.cumulative_sizes, index)
            index -= dataset.cumulative_sizes[part - 1] if part else 0
            dataset, parts = dataset.datasets[part], f"{parts}{part} "
        else:
            return dataset, f"{parts}{index}"


def _require_own_order(dataset: Any) -> None:
    """For a data set whose files are not there: one of torchvision gives the sample that it is asked for.

    Raises:
        _Unseen: it is another one, or the lines have asked for what it holds, and may have reordered it.
    """
    getter = next((each for each in type(dataset).__mro__[1:] if "__getitem__" in vars(each)), object)
    if not getter.__module__.startswith("torchvision."):
        raise _Unseen("the data set could not be read")
    if HOLDING & dataset.touched:
        raise _Unseen(f"the samples of {type(dataset).__name__} may be in another order: its files are not there")


def _digest(sample: Any) -> str:
    """A short text that tells a sample from others: by its numbers, its texts and its pictures."""
    told: list[Any] = sorted(fingerprint(sample).items())
    for part in flat([sample]):
        if isinstance(part, (str, bytes)):
            told.append(part)
        elif hasattr(part, "getbands"):
            told.append(hashlib.sha256(part.tobytes()).hexdigest())
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


@contextmanager
def _launched() -> Iterator[None]:
    """The environment and the process group, as a launcher of several processes has made them."""
    import torch

    before, was_there = dict(os.environ), torch.distributed.is_initialized
    os.environ.update({**LAUNCHED, **before})
    torch.distributed.is_initialized = lambda: True
    try:
        yield
    finally:
        torch.distributed.is_initialized = was_there
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _spread(bench: Bench) -> Iterator[None]:
    """Distributed samplers are built also where how many processes there are is asked of a package that is missing."""
    import torch

    kind = torch.utils.data.distributed.DistributedSampler
    build = kind.__init__

    def initialize(self: Any, dataset: Any, *args: Any, **kwargs: Any) -> None:
        given = {**dict(zip(("num_replicas", "rank", "shuffle", "seed", "drop_last"), args)), **kwargs}
        for name in [name for name, value in given.items() if isinstance(value, StandIn)]:
            bench.assume(f"the {name} of the sampler is its default")
            del given[name]
        build(self, present(Anything(dataset._name) if isinstance(dataset, StandIn) else dataset, bench), **given)

    kind.__init__ = initialize
    try:
        yield
    finally:
        kind.__init__ = build
