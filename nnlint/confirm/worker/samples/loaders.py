"""The loaders of the user's script, built where there is nothing to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

from ..anything import is_missing, reason
from ..bench import Bench
from ..draws.alone import alone
from ..draws.fingerprints import is_loader
from ..draws.loading import given_to, without_data
from ..pairs.coded_pictures import Stage
from ..pairs.subjects import built, reach
from ..pairs.virtual_files import virtual_files
from ..program import Enough, Program
from ..setting.checkpoints import the_same_everywhere
from ..verdict import Inconclusive

BATCHES = 2
"""Batches that the user's lines get of a loader on the way, where they count or average something."""


@contextmanager
def stand_ins(stage: Stage, bench: Bench) -> Iterator[None]:
    """Files, data sets and checkpoints that are not there are stood in for; pictures show what is on the stage."""
    with ExitStack() as stack:
        for each in (virtual_files(stage, bench), without_data(bench), alone(bench), the_same_everywhere(bench)):
            stack.enter_context(each)
        yield


def loaders_of(program: Program, settings: Mapping[str, Any], bench: Bench) -> list[Any]:
    """The loaders that the watch ``loader`` has seen built, each as the user's lines have left it.

    Data sets of the class that the watch ``dataset`` sees are built as far as their initializers get.

    Raises:
        Inconclusive: there are none.
    """
    found: list[Any] = []

    def see(value: Any) -> Any:
        if is_loader(value):
            found.append(value)
        return value

    program.see["loader"] = see
    program.see["dataset"] = lambda cls: bearing(cls, bench)
    with _no_epochs(lambda: len(found) >= settings["which"][1]):
        reach(program, settings, bench)
    if not found:
        raise Inconclusive(program.why_missing() or "the loader is not built")
    return found


@contextmanager
def _no_epochs(done: Callable[[], bool]) -> Iterator[None]:
    """The user's lines get a few batches of a loader; once what matters is ``done``, the first loop ends the run."""
    import torch

    loader = torch.utils.data.DataLoader
    begin = loader.__iter__

    def __iter__(self: Any) -> Iterator[Any]:  # noqa: N807 # it stands in for that one
        if done():
            raise Enough
        return islice(begin(self), BATCHES)

    loader.__iter__ = __iter__
    try:
        yield
    finally:
        loader.__iter__ = begin


def meant(loaders: Sequence[Any], settings: Mapping[str, Any]) -> Any:
    """Of the loaders that one line builds the one that the finding is about: ``settings["which"]`` says which it is.

    Raises:
        Inconclusive: the line builds another number of loaders here.
    """
    place, count = settings["which"]
    if len(loaders) not in (1, count):
        raise Inconclusive(f"the line builds {len(loaders)} loaders here, and nobody knows which one is meant")
    return loaders[place if len(loaders) == count else 0]


def bearing(cls: Any, bench: Bench) -> Any:
    """A class whose objects are built as far as their initializers get; what is no class as it is."""
    if not isinstance(cls, type):
        return cls

    def build(*args: Any, **kwargs: Any) -> Any:
        return built(cls, args, kwargs, bench)

    return build


def dataset_of(loader: Any) -> Any:
    """The data set that the user's lines have given a loader.

    Raises:
        Inconclusive: it could not be had.
    """
    dataset = given_to(loader).get("dataset")
    if is_missing(dataset):
        raise Inconclusive(reason(dataset))
    return dataset
