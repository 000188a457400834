"""What mistimed-scheduler says beside the place: the numbers, and how it is mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnlint.config import Configuration, Options
from nnlint.diagnostic import Diagnostic
from nnlint.fix import fix_file
from nnlint.linter import lint
from nnlint.source import Source

CONFIGURATION = Configuration(Options(select=("NN302",)), isolated=True)

SCRIPT = """
from torch import nn, optim


def train(model, train_loader, args):
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scheduler = optim.lr_scheduler.{scheduler}
    for epoch in range({epochs}):
        for x, y in train_loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
            {inside}
        {after}
"""


def found(text: str, folder: Path) -> list[Diagnostic]:
    path = folder / "train.py"
    path.write_text(text, encoding="utf-8")
    return list(lint([path], CONFIGURATION).diagnostics)


@pytest.mark.parametrize(
    ("scheduler", "consequence"),
    [
        ("StepLR(optimizer, 30)", "below 1 % of its start (0.1) after 90 batches"),
        ("MultiStepLR(optimizer, [30, 60, 80])", "below 1 % of its start (0.1) after 80 batches"),
        ("ExponentialLR(optimizer, gamma=0.9)", "below 1 % of its start (0.1) after 44 batches"),
        ("CosineAnnealingLR(optimizer, T_max=90)", "goes down and up again every 180 batches"),
        ("CosineAnnealingWarmRestarts(optimizer, T_0=90)", "is restarted after 90 batches"),
    ],
)
def test_a_schedule_of_epochs_in_batches(scheduler: str, consequence: str, tmp_path: Path) -> None:
    text = SCRIPT.format(scheduler=scheduler, epochs=90, inside="scheduler.step()", after="")
    (finding,) = found(text, tmp_path)
    assert consequence in finding.message
    assert finding.location.span.row == 13


@pytest.mark.parametrize(
    "argument", ["len(train_loader)", "T_max=len(train_loader)", "eta_min=0, T_max=len(train_loader)"]
)
@pytest.mark.parametrize("epochs", ["90", "args.epochs"])
def test_a_schedule_of_batches_in_epochs_is_mended(argument: str, epochs: str, tmp_path: Path) -> None:
    scheduler = f"CosineAnnealingLR(optimizer, {argument})"
    text = SCRIPT.format(scheduler=scheduler, epochs=epochs, inside="pass", after="scheduler.step()")
    diagnostics = found(text, tmp_path)
    assert len(diagnostics) == 1
    fixed = fix_file(Source.read(tmp_path / "train.py"), diagnostics, unsafe=True).text
    assert fixed == text.replace("len(train_loader)", epochs)
    assert found(fixed, tmp_path) == []
