"""What inherited-lr-decay says beside the place: the numbers, how bad it is, and how it is mended."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from nnlint.config import Configuration, Options
from nnlint.diagnostic import Confidence, Diagnostic, Severity
from nnlint.fix import fix_file
from nnlint.linter import lint
from nnlint.source import Source

CONFIGURATION = Configuration(Options(select=("NN301",)), isolated=True)

COMPOUNDING = """
from torch import nn, optim


def adjust_lr(optimizer, init_lr, epoch, decay_rate=0.1, decay_epoch=30):
    decay = decay_rate ** (epoch // decay_epoch)
    for group in optimizer.param_groups:
        group["lr"] *= decay  # shrink


def train(model, loader, epochs=100):
    optimizer = optim.Adam(model.parameters(), lr=1e-4)
    for epoch in range(1, epochs):
        adjust_lr(optimizer, 1e-4, epoch)
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
"""


def found(text: str, folder: Path) -> list[Diagnostic]:
    path = folder / "train.py"
    path.write_text(dedent(text), encoding="utf-8")
    return list(lint([path], CONFIGURATION).diagnostics)


def test_a_collapse_is_an_error_with_its_numbers(tmp_path: Path) -> None:
    (finding,) = found(COMPOUNDING, tmp_path)
    assert (finding.severity, finding.confidence) == (Severity.ERROR, Confidence.HIGH)
    assert "from epoch 32 on, for 68 of the run's 99 epochs (0.0001 at the start, " in finding.message


def test_a_decay_that_compounds_is_mended_by_the_initial_rate(tmp_path: Path) -> None:
    (finding,) = found(COMPOUNDING, tmp_path)
    source = Source.decode(tmp_path / "train.py", (tmp_path / "train.py").read_bytes())
    assert finding.fix is not None and not finding.fix.safe
    mended = fix_file(source, [finding], unsafe=True).text
    assert 'group["lr"] = init_lr * decay  # shrink' in mended
    assert [each.message for each in found(mended, tmp_path) if "multiplied into" in each.message] == []


def test_a_function_alone_is_judged_by_its_form(tmp_path: Path) -> None:
    (finding,) = found(COMPOUNDING.partition("def train")[0], tmp_path)
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.MEDIUM)
    assert "from epoch 30 on each epoch makes the rate 10 times smaller" in finding.message
