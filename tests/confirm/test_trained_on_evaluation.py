"""The experiment of NN109: steps on evaluation data that are taken out, or move nothing, refute it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nnlint.verdict import Json

FOLDER = Path(__file__).parent.parent.parent / "fixtures" / "training_on_evaluation_data_confirm"

Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]


@pytest.mark.parametrize(
    ("fixture", "old", "new"),
    [
        ("copied.py", " loss.backward()", " loss.detach()"),
        ("half_the_rate.py", "valid_loader, 0.05", "valid_loader, 0.0"),
    ],
)
def test_repaired_scripts_are_refuted(repaired: Repaired, fixture: str, old: str, new: str) -> None:
    answer = repaired(FOLDER / fixture, "NN109", {old: new})
    assert answer["outcome"] == "refuted", answer["summary"]


def test_steps_that_are_put_back_count_without_the_putting_back(repaired: Repaired) -> None:
    answer = repaired(FOLDER / "put_back.py", "NN109", {"before.put_back()": "pass"})
    assert answer["outcome"] == "confirmed", answer["summary"]
