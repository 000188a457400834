"""What transforms leave to chance, and which operations move pixels."""

from __future__ import annotations

import pytest

from nnlint.symbolic.library.motions import chance, is_draw, motion_of, motion_of_class, random_motions
from nnlint.symbolic.values import Object
from tests.symbolic.reading import probe

HEADER = """
import random
import albumentations as A
import cv2
import imgaug.augmenters as iaa
import numpy as np
import torch
import torchvision.transforms.functional as TF
from monai.transforms import RandFlipd
from PIL import Image, ImageOps
from torchvision import transforms as T
from torchvision.transforms import v2

image = Image.open("a.png")
angle = random.uniform(-10, 10)
"""


def built(expression: str) -> Object:
    (value,) = probe(f"{HEADER}random.seed({expression})")
    assert isinstance(value, Object)
    return value


@pytest.mark.parametrize(
    "transform",
    [
        "T.RandomHorizontalFlip()",
        "T.RandomVerticalFlip(0.3)",
        "T.RandomRotation(20)",
        "T.RandomRotation((-20, 20))",
        "T.RandomCrop(32, padding=4)",
        "v2.RandomAffine(10)",
        "T.RandAugment()",
        "A.HorizontalFlip()",
        "A.Rotate(10, p=1.0)",
        "A.RandomCrop(256, 256)",
        "iaa.Fliplr(0.5)",
        "iaa.Affine(rotate=(-10, 10))",
        "RandFlipd(keys=['image'], prob=0.5)",
        "RandFlipd(['image'], 0.5)",
    ],
)
def test_random(transform: str) -> None:
    value = built(transform)
    motion = motion_of_class(value.path)
    assert motion is not None
    assert chance(value, motion) is value


@pytest.mark.parametrize(
    "transform",
    [
        "T.RandomHorizontalFlip(p=1)",
        "T.RandomHorizontalFlip(0)",
        "T.RandomRotation(0)",
        "T.RandomRotation((90, 90))",
        "A.VerticalFlip(p=1.0)",
        "iaa.Fliplr(1.0)",
        "iaa.Affine(rotate=90)",
        "RandFlipd(keys=['image'], prob=1)",
    ],
)
def test_always_the_same(transform: str) -> None:
    value = built(transform)
    motion = motion_of_class(value.path)
    assert motion is not None
    assert chance(value, motion) is None


@pytest.mark.parametrize(
    "transform", ["T.RandomRotation((angle, angle))", "T.RandomHorizontalFlip(random.randint(0, 1))"]
)
def test_decided_by_a_number_that_the_script_has_drawn(transform: str) -> None:
    value = built(transform)
    motion = motion_of_class(value.path)
    assert motion is not None
    decided = chance(value, motion)
    assert decided is not None
    assert is_draw(decided)


@pytest.mark.parametrize("transform", ["T.ColorJitter(0.5)", "T.RandomErasing()", "T.Resize(32)", "A.GaussNoise()"])
def test_moves_nothing_by_chance(transform: str) -> None:
    assert motion_of_class(built(transform).path) is None


@pytest.mark.parametrize(
    ("transform", "kinds"),
    [
        ("T.Compose([T.Resize(32), T.RandomHorizontalFlip(), T.RandomCrop(28), T.ToTensor()])", ["flip", "crop"]),
        ("T.Compose([T.Resize((32, 32)), T.RandomCrop(32)])", []),
        ("T.Compose([T.Resize((32, 32)), T.RandomCrop(32, padding=4)])", ["crop"]),
        ("T.RandomApply([T.RandomRotation(10), T.ColorJitter()])", ["rotation"]),
        ("A.Compose([A.OneOf([A.HorizontalFlip(), A.Blur()]), A.Normalize()])", ["flip"]),
    ],
)
def test_random_motions_of_a_pipeline(transform: str, kinds: list[str]) -> None:
    assert [motion.kind for _, motion in random_motions(built(transform))] == kinds


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("TF.hflip(image)", "flip"),
        ("TF.rotate(image, angle)", "rotation"),
        ("TF.crop(image, 0, 0, 3, 3)", "crop"),
        ("image.transpose(Image.FLIP_LEFT_RIGHT)", "flip"),
        ("image.transpose(Image.ROTATE_90)", "rotation"),
        ("image.rotate(angle)", "rotation"),
        ("ImageOps.mirror(image)", "flip"),
        ("cv2.flip(np.array(image), 1)", "flip"),
        ("np.array(image)[:, ::-1]", "flip"),
        ("np.array(image)[1:9, 2:8]", "crop"),
        ("np.array(image)[:, :, ::-1]", None),
        ("np.array(image)[..., ::-1]", None),
        ("np.array(image)[:4]", None),
        ("np.array(image).transpose(2, 0, 1)", None),
        ("TF.adjust_brightness(image, 2)", None),
    ],
)
def test_motion_of_an_operation(expression: str, kind: str | None) -> None:
    (value,) = probe(f"{HEADER}random.seed({expression})")
    assert value is not None
    assert value.origin is not None
    assert motion_of(value.origin) == kind


@pytest.mark.parametrize(
    ("expression", "drawn"),
    [
        ("random.random()", True),
        ("np.random.randint(3)", True),
        ("torch.rand(1)", True),
        ("T.RandomCrop.get_params(image, (3, 3))", True),
        ("random.getstate()", False),
        ("image.size", False),
    ],
)
def test_draws(expression: str, drawn: bool) -> None:
    (value,) = probe(f"{HEADER}random.seed({expression})")
    assert value is not None
    assert is_draw(value) is drawn
