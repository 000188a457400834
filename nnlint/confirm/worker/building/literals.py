"""Tensors and sizes of images that are written down in a script."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from .guessing import BATCH
from .sketches import Sketch

MAKERS = frozenset("randn rand zeros ones empty randint full FloatTensor summary normal Tensor".split())
"""Functions that are given the shape of a tensor."""

RESIZING = frozenset("Resize CenterCrop RandomCrop RandomResizedCrop Scale RandomSizedCrop".split())
"""Transforms that are given the side of an image."""

DATA_SIDES = {28: ("MNIST", "FashionMNIST", "EMNIST", "KMNIST"), 32: ("CIFAR10", "CIFAR100", "SVHN")}
"""Sides of the images of well-known data sets."""


def tensors_written_in(texts: Sequence[str]) -> list[Sketch]:
    """Tensors made with numbers for sizes, ``torch.randn(2, 3, 32, 32)``; with the first size replaced by the batch.

    Images that are resized to a height and another width are among them.
    """
    found = [sketch for text in texts for call in _calls(text) for sketch in (*_tensors(call), *_images(call))]
    return list(dict.fromkeys(found))


def sides_in(texts: Sequence[str]) -> list[int]:
    """Sides of images: of transforms, and of the data sets that are named."""
    found = []
    for text in texts:
        for call in _calls(text):
            size = call.args[0] if _name(call) in RESIZING and call.args else None
            if isinstance(size, (ast.Tuple, ast.List)) and size.elts:
                size = size.elts[0]
            if isinstance(size, ast.Constant) and isinstance(size.value, int):
                found.append(size.value)
        found += [side for side, names in DATA_SIDES.items() if any(name in text for name in names)]
    return list(dict.fromkeys(found))


def _calls(text: str) -> Iterator[ast.Call]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node


def _name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _tensors(call: ast.Call) -> Iterator[Sketch]:
    if _name(call) not in MAKERS:
        return
    groups = [call.args, *(each.elts for each in call.args if isinstance(each, (ast.Tuple, ast.List)))]
    for group in groups:
        sizes = [_size(each) for each in group]
        if 2 <= len(sizes) <= 5 and all(sizes[1:]) and (sizes[0] or isinstance(group[0], (ast.Name, ast.Attribute))):
            kind, bound = ("integers", 10) if _name(call) == "randint" else ("real", 0)
            yield Sketch((BATCH, *sizes[1:]), kind, bound)
            if len(sizes) == 3 and sizes[0] and kind == "real":
                yield Sketch((BATCH, *sizes), kind, bound)


def _images(call: ast.Call) -> Iterator[Sketch]:
    """Coloured and grey images of the two sides that a call resizes images to, if these are not the same."""
    name = _name(call)
    if name not in RESIZING and name not in ("resize", "interpolate"):
        return
    for each in (*call.args, *(keyword.value for keyword in call.keywords)):
        if isinstance(each, (ast.Tuple, ast.List)) and len(each.elts) == 2:
            sides = tuple(map(_size, each.elts))
            if all(sides) and sides[0] != sides[1]:
                # OpenCV and Pillow name the width first, torchvision the height.
                orders = (sides[::-1], sides) if name == "resize" else (sides,)
                yield from (Sketch((BATCH, channels, *order)) for order in orders for channels in (3, 1))


def _size(node: ast.expr) -> int:
    """A written size; 0 if it is none."""
    if isinstance(node, ast.Constant) and type(node.value) is int and 0 < node.value < 2048:
        return node.value
    return 0
