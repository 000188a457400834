"""What Python itself can refuse, on every system, with a reason in words: the outermost layer, and the only polite one.

Libraries written in C pass by it; the layers below stop them where the system has any.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Refused(PermissionError):
    """The experiment may not do so; the message says what."""


def watch_over(folder: str) -> None:
    """Refuse, from here on, what reaches out of the experiment: writing outside ``folder``, the network, programs."""
    watched = _Watched(folder)
    answers: dict[str, Callable[[tuple[Any, ...]], None]] = {
        "open": watched.opening,
        "os.rename": watched.two_paths,
        "os.link": watched.two_paths,
        "os.symlink": watched.new_link,
        "os.kill": watched.signal,
        "os.killpg": watched.signal,
        "socket.connect": watched.address,
        "socket.bind": watched.address,
        "socket.sendto": watched.address,
        "socket.sendmsg": watched.address,
    }
    for event in "truncate setxattr removexattr".split():
        answers[f"os.{event}"] = watched.path
    for event in "remove rmdir mkdir chmod chown utime".split():
        answers[f"os.{event}"] = watched.path_in_folder
    for event in "getaddrinfo gethostbyname gethostbyaddr".split():
        answers[f"socket.{event}"] = watched.host
    for event in "subprocess.Popen os.exec os.posix_spawn os.spawn os.system pty.spawn os.startfile".split():
        answers[event] = watched.program

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        answer = answers.get(event)
        if answer is not None:
            answer(arguments)

    sys.addaudithook(hook)


class _Watched:
    """The answers to the events that Python reports, by the arguments it reports them with."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder)
        self.writable = (self.folder + os.sep, f"{os.sep}dev{os.sep}shm{os.sep}")

    def opening(self, arguments: tuple[Any, ...]) -> None:
        path, _, flags = arguments
        if isinstance(flags, int) and flags & CHANGES:
            self.write(path)

    def path(self, arguments: tuple[Any, ...]) -> None:
        self.write(arguments[0])

    def path_in_folder(self, arguments: tuple[Any, ...]) -> None:
        self.write(arguments[0], arguments[-1])

    def two_paths(self, arguments: tuple[Any, ...]) -> None:
        source, target, *folders = arguments
        self.write(source, *folders[:1])
        self.write(target, *folders[1:])

    def new_link(self, arguments: tuple[Any, ...]) -> None:
        self.write(*arguments[1:])

    def write(self, path: Any, folder: Any = -1) -> None:
        """Refuse what changes at ``path`` (relative to the open ``folder``, if that is one) outside of scratch."""
        if isinstance(path, int):
            return
        name = os.fsdecode(path)
        if isinstance(folder, int) and folder >= 0 and not os.path.isabs(name):
            try:
                name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
            except OSError:
                return
        resolved = os.path.realpath(name)
        if resolved not in (self.folder, os.devnull) and not resolved.startswith(self.writable):
            raise Refused(f"writes to {name}, outside of its scratch folder")

    def signal(self, arguments: tuple[Any, ...]) -> None:
        process = arguments[0]
        if process != 0 and not _is_own(process):
            raise Refused(f"sends a signal to process {process}, which is not its own")

    def address(self, arguments: tuple[Any, ...]) -> None:
        address = arguments[1]
        if isinstance(address, (str, bytes)):
            self.write(address)
        elif address is not None:
            raise Refused(f"uses the network ({':'.join(map(str, address[:2]))})")

    def host(self, arguments: tuple[Any, ...]) -> None:
        raise Refused(f"uses the network ({arguments[0]})")

    def program(self, arguments: tuple[Any, ...]) -> None:
        program = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], (list, tuple)) else arguments[0]
        words = [program] if isinstance(program, (str, bytes, os.PathLike)) else list(program)
        raise Refused(f"starts a program ({' '.join(map(os.fsdecode, words))[:60]})")


def _is_own(process: int) -> bool:
    """Whether a process is of the experiment, or none at all."""
    if sys.platform == "win32":
        return process == os.getpid()
    try:
        return process > 0 and os.getsid(process) == os.getsid(0)
    except OSError:
        return True
