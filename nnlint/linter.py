"""The run: files to findings, in as many processes as are worth it, the same whatever their number."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nnlint.diagnostic import Diagnostic
from nnlint.reading import UNPARSABLE, Problem, Reader, Reading, project_root
from nnlint.registry import load_rules
from nnlint.suppression import UNUSED, suppress, unused_suppressions

if TYPE_CHECKING:
    from nnlint.config import Configuration

STACK = 256 << 20
"""Bytes of stack for the reading, which follows calls into calls."""

RECURSION = 20_000
"""Levels of Python that this stack holds."""

WORTHWHILE = 256 << 10
"""Bytes of source below which a second process costs more than it saves."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Report:
    """What a run found: the findings in the order of their places, and what went wrong."""

    diagnostics: tuple[Diagnostic, ...] = ()
    problems: tuple[Problem, ...] = ()
    files: int = 0
    parsed: int = 0
    truncated: tuple[tuple[str, str], ...] = ()
    """Files whose reading stopped early, and why."""


@dataclass(frozen=True, slots=True)
class Task:
    """Files for one process, each with the codes asked of it."""

    files: tuple[tuple[Path, frozenset[str]], ...]
    bounds: frozenset[Path]
    plans: bool = False


def lint(
    files: Sequence[Path],
    configuration: Configuration,
    *,
    jobs: int = 1,
    folders: Collection[Path] = (),
    texts: Mapping[Path, bytes] | None = None,
    plans: bool = False,
) -> Report:
    """Lint files, given by their absolute paths.

    Args:
        files: the files of the run; findings in others are not reported.
        configuration: what is asked of each file.
        jobs: the greatest number of processes.
        folders: the folders that the run was given, which bound the repositories of files without any other mark.
        texts: what stands in the place of the files on disk.
        plans: let the findings say how they can be confirmed.
    """
    bounds = frozenset((Path.cwd(), *folders))
    asked = {path: configuration.settings(path.parent).codes(path) for path in files}
    task = Task(tuple(asked.items()), bounds, plans)
    if texts is None and jobs > 1 and hasattr(os, "fork"):
        readings = _in_processes(task, jobs)
    else:
        readings = with_deep_stack(lambda: _read_all(task, texts or {}))
    return _report(readings, asked, configuration, bounds)


