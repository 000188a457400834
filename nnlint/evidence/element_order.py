"""The experiment on a view: the lines that lead to it, and what the reading knows of the axes before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

import libcst as cst

from nnlint.evidence.regrouping import Misplaced, Regrouping
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Place
from nnlint.symbolic.library.arguments import is_array
from nnlint.symbolic.sizes import Atom, Monomial
from nnlint.symbolic.trace import CallSite, Event, Reshape, Run
from nnlint.symbolic.values import Class, Function, Setting, Symbol, Tensor, Unknown, Value, shape_of
from nnlint.verdict import Json

PRIMES = (5, 7, 3, 11, 13, 17, 19)
"""Sizes for axes nobody knows the size of: distinct primes, so that mixed axes show."""

PARTS = 400
"""Values that are looked at to see whether one tensor is computed from another."""


def dependency(
    run: Run,
    event: Reshape,
    judged: Regrouping,
    names: tuple[Sequence[str], Sequence[str]],
    mended: str,
    partners: Sequence[Reshape],
) -> Experiment | None:
    """What shows where the elements of a view end up, and what follows from it; None where nothing can be entered.

    Args:
        run: the run in which it happens.
        event: the view.
        judged: what the reading says about it, the evidence that counts most first.
        names: the axes before and after in words.
        mended: the expression that moves the axes, in the place of the view; empty if nobody knows it.
        partners: other views that may take it back, or that it takes back.
    """
    operand = operand_of(event)
    if operand is None:
        return None
    calls = event.context.calls
    entry = None if run.script else entered(calls)
    if entry is None and not run.script:
        return None
    way = [site.place for site in leading_to_module(calls) if isinstance(site.place.node, cst.Call)]
    inside = any(is_module_method(site.function) for site in calls)
    source = event.place.source
    beside = [other.place for other in partners if [*other.context.calls] == [*calls]]
    before, after = names
    settings: dict[str, Json] = {
        "before": list(before),
        "after": list(after),
        "pairs": [pair(judged, evidence) for evidence in judged.misplaced],
        "own": [all(map(is_own, size.atoms)) for size in judged.dims],
        "sizes": concrete(judged.dims) if is_whole(event) else [],
        "mended": mended,
        "alone": not partners,
        "array": is_array(event.operand),
        "method": method_of(calls),
        "class": class_name(calls),
        "arguments": switches(event),
        "options": switches(event) if run.script else {},
    }
    return Experiment(
        "dependency",
        anchors=(*way, *(() if inside else (event.place, *beside))) if run.script else (),
        watches=(
            Watch("operand", Place(source, operand)),
            Watch("result", event.place),
            *(Watch("base", place) for place in base_of(event)),
            *(Watch("partner", place) for place in beside if not inside and run.script),
        ),
        entry=entry,
        settings={name: value for name, value in settings.items() if value or name in ("alone", "sizes")},
    )


def operand_of(event: Reshape) -> cst.BaseExpression | None:
    """The expression that is viewed: ``x`` in ``x.view(…)`` and in ``torch.reshape(x, …)``."""
    node, origin = event.place.node, event.result.origin
    if not isinstance(node, cst.Call) or origin is None:
        return None
    if origin.op.startswith("."):
        return node.func.value if isinstance(node.func, cst.Attribute) else None
    return node.args[0].value if node.args and node.args[0].keyword is None else None


# --- the way there ---------------------------------------------------------------------------------------------------


def leading_to_module(calls: Sequence[CallSite]) -> Iterator[CallSite]:
    """The calls from a script to the first module it enters, that one included."""
    for site in calls:
        yield site
        if is_module_method(site.function):
            return


def is_module_method(function: Function) -> bool:
    """Whether a function is a method of a network."""
    return function.owner is not None and any(path.startswith("torch.nn.") for path in function.owner.libraries())


def entered(calls: Sequence[CallSite]) -> Place | None:
    """The class whose method holds the view, or the function that nobody calls."""
    if not calls:
        return None
    owner = calls[-1].function.owner
    if owner is not None:
        return Place(owner.frame.module.source, owner.node) if is_at_top(owner.frame) else None
    function = calls[-1].function
    if not isinstance(function.node, cst.FunctionDef) or not is_at_top(function.frame):
        return None
    return Place(function.frame.module.source, function.node)


def is_at_top(frame: object) -> bool:
    """Whether what is defined in a frame is a name of its module."""
    return getattr(frame, "function", None) is None


def own_methods(calls: Sequence[CallSite]) -> list[Function]:
    """The methods of the innermost class on the way to the view, the one that is called from outside first."""
    if not calls or calls[-1].function.owner is None:
        return []
    owner = calls[-1].function.owner
    last = list(takewhile(lambda site: site.function.owner is owner, reversed(calls)))
    return [site.function for site in reversed(last)]


def method_of(calls: Sequence[CallSite]) -> str:
    """The method of the class that leads to the view; empty for the one that calling an instance runs."""
    methods = own_methods(calls)
    return methods[0].name if methods and methods[0].name not in ("forward", "__call__") else ""


def class_name(calls: Sequence[CallSite]) -> str:
    """The class whose method holds the view, if it is a name of its module."""
    methods = own_methods(calls)
    owner: Class | None = methods[0].owner if methods else None
    return owner.name if owner is not None and is_at_top(owner.frame) else ""


def switches(event: Event) -> dict[str, Json]:
    """What is off by default and must be on for the view to be reached at all."""
    found: dict[str, Json] = {}
    for condition in event.context.conditions:
        for part in alternatives_of(condition.test):
            if condition.outcome and isinstance(part, Setting) and getattr(part.default, "value", None) is False:
                found.setdefault(part.name, True)
                break
    return found


def alternatives_of(test: Value) -> Iterator[Value]:
    """A test, and the sides of an ``or``."""
    origin = test.origin
    sides = getattr(test, "args", ()) if getattr(test, "op", "") == "or" else ()
    if origin is not None and origin.op == "or":
        sides = origin.inputs
    yield test
    yield from sides


# --- the axes --------------------------------------------------------------------------------------------------------


def pair(judged: Regrouping, evidence: Misplaced) -> Json:
    """Which axis of the result should run over which axis before; whether each is wanted as a whole."""
    return {
        "source": evidence.source,
        "target": evidence.target,
        "whole_source": evidence.wanted == judged.dims[evidence.source],
        "whole_target": evidence.wanted == judged.sizes[evidence.target],
    }


def is_own(atom: Atom) -> bool:
    """Whether a size is the script's own, not one that comes with the data."""
    return not isinstance(atom.value, (Symbol, Unknown))


