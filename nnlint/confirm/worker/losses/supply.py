"""What stands in for the tensors and numbers that nobody gives: the same in every run, larger or smaller on request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..bench import SEED
from ..building.guessing import BATCH, STEPS, NoGuess, guess
from .demands import Demand

CLASSES = 11
"""Scores of an example: no size that stands for anything else here."""

RESULT = "(…)"
"""What the path of the result of a call has in it."""

UNKNOWN = "…"
"""The name of what could not be set up; its path goes on with the reason, in a line of its own."""

BATCHES = "batches"
"""The name of what loaders give that have no data."""

_NUMBERS = re.compile(
    r"(^|\.)(cfg|config\w*|conf|args?|opts?|options?|hparams|params?|hps?|settings|flags?)(\.|\[)[^(]*$|"
    r"^self\.[^(]*$|(^|[._])(lr|epochs?|steps?|coe?f\w*|lambda\w*|lam|alpha|beta|gamma|rho|eps|tau|temperature|sigma|"
    r"weight|scale|factor|margin|horizon|num_\w+|n_\w+|max_\w+|min_\w+|acc|accum\w*|[a-z_]*_(coef|weight|size|dim|len))$",
    re.IGNORECASE,
)
"""Names of settings: numbers rather than tensors."""

_IMAGES = re.compile(r"image|img|frame|video|pixel|photo|picture", re.IGNORECASE)
_SHARES = re.compile(r"prob|simil|ssim|iou|dice|cosine|mask|confidence|opacit|accura", re.IGNORECASE)
"""Names of what lies in [0, 1]."""

_ROUNDS = re.compile(r"horizon|unroll|rollout|rounds|iters?$|iterations", re.IGNORECASE)
_POINTS = re.compile(r"point|xyz|coord|vert(ex|ices)|joints?|normals", re.IGNORECASE)


@dataclass
class Supplied:
    """A tensor that was supplied: its name, where it comes from, what was demanded, the leaf of the graph."""

    name: str
    path: str
    demand: Demand
    leaf: Any


class Supply:
    """The source of all stand-ins of one run.

    Args:
        shape: the shape of tensors of which nothing is known.
        side: height and width of images.
        classes: whether what is named like labels holds classes where nothing else tells.
        named: whether what is named like images or points has their shapes where nothing else tells.
        present: whether what may be missing is there: entries of mappings, attributes that are None at first.
        only_results: whether arguments and batches are data, and only what a call gives begins a graph of gradients.
        accepted: whether models are given tensors of the shapes that they accept, rather than of ``shape``.
        scale: what free tensors are multiplied with.
        held: values from an earlier run that tensors have instead, by the order in which they are supplied.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        side: int,
        classes: bool,
        named: bool = False,
        present: bool = False,
        only_results: bool = False,
        accepted: bool = False,
        scale: float = 1.0,
        held: dict[int, Any] | None = None,
    ) -> None:
        import torch

        self.shape = shape
        self.side = side
        self.classes = classes
        self.named = named
        self.present = present
        self.only_results = only_results
        self.accepted = accepted
        self.scale = scale
        self.batch = BATCH
        self.steps = STEPS
        self.class_count = CLASSES
        self.tensors: list[Supplied] = []
        self.numbers: dict[str, float] = {}
        self.sizes: dict[str, int] = {}
        self.failures: list[str] = []
        """Failures of the user's lines that something was supplied for."""
        self._held = held or {}
        self._generator = torch.Generator().manual_seed(SEED)

    @property
    def takes_factors_for_granted(self) -> bool:
        """Whether a loss may be larger than it is here only because a factor of it is not known."""
        return bool(self.numbers) or any(each.demand.kind == "ones" for each in self.tensors)

    def mark(self) -> tuple[int, ...]:
        """How much was supplied until now."""
        return tuple(map(len, (self.tensors, self.numbers, self.sizes, self.failures)))

    def forget(self, mark: tuple[int, ...]) -> None:
        """Forget what was supplied after ``mark``: it came to nothing."""
        tensors, numbers, sizes, failures = mark
        del self.tensors[tensors:], self.failures[failures:]
        for known, count in ((self.numbers, numbers), (self.sizes, sizes)):
            for name in list(known)[count:]:
                del known[name]

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor of which nothing but its name is known."""
        if self.named and _IMAGES.search(name):
            return self.batch, 3, self.side, self.side
        if self.named and _POINTS.search(name):
            return self.batch, self.steps, 3
        return self.shape

    @property
    def shape_of_classes(self) -> tuple[int, ...]:
        """The shape of the classes that go with scores: one for each place of an image, each element of a sequence."""
        return self.shape[:-1] if len(self.shape) == 3 else self.shape[:1] + self.shape[2:]

    def is_number(self, name: str) -> bool:
        """Whether something of this name is a setting rather than a tensor."""
        return _NUMBERS.search(name) is not None

    def number(self, name: str, why: str) -> float:
        """A number that is as good as any other."""
        self.failures += [why] if why else []
        return self.numbers.setdefault(name, 1)

    def size(self, name: str, otherwise: int = 1) -> int:
        """A size, by its name, or ``otherwise`` where that says nothing; rounds are few."""
        if _ROUNDS.search(name):
            return self.sizes.setdefault(name, 2)
        try:
            guessed = guess(re.split(r"[.\[\]']+", name.strip("]'"))[-1] or name, "", 0, {})
        except NoGuess:
            guessed = otherwise
        return self.sizes.setdefault(name, guessed if type(guessed) is int else otherwise)

    def tensor(self, name: str, path: str, demand: Demand, why: str = "") -> Any:
        """A tensor as demanded; those of real numbers begin a graph of gradients."""
        import torch

        self.failures += [why] if why else []
        if demand.kind == "free" and _SHARES.search(name):
            demand = Demand(demand.shape, "share")
        number = len(self.tensors)
        value = self._held.get(number)
        if value is None or tuple(value.shape) != demand.shape:
            value = self._drawn(demand)
        value = value.detach().clone()
        is_data = self.only_results and RESULT not in path
        if value.is_floating_point() and demand.kind != "ones" and not is_data:
            value.requires_grad_()
        self.tensors.append(Supplied(name, path, demand, value))
        # What the lines change in place must be no leaf.
        with torch.enable_grad():
            return value * 1 if value.requires_grad else value.clone()

    def _drawn(self, demand: Demand) -> Any:
        import torch

        shape, kind = demand.shape, demand.kind
        noise = torch.randn(shape, generator=self._generator)
        if kind == "classes":
            below = demand.classes or self.class_count
            return torch.randint(below, shape, generator=self._generator)
        if kind == "flags":
            return noise > -1
        if kind == "ones":
            return torch.ones(shape)
        noise = noise * self.scale
        if kind in ("share", "presumed"):
            return torch.sigmoid(noise)
        if kind == "positive":
            return noise.abs() + 1e-3
        if kind == "logs":
            return torch.log_softmax(noise, -1)
        if kind == "shares":
            return torch.softmax(noise, -1)
        return noise
