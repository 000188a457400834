"""Which layers follow on which, and whether they always do."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest

from nnlint.evidence.layers import ACTIVATING, ACTIVATIONS, Layers, Use
from tests.symbolic.reading import read

MODEL = """
import torch
from torch import nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self, width, flag=True):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.5)
        self.body = nn.Sequential(nn.Conv2d(width, width, 3), nn.Identity(), nn.Sequential(nn.BatchNorm2d(width)))
        self.flag = flag

    def forward(self, x):
"""


def layers_of(forward: str) -> Layers:
    return Layers(read(MODEL + indent(dedent(forward), "        ")))


def pairs(layers: Layers) -> list[tuple[str, str]]:
    return [(use.layer.name, after.layer.name) for use in layers.uses for after in use.after]


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        ("return self.norm(self.conv(x))", [("Conv2d", "BatchNorm2d")]),
        ("x = self.conv(x)\nx = self.norm(x)\nreturn x", [("Conv2d", "BatchNorm2d")]),
        ("return self.norm(F.relu(self.conv(x)))", []),
        ("y = self.norm(x)\nreturn self.conv(x)", []),
        ("return self.norm(self.body(x))", [("Conv2d", "BatchNorm2d"), ("BatchNorm2d", "BatchNorm2d")]),
    ],
)
def test_what_follows(forward: str, expected: list[tuple[str, str]]) -> None:
    applied = [use for use in layers_of(forward).uses if use.operand is not None]
    assert [(use.layer.name, after.layer.name) for use in applied for after in use.after] == expected


def test_layers_that_nobody_calls_stand_in_their_order() -> None:
    assert pairs(
        Layers(read("from torch import nn\nnn.Sequential(nn.ReLU(), nn.Identity(), nn.Tanh(), f, nn.GELU())"))
    ) == [("ReLU", "Tanh")]


@pytest.mark.parametrize(
    ("forward", "shared"),
    [
        ("return self.norm(self.conv(x))", False),
        ("y = self.conv(x)\nreturn self.norm(y) + y", True),
        ("y = self.conv(x)\nreturn y, self.norm(y)", True),
        ("y = self.conv(x)\nif self.flag:\n    y = self.norm(y)\nreturn y", True),
    ],
)
def test_whether_something_else_gets_it(forward: str, shared: bool) -> None:
    use = next(use for use in layers_of(forward).uses if use.layer.name == "Conv2d" and use.operand is not None)
    assert use.shared is shared


@pytest.mark.parametrize(
    ("forward", "share"),
    [
        ("return self.norm(F.relu(self.drop(x)))", 0.5),
        ("return self.norm(F.dropout(x, 0.1, self.training).relu())", 0.1),
        ("return self.norm(F.dropout(x, 0.1, training=False))", 0.0),
        ("return self.norm(torch.exp(x))", 0.0),
    ],
)
def test_what_hands_on_through_activations(forward: str, share: float) -> None:
    layers = layers_of(forward)
    norm = next(use for use in layers.uses if use.layer.name == "BatchNorm2d" and use.operand is not None)
    (source,) = layers.sources(norm, through=ACTIVATIONS, calling=ACTIVATING)
    assert layers.share_dropped(source) == share
    assert isinstance(source, Use) is ("self.drop" in forward)
