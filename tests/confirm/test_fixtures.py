"""The fixtures say what running their lines must show: ``# expect: NN204 refuted``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent / "fixtures"
VERDICT = re.compile(r"# expect: ?(NN\d{3}) (confirmed|refuted|inconclusive)\b")

Verdicts = Mapping[tuple[str, int, str], str]


def expected(path: Path) -> dict[tuple[str, int, str], str]:
    """The verdicts that a file or the files of a folder ask for, by file name, row and code."""
    return {
        (file.name, row, code): outcome
        for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))
        for row, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1)
        for code, outcome in VERDICT.findall(line)
    }


FIXTURES = [path for path in sorted(ROOT.iterdir()) if path.name[0] not in "._" and expected(path)]


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.stem)
def test_verdicts(fixture: Path, verdicts: Callable[[Path], Verdicts]) -> None:
    wanted = expected(fixture)
    found = verdicts(fixture)
    assert {place: found.get(place) for place in wanted} == wanted
