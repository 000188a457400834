"""What a script does, in order: the events, and the loops, branches and calls they happened in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    from nnlint.rule import Place
    from nnlint.source import Source
    from nnlint.symbolic.values import Arguments, Function, Instance, Loop, Object, Value


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """A branch that was taken: the test, and the outcome it must have had."""

    test: Value
    outcome: bool
    place: Place
    implied: bool = False
    """Nothing at this place decides: an earlier branch has left one of two callees behind, and this is one of them."""


@dataclass(frozen=True, slots=True, eq=False)
class CallSite:
    """A call that was followed: where it stands and what it called."""

    place: Place
    function: Function


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """Where in the run something happens, outermost first."""

    calls: tuple[CallSite, ...] = ()
    loops: tuple[Loop, ...] = ()
    conditions: tuple[Condition, ...] = ()
    round: int = 0
    """0 in the first reading of the innermost loop's body, 1 in the second."""
    recording: bool | None = True
    """Whether autograd records, None if it cannot be told."""

    def innermost(self, kind: str) -> Loop | None:
        """The innermost loop of a kind around, None if there is none."""
        return next((loop for loop in reversed(self.loops) if loop.kind == kind), None)


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """Something that happens."""

    place: Place
    context: Context


@dataclass(frozen=True, slots=True, eq=False)
class Seed(Event):
    """Generators are seeded.

    ``generators`` is drawn from ``torch``, ``cuda``, ``numpy``, ``random``, and ``own`` for one that is not global.
    """

    generators: frozenset[str]
    value: Value | None
    by: str
    """The function that seeds, as a dotted name."""
    in_worker: bool = False
    """Seeded in the process that loads samples, and for it alone."""


@dataclass(frozen=True, slots=True, eq=False)
class RandomUse(Event):
    """A global generator (``torch``, ``numpy`` or ``random``) is drawn from, or one of its ``own`` without a seed."""

    generator: str
    what: str
    """What draws, in words for a message: ``nn.Linear initializes its weights``."""
    in_worker: bool = False
    """Drawn while a loader loads a sample."""


@dataclass(frozen=True, slots=True, eq=False)
class Build(Event):
    """A module, optimizer, scheduler, loader, dataset or transform is built."""

    value: Object | Instance


@dataclass(frozen=True, slots=True, eq=False)
class Hide(Event):
    """A module is built that holds modules in a plain list or dict, where torch does not look for them."""

    module: Instance
    attribute: str
    hidden: tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Attach(Event):
    """A layer that learns, or a parameter, becomes part of a module that was built before; ``before`` is replaced."""

    module: Value
    name: str
    before: Value | None
    value: Value


@dataclass(frozen=True, slots=True, eq=False)
class Renew(Event):
    """A module gets new parameters in the place of its old ones; ``by`` is the function or method that does it."""

    module: Value
    by: str


@dataclass(frozen=True, slots=True, eq=False)
class SetRequiresGrad(Event):
    """``target.requires_grad`` is assigned, or an attribute of a similar ``name`` (``require_grad``, ``trainable``).

    Or the method ``requires_grad_`` is called.
    """

    target: Value
    name: str
    value: Value


@dataclass(frozen=True, slots=True, eq=False)
class Mode(Event):
    """A module is put into train or eval mode (None: decided at run time)."""

    module: Value
    training: bool | None


@dataclass(frozen=True, slots=True, eq=False)
class Forward(Event):
    """A module of the user, or a whole model of a library, is called.

    ``training`` is the mode that the module is in: train (True) or eval (False), None if it cannot be told.
    """

    module: Value
    arguments: Arguments
    result: Value
    training: bool | None = True


@dataclass(frozen=True, slots=True, eq=False)
class Apply(Event):
    """A single layer of ``torch.nn`` is called, by itself or in its turn of a ``Sequential``."""

    layer: Object
    operand: Value
    result: Value


@dataclass(frozen=True, slots=True, eq=False)
class Drop(Event):
    """``torch.nn.functional.dropout`` or a relative is called; None for what it is not given.

    ``star``: it may be given in ``*args`` or ``**kwargs``.
    """

    rate: Value | None
    training: Value | None
    star: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Loss(Event):
    """A loss function of a library is called."""

    function: str
    arguments: Arguments
    result: Value
    criterion: Object | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Clip(Event):
    """A value is bounded; ``upper`` and ``lower`` are None where there is no bound on that side."""

    operand: Value
    result: Value
    lower: Value | None
    upper: Value | None
    in_place: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Reshape(Event):
    """``view`` or ``reshape``. ``dims`` are the sizes before (None: unknown rank), ``sizes`` the sizes asked for."""

    operand: Value
    dims: tuple[Value, ...] | None
    sizes: tuple[Value, ...]
    result: Value
    method: str


