"""Other numbers than the user's lines would draw: every seed that they set is another one."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ..bench import SEED
from ..setting.replacement import replaced

FURTHER = 1_000_003
"""What is added to a seed."""


@contextmanager
def other_seeds() -> Iterator[None]:
    """Seeds of the global generators, and of those that are built meanwhile, are others than the lines say."""
    with replaced((*_functions(), *_generators())):
        yield


def _functions() -> Iterator[tuple[Any, str, Any]]:
    """The functions that are given a seed first, with those that take their places."""
    import torch

    found: list[tuple[Any, str]] = [(torch, "manual_seed"), (torch.random, "manual_seed"), (random, "seed")]
    numpy = _numpy()
    if numpy is not None:
        found += [(numpy, "seed"), (numpy, "default_rng")]
    yield from ((owner, name, _elsewhere(getattr(owner, name))) for owner, name in found)


def _generators() -> Iterator[tuple[Any, str, Any]]:
    """The classes of generators, with those that take their places."""
    import torch

    yield random, "Random", _class(random.Random, ("seed",))
    yield torch, "Generator", _class(torch.Generator, ("manual_seed",))
    numpy = _numpy()
    if numpy is not None:
        yield numpy, "RandomState", _class(numpy.RandomState, ("__init__", "seed"))
        for name in ("PCG64", "MT19937", "Philox", "SFC64"):
            yield numpy, name, _class(getattr(numpy, name), ("__init__",))


def _numpy() -> Any:
    with suppress(ImportError):
        return importlib.import_module("numpy.random")
    return None


def _elsewhere(function: Callable[..., Any]) -> Callable[..., Any]:
    def seeded(*args: Any, **kwargs: Any) -> Any:
        moved = {name: _another(value) if name in ("seed", "a") else value for name, value in kwargs.items()}
        return function(*map(_another, args[:1]), *args[1:], **moved)

    return seeded


def _class(kind: Any, seeding: Sequence[str]) -> Any:
    """A class of generators whose methods that seed them set another seed."""

    class Generator(kind):  # type: ignore[misc]
        pass

    def method(name: str) -> Any:
        def seed(self: Any, *args: Any, **kwargs: Any) -> Any:
            return _elsewhere(getattr(super(Generator, self), name))(*args, **kwargs)

        return seed

    for name in seeding:
        setattr(Generator, name, method(name))
    return Generator


def _another(seed: Any) -> Any:
    # The seed of the experiment holds the draws of a sample still, in every run the same ones.
    if isinstance(seed, int) and seed != SEED:
        return (seed + FURTHER) % (1 << 32)
    return f"{seed} {FURTHER}" if isinstance(seed, str) else seed
