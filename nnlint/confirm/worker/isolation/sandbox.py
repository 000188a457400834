"""The walls around an experiment, layer by layer; what no layer of the system holds is said, not hidden.

It contains accidents. It is no jail for hostile code.
"""

from __future__ import annotations

import glob
from collections.abc import Callable
from dataclasses import dataclass

from .audit import watch_over

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
ACCELERATORS = ("/dev/nvidia*", "/dev/nvidia-caps/*", "/dev/dri/*", "/dev/kfd")

NETWORK = "no network"
WRITES = "no writing outside the scratch folder"
PROGRAMS = "no other programs"
PROCESSES = "no processes left behind"
MEMORY = "the limit of memory"


@dataclass(frozen=True)
class Walls:
    """What an experiment is enclosed in.

    Attributes:
        folder: the only one it writes to.
        memory: bytes that it may take, and ``seconds`` that it may run.
        device: the device it computes on, as torch names it.
        isolated: whether it lives in namespaces of its own.
        tended: whether the processes it starts are ended with it.
    """

    folder: str
    memory: int
    seconds: float
    device: str
    isolated: bool
    tended: bool


def enclose(walls: Walls) -> list[str]:
    """Put up the walls around this process; what the system does not enforce."""
    accelerated = walls.device != "cpu"
    devices = [*DEVICES, *(path for pattern in ACCELERATORS if accelerated for path in glob.glob(pattern))]
    # The driver of an accelerator maps memory as it likes: there, the limit is watched from outside only.
    limited = _holds(lambda: _limit(None if accelerated else walls.memory, walls.seconds))
    if walls.isolated:
        _holds(_drop_capabilities)
    confined = _holds(lambda: _confine(walls.folder, devices))
    filtered = _holds(_refuse_calls)
    watch_over(walls.folder)
    held = {
        NETWORK: walls.isolated or filtered,
        WRITES: confined,
        PROGRAMS: confined or filtered,
        PROCESSES: walls.isolated or walls.tended,
        MEMORY: limited,
    }
    return [wall for wall, holds in held.items() if not holds]


def _limit(memory: int | None, seconds: float) -> None:
    from .limits import limit_process

    limit_process(memory, seconds)


def _drop_capabilities() -> None:
    from .kernel import drop_capabilities

    drop_capabilities()


def _confine(folder: str, devices: list[str]) -> None:
    from .landlock import confine

    confine((folder, "/dev/shm"), devices)


def _refuse_calls() -> None:
    from .seccomp import refuse_calls

    refuse_calls()


def _holds(layer: Callable[[], None]) -> bool:
    """Whether a layer could be put up here."""
    try:
        layer()
    except (ImportError, OSError, TypeError, AttributeError, ValueError):
        # No ctypes, no such call, or refused.
        return False
    return True
