"""Tensors that are not made yet, and which of them a layer takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .guessing import BATCH, STEPS

_SIDE = re.compile(r"(img|image|im|input|patch|crop|window)_?(size|res|width|height|dim)|resolution|^size$")

SIDES = (32, 28, 64, 224, 48, 96, 128, 16, 256, 299, 227, 8, 512, 40, 4, 572, 1)
"""Sides of images that networks are made for, the commonest first."""

LONG = 96
"""Elements of a sequence that is halved a few times."""

LENGTHS = (STEPS, 16, 64, 100, 128, 784, 1024, 4096, 16000)
"""Lengths of signals."""


@dataclass(frozen=True)
class Sketch:
    """A tensor to be made: ``kind`` is ``real``, ``integers`` (below ``bound``), ``probabilities`` or ``true``."""

    shape: tuple[int, ...]
    kind: str = "real"
    bound: int = 0

    def made(self, device: str) -> Any:
        """The tensor, drawn from torch's generator."""
        import torch

        if self.kind == "integers":
            if device == "meta":
                return torch.empty(self.shape, dtype=torch.long, device=device)
            return torch.randint(0, max(self.bound, 2), self.shape).to(device)
        if self.kind == "true":
            return torch.ones(self.shape, dtype=torch.bool, device=device)
        if device == "meta":
            return torch.empty(self.shape, device=device)
        made = torch.rand(self.shape) if self.kind == "probabilities" else torch.randn(self.shape)
        return made.to(device)


def sides_of(module: Any) -> list[int]:
    """Sides of images that a module remembers, by the names of its attributes."""
    found = []
    for each in module.modules():
        for name, value in vars(each).items():
            side = value[0] if isinstance(value, (tuple, list)) and len(value) == 2 else value
            if type(side) is int and 0 < side <= 1024 and _SIDE.search(name):
                found.append(side)
    return list(dict.fromkeys(found))


def leaves(module: Any) -> list[Any]:
    """The layers of a module that hold no others, in the order in which they were registered."""
    from torch import nn

    whole = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
    return [each for each in module.modules() if isinstance(each, whole) or not any(True for _ in each.children())]


def accepted_by(layer: Any, sides: Sequence[int]) -> Iterator[Sketch]:
    """Tensors that a layer of torch takes, likely ones first. ``sides`` are those of images to be tried."""
    from torch import nn

    if isinstance(layer, (nn.Conv2d, nn.LazyConv2d)):
        channels = getattr(layer, "in_channels", 0) or 3
        for side in sides:
            yield Sketch((BATCH, channels, side, side))
    elif isinstance(layer, nn.ConvTranspose2d):
        for side in (1, 4, 8):
            yield Sketch((BATCH, layer.in_channels, side, side))
        yield Sketch((BATCH, layer.in_channels))
    elif isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d)):
        for length in LENGTHS:
            yield Sketch((BATCH, layer.in_channels, length))
        for length in LENGTHS:
            yield Sketch((BATCH, length, layer.in_channels))
    elif isinstance(layer, (nn.Conv3d, nn.ConvTranspose3d)):
        for side in (16, 32):
            yield Sketch((BATCH, layer.in_channels, side, side, side))
        for depth in (103, 200):
            for side in (5, 7, 9, 27):
                yield Sketch((BATCH, layer.in_channels, depth, side, side))
        yield Sketch((BATCH, layer.in_channels, 4, 64, 64))
        yield Sketch((BATCH, layer.in_channels, 16, 112, 112))
    elif isinstance(layer, nn.Bilinear):
        yield Sketch((BATCH, layer.in1_features))
    elif isinstance(layer, nn.Linear):
        yield from _for_linear(layer.in_features)
    elif isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
        for shape in ((BATCH, STEPS), (BATCH,), (STEPS, BATCH), (BATCH, 3, STEPS), (BATCH, 8, 8)):
            yield Sketch(shape, "integers", layer.num_embeddings)
        for around in ((), (8, 8)):
            yield Sketch((BATCH, layer.embedding_dim, *around))
        yield Sketch((BATCH, STEPS, layer.embedding_dim))
    elif isinstance(layer, nn.RNNBase):
        yield Sketch((BATCH, STEPS, layer.input_size))
        yield Sketch((STEPS, BATCH, layer.input_size))
    elif isinstance(layer, nn.RNNCellBase):
        yield Sketch((BATCH, layer.input_size))
        yield Sketch((BATCH, STEPS, layer.input_size))
        yield Sketch((BATCH, STEPS))
    else:
        yield from _for_norm(layer)


