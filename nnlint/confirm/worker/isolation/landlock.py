"""Landlock of Linux (5.13 and later): nothing is written outside a few folders, and no program is started."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""The numbers of the system calls, the same on every architecture."""

EXECUTE, WRITE_FILE, READ_FILE, READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
RENAME_ACROSS, TRUNCATE = 1 << 13, 1 << 14
BIND_AND_CONNECT = 1 << 0 | 1 << 1
SIGNALS_AND_SOCKETS = 1 << 0 | 1 << 1
BENEATH_PATH = 1


def confine(folders: Iterable[str], files: Iterable[str]) -> None:
    """Let this process, and what it forks, write beneath ``folders`` and into ``files`` (devices) only.

    It starts no programs; where the kernel knows how, it also neither uses TCP nor signals processes outside.

    Raises:
        OSError: the kernel has no Landlock, or it is off.
    """
    from . import kernel

    version = kernel.call("syscall", CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    write = WRITE_FILE | REMOVE_AND_MAKE
    if version >= 2:
        write |= RENAME_ACROSS
    if version >= 3:
        write |= TRUNCATE
    fields = [write | EXECUTE]
    if version >= 4:
        fields.append(BIND_AND_CONNECT)
    if version >= 6:
        fields.append(SIGNALS_AND_SOCKETS)
    attributes = struct.pack(f"{len(fields)}Q", *fields)
    ruleset = kernel.call("syscall", CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        for folder in folders:
            _allow(ruleset, folder, write)
        for file in files:
            _allow(ruleset, file, write & (WRITE_FILE | TRUNCATE))
        kernel.allow_no_new_privileges()
        kernel.call("syscall", RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    from . import kernel

    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = struct.pack("=Qi", access, place)
        kernel.call("syscall", ADD_RULE, ruleset, BENEATH_PATH, rule, 0)
    finally:
        os.close(place)