def with_deep_stack(work: Callable[[], T]) -> T:
    """Do ``work`` in a thread whose stack stands deep recursion, without the cyclic garbage collector's pauses."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            failure.append(error)

    recursion, collecting = sys.getrecursionlimit(), gc.isenabled()
    sys.setrecursionlimit(max(recursion, RECURSION))
    gc.disable()
    gc.freeze()
    before = threading.stack_size(STACK)
    try:
        thread = threading.Thread(target=run, name="nnlint", daemon=True)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
        sys.setrecursionlimit(recursion)
        # What is left are trees and values in circles that go with the process: looking through them is for nothing.
        gc.freeze()
        if collecting:
            gc.enable()
    if failure:
        raise failure[0]
    return outcome[0]


def _read_all(task: Task, texts: Mapping[Path, bytes]) -> list[Reading]:
    reader = Reader(load_rules(), task.bounds, plans=task.plans)
    return [reader.read(path, codes, texts.get(path)) for path, codes in task.files]


def _read_task(task: Task) -> list[Reading]:
    return with_deep_stack(lambda: _read_all(task, {}))


def _in_processes(task: Task, jobs: int) -> list[Reading]:
    """Read the files in forked processes; a file that takes its process down is a problem of that file alone."""
    sizes = {path: _size(path) for path, _ in task.files}
    total = sum(sizes.values())
    if total < WORTHWHILE or len(task.files) < 2:
        return _read_task(task)
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # What every child needs is imported once.
    import nnlint.resolve
    import nnlint.symbolic.roots  # noqa: F401

    tasks = list(_split(task, sizes, total // (jobs * 4), total // jobs))
    fork = multiprocessing.get_context("fork")
    readings: list[Reading] = []
    broken: list[Task] = []
    with ProcessPoolExecutor(min(jobs, len(tasks)), mp_context=fork) as pool:
        futures = [pool.submit(_read_task, part) for part in tasks]
        for part, future in zip(tasks, futures, strict=True):
            try:
                readings += future.result()
            except BrokenProcessPool:
                broken.append(part)
            except KeyboardInterrupt:
                for child in multiprocessing.active_children():
                    child.terminate()
                raise
    for part in broken:
        for entry in part.files:
            with ProcessPoolExecutor(1, mp_context=fork) as pool:
                try:
                    readings += pool.submit(_read_task, replace(task, files=(entry,))).result()
                except BrokenProcessPool:
                    filename = str(entry[0])
                    problem = Problem(filename, "internal error: reading this file ended the process")
                    readings.append(Reading(filename, problems=(problem,)))
    return readings


def _split(task: Task, sizes: Mapping[Path, int], target: int, most: int) -> Iterator[Task]:
    """Tasks of about ``target`` bytes; a repository, whose files read each other, is split from ``most`` bytes on."""
    roots: dict[Path, Path] = {}
    for path, _ in task.files:
        if path.parent not in roots:
            roots[path.parent] = project_root(path, task.bounds)
    part: list[tuple[Path, frozenset[str]]] = []
    held = 0
    for path, codes in sorted(task.files, key=lambda entry: (str(roots[entry[0].parent]), str(entry[0]))):
        among_its_own = bool(part) and roots[part[-1][0].parent] == roots[path.parent]
        if part and held + sizes[path] > (most if among_its_own else target):
            yield replace(task, files=tuple(part))
            part, held = [], 0
        part.append((path, codes))
        held += sizes[path]
    if part:
        yield replace(task, files=tuple(part))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _report(
    readings: Iterable[Reading],
    asked: Mapping[Path, frozenset[str]],
    configuration: Configuration,
    bounds: Collection[Path],
) -> Report:
    by_file = {reading.filename: reading for reading in sorted(readings, key=lambda reading: reading.filename)}
    codes = {str(path): wanted for path, wanted in asked.items()}
    found: dict[str, list[Diagnostic]] = {filename: [] for filename in by_file}
    for diagnostic in _strongest(diagnostic for reading in by_file.values() for diagnostic in reading.diagnostics):
        filename = diagnostic.location.filename
        if filename in found and diagnostic.code in codes[filename]:
            found[filename].append(diagnostic)
    shown: list[Diagnostic] = []
    for filename, reading in by_file.items():
        path = Path(filename)

        def reached_from_outside(path: Path = path) -> bool:
            from nnlint.importers import imported_outside

            return imported_outside(path, project_root(path, bounds), by_file, configuration)

        kept = _unsilenced(reading, found[filename], codes[filename], reached_from_outside)
        settings = configuration.settings(path.parent)
        shown += (diagnostic for diagnostic in kept if settings.shows(diagnostic.code, diagnostic.severity))
    return Report(
        diagnostics=tuple(sorted(shown, key=_order)),
        problems=tuple(problem for reading in by_file.values() for problem in reading.problems),
        files=len(by_file),
        parsed=sum(reading.parsed for reading in by_file.values()),
        truncated=tuple((name, reading.truncated) for name, reading in by_file.items() if reading.truncated),
    )


def _unsilenced(
    reading: Reading,
    diagnostics: list[Diagnostic],
    codes: Collection[str],
    reached_from_outside: Callable[[], bool],
) -> list[Diagnostic]:
    """The findings of a file that no comment silences, and those about the comments themselves."""
    if reading.comments is None:
        return diagnostics
    kept, used = suppress(diagnostics, reading.comments)
    unparsable = any(diagnostic.code == UNPARSABLE for diagnostic in diagnostics)
    unread = unparsable or reading.problems or reading.truncated is not None
    if UNUSED not in codes or unread:
        return kept
    unused = list(unused_suppressions(reading.filename, reading.comments, used, codes, load_rules()))
    if any(diagnostic.fix is not None for diagnostic in unused) and reached_from_outside():
        # What seems idle may silence what is found on the way through a file that this run does not read.
        unused = [diagnostic for diagnostic in unused if diagnostic.fix is None]
    return kept + suppress(unused, reading.comments)[0]


def _order(diagnostic: Diagnostic) -> tuple[str, int, int, str, str]:
    span = diagnostic.location.span
    return diagnostic.location.filename, span.row, span.column, diagnostic.code, diagnostic.message


def _strongest(diagnostics: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """Of the findings of one code in one place, reached from several files, the best founded."""
    groups: dict[object, list[Diagnostic]] = {}
    for diagnostic in diagnostics:
        groups.setdefault((diagnostic.code, diagnostic.location), []).append(diagnostic)
    for group in groups.values():
        best = min(group, key=_rank)
        if best.plan is not None and best.plan.scripted and best.plan.entry:
            plans = (each.plan for each in sorted(group, key=_rank))
            script = next((each for each in plans if each is not None and not each.entry), None)
            best = replace(best, plan=replace(best.plan, script=script))
        yield best


def _rank(diagnostic: Diagnostic) -> tuple[int, int, str, bool, str]:
    unplanned = diagnostic.plan is None
    return -diagnostic.confidence, -diagnostic.severity, diagnostic.message, unplanned, repr(diagnostic)
