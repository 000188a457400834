"""Biases under experiment: that a repair turns the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nnlint.verdict import Json

torch: Any = pytest.importorskip("torch")

Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]
Write = Callable[[str, str], Path]

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        return self.norm(self.conv(x)).relu()
"""

SERIES = """
import torch.nn as nn

class Series(nn.Module):
    def __init__(self, features=6, hidden=8):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(features, hidden),
            nn.BatchNorm1d(hidden),
            nn.Tanh(),
        )

    def forward(self, x):
        return self.net(x)
"""


@pytest.mark.parametrize(
    ("text", "changes", "outcome"),
    [
        (NET, {}, "confirmed"),
        (NET, {"Conv2d(3, width, 3)": "Conv2d(3, width, 3, bias=False)"}, "refuted"),
        (NET, {"self.norm(self.conv(x))": "self.norm(self.conv(x).relu())"}, "refuted"),
        (SERIES, {}, "confirmed"),
        (SERIES, {"nn.BatchNorm1d(hidden)": "nn.LayerNorm(hidden)"}, "refuted"),
        (SERIES, {"return self.net(x)": "return self.net(x) * 0"}, "inconclusive"),
    ],
)
def test_a_repair_turns_the_verdict(
    repaired: Repaired, write: Write, text: str, changes: Mapping[str, str], outcome: str
) -> None:
    answer = repaired(write("net.py", text), "NN404", changes)
    assert answer["outcome"] == outcome, answer