def _for_linear(features: int) -> Iterator[Sketch]:
    yield Sketch((BATCH, features))
    yield Sketch((BATCH, STEPS, features))
    yield Sketch((STEPS, BATCH, features))
    yield Sketch((BATCH, LONG, features))
    for channels in (1, 3):
        side = round((features / channels) ** 0.5)
        if side > 1 and channels * side * side == features:
            yield Sketch((BATCH, channels, side, side))
    yield Sketch((BATCH, 3, STEPS, features))


def _for_norm(layer: Any) -> Iterator[Sketch]:
    from torch import nn

    if isinstance(layer, (nn.BatchNorm1d, nn.InstanceNorm1d)):
        yield Sketch((BATCH, layer.num_features))
        yield Sketch((BATCH, layer.num_features, STEPS))
    elif isinstance(layer, (nn.BatchNorm2d, nn.InstanceNorm2d)):
        for side in (16, 32, 8):
            yield Sketch((BATCH, layer.num_features, side, side))
    elif isinstance(layer, (nn.BatchNorm3d, nn.InstanceNorm3d)):
        yield Sketch((BATCH, layer.num_features, 8, 16, 16))
    elif isinstance(layer, nn.GroupNorm):
        yield Sketch((BATCH, layer.num_channels, 16, 16))
        yield Sketch((BATCH, layer.num_channels, STEPS))
    elif isinstance(layer, nn.LayerNorm):
        yield Sketch((BATCH, STEPS, *layer.normalized_shape))
        yield Sketch((BATCH, *layer.normalized_shape))
    elif isinstance(layer, (nn.TransformerEncoderLayer, nn.MultiheadAttention)):
        attention = layer.self_attn if isinstance(layer, nn.TransformerEncoderLayer) else layer
        first = attention.batch_first
        yield Sketch((BATCH, STEPS, attention.embed_dim) if first else (STEPS, BATCH, attention.embed_dim))
    else:
        for parameter in layer.parameters(recurse=False):
            if parameter.dim() > 0:
                yield Sketch((BATCH, STEPS, parameter.shape[-1]))
                yield Sketch((BATCH, parameter.shape[-1]))
            if parameter.dim() > 1:
                yield Sketch((BATCH, STEPS, parameter.shape[0]))
                yield Sketch((BATCH, parameter.shape[0]))
        for width in {size for each in layer.parameters(recurse=False) for size in each.shape[:2] if size > 1}:
            yield Sketch((BATCH, width, 8, 8))


def common(sides: Sequence[int]) -> Iterator[Sketch]:
    """Tensors that something unknown may take."""
    for side in sides[:5]:
        for channels in (3, 1):
            yield Sketch((BATCH, channels, side, side))
    for width in (32, 16, 64, 784, 10, 8, 4, 100, 128, 512):
        yield Sketch((BATCH, width))
        yield Sketch((BATCH, STEPS, width))
    yield Sketch((BATCH, STEPS), "integers", 10)
    yield Sketch((BATCH,), "integers", 10)
    for several in ((STEPS, 4, 8), (4, STEPS, 8), (STEPS, 4), (8, 16, 16), (32, 8, 8), (64, 16, 16), (1, 16000), ()):
        yield Sketch((BATCH, *several))
    for many in ((3, 4, 64, 64), (16, 3, 32, 32), (STEPS, 4, 8, 8)):
        yield Sketch((BATCH, *many))
