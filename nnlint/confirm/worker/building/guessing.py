"""What an argument is likely to be, by its name: sizes that fit together, so that a module can be built at all."""

from __future__ import annotations

import re
from typing import Any

BATCH = 5
"""Examples in a batch: odd, and no size that a network would have by itself."""

STEPS = 7
"""Elements of a sequence: prime, and not the number of examples."""

_GUESSES: tuple[tuple[str, Any], ...] = (
    (r"drop|_pdrop|^p$", 0.1),
    (r"^(in_?ch\w*|in_?planes?|inplanes|input_(ch\w*|nc)|(n|num|img|image)_?ch\w*|channels?|chans?|in_?c|c_in|nc)$", 3),
    (r"(n|num)_?class(es)?|^classes|n_?labels|num_labels|out(put)?_(size|dim|classes)|n_out|num_outputs|c_dim", 11),
    (r"vocab|n_?tokens?|num_embeddings|dict_size|num_words|n_?words|ntoken", 37),
    (r"(^|_)n?_?heads?$|nhead|num_heads|n_?heads?_", 4),
    (r"dim_head|head_dim|^d_[kvq]$|d_head|head_size", 8),
    (r"patch(_size)?$", 8),
    (r"(img|image|im|input)_?(size|res\w*|w\w*|h\w*)$|resolution|^(im|img|image)size$|crop_size", 32),
    (r"(img|image|input)_shape|input_dims|^shape$", (3, 32, 32)),
    (r"latent|z_?dim|^nz$|noise|code_dim|bottleneck_dim", 16),
    (r"kernel|^k$|ksize|filter_size", 3),
    (r"stride|padding|^pad$|groups|dilation|ngpu|n_gpus?", 1),
    (r"eps(ilon)?$", 1e-5),
    (
        r"^(lr|alpha|beta|gamma|momentum|slope|temperature|scale|rate|tau|std|sigma|margin|lambda\w*|weight)$|_rate$",
        0.1,
    ),
    (
        r"max_?len|seq_?len|block_size|context|max_length|n_positions|frames|time_?steps|window|max_seq|seqlen|length$",
        16,
    ),
    (r"hidden|nhid|inner|mlp|ff|feedforward|rnn_(size|dim)|lstm", 32),
    (r"emb|d_model|^dim_|n_embd|ninp|^dims?$|_dim$|width|d_?inner", 32),
    (r"(in|input)_(features?|size|dim)|n_?in$|num_features|n?feat|state|obs|num_inputs|feature_size|features", 16),
    (r"out_?ch|out_?planes|planes|filters|out_?c$|c_out|ngf|ndf|growth|^nf$|base|out_features?|^ch$|^c$|action", 8),
    (r"layers?$|depth|blocks?$|repeats?$|num_stages|n_layers|stacks?$|levels?$|num_downs|recurs", 2),
    (r"upscale|scale_factor|reduction|expansion|ratio|expand|mult|factor|squeeze", 2),
    (r"batch|bsz", BATCH),
    (r"device|rank|gpu", "cpu"),
)
_FLAG = re.compile(
    r"^(use|is|with|has|do|if)_|bias|bidirectional|bilinear|norm$|residual|last|debug|train|attention$|"
    r"deterministic|verbose|concat|affine|shortcut|frozen|freeze"
)
_MODULE = re.compile(r"net$|model$|backbone|encoder|decoder|module|^layer$|^f[nx]?$|func|^block$|transformer|extractor")
_ABSENT = re.compile(r"pretrain|checkpoint|ckpt|resume|restore|weights?_(path|file)")
_MATRIX = re.compile(r"emb\w*_?(matrix|weights?|init)|word_?vec|(weights?|init)_(matrix|emb\w*)|^vectors$")
_LAYER = re.compile(r"activation|act_layer|nonlinearity|^act(_?fn)?$|norm_layer")
_CONFIGURATION = re.compile(r"^(args?|opts?|options?|cfg|config\w*|conf|hparams?|params?|flags?|hps?)$")

WIDTHS = (0, 64, 16, 96)
"""In each further attempt all guessed widths are this; 0 is what the names say."""


_VARIED = (3, 8, 16, 32)
"""Guesses that are widths."""


class NoGuess(Exception):
    """Nothing can be said about an argument; the message is its name."""


class Guessed:
    """A configuration nobody has: its fields are guessed by their names as they are asked for."""

    def __init__(self, attempt: int, noted: dict[str, Any]) -> None:
        self.__dict__.update(_attempt=attempt, _noted=noted)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.__dict__[name] = self._noted[name] = guess(name, "", self._attempt, self._noted)
        return self.__dict__[name]

    def __deepcopy__(self, memo: object) -> Guessed:
        copy = Guessed(self._attempt, self._noted)
        copy.__dict__.update(self.__dict__)
        return copy

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def get(self, name: str, default: Any = None) -> Any:
        """As of a dict: a field that nobody asked for yet has the default."""
        return self.__dict__.get(name, default)

    def __repr__(self) -> str:
        return "a configuration"


def guess(name: str, annotation: str, attempt: int, noted: dict[str, Any]) -> Any:
    """A value for the argument ``name``; ``attempt`` chooses among :data:`WIDTHS`, ``noted`` gets what is guessed.

    Raises:
        NoGuess: the argument is a module, or something else that has no likely value.
    """
    if _CONFIGURATION.search(name.lower()):
        return Guessed(attempt, noted)
    value = _by_name(name.lower(), annotation, attempt)
    noted[name] = value
    return value


def _by_name(name: str, annotation: str, attempt: int) -> Any:
    if _ABSENT.search(name):
        return None
    if "bool" in annotation or ("int" not in annotation and _FLAG.search(name)):
        return False
    if _LAYER.search(name):
        return _layer(name)
    if _MATRIX.search(name):
        return _matrix(WIDTHS[attempt] or 32)
    several = any(word in annotation.lower() for word in ("tuple", "list", "sequence"))
    for pattern, value in _GUESSES:
        if re.search(pattern, name):
            width = WIDTHS[attempt] if value in _VARIED and "kernel" not in name and name != "k" else 0
            return (width or value,) * 4 if several and type(value) is int else width or value
    if "float" in annotation:
        return 0.1
    if _MODULE.search(name) or any(word in annotation for word in ("str", "Module", "Callable")):
        raise NoGuess(name)
    return (8,) * 4 if several else WIDTHS[attempt] or 8


def _layer(name: str) -> Any:
    from torch import nn

    if name == "norm_layer":
        return nn.BatchNorm2d
    return nn.ReLU if name == "act_layer" else nn.ReLU()


def _matrix(width: int) -> Any:
    """Vectors of words."""
    import torch

    return torch.randn(37, width, generator=torch.Generator().manual_seed(0))
