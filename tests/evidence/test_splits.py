"""Which split loaders and datasets hold, and which loops train."""

from __future__ import annotations

import pytest

from nnlint.diagnostic import Confidence
from nnlint.evidence.phases import phases
from nnlint.evidence.splits import role_of_name, split_of
from tests.symbolic.reading import probe, read

HEAD = """
from torch.utils.data import DataLoader, random_split
from torchvision import datasets
"""


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("train_loader", "train"),
        ("trainLoader", "train"),
        ("val_dl", "validation"),
        ("validloader", "validation"),
        ("dev", "validation"),
        ("test_set", "test"),
        ("data/test/images", "test"),
        ("trainval", None),
        ("train_val_loader", None),
        ("latest", None),
        ("contest", None),
        ("retrain", None),
        ("constrained", None),
        ("loader", None),
    ],
)
def test_names(name: str, role: str | None) -> None:
    assert role_of_name(name) == role


@pytest.mark.parametrize(
    ("text", "role", "confidence"),
    [
        ("datasets.MNIST('d', train=True)", "train", Confidence.HIGH),
        ("DataLoader(datasets.MNIST('d', train=False))", "test", Confidence.HIGH),
        ("DataLoader(dataset=datasets.STL10('d', split='train'))", "train", Confidence.HIGH),
        ("datasets.ImageFolder('images/val')", "validation", Confidence.MEDIUM),
        ("loaders['test']", "test", Confidence.MEDIUM),
        ("make_test_loader()", None, None),
        ("datasets.ImageFolder(root)", None, None),
        ("datasets.STL10('d', split='train+unlabeled')", "train", Confidence.HIGH),
    ],
)
def test_splits(text: str, role: str | None, confidence: Confidence | None) -> None:
    (value,) = probe(f"{HEAD}\nrandom.seed({text})")
    found = split_of(value)
    assert (found.role, found.confidence) == (role, confidence) if found else role is None


SCRIPT = """
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets

class Net(nn.Module):
    def forward(self, x):
        return x

net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

def run(loader, train):
    for x, y in loader:
        loss = nn.functional.cross_entropy(net(x), y)
        if train:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

run(DataLoader(datasets.MNIST("d", train=True)), True)
run(DataLoader(datasets.MNIST("d", train=False)), False)
"""


def test_one_function_for_both_phases() -> None:
    (run,) = read(SCRIPT).runs
    assert [(phase.role, phase.trains, phase.evaluates) for phase in phases(run)] == [
        ("train", True, False),
        ("test", False, True),
    ]
