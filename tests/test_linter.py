from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nnlint.config import Configuration, Options
from nnlint.diagnostic import Confidence, Diagnostic, Location, Severity, Span
from nnlint.linter import Report, lint, with_deep_stack
from nnlint.reading import Reader, Reading, project_root
from nnlint.rule import Rule

Write = Callable[..., Path]
ROOT = Path(__file__).parent.parent


def diagnostic(path: Path, row: int = 1, code: str = "NN204", message: str = "m") -> Diagnostic:
    location = Location(str(path), Span(row, 1, row, 5))
    return Diagnostic(code, "clipped-loss", message, "w", "a", Severity.ERROR, Confidence.MEDIUM, location)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, stub_rules: dict[str, Rule]) -> dict[str, Reading]:
    """What the reading of each file answers, by the file's name."""
    readings: dict[str, Reading] = {}

    def read(_self: Reader, path: Path, codes: frozenset[str], content: bytes | None = None) -> Reading:
        return readings.get(path.name, Reading(str(path)))

    monkeypatch.setattr(Reader, "read", read)
    return readings


def run(*paths: Path, **options: object) -> Report:
    return lint(list(paths), Configuration(Options(**options), isolated=True))  # type: ignore[arg-type]


def test_a_finding_in_an_imported_file_is_kept_if_the_file_is_in_the_run(
    folder: Path, answers: dict[str, Reading]
) -> None:
    train, losses = folder / "train.py", folder / "losses.py"
    answers["train.py"] = Reading(str(train), (diagnostic(losses),))
    assert run(train, losses).diagnostics == (diagnostic(losses),)
    assert run(train).diagnostics == ()


def test_of_one_code_in_one_place_the_best_founded_is_kept(folder: Path, answers: dict[str, Reading]) -> None:
    a, b, c, there = (folder / name for name in ("a.py", "b.py", "c.py", "d.py"))
    best = replace(diagnostic(there, message="n"), confidence=Confidence.HIGH)
    mild = replace(best, severity=Severity.WARNING, message="a")
    for path, reached in ((a, diagnostic(there, message="a")), (b, best), (c, mild)):
        answers[path.name] = Reading(str(path), (reached, diagnostic(there, 2), diagnostic(there, 1, "NN203")))
    found = run(a, b, c, there).diagnostics
    assert [(each.location.span.row, each.code) for each in found] == [(1, "NN203"), (1, "NN204"), (2, "NN204")]
    assert found[1] == best


def test_the_order_is_by_place(folder: Path, answers: dict[str, Reading]) -> None:
    a, b = folder / "a.py", folder / "b.py"
    answers["b.py"] = Reading(str(b), (diagnostic(b, 10), diagnostic(b, 9), diagnostic(a, 3)))
    answers["a.py"] = Reading(str(a), (diagnostic(a, 3, "NN203"), diagnostic(a, 100)))
    found = [(each.location.filename[-4:], each.location.span.row, each.code) for each in run(b, a).diagnostics]
    assert found == [
        ("a.py", 3, "NN203"), ("a.py", 3, "NN204"), ("a.py", 100, "NN204"), ("b.py", 9, "NN204"), ("b.py", 10, "NN204"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("importer", "unused"),
    [
        ("x = 1\nprint(losses)\n", ["NN001", "NN001"]),
        ("from losses import clip\n", ["NN001"]),
        ("from . import (\n    models,\n    losses,\n)\n", ["NN001"]),
        ("def f():\n    import losses as l\n", ["NN001"]),
        ("import other.losses\n", ["NN001", "NN001"]),
        ("import losses\nprint 1\n", ["NN001", "NN001"]),
    ],
)
def test_what_others_may_find_on_their_way_through_a_file_is_not_unused(
    stub_rules: dict[str, Rule], write: Write, importer: str, unused: list[str]
) -> None:
    losses = write("losses.py", "x = 1  # nnlint: ignore[NN204]\ny = 1  # nnlint: ignore[NN20x]\n")
    train = write("train.py", importer)
    assert [each.code for each in run(losses).diagnostics] == unused
    assert [each.code for each in run(losses, train).diagnostics] == ["NN001", "NN001"]


def test_root_of_a_file(folder: Path, write: Write) -> None:
    file = write("repo/pkg/sub/train.py")
    assert project_root(file, {folder / "repo"}) == folder / "repo"
    assert project_root(file, {folder, folder / "repo" / "pkg"}) == folder / "repo" / "pkg"
    assert project_root(file, ()) == file.parent
    write("repo/pkg/sub/__init__.py")
    assert project_root(file, ()) == folder / "repo" / "pkg"
    write("repo/setup.py")
    assert project_root(file, {folder / "repo" / "pkg"}) == folder / "repo"
    write("repo/pkg/.git/HEAD")
    assert project_root(file, ()) == folder / "repo" / "pkg"


def test_deep_stack() -> None:
    before = sys.getrecursionlimit(), threading.stack_size()

    def depth(levels: int) -> int:
        return 0 if levels == 0 else 1 + depth(levels - 1)

    assert with_deep_stack(lambda: depth(15_000)) == 15_000
    with pytest.raises(ZeroDivisionError):
        with_deep_stack(lambda: 1 // 0)
    assert (sys.getrecursionlimit(), threading.stack_size()) == before


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "(" * 5000 + "clamp" + ")" * 5000,
        "x = [" * 1 + "[" * 3000 + "]" * 3000 + "]  # clamp",
        "x = clamp" + ".b" * 20000,
        "x = " + "-" * 20000 + "clamp",
        "x = " + " and ".join(["clamp"] * 20000),
        "x = " + "a if b else " * 3000 + "clamp",
        "x = clamp" + "(1)" * 5000,
        "clamp = '\0'",
        "clamp\r\n\ttab\n  space",
        "",
    ],
    ids=range(10),
)
def test_odd_files_are_findings_at_most(stub_rules: dict[str, Rule], write: Write, text: str) -> None:
    report = run(write("odd.py", text))
    assert not report.problems
    assert {each.code for each in report.diagnostics} <= {"NN000"}


def test_output_is_the_same_for_every_hash_seed_and_number_of_jobs() -> None:
    outputs = set()
    for seed, jobs in (("0", "1"), ("1", "1"), ("2", "3")):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "nnlint",
                "--isolated",
                "--select=ALL",
                "--output-format=json",
                "-j",
                jobs,
                "fixtures",
            ],
            capture_output=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        assert done.returncode == 1, done.stderr.decode()
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert json.loads(outputs.pop())


def test_of_a_file_that_is_too_large_nothing_is_said_but_that(folder: Path, stub_rules: dict[str, Rule]) -> None:
    path = folder / "train.py"
    path.write_text(
        "x = [" + "1, " * 150_000 + "]\nloss = loss.clamp(max=1)  # nnlint: allow[NN204]\nloss.backward()\n"
    )
    report = run(path)
    assert (report.diagnostics, report.problems, report.parsed) == ((), (), 0)
    assert report.truncated == ((str(path), "it is too large to be parsed"),)
