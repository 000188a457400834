"""The processes that come from this one, as Linux lists them: how many, how much memory they take, and their end."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def adopt_orphans() -> bool:
    """Become the parent of all descendants whose own parent ends, so that none gets away; False if refused."""
    try:
        from . import kernel

        kernel.set_process(kernel.SET_SUBREAPER, 1)
    except (ImportError, OSError, TypeError, AttributeError):
        return False
    return bool(os.path.exists("/proc/thread-self/children"))


def descendants() -> list[int]:
    """The numbers of all processes that come from this one, ended ones that nobody has waited for among them."""
    found: list[int] = []
    unread = ["/proc/thread-self/children"]
    while unread:
        try:
            with open(unread.pop()) as file:
                children = [int(number) for number in file.read().split()]
        except OSError:
            continue
        found += children
        for child in children:
            with suppress(OSError):
                unread += [f"/proc/{child}/task/{thread}/children" for thread in os.listdir(f"/proc/{child}/task")]
    return found


def own_memory(process: int | str = "self") -> int:
    """Bytes of memory that a process takes, without what it reads from files or shares by name."""
    try:
        with open(f"/proc/{process}/statm") as file:
            _, resident, shared, *_ = map(int, file.read().split())
    except (OSError, ValueError):
        return 0
    return (resident - shared) * PAGE


def share_of_memory(process: int) -> int:
    """Bytes of memory that a process takes, of what it shares with those forked from it only its share.

    Slower than :func:`own_memory`, which counts what is shared once for each process and stands in where the system
    does not tell.
    """
    try:
        with open(f"/proc/{process}/smaps_rollup") as file:
            shares = (line.split() for line in file if line.startswith("Pss_Anon:"))
            return next(int(kilobytes) << 10 for _, kilobytes, *_ in shares)
    except (OSError, ValueError, StopIteration):
        return own_memory(process)


def end_descendants(patience: float = 10.0) -> None:
    """End all of them, however fast they multiply.

    Raises:
        TimeoutError: some were still there after ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        # A process that is stopped has no more children.
        for step in (signal.SIGSTOP, signal.SIGKILL):
            for process in descendants():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(process, step)
        if not _reap():
            return
        if time.monotonic() > deadline:
            raise TimeoutError("processes of an experiment cannot be ended")


def _reap() -> bool:
    """Wait for all children that have ended; whether there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    time.sleep(0.001)
    return True
