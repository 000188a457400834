"""Limits that the system sets to a process and to each that it starts."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

LARGEST_FILE = 256 << 20
"""Bytes of a file that an experiment writes."""

MOST_PROCESSES = 64
"""Processes of an experiment at one time."""


def limit_process(memory: int | None, seconds: float) -> None:
    """Limit this process and what it starts.

    Args:
        memory: bytes that it may take beyond those it has now; None for any number.
        seconds: how long the experiment may run; processor time is limited to what can be used up in it.

    Raises:
        OSError: the system does not limit memory.
    """
    import resource

    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, LARGEST_FILE)
    _limit(resource.RLIMIT_CPU, int(seconds * (os.cpu_count() or 1)) + 5)
    if sys.platform != "linux":
        raise OSError("memory is not limited here")
    # The first to go when the machine runs out of memory.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    with suppress(OSError, ValueError, IndexError), open("/proc/loadavg") as file:
        everybody = int(file.read().split()[3].partition("/")[2])
        _limit(resource.RLIMIT_NPROC, everybody + 4 * MOST_PROCESSES)
    if memory is not None:
        # Address space says little: torch reserves much more than it ever uses.
        _limit(resource.RLIMIT_DATA, _data() + memory)


def _limit(resource_: int, most: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource_)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource_, (most, most))


def _data() -> int:
    """Bytes that this process has for its data."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmData:"))
    return int(line.split()[1]) << 10
