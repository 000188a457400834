"""Parameters that no optimizer holds, or that it was not to move: a repair of the script turns the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nnlint.verdict import Json

pytest.importorskip("torch")

Write = Callable[[str, str], Path]
Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]

BEGINNING = """\
import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
x, y = torch.randn(64, 8), torch.randn(64, 1)


def train(model, optimizer):
    for _step in range(32):
        loss = F.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

"""

LISTED = """
class Net(nn.Module):
    def __init__(self, depth=3):
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.blocks = [nn.Linear(16, 16) for _ in range(depth)]
        self.last = nn.Linear(16, 1)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x).tanh()
        return self.last(x)


model = Net()
train(model, torch.optim.SGD(model.parameters(), lr=0.1))
"""

EXPERTS = '{"wet": nn.Linear(8, 1), "dry": nn.Linear(8, 1)}'

IN_A_DICT = f"""
class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(8, 2)
        self.experts = {EXPERTS}

    def forward(self, x):
        weights = self.gate(x).softmax(1)
        return weights[:, :1] * self.experts["wet"](x) + weights[:, 1:] * self.experts["dry"](x)


def main():
    model = Experts()
    train(model, torch.optim.AdamW(model.parameters(), lr=1e-3))


if __name__ == "__main__":
    main()
"""

NEW_HEAD = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(8, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.body(x).relu())


net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
net.head = nn.Linear(16, 1)
train(net, optimizer)
"""

LAZY = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(8, 16)
        self.head = None

    def forward(self, x):
        x = self.body(x).relu()
        if self.head is None:
            self.head = nn.Linear(x.shape[1], 1)
        return self.head(x)


def prepared(net):
    return net


net = prepared(Net())
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
train(net, optimizer)
"""

ANEW = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(8, 1)

    def forward(self, x):
        return self.line(x)


def fold(net, optimizer):
    net = Net()
    for _step in range(32):
        optimizer.zero_grad()
        F.mse_loss(net(x), y).backward()
        optimizer.step()


net = Net()
fold(net, torch.optim.SGD(net.parameters(), lr=0.1))
"""

NEW_SCALE = """
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)

    def fit(self):
        self.model.scale = nn.Parameter(torch.ones(1))
        for _step in range(32):
            self.optimizer.zero_grad()
            F.l1_loss(self.model(x) * self.model.scale, y).backward()
            self.optimizer.step()


Trainer(nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 1))).fit()
"""

MISSPELT = """
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
for param in model[0].parameters():
    param.require_grad = False
train(model, torch.optim.SGD(model.parameters(), lr=0.1))
"""

OF_A_MODULE = """
class Tuner:
    def __init__(self):
        self.backbone = nn.Sequential(nn.Linear(8, 16), nn.Tanh())
        self.head = nn.Linear(16, 1)
        self.backbone.requires_grad = False
        self.optimizer = torch.optim.Adam([*self.backbone.parameters(), *self.head.parameters()], lr=1e-3)

    def tune(self):
        for _step in range(32):
            loss = F.mse_loss(self.head(self.backbone(x)), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


Tuner().tune()
"""

TOO_LATE = """
body = nn.Sequential(nn.Linear(8, 16), nn.Tanh())
model = nn.Sequential(body, nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.01)
for epoch in range(12):
    if epoch == 2:
        body.requires_grad_(False)
    for batch in range(4):
        optimizer.zero_grad(set_to_none=False)
        F.mse_loss(model(x), y).backward()
        optimizer.step()
"""

KEPT_BESIDE = """
def keep(layers):
    for layer in layers:
        for weight in layer.parameters():
            weight.register_hook(torch.zeros_like)


model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
body = model[0]
body.requires_grad = False
lower = [body]
keep(lower)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _step in range(32):
    loss = F.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""

UNTRAINED = """
from torch import nn


class Pyramid(nn.Module):
    def __init__(self, channels=8, levels=3):
        super().__init__()
        self.lateral = {str(level): nn.Conv2d(channels, 4, 1) for level in range(levels)}
        self.score = nn.Conv2d(4, 1, 1)

    def forward(self, images):
        return self.score(sum(lateral(images) for lateral in self.lateral.values()))
"""

REPAIRS = [
    (
        "NN305",
        LISTED,
        {"[nn.Linear(16, 16) for _ in range(depth)]": "nn.ModuleList(nn.Linear(16, 16) for _ in range(depth))"},
    ),
    ("NN305", IN_A_DICT, {EXPERTS: f"nn.ModuleDict({EXPERTS})"}),
    ("NN306", NEW_HEAD, {"train(net, optimizer)": "train(net, torch.optim.Adam(net.parameters(), lr=1e-3))"}),
    ("NN306", LAZY, {"return net": "return (net(x), net)[1]"}),
    ("NN306", ANEW, {"    net = Net()\n": "    net = net\n"}),
    ("NN306", NEW_SCALE, {"nn.Parameter(torch.ones(1))": "self.model[1].bias"}),
    ("NN310", MISSPELT, {"require_grad": "requires_grad"}),
    ("NN310", TOO_LATE, {"set_to_none=False": "set_to_none=True"}),
    ("NN310", TOO_LATE, {"weight_decay=0.01": "weight_decay=0.0"}),
    ("NN310", OF_A_MODULE, {"self.backbone.requires_grad = False": "self.backbone.requires_grad_(False)"}),
]


@pytest.mark.parametrize(("code", "script", "changes"), REPAIRS)
def test_a_repair_turns_the_verdict(
    code: str, script: str, changes: Mapping[str, str], write: Write, repaired: Repaired
) -> None:
    path = write("train.py", BEGINNING + script)
    before, after = repaired(path, code, {}), repaired(path, code, changes)
    assert (before["outcome"], after["outcome"]) == ("confirmed", "refuted"), (before["summary"], after["summary"])


def test_what_is_done_to_the_layers_beside_is_run(write: Write, repaired: Repaired) -> None:
    path = write("train.py", BEGINNING + KEPT_BESIDE)
    assert repaired(path, "NN310", {})["outcome"] == "refuted"
    assert repaired(path, "NN310", {"keep(lower)": "pass"})["outcome"] == "confirmed"


def test_layers_of_a_model_that_is_trained_elsewhere(write: Write, repaired: Repaired) -> None:
    path = write("model.py", UNTRAINED)
    layers = "{str(level): nn.Conv2d(channels, 4, 1) for level in range(levels)}"
    assert repaired(path, "NN305", {})["outcome"] == "confirmed"
    assert repaired(path, "NN305", {layers: f"nn.ModuleDict({layers})"})["outcome"] == "refuted"
    assert repaired(path, "NN305", {"lateral(images)": "images[:, :4]"})["outcome"] == "inconclusive"
