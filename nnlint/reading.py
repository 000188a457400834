"""One file of a run: its bytes pass the gate, are parsed and read, and the rules are asked."""

from __future__ import annotations

import gc
import re
import traceback
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Diagnostic, Location, Span
from nnlint.rule import STAGES, Finding, Rule
from nnlint.source import ParseFailure, Source, TooLarge, UnreadableSource
from nnlint.suppression import MARKER, Comments, find_comments

if TYPE_CHECKING:
    from nnlint.symbolic.project import Project

UNPARSABLE = "NN000"

REMEMBERED = 5 << 20
"""Bytes of source after which the syntax trees are let go: they take a hundred times the room of the text."""

COLLECTED = 16 << 20
"""Bytes of source let go after which the collector looks for what was left in circles; it is slow."""

ROOT_MARKERS = (".git", "pyproject.toml", "setup.py", "setup.cfg")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that kept a file, or a rule on it, from being read; ``detail`` is for those who mend nnlint."""

    filename: str
    message: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of one file: plain data, so that it crosses processes. The findings may lie in imported files."""

    filename: str
    diagnostics: tuple[Diagnostic, ...] = ()
    problems: tuple[Problem, ...] = ()
    comments: Comments | None = None
    """None for a file without any suppression."""
    parsed: bool = False
    truncated: str | None = None


def asks_trace(rule: Rule) -> bool:
    """Whether a rule asks the trace: those of nnlint itself are answered by the run."""
    return rule.stage != STAGES["0"]


def project_root(path: Path, bounds: Collection[Path]) -> Path:
    """The folder that the imports of a file may reach up to.

    The nearest that looks like the root of a repository; otherwise the nearest of ``bounds``, the folders that the
    run was started in or with; otherwise the first that is no package.
    """
    marked = (folder for folder in path.parents if any((folder / name).exists() for name in ROOT_MARKERS))
    bounding = (folder for folder in path.parents if folder in bounds)
    outside = (folder for folder in path.parents if not (folder / "__init__.py").exists())
    return next(chain(marked, bounding, outside), path.parent)


class Reader:
    """Reads files one after the other, and remembers the modules they share."""

    def __init__(self, rules: Mapping[str, Rule], bounds: Collection[Path] = (), *, plans: bool = False) -> None:
        """``bounds`` limit repositories (see ``project_root``); with ``plans`` findings say how to confirm them."""
        self._rules = rules
        self._plans = plans
        self._texts = {
            code: [tuple(text.encode() for text in texts) for texts in (rule.mentions, rule.requires) if texts]
            for code, rule in rules.items()
        }
        self._bounds = bounds
        self._current: Project | None = None
        self._roots: dict[Path, Path] = {}
        self._held = 0
        self._forgotten = 0

    def read(self, path: Path, codes: Collection[str], content: bytes | None = None) -> Reading:
        """Ask the rules of ``codes`` about a file; ``content`` stands in the place of what is on disk."""
        filename = str(path)
        try:
            data = path.read_bytes() if content is None else content
        except OSError as error:
            return Reading(filename, problems=(_unreadable(filename, (error.strerror or str(error)).lower()),))
        asked = [rule for code, rule in self._rules.items() if code in codes and asks_trace(rule)]
        relevant = [rule for rule in asked if self._mentioned(rule, data)]
        marked = MARKER.search(data) is not None
        if not relevant and not marked:
            return Reading(filename)
        try:
            source = Source.decode(path, data)
        except UnreadableSource as error:
            return Reading(filename, problems=(_unreadable(filename, error.reason),))
        comments = find_comments(source.text) if marked else None
        if not relevant:
            return Reading(filename, comments=comments)
        project = self._project(path, len(data))
        if content is None:
            # An earlier file may have imported it.
            source = project.source(path) or source
        else:
            project.add(source)
        try:
            _ = source.module
        except TooLarge as failure:
            return Reading(filename, comments=comments, truncated=failure.reason)
        except ParseFailure as failure:
            diagnostics = (self._unparsable(source, failure),) if UNPARSABLE in codes else ()
            return Reading(filename, diagnostics, comments=comments, parsed=True)
        reading = _ask(source, project, asked, _words(relevant), plans=self._plans)
        return replace(reading, comments=comments)

    def _mentioned(self, rule: Rule, data: bytes) -> bool:
        return all(any(text in data for text in texts) for texts in self._texts[rule.code])

    def _project(self, path: Path, size: int) -> Project:
        """The repository of a file. Files come repository by repository: the trees of the one before are let go."""
        from nnlint.symbolic.project import Project

        root = self._roots.get(path.parent)
        if root is None:
            root = self._roots[path.parent] = project_root(path, self._bounds)
        self._held += size
        if self._current is None or self._current.root != root or self._held > REMEMBERED:
            if self._current is not None:
                self._current.forget()
                self._forgotten += self._held
                if self._forgotten > COLLECTED:
                    gc.collect()
                    self._forgotten = 0
            self._held = size
            if self._current is None or self._current.root != root:
                self._current = Project(root)
        return self._current

    def _unparsable(self, source: Source, failure: ParseFailure) -> Diagnostic:
        rule = self._rules[UNPARSABLE]
        return Diagnostic(
            code=rule.code,
            name=rule.name,
            message=f"this file cannot be parsed: {failure.reason}",
            why="nothing in it was checked",
            advice="correct the syntax, or exclude the file",
            severity=rule.severity,
            confidence=Confidence.HIGH,
            location=Location(str(source.path), Span(failure.row, failure.column, failure.row, failure.column + 1)),
            text=source.line(failure.row).strip(),
        )


