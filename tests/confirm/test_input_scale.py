"""What pretrained networks are fed, under experiment: that a repair turns the verdict, wherever it is made."""

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

SCRIPT = """
import torch
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

torch.manual_seed(0)
mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
norm = transforms.Normalize(mean.flatten(), std.flatten())

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.BatchNorm2d(3)
        self.backbone = models.mobilenet_v3_small(weights="DEFAULT")

    def forward(self, images):
        return self.backbone(images)

def main():
    transform = transforms.Compose([transforms.Resize((160, 160)), transforms.ToTensor()])
    loader = DataLoader(datasets.ImageFolder("data/train", transform), batch_size=16, shuffle=True)
    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=1e-4)
    for epoch in range(3):
        for images, labels in loader:
            scores = model(images)
            loss = nn.functional.cross_entropy(scores, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

main()
"""

HALVES = SCRIPT.replace("ToTensor()])", "ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])")


@pytest.mark.parametrize(
    ("text", "changes", "outcome"),
    [
        (SCRIPT, {}, "confirmed"),
        (SCRIPT, {"ToTensor()])": "ToTensor(), norm])"}, "refuted"),
        (SCRIPT, {"model(images)": "model((images - mean) / std)"}, "refuted"),
        (SCRIPT, {"self.backbone(images)": "self.backbone(norm(images))"}, "refuted"),
        (SCRIPT, {"self.backbone(images)": "self.backbone(self.stem(images))"}, "refuted"),
        (SCRIPT, {"model(images)": "model(images.sub_(mean).div_(std))"}, "refuted"),
        (SCRIPT, {"model(images)": "model(images * 255)"}, "inconclusive"),
        (SCRIPT, {"model(images)": "model(torch.rand(16, 3, 160, 160))"}, "inconclusive"),
        (HALVES, {}, "confirmed"),
        (HALVES, {"(0.5,) * 3, (0.5,) * 3": "mean.flatten(), std.flatten()"}, "refuted"),
    ],
)
def test_a_repair_turns_the_verdict(
    repaired: Repaired, write: Write, text: str, changes: Mapping[str, str], outcome: str
) -> None:
    answer = repaired(write("train.py", text), "NN103", changes)
    assert answer["outcome"] == outcome, answer


@pytest.mark.parametrize("line", ["prepare(images)", "norm.to(gpu)"])
def test_nothing_is_said_where_what_may_change_the_pictures_is_missing(
    verdicts: Verdicts, write: Write, line: str
) -> None:
    text = SCRIPT.replace("            scores = ", f"            {line}\n            scores = ")
    path = write("train.py", text.replace("import torch\n", "import torch\nfrom absent import prepare\n", 1))
    assert set(verdicts(path).values()) == {"inconclusive"}


def test_the_figures_are_those_of_the_pictures(repaired: Repaired, write: Write) -> None:
    figures = repaired(write("train.py", SCRIPT), "NN103", {})["figures"]
    assert isinstance(figures, dict)
    assert figures["range"] == [0.0, 1.0]
    assert figures["mean"] == pytest.approx([0.485, 0.456, 0.406], abs=0.03)
    assert figures["control_std"] == pytest.approx([1, 1, 1], abs=0.1)
