"""The values of watched expressions where the user's lines come to them: in the script, a function or a module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..anything import is_missing, reason
from ..bench import Bench
from ..building.guessing import BATCH, STEPS
from ..building.prepared import Prepared
from ..building.synthesis import prepare
from ..job import Job, Slice
from ..program import Enough, Program
from ..verdict import Inconclusive
from .accepting import Accepting
from .supply import CLASSES, Supplied
from .teaching import Attempt, Push, Teaching
from .wanted import is_result, is_wanted, settled, tensor_of

ATTEMPTS = (
    Attempt((BATCH, CLASSES), 32, True),
    Attempt((BATCH, CLASSES, 8, 8), 28, False),
    Attempt((BATCH, STEPS, CLASSES), 32, True),
    Attempt((BATCH, 3, 32, 32), 224, False),
    Attempt((BATCH, 1, 28, 28), 28, True),
    Attempt((BATCH, CLASSES), 32, True, accepted=True),
)
"""What is tried for what nobody gives, one after another."""

NAMED = 6
"""Stand-ins that are named with a verdict."""


@dataclass
class Reached:
    """What the watches saw, and the tensors that were made up on the way there."""

    seen: dict[str, Any] = field(default_factory=dict)
    supplied: list[Supplied] = field(default_factory=list)


def at_the_watches(
    job: Job,
    slice_: Slice,
    bench: Bench,
    names: Sequence[str],
    *,
    scalars: Sequence[str] = (),
    gradients: bool = False,
    instead: Mapping[str, Callable[[], Any]] | None = None,
) -> Reached:
    """The values of the watches ``names`` when the script, or the function that the entry names, first comes to all.

    What the lines lack is made up: tensors of several shapes, one after another.

    Args:
        job: the experiment.
        slice_: the program to run.
        bench: where it is run.
        names: the watches.
        scalars: those of them that are scalars if nobody knows better.
        gradients: whether it matters what gradients come back to: data have none then, and may stay open.
        instead: what the lines go on with in the place of what a watch saw.

    Raises:
        Inconclusive: the lines do not lead there, or to values that could not be had.
    """
    reasons: list[str] = []
    program = Program(slice_, bench)
    accepting = Accepting(program)
    for attempt in (replace(each, named=True, only_results=gradients) for each in ATTEMPTS):
        reached = Reached()
        lines = Teaching(program, job.settings, attempt, alone=False, accepting=accepting)
        for name in names:
            program.see[name] = _eye(name, reached, len(names), name in scalars, (instead or {}).get(name))
        lesson = lines.lesson(Push())
        reached.supplied = lesson.supply.tensors
        lacking = next((reached.seen[name] for name in names if is_missing(reached.seen.get(name))), None)
        opaque = any(is_wanted(value) and not (gradients and not is_result(value)) for value in reached.seen.values())
        if len(reached.seen) == len(names) and lacking is None and not opaque and not lesson.broken:
            return reached
        why = reason(lacking) if lacking is not None else ""
        reasons.append(lesson.broken or lesson.failed or why or lesson.lost or "the lines do not lead to the loss")
        if not reached.supplied:
            break
    raise Inconclusive(reasons[0])


def _eye(
    name: str, reached: Reached, wanted: int, scalar: bool, instead: Callable[[], Any] | None
) -> Callable[[Any], Any]:
    def see(value: Any) -> Any:
        import torch

        value = tensor_of(value, ()) if scalar else settled(value)
        reached.seen[name] = value.clone() if isinstance(value, torch.Tensor) and value.grad_fn is not None else value
        if len(reached.seen) == wanted:
            raise Enough
        return value if instead is None else instead()

    return see


def note_supplied(reached: Reached, bench: Bench) -> None:
    """Say which tensors were made up."""
    for each in reached.supplied[:NAMED]:
        bench.stand_in(f"{each.name}: made-up numbers of shape {tuple(each.leaf.shape)}")


def prepared_module(job: Job, bench: Bench, name: str) -> tuple[Prepared, dict[str, Any]]:
    """The module that the entry names, with inputs that it accepts, and what the watch ``name`` last saw in it.

    Raises:
        Inconclusive: it cannot be built, or accepts no input that was thought of.
    """
    import torch

    seen: dict[str, Any] = {}
    program = Program(job.program, bench)

    def see(value: Any) -> Any:
        seen[name] = value.detach().clone() if isinstance(value, torch.Tensor) else value
        return value

    program.see[name] = see
    prepared = prepare(program.entry(), job.settings, bench)
    bench.assume(f"called with {prepared.described}")
    return prepared, seen
