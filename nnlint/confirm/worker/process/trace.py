"""Where an experiment stands when it crashes or its time is over: the interpreter itself writes it down."""

from __future__ import annotations

import faulthandler
import os
import signal
import tempfile


class Trace:
    """A file without a name, open in the experiment and in the process that watches it."""

    def __init__(self, folder: str) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 # closed by close

    def begin(self, seconds: float) -> None:
        """Write to it from here on: at a crash, and when ``seconds`` are over."""
        faulthandler.enable(self._file, all_threads=False)
        if hasattr(faulthandler, "register"):
            faulthandler.register(signal.SIGALRM, self._file, all_threads=False, chain=False)
            signal.setitimer(signal.ITIMER_REAL, seconds)

    @property
    def descriptor(self) -> int:
        """The descriptor of the file."""
        return self._file.fileno()

    def read(self) -> str:
        """What has been written."""
        if hasattr(os, "pread"):
            return os.pread(self.descriptor, 1 << 16, 0).decode(errors="replace")
        return ""

    def close(self) -> None:
        """Let go of the file, and with it of what was written."""
        self._file.close()


def time_left() -> float:
    """Seconds until the time is over, as :meth:`Trace.begin` was told; 0 where no timer runs."""
    return signal.getitimer(signal.ITIMER_REAL)[0] if hasattr(signal, "getitimer") else 0.0


def keep_time(seconds: float) -> None:
    """Let the timer go on in a forked process, where it stands still otherwise."""
    if seconds:
        signal.setitimer(signal.ITIMER_REAL, seconds)
