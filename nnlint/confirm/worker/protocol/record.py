"""What was seen of a few iterations of the user's loops: the events in their order, and the gradients before each.

The words are those of the reading (:mod:`nnlint.symbolic.trace`), but here everything was run. Parameters, optimizers
and modules are known by numbers, in the order in which they were first seen; :attr:`Record.names` says what a number
stands for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..verdict import Inconclusive

Line = tuple[str, int]
"""A file of the user and a row in it, from 1."""

Place = tuple[str, int, int]
"""A file of the user, and the first and the last row of something in it."""


def lead_through(lines: Sequence[Line], places: Sequence[Place]) -> bool:
    """Whether one of the lines lies in one of the places."""
    return any(path == there and first <= row <= last for path, row in lines for there, first, last in places)


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
    (``Dropout``, ``BatchNorm2d``), ``evaluating_modules`` those in eval mode; dropout of rate 0 and batch norm without
    running statistics, which are the same in both, are in neither. ``recording``: autograd records, and ``attached``:
    the result has a graph. ``replaced``: what it computes was stood in for. ``output`` are some of the numbers that it
    computes, None if there are none.
    """

    module: int
    training: bool
    training_modules: frozenset[str]
    evaluating_modules: frozenset[str]
    recording: bool
    attached: bool
    replaced: bool
    output: tuple[float, ...] | None


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
    numbers now. ``scale`` is the factor that the gradients were multiplied with by a scaler and still are. ``weights``
    is a number that tells the values of the parameters before, ``memory`` one that tells what the optimizer remembers
    of earlier steps. ``frozen`` are the parameters that require no gradient.
    """

    optimizer: int
    parameters: frozenset[int]
    used: Gradients
    moved: frozenset[int]
    scale: float
    weights: int
    memory: int
    frozen: frozenset[int]


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
class Order:
    """The order in which a loader goes through its data set once.

    Attributes:
        indices: the samples that it asks for.
        samples: texts that tell apart the samples that it is given, of those at the beginning and at the end.
        unseen: why it is not seen which samples it is given; empty if it is.
        at_once: all of them are in one batch.
        made_up: nobody knows how many samples there are.
        by_sampler: the order is that of the sampler that the finding is about.
    """

    indices: tuple[int, ...]
    samples: tuple[str, ...]
    unseen: str
    at_once: bool
    made_up: bool
    by_sampler: bool


@dataclass(frozen=True)
class Batches(Event):
    """A loader began to be gone through; ``order`` is known of those that the finding is about."""

    loader: int
    order: Order | None


@dataclass(frozen=True)
class Figure:
    """A score, a number if it is one, made of so many terms, when the lines had taken so many batches."""

    value: float | None
    taken: int
    terms: int


@dataclass
class Pass:
    """One way of the lines through the loader that the finding is about.

    Attributes:
        whole: how many samples each batch of a whole pass has; None if nobody knows.
        made_up: what made-up number the number of samples may rest on; empty if it is known.
        size: the batch size that the lines have given the loader; None if it is not known.
        sizes: how many samples each batch has that the lines have taken.
        terms: what they have added to the total of the score, numbers if they are.
        figures: the scores, in their order.
        unsized: what the lines have asked for its size meanwhile that nobody knows the size of; empty if nothing.
        ended: they have asked for another batch, and there was none.
        left: they ask for no more, for whatever reason.
        rest: how many batches they have left, where that was looked at.
        supposed: nobody knows the number of samples, and one was taken that the batch size does not divide.
    """

    whole: tuple[int, ...] | None
    made_up: str
    size: int | None
    sizes: list[int] = field(default_factory=list)
    terms: list[float | None] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    unsized: str = ""
    ended: bool = False
    left: bool = False
    rest: int = 0
    supposed: bool = False


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
            optimizer after each of its steps, ``again(detach=True)`` detaches the values of the watch ``kept``,
            ``again(training=False, until=2)`` puts the models into eval mode for the forward passes in the lines of the
            finding and ends after the second,
            ``again(order="shuffled")`` has samples in another order (see :class:`~.orders.Orders`),
            ``again(passes="evened")`` goes through loaders in another way (see :class:`~.passes.Passes`).
        seen: the values of the other watches, by name, in their order, tensors as copies without their graphs; of
            ``kept`` only that they were there (None).
        layers: the parameters of what the watch ``layers`` has shown.
        changed: those of them that are other numbers at a later step than at the first, whatever has changed them.
        learned: the numbers of the forward passes whose results a backward pass has gone through.
        passes: the ways through the loader that the finding is about.
    """

    events: list[Event] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    accused: tuple[Place, ...] = ()
    undecided: list[Line] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    again: Callable[..., Record] = None  # type: ignore[assignment] # set by whoever runs the lines
    seen: dict[str, list[Any]] = field(default_factory=dict)
    layers: frozenset[int] = frozenset()
    changed: frozenset[int] = frozenset()
    learned: frozenset[int] = frozenset()
    passes: list[Pass] = field(default_factory=list)

    def of(self, kind: type[E]) -> list[E]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def between(self, kind: type[E], after: Event, before: Event) -> list[E]:
        """The events of a kind between two others."""
        return [event for event in self.of(kind) if after.number < event.number < before.number]

    def is_accused(self, event: Event) -> bool:
        """Whether an event happened in the lines of the finding."""
        return lead_through(event.lines, self.accused)

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
