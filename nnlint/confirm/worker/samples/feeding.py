"""What the user's lines feed a pretrained network, caught at its first layer: of pictures that are like ImageNet's."""

from __future__ import annotations

import inspect
import linecache
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..anything import Anything, decisions, is_missing, reason
from ..bench import Bench
from ..draws.alone import alone
from ..draws.fingerprints import is_loader
from ..draws.loading import without_data
from ..job import Job
from ..pairs.sightings import why
from ..pairs.subjects import item_of, reach
from ..pairs.virtual_files import virtual_files
from ..program import Enough, Program
from ..setting.downloads import PRETRAINED
from ..setting.torchvision_operators import load_torchvision
from ..verdict import Inconclusive
from .loaders import bearing, dataset_of, meant
from .photographs import Photograph, shown_by_torchvision

PICTURES = 16
"""Pictures in a batch: however they are cut, their mean is near that of all."""

BATCHES = 24
"""Batches of a loader: some scripts evaluate after ten or twenty."""

BLOCKS = 16
"""Blocks of one colour in the height of a picture: few enough to outlast a change of size."""

SCALING = re.compile(r"normal|transform|hook|preproc|mean|std", re.IGNORECASE)
"""What a line is about that may have a part in how pictures are scaled."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the colours in the pictures of ImageNet, by channel, of 0 to 1."""


