"""Whether a module behaves differently in train and in eval mode: dropout, batch norm, code that asks for its mode."""

from __future__ import annotations

import re

from nnlint.symbolic.modes import is_library_model, parts_of
from nnlint.symbolic.scalar import number
from nnlint.symbolic.values import Const, Instance, Object, Value

DROPPING = re.compile(r"^torch\.nn\.(Dropout[123]?d?|AlphaDropout|FeatureAlphaDropout)$")
NORMALIZING = re.compile(r"^torch\.nn\.((Lazy)?BatchNorm[123]d|SyncBatchNorm)$")
WITH_DROPOUT = re.compile(r"^torch\.nn\.(LSTM|GRU|RNN|MultiheadAttention)$")
TRANSFORMERS = re.compile(r"^torch\.nn\.Transformer(Encoder|Decoder)?(Layer)?$")
ASKS = re.compile(
    r"training\s*=\s*self\.training|self\.training\b|\bF\.\w*dropout\w*\(|batch_?norm|[dD]rop_?(out|path)",
    re.IGNORECASE,
)
"""How the code of a module speaks of what depends on the mode."""

PLAIN = re.compile(
    r"^torch\.nn\.(Linear|Conv\w+|ReLU6?|GELU|Tanh|Sigmoid|Softmax|LogSoftmax|LeakyReLU|ELU|SiLU|MaxPool\dd|AvgPool\dd|"
    r"Adaptive\w+|Flatten|Embedding|LayerNorm|GroupNorm|Identity|Upsample|PReLU|Softplus|Hardtanh|Sequential|ModuleList|"
    r"ModuleDict|DataParallel|parallel\.DistributedDataParallel|LSTM|GRU|RNN|LSTMCell|GRUCell|RNNCell|PixelShuffle|\w*Pad\w*)$"
)
"""Layers that do the same in both modes (recurrent ones without dropout), and containers."""

FUNCTIONAL = re.compile(r"\b(?:F|functional)\.\w*dropout\w*\(((?:[^()]|\([^()]*\))*)\)")
"""A call of functional dropout, and its arguments."""

MOST = 600


def mode_layers(module: Value) -> str | None:
    """What of a module depends on the mode, as a person would call it: ``BatchNorm2d``, ``Dropout(0.5)``.

    Empty if nothing does, None if it cannot be told.
    """
    stack, seen = [module], set[int]()
    known = True
    while stack and len(seen) < MOST:
        value = stack.pop(0)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Instance):
            stack += parts_of(value)
            code = "\n".join(cls.frame.module.source.module.code_for_node(cls.node) for cls in value.cls.lineage())
            code = FUNCTIONAL.sub(_if_told_the_mode, re.sub(r"#.*", "", code))
            known = known and not ASKS.search(code) and not foreign(value)
        elif isinstance(value, Object):
            said = _said(value)
            if said:
                return said
            stack += parts_of(value)
            known = known and (PLAIN.match(value.path) is not None or value.kind not in ("module", ""))
        else:
            if is_library_model(value) and value.origin is not None:
                name = value.origin.op.rpartition(".")[2]
                if re.match(
                    r"(wide_)?resne|densenet|mobilenet|efficientnet|inception|googlenet|shufflenet|regnet|\w+_bn$", name
                ):
                    return f"the batch norm of {name}"
            known = False
    return "" if known else None


def _if_told_the_mode(call: re.Match[str]) -> str:
    """A call of functional dropout if it may be told the mode, which is its third argument; else it drops in both."""
    arguments = re.sub(r"\([^()]*\)", "", call[1])
    return call[0] if "train" in arguments or "*" in arguments or arguments.count(",") > 1 else ""


def foreign(value: Instance) -> bool:
    """Whether a class of a library other than torch is among the ancestors."""
    return any(not path.startswith("torch.nn.") for path in value.cls.libraries())


def _said(layer: Object) -> str:
    """A layer that depends on the mode, in words; empty for any other."""
    if DROPPING.match(layer.path):
        rate = layer.arguments.get(0, "p")
        share = 0.5 if rate is None else number(rate)
        if share == 0:
            return ""
        return layer.name if share is None else f"{layer.name}({share:g})"
    if NORMALIZING.match(layer.path):
        tracked = layer.arguments.get(4, "track_running_stats")
        return "" if isinstance(tracked, Const) and tracked.value is False else layer.name
    if WITH_DROPOUT.match(layer.path):
        share = number(layer.arguments.get(None, "dropout"))
        return f"the dropout of {layer.name}" if share else ""
    if TRANSFORMERS.match(layer.path):
        share = number(layer.arguments.get(None, "dropout"))
        return "" if share == 0 else f"the dropout of {layer.name}"
    return ""
