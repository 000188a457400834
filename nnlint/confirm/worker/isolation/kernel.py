"""Calls of Linux that Python has no name for."""

from __future__ import annotations

import ctypes
import os
from typing import Any

SET_DEATH_SIGNAL, SET_SECCOMP, SET_SUBREAPER, SET_NO_NEW_PRIVILEGES, SET_NO_HUGE_PAGES = 1, 22, 36, 38, 41
"""Operations of ``prctl``."""

_library = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> int:
    """The result of a function of the C library that gives -1 and ``errno`` when the system refuses.

    Raises:
        OSError: the system refused.
    """
    # Some of these functions take whatever number of arguments, and read each as a long.
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = int(getattr(_library, name)(*wide))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def set_process(operation: int, argument: Any) -> None:
    """``prctl`` with one argument."""
    call("prctl", operation, argument, 0, 0, 0)


def allow_no_new_privileges() -> None:
    """Give up ever gaining privileges, which Landlock and seccomp ask of whoever has none."""
    set_process(SET_NO_NEW_PRIVILEGES, 1)


def drop_capabilities() -> None:
    """Give up the privileges that the creator of a namespace has in it."""
    version_3 = 0x20080522
    call("capset", (ctypes.c_uint32 * 2)(version_3, 0), (ctypes.c_uint32 * 6)())
