"""The books of the gradients: what is in each ``.grad``, and which backward passes it came from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .record import Gradients, Held

SAMPLED = 64
"""Numbers of a parameter that are compared before and after a step."""


class Ledger:
    """Knows parameters by numbers, and what their gradients consist of."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.parameters: dict[int, Any] = {}
        self.factors: dict[int, float] = {}
        """What a gradient is still multiplied with by a scaler, by parameter."""
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []
        self._held: dict[int, list[int]] = {}
        self._norms: dict[int, tuple[Any, int, float]] = {}
        self._under_way: tuple[int, dict[int, tuple[int, int]]] | None = None

    def number(self, thing: Any, name: str = "") -> int:
        """The number of an object, a new one the first time."""
        number = self._numbers.get(id(thing))
        if number is None:
            number = self._numbers[id(thing)] = len(self._numbers)
            self._kept.append(thing)
            self.names[number] = name or type(thing).__name__
        return number

    def enter(self, parameters: Iterable[Any], names: Iterable[str] = ()) -> frozenset[int]:
        """The numbers of parameters, which are watched from now on."""
        found = []
        labels = list(names)
        for position, each in enumerate(parameters):
            number = self.number(each, labels[position] if position < len(labels) else "a parameter")
            if position < len(labels) and self.names[number] == "a parameter":
                self.names[number] = labels[position]
            self.parameters[number] = each
            found.append(number)
        return frozenset(found)

    def enter_module(self, module: Any) -> frozenset[int]:
        """The numbers of the parameters of a module."""
        named = list(module.named_parameters())
        return self.enter([each for _, each in named], [name for name, _ in named])

    def gradients(self) -> Gradients:
        """What is in ``.grad`` now."""
        found: Gradients = {}
        for number, parameter in self.parameters.items():
            norm = self._norm(number, parameter.grad)
            if norm == 0:
                self._held.pop(number, None)
                self.factors.pop(number, None)
            else:
                found[number] = Held(norm, (*self._held.get(number, ()), *self._new(number)))
        return found

    def _norm(self, number: int, gradient: Any) -> float:
        """The norm of a gradient; of one that has not changed the one that is known."""
        if gradient is None:
            self._norms.pop(number, None)
            return 0.0
        known = self._norms.get(number)
        if known is None or known[0] is not gradient or known[1] != gradient._version:
            norm = float(_dense(gradient).detach().float().norm())
            known = self._norms[number] = gradient, gradient._version, norm
        return known[2]

    def _new(self, number: int) -> tuple[int, ...]:
        """The backward pass that is under way, if it has reached a parameter: hooks may ask before it ends."""
        if self._under_way is None:
            return ()
        backward, before = self._under_way
        gradient = self.parameters[number].grad
        return (backward,) if before.get(number) != (id(gradient), gradient._version) else ()

    def begin(self, backward: int) -> None:
        """A backward pass begins."""
        self._under_way = backward, self._versions()

    def end(self, factor: float) -> frozenset[int]:
        """It has ended, with a loss that a scaler had multiplied with ``factor``; the parameters it has reached."""
        assert self._under_way is not None
        backward, before = self._under_way
        self._under_way = None
        reached = frozenset(each for each, version in self._versions().items() if before.get(each) != version)
        for number in reached:
            self._held.setdefault(number, []).append(backward)
            self.factors[number] = factor
        return reached

    def _versions(self) -> dict[int, tuple[int, int]]:
        """What changes whenever a gradient does, by parameter."""
        return {
            number: (id(each.grad), each.grad._version)
            for number, each in self.parameters.items()
            if each.grad is not None
        }

    def factor(self, parameters: Iterable[int]) -> float:
        """What the gradients of some parameters are still multiplied with."""
        return max((self.factors.get(number, 1.0) for number in parameters), default=1.0)

    def values(self, parameters: Iterable[int]) -> dict[int, tuple[float, ...]]:
        """Some of the numbers in each parameter, evenly spread, and their sum: they change when it does."""
        return {number: numbers_of(self.parameters[number]) for number in parameters}


def numbers_of(tensor: Any) -> tuple[float, ...]:
    """Some of the numbers in a tensor, evenly spread, and the sum of all: they change when it does."""
    numbers = tensor.detach().reshape(-1).float()
    return (*numbers[:: max(1, numbers.numel() // SAMPLED)].tolist(), float(numbers.sum()))


def _dense(gradient: Any) -> Any:
    return gradient.coalesce().values() if gradient.is_sparse else gradient
