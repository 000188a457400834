"""Work in a process of its own, forked from here, that leaves nothing but its result."""

from __future__ import annotations

import os
import secrets
import select
import signal
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .. import reason
from ..isolation.lineage import own_memory
from ..verdict import Inconclusive
from . import warmth
from .trace import Trace, keep_time, time_left
from .wire import LONGEST, pack, unpack, write

TICK = 0.01
"""Seconds between two looks at how much memory is taken."""


class Fork:
    """Does work apart, for an experiment on the files ``paths`` that may take ``memory`` bytes.

    ``private`` are descriptors that the work must not reach.
    """

    def __init__(self, paths: Collection[str], memory: int, trace: Trace, private: Collection[int] = ()) -> None:
        self._paths = paths
        self._memory = memory
        self._trace = trace
        self._private = private
        self.loaded: set[str] = set()
        """The slow modules that work was seen to import."""
        self._ending: list[int] = []
        """Processes that have said their result and are being taken down."""

    def __call__(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        """What each of ``works`` returns, if JSON can say it; they run at the same time, as far as memory allows.

        An accelerator that this process has used already cannot be used by the work: CUDA does not survive a fork.

        Raises:
            Inconclusive: the first that was inconclusive, failed or ended its process.
        """
        if not hasattr(os, "fork"):
            raise Inconclusive("takes a second process, which this system cannot fork")
        together = len(works) > 1 and has_room(self._memory)
        running: list[_Running | None] = [self._begin(work) if together else None for work in works]
        results: list[Any] = []
        try:
            while running:
                first = running[0] = running[0] or self._begin(works[len(results)])
                while not first.has_answered(TICK):
                    if self._is_crowded(running):
                        # The others begin anew when it is their turn.
                        _end(running[1:])
                        running[1:] = [None] * (len(running) - 1)
                results.append(self._result_of(first))
                del running[0]
        except Inconclusive:
            _end(running[1:])
            raise
        return results

    def _is_crowded(self, running: Sequence[_Running | None]) -> bool:
        """Whether what runs at the same time comes near the limit of the experiment, which holds for all together."""
        processes = [each.process for each in running if each is not None]
        base = own_memory()
        return len(processes) > 1 and sum(own_memory(each) - base for each in processes) > self._memory / 2

    def _begin(self, work: Callable[[], Any]) -> _Running:
        self._ending = [process for process in self._ending if not _has_ended(process)]
        token = secrets.token_hex(16)
        receiver, sender = os.pipe()
        seconds = time_left()
        process = os.fork()
        if process == 0:
            try:
                for descriptor in (receiver, *self._private):
                    with suppress(OSError):
                        os.close(descriptor)
                keep_time(seconds)
                worker = os.getpid()
                result = self._said(work)
                # What the user's lines have forked gets here as well.
                if os.getpid() == worker:
                    write(sender, pack(token, {**result, "loaded": warmth.loaded()}))
            finally:
                os._exit(0)
        os.close(sender)
        return _Running(process, receiver, token)

    def _result_of(self, running: _Running) -> Any:
        message = running.receive()
        if message is None:
            raise Inconclusive(reason.of_end(running.status(), self._trace.read(), self._paths))
        # Not waited for: to free its memory takes longer than many a result.
        self._ending.append(running.process)
        self.loaded.update(message["loaded"])
        if "inconclusive" in message:
            raise Inconclusive(message["inconclusive"])
        return message["value"]

    def _said(self, work: Callable[[], Any]) -> dict[str, Any]:
        try:
            return {"value": work()}
        except Inconclusive as error:
            return {"inconclusive": str(error)}
        except BaseException as error:
            return {"inconclusive": reason.of_error(error, self._paths, self._memory)}


@dataclass(frozen=True)
class _Running:
    """Work that has begun: its process, and what its result comes from."""

    process: int
    receiver: int
    token: str

    def has_answered(self, seconds: float) -> bool:
        """Whether the process says something, or ends, within ``seconds``."""
        return bool(select.select([self.receiver], [], [], seconds)[0])

    def receive(self) -> dict[str, Any] | None:
        """The result; None if the process ended without one."""
        try:
            return _receive(self.receiver, self.token)
        finally:
            os.close(self.receiver)

    def status(self) -> int:
        """How the process ended, once it has."""
        return os.waitpid(self.process, 0)[1]

    def end(self) -> None:
        """End it: nobody wants the result any more."""
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        os.close(self.receiver)
        os.waitpid(self.process, 0)


def _end(running: Iterable[_Running | None]) -> None:
    for each in running:
        if each is not None:
            each.end()


def _has_ended(process: int) -> bool:
    """Whether a child has ended, or the user's lines have waited for it already."""
    try:
        return bool(os.waitpid(process, os.WNOHANG)[0])
    except ChildProcessError:
        return True


def has_room(memory: int) -> bool:
    """Whether there are so many bytes of memory, as far as the system tells."""
    try:
        with open("/proc/meminfo") as file:
            available = next(line for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return False
    return int(available.split()[1]) << 10 >= memory


def _receive(receiver: int, token: str) -> dict[str, Any] | None:
    """The message of the process at the other end; None if it ended without one."""
    received = b""
    while len(received) <= LONGEST:
        data = os.read(receiver, 1 << 16)
        received += data
        if b"\n" in data and (message := unpack(token, received)) is not None:
            return message
        if not data:
            break
    return None