@dataclass(frozen=True, slots=True, eq=False)
class Backward(Event):
    """Gradients are computed. ``gradient`` is given when it does not start from a scalar loss."""

    loss: Value
    gradient: Value | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ZeroGrad(Event):
    """Gradients are cleared, of an optimizer or a module."""

    target: Value


@dataclass(frozen=True, slots=True, eq=False)
class ClipGradients(Event):
    """Gradients are clipped."""

    parameters: Value | None


@dataclass(frozen=True, slots=True, eq=False)
class Unscale(Event):
    """A gradient scaler unscales the gradients of an optimizer."""

    optimizer: Value


@dataclass(frozen=True, slots=True, eq=False)
class Step(Event):
    """An optimizer steps."""

    optimizer: Value


@dataclass(frozen=True, slots=True, eq=False)
class SchedulerStep(Event):
    """A learning-rate scheduler steps; ``argument`` is the metric or epoch it is given."""

    scheduler: Value
    argument: Value | None


@dataclass(frozen=True, slots=True, eq=False)
class SetRate(Event):
    """``param_group["lr"]`` is assigned. ``rate`` may be written in terms of the group's own ``lr``."""

    optimizer: Value
    rate: Value


@dataclass(frozen=True, slots=True, eq=False)
class Sample(Event):
    """A dataset's ``__getitem__`` returns ``value``; ``dataset`` is the instance."""

    dataset: Instance
    value: Value


@dataclass(frozen=True, slots=True, eq=False)
class Store(Event):
    """A part of an array, a tensor or a container nobody knows is assigned: ``target[keys] = value``.

    While a loader loads a sample, also an item of a list or dict, which is ``target`` as it was before.
    """

    target: Value
    keys: tuple[Value, ...]
    value: Value


@dataclass(frozen=True, slots=True, eq=False)
class Accumulate(Event):
    """In a loop, something grows by a value that is no number: ``total += value``, ``values.append(value)``.

    ``total`` is what it was before, ``result`` what it is then (None for a list).
    """

    total: Value
    value: Value
    result: Value | None


@dataclass(frozen=True, slots=True, eq=False)
class Average(Event):
    """A total is divided by a length or by a number that a loop has counted; a list (``count`` None) is averaged."""

    total: Value
    count: Value | None


@dataclass(frozen=True, slots=True, eq=False)
class Return(Event):
    """A function that was followed or read as a root returns."""

    function: Function
    value: Value
    receiver: Value | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Fit(Event):
    """A framework trains: Lightning's or transformers' Trainer, keras-like ``fit``."""

    trainer: Value
    framework: str
    arguments: Arguments | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BuildVocabulary(Event):
    """A vocabulary is made of the words of data sets."""

    arguments: Arguments


@dataclass(frozen=True, slots=True, eq=False)
class Save(Event):
    """A checkpoint is written or copied, or weights are set aside in memory; ``by`` is the function that does it."""

    value: Value | None
    by: str = "torch.save"


@dataclass(frozen=True, slots=True, eq=False)
class Break(Event):
    """A loop is left by ``break``."""


@dataclass(frozen=True, slots=True, eq=False)
class Take(Event):
    """One item is taken of an iterator: ``next(iter(loader))``."""

    iterator: Value


E = TypeVar("E", bound=Event)


@dataclass(slots=True, eq=False)
class Run:
    """One execution from a root: module level with the ``__main__`` block, or a function nobody in the file calls.

    ``script`` is true for module level; ``main`` if the file has a ``__main__`` block; ``whole`` if it was read to its
    end.
    """

    root: str
    script: bool
    main: bool = False
    events: list[Event] = field(default_factory=list)
    whole: bool = True
    _by_kind: dict[type[Event], tuple[Event | None, int, list[Any]]] = field(default_factory=dict)
    """The events of a kind, with the last of all and their number when they were looked for."""

    def of(self, kind: type[E]) -> Iterator[E]:
        """The events of a kind, in order."""
        last = self.events[-1] if self.events else None
        known = self._by_kind.get(kind)
        if known is None or known[0] is not last or known[1] != len(self.events):
            known = (last, len(self.events), [event for event in self.events if isinstance(event, kind)])
            self._by_kind[kind] = known
        return iter(known[2])


@dataclass(slots=True, eq=False)
class Trace:
    """All that was read in one file. ``truncated`` is why the reading stopped early, None if it did not."""

    source: Source
    runs: list[Run] = field(default_factory=list)
    truncated: str | None = None
    root: Path | None = None
    """The root of the repository, None if nobody knows."""

    def of(self, kind: type[E]) -> Iterator[E]:
        """The events of a kind over all runs, in order."""
        for run in self.runs:
            yield from run.of(kind)
