"""Namespaces of Linux: no network but a dead loopback, shared memory of one's own, and processes that end together."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

MOUNT, IPC, USER, PROCESSES, NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
PRIVATE_TREE = 0x4000 | 0x40000
SAFE_MOUNT = 0x2 | 0x4
"""No set-user-id programs, no devices."""


class Namespaces:
    """The namespaces that this process lives in, below which every experiment has one for its processes."""

    def __init__(self) -> None:
        self._home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def fork(self) -> int:
        """Like ``os.fork``, but when the new process ends the system ends all that it has started."""
        from . import kernel

        kernel.call("unshare", PROCESSES)
        process = os.fork()
        if process:
            kernel.call("setns", self._home, PROCESSES)
        return process


def enter(shared_memory: int, inherited: tuple[int, ...]) -> Namespaces | None:
    """Go on in namespaces of our own, of which this becomes the first process; None, and as before, if refused.

    The process that was called waits for the end of the one that goes on, and ends with it; it closes the descriptors
    ``inherited`` first. ``shared_memory`` is how many bytes the processes may share.
    """
    if threading.active_count() > 1 or not _permitted():
        return None
    _leave()
    process = os.fork()
    if process:
        for descriptor in inherited:
            os.close(descriptor)
        _, status = os.waitpid(process, 0)
        if os.WIFSIGNALED(status):
            os.kill(os.getpid(), os.WTERMSIG(status))
        os._exit(os.WEXITSTATUS(status))
    _arrive(shared_memory)
    return Namespaces()


def _permitted() -> bool:
    """Whether the system lets this process do so: tried out by a process that is then gone."""
    process = os.fork()
    if process:
        return os.waitpid(process, 0)[1] == 0
    try:
        _leave()
        first = os.fork()
        if first == 0:
            _arrive(1 << 20)
            inner = Namespaces().fork()
            os._exit(0 if inner == 0 or os.waitpid(inner, 0)[1] == 0 else 1)
        os._exit(0 if os.waitpid(first, 0)[1] == 0 else 1)
    except BaseException:
        os._exit(1)


def _leave() -> None:
    from . import kernel

    user, group = os.getuid(), os.getgid()
    kernel.call("unshare", USER | NETWORK | IPC | MOUNT | PROCESSES)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _arrive(shared_memory: int) -> None:
    from . import kernel

    kernel.set_process(kernel.SET_DEATH_SIGNAL, signal.SIGKILL)
    kernel.call("mount", b"none", b"/", None, PRIVATE_TREE, None)
    # A container may keep these as they are, which costs tidiness only.
    with suppress(OSError):
        kernel.call("mount", b"proc", b"/proc", b"proc", SAFE_MOUNT, None)
    with suppress(OSError):
        options = f"size={shared_memory},mode=1777".encode()
        kernel.call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", SAFE_MOUNT, options)
