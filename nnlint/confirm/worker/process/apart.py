"""Work in a process of its own, forked from here, that leaves nothing but its result."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from .. import reason
from ..verdict import Inconclusive
from . import warmth
from .trace import Trace, keep_time, time_left
from .wire import LONGEST, pack, unpack, write


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

    def __call__(self, work: Callable[[], Any]) -> Any:
        """What ``work`` returns, if JSON can say it.

        An accelerator that this process has used already cannot be used by the work: CUDA does not survive a fork.

        Raises:
            Inconclusive: the work was inconclusive, failed or ended its process.
        """
        if not hasattr(os, "fork"):
            raise Inconclusive("takes a second process, which this system cannot fork")
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
                result = self._result(work)
                # What the user's lines have forked gets here as well.
                if os.getpid() == worker:
                    write(sender, pack(token, {**result, "loaded": warmth.loaded()}))
            finally:
                os._exit(0)
        os.close(sender)
        try:
            message = _receive(receiver, token)
        finally:
            os.close(receiver)
        _, status = os.waitpid(process, 0)
        if message is None:
            raise Inconclusive(reason.of_end(status, self._trace.read(), self._paths))
        self.loaded.update(message["loaded"])
        if "inconclusive" in message:
            raise Inconclusive(message["inconclusive"])
        return message["value"]

    def _result(self, work: Callable[[], Any]) -> dict[str, Any]:
        try:
            return {"value": work()}
        except Inconclusive as error:
            return {"inconclusive": str(error)}
        except BaseException as error:
            return {"inconclusive": reason.of_error(error, self._paths, self._memory)}


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
