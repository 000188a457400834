"""What the names of libraries mean: one module a library, gathered here into tables."""

from __future__ import annotations

from nnlint.symbolic.call import Handler
from nnlint.symbolic.library import (
    dropping,
    frameworks,
    generators,
    grad_mode,
    launchers,
    layers,
    losses,
    numpy_arrays,
    preprocessing,
    python,
    tensors,
    training,
    vision,
)

MODULES = (
    python,
    tensors,
    layers,
    losses,
    numpy_arrays,
    training,
    grad_mode,
    generators,
    vision,
    frameworks,
    launchers,
    dropping,
    preprocessing,
)


def _merged(table: str) -> dict[str, Handler]:
    merged: dict[str, Handler] = {}
    for module in MODULES:
        merged.update(getattr(module, table, {}))
    return merged


FUNCTIONS = _merged("FUNCTIONS")
"""Functions by canonical dotted path."""
METHODS = _merged("METHODS")
"""Methods of tensors and arrays (and of unknown values used like them) by name."""
ATTRIBUTES = _merged("ATTRIBUTES")
"""Attributes of tensors and arrays by name."""
LAYERS = _merged("LAYERS")
"""What calling a built object does, by the path of its class."""

OBJECT_METHODS: dict[tuple[str, str], Handler] = {}
"""Methods of built objects by kind and name; kind ``instance`` for objects of the repository, ``unknown`` for values
nobody knows, empty for any object."""

KINDS: dict[str, str] = {}
"""The kind of object that a library class builds, by its path."""

PREFIXES: dict[str, str] = {}
"""The kind of object that the classes of a library module build, for those not in :data:`KINDS`."""

for _module in MODULES:
    OBJECT_METHODS.update(getattr(_module, "OBJECT_METHODS", {}))
    KINDS.update(getattr(_module, "KINDS", {}))
    PREFIXES.update(getattr(_module, "PREFIXES", {}))

BUILTINS = python.BUILTINS

ALIASES: dict[str, str] = {
    "torch.nn.modules": "torch.nn",
    "torch.nn.functional_": "torch.nn.functional",
    "torch.functional": "torch",
    "torch.utils.data.dataloader.DataLoader": "torch.utils.data.DataLoader",
    "torch.utils.data.dataset": "torch.utils.data",
    "torch.utils.data.sampler": "torch.utils.data",
    "torch.utils.data.distributed.DistributedSampler": "torch.utils.data.DistributedSampler",
    "torch.optim.adam.Adam": "torch.optim.Adam",
    "torch.optim.adamw.AdamW": "torch.optim.AdamW",
    "torch.optim.sgd.SGD": "torch.optim.SGD",
    "torch.optim.optimizer.Optimizer": "torch.optim.Optimizer",
    "torch.autograd.variable.Variable": "torch.autograd.Variable",
    "torch.cuda.amp.grad_scaler.GradScaler": "torch.cuda.amp.GradScaler",
    "torchvision.transforms.transforms": "torchvision.transforms",
    "torchvision.transforms.functional_tensor": "torchvision.transforms.functional",
    "torchvision.transforms.functional_pil": "torchvision.transforms.functional",
    "lightning.pytorch": "pytorch_lightning",
    "lightning": "pytorch_lightning",
    "tensorflow.keras": "keras",
}
"""Other paths of the same things, by prefix."""

_HEADS = frozenset(path.partition(".")[0] for path in ALIASES)
_CONTAINERS_OF_CLASSES = frozenset(
    "activation batchnorm container conv dropout embedding flatten instancenorm linear loss module normalization "
    "padding pooling pixelshuffle rnn sparse transformer upsampling utils".split()
)


def canonical(path: str) -> str:
    """The one path that the tables know a library name by."""
    if path.partition(".")[0] not in _HEADS:
        return path
    for alias, name in ALIASES.items():
        if path == alias or path.startswith(f"{alias}."):
            path = name + path[len(alias) :]
            break
    if path.startswith("torch.nn."):
        parts = path.split(".")
        if len(parts) == 4 and parts[2] in _CONTAINERS_OF_CLASSES and parts[3][:1].isupper():
            return f"torch.nn.{parts[3]}"
    return path


def knows(path: str) -> bool:
    """Whether the tables have the path, so that ``from library import *`` may be taken to define it."""
    path = canonical(path)
    return path in FUNCTIONS or path in KINDS or path in LAYERS or path in MODULE_NAMES


MODULE_NAMES = frozenset(
    "torch.nn torch.optim torch.nn.functional torch.nn.init torch.utils.data torch.optim.lr_scheduler torch.autograd "
    "torch.cuda torchvision.transforms torchvision.models torchvision.datasets numpy.random".split()
)
"""Modules that a star import may bring in."""


def kind_of(path: str) -> str | None:
    """The kind of object that calling a library name builds; None if it is no class as far as anybody knows."""
    kind = KINDS.get(path)
    if kind is not None:
        return kind
    module, _, name = path.rpartition(".")
    if path in LAYERS:
        return "module"
    kind = PREFIXES.get(module)
    if kind is not None and name[:1].isupper():
        return kind
    return "" if name[:1].isupper() and module else None
