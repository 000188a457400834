"""A call of something outside the repository, as the tables of the library modules see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnlint.symbolic.values import Arguments, Origin, Shape, Tensor, Unknown, Value, snapshot

if TYPE_CHECKING:
    import libcst as cst

    from nnlint.source import Source
    from nnlint.symbolic.executor import Executor
    from nnlint.symbolic.trace import Event


@dataclass(slots=True, eq=False)
class Call:
    """One call: what is called, on what, with what, and where it stands.

    ``path`` is the canonical dotted name of a library function or class, or ``.name`` for a method.
    ``receiver`` is the object a method belongs to, or the built object that is itself called (a layer, a criterion).
    """

    executor: Executor
    source: Source
    node: cst.CSTNode
    path: str
    receiver: Value | None
    arguments: Arguments

    def get(self, position: int | None, name: str) -> Value | None:
        """The argument at ``position`` (from 0, the receiver not counted) or called ``name``."""
        return self.arguments.get(position, name)

    @property
    def inputs(self) -> tuple[Value, ...]:
        """The receiver and all arguments, as the inputs of an origin: containers with what they hold at this time."""
        receiver = () if self.receiver is None else (self.receiver,)
        given = receiver + self.arguments.positional + tuple(self.arguments.keywords.values())
        return tuple(map(snapshot, given))

    def origin(self, *inputs: Value) -> Origin:
        """An origin at this call; without arguments, from all of its inputs."""
        return Origin(self.path, inputs or self.inputs, self.source, self.node)

    def tensor(self, shape: Shape | None = None, *inputs: Value, loss: str = "", integer: bool = False) -> Tensor:
        """A tensor that this call computes; its origin has all inputs of the call unless some are named."""
        result = Tensor(shape or Shape(), loss=loss, integer=integer, origin=self.origin(*inputs))
        if result.shape.owner is None:
            result.shape.owner = result
        return result

    def unknown(self, *inputs: Value) -> Unknown:
        """A value nobody knows, that remembers that it comes from this call."""
        return Unknown(origin=self.origin(*inputs))

    def emit(self, event: type[Event], **fields: Any) -> None:
        """Write an event down, at the place of this call and in the present context."""
        self.executor.emit(event, self.node, **fields)

    def call(self, callee: Value, *args: Value, **kwargs: Value) -> Value:
        """What calling ``callee`` (a function of the script, a transform, …) with these values gives."""
        return self.executor.call(callee, Arguments(args, kwargs), self.node)


Handler = Callable[[Call], Value]
"""What a library function means: the value it returns, with events written down on the way."""
