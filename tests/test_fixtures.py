"""The fixtures say themselves what must be found in them, and everything else in them must not be.

``# expect: NN204`` ends a line that is reported (several codes with commas, a code twice for two findings);
``# todo-expect: NN204`` one that should be and is not yet; ``# todo-ok: NN204`` one that is and should not be. The
last two fail once they begin to hold. The line is the first row of the finding.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from nnlint.config import Configuration, Options
from nnlint.discovery import discover
from nnlint.linter import lint

ROOT = Path(__file__).parent.parent / "fixtures"
FIXTURES = sorted(
    path for path in ROOT.iterdir() if path.suffix == ".py" or (path.is_dir() and path.name[0] not in "._")
)
EXPECTATION = re.compile(r"# (expect|todo-expect|todo-ok): ?(NN\d{3}(?:, ?NN\d{3})*)")

Places = Counter[tuple[str, int, str]]


def expectations(files: tuple[Path, ...]) -> dict[str, Places]:
    """For each of the three words the places that bear it: file, row and code."""
    found: dict[str, Places] = {"expect": Counter(), "todo-expect": Counter(), "todo-ok": Counter()}
    for file in files:
        for row, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
            for word, codes in EXPECTATION.findall(line):
                found[word].update((file.name, row, code.strip()) for code in codes.split(","))
    return found


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.stem)
def test_fixture(fixture: Path) -> None:
    configuration = Configuration(Options(select=("ALL",)), isolated=True)
    files = discover([fixture], configuration, force_exclude=False, respect_gitignore=False).files
    report = lint(files, configuration, folders=[fixture] if fixture.is_dir() else [])
    assert [problem.message + problem.detail for problem in report.problems] == []
    wanted = expectations(files)
    found: Places = Counter(
        (Path(each.location.filename).name, each.location.span.row, each.code) for each in report.diagnostics
    )
    known = wanted["expect"] + wanted["todo-ok"]
    said = {place: f"{each.message}" for each in report.diagnostics for place in [each.location.span.row]}
    new = found - known
    assert not [place for place in new if place in wanted["todo-expect"]], "found at last: say expect, not todo-expect"
    assert not new, f"not expected: {[(place, said[place[1]]) for place in new]}"
    missed = known - found
    assert not [place for place in missed if place in wanted["todo-ok"]], "silent at last: remove todo-ok"
    assert not missed, "expected and not found"


def test_every_expectation_is_understood() -> None:
    for fixture in FIXTURES:
        for file in [fixture] if fixture.is_file() else sorted(fixture.rglob("*.py")):
            for line in file.read_text(encoding="utf-8").split("\n"):
                if re.search(r"#\s*(todo-)?(expect|ok)\b", line):
                    assert EXPECTATION.search(line), f"{file.name}: {line}"
