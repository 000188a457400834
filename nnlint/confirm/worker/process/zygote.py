"""The worker's main loop: torch is imported once, and every experiment is a fork of the process that has it.

This process runs no operation of torch and never asks for CUDA: threads, and CUDA, do not survive a fork.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from .. import kinds
from ..isolation import namespaces
from ..isolation.environment import make_home
from . import warmth
from .apart import Fork
from .bounds import Bounds
from .device import accelerators, chosen
from .trial import answer, bounds_of, inconclusive_answer, verdict_on
from .watch import Abandoned, Inside, Watch
from .wire import Lines, pack, write

OLDEST = 2
"""The first version of torch that experiments know."""

INSPECTION = Bounds(120.0, 64 << 30)
"""What looking for a device may take: drivers are slow to wake, and reserve what they like."""

IDLE = 0.25
"""Seconds without a job after which there is time to import what only some experiments need."""

Say = Callable[[Mapping[str, Any]], None]
"""Sends a message to the process that asked for the worker."""


class Unfit(Exception):
    """Experiments cannot be run here: what is missing (``torch``, ``version``, ``device``), and a sentence about it."""


def serve(jobs: int, answers: int) -> None:
    """Answer the jobs that come from the descriptor ``jobs`` until its other end is closed."""
    sender = Lines(jobs)
    start = sender.next()
    if start is None:
        return

    def say(message: Mapping[str, Any]) -> None:
        write(answers, pack(start["token"], message))

    kinds.__path__.extend(start["kinds"])
    try:
        _serve({**start, "answers": answers}, sender, say)
    except Unfit as error:
        missing, why = error.args
        say({"unfit": missing, "why": why})
    finally:
        # Should nobody be left to do so.
        shutil.rmtree(start["folder"], ignore_errors=True)


def _serve(start: Mapping[str, Any], sender: Lines, say: Say) -> None:
    if not hasattr(os, "fork"):
        _serve_once(start, sender, say)
        return
    # While there is one thread only, and before torch has been read into memory.
    private = (sender.descriptor, start["answers"])
    spaces = namespaces.enter(start["memory"], private) if sys.platform == "linux" else None
    zygote = Zygote(start, _import_torch(), sender, spaces)
    say({"ready": zygote.description})
    with suppress(Abandoned):
        zygote.answer_all(say)


class Zygote:
    """The process that all experiments are forked from.

    Raises:
        Unfit: the device asked for is not there.
    """

    def __init__(
        self, start: Mapping[str, Any], version: str, sender: Lines, spaces: namespaces.Namespaces | None
    ) -> None:
        self._version = version
        self._sender = sender
        # Packages that were installed for the user alone have been found by now.
        make_home(start["folder"])
        warmth.load_everywhere()
        warmth.settle()
        with Watch(start["folder"], "any", spaces, sender).run(_inspection, INSPECTION) as (found, why):
            if found is None:
                raise Unfit("device", f"looking for a device, torch {why}")
        self._device = _device(start["device"], found)
        self._unenforced: list[str] = found["unenforced"]
        self._watch = Watch(start["folder"], self._device, spaces, sender)
        self._wanted: list[str] = start["foreseen"]
        """The slow modules that an experiment has imported, or is expected to."""

    @property
    def description(self) -> dict[str, Any]:
        """What there is to experiment with."""
        return _description(self._version, self._device, self._unenforced)

    def answer_all(self, say: Say) -> None:
        """Answer job after job.

        Raises:
            Abandoned: nobody waits for an answer any more.
        """
        warmth.load(self._wanted)
        warmth.load_kinds(self._sender.waiting)
        if not self._sender.waiting(IDLE):
            warmth.load()
        while (message := self._sender.next()) is not None:
            self._answer(message, say)
            warmth.load_kinds(self._sender.waiting)

    def _answer(self, message: Mapping[str, Any], say: Say) -> None:
        bounds = bounds_of(message)

        def work(inside: Inside) -> dict[str, Any]:
            worse = set(inside.unenforced) - set(self._unenforced)
            if worse:
                return inconclusive_answer(f"not run: this time the system did not enforce {', '.join(sorted(worse))}")
            apart = Fork(bounds.paths, bounds.memory, inside.trace, inside.private)
            result = verdict_on(message, self._device, apart)
            return {**result, "loaded": [*warmth.loaded(), *apart.loaded]}

        begin = time.perf_counter()
        warmth.load_kind(message["kind"])
        warmth.load(self._wanted)
        with self._watch.run(work, bounds) as (found, why):
            seconds = time.perf_counter() - begin
            result = inconclusive_answer(why) if found is None else found
            self._wanted = result.pop("loaded", [])
            say({"answer": answer(message, result, seconds, self.description)})


def _inspection(inside: Inside) -> dict[str, Any]:
    return {"unenforced": inside.unenforced, **accelerators()}


def _import_torch() -> str:
    """Import torch for one thread; its version.

    Raises:
        Unfit: it is missing, does not import, or is too old.
    """
    if importlib.util.find_spec("torch") is None:
        raise Unfit("torch", "torch is not installed")
    try:
        import torch
    except Exception as error:
        raise Unfit("torch", f"torch cannot be imported ({_first_line(error)})") from error
    version = str(torch.__version__)
    if int(version.partition(".")[0]) < OLDEST:
        raise Unfit("version", f"torch {version} is too old: experiments need 2.0 or later")
    torch.set_num_threads(1)
    return version


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _device(asked: str, found: dict[str, Any]) -> str:
    try:
        return chosen(asked, found)
    except ValueError as error:
        raise Unfit("device", str(error)) from error


def _description(version: str, device: str, unenforced: list[str]) -> dict[str, Any]:
    return {"torch": version, "python": platform.python_version(), "device": device, "unenforced": unenforced}


def _serve_once(start: Mapping[str, Any], sender: Lines, say: Say) -> None:
    """Answer one job in this very process, which ends with it: what there is where nothing can be forked."""
    from ..isolation import sandbox
    from ..isolation.audit import watch_over
    from ..isolation.environment import settle_in
    from .trace import Trace

    unenforced = [sandbox.NETWORK, sandbox.WRITES, sandbox.PROGRAMS, sandbox.PROCESSES, sandbox.MEMORY]
    version = _import_torch()
    device = _device(start["device"], accelerators())
    description = {**_description(version, device, unenforced), "once": True}
    say({"ready": description})
    message = sender.next()
    if message is None:
        return
    bounds = bounds_of(message)
    settle_in(start["folder"])
    watch_over(start["folder"])
    begin = time.perf_counter()
    apart = Fork(bounds.paths, bounds.memory, Trace(start["folder"]))
    result = verdict_on(message, device, apart)
    say({"answer": answer(message, result, time.perf_counter() - begin, description)})
