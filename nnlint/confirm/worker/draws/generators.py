"""The randomness and the clock that a process starts with, and who seeds its generators."""

from __future__ import annotations

import datetime
import hashlib
import importlib
import numbers
import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from ..anything import is_missing, reason
from ..bench import seed_torch

GENERATORS = ("torch", "numpy", "random")
"""The global generators."""

_STARTED = 1_700_000_000
"""When the first process starts, in seconds since 1970: the clock goes on from there."""


@dataclass
class Started:
    """A process that was given its start."""

    modules: dict[str, ModuleType]
    """What the user's lines must find in the place of modules that tell the time."""
    ignored: bool = False
    """Whether seeds are noted and not set."""
    seeds: list[tuple[str, str]] = field(default_factory=list)
    """The seeds set since then: the function that seeds, and the file and line that call it."""


def start(number: int, device: str, place: Callable[[], str] = str, *, ignoring: bool = False) -> Started:
    """Give this process, which must be one of its own, the randomness and the clock of a new process.

    Processes of one ``number`` start alike in everything that may be taken for a seed: the global generators, what the
    system gives as entropy, and the time. Those of two numbers differ in all of it.

    Args:
        number: which process it is.
        device: what the user's lines run on.
        place: names the line of the user that is being run.
        ignoring: seeds are not set from now on.
    """
    _replace_entropy(number)
    now = _replace_clock(number)
    _replace_identity(number, place)
    entropy = _bytes(number, 32)
    seed_torch(int.from_bytes(entropy[:8], "big") >> 1, device)
    random.seed(entropy[8:16])
    numpy = _numpy()
    if numpy is not None:
        numpy.random.seed(int.from_bytes(entropy[16:20], "big"))
    started = Started({"datetime": _datetime(now)}, ignoring)
    _watch_seeding(started, place)
    return started


def identities(number: int) -> dict[str, Callable[[Any], int]]:
    """``hash`` and ``id`` as new processes give them, alike in those of one ``number``.

    Python salts the hash of a text in every process, and objects lie at other addresses. Only the hash of a number, or
    of a tuple of numbers, is always the same.
    """
    salt = int.from_bytes(_bytes(number, 6), "big")

    def is_salted(value: Any) -> bool:
        return any(map(is_salted, value)) if isinstance(value, tuple) else not isinstance(value, numbers.Number)

    def salted(value: Any) -> int:
        return hash(value) ^ salt if is_salted(value) else hash(value)

    return {"hash": salted, "id": lambda value: id(value) + 16 * salt}


def states() -> dict[str, str]:
    """What the global generators will draw, as one short text each."""
    import torch

    found = {"torch": torch.get_rng_state().numpy().tobytes() if _numpy() else bytes(torch.get_rng_state().tolist())}
    found["random"] = repr(random.getstate()).encode()
    numpy = _numpy()
    if numpy is not None:
        _, keys, *position = numpy.random.get_state()
        found["numpy"] = keys.tobytes() + repr(position).encode()
    return {name: hashlib.sha256(state).hexdigest()[:16] for name, state in found.items()}


def _numpy() -> Any:
    with suppress(ImportError):
        return importlib.import_module("numpy")
    return None


def _bytes(number: int, count: int, taken: int = 0) -> bytes:
    return hashlib.shake_256(f"{number} {taken}".encode()).digest(count)


def _replace_entropy(number: int) -> None:
    """``os.urandom``, and what reads it: ``secrets``, ``uuid``, the generators of numpy that nobody seeds."""
    taken = 0

    def urandom(count: int) -> bytes:
        nonlocal taken
        taken += 1
        return _bytes(number, count, taken)

    os.urandom = urandom
    random._urandom = urandom  # type: ignore[attr-defined]


def _replace_clock(number: int) -> Callable[[], float]:
    """The time of day: processes of two numbers start more than a day apart, and in all of them it goes alike."""
    begun = _STARTED + number * 90_061.25
    asked = 0

    def now() -> float:
        # A clock that follows the real one would tell apart two processes that are to start alike.
        nonlocal asked
        asked += 1
        return begun + asked / 1000

    for name in ("time", "perf_counter", "monotonic", "process_time", "thread_time"):
        setattr(time, name, now)
        setattr(time, f"{name}_ns", lambda: int(now() * 10**9))
    return now


def _datetime(now: Callable[[], float]) -> ModuleType:
    """The module ``datetime`` with another clock; libraries in C need the true one, whose layout they know."""

    class Dates(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime.datetime)

    class Clock(datetime.datetime, metaclass=Dates):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.datetime.fromtimestamp(now(), tz)

        @classmethod
        def today(cls) -> Any:
            return datetime.datetime.fromtimestamp(now())

        @classmethod
        def utcnow(cls) -> Any:
            return datetime.datetime.fromtimestamp(now(), datetime.timezone.utc).replace(tzinfo=None)

    Clock.__name__ = Clock.__qualname__ = "datetime"
    module = ModuleType("datetime", datetime.__doc__)
    vars(module).update({**vars(datetime), "datetime": Clock})
    return module


def _replace_identity(number: int, place: Callable[[], str]) -> None:
    """The numbers of the process and of its parent, where the user's lines ask for them."""
    for name in ("getpid", "getppid"):
        setattr(os, name, _numbered(getattr(os, name), number, place))


def _numbered(original: Callable[[], int], number: int, place: Callable[[], str]) -> Callable[[], int]:
    return lambda: 4000 + 61 * number if place() else original()


def _watch_seeding(started: Started, place: Callable[[], str]) -> None:
    import torch

    for owner, name, spoken in (
        (torch, "manual_seed", "torch.manual_seed"),
        (torch.random, "manual_seed", "torch.manual_seed"),
        (torch, "set_rng_state", "torch.set_rng_state"),
        (torch.random, "set_rng_state", "torch.set_rng_state"),
        (random, "seed", "random.seed"),
        (random, "setstate", "random.setstate"),
        (getattr(sys.modules.get("numpy"), "random", None), "seed", "np.random.seed"),
        (getattr(sys.modules.get("numpy"), "random", None), "set_state", "np.random.set_state"),
    ):
        if owner is not None:
            setattr(owner, name, _noting(getattr(owner, name), spoken, started, place))


def _noting(seed: Callable[..., Any], spoken: str, started: Started, place: Callable[[], str]) -> Callable[..., Any]:
    def noted(*args: Any, **kwargs: Any) -> Any:
        where = place()
        if any(map(is_missing, args)):
            raise ValueError(reason(args[0]))
        if where:
            started.seeds.append((spoken, where))
        if not started.ignored or not where:
            return seed(*args, **kwargs)
        import torch

        return torch.default_generator if spoken == "torch.manual_seed" else None

    noted.__name__ = getattr(seed, "__name__", spoken)
    return noted
