"""A module as the user's script calls it: caught in the act, with the inputs it was given, to be called again."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..bench import Bench
from ..definitions import body_of
from .prepared import Prepared

EXAMPLES = 7
"""Examples that are kept of a large batch."""


@dataclass
class Calls:
    """The calls of modules that a script is in the middle of, outermost first, and all modules it has built."""

    running: list[tuple[Any, Sequence[Any], Mapping[str, Any]]] = field(default_factory=list)
    built: list[Any] = field(default_factory=list)

    def prepared(self, bench: Bench) -> Prepared | None:
        """The outermost module that is being called, with its inputs; None if there is none."""
        if not self.running:
            return None
        module, args, kwargs = self.running[0]
        try:
            given = dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
        except (TypeError, ValueError):
            return None
        if any(each.kind is each.VAR_KEYWORD for each in inspect.signature(module.forward).parameters.values()):
            given = {**{f"*{number}": value for number, value in enumerate(args)}, **kwargs}
        return Prepared(module.forward, module, given, {}, _batch(args), bench)

    def newest(self, name: str) -> Any:
        """The module of a class that was built last; None if none was, for want of sizes that missing data decide."""
        found = (module for module in reversed(self.built) if type(module).__name__ == name and _is_whole(module))
        return next((module for module in found if not any(map(_is_empty, module.parameters()))), None)


def _is_whole(module: Any) -> bool:
    """Whether the initializer of a module has come to its end: everything that it is sure to set is there."""
    targets = (target for each in body_of(type(module).__init__) for target in getattr(each, "targets", ()))
    return all(
        hasattr(module, target.attr)
        for target in targets
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self"
    )


def _is_empty(parameter: Any) -> bool:
    """Whether a parameter has no elements; one that is not made yet may have."""
    import torch

    return not isinstance(parameter, torch.nn.parameter.UninitializedParameter) and parameter.numel() == 0


@contextmanager
def calls_of_modules() -> Iterator[Calls]:
    """While it lasts, what modules are built and called with is known."""
    import torch

    calls = Calls()
    call, build = torch.nn.Module.__call__, torch.nn.Module.__init__

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        outermost = not calls.running
        calls.running.append((self, _kept(args), _kept(kwargs)) if outermost else (self, args, kwargs))
        try:
            return call(self, *args, **kwargs)
        finally:
            calls.running.pop()

    def built(self: Any, *args: Any, **kwargs: Any) -> None:
        calls.built.append(self)
        build(self, *args, **kwargs)

    torch.nn.Module.__call__, torch.nn.Module.__init__ = called, built
    try:
        yield calls
    finally:
        torch.nn.Module.__call__, torch.nn.Module.__init__ = call, build


def _kept(value: Any) -> Any:
    """Tensors as they are now: a module may change its inputs."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {name: _kept(each) for name, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_kept(each) for each in value)
    return value


def _batch(args: Sequence[Any]) -> int:
    shape = next((each.shape for each in args if hasattr(each, "shape") and len(each.shape)), (0,))
    return int(shape[0])


def with_fewer_examples(run: Prepared) -> Prepared:
    """A call with the first examples of its batch only, where it goes through with them; else as it was."""
    before = list(run.inputs)
    if run.batch <= 2 * EXAMPLES:
        return run
    run.inputs[:] = [each[:EXAMPLES].clone() if each.dim() and each.shape[0] == run.batch else each for each in before]
    try:
        outputs = run.call()
    except Exception:
        outputs = []
    if not any(each.dim() and each.shape[0] == EXAMPLES for each in outputs):
        run.inputs[:] = before
    return run
