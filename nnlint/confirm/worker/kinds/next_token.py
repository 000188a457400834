"""With which token is the output compared that first sees a token: with the next one, or with another?

Watches: ``tokens``, what the model is given; ``prediction`` and ``target``, the arguments of the loss. The script, or
the function that the entry names, is run as far as the loss, and again with one token changed on its way into the
model. The first output that moves belongs to the token; the target beside it says how many tokens ahead it lies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..bench import Bench
from ..job import Job
from ..losses.reaching import Reached, at_the_watches, note_supplied
from ..losses.wanted import settled
from ..verdict import Inconclusive, Verdict, confirmed, refuted

PROBES = 6
"""Tokens that are changed, one at a time."""

FEWEST = 3
"""Probes that must agree, that no accident decides."""

FARTHEST = 4
"""How many tokens ahead a target is looked for."""

NAMES = ("tokens", "prediction", "target")


def run(job: Job, bench: Bench) -> Verdict:
    """Change one token after another, and count how far ahead the target of the first output that sees it lies."""
    reached = at_the_watches(job, job.program, bench, NAMES, gradients=True)
    note_supplied(reached, bench)
    tokens, target, outputs = _tokens(reached), _flat(reached, "target"), _rows(reached)
    if outputs.shape[0] != target.shape[0]:
        raise Inconclusive(f"{outputs.shape[0]} outputs are compared with {target.shape[0]} tokens")
    if not bool((outputs == _again(job, bench, tokens)).all()):
        raise Inconclusive("two runs on the same tokens give different outputs")
    distances: list[int] = []
    for place in _probes(tokens):
        changed = tokens.clone().flatten()
        changed[place] = _other(tokens, place)
        moved = (outputs != _again(job, bench, changed.reshape(tokens.shape))).any(1).nonzero().flatten()
        if moved.numel():
            distances += _ahead(tokens, place, int(target[moved[0]]))
    if len(distances) < FEWEST:
        raise Inconclusive("no target lies near the token that its output belongs to")
    figures = {"ahead": sorted(set(distances)), "probes": len(distances)}
    if len(set(distances)) > 1:
        raise Inconclusive(f"the targets lie {sorted(set(distances))} tokens ahead, which says nothing")
    ahead = distances[0]
    count = len(distances)
    said = f"the first output that sees a token is compared with {_said(ahead)}, in {count} of {count} cases"
    return refuted(said, **figures) if ahead == 1 else confirmed(said, **figures)


def _again(job: Job, bench: Bench, tokens: Any) -> Any:
    """The outputs when the model is given other tokens."""
    instead: Callable[[], Any] = tokens.clone
    return _rows(at_the_watches(job, job.program, bench, NAMES, gradients=True, instead={"tokens": instead}))


def _tokens(reached: Reached) -> Any:
    import torch

    tokens = settled(reached.seen["tokens"])
    if not isinstance(tokens, torch.Tensor) or tokens.is_floating_point() or not 1 <= tokens.dim() <= 2:
        raise Inconclusive("the model is given no sequence of tokens here")
    if tokens.numel() < 2 * FARTHEST or int(tokens.max()) == int(tokens.min()):
        raise Inconclusive("the tokens are too few to tell them apart")
    return tokens.clone()


def _rows(reached: Reached) -> Any:
    """The outputs, a row each: the classes are the last axis, or the second of more than two."""
    import torch

    value = settled(reached.seen["prediction"])
    if not isinstance(value, torch.Tensor) or value.dim() < 2:
        raise Inconclusive("what the loss is given are no outputs of single tokens")
    value = value.detach()
    return value if value.dim() == 2 else value.movedim(1, -1).reshape(-1, value.shape[1])


def _flat(reached: Reached, name: str) -> Any:
    import torch

    value = settled(reached.seen[name])
    if not isinstance(value, torch.Tensor) or value.is_floating_point():
        raise Inconclusive("the targets are no tokens here")
    return value.flatten()


def _probes(tokens: Any) -> list[int]:
    """Places of tokens whose neighbours are all other ones, so that they can be told apart."""
    steps = tokens.shape[-1]
    flat = tokens.flatten().tolist()
    found = []
    for place in range(len(flat)):
        if place % steps + FARTHEST >= steps:
            continue
        near = flat[place : place + FARTHEST]
        if len(set(near)) == len(near):
            found.append(place)
    return found[:PROBES]


def _other(tokens: Any, place: int) -> int:
    """Another token than the one at a place, which the text has somewhere."""
    flat = tokens.flatten()
    return int(flat[flat != flat[place]][0])


def _ahead(tokens: Any, place: int, target: int) -> list[int]:
    """How far ahead of a place the target lies, empty if it is none of the next tokens."""
    near = tokens.flatten()[place : place + FARTHEST].tolist()
    return [near.index(target)] if target in near else []


def _said(ahead: int) -> str:
    return "that very token" if ahead == 0 else "the next token" if ahead == 1 else f"the token {ahead} ahead"
