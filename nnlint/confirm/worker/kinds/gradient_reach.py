"""To what do gradients come back: from a loss that is said to be cut off, or through which argument of a loss?

Settings:
    asked: ``severed``: does anything come back from the watch ``end``, the loss? ``swapped``: which of the watches
        ``first`` and ``second`` do gradients come back through, or, with ``logarithms``, which holds logarithms?

The script, or the function that the entry names, is run as far as the watches. What counts are parameters of modules,
and tensors that stand for what a model gives that nobody has. The control of ``severed`` is the watch ``before``, which
sees the value before it is cut off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..bench import Bench
from ..job import Job
from ..losses.reaching import Reached, at_the_watches, note_supplied
from ..losses.supply import RESULT
from ..verdict import Inconclusive, Verdict, confirmed, refuted

MOST_NODES = 10_000
"""Nodes of a graph that are looked at for its leaves."""


@dataclass(frozen=True)
class _Sources:
    """What gradients come back to: parameters, and outputs of models that nobody has."""

    parameters: int
    outputs: int

    def __bool__(self) -> bool:
        return bool(self.parameters or self.outputs)

    def words(self) -> str:
        """Both in words."""
        some = f"{self.parameters} parameters" if self.parameters > 1 else "1 parameter" if self.parameters else ""
        made = "the output of a model" if self.outputs == 1 else f"{self.outputs} outputs of models"
        return " and ".join(each for each in (some, made if self.outputs else "") if each)

    @property
    def count(self) -> int:
        """All of them."""
        return self.parameters + self.outputs


def run(job: Job, bench: Bench) -> Verdict:
    """Go back along the graph, as it is and mended."""
    return _severed(job, bench) if job.settings["asked"] == "severed" else _swapped(job, bench)


def _severed(job: Job, bench: Bench) -> Verdict:
    scalars = ("before",) if job.settings["scalar"] else ()
    reached = at_the_watches(job, job.program, bench, ("before", "end"), scalars=scalars, gradients=True)
    note_supplied(reached, bench)
    loss, before = (_sources(reached.seen[name], reached) for name in ("end", "before"))
    if loss:
        return refuted(f"gradients come back from the loss to {loss.words()}", reached=loss.count)
    if not before:
        raise Inconclusive("nor do gradients come back from what it is computed of")
    return confirmed(
        f"no gradient comes back from the loss to anything; before it is cut off they come back to {before.words()}",
        reached=0,
        before=before.count,
    )


def _swapped(job: Job, bench: Bench) -> Verdict:
    reached = at_the_watches(job, job.program, bench, ("first", "second"), gradients=True)
    note_supplied(reached, bench)
    if job.settings["logarithms"]:
        return _swapped_logarithms(reached)
    first, second = (_sources(reached.seen[name], reached) for name in ("first", "second"))
    if first and not second:
        return refuted(
            f"gradients come back through the first argument alone, to {first.words()}", first=first.count, second=0
        )
    if not second or first:
        raise Inconclusive(
            "gradients come back through both arguments" if first else "gradients come back through neither argument"
        )
    return confirmed(
        f"gradients come back through the second argument alone, to {second.words()}: the first is data",
        first=0,
        second=second.count,
    )


def _swapped_logarithms(reached: Reached) -> Verdict:
    """Which argument of a divergence holds logarithms: numbers that are not positive, of which some are below -1."""
    import torch

    first, second = (reached.seen[name] for name in ("first", "second"))
    if not isinstance(first, torch.Tensor) or not isinstance(second, torch.Tensor):
        raise Inconclusive("what the loss is given are no tensors")
    ranges = [[float(f"{float(each.min()):.4g}"), float(f"{float(each.max()):.4g}")] for each in (first, second)]
    figures = {"first": ranges[0], "second": ranges[1]}
    logarithms = [most <= 0 and least < 0 for least, most in ranges]
    if logarithms[0]:
        return refuted(f"the first argument lies in {ranges[0]}: these may be logarithms", **figures)
    if not logarithms[1]:
        raise Inconclusive("neither argument holds logarithms here")
    return confirmed(
        f"the first argument lies in {ranges[0]}, which are no logarithms, the second in {ranges[1]}", **figures
    )


# --- the graph -------------------------------------------------------------------------------------------------------


def _sources(value: Any, reached: Reached) -> _Sources:
    """What gradients come back to from a value."""
    import torch

    if not isinstance(value, torch.Tensor):
        return _Sources(0, 0)
    models = {id(each.leaf) for each in reached.supplied if RESULT in each.path}
    leaves = _leaves(value)
    return _Sources(
        sum(isinstance(leaf, torch.nn.Parameter) for leaf in leaves), sum(id(leaf) in models for leaf in leaves)
    )


def _leaves(value: Any) -> list[Any]:
    """The tensors that a graph begins with."""
    if value.grad_fn is None:
        return [value] if value.requires_grad else []
    stack, found = [value.grad_fn], []
    seen: set[Any] = set()
    while stack and len(seen) < MOST_NODES:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        stack += [following for following, _ in node.next_functions]
    return found
