"""The laboratory: a worker in the user's interpreter that runs one experiment after the other."""

from __future__ import annotations

import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from nnlint.confirm.worker.isolation.environment import worker_environment
from nnlint.confirm.worker.process.wire import LONGEST, unpack
from nnlint.verdict import Json, Outcome

WORKER = Path(__file__).parent / "worker" / "__main__.py"

STARTING = 300.0
"""Seconds that the worker may take to import torch, from a slow disk."""

OVERTIME = 15.0
"""Seconds beyond its limit after which an experiment that the worker has not ended is ended with the worker."""

SHORT_OVERTIME = 1.0
"""The same where the worker runs the experiment in its own process and cannot end it."""

ENDING = 5.0
"""Seconds that the worker may take to tidy up."""


INSTALLING = {
    "torch": "`{python} -m pip install torch` installs it",
    "version": "`{python} -m pip install --upgrade torch` brings a newer one",
}
"""What helps, by what the worker finds missing."""


class NoLaboratory(Exception):
    """Experiments cannot be run; the message says why, and what helps if that is known."""


class Laboratory:
    """Runs experiments in a worker process, which is started on entry and gone on exit.

    Args:
        python: the interpreter that experiments run in; it needs torch and nothing of nnlint.
        device: ``auto``, or a device as torch names it.
        timeout: seconds for each experiment.
        memory: bytes for each experiment, beyond what torch takes by itself.
        kinds: folders with further kinds of experiments, a module each.
        foreseen: slow modules that the user's files import (see :mod:`.worker.process.warmth`), to be imported while
            nothing else is to do.
    """

    def __init__(
        self,
        python: Path,
        device: str = "auto",
        timeout: float = 10.0,
        memory: int = 4 << 30,
        kinds: Sequence[Path] = (),
        foreseen: Sequence[str] = (),
    ) -> None:
        self.python = python
        self._asked = device
        self._timeout = timeout
        self._memory = memory
        self._kinds = [str(folder.absolute()) for folder in kinds]
        self._foreseen = list(foreseen)
        self._worker: _Worker | None = None

    def __enter__(self) -> Laboratory:  # noqa: PYI034 # Self is younger than Python 3.10
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def folder(self) -> str:
        """The only folder that experiments write to; gone when they are done."""
        return self._worker.folder if self._worker is not None else ""

    @property
    def device(self) -> str:
        """The device that experiments compute on, as torch names it.

        Raises:
            NoLaboratory: no experiment can be run.
        """
        return str(self.description["device"])

    @property
    def description(self) -> Mapping[str, Json]:
        """What the worker says of itself, once it is ready: ``torch``, ``python``, ``device``, ``unenforced``.

        Raises:
            NoLaboratory: no experiment can be run.
        """
        return self._ready().description

    def run(self, job: Mapping[str, Json]) -> dict[str, Json]:
        """The answer of the experiment that a job asks for; what does not come to an end is inconclusive.

        Raises:
            NoLaboratory: no experiment can be run.
        """
        worker = self._ready()
        message = {"timeout": self._timeout, "memory": self._memory, **job}
        begin = time.monotonic()
        answer = worker.ask(message, self._timeout + (SHORT_OVERTIME if worker.once else OVERTIME))
        if answer is not None and not worker.once:
            return answer
        alive = worker.is_alive()
        why = f"not done within {self._timeout:g} s" if alive else f"the worker failed: {worker.last_words()}"
        worker.end()
        self._start()
        return answer or _inconclusive(message, why, time.monotonic() - begin, worker.description)

    def close(self) -> None:
        """End the worker and all it has started, and remove what was written."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def _start(self) -> None:
        start: dict[str, Json] = {
            "device": self._asked,
            "memory": self._memory,
            "kinds": self._kinds,
            "foreseen": self._foreseen,
        }
        self._worker = _Worker(self.python, start)

    def _ready(self) -> _Worker:
        if self._worker is None:
            raise NoLaboratory("the laboratory is closed")
        self._worker.wait_until_ready()
        return self._worker


class _Worker:
    """A worker process, being started."""

    def __init__(self, python: Path, start: Mapping[str, Json]) -> None:
        self.description: Mapping[str, Json] = {}
        self._python = python
        self._token = secrets.token_hex(16)
        self.folder = tempfile.mkdtemp(prefix="nnlint-")
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 # closed with the worker
        self._process: subprocess.Popen[bytes] | None = None
        self._refusal = ""
        try:
            self._process = subprocess.Popen(
                [str(python), "-B", str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=worker_environment(os.environ),
                start_new_session=True,
            )
        except OSError as error:
            self._refusal = f"does not start: {(error.strerror or str(error)).lower()}"
            return
        self._answers = _Pipe(self._process)
        self._send({**start, "folder": self.folder, "token": self._token})

    @property
    def once(self) -> bool:
        """Whether the worker answers a single job."""
        return bool(self.description.get("once"))

    def wait_until_ready(self) -> None:
        """Wait until torch has been imported.

        Raises:
            NoLaboratory: it could not be.
        """
        if self.description:
            return
        message = None if self._refusal else self._receive(STARTING)
        if message is not None and "ready" in message:
            self.description = message["ready"]
            return
        if message is not None:
            self._refusal = str(message["why"])
            if message["unfit"] in INSTALLING:
                self._refusal += f"; {INSTALLING[message['unfit']].format(python=self._python)}"
        elif not self._refusal and self.is_alive():
            self._refusal = f"did not import torch within {STARTING:g} s"
        elif not self._refusal:
            self._refusal = f"does not start: {self.last_words()}"
        raise NoLaboratory(self._refusal)

    def ask(self, job: Mapping[str, Json], seconds: float) -> dict[str, Json] | None:
        """The answer to a job; None if there is none within ``seconds``, or ever."""
        self._send(job)
        message = self._receive(seconds)
        answer = None if message is None else message.get("answer")
        sound = isinstance(answer, dict) and answer.get("id") == job["id"] and answer.get("outcome") in OUTCOMES
        return answer if sound else None

    def is_alive(self) -> bool:
        """Whether the worker has not ended; one that has closed its pipe is given a moment to do so."""
        assert self._process is not None
        if self._answers.ended:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        return self._process.poll() is None

    def last_words(self) -> str:
        """The last line that the worker wrote to stderr, or how it ended."""
        assert self._process is not None
        self._errors.seek(0)
        lines = self._errors.read()[-4096:].decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else _ending(self._process.returncode)

    def end(self) -> None:
        """End the process and everything it has started."""
        try:
            if self._process is not None:
                self._end(self._process)
        finally:
            self._errors.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        try:
            # Without anybody to answer a worker ends by itself, once it is there at all.
            self._answers.close()
            if self.description:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(ENDING)
        finally:
            _kill(process)
            process.wait()

    def _send(self, message: Mapping[str, Json]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        # Who cannot be sent anything has ended, and does not answer.
        with suppress(OSError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _receive(self, seconds: float) -> dict[str, Any] | None:
        return self._answers.receive(self._token, time.monotonic() + seconds)


OUTCOMES = frozenset(outcome.value for outcome in Outcome)


class _Pipe:
    """Messages from a worker."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.ended = False
        self._input, self._output = process.stdin, process.stdout
        self._received = b""
        self._chunks: queue.SimpleQueue[bytes] | None = None
        if sys.platform == "win32":
            # There, one cannot wait for a pipe for a while only.
            self._chunks = queue.SimpleQueue()
            threading.Thread(target=self._pump, daemon=True).start()

    def receive(self, token: str, deadline: float) -> dict[str, Any] | None:
        """The next message with the token; None when it is ``deadline``, or the worker is gone."""
        while True:
            mark = self._received.rfind(b"\n")
            message = unpack(token, self._received) if mark > 0 else None
            if message is not None:
                self._received = b""
                return message
            chunk = self._chunk(deadline - time.monotonic())
            if chunk is None:
                return None
            self._received += chunk
            if not chunk or len(self._received) > 2 * LONGEST:
                self.ended = True
                return None

    def close(self) -> None:
        """Close both directions."""
        for stream in (self._input, self._output):
            with suppress(OSError):
                stream.close()

    def _chunk(self, seconds: float) -> bytes | None:
        """What was written, empty at the end; None if nothing is written within ``seconds``."""
        if seconds <= 0:
            return None
        if self._chunks is not None:
            try:
                return self._chunks.get(timeout=seconds)
            except queue.Empty:
                return None
        import select

        if not select.select([self._output], [], [], seconds)[0]:
            return None
        return os.read(self._output.fileno(), 1 << 16)

    def _pump(self) -> None:
        assert self._chunks is not None
        with suppress(OSError, ValueError):
            while chunk := os.read(self._output.fileno(), 1 << 16):
                self._chunks.put(chunk)
        self._chunks.put(b"")


def _inconclusive(
    job: Mapping[str, Json], why: str, seconds: float, description: Mapping[str, Json]
) -> dict[str, Json]:
    """The answer to a job whose worker has not given any."""
    return {
        "id": job["id"],
        "outcome": Outcome.INCONCLUSIVE.value,
        "summary": why,
        "figures": {},
        "assumptions": [],
        "stood_in": [],
        "device": description["device"],
        "torch": description["torch"],
        "seconds": round(seconds, 4),
        "unenforced": description["unenforced"],
    }


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process with its group."""
    if sys.platform == "win32":
        process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _ending(status: int | None) -> str:
    if status is not None and status < 0:
        with suppress(ValueError):
            return signal.Signals(-status).name
    return f"exit status {status}"
