"""Sizes of layers that depend on what is not there: any size does where only the randomness of the weights counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..anything import is_missing
from ..bench import Bench
from ..setting.replacement import replaced

SIZE = 12
"""What a missing size is taken to be: many numbers of heads and groups divide it."""

LAYERS = (
    *("Linear", "Bilinear", "Embedding", "EmbeddingBag", "LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"),
    *("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "MultiheadAttention"),
    *("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LayerNorm", "TransformerEncoderLayer", "TransformerDecoderLayer"),
)
"""The layers of torch that have sizes."""


@contextmanager
def without_sizes(bench: Bench) -> Iterator[None]:
    """Layers are built also where a size is missing; it is taken to be :data:`SIZE`, and said to be.

    Weights that are replaced by missing ones are zero: they do not come from a generator.
    """
    import torch

    assign = torch.nn.Module.__setattr__

    def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807 # it stands in for that one
        known = self.__dict__.get("_parameters", {}).get(name) if is_missing(value) else None
        if known is None:
            assign(self, name, value)
        else:
            known.detach().zero_()

    layers = (getattr(torch.nn, name) for name in LAYERS)
    sized = ((layer, "__init__", _sized(layer, bench)) for layer in layers)
    with replaced(((torch.nn.Module, "__setattr__", __setattr__), *sized)):
        yield


def _sized(layer: Any, bench: Bench) -> Callable[..., None]:
    build = layer.__init__
    tables = layer.__name__ in ("Embedding", "EmbeddingBag")

    def known(value: Any, place: object) -> Any:
        # What is missing counts as empty.
        if is_missing(value) or (tables and place in (0, "num_embeddings") and value == 0):
            bench.assume(f"sizes that are not known are {SIZE}")
            return SIZE
        return value

    def initialize(self: Any, *args: Any, **kwargs: Any) -> None:
        build(
            self,
            *(known(value, place) for place, value in enumerate(args)),
            **{name: known(value, name) for name, value in kwargs.items()},
        )

    return initialize
