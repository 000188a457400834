"""NN101: the fix, and what the samples of a dataset tell."""

from __future__ import annotations

from pathlib import Path

import libcst as cst
import pytest

from nnlint.config import Configuration, Options
from nnlint.evidence.repeated_statement import repeated_for
from nnlint.evidence.sample_parts import returned_names, spoken
from nnlint.linter import lint

DATASET = """
import random
import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import Dataset
import torchvision.transforms.functional as TF


class Pictures(Dataset):
    def __init__(self, images, masks):
        self.images, self.masks = images, masks

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = Image.open(self.images[index])
        mask = Image.open(self.masks[index])
"""


def found(body: str, folder: Path, name: str = "NN101") -> list[int]:
    """The rows, counted from the first of the body, where the rule finds something."""
    path = folder / "train.py"
    lines = "".join(f"        {line}\n" if line else "\n" for line in body.strip().split("\n"))
    path.write_text(DATASET + lines, encoding="utf-8")
    report = lint([path], Configuration(Options(select=(name,)), isolated=True))
    assert not report.problems
    return [each.location.span.row - DATASET.count("\n") for each in report.diagnostics]


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ("if random.random() < 0.5:\n    image = ImageOps.mirror(image)\nreturn image, mask", [2]),
        ("image = ImageOps.mirror(image) if random.random() < 0.5 else image\nreturn image, mask", [1]),
        ("image = ImageOps.mirror(image)\nreturn image, mask", []),
        ("if index % 2:\n    image = ImageOps.mirror(image)\nreturn image, mask", []),
        ("a = random.random()\nreturn image.rotate(a), mask.rotate(a)", []),
        ("return image.rotate(random.random()), {'mask': mask}", [1]),
        ("if random.random() < 0.5:\n    image, mask = TF.hflip(image), TF.hflip(mask)\nreturn image, mask", []),
        ("if random.random() < 0.5:\n    image = TF.hflip(image)\nreturn image, index", []),
    ],
)
def test_samples(body: str, rows: list[int], tmp_path: Path) -> None:
    assert found(body, tmp_path) == rows


SEEDED_FOR_TORCH = """
torch.manual_seed(1)
image = image.rotate(random.random())
torch.manual_seed(1)
mask = mask.rotate(random.random())
return image, mask
"""


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ("return image.rotate(random.random()), mask.rotate(random.random())", [1]),
        (
            "random.seed(1)\na = image.rotate(random.random())\nrandom.seed(1)\nreturn a, mask.rotate(random.random())",
            [],
        ),
        (SEEDED_FOR_TORCH, [4]),
    ],
)
def test_independent_draws(body: str, rows: list[int], tmp_path: Path) -> None:
    assert found(body, tmp_path, "NN102") == rows


FUNCTION = """
def load(self, index):
    image = read(self.images[index])
    mask = read(self.masks[index])
    if draw() < 0.5:
        image = {statement}
    return image, mask
"""


@pytest.mark.parametrize(
    ("expression", "repeated"),
    [
        ("mirror(image)", "mask = mirror(mask)"),
        ("image.flip(image=3)", "mask = mask.flip(image=3)"),
        ("self.image(image)", "mask = self.image(mask)"),
        ("mirror(other)", None),
    ],
)
def test_repeated_for_another_variable(expression: str, repeated: str | None) -> None:
    function = cst.parse_module(FUNCTION.format(statement=expression)).body[0]
    assert isinstance(function, cst.FunctionDef)
    branch = function.body.body[2]
    assert isinstance(branch, cst.If)
    line = branch.body.body[0]
    assert isinstance(line, cst.SimpleStatementLine)
    assign = line.body[0]
    assert isinstance(assign, cst.Assign)
    assert repeated_for(function, assign.value, "mask", ()) == repeated
    assert repeated_for(function, assign.value, "boxes", ()) is None


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("mask", "mask"),
        ("torch.from_numpy(mask.copy())", "mask"),
        ("mask.long().squeeze()", "mask"),
        ("sample['mask']", "mask"),
        ("self.masks[i]", "masks"),
        ("mask / 255", "mask"),
        ("(lambda: 0)()", ""),
    ],
)
def test_spoken(expression: str, name: str) -> None:
    assert spoken(cst.parse_expression(expression)) == name


def test_names_of_what_is_returned() -> None:
    function = cst.parse_module("def f():\n    if x:\n        return a, b.t()\n    return c\n").body[0]
    assert returned_names(function) == {2: ["a", "b"]}
