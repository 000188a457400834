"""Whether gradients can come back from a value to what computed it, and if not, what cuts it off the graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import libcst as cst

from nnlint.evidence.objective import evidence, name_of_callable
from nnlint.evidence.provenance import everything, operation_of, walk_back
from nnlint.symbolic.library.layers import PARAMETRIC
from nnlint.symbolic.values import (
    Attribute,
    Carried,
    Choice,
    Class,
    Const,
    Function,
    Library,
    Mapping,
    Method,
    Object,
    Operation,
    Origin,
    Sequence,
    Setting,
    Symbol,
    Tensor,
    Unknown,
    Value,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COPIES = _words(
    "torch.tensor torch.Tensor torch.FloatTensor torch.DoubleTensor torch.HalfTensor torch.cuda.FloatTensor "
    "torch.cuda.DoubleTensor torch.autograd.Variable torch.from_numpy builtins.float builtins.int"
)
"""Functions that take the numbers of a tensor and leave the graph behind."""

CUTS = _words("detach detach_ data item numpy tolist")
"""Methods and attributes of tensors that do."""

STEPS = _words(
    "argmax argmin argsort eq ne lt le gt ge == != < <= > >= long int short byte bool char multinomial one_hot "
    "logical_and logical_or logical_not round"
)
"""Operations through which no gradient comes back: their results jump, or are integers."""

NORMS = "Norm"

MADE = _words(
    "zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones new_full new_empty "
    "new_tensor size numel"
)
"""Functions that take the shape of a tensor, but none of its numbers."""

ARITHMETIC = _words("+ - * / // % ** neg pos @ getitem iterate & | ^ ~")


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """What cuts a value off: the operation, and what it is applied to once every such operation is taken away."""

    origin: Origin
    operand: Value

    @property
    def is_step(self) -> bool:
        """Whether it is a function without a gradient rather than a copy."""
        return operation_of(self.origin) in STEPS

    @property
    def makes_leaf(self) -> bool:
        """Whether the copy wants gradients itself, so that ``backward`` has something to do."""
        return wants_gradient(self.origin.node)


@dataclass(frozen=True, slots=True)
class _Live:
    """Gradients come back, or nobody can tell."""


LIVE = _Live()

Found = _Live | Cut | None
"""What comes back from a value: gradients, or none because of a cut, or none because it is data (None)."""


def cut_of(value: Value) -> Cut | None:
    """What cuts a value off the graph; None if gradients come back from any part of it, or nobody can tell."""
    found = _Search().found(value)
    return found if isinstance(found, Cut) else None


def is_data(value: Value) -> bool:
    """Whether a value is made of nothing but batches and constants, so that no gradient belongs to it."""
    return _Search().found(value) is None


def wants_gradient(node: cst.CSTNode) -> bool:
    """Whether a call says ``requires_grad=True``."""
    return isinstance(node, cst.Call) and any(
        argument.keyword is not None
        and argument.keyword.value == "requires_grad"
        and isinstance(argument.value, cst.Name)
        and argument.value.value == "True"
        for argument in node.args
    )


class _Search:
    """The walk back from a value, each value once."""

    def __init__(self) -> None:
        self.known: dict[int, Found] = {}
        self.held: list[Value] = []
        self.left = 3_000

    def found(self, value: Value) -> Found:
        if id(value) in self.known:
            return self.known[id(value)]
        self.left -= 1
        if self.left < 0:
            return LIVE
        self.held.append(value)
        self.known[id(value)] = None  # a loop that adds to a value leads back to it
        result = self._found(value)
        self.known[id(value)] = result
        return result

    def any_of(self, values: Iterable[Value]) -> Found:
        """Gradients, if they come back from any of the values; else the first cut."""
        result: Found = None
        for value in values:
            found = self.found(value)
            if isinstance(found, _Live):
                return found
            result = result or found
        return result

    def _found(self, value: Value) -> Found:
        if isinstance(value, (Const, Library, Function, Class)):
            return None
        if isinstance(value, Setting):
            return self.found(value.default)
        if isinstance(value, Choice):
            return self.any_of((value.yes, value.no))
        if isinstance(value, Sequence):
            return self.any_of([*value.items, *([value.element] if value.element is not None else [])])
        if isinstance(value, Mapping):
            return self.any_of([*value.items.values(), *([value.default] if value.default is not None else [])])
        if isinstance(value, Operation):
            return self.any_of(value.args)
        if isinstance(value, Carried):
            return self.any_of([value.initial, *([value.update] if value.update is not None else [])])
        if isinstance(value, Object):
            return None if value.kind == "criterion" else LIVE
        if not isinstance(value, (Tensor, Unknown, Symbol)):
            return LIVE
        return self._computed(value)

    def _computed(self, value: Tensor | Unknown | Symbol) -> Found:
        origin = value.origin
        if origin is None:
            return None if isinstance(value, Symbol) else LIVE
        if value_of_batch(value):
            return None
        operation = operation_of(origin)
        if origin.op in COPIES or operation in CUTS or operation in STEPS or origin.op.startswith("numpy."):
            return self._cut(origin)
        if origin.op in PARAMETRIC or NORMS in origin.op or origin.op == "torch.autograd.grad":
            return LIVE
        if operation in MADE:
            return LIVE if wants_gradient(origin.node) else None
        if origin.op in ARITHMETIC or origin.op.startswith(("torch.", ".", "builtins.")):
            return LIVE if wants_gradient(origin.node) else self.any_of(origin.inputs)
        return LIVE

    def _cut(self, origin: Origin) -> Found:
        """A cut, if there is anything behind it that gradients would come back to."""
        behind = [self.found(value) for value in origin.inputs]
        cut = next((found for found in behind if isinstance(found, Cut)), None)
        if cut is not None:
            operand = cut.operand
        else:
            live = [item for item, found in zip(origin.inputs, behind, strict=True) if isinstance(found, _Live)]
            if not live:
                return None
            operand = live[0]
        if wants_gradient(origin.node) and evidence(operand) is None:
            return LIVE  # a leaf that is optimized itself, or that gradients are asked for
        return Cut(origin, operand)


def value_of_batch(value: Value) -> bool:
    """Whether a value is data as a loader gives them."""
    return isinstance(value, (Tensor, Unknown)) and value.batch is not None


def is_predicted(value: Value) -> bool:
    """Whether a layer or a model had a part in a value."""
    for part in walk_back(value, everything):
        origin = part.value.origin
        if origin is None:
            continue
        if origin.op in PARAMETRIC:
            return True
        if origin.op == "call" and _says_model(origin.inputs[0]):
            return True
    return False


def _says_model(callee: Value) -> bool:
    name = name_of_callable(callee).lower() if isinstance(callee, (Unknown, Attribute, Method, Object)) else ""
    return any(word in name for word in ("model", "net", "encoder", "decoder", "generator"))
