"""Layers whose sizes are configured, and the lists of layers."""

from __future__ import annotations

import pytest

from nnlint.evidence.regrouping import regroup
from nnlint.symbolic.library.layers import LAYERS, MODULES, PARAMETRIC
from nnlint.symbolic.sizes import monomial, spelled
from nnlint.symbolic.trace import Reshape
from nnlint.symbolic.values import Value
from tests.symbolic.reading import events

NETWORK = """
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self, width, hidden, heads, layers, both, first=True):
        super().__init__()
        self.hidden = hidden
        self.heads = heads
        self.states = (2 if both else 1) * layers
        self.rnn = nn.{rnn}(width, hidden, num_layers=layers, bidirectional=both, batch_first=first)
        self.linear = nn.Linear(hidden, heads * (hidden // heads))
        self.conv = nn.Conv2d(3, hidden, {kernel})

    def forward(self, x):
        {forward}
"""


def view(forward: str, rnn: str = "GRU", kernel: str = "3, padding=1") -> Reshape:
    """The last reshape of a forward."""
    code = NETWORK.format(rnn=rnn, kernel=kernel, forward=forward.replace("\n", "\n        "))
    return events(code, Reshape)[-1]


def names(sizes: tuple[Value, ...] | None) -> list[str]:
    assert sizes is not None
    products = [monomial(size) for size in sizes]
    return ["?" if size is None else spelled(size) for size in products]


def test_states_are_layers_times_directions() -> None:
    event = view("b = x.size(0)\n_, h = self.rnn(x)\nreturn h.view(b, self.states * self.hidden)")
    assert names(event.dims) == ["layers·(1 or 2)", "b", "hidden"]
    assert event.dims is not None
    assert regroup(event.dims, event.sizes).verdict == "mixed"


def test_the_cell_of_an_lstm_is_its_state_s_twin() -> None:
    event = view("b = x.size(0)\n_, (h, c) = self.rnn(x)\nreturn c.view(b, -1)", rnn="LSTM")
    assert names(event.dims) == ["layers·(1 or 2)", "b", "hidden"]


def test_outputs_have_both_directions() -> None:
    event = view("b, t, _ = x.shape\no, _ = self.rnn(x)\nreturn o.reshape(b * t, -1)")
    assert names(event.dims) == ["b", "t", "hidden·(1 or 2)"]


def test_heads_divide_exactly() -> None:
    event = view("b, t, _ = x.shape\ny = self.linear(x)\nreturn y.view(b, t, self.heads, -1)")
    assert names(event.dims) == ["b", "t", "hidden"]
    assert names((*event.sizes[:3], event.result.shape.dims[3])) == ["b", "t", "heads", "hidden/heads"]  # type: ignore[attr-defined]


def test_equal_convolutions_give_equal_sizes() -> None:
    code = "y = self.conv(x)\nb, c, h, w = y.shape\nz = self.conv(x).flatten(2)\nreturn z.view(b, c, h, w)"
    for kernel in ("3, padding=1", "heads, stride=layers"):
        event = view(code, kernel=kernel)
        assert event.dims is not None
        assert regroup(event.dims, event.sizes).verdict == "ordered"


def test_what_is_learnt_of_the_result_holds_for_the_input() -> None:
    event = view("y = self.linear(x)\nb, t, c = y.shape\nreturn x.view(b * t, -1)")
    assert names(event.dims)[:2] == ["b", "t"]


def test_packed_sequences_keep_the_batch() -> None:
    packed = "p = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)"
    event = view(f"b = x.size(0)\n{packed}\no, h = self.rnn(p)\nreturn h.view(b, -1)")
    assert names(event.dims)[1] == "b"


def test_unknown_layers_are_silent() -> None:
    event = view("b = x.size(0)\nreturn self.other(x).view(b, -1)")
    assert event.dims is None


@pytest.mark.parametrize("name", ["Linear", "Conv2d", "LSTM", "GRUCell", "Embedding", "MultiheadAttention", "Bilinear"])
def test_layers_with_weights(name: str) -> None:
    assert f"torch.nn.{name}" in PARAMETRIC & MODULES & set(LAYERS)


@pytest.mark.parametrize("name", ["ReLU", "MaxPool2d", "Dropout", "Flatten", "Sequential", "BatchNorm2d", "Identity"])
def test_layers_that_draw_nothing(name: str) -> None:
    assert f"torch.nn.{name}" in MODULES - PARAMETRIC
