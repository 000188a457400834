"""How are the pictures scaled that reach the first layer of a pretrained network?

Settings:
    model: what the network is called.
    expected: the mean and standard deviation of its pretraining, by channel; None where only the network knows them.
    given: those that the finding says the pictures are normalized with; None for pictures between 0 and 1.
    which: of the loaders that are built at the watch ``loader`` the one that is meant, and how many there are.

The script, or the function that the entry names, is run until the network that the watch ``pretrained`` sees built is
fed: with the initial weights, and with pictures like ImageNet's in the place of those that are not there. The control
is the same input normalized as in the pretraining, which must have about the mean and the standard deviation that
these pictures have then: 0 and 1, if it was ImageNet's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..bench import Bench
from ..job import Job
from ..pairs.coded_pictures import SIZES
from ..samples.feeding import MEAN, STD, Fed, fed
from ..verdict import Inconclusive, Verdict, confirmed, refuted

SMALL = re.compile(r"\b(size|crop|small|large)", re.IGNORECASE)
"""What failures speak of where pictures are too small."""

NEAR = 0.5, 0.65, 1.5
"""How far the mean may be from the healthy one, in its standard deviations, and between which shares of that the
standard deviation must lie, for pictures that are normalized: on their way they are cut and blurred."""

FAR = 1.0, 0.55, 1.8
"""The same for those that are not: beyond the one, or outside of the others."""


def run(job: Job, bench: Bench) -> Verdict:
    """Feed the network, and look at the numbers; with larger pictures where those are too small for the lines."""
    small, large = SIZES[1::2]
    try:
        return _judged(fed(job, bench, small), job)
    except Inconclusive as failure:
        if SMALL.search(str(failure)) is None:
            raise
    return _judged(fed(job, bench, large), job)


@dataclass(frozen=True)
class _Scale:
    """Mean and standard deviation of pictures, by channel."""

    mean: Any
    std: Any

    def is_near(self, healthy: _Scale) -> bool:
        """Whether pictures are scaled like healthy ones."""
        most, small, large = NEAR
        return self.off(healthy) <= most and small <= self.share(healthy) <= large

    def is_far(self, healthy: _Scale) -> bool:
        """Whether they certainly are not."""
        most, small, large = FAR
        return self.off(healthy) > most or not small <= self.share(healthy) <= large

    def off(self, healthy: _Scale) -> float:
        """How far the mean is from the healthy one, in its standard deviations."""
        return abs(float(self.mean.mean() - healthy.mean.mean())) / float(healthy.std.mean())

    def share(self, healthy: _Scale) -> float:
        """The standard deviation in units of the healthy one."""
        return float(self.std.mean() / healthy.std.mean())

    def words(self) -> str:
        """Both in words."""
        return f"mean {float(self.mean.mean()):.2f} and standard deviation {float(self.std.mean()):.2f}"


def _judged(batch: Fed, job: Job) -> Verdict:
    mean, std = _by_channel(_expected(batch, job), batch.pictures)
    shown = _by_channel((MEAN, STD), batch.pictures)
    healthy = _Scale((shown[0] - mean) / std, shown[1] / std)
    raw = batch.pictures
    if job.settings["given"] is not None:
        given = _by_channel(job.settings["given"], raw)
        raw = raw * given[1] + given[0]
    arrived, control = _scale(batch.pictures), _scale((raw - mean) / std)
    least, most = float(batch.pictures.min()), float(batch.pictures.max())
    figures = {
        "mean": _rounded(arrived.mean),
        "std": _rounded(arrived.std),
        "range": [round(least, 4), round(most, 4)],
    }
    where = f"pictures like ImageNet's reach the first layer of {job.settings['model']}"
    if arrived.is_near(healthy):
        return refuted(f"{where} normalized, with {arrived.words()}", **figures)
    said = f"{where} with {arrived.words()}, between {least:.2f} and {most:.2f}"
    if not arrived.is_far(healthy):
        raise Inconclusive(f"{said}, which is near to what they should have")
    if not control.is_near(healthy):
        raise Inconclusive(f"{said}, and normalized as in its pretraining they would still have {control.words()}")
    return confirmed(
        f"{said}; normalized as in its pretraining they would have {control.words()}",
        **figures,
        control_mean=_rounded(control.mean),
        control_std=_rounded(control.std),
    )


def _expected(batch: Fed, job: Job) -> Any:
    """The mean and standard deviation of the pretraining.

    Raises:
        Inconclusive: the network does not say.
    """
    if job.settings["expected"] is not None:
        return job.settings["expected"]
    configuration = getattr(batch.network, "pretrained_cfg", None) or getattr(batch.network, "default_cfg", None) or {}
    statistics = [configuration.get(name) for name in ("mean", "std")]
    if None in statistics:
        raise Inconclusive(f"what {job.settings['model']} was pretrained with is not known")
    return statistics


def _by_channel(statistics: Any, pictures: Any) -> tuple[Any, Any]:
    """A mean and a standard deviation to go with pictures (…, channels, height, width)."""
    import torch

    found = [torch.tensor(each, dtype=pictures.dtype) for each in statistics]
    fitting = [each if len(each) == pictures.shape[-3] else each.mean() for each in found]
    return fitting[0].reshape(-1, 1, 1), fitting[1].reshape(-1, 1, 1)


def _scale(pictures: Any) -> _Scale:
    by_channel = pictures.movedim(-3, 0).flatten(1)
    return _Scale(by_channel.mean(1), by_channel.std(1))


def _rounded(numbers: Any) -> list[float]:
    return [round(float(each), 4) for each in numbers]
