"""The experiments on modes and recording: what is refuted once the script is repaired."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nnlint.verdict import Json

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"

Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]


@pytest.mark.parametrize(
    ("fixture", "code", "old", "new"),
    [
        (
            "evaluation_with_gradients_confirm/validation_loop.py",
            "NN213",
            "l1_loss(model(inputs), targets)",
            "l1_loss((torch.set_grad_enabled(False), model(inputs), torch.set_grad_enabled(True))[1], targets)",
        ),
        (
            "training_in_eval_mode_confirm/after_each_epoch.py",
            "NN212",
            "len(errors)",
            "max(len(errors), len(str(model.train()))*0)",
        ),
        (
            "evaluation_in_train_mode_confirm/dropout.py",
            "NN211",
            "torch.no_grad()",
            "(model.eval(), torch.no_grad())[1]",
        ),
        ("evaluation_in_train_mode_confirm/dropout.py", "NN211", "nn.Dropout(0.1)", "nn.Identity()"),
    ],
)
def test_repaired_scripts_are_refuted(repaired: Repaired, fixture: str, code: str, old: str, new: str) -> None:
    answer = repaired(FIXTURES / fixture, code, {old: new})
    assert answer["outcome"] == "refuted", answer["summary"]