def is_whole(event: Reshape) -> bool:
    """Whether all axes of the tensor are spoken of by themselves."""
    axes = shape_of(event.operand).axes
    return event.dims is not None or shape_of(event.operand).dims is not None or all(axis >= 0 for axis in axes)


def concrete(dims: Sequence[Monomial]) -> list[int]:
    """Sizes for the axes, atoms being primes; empty where a size is a quotient."""
    if not all(size.is_whole for size in dims):
        return []
    values: dict[Atom, int] = {}
    for size in dims:
        for atom in size.atoms:
            values.setdefault(atom, PRIMES[len(values) % len(PRIMES)])
    return [size.numerator * product_of(values[atom] ** power for atom, power in size.powers) for size in dims]


def product_of(numbers: Iterator[int]) -> int:
    """The product of whole numbers."""
    result = 1
    for number in numbers:
        result *= number
    return result


# --- the lines alone -------------------------------------------------------------------------------------------------


def base_of(event: Reshape) -> Iterator[Place]:
    """Where the tensor comes from that the sizes are read off: its expression, or all places that name it."""
    value: Value = event.operand
    shape, origin = shape_of(value), value.origin
    while origin is not None and origin.inputs and origin.op != "parameter":
        earlier = next((item for item in origin.inputs if isinstance(item, (Tensor, Unknown))), None)
        if earlier is None or shape_of(earlier) is not shape:
            break
        value, origin = earlier, earlier.origin
    if not event.context.calls:
        return
    if origin is not None and isinstance(origin.node, cst.Call | cst.BinaryOperation) and origin.op != "iterate":
        if origin.node is not event.place.node and origin.source is event.place.source:
            yield Place(origin.source, origin.node)
        return
    name = value.name if isinstance(value, (Tensor, Unknown)) else ""
    if name:
        body = event.context.calls[-1].function.node.body
        yield from (Place(event.place.source, node) for node in places_of(name, body))


def places_of(name: str, node: cst.CSTNode) -> Iterator[cst.Name]:
    """The places below a node where the value of a name is asked for."""
    if isinstance(node, cst.Name):
        if node.value == name:
            yield node
        return
    if isinstance(node, cst.AssignTarget | cst.Param | cst.CompFor | cst.NamedExpr):
        return
    parts: Sequence[cst.CSTNode] = node.children
    if isinstance(node, cst.Attribute | cst.Arg):
        parts = (node.value,)
    elif isinstance(node, cst.For):
        parts = (node.iter, node.body)
    for part in parts:
        yield from places_of(name, part)


def is_computed_from(value: Value, earlier: Value, follow: Callable[[str], bool] = lambda op: True) -> bool:
    """Whether a tensor is another one, or computed from it."""
    queue, seen = [value], {id(value)}
    while queue and len(seen) < PARTS:
        item = queue.pop(0)
        if item is earlier:
            return True
        if item.origin is not None and follow(item.origin.op):
            for part in item.origin.inputs:
                if id(part) not in seen:
                    seen.add(id(part))
                    queue.append(part)
    return False
