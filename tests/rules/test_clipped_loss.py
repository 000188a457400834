"""What clipped-loss says beside the place: how sure it is, how bad it is, and how it is mended."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from nnlint.config import Configuration, Options
from nnlint.diagnostic import Confidence, Diagnostic, Severity
from nnlint.fix import fix_file
from nnlint.linter import lint
from nnlint.source import Source

CONFIGURATION = Configuration(Options(select=("NN204",)), isolated=True)

LOOP = """
import torch
import torch.nn.functional as F

def train(loader):
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        {line}
        loss.backward()
        optimizer.step()
"""


def found(text: str, folder: Path) -> list[Diagnostic]:
    path = folder / "train.py"
    path.write_text(dedent(text), encoding="utf-8")
    return list(lint([path], CONFIGURATION).diagnostics)


def mended(text: str, folder: Path) -> str:
    diagnostics = found(text, folder)
    assert diagnostics
    fixed = fix_file(Source.read(folder / "train.py"), diagnostics, unsafe=True)
    assert not fixed.skipped
    assert not found(fixed.text, folder)
    return fixed.text


def test_everything_followed_is_certain(tmp_path: Path) -> None:
    (diagnostic,) = found(LOOP.format(line="loss = torch.clamp(loss, max=2)"), tmp_path)
    assert diagnostic.confidence is Confidence.HIGH
    assert diagnostic.severity is Severity.WARNING
    assert [note.message for note in diagnostic.related] == [
        "`mse_loss` computes the loss here",
        "it is backpropagated here",
    ]


def test_a_loss_for_callers_out_of_sight_is_less_certain(tmp_path: Path) -> None:
    text = """
    import torch.nn.functional as F

    def safe_loss(a, b):
        return F.mse_loss(a, b).clamp(max=2)
    """
    (diagnostic,) = found(text, tmp_path)
    assert diagnostic.confidence is Confidence.MEDIUM
    assert "returned as a loss" in diagnostic.message


@pytest.mark.parametrize(("bound", "severity"), [("1e4", Severity.WARNING), ("1e7", Severity.INFO)])
def test_a_far_bound_is_an_info(bound: str, severity: Severity, tmp_path: Path) -> None:
    (diagnostic,) = found(LOOP.format(line=f"loss = loss.clamp(max={bound})"), tmp_path)
    assert diagnostic.severity is severity


@pytest.mark.parametrize("bound", ["float('inf')", "None, min=0", "0"])
def test_no_bound(bound: str, tmp_path: Path) -> None:
    assert not found(LOOP.format(line=f"loss = loss.clamp(max={bound})"), tmp_path)


def test_a_setting_is_named_with_its_default(tmp_path: Path) -> None:
    text = LOOP.format(line="loss = loss.clamp(max=ceiling)").replace("train(loader)", "train(loader, ceiling=3.0)")
    (diagnostic,) = found(text, tmp_path)
    assert diagnostic.message.startswith("`loss` is clipped at 3 (`ceiling`)")


def test_the_statement_goes_and_gradients_are_clipped_instead(tmp_path: Path) -> None:
    text = mended(LOOP.format(line="loss = torch.clamp(loss, -1, 1)"), tmp_path)
    assert "clamp" not in text
    after = text[text.index("loss.backward()") :].split("\n")
    assert [line.strip() for line in after[:3]] == [
        "loss.backward()",
        "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        "optimizer.step()",
    ]


def test_an_expression_keeps_its_parentheses(tmp_path: Path) -> None:
    text = mended(LOOP.format(line="loss = 2 * torch.clamp(loss + loss.square(), max=3)"), tmp_path)
    assert "loss = 2 * (loss + loss.square())" in text


def test_an_empty_branch_goes_with_the_bound(tmp_path: Path) -> None:
    line = "if loss.item() > 100:\n            loss = loss.clamp(max=10)"
    text = mended(LOOP.format(line=line), tmp_path)
    assert "if" not in text


def test_the_other_branch_stays(tmp_path: Path) -> None:
    line = "if loss.item() < 100:\n            print(loss)\n        else:\n            loss.clamp_(max=10)"
    text = mended(LOOP.format(line=line), tmp_path)
    assert "else:\n            pass\n" in text


def test_clipped_gradients_are_not_clipped_again(tmp_path: Path) -> None:
    text = LOOP.format(line="loss = torch.clamp(loss, -1, 1)").replace(
        "        optimizer.step()",
        "        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)\n        optimizer.step()",
    )
    assert mended(text, tmp_path).count("clip_grad_norm_") == 1


def test_scaled_gradients_are_left_to_the_user(tmp_path: Path) -> None:
    text = (
        LOOP.format(line="loss = torch.clamp(loss, -1, 1)")
        .replace("loss.backward()", "scaler.scale(loss).backward()")
        .replace("optimizer.step()", "scaler.step(optimizer)")
        .replace("train(loader)", "train(loader, scaler)")
    )
    assert "clip_grad" not in mended(text, tmp_path)


def test_a_script_is_read_through_its_modules(tmp_path: Path) -> None:
    (tmp_path / "objectives.py").write_text(
        "import torch\n\ndef robust(a, b):\n    return torch.clamp((a - b) ** 2, max=4).mean()\n", encoding="utf-8"
    )
    text = """
    import torch
    from objectives import robust

    def train(model, loader, optimizer):
        for x, y in loader:
            optimizer.zero_grad()
            robust(model(x), y).backward()
            optimizer.step()
    """
    (tmp_path / "train.py").write_text(dedent(text), encoding="utf-8")
    files = [tmp_path / "objectives.py", tmp_path / "train.py"]
    (diagnostic,) = lint(files, CONFIGURATION, folders=[tmp_path]).diagnostics
    assert Path(diagnostic.location.filename).name == "objectives.py"
    assert "backpropagated" in diagnostic.message
