"""What is taken for a module, the mode it is in, and whether autograd records when it is called."""

from __future__ import annotations

from textwrap import dedent

import pytest

from nnlint.symbolic.trace import Forward
from tests.symbolic.reading import read

HEAD = """
import contextlib
import copy

import torch
import torchvision
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = nn.Linear(8, 1)

    def forward(self, x):
        return self.part(x)



@contextlib.contextmanager
def evaluating():
    with torch.no_grad():
        yield


x = torch.ones(2, 8)
net = Net()
"""


def forwards(text: str) -> list[Forward]:
    """The forward passes of the script that follows the definitions above."""
    (run,) = (run for run in read(HEAD + dedent(text)).runs if run.script)
    return list(run.of(Forward))


@pytest.mark.parametrize(
    ("text", "training"),
    [
        ("net(x)", True),
        ("net.eval()\nnet(x)", False),
        ("net.train(False)\nnet(x)", False),
        ("net.eval()\nnet.train()\nnet(x)", True),
        ("if len(x) > choose():\n    net.eval()\nnet(x)", None),
        ("model = torchvision.models.resnet18()\nmodel(x)", True),
        ("model = torchvision.models.resnet18()\nmodel.eval()\nmodel(x)", False),
        ("model = build()\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\nmodel(x)", None),
        ("model = build()\nmodel.eval()\nmodel(x)", False),
        ("model = nn.DataParallel(net)\nmodel.eval()\nmodel(x)", False),
        ("model = nn.DataParallel(net)\nmodel.module.eval()\nmodel(x)", False),
        ("model = nn.DataParallel(net) if choose() else net\nmodel.eval()\nnet(x)", False),
        ("other = copy.deepcopy(net)\nother.eval()\nnet(x)", True),
    ],
)
def test_mode_when_called(text: str, training: bool | None) -> None:
    assert [event.training for event in forwards(text)] == [training]


@pytest.mark.parametrize("text", ["build()(x)", "function = build()\nfunction(x)", "nn.Linear(8, 1)(x)"])
def test_other_callables_are_no_whole_models(text: str) -> None:
    assert forwards(text) == []


@pytest.mark.parametrize(
    ("text", "recording"),
    [
        ("net(x)", True),
        ("with torch.no_grad():\n    net(x)", False),
        ("with torch.no_grad():\n    pass\nnet(x)", True),
        ("with torch.autocast('cuda'):\n    net(x)", True),
        ("with evaluating():\n    net(x)", None),
        ("with torch.no_grad() if choose() else contextlib.nullcontext():\n    net(x)", None),
        ("with inference_context():\n    net(x)", None),
        ("with open('log') as log:\n    net(x)", True),
        ("@torch.no_grad()\ndef run():\n    net(x)\nrun()", False),
        ("@no_gradients\ndef run():\n    net(x)\nrun()", None),
    ],
)
def test_recording_when_called(text: str, recording: bool | None) -> None:
    assert [event.context.recording for event in forwards(text)] == [recording]
