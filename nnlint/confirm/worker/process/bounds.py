"""What an experiment may take."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """What an experiment may take: seconds, bytes of memory; and the files of the user that it is about."""

    seconds: float
    memory: int
    paths: Collection[str] = ()
