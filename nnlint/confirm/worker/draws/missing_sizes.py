"""Sizes of layers that depend on what is not there: any size does where only the randomness of the weights counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ..anything import is_missing
from ..bench import Bench

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

    with ExitStack() as stack:
        stack.callback(setattr, torch.nn.Module, "__setattr__", assign)
        torch.nn.Module.__setattr__ = __setattr__
        for name in LAYERS:
            layer = getattr(torch.nn, name)
            stack.callback(setattr, layer, "__init__", layer.__init__)
            layer.__init__ = _sized(layer.__init__, bench, tables=name in ("Embedding", "EmbeddingBag"))
        yield


def _sized(build: Callable[..., None], bench: Bench, *, tables: bool) -> Callable[..., None]:
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
