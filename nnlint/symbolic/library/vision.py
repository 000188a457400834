"""Image transforms: torchvision, albumentations, kornia, imgaug, monai."""

from __future__ import annotations

PREFIXES: dict[str, str] = {
    "torchvision.transforms": "transform",
    "torchvision.transforms.v2": "transform",
    "albumentations": "transform",
    "albumentations.pytorch": "transform",
    "kornia.augmentation": "transform",
}
