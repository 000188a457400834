"""The weight decay that an optimizer is built with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Build, Run
from nnlint.symbolic.values import Mapping, Object, Sequence, Setting, Value, resolve_setting

POSITIONS = {"Adam": 4, "AdamW": 4, "NAdam": 4, "RAdam": 4, "SGD": 4, "RMSprop": 4, "Adagrad": 3, "Adamax": 4}
"""Optimizers of torch with a decay, and which argument it is, counted from 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Decay:
    """An optimizer that was built with a weight decay greater than 0, and the option that the decay can be set by."""

    build: Build
    optimizer: Object
    strength: float
    option: str

    @property
    def words(self) -> str:
        """The decay for a message."""
        return f"{self.strength:g}" + (f" (`{self.option}`)" if self.option else "")


def decays(run: Run) -> Iterator[Decay]:
    """The optimizers of torch that a run builds with a decay which it says, for all parameters or for some."""
    for event in run.of(Build):
        optimizer = event.value
        if not isinstance(optimizer, Object) or optimizer.path != f"torch.optim.{optimizer.name}":
            continue
        if optimizer.name not in POSITIONS or optimizer.arguments.star:
            continue
        given = [optimizer.arguments.get(POSITIONS[optimizer.name], "weight_decay"), *_of_groups(optimizer)]
        strongest = max((each for each in given if each is not None), key=_strength, default=None)
        if strongest is not None and _strength(strongest) > 0:
            option = strongest.name if isinstance(strongest, Setting) else ""
            yield Decay(event, optimizer, _strength(strongest), option)


def _of_groups(optimizer: Object) -> list[Value | None]:
    groups = optimizer.arguments.get(0, "params")
    items = groups.items if isinstance(groups, Sequence) else []
    return [group.items.get("weight_decay") for group in items if isinstance(group, Mapping)]


def _strength(value: Value) -> float:
    """The decay as a number, 0 where it is not known."""
    return number(resolve_setting(value)) or 0.0
