"""What a functional dropout says of the mode: nothing, unless it is told it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnlint.config import Configuration, Options
from nnlint.diagnostic import Severity
from nnlint.linter import lint

SCRIPT = """
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(784, 10)

    def forward(self, x):
        return self.out({dropout})


train = DataLoader(datasets.MNIST("data", transform=transforms.ToTensor()), 64, shuffle=True)
test = DataLoader(datasets.MNIST("data", train=False, transform=transforms.ToTensor()), 64)
model = Net()
optimizer = torch.optim.Adam(model.parameters())
for epoch in range(5):
    for x, y in train:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        print(sum((model(x).argmax(1) == y).sum().item() for x, y in test))
"""


@pytest.mark.parametrize(
    ("dropout", "severity"),
    [
        ("x.flatten(1)", Severity.INFO),
        ("F.dropout(x.flatten(1), 0.5)", Severity.INFO),
        ("F.dropout(x.flatten(1), 0.5, training=self.training)", Severity.WARNING),
        ("F.dropout(x.flatten(1), 0.5, self.training)", Severity.WARNING),
        ("F.dropout(x.flatten(1), 0.5, self.noisy)", Severity.WARNING),
    ],
)
def test_functional_dropout_depends_on_the_mode_if_it_is_told(dropout: str, severity: Severity, tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT.format(dropout=dropout), encoding="utf-8")
    configuration = Configuration(Options(select=("NN212",)), isolated=True)
    assert [each.severity for each in lint([path], configuration).diagnostics] == [severity]