def _ask(
    source: Source, project: Project, rules: Iterable[Rule], words: Collection[str] | None, *, plans: bool
) -> Reading:
    """What the rules answer; one that raises is a problem, and the others are asked all the same.

    All rules are asked: what the script calls in other files may concern one that its own text does not.
    """
    from nnlint.resolve import Script, resolve
    from nnlint.symbolic.roots import execute

    filename = str(source.path)
    script = Script(source.path, project.root) if plans else None
    try:
        trace = execute(source, project, words)
    except Exception as error:
        return Reading(filename, problems=(_internal(filename, "the reading of the script", error),), parsed=True)
    problems: list[Problem] = []
    findings: list[tuple[Rule, Finding]] = []
    for rule in rules:
        try:
            findings.extend((rule, finding) for finding in rule.check(trace))
        except Exception as error:
            problems.append(_internal(filename, f"{rule.code} {rule.name}", error))
    diagnostics: list[Diagnostic] = []
    try:
        diagnostics += resolve(findings, script)
    except Exception:
        # One by one, to lose and to blame only those that it cannot place.
        for rule, finding in findings:
            try:
                diagnostics += resolve([(rule, finding)], script)
            except Exception as error:
                problems.append(_internal(filename, f"{rule.code} {rule.name}", error))
    return Reading(filename, tuple(diagnostics), tuple(problems), parsed=True, truncated=trace.truncated)


def _words(rules: Iterable[Rule]) -> set[str] | None:
    """What a function must mention to be worth reading for one of the rules; None if any function is."""
    words: set[str] = set()
    for rule in rules:
        roots = tuple(map(re.escape, rule.mentions)) if rule.roots is None else rule.roots
        if not roots and rule.roots is None:
            return None
        words.update(roots)
    return words


def _unreadable(filename: str, reason: str) -> Problem:
    return Problem(filename, f"cannot be read: {reason}")


def _internal(filename: str, where: str, error: Exception) -> Problem:
    said = f"{type(error).__name__}: {error}".partition("\n")[0]
    detail = "".join(traceback.format_exception(error))
    return Problem(filename, f"internal error in {where}: {said}", detail)
