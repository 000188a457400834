"""The experiment on clipped losses: what is refuted once the bound is gone, and what stand-ins become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from nnlint.verdict import Json

FIXTURES = Path(__file__).parent.parent.parent / "fixtures" / "clipped_loss_confirm"

Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]
Verdicts = Callable[[Path], Mapping[tuple[str, int, str], str]]


@pytest.mark.parametrize(
    ("fixture", "bound", "repair"),
    [
        ("regression.py", "torch.clamp(loss, max=100.0)", "loss"),
        ("digits.py", "torch.minimum(losses, torch.full_like(losses, ceiling))", "losses"),
        ("digits.py", "torch.full_like(losses, ceiling)", "torch.full_like(losses, float('inf'))"),
    ],
)
def test_mended_bounds_are_refuted(repaired: Repaired, fixture: str, bound: str, repair: str) -> None:
    answer = repaired(FIXTURES / fixture, "NN204", {bound: repair})
    assert answer["outcome"] == "refuted", answer["summary"]


def test_figures_are_the_same_every_time(repaired: Repaired) -> None:
    answers = [repaired(FIXTURES / "regression.py", "NN204", {"range(args.epochs)": "range(3)"}) for _ in range(2)]
    assert answers[0]["figures"] == answers[1]["figures"]
    assert answers[0]["outcome"] == "confirmed"
    assert answers[0]["figures"]["gradient_above"] == 0  # type: ignore[call-overload, index]


def outcomes(verdicts: Verdicts, folder: Path, text: str) -> list[str]:
    path = folder / "train.py"
    path.write_text("import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n" + dedent(text))
    return [outcome for (_, _, code), outcome in sorted(verdicts(path).items()) if code == "NN204"]


@pytest.mark.parametrize(
    "bound",
    [
        "loss = loss.clip(0, 10)",
        "loss = torch.clamp_max(loss, 10.0)",
        "loss.clamp_(max=10.0)",
        "loss = torch.min(loss, torch.tensor(10.0))",
        "loss = min(loss, torch.tensor(10.0))",
        "if loss > 10.0: loss = torch.tensor(10.0, requires_grad=True)",
        "if loss.item() > 50: loss = torch.clamp(loss, max=10.0)",
    ],
)
def test_spellings(verdicts: Verdicts, tmp_path: Path, bound: str) -> None:
    text = f"""
        def train(model, loader, optimizer):
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.smooth_l1_loss(model(x), y)
                {bound}
                loss.backward()
                optimizer.step()
    """
    assert outcomes(verdicts, tmp_path, text) == ["confirmed"]


@pytest.mark.parametrize(
    ("loss", "outcome"),
    [
        ("F.nll_loss(F.log_softmax(scores, dim=1), labels)", "confirmed"),
        ("F.binary_cross_entropy_with_logits(scores, labels.float())", "confirmed"),
        ("(scores - labels).abs().mean()", "confirmed"),
        ("-(F.log_softmax(scores, 1).gather(1, labels.view(-1, 1))).mean()", "confirmed"),
        ("torch.tanh(F.mse_loss(scores, labels))", "refuted"),
        ("1 - F.cosine_similarity(scores, labels).mean()", "refuted"),
        ("scores.loss", "inconclusive"),
        ("perceptual_loss(scores, labels)", "inconclusive"),
    ],
)
def test_losses_get_the_operands_that_they_need(verdicts: Verdicts, tmp_path: Path, loss: str, outcome: str) -> None:
    text = f"""
        def train(net, loader, optimizer, perceptual_loss):
            for images, labels in loader:
                scores = net(images)
                loss = {loss}
                loss = torch.clamp(loss, max=12.0)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    """
    assert outcomes(verdicts, tmp_path, text) == [outcome]


def test_other_parts_do_not_hide_a_bound(verdicts: Verdicts, tmp_path: Path) -> None:
    text = """
        class Loss(nn.Module):
            def __init__(self, weight=0.1):
                super().__init__()
                self.weight = weight

            def forward(self, prediction, target):
                loss = F.mse_loss(prediction, target).clamp(max=5.0)
                return loss + self.weight * F.l1_loss(prediction, target)
    """
    assert outcomes(verdicts, tmp_path, text) == ["confirmed"]
