"""What was seen of a few iterations of the user's loops: the events in their order, and the gradients before each.

The words are those of the reading (:mod:`nnlint.symbolic.trace`), but here everything was run. Parameters, optimizers
and modules are known by numbers, in the order in which they were first seen; :attr:`Record.names` says what a number
stands for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..verdict import Inconclusive

Line = tuple[str, int]
"""A file of the user and a row in it, from 1."""


@dataclass(frozen=True)
class Held:
    """What is in the ``.grad`` of a parameter.

    Attributes:
        norm: the Euclidean norm.
        backwards: the numbers of the :class:`Backward` events whose gradients are in it, oldest first.
    """

    norm: float
    backwards: tuple[int, ...]


Gradients = dict[int, Held]
"""The gradients that are there and not zero, by parameter."""


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        number: its place in the order of all events.
        lines: the user's lines that led to it, the innermost first.
        rounds: the round, from 0, of each loop that is watched and under way, by the name of the watch
            (``epochs 0``, ``batches 1``).
        gradients: what was in ``.grad`` right before.
    """

    number: int
    lines: tuple[Line, ...]
    rounds: dict[str, int]
    gradients: Gradients

    @property
    def where(self) -> str:
        """The user's line: ``train.py:31``."""
        if not self.lines:
            return "?"
        path, row = self.lines[0]
        return f"{os.path.basename(path)}:{row}"


@dataclass(frozen=True)
class Forward(Event):
    """A module was called, from outside of any other.

    ``training`` is its own flag; ``training_modules`` are the types of the modules inside that are in train mode
    (``Dropout``, ``BatchNorm2d``), ``evaluating_modules`` those in eval mode. ``recording``: autograd records, and
    ``attached``: the result has a graph. ``replaced``: what it computes was stood in for.
    """

    module: int
    training: bool
    training_modules: frozenset[str]
    evaluating_modules: frozenset[str]
    recording: bool
    attached: bool
    replaced: bool


@dataclass(frozen=True)
class ZeroGrad(Event):
    """``zero_grad`` of an optimizer or a module; ``parameters`` are those it is about."""

    owner: int
    parameters: frozenset[int]


@dataclass(frozen=True)
class Backward(Event):
    """Gradients were computed.

    ``after`` is what was in ``.grad`` then; ``reached`` the parameters whose gradient this one has changed.
    ``kept``: the graph was kept for another time. ``alive`` are the numbers of earlier ones whose graphs something
    still holds when this one begins. ``value`` is the loss. ``invented``: the loss is one that could not be computed;
    it was taken to depend on all parameters.
    """

    after: Gradients
    reached: frozenset[int]
    kept: bool
    alive: tuple[int, ...]
    value: float
    invented: bool


@dataclass(frozen=True)
class Clip(Event):
    """Gradients were clipped, by norm or value.

    ``after`` is what was in ``.grad`` then, ``scale`` the factor that a scaler had them multiplied with at that time.
    """

    parameters: frozenset[int]
    after: Gradients
    limit: float
    scale: float


@dataclass(frozen=True)
class Unscale(Event):
    """A gradient scaler unscaled the gradients of an optimizer; ``scale`` is what it divided by."""

    optimizer: int
    parameters: frozenset[int]
    scale: float


@dataclass(frozen=True)
class Step(Event):
    """An optimizer stepped.

    ``used`` is what was in the ``.grad`` of its parameters when it moved them; ``moved`` the parameters that are other
    numbers now. ``scale`` is the factor that the gradients were multiplied with by a scaler and still are.
    """

    optimizer: int
    parameters: frozenset[int]
    used: Gradients
    moved: frozenset[int]
    scale: float


@dataclass(frozen=True)
class SchedulerStep(Event):
    """A learning-rate scheduler was stepped; ``rates`` are those of the optimizer's groups afterwards."""

    scheduler: int
    optimizer: int
    rates: tuple[float, ...]


@dataclass(frozen=True)
class Mode(Event):
    """``train()`` or ``eval()`` of a module."""

    module: int
    training: bool


@dataclass(frozen=True)
class SetEpoch(Event):
    """A sampler was told the epoch."""

    sampler: int
    epoch: int


@dataclass(frozen=True)
class Batches(Event):
    """A loader began to be gone through. ``indices`` are the first samples in their order, None if nobody knows."""

    loader: int
    indices: tuple[int, ...] | None
    shuffles: bool | None


E = TypeVar("E", bound=Event)


@dataclass
class Record:
    """All that was seen in one run of the lines.

    Attributes:
        events: in their order.
        names: what a number of a parameter, optimizer, module, scheduler, sampler or loader stands for:
            ``Adam``, ``Net``, ``fc.weight``.
        accused: the lines of the finding.
        undecided: the user's lines where a test asked for a value that nobody has; it was taken to be false.
        lost: failures in the lines of the events, which therefore did not happen, in words.
        failures: all failures on the way, in words.
        again: run the same lines once more, differently: ``again(clear=True)`` clears the gradients of an
            optimizer after each of its steps, ``again(detach=True)`` detaches the values of the watch ``kept``.
        seen: the values of the other watches, by name, in their order, tensors as copies without their graphs; of
            ``kept`` only that they were there (None).
    """

    events: list[Event] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    accused: tuple[tuple[str, int, int], ...] = ()
    undecided: list[Line] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    again: Callable[..., Record] = None  # type: ignore[assignment] # set by whoever runs the lines
    seen: dict[str, list[Any]] = field(default_factory=dict)
    layers: frozenset[int] = frozenset()

    def of(self, kind: type[E]) -> list[E]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def between(self, kind: type[E], after: Event, before: Event) -> list[E]:
        """The events of a kind between two others."""
        return [event for event in self.of(kind) if after.number < event.number < before.number]

    def is_accused(self, event: Event) -> bool:
        """Whether an event happened in the lines of the finding."""
        return any(
            path == there and first <= row <= last for path, row in event.lines for there, first, last in self.accused
        )

    def need(self, kind: type[E], count: int = 1, what: str = "") -> list[E]:
        """The events of a kind.

        Raises:
            Inconclusive: there are fewer than ``count``.
        """
        found = self.of(kind)
        if len(found) < count:
            said = what or {"Backward": "backward()", "Step": "step()"}.get(kind.__name__, kind.__name__)
            often = "not reached" if not found else f"reached only {len(found)} times"
            why = self.failures[0] if self.failures else ""
            raise Inconclusive(f"{said} is {often}{': ' if why else ''}{why}")
        return found
