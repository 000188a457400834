"""What reaches a loss: the verdicts turn round when the text is repaired."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nnlint.verdict import Json

pytest.importorskip("torch")

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
Verdicts = Callable[[Path], Mapping[tuple[str, int, str], str]]
Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]

REPAIRS = [
    (
        "unshifted_target_confirm/skips.py",
        "NN216",
        {"targets = text[:, 2:]": "targets = text[:, 1:-1]"},
    ),
    (
        "probabilities_as_logits_confirm/digits.py",
        "NN207",
        {"F.softmax(self.fc(torch.flatten(x, 1)), dim=1)": "self.fc(torch.flatten(x, 1))"},
    ),
    ("probabilities_as_logits_confirm/kept_layer.py", "NN207", {"nn.Softmax(dim=1)": "nn.LogSoftmax(dim=1)"}),
    ("probabilities_as_logits_confirm/flat.py", "NN207", {"nn.Sigmoid())": "nn.Identity())"}),
]


@pytest.mark.parametrize(("name", "code", "changes"), REPAIRS, ids=lambda value: str(value)[:40])
def test_the_verdict_turns_round(
    name: str, code: str, changes: Mapping[str, str], verdicts: Verdicts, repaired: Repaired
) -> None:
    assert "confirmed" in verdicts(FIXTURES / name).values()
    assert repaired(FIXTURES / name, code, changes)["outcome"] == "refuted"


SCRIPT = """
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(32, 6), torch.rand(32{target})
model = nn.Linear(6, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(3):
    first, second = {pair}
    loss = {loss}
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""

LOSSES = [
    ("NN210", "", "model(x), y", "nn.functional.mse_loss(first, second)", {"model(x), y": "model(x).squeeze(1), y"}),
    ("NN210", "", "model(x), y", "(first - second).pow(2).mean()", {"model(x), y": "model(x), y.unsqueeze(1)"}),
    (
        "NN209",
        ", 1",
        "y, model(x).sigmoid()",
        "nn.functional.binary_cross_entropy(first, second)",
        {"y, model(x).sigmoid()": "model(x).sigmoid(), y"},
    ),
    ("NN209", ", 1", "y, model(x)", "nn.BCEWithLogitsLoss()(first, second)", {"y, model(x)": "model(x), y"}),
    ("NN309", ", 1", "model(x), y", "nn.functional.mse_loss(first, second).data", {"second).data": "second)"}),
    ("NN309", ", 1", "model(x), y", "nn.functional.l1_loss(first, second).detach()", {".detach()": ""}),
    (
        "NN208",
        ", 1",
        "model(x), y",
        "nn.functional.binary_cross_entropy(first, second)",
        {"model(x), y": "model(x).sigmoid(), y"},
    ),
    ("NN208", ", 1", "model(x), y", "nn.BCELoss()(first, second)", {"model(x), y": "model(x).softmax(1), y"}),
]


@pytest.mark.parametrize(("code", "target", "pair", "loss", "changes"), LOSSES, ids=lambda value: str(value)[:40])
def test_a_mended_loss_is_refuted(
    code: str,
    target: str,
    pair: str,
    loss: str,
    changes: Mapping[str, str],
    verdicts: Verdicts,
    repaired: Repaired,
    tmp_path: Path,
) -> None:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT.format(target=target, pair=pair, loss=loss), encoding="utf-8")
    assert [outcome for (_, _, found), outcome in verdicts(path).items() if found == code] == ["confirmed"]
    answer = repaired(path, code, changes)
    assert answer["outcome"] == "refuted", answer
