"""A module or function of the user with inputs that it accepts, ready to be run again and again."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..bench import Bench
from .construction import Arguments


class Prepared:
    """What can be run, and what with.

    Attributes:
        module: the instance whose method is run; None for a plain function.
        inputs: the tensors it is given, in the order of its parameters; may be replaced, one by one or all together.
        names: the parameter that each input belongs to.
        bounds: for each input of integers the number they stay below; 0 for others.
        batch: the number of examples; most inputs have it as their first size.
        arguments: what the module was built with; None for a plain function, or an instance that was given.
        built_at: where the script builds the module with these arguments; empty if they are not those of a call.
        described: what is assumed of the call, in words: ``x of shape (5, 3, 32, 32)``.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        module: Any,
        given: Mapping[str, Any],
        bounds: Mapping[str, int],
        batch: int,
        bench: Bench,
    ) -> None:
        self.module = module
        self.arguments: Arguments | None = None
        self.built_at = ""
        self.inputs: list[Any] = []
        self.names: list[str] = []
        self.batch = batch
        self.described = described(given)
        self._function = function
        self._bench = bench
        self._given = {name: self._without_tensors(name, value) for name, value in given.items()}
        self.bounds = [bounds.get(name, 0) for name in self.names]

    @property
    def name(self) -> str:
        """What is run, as its author calls it: a class, or a function."""
        return self._function.__name__ if self.module is None else type(self.module).__name__

    def twin(self, function: Callable[..., Any], module: Any) -> Prepared:
        """Another version of the function with the same inputs; what replaces an input here does so there."""
        twin = copy.copy(self)
        twin.module = module
        twin._function = function
        return twin

    def call(self, *, gradient: bool = False, training: bool = False, seed: int = 0) -> list[Any]:
        """The tensors it returns, in order, from the same seed and the same state in every call.

        Modules are in evaluation mode, or with ``training`` in training mode, by their flags; the inputs are copied
        first; buffers, plain attributes and the state of the generators are afterwards what they were.
        """
        import torch

        with torch.set_grad_enabled(gradient), in_mode(self.module, training=training), generators_kept():
            self._bench.seed(seed)
            named = {name: self._with_tensors(value) for name, value in self._given.items()}
            return [each.clone() for each in tensors_in(invoke(self._function, named))]

    def _without_tensors(self, name: str, value: Any) -> Any:
        import torch

        if isinstance(value, torch.Tensor):
            self.inputs.append(value)
            self.names.append(name)
            return _Slot(len(self.inputs) - 1)
        if isinstance(value, (tuple, list)):
            return type(value)([self._without_tensors(name, each) for each in value])
        return value

    def _with_tensors(self, value: Any) -> Any:
        if isinstance(value, _Slot):
            return self.inputs[value.number].clone()
        if isinstance(value, (tuple, list)):
            return type(value)([self._with_tensors(each) for each in value])
        return value


class _Slot:
    """Where an input goes."""

    def __init__(self, number: int) -> None:
        self.number = number


def invoke(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """Call a function with arguments by name; those whose names begin with ``*``, and all before them, by position."""
    names = list(given)
    last = max((place for place, name in enumerate(names) if name.startswith("*")), default=-1)
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    only = () if code is None else code.co_varnames[: code.co_posonlyargcount]
    placed = [name for place, name in enumerate(names) if place <= last or name in only]
    return function(*[given[name] for name in placed], **{name: given[name] for name in names if name not in placed})


def tensors_in(value: Any) -> list[Any]:
    """The tensors in what a function returns: in tuples, lists, dicts and plain objects, in their order."""
    import torch

    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [found for each in value for found in tensors_in(each)]
    if isinstance(value, Mapping):
        return [found for each in value.values() for found in tensors_in(each)]
    if hasattr(value, "__dict__") and not isinstance(value, (type, torch.nn.Module)) and not callable(value):
        return [found for each in vars(value).values() for found in tensors_in(each)]
    return []


def described(given: Mapping[str, Any]) -> str:
    """The arguments of a call in words."""
    return ", ".join(f"{name} {_described(value)}" for name, value in given.items())


def _described(value: Any) -> str:
    import torch

    if isinstance(value, torch.Tensor):
        kind = "" if value.is_floating_point() else f" of {str(value.dtype).rpartition('.')[2]}"
        return f"of shape {tuple(value.shape)}{kind}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(_described(each) for each in value)})"
    return f"= {value!r}"


@contextmanager
def in_mode(module: Any, *, training: bool = False) -> Iterator[None]:
    """A module in evaluation or training mode, and afterwards in the state it was in.

    The flags are set one by one: ``train`` and ``eval`` are overridden by many. Buffers, and other tensors that it
    keeps, are meanwhile copies.
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        yield
        return
    modules = list(module.modules())
    attributes = [{name: _copied(value) for name, value in vars(each).items()} for each in modules]
    clones: dict[int, Any] = {}
    for each in modules:
        each.training = training
        for names in (each._buffers, vars(each)):
            for name, value in list(names.items()):
                if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
                    names[name] = clones.setdefault(id(value), value.clone())
    try:
        yield
    finally:
        for each, before in zip(modules, attributes):
            _put_back(vars(each), before)


def _copied(value: Any) -> tuple[Any, Any]:
    """A value, and a copy of what is in it if it is a container."""
    return value, (value.copy() if isinstance(value, (dict, list, set)) else None)


def _put_back(attributes: dict[str, Any], before: Mapping[str, tuple[Any, Any]]) -> None:
    for name in list(attributes):
        if name not in before:
            del attributes[name]
    for name, (value, content) in before.items():
        attributes[name] = value
        if isinstance(value, list):
            value[:] = content
        elif content is not None:
            value.clear()
            value.update(content)


@contextmanager
def generators_kept() -> Iterator[None]:
    """The states of the generators of torch, ``random`` and numpy, put back afterwards."""
    import torch

    numpy = sys.modules.get("numpy")
    states = torch.get_rng_state(), random.getstate(), None if numpy is None else numpy.random.get_state()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        if numpy is not None and states[2] is not None:
            numpy.random.set_state(states[2])


def keeps_batch(outputs: Sequence[Any], batch: int) -> bool:
    """Whether some output has the number of examples as its first size."""
    return any(each.dim() > 0 and each.shape[0] == batch for each in outputs)
