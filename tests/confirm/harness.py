"""Findings of whole scripts, confirmed as ``nnlint --confirm`` does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nnlint.config import Configuration, Options
from nnlint.confirm.confirmation import confirm, prepare
from nnlint.confirm.constructions import constructions
from nnlint.confirm.slice import cut
from nnlint.diagnostic import Diagnostic, Location, Span, TextEdit, TextFix
from nnlint.discovery import discover
from nnlint.linter import lint
from nnlint.verdict import Json

Run = Callable[[dict[str, Json]], Mapping[str, Json]]


def findings(path: Path) -> Sequence[Diagnostic]:
    """What is found in a file or folder, with plans."""
    configuration = Configuration(Options(select=("ALL",)), isolated=True)
    files = discover([path], configuration, force_exclude=False, respect_gitignore=False).files
    report = lint(files, configuration, folders=[path] if path.is_dir() else [], plans=True)
    assert not report.problems
    return report.diagnostics


def confirmed_findings(path: Path, run: Run) -> Sequence[Diagnostic]:
    """What is found in a file or folder, with verdicts."""
    found = findings(path)
    return confirm(found, prepare(found, {}), run, lambda done: None)


def repaired(path: Path, code: str, changes: Mapping[str, str], run: Run) -> Mapping[str, Json]:
    """The answer of the experiment on the only finding of a rule in a file, with the text changed before it is run.

    ``changes`` are texts that stand in the file exactly once, and what they become.
    """
    (found,) = (each for each in findings(path) if each.code == code)
    assert found.plan is not None
    edits = tuple(_edit(path, old, new) for old, new in changes.items())
    plan = replace(found.plan, mend=TextFix("repair", False, edits))
    program = cut(plan, {}, mended=True)
    mended = None if found.plan.mend is None else program
    settings = {**plan.settings, "constructions": constructions(plan, {})}
    return run({"id": 0, "kind": plan.kind, "program": program, "mended": mended, "settings": settings})


def _edit(path: Path, old: str, new: str) -> TextEdit:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path.name}"
    start = text.index(old)
    end = start + len(old)
    rows = [text.count("\n", 0, offset) + 1 for offset in (start, end)]
    columns = [offset - text.rfind("\n", 0, offset) for offset in (start, end)]
    return TextEdit(Location(str(path), Span(rows[0], columns[0], rows[1], columns[1])), new)
