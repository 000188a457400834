"""One laboratory for all tests that run experiments: torch is imported once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nnlint.verdict import Json
from tests.confirm import harness

if TYPE_CHECKING:
    from nnlint.confirm.runner import Laboratory


@pytest.fixture(scope="session")
def laboratory() -> Iterator[Laboratory]:
    """Workers of this Python, on the CPU."""
    pytest.importorskip("torch")
    from nnlint.confirm.runner import Laboratory

    with Laboratory(Path(sys.executable), device="cpu", kinds=[Path(__file__).parent / "kinds"]) as laboratory:
        yield laboratory


@pytest.fixture
def verdicts(laboratory: Laboratory) -> Callable[[Path], Mapping[tuple[str, int, str], str]]:
    """The outcomes of a file or folder, by file name, row and code."""

    def run(path: Path) -> Mapping[tuple[str, int, str], str]:
        return {
            (Path(each.location.filename).name, each.location.span.row, each.code): str(each.outcome)
            for each in harness.confirmed_findings(path, laboratory.run)
            if each.verdict is not None
        }

    return run


@pytest.fixture
def repaired(laboratory: Laboratory) -> Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]:
    """The answer of the experiment on a finding, run on the file with some of its text changed."""

    def run(path: Path, code: str, changes: Mapping[str, str]) -> Mapping[str, Json]:
        return harness.repaired(path, code, changes, laboratory.run)

    return run
