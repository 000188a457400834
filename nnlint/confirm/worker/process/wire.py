"""Messages between processes: lines of JSON, each behind a token that only its two ends were told."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

Message = dict[str, Any]

LONGEST = 8 << 20
"""Bytes of an answer; more is no answer."""


def pack(token: str, message: Mapping[str, Any]) -> bytes:
    """A message as bytes, on a line of its own whatever was written before it."""
    return f"\n{token} {json.dumps(_sayable(message))}\n".encode()


def unpack(token: str, received: bytes) -> Message | None:
    """The first whole message with the token in what was received; None as long as there is none."""
    mark = f"\n{token} ".encode()
    start = received.find(mark)
    end = received.find(b"\n", start + len(mark))
    if start < 0 or end < 0:
        return None
    message: Message = json.loads(received[start + len(mark) : end])
    return message


def write(descriptor: int, data: bytes) -> None:
    """Write all of it.

    Raises:
        OSError: nobody reads on.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class Lines:
    """Messages without tokens, line by line, from a pipe that only the sender holds."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._received = b""
        self._ended = False

    def next(self) -> Message | None:
        """The next message, waited for; None when the sender is gone."""
        while b"\n" not in self._received:
            if not self._more():
                return None
        line, _, self._received = self._received.partition(b"\n")
        message: Message = json.loads(line)
        return message

    def waiting(self, seconds: float = 0.0) -> bool:
        """Whether there is something to read, or nobody left to send it."""
        import select

        return self._ended or b"\n" in self._received or bool(select.select([self.descriptor], [], [], seconds)[0])

    def ended(self) -> bool:
        """Whether the sender is gone; to be asked when there is something to read."""
        return self._ended or not self._more()

    def _more(self) -> bool:
        data = os.read(self.descriptor, 1 << 16)
        self._received += data
        self._ended = not data
        return bool(data)


def _sayable(value: Any) -> Any:
    """A value as JSON can say it: numbers of torch and numpy become Python's, infinities and nan are written out."""
    if isinstance(value, Mapping):
        return {str(name): _sayable(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sayable(each) for each in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if callable(getattr(value, "tolist", None)):
        return _sayable(value.tolist())
    return str(value)
