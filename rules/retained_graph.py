"""NN217: a running total holds losses with the graphs that they were computed by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.gradients import function_of
from nnlint.evidence.protocol import protocol
from nnlint.evidence.provenance import JOINED, Part, operation_of, summands, walk_back
from nnlint.experiment import Watch
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.trace import Accumulate, Backward, Event, Run, Store
from nnlint.symbolic.values import Carried, Loop, Sequence, Value

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace


@rule(
    "NN217",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=(".backward(",),
    requires=("+=", ".append(", " + "),
    roots=("^backward$",),
)
def retained_graph(trace: Trace) -> Iterator[Finding]:
    """A running total of losses that are still tied to their graphs: memory grows with every batch.

    ## Why it matters
    A loss is more than its number: it holds the graph that it was computed by. A total that adds up losses adds up
    graphs, one a batch, and none of them can be let go of before the epoch ends. After `backward()` the largest
    buffers are gone and what is left leaks slowly, until a longer epoch or a larger data set runs out of memory hours
    after the start; without a `backward()` every activation stays. The number alone is what the total wants.

    ## Example
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.sum(1, keepdim=True)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    total = 0.0
    for step in range(100):
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss
    print(total / 100)
    ```

    ## Use instead
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.sum(1, keepdim=True)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    total = 0.0
    for step in range(100):
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(total / 100)
    ```

    Where `item()` would wait for the device too often, `loss.detach()` adds up on the device.

    ## How it is confirmed
    By protocol: a few iterations of the script's own loop are run, and at each backward pass the graphs of earlier
    ones are counted that something still holds. Confirmed, if their number grows with every pass, and no longer does
    once the accused value is detached; refuted, if it does not grow. It abstains where fewer than four passes are
    reached, or the graphs are held by something else.

    ## When it stays silent
    - The total itself is backpropagated, in this loop or after it.
    - What is added is a number or detached: `.item()`, `float()`, `.detach()`, `.data`, `.cpu().numpy()`.
    - Nothing is recorded: under `no_grad`, in `inference_mode`.
    - The total begins anew in each round.
    - It is a dict of outputs in which something was replaced, perhaps the loss by its value.
    """
    seen: set[int] = set()
    for run in trace.runs:
        together = list(retained(run))
        for found in together:
            if id(found.place.node) not in seen:
                seen.add(id(found.place.node))
                yield describe(run, found, together)


@dataclass(frozen=True, slots=True, eq=False)
class Retained:
    """Something that grows by a loss: where the loss is handed over, and where it goes backward."""

    growth: Accumulate
    backward: Backward
    loop: Loop
    place: Place


def retained(run: Run) -> Iterator[Retained]:
    """The totals of a run that hold losses which go backward one by one."""
    backwards = list(run.of(Backward))
    objectives = [attached(event.loss) for event in backwards]
    for event in run.of(Accumulate):
        loop = event.context.innermost(Loop.BATCHES) or (event.context.loops[-1] if event.context.loops else None)
        if loop is None or event.context.recording is not True or loop is not event.context.loops[-1]:
            continue
        if is_plain_number(event.value) or any(store.target is event.value for store in run.of(Store)):
            continue
        parts = attached(event.value)
        pairs = [
            backward
            for backward, objective in zip(backwards, objectives, strict=True)
            if loop in backward.context.loops
            and parts & objective
            and (event.result is not None or event.value is backward.loss or not is_gathered(backward.loss))
        ]
        if pairs and lasts(event, loop) and not any(is_learned(event, each, pairs) for each in backwards):
            yield Retained(event, pairs[-1], loop, handed_over(event, pairs[-1]))


def attached(value: Value) -> set[int]:
    """The identities of the losses that a value is made of, itself included, without what came from a loader."""
    parts = [part.value for part in walk_back(value, with_graph)]
    return {id(value)} | {id(part) for part in parts if getattr(part, "loss", "") or is_computed(part)}


def with_graph(value: Value) -> Iterable[Part]:
    """One step back to what a value has its graph from."""
    return [] if is_plain_number(value) else summands(value)


def is_plain_number(value: Value) -> bool:
    """Whether a value is what ``float()`` or ``int()`` has made."""
    return value.origin is not None and value.origin.op in ("builtins.float", "builtins.int", "builtins.round")


def is_computed(value: Value) -> bool:
    """Whether a value is what a function or module that nobody knows has returned."""
    return value.origin is not None and value.origin.op == "call" and getattr(value, "batch", None) is None


def is_gathered(loss: Value) -> bool:
    """Whether a loss is made of the items of a list."""
    parts = [part.value for part in walk_back(loss, summands)]
    return any(
        isinstance(part, Sequence) or (part.origin is not None and operation_of(part.origin) in JOINED)
        for part in parts
    )


def lasts(event: Accumulate, loop: Loop) -> bool:
    """Whether what grows in a round is what the round before has left."""
    if isinstance(event.total, Carried):
        return event.total.loop is loop
    return isinstance(event.total, Sequence) and event.result is None and event.context.round > 0 and grown(event.total)


def grown(total: Sequence) -> bool:
    """Whether a list holds something of an earlier round when it grows."""
    return bool(total.items) or total.open


def is_learned(event: Accumulate, backward: Backward, pairs: list[Backward]) -> bool:
    """Whether the total itself goes backward."""
    if event.result is None:
        # What else goes backward here may be made of the list.
        near = function_of(backward) is function_of(event) or is_gathered(backward.loss)
        return near and all(backward.place.node is not each.place.node for each in pairs)
    whole = {id(part.value) for part in walk_back(backward.loss, summands)}
    return id(event.result) in whole or id(event.total) in whole


def handed_over(event: Event, backward: Backward) -> Place:
    """The growth itself, or the call in the function of ``backward`` that leads to it."""
    for depth, site in enumerate(event.context.calls):
        others = backward.context.calls
        if depth >= len(others) or others[depth].place.node is not site.place.node:
            return site.place
    return event.place


def describe(run: Run, found: Retained, together: list[Retained]) -> Finding:
    """The finding in words; ``together`` is all that holds graphs in the run."""
    node = added(found)
    name = text(found, node) if node is not None else "the loss"
    return Finding(
        found.place,
        f"`{name}` is added up with its graph",
        "the graphs of all batches are held until the total is let go of, and memory grows with every one of them",
        f"add up the number: `{name}.item()`",
        (Note(found.backward.place, "it goes backward by itself here, so that the total is only looked at"),),
        fix(found, node),
        None,
        Confidence.HIGH if is_direct(found) else Confidence.MEDIUM,
        protocol(
            run,
            "retained-graph",
            accused=found.place,
            around=found.backward,
            watches=tuple(watches(together)),
            anchors=tuple(each.place for each in together),
        ),
    )


def watches(together: list[Retained]) -> Iterator[Watch]:
    """The losses that are added up, to be seen and detached."""
    seen: set[int] = set()
    for each in together:
        node = added(each)
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            yield Watch("kept", Place(each.place.source, node))


def is_direct(found: Retained) -> bool:
    """Whether the total grows in the very function of the backward pass."""
    return found.place is found.growth.place


def added(found: Retained) -> cst.BaseExpression | None:
    """The expression of the loss that is added, where it is written at the place of the finding."""
    node = found.place.node
    if isinstance(node, cst.AugAssign):
        return node.value
    if isinstance(node, cst.Assign) and isinstance(node.value, cst.BinaryOperation):
        return node.value.right
    if isinstance(node, cst.Call) and node.args and node.args[0].keyword is None:
        return node.args[0].value
    return None


def text(found: Retained, node: cst.CSTNode) -> str:
    """The code of a node on one line."""
    return " ".join(found.place.source.module.code_for_node(node).split())


def fix(found: Retained, node: cst.BaseExpression | None) -> Fix | None:
    """Add up the number."""
    if not isinstance(node, (cst.Name, cst.Attribute)):
        return None
    return Fix("add up the number", (Edit("replace", Place(found.place.source, node), f"{text(found, node)}.item()"),))
