"""Why an experiment came to nothing, in one line with the user's line it happened at."""

from __future__ import annotations

import linecache
import os
import re
import signal
from collections.abc import Callable, Collection, Iterable
from types import FrameType

LONGEST = 200
"""Characters of an error that are repeated."""

TRACED = re.compile(r'^  File "(?P<path>.*)", line (?P<row>\d+) in ', re.MULTILINE)
"""A frame as :mod:`faulthandler` writes it, the innermost first."""

SIGNATURES = re.compile(r",? but expected one of:$")
"""What torch says before it lists the signatures of a function."""

NO_MEMORY = re.compile(r"can't allocate memory|out of memory|Unable to allocate|bad_alloc", re.IGNORECASE)
"""What torch and numpy say when the system gives them no memory."""


class Unavailable(Exception):
    """Something is asked of a value that could not be had; what it says is why it could not, place and all."""


def of_error(error: BaseException, paths: Collection[str], memory: int | None = None) -> str:
    """An error in words: ``train.py:12: FileNotFoundError: No such file or directory: 'data/train.csv'``.

    Args:
        error: what was raised.
        paths: the user's files; the innermost line of one of them is named.
        memory: bytes that the experiment may take, to be said when there were not enough.
    """
    path, row = _innermost(error, lambda frame: frame.f_code.co_filename in paths)
    place = f"{os.path.basename(path)}:{row}: " if path else ""
    if isinstance(error, SystemExit):
        return f"{place}ends the program (exit status {_status(error)})"
    if isinstance(error, MemoryError) or (type(error) is RuntimeError and NO_MEMORY.search(str(error))):
        return place + (needs_memory(memory) if memory is not None else "needs more memory than it is given")
    if isinstance(error, Unavailable):
        return str(error)
    if type(error).__name__ == "Refused":
        return place + _first_sentence(str(error))
    return place + _told(error, path, row)


def of_error_below(error: BaseException, is_users: Callable[[FrameType], bool]) -> str:
    """An error in words, with the last of the user's lines that it went through, which are told by their frames."""
    path, row = _innermost(error, is_users)
    return (f"{os.path.basename(path)}:{row}: " if path else "") + _told(error, path, row)


def _innermost(error: BaseException, is_users: Callable[[FrameType], bool]) -> tuple[str, int]:
    """The path and the row of the user's last frame that an error went through; empty and 0 if there is none."""
    found = "", 0
    traceback = error.__traceback__
    while traceback is not None:
        if is_users(traceback.tb_frame):
            found = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    return found


def _told(error: BaseException, path: str, row: int) -> str:
    """The type of an error and what it says; the line that raised it where it says nothing."""
    name, said = type(error).__name__, _first_sentence(str(error))
    if isinstance(error, OSError) and error.strerror is not None:
        said = error.strerror + (f": {os.fspath(error.filename)!r}" if error.filename is not None else "")
    if said:
        return f"{name}: {said}"
    line = linecache.getline(path, row).strip() if path else ""
    return f"{name} at `{line}`" if line else name


def of_end(status: int, trace: str, paths: Collection[str]) -> str:
    """Why a process ended without a result, by its status (as ``os.waitpid`` gives it) and what faulthandler wrote."""
    place = of_trace(trace, paths)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        # The first process of a namespace is immune to its own abort and ends by a worse one.
        name = "SIGABRT" if "Fatal Python error: Aborted" in trace else _signal_name(number)
        return f"{place}crashes ({name})"
    return f"{place}leaves the process (exit status {os.WEXITSTATUS(status)}) without a result"


def of_trace(trace: str, paths: Collection[str]) -> str:
    """The user's innermost line in what faulthandler wrote, ready to be put in front of a reason."""
    return _place(((frame["path"], int(frame["row"])) for frame in TRACED.finditer(trace)), paths)


def needs_memory(limit: int) -> str:
    """The reason of an experiment that went over its limit of ``limit`` bytes."""
    return f"needs more than {limit / (1 << 30):.3g} GB of memory"


def _place(frames: Iterable[tuple[str, int]], paths: Collection[str]) -> str:
    for path, row in frames:
        if path in paths:
            return f"{os.path.basename(path)}:{row}: "
    return ""


def _first_sentence(text: str) -> str:
    """The first line of an error, and the second where the first only announces it."""
    lines = [SIGNATURES.sub("", line.strip()) for line in text.splitlines() if line.strip()]
    said = " ".join(lines[:2]) if lines and lines[0].endswith(":") else "".join(lines[:1])
    said = said.rstrip(".")
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"


def _status(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    return 1


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
