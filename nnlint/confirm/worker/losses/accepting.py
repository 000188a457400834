"""Models that are given what they accept: tensors that nobody gives have the shapes that a search has found."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ..building.further import Maker
from ..building.inputs import Accepted, NotAccepted, Patience, search
from ..building.literals import sides_in, tensors_written_in
from ..building.sketches import Sketch
from ..program import Program
from ..setting.replacement import replaced
from .demands import Demand
from .supply import Supply
from .wanted import is_wanted, made_as, settle, settled


class Accepting:
    """What the models of a program accept, looked for once in all its runs."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._found: dict[object, Accepted | None] = {}
        self._patience = Patience()

    @contextmanager
    def given(self, supply: Supply) -> Iterator[None]:
        """Whatever a model is called with that nobody gives has a shape that the model accepts, if ``supply`` says so.

        Models are modules with parameters that no other module calls.
        """
        import torch

        if not supply.accepted:
            yield
            return
        original = torch.nn.Module.__call__
        inside = False

        def call(module: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            if inside or not any(True for _ in module.parameters()):
                return original(module, *args, **kwargs)
            inside = True
            try:
                known = _arguments(module, args, kwargs)
                found = self._accepted(module, known) if any(map(is_wanted, known.values())) else None
                if found is not None:
                    args, kwargs = _filled(module, args, kwargs, found)
                return original(module, *args, **kwargs)
            finally:
                inside = False

        with replaced([(torch.nn.Module, "__call__", call)]):
            yield

    def _accepted(self, module: Any, known: Mapping[str, Any]) -> Accepted | None:
        """What a module goes through with, beside what it is given already; None if nothing is found."""
        hints = {name: [sketch] for name, value in known.items() if (sketch := _sketch(value)) is not None}
        sizes = tuple(tuple(each.shape) for each in module.parameters())
        model = (type(module).__qualname__, sizes, *((name, str(hints.get(name))) for name in known))
        if model not in self._found:
            self._found[model] = self._searched(module, hints, tuple(known))
        return self._found[model]

    def _searched(self, module: Any, hints: Mapping[str, list[Sketch]], also: Sequence[str]) -> Accepted | None:
        texts = [file.text for file in self._program.slice.files]
        with self._program.unseen(), suppress(NotAccepted, TypeError, ValueError):
            written, sides = tensors_written_in(texts), sides_in(texts)
            return search(module.forward, module, hints, written, sides, _place(module), self._patience, also)
        return None


def _arguments(module: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What a module is called with, by the name of the parameter; empty if that cannot be told."""
    try:
        return dict(inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return {}


def _filled(
    module: Any, args: Sequence[Any], kwargs: Mapping[str, Any], found: Accepted
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, those that nobody gives made what was found for them."""
    names = [*inspect.signature(module.forward).parameters, *([""] * len(args))]
    place = _place(module)

    def filled(name: str, value: Any) -> Any:
        maker = found.makers.get(name)
        if maker is None or not is_wanted(value):
            return value
        return _made(value, maker, found.bounds[name], place)

    positional = tuple(filled(name, value) for name, value in zip(names, args))
    return positional, {name: filled(name, value) for name, value in kwargs.items()}


def _made(wanted: Any, maker: Maker, bound: int, place: str) -> Any:
    """What nobody gives as a tensor like the one that a maker draws; as what it makes if it draws none."""
    import torch

    example = maker(place)
    if not isinstance(example, torch.Tensor):
        return example
    if not isinstance(getattr(maker, "__self__", None), Sketch):
        # Lengths and the like: their very numbers count.
        return settle(wanted, example)
    shape = tuple(example.shape)
    if example.dtype is torch.bool:
        demand = Demand(shape, "flags")
    elif example.is_floating_point():
        demand = Demand(shape)
    else:
        demand = Demand(shape, "classes", bound)
    return made_as(wanted, demand).to(example.device)


def _sketch(value: Any) -> Sketch | None:
    """A tensor that is given, as one that could be made; None if it is none."""
    import torch

    value = settled(value)
    if not isinstance(value, torch.Tensor):
        return None
    if value.dtype is torch.bool:
        return Sketch(tuple(value.shape), "true")
    if value.is_floating_point():
        return Sketch(tuple(value.shape))
    bound = int(value.max()) + 1 if value.numel() else 1
    return Sketch(tuple(value.shape), "integers", bound)


def _place(module: Any) -> str:
    return str(next(module.parameters()).device)
