"""Which modules torch finds inside of a module, and which lie in plain lists and dicts, where it does not look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.symbolic.trace import Attach, Hide, Renew
from nnlint.symbolic.values import (
    Choice,
    Const,
    Instance,
    Mapping,
    Object,
    Sequence,
    Unknown,
    Value,
    alternatives,
)

if TYPE_CHECKING:
    from nnlint.symbolic.call import Call
    from nnlint.symbolic.executor import Executor

WITH_PARAMETERS = frozenset(
    f"torch.nn.{name}"
    for name in (
        "Linear LazyLinear Bilinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d "
        "LazyConv2d LazyConv3d BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm LayerNorm GroupNorm RMSNorm Embedding "
        "EmbeddingBag RNN LSTM GRU RNNCell LSTMCell GRUCell MultiheadAttention Transformer TransformerEncoder "
        "TransformerDecoder TransformerEncoderLayer TransformerDecoderLayer PReLU"
    ).split()
)
"""Layers that have something to learn."""

RENEWING = frozenset(
    (
        "torch.nn.utils.weight_norm",
        "torch.nn.utils.parametrizations.weight_norm",
        "torch.distributed.fsdp.FullyShardedDataParallel",
        "torch.distributed.fsdp.fully_shard",
        "torch.distributed._composable.fsdp.fully_shard",
        "peft.get_peft_model",
    )
)
"""Functions that put new parameters into a module in the place of others.

``spectral_norm``, pruning, ``torch.compile``, wrappers for data parallelism and moves to another device keep those that
there are.
"""

MOST = 500
"""Modules that are looked at inside of one."""


def note_hidden(executor: Executor, module: Instance, node: cst.CSTNode) -> None:
    """Write down, now that a module is built, which of its modules torch does not know of."""
    plain = [name for name, value in module.attributes.items() if isinstance(value, (Sequence, Mapping))]
    if not plain:
        return
    known: set[int] | None = None
    for name in plain:
        held = [each for each in _members(module.attributes[name]) if _is_module(each)]
        if held and known is None:
            known = {id(each) for each in registered(module)}
        hidden = tuple(each for each in held if known is not None and id(each) not in known and learns(each))
        if hidden and len(hidden) == len(held):
            executor.emit(Hide, node, module=module, attribute=name, hidden=hidden)


def note_attached(executor: Executor, module: Value, name: str, value: Value, node: cst.CSTNode) -> None:
    """Write down that an attribute of a module is set to what learns, unless its ``__init__`` does so."""
    if executor.calls and executor.calls[-1].function.name == "__init__" and _is_own(executor, node):
        return
    if not isinstance(module, (Instance, Object, Unknown)) or (isinstance(module, Instance) and not _is_module(module)):
        return
    if _is_parameter(value) or (isinstance(value, (Instance, Object)) and _is_module(value) and learns(value)):
        executor.emit(Attach, node, module=module, name=name, before=module.attributes.get(name), value=value)


def note_renewed(call: Call) -> None:
    """Write down that a call gives a module new parameters."""
    by = call.path
    if by in RENEWING:
        # Asked for its parameters as they were, FSDP keeps them.
        module = None if "use_orig_params" in call.arguments.keywords else call.get(0, "module") or call.get(0, "model")
    else:
        assign = call.arguments.keywords.get("assign") if by == ".load_state_dict" else None
        renews = by == ".resize_token_embeddings" or (isinstance(assign, Const) and assign.value is True)
        module = call.receiver if renews else None
    if module is not None:
        call.emit(Renew, module=module, by=by.lstrip("."))


def _is_own(executor: Executor, node: cst.CSTNode) -> bool:
    """``self.name``, and in the class of a module also ``self.add_module(…)``, ``self.layers.append(…)``."""
    from nnlint.symbolic.calls import is_module

    if isinstance(node, cst.Attribute):
        return _is_of_self(node)
    owner = executor.calls[-1].function.owner
    holder = node.func if isinstance(node, cst.Call) else node
    if owner is None or not is_module(owner) or not isinstance(holder, (cst.Attribute, cst.Subscript)):
        return False
    return _is_of_self(holder) or _is_of_self(holder.value)


def _is_of_self(node: cst.CSTNode) -> bool:
    """``self.name``."""
    return isinstance(node, cst.Attribute) and isinstance(node.value, cst.Name) and node.value.value == "self"


def _is_parameter(value: Value) -> bool:
    """Whether a value is built as ``nn.Parameter(…)``."""
    path = value.path if isinstance(value, Object) else value.origin.op if value.origin is not None else ""
    return path in ("torch.nn.Parameter", "torch.nn.parameter.Parameter")


def registered(module: Value) -> Iterator[Value]:
    """The modules that torch finds in a module, itself among them."""
    stack = [module]
    seen: set[int] = set()
    while stack and len(seen) < MOST:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        if isinstance(item, Choice):
            stack += alternatives(item)
        elif isinstance(item, Object):
            given = (*item.children, *item.arguments.positional, *item.arguments.keywords.values())
            stack += [each for value in given for each in (value, *_members(value)) if _is_module(each)]
        elif isinstance(item, Instance):
            stack += [value for value in item.attributes.values() if not isinstance(value, (Sequence, Mapping))]


def learns(module: Value) -> bool:
    """Whether a module is known to have parameters."""
    return any(isinstance(each, Object) and each.path in WITH_PARAMETERS for each in registered(module))


def _is_module(value: Value) -> bool:
    from nnlint.symbolic.calls import is_module

    if isinstance(value, Instance):
        return is_module(value.cls)
    if isinstance(value, Choice):
        return any(_is_module(each) for each in alternatives(value))
    return isinstance(value, Object) and value.kind == "module"


def _members(value: Value, depth: int = 3) -> Iterator[Value]:
    """What lists, tuples and dicts hold, and those inside of them."""
    if depth == 0:
        return
    items: list[Value] = []
    if isinstance(value, Sequence):
        items = [*value.items, *([value.element] if value.element is not None else [])]
    elif isinstance(value, Mapping):
        items = [*value.items.values(), *([value.default] if value.default is not None else [])]
    for item in items:
        yield item
        yield from _members(item, depth - 1)
