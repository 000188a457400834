"""Where names live: the modules of a repository and the frames of calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nnlint.symbolic.values import Function, Value

if TYPE_CHECKING:
    from nnlint.source import Source
    from nnlint.symbolic.trace import Condition, Event


@dataclass(slots=True, eq=False)
class Deferred(Value):
    """A name imported from a module of the repository that has not been needed yet; ``name`` empty: the module."""

    source: Source
    name: str


@dataclass(slots=True, eq=False)
class Module:
    """A module of the repository and what its top level left behind."""

    source: Source
    name: str
    names: dict[str, Value] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    """Library modules that everything was imported from."""
    missing: dict[str, Value] = field(default_factory=dict)
    """Names that nothing binds; the same name is the same unknown value each time."""
    effects: list[Event] = field(default_factory=list)
    """What importing it does, in order."""


@dataclass(slots=True, eq=False)
class Frame:
    """The names of one call, or of a module's top level (then ``parent`` is None and ``names`` the module's)."""

    module: Module
    names: dict[str, Value]
    parent: Frame | None = None
    function: Function | None = None
    receiver: Value | None = None
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)
    returns: list[tuple[tuple[Condition, ...], Value]] = field(default_factory=list)
    yields: list[Value] = field(default_factory=list)
    depth: int = 0
    conditions: int = 0
    """How many conditions held when the call began."""
