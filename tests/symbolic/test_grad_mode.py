"""Whether autograd records where something happens."""

from __future__ import annotations

import pytest

from nnlint.symbolic.trace import Forward
from tests.symbolic.reading import read

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def forward(self, x):
        return x

net = Net()
x = torch.randn(3)
flag = unknown()
"""


def recorded(text: str) -> list[bool | None]:
    return [event.context.recording for event in read(NET + text).of(Forward)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("net(x)\nwith torch.no_grad():\n    net(x)\nnet(x)", [True, False, True]),
        ("with torch.inference_mode():\n    net(x)\n    with torch.enable_grad():\n        net(x)", [False, True]),
        ("with torch.set_grad_enabled(False):\n    net(x)\nnet(x)", [False, True]),
        ("with torch.set_grad_enabled(flag):\n    net(x)\nnet(x)", [None, True]),
        ("torch.set_grad_enabled(False)\nnet(x)\ntorch.set_grad_enabled(True)\nnet(x)", [False, True]),
        ("@torch.no_grad()\ndef f():\n    net(x)\nf()\nnet(x)", [False, True]),
        ("@torch.no_grad\ndef f():\n    net(x)\nf()", [False]),
        ("@torch.inference_mode()\ndef f():\n    net(x)\nf()", [False]),
        ("with torch.inference_mode(False):\n    net(x)", [True]),
        ("if flag:\n    torch.set_grad_enabled(False)\nnet(x)", [None]),
        ("with open('a') as f, torch.no_grad():\n    net(x)", [False]),
    ],
)
def test_recording(text: str, expected: list[bool | None]) -> None:
    assert recorded(text) == expected
