"""The experiment on a clipped loss: the lines from what the loss is computed of to where it is backpropagated."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from nnlint.evidence.bounds import Bound
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Place
from nnlint.symbolic.trace import Event, Return, Run
from nnlint.symbolic.values import Function, Loop

SCALERS = frozenset({"scale", "scale_loss"})
"""Methods that multiply a loss before it is backpropagated."""

BACKWARD = frozenset({"backward", "manual_backward"})


def gradient_flow(run: Run, bound: Bound, event: Event, path: tuple[cst.CSTNode, ...]) -> Experiment | None:
    """What shows whether examples above a bound still teach; None where it cannot be seen, or entered.

    Args:
        run: the run in which the bounded value is backpropagated, or returned as a loss.
        bound: the bound.
        event: the ``backward``, the return or the call of a loss module.
        path: the statements and blocks around the bound, from the outermost in.
    """
    entry = None if run.script else entered(event, path)
    if not is_seen(bound) or (entry is None and not run.script):
        return None
    goals = list(losses(event))
    calls = [site.place for site in event.context.calls if isinstance(site.place.node, cst.Call)]
    return Experiment(
        "gradient_flow",
        anchors=(bound.place, *goals, *(calls if run.script else calls_below(event, entry))),
        watches=tuple(watches(bound, event)),
        entry=entry,
        settings={
            "limit": bound.limit,
            "squared": bound.squared,
            "in_place": bound.in_place,
            "file": str(bound.place.source.path),
            "function": dotted(path),
        },
        scripted=True,
    )


def is_seen(bound: Bound) -> bool:
    """Whether the bounded value and the one before are the values of expressions, so that they can be exchanged."""
    if isinstance(bound.place.node, cst.Subscript | cst.Comparison):
        return False
    return not bound.by_test or (not bound.in_place and made(bound) is not None)


def made(bound: Bound) -> Place | None:
    """The expression that computes what is bounded, None if it comes from elsewhere."""
    origin = bound.operand.origin
    if origin is None or not isinstance(origin.node, cst.BaseExpression):
        return None
    return Place(origin.source, origin.node)


def entered(event: Event, path: tuple[cst.CSTNode, ...]) -> Place | None:
    """The function to call: the innermost one around the bound that also leads to the event."""
    on_the_way = functions_of(event)
    around = {id(node) for node in path}
    function = next((each for each in reversed(on_the_way) if id(each.node) in around), None)
    if function is None and on_the_way:
        function = on_the_way[-1]
    if function is None or not isinstance(function.node, cst.FunctionDef):
        return None
    return Place(function.frame.module.source, function.node)


def dotted(path: tuple[cst.CSTNode, ...]) -> str:
    """The dotted name of the innermost function around something; empty at module level."""
    names = [node.name.value for node in path if isinstance(node, cst.FunctionDef | cst.ClassDef)]
    return ".".join(names) if any(isinstance(node, cst.FunctionDef) for node in path) else ""


def functions_of(event: Event) -> list[Function]:
    """The functions on the way to an event, outermost first."""
    functions = [site.function for site in event.context.calls]
    return [*functions, event.function] if isinstance(event, Return) else functions


def calls_below(event: Event, entry: Place | None) -> list[Place]:
    """The calls that lead from the entry to the event."""
    nodes = [site.function.node for site in event.context.calls]
    start = next((number for number, node in enumerate(nodes) if entry is not None and node is entry.node), len(nodes))
    return [site.place for site in event.context.calls[start + 1 :] if isinstance(site.place.node, cst.Call)]


def losses(event: Event) -> Iterator[Place]:
    """Where the event has its loss: the backpropagated expression, the results of the function that returns it."""
    if isinstance(event, Return):
        yield from (Place(event.place.source, node) for node in results(event.function.node.body))
    else:
        yield Place(event.place.source, backpropagated(event.place.node))


def results(node: cst.CSTNode) -> Iterator[cst.Return]:
    """The return statements of a function's body that give something back, but for those of functions inside it."""
    if isinstance(node, cst.Return) and node.value is not None:
        yield node
    elif not isinstance(node, cst.FunctionDef | cst.ClassDef | cst.BaseExpression):
        for child in node.children:
            yield from results(child)


def backpropagated(node: cst.CSTNode) -> cst.CSTNode:
    """The loss in ``loss.backward()``, ``scaler.scale(loss).backward()``, ``accelerator.backward(loss)``."""
    if (
        not isinstance(node, cst.Call)
        or not isinstance(node.func, cst.Attribute)
        or node.func.attr.value not in BACKWARD
    ):
        return node
    loss: cst.BaseExpression = node.args[0].value if node.args and node.args[0].keyword is None else node.func.value
    while isinstance(loss, cst.Call) and isinstance(loss.func, cst.Attribute) and loss.func.attr.value in SCALERS:
        if not loss.args:
            break
        loss = loss.args[0].value
    return loss


def watches(bound: Bound, event: Event) -> Iterator[Watch]:
    """What the experiment looks at: the value before and after the bound, the loss, the tests and loops on the way."""
    yield Watch("clipped", bound.place)
    if bound.expression is not None and not bound.by_test:
        yield Watch("operand", Place(bound.place.source, bound.expression))
    elif (computed := made(bound)) is not None:
        yield Watch("operand", computed)
    if not isinstance(event, Return):
        yield from (Watch("loss", place) for place in losses(event))
    seen: set[int] = set()
    for condition in (*bound.conditions, *event.context.conditions):
        node = condition.place.node
        test = node.test if isinstance(node, cst.If | cst.While | cst.IfExp) else node
        if isinstance(test, cst.BaseExpression) and not condition.implied and id(test) not in seen:
            seen.add(id(test))
            yield Watch("holds" if condition.outcome else "fails", Place(condition.place.source, test))
    for loop in event.context.loops:
        if loop.kind == Loop.BATCHES and isinstance(loop.node, cst.For):
            yield Watch("batches", Place(loop.source, loop.node.iter))
