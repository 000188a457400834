"""An experiment from the outside: a process is forked for it, watched, and gone with all it started afterwards."""

from __future__ import annotations

import os
import secrets
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from .. import reason
from ..isolation import lineage
from ..isolation.environment import settle_in
from ..isolation.limits import MOST_PROCESSES
from ..isolation.namespaces import Namespaces
from ..isolation.sandbox import Walls, enclose
from .bounds import Bounds
from .trace import Trace
from .wire import LONGEST, Lines, pack, unpack, write

TICK = 0.05
"""Seconds between two looks at what an experiment takes."""

GRACE = 0.2
"""Seconds that an experiment has to write down where it stands when its time is over."""


class Abandoned(Exception):
    """Nobody waits for the result any more."""


@dataclass(frozen=True)
class Inside:
    """What an experiment is told of the process it is in.

    Attributes:
        unenforced: the walls that the system does not hold.
        trace: where it is written down where the experiment stands.
        private: the descriptors that the user's lines must not reach.
    """

    unenforced: list[str]
    trace: Trace
    private: tuple[int, ...]


Work = Callable[[Inside], dict[str, Any]]
"""What a process is forked for: its result, as JSON can say it."""


class Watch:
    """Runs experiments, one at a time.

    Args:
        folder: where each gets a folder of its own.
        device: the device they compute on.
        namespaces: the namespaces this process lives in, if the system permitted any.
        sender: where jobs come from; an experiment is given up when it is gone.
    """

    def __init__(self, folder: str, device: str, namespaces: Namespaces | None, sender: Lines) -> None:
        self._folder = folder
        self._device = device
        self._namespaces = namespaces
        self._sender = sender
        self._tended = lineage.adopt_orphans()

    @contextmanager
    def run(self, work: Work, bounds: Bounds) -> Iterator[tuple[dict[str, Any] | None, str]]:
        """What ``work`` gives in a process of its own, or why it gives nothing.

        On exit all that it has started is ended, and what it wrote is gone: the result is there before.

        Raises:
            Abandoned: the sender is gone.
        """
        scratch = tempfile.mkdtemp(dir=self._folder)
        trace = Trace(self._folder)
        token = secrets.token_hex(16)
        receiver, sender = os.pipe()
        number = os.fork() if self._namespaces is None else self._namespaces.fork()
        if number == 0:
            try:
                walls = self._walls(scratch, bounds)
                _experiment(work, walls, trace, token, sender)
            finally:
                os._exit(1)
        os.close(sender)
        process = _Process(number)
        try:
            result, why = self._result(process, receiver, token, bounds)
            if result is None:
                why = self._reason(process.end(), why, trace.read(), bounds)
            yield result, why
        finally:
            os.close(receiver)
            process.end()
            if self._tended:
                lineage.end_descendants()
            shutil.rmtree(scratch, ignore_errors=True)
            trace.close()

    def _reason(self, status: int, why: str, written: str, bounds: Bounds) -> str:
        """Why there is no result: it had to be ended (``why``), or has ended by itself."""
        if not why:
            return reason.of_end(status, written, bounds.paths)
        return reason.of_trace(written, bounds.paths) + why

    def _walls(self, scratch: str, bounds: Bounds) -> Walls:
        return Walls(scratch, bounds.memory, bounds.seconds, self._device, self._namespaces is not None, self._tended)

    def _result(
        self, process: _Process, receiver: int, token: str, bounds: Bounds
    ) -> tuple[dict[str, Any] | None, str]:
        """The message of the process; or None and why it has to be ended, empty if it ended by itself."""
        end = time.monotonic() + bounds.seconds + GRACE
        base = lineage.own_memory()
        received = b""
        while True:
            left = end - time.monotonic()
            if left <= 0:
                return None, f"not done within {bounds.seconds:g} s"
            readable, _, _ = select.select([receiver, self._sender.descriptor], [], [], min(TICK, left))
            if self._sender.descriptor in readable and self._sender.ended():
                raise Abandoned
            if receiver in readable:
                data = os.read(receiver, 1 << 16)
                received += data
                message = unpack(token, received) if b"\n" in data else None
                if message is not None or not data:
                    return message, ""
                if len(received) > LONGEST:
                    return None, f"gives a result of more than {LONGEST >> 20} MB"
            else:
                why = self._excess(base, bounds)
                if why:
                    return None, why
                # It may have said its result after it was last listened to.
                if process.has_ended() and not select.select([receiver], [], [], 0)[0]:
                    return None, ""

    def _excess(self, base: int, bounds: Bounds) -> str:
        """Which limit the experiment goes beyond, in words; ``base`` is the memory that it was forked with."""
        processes = lineage.descendants()
        if len(processes) > MOST_PROCESSES:
            return f"starts more than {MOST_PROCESSES} processes"
        if sum(max(0, lineage.own_memory(each) - base) for each in processes) <= bounds.memory:
            return ""
        if sum(lineage.share_of_memory(each) for each in processes) > bounds.memory:
            return reason.needs_memory(bounds.memory)
        return ""


class _Process:
    """A forked process, until it has been waited for."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._status: int | None = None
        self._is_gone = False

    def has_ended(self) -> bool:
        """Whether it has ended, by itself."""
        if self._status is None:
            ended, status = os.waitpid(self._number, os.WNOHANG)
            self._status = status if ended else None
        return self._status is not None

    def end(self) -> int:
        """End it, if it has not ended by itself, and its group; how it ended."""
        if not self._is_gone:
            self._end()
            self._is_gone = True
        assert self._status is not None
        return self._status

    def _end(self) -> None:
        ended = self.has_ended()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._number, signal.SIGKILL)
        if not ended:
            # Just forked, it may not have made a group of its own yet.
            with suppress(ProcessLookupError):
                os.kill(self._number, signal.SIGKILL)
            _, self._status = os.waitpid(self._number, 0)


def _experiment(work: Work, walls: Walls, trace: Trace, token: str, sender: int) -> None:
    """The life of a forked process: it settles in, puts up its walls, does the work, says the result and ends."""
    os.setsid()
    _silence()
    sender = _hide(sender)
    private = (sender, trace.descriptor)
    _close_others(private)
    settle_in(walls.folder)
    trace.begin(walls.seconds)
    _take_small_pages()
    unenforced = enclose(walls)
    process = os.getpid()
    result = work(Inside(unenforced, trace, (sender,)))
    # What the user's lines have forked gets here as well.
    if os.getpid() == process:
        write(sender, pack(token, result))
    os._exit(0)


def _take_small_pages() -> None:
    """Take no more memory in huge pages: they make the worker cheap to fork, and large tensors slow to fill."""
    with suppress(ImportError, OSError, TypeError, AttributeError):
        from ..isolation import kernel

        kernel.set_process(kernel.SET_NO_HUGE_PAGES, 1)


def _silence() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)


def _hide(descriptor: int) -> int:
    """The same at a number that is not easily guessed, and that closing the first few hundred does not reach."""
    import fcntl

    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 300 + secrets.randbelow(600))
    except OSError:
        return descriptor


def _close_others(kept: Collection[int]) -> None:
    """Close all descriptors but the standard ones and ``kept``."""
    try:
        opened = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        opened = list(range(3, 256))
    for descriptor in opened:
        if descriptor > 2 and descriptor not in kept:
            with suppress(OSError):
                os.close(descriptor)
