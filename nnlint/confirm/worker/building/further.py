"""Arguments after the first, by what the parameter is called: hidden states, masks, lengths, time steps, targets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from .guessing import BATCH, STEPS
from .sketches import Sketch

Maker = Callable[[str], Any]
"""Makes an argument on a device."""

Choice = tuple[Maker, int]
"""A candidate for an argument, with the bound of its integers."""

WIDTHS = 5
"""Widths of layers that are tried."""

INITIAL_STATES = "init_hidden initHidden init_state begin_state initialize_hidden init_hidden_state".split()
"""Methods of modules that make a hidden state."""

_STATE = re.compile(r"^(prev_?)?(hidden\w*|h|hx|states?|h_?0|hc)$")
_LENGTHS = re.compile(r"len(gth)?s?$|^lens")
_ONE = re.compile(r"epoch|^iter\w*$|^global_step$|^i$|^idx$|layer_idx")
_FACTOR = re.compile(r"lambda|alpha|beta|ratio|temperature|eps|^p$|scale|gamma|weight$|lr$|^lam$|noise_std")
_FLAG = re.compile(r"^(deterministic|training|train|(return|is|use|with)_\w+)$")
_SIZE = re.compile(r"^(size|height|width|h|w|max_len\w*|num_\w+|n_\w+|dim|batch_?size)$")
_TIME = re.compile(r"^(t|time|timesteps?|steps?|sigma|noise_level)s?$")
_GRAPH = re.compile(r"adj|edge|graph")
_TARGET = re.compile(r"label|target|^y$|^y_true|class|^gt|truth")
_TOKENS = re.compile(r"caption|token|ids$|tgt|trg|text|words|answer|question")


def further_arguments(name: str, first: Sketch, module: Any) -> list[Choice]:
    """Candidates for the parameter ``name`` of a method of ``module`` that is given ``first`` as its first argument."""
    name = name.lower()
    if _STATE.search(name):
        return list(_states(module))
    if "mask" in name:
        return [_none, *_sketched(_masks(first))]
    if _LENGTHS.search(name):
        length = first.shape[1] if len(first.shape) > 1 else STEPS
        return [(partial(_lengths, length), 0), _constant([length] * BATCH)]
    if _ONE.search(name):
        return [_constant(1)]
    if _FACTOR.search(name):
        return [_constant(0.5), _constant(1)]
    if _FLAG.search(name):
        return [_constant(False)]
    if _SIZE.search(name):
        return [_constant(BATCH if "batch" in name else first.shape[-1] if len(first.shape) > 2 else STEPS)]
    return _sketched(dict.fromkeys((*_named(name, first), *_alike(first), *_taken_within(module))))


def _constant(value: Any) -> Choice:
    return (lambda device: value), 0


_none = _constant(None)


def _sketched(sketches: Any) -> list[Choice]:
    return [(each.made, each.bound) for each in sketches]


def _states(module: Any) -> Iterator[Choice]:
    """Hidden states: what the module makes itself, or what its recurrent layer takes."""
    from torch import nn

    for method in INITIAL_STATES:
        if hasattr(module, method):
            yield partial(_initial, getattr(module, method)), 0
            return
    layers = module.modules() if isinstance(module, nn.Module) else ()
    layer = next((each for each in layers if isinstance(each, (nn.RNNBase, nn.RNNCellBase))), None)
    if layer is not None:
        shape: tuple[int, ...] = (BATCH, layer.hidden_size)
        if isinstance(layer, nn.RNNBase):
            shape = (layer.num_layers * (2 if layer.bidirectional else 1), *shape)
        if isinstance(layer, (nn.LSTM, nn.LSTMCell)):
            yield partial(_pair, Sketch(shape)), 0
        else:
            yield Sketch(shape).made, 0
    yield _none
    yield Sketch((BATCH, 32)).made, 0


def _initial(make: Callable[..., Any], device: str) -> Any:
    try:
        return make(BATCH)
    except TypeError:
        return make()


def _pair(sketch: Sketch, device: str) -> Any:
    return sketch.made(device), sketch.made(device)


def _lengths(length: int, device: str) -> Any:
    import torch

    return torch.full((BATCH,), length, device=device)


def _masks(first: Sketch) -> Iterator[Sketch]:
    length = first.shape[1] if len(first.shape) > 1 else STEPS
    for shape in (first.shape[:2], (length, length), (BATCH, 1, length), (BATCH, length, length)):
        yield Sketch(shape, "true")
    yield Sketch((BATCH, 1, *first.shape[2:]), "probabilities")
    yield Sketch(first.shape, "probabilities")


def _named(name: str, first: Sketch) -> Iterator[Sketch]:
    """Tensors that the name tells of."""
    shape = first.shape
    if _TIME.search(name):
        yield Sketch((BATCH,), "integers", 10)
        yield Sketch((BATCH,), "probabilities")
        yield Sketch((BATCH, 1), "probabilities")
    elif _GRAPH.search(name):
        yield Sketch((shape[0], shape[0]), "probabilities")
        yield Sketch((2, 3 * BATCH), "integers", BATCH)
        yield Sketch((BATCH, *shape[1:2] * 2), "probabilities")
    elif _TARGET.search(name):
        yield first
        for target in ((BATCH,), shape[:2], (BATCH, *shape[2:])):
            yield Sketch(target, "integers", 2)
        yield Sketch((BATCH, 11))
        yield Sketch((BATCH,), "probabilities")
    elif _TOKENS.search(name):
        yield first
        yield Sketch((BATCH, STEPS), "integers", 10)
        yield Sketch((BATCH,), "integers", 10)


def _taken_within(module: Any) -> Iterator[Sketch]:
    """Tensors of the widths that the layers of a module take."""
    from torch import nn

    layers = module.modules() if isinstance(module, nn.Module) else ()
    widths = [getattr(each, "in_features", 0) or getattr(each, "input_size", 0) for each in layers]
    for width in list(dict.fromkeys(each for each in widths if type(each) is int and each > 1))[:WIDTHS]:
        yield Sketch((BATCH, width))
        yield Sketch((BATCH, STEPS, width))


def _alike(first: Sketch) -> Iterator[Sketch]:
    """Tensors like the first argument, of other sizes, and common ones."""
    yield first
    if len(first.shape) == 4:
        batch, channels, height, width = first.shape
        yield Sketch((batch, channels, max(height // 2, 1), max(width // 2, 1)))
        yield Sketch((batch, channels, height * 2, width * 2))
        yield Sketch((batch, 1, height, width))
        if channels > 1:
            yield Sketch((batch, channels // 2, height * 2, width * 2))
            yield Sketch((batch, channels * 2, height // 2, width // 2))
    if len(first.shape) == 3:
        batch, steps, width = first.shape
        yield Sketch((batch, width))
        yield Sketch((batch, width, steps))
        yield Sketch((batch, STEPS + 4, width))
    for width in (11, 16, 32, 4, 1):
        yield Sketch((BATCH, width))
    yield Sketch((BATCH, STEPS), "integers", 10)
    yield Sketch((BATCH,), "integers", 10)
    yield Sketch((BATCH, STEPS, 32))
    yield Sketch((*first.shape[:2], *(5,) * (len(first.shape) - 2)), "integers", 2)