class Typical(Photograph):
    """A stage that shows pictures whose colours have the mean and the standard deviation of ImageNet's."""

    def turn(self, number: int) -> None:
        """Show the picture of a number."""
        import torch

        self.number = number
        self.show(self.shown)
        side = max(self.height // BLOCKS, 8)
        rows, columns = -(-self.height // side), -(-self.width // side)
        noise = torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(11 + number))
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
        blocks = ((noise * std + mean) * 255).clamp(0, 255).to(torch.uint8)
        tall = blocks.repeat_interleave(side, 1).repeat_interleave(side, 2)
        self._colours = tall[:, : self.height, : self.width]


class Elsewhere(Exception):
    """The network is fed by another loader than the accused one, or there is more to come."""

    def __str__(self) -> str:
        return "what the network is fed here is not what is looked for"


@dataclass(frozen=True)
class Fed:
    """A pretrained network, and the pictures that its first layer was given: (…, channels, height, width)."""

    network: Any
    pictures: Any


def fed(job: Job, bench: Bench, size: tuple[int, int]) -> Fed:
    """Run the user's lines until pictures of the accused loader reach the first layer of the pretrained network.

    Args:
        job: the experiment.
        bench: learns what is stood in for.
        size: height and width of the pictures.

    Raises:
        Inconclusive: they do not, or what is missing decides what happens to them.
    """
    return _Feeding(job, bench, size).result()


class _Feeding:
    def __init__(self, job: Job, bench: Bench, size: tuple[int, int]) -> None:
        self.job = job
        self.bench = bench
        self.stage = Typical(size)
        self.program = Program(job.program, bench)
        self.networks: list[Any] = []
        self.loaders: list[Any] = []
        self.batches: dict[Any, list[Any]] = {}
        self.set_up: tuple[str, ...] | None = None
        """What had failed before the first batch."""
        self.arrived: list[Fed] = []
        self.current: Any = None
        """The loader that has given a batch last."""
        self.doubt: Callable[[], str] = lambda: ""
        """Tells why what arrives may not be what the whole script feeds."""
        self.failure = ""
        """Why nothing can be said of what arrives."""

    def result(self) -> Fed:
        if any("torchvision" in file.text for file in self.job.program.files):
            # What is not loaded cannot be stood in for.
            load_torchvision()
        see = self.program.see
        see["builder"], see["pretrained"], see["loader"] = self.untrained, self.with_eyes, self.note_loader
        see["dataset"] = lambda cls: bearing(cls, self.bench)
        self.bench.assume("pictures with the mean and standard deviation of ImageNet's")
        with ExitStack() as stack:
            for each in (virtual_files(self.stage, self.bench), without_data(self.bench), alone(self.bench)):
                stack.enter_context(each)
            stack.enter_context(shown_by_torchvision(self.stage))
            stack.enter_context(self.few_batches())
            self.bench.seed()
            reach(self.program, self.job.settings, self.bench)
        if self.failure or len(self.arrived) < 2:
            raise Inconclusive(self.failure or self.why_not())
        one, other = self.arrived
        if one.pictures.equal(other.pictures):
            raise Inconclusive("other pictures make no difference to what the first layer is given")
        return one

    def why_not(self) -> str:
        """Why nothing arrives."""
        missing = next((reason(network) for network in self.networks if is_missing(network)), "")
        return (
            missing
            or self.program.why_missing()
            or f"no picture reaches the first layer of {self.job.settings['model']}"
        )

    # --- the network -------------------------------------------------------------------------------------------------

    def untrained(self, create: Any) -> Any:
        """The function that builds the network, without its weights."""

        def build(*args: Any, **kwargs: Any) -> Any:
            given = inspect.signature(create).bind(*args, **kwargs)
            given.arguments["pretrained"] = False
            self.bench.stand_in(f"{PRETRAINED} ({self.job.settings['model']}), which are not downloaded")
            return create(*given.args, **given.kwargs)

        return create if is_missing(create) else build

    def with_eyes(self, network: Any) -> Any:
        """The network, its first layer watched."""
        import torch

        self.networks.append(network)
        if isinstance(network, torch.nn.Module):
            first, *others = [each for each in network.modules() if isinstance(each, torch.nn.Conv2d)] or [None]
            if first is not None:
                first.register_forward_pre_hook(lambda _, given: self.arrive(network, given[0]))
            for each in others:
                each.register_forward_pre_hook(lambda *_: self.pass_by())
        return network

    def pass_by(self) -> None:
        """Be told that the network computes something without its first layer."""
        self.failure = f"what the first layer of {self.job.settings['model']} was is not its first layer any more"
        raise Enough

    def arrive(self, network: Any, pictures: Any) -> None:
        """Be shown what the first layer is given, in two batches; what the network makes of it is never computed.

        Raises:
            Enough: it has been given the second batch of the accused loader.
            Elsewhere: there is one more to come.
        """
        if not self.is_accused(self.current):
            raise Elsewhere
        self.failure = self.doubt()
        if self.failure:
            raise Enough
        self.arrived.append(Fed(network, pictures.detach().cpu().double()))
        raise Enough if len(self.arrived) == 2 else Elsewhere

    def doubted(self, lost: int, *unknown: list[str]) -> str:
        """Why what arrives may not be what the whole script feeds: what failed or is missing on the way; or empty.

        Args:
            lost: how many lines had failed when the batch began.
            unknown: what is missing and has a part in it since.
        """
        prepared = (loss for loss in self.set_up or () if SCALING.search(self.line_of(loss)))
        failed = next(iter((*self.program.losses[lost:], *prepared)), "")
        if failed:
            return f"what may change the pictures failed: {failed}"
        missing = [each for part in unknown for each in part]
        return f"{missing[0]}, and nobody knows what it does to the pictures" if missing else ""

    def line_of(self, loss: str) -> str:
        """The line that a loss is of: ``train.py:12: ValueError: …``."""
        name, _, rest = loss.partition(":")
        row = rest.partition(":")[0]
        path = next((file.path for file in self.job.program.files if os.path.basename(file.path) == name), "")
        return linecache.getline(path, int(row)) if path and row.isdigit() else ""

    # --- the loaders -------------------------------------------------------------------------------------------------

    def note_loader(self, value: Any) -> Any:
        """Remember a loader that is built where the accused one is."""
        if is_loader(value):
            self.loaders.append(value)
        return value

    def is_accused(self, loader: Any) -> bool:
        """Whether a loader is the one that the finding is about."""
        if "which" not in self.job.settings:
            return True
        return loader is meant(self.loaders, self.job.settings)

    @contextmanager
    def few_batches(self) -> Iterator[None]:
        """Loaders have two batches in turn."""
        import torch

        kind = torch.utils.data.DataLoader
        begin = kind.__iter__

        def __iter__(loader: Any) -> Iterator[Any]:  # noqa: N807 # it stands in for that one
            if loader not in self.batches:
                self.batches[loader] = [self.batch_of(loader, first) for first in (0, PICTURES)]
            if self.set_up is None:
                self.set_up = tuple(self.program.losses)
            for number in range(BATCHES):
                self.current = loader
                lost = len(self.program.losses)
                with decisions() as decided, given_away() as unknown:
                    self.doubt = partial(self.doubted, lost, decided, unknown)
                    self.bench.seed()
                    yield self.batches[loader][number % 2]

        kind.__iter__ = __iter__
        try:
            yield
        finally:
            kind.__iter__ = begin

    def batch_of(self, loader: Any, first: int) -> Any:
        """A batch of samples, each of another picture, from the picture of a number on."""
        try:
            dataset = dataset_of(loader)
            with decisions() as decided:
                samples = [self.sample(dataset, number, first + number) for number in range(PICTURES)]
            if decided:
                raise Inconclusive(f"{decided[0]}, and it decides what happens to a picture")
            return loader.collate_fn(samples) if loader.batch_size else samples[0]
        except Exception as error:
            if self.is_accused(loader):
                self.failure = str(error) if isinstance(error, Inconclusive) else why(self.program, error)
                raise Enough from error
            raise

    def sample(self, dataset: Any, number: int, picture: int) -> Any:
        """A sample of a picture, drawn from the same state whenever its number is asked for."""
        self.stage.turn(picture)
        self.bench.seed(number)
        sample = item_of(dataset, number)
        if is_missing(sample):
            raise Inconclusive(reason(sample))
        return sample


@contextmanager
def given_away() -> Iterator[list[str]]:
    """The reasons of missing functions that are given tensors meanwhile."""
    import torch

    found: list[str] = []
    call = Anything.__call__

    def noted(self: Anything, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(each, torch.Tensor) for each in (*args, *kwargs.values())):
            found.append(reason(self))
        return call(self, *args, **kwargs)

    Anything.__call__ = noted  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Anything.__call__ = call  # type: ignore[method-assign]
