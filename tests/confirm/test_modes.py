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
        ("evaluation_in_train_mode_confirm/batch_norm.py", "NN211", "BatchNorm1d(32)", "LayerNorm(32)"),
        ("evaluation_in_train_mode_confirm/every_fifth_epoch.py", "NN211", "dropout=0.3", "dropout=0.0"),
        ("training_in_eval_mode_confirm/top_flag.py", "NN212", "model.training = True", "model.train(True)"),
        (
            "evaluation_with_gradients_confirm/whole_data.py",
            "NN213",
            "output = model(features)",
            "output = torch.no_grad()(model)(features)",
        ),
    ],
)
def test_repaired_scripts_are_refuted(repaired: Repaired, fixture: str, code: str, old: str, new: str) -> None:
    answer = repaired(FIXTURES / fixture, code, {old: new})
    assert answer["outcome"] == "refuted", answer["summary"]


@pytest.mark.parametrize(
    ("fixture", "code", "old", "new"),
    [
        ("evaluation_in_train_mode_confirm/rate_of_zero.py", "NN211", '"dropout": 0.0', '"dropout": 0.5'),
        (
            "training_in_eval_mode_confirm/follows_autograd.py",
            "NN212",
            "each.training = torch.is_grad_enabled()",
            "each.training = each.training",
        ),
    ],
)
def test_refuted_scripts_are_confirmed_without_what_saves_them(
    repaired: Repaired, fixture: str, code: str, old: str, new: str
) -> None:
    answer = repaired(FIXTURES / fixture, code, {old: new})
    assert answer["outcome"] == "confirmed", answer["summary"]
