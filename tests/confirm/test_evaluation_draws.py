"""Dropout under experiment: that a repair turns the verdict, and that other chances have no part in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nnlint.verdict import Json

torch: Any = pytest.importorskip("torch")

Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]
Verdicts = Callable[[Path], Mapping[tuple[str, int, str], str]]
Write = Callable[[str, str], Path]

FUNCTION = """
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self, rate=0.5):
        super().__init__()
        self.rate = rate
        self.between = nn.Dropout(0.3)
        self.fc1 = nn.Linear(20, 16)
        self.fc2 = nn.Linear(16, 4)

    def forward(self, x):
        x = self.between(self.fc1(x)).relu()
        x = F.dropout(x, self.rate)
        return self.fc2(x)

def build():
    return Net()

build()
"""

LAYER = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.drop = nn.Dropout2d(0.2)

    def forward(self, images):
        x = self.conv(images)
        return torch.nn.Dropout2d(0.4)(x).mean((2, 3))
"""

STOCHASTIC = """
import torch
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(20, 16)

    def forward(self, x):
        x = F.dropout(self.fc(x), 0.5)
        return x + torch.rand_like(x)
"""


@pytest.mark.parametrize("text", [FUNCTION, LAYER, STOCHASTIC])
def test_what_drops_is_confirmed(verdicts: Verdicts, write: Write, text: str) -> None:
    assert set(verdicts(write("net.py", text)).values()) == {"confirmed"}


@pytest.mark.parametrize(
    ("text", "changes", "outcome"),
    [
        (FUNCTION, {"(x, self.rate)": "(x, self.rate, self.training)"}, "refuted"),
        (FUNCTION, {"rate=0.5": "rate=0.0"}, "refuted"),
        (FUNCTION, {"self.fc2(x)": "self.fc2(x * 0)"}, "inconclusive"),
        (
            FUNCTION,
            {"(x, self.rate)": "(x, self.rate, self.training)", "self.fc2(x)": "self.fc2(x * 0)"},
            "inconclusive",
        ),
        (LAYER, {"torch.nn.Dropout2d(0.4)": "self.drop"}, "refuted"),
        (LAYER, {"torch.nn.Dropout2d(0.4)": "torch.nn.Dropout2d(0.0)"}, "refuted"),
        (
            LAYER,
            {"self.conv(images)": "self.conv(images)\n        if not self.training: return x.mean((2, 3))"},
            "refuted",
        ),
        (STOCHASTIC, {"self.fc(x), 0.5": "self.fc(x), 0.0"}, "refuted"),
    ],
)
def test_a_repair_turns_the_verdict(
    repaired: Repaired, write: Write, text: str, changes: Mapping[str, str], outcome: str
) -> None:
    answer = repaired(write("net.py", text), "NN401", changes)
    assert answer["outcome"] == outcome, answer


def test_a_rate_of_zero_by_default_says_nothing_of_a_class_that_nobody_builds(repaired: Repaired, write: Write) -> None:
    text = FUNCTION.replace("def build():\n    return Net()\n\nbuild()\n", "")
    answer = repaired(write("net.py", text), "NN401", {"rate=0.5": "rate=0.0"})
    assert answer["outcome"] == "inconclusive"
    assert answer["summary"] == "the rate comes with rate of Net, 0 by default, and nobody builds Net"
