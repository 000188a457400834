"""What is taken for a loss, and what only speaks of one."""

from __future__ import annotations

import pytest

from nnlint.diagnostic import Confidence
from nnlint.evidence.objective import evidence, says_loss
from nnlint.symbolic.trace import Backward
from tests.symbolic.reading import events


@pytest.mark.parametrize(
    "name", ["loss", "losses", "total_loss", "loss_box", "lossG", "ganLoss", "FocalLoss", "loss1", "aux_loss_2"]
)
def test_says_loss(name: str) -> None:
    assert says_loss(name)


@pytest.mark.parametrize("name", ["loss_weight", "lossless", "gloss", "loss_fn", "max_loss_clip", "closs", "glossary"])
def test_says_something_else(name: str) -> None:
    assert not says_loss(name)


@pytest.mark.parametrize(
    ("expression", "confidence"),
    [
        ("F.mse_loss(model(x), y)", Confidence.HIGH),
        ("0.1 * torch.nn.CrossEntropyLoss()(model(x), y) / n", Confidence.HIGH),
        ("((model(x) - y) ** 2).mean()", Confidence.HIGH),
        ("weights * torch.abs(model(x) - y)", Confidence.HIGH),
        ("criterion(model(x), y)", Confidence.MEDIUM),
        ("model(x).loss", Confidence.MEDIUM),
        ("aux_loss + x", Confidence.LOW),
        ("F.mse_loss(model(x), y).detach()", None),
        ("(x ** 2).mean()", None),
        ("((x - 1) ** 2).mean()", None),
        ("torch.exp(-F.mse_loss(model(x), y))", None),
        ("ratio * advantages", None),
    ],
)
def test_evidence(expression: str, confidence: Confidence | None) -> None:
    text = (
        "import torch\nimport torch.nn.functional as F\n\n"
        "def train(model, x, y, n, criterion, weights, aux_loss, ratio, advantages):\n"
        f"    ({expression}).backward()\n"
    )
    (event,) = events(text, Backward)
    found = evidence(event.loss)
    assert (None if found is None else found.confidence) is confidence
