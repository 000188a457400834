"""A filter of system calls on Linux: no sockets that lead out of the machine, no programs, no way around the rest."""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Mapping

CALLS = {
    "x86_64": (
        0xC000003E,
        {
            "socket": 41,
            "execve": 59,
            "ptrace": 101,
            "mount": 165,
            "umount2": 166,
            "init_module": 175,
            "kexec_load": 246,
            "keyctl": 250,
            "unshare": 272,
            "perf_event_open": 298,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "finit_module": 313,
            "bpf": 321,
            "execveat": 322,
            "io_uring_setup": 425,
            "open_tree": 428,
            "move_mount": 429,
            "pidfd_getfd": 438,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "umount2": 39,
            "mount": 40,
            "unshare": 97,
            "kexec_load": 104,
            "init_module": 105,
            "ptrace": 117,
            "socket": 198,
            "keyctl": 219,
            "execve": 221,
            "perf_event_open": 241,
            "setns": 268,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "finit_module": 273,
            "bpf": 280,
            "execveat": 281,
            "io_uring_setup": 425,
            "open_tree": 428,
            "move_mount": 429,
            "pidfd_getfd": 438,
        },
    ),
}
"""By machine: how the kernel names the architecture, and the numbers of the calls that are refused."""

LOAD, JUMP_IF_EQUAL, JUMP_IF_GREATER_OR_EQUAL, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
"""Offsets in what the filter is shown of a call."""

FILTER_MODE = 2
UNIX_SOCKET = 1
X32 = 0x40000000
"""From here on calls of x86-64 are numbered another way."""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def refuse_calls() -> None:
    """Refuse the calls from here on, in this process and in what it forks. Sockets between processes stay.

    Raises:
        OSError: the kernel has no such filters, or no numbers are known for this machine.
    """
    if platform.machine() not in CALLS:
        raise OSError(errno.ENOSYS, f"no filter for {platform.machine()}")
    install(*CALLS[platform.machine()])


def install(architecture: int, calls: Mapping[str, int]) -> None:
    """Refuse ``calls``, by their numbers on an architecture, from here on.

    Raises:
        OSError: the kernel has no such filters.
    """
    from . import kernel

    code = _filter(architecture, calls)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    kernel.allow_no_new_privileges()
    kernel.call("prctl", kernel.SET_SECCOMP, FILTER_MODE, ctypes.byref(program), 0, 0)


def _filter(architecture: int, calls: Mapping[str, int]) -> bytes:
    """Instructions: an operation, how many to skip if it holds and if it does not, and an operand."""
    refuse = (RETURN, 0, 0, REFUSE)
    program = [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 1, 0, architecture),
        refuse,
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_GREATER_OR_EQUAL, 0, 1, X32),
        refuse,
    ]
    for name, number in calls.items():
        if name != "socket":
            program += [(JUMP_IF_EQUAL, 0, 1, number), refuse]
    if "socket" in calls:
        program += [
            (JUMP_IF_EQUAL, 0, 3, calls["socket"]),
            (LOAD, 0, 0, FIRST_ARGUMENT),
            (JUMP_IF_EQUAL, 1, 0, UNIX_SOCKET),
            refuse,
        ]
    program.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)
