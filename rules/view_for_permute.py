"""NN203: a view that is asked to do what only a permute can."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.element_order import dependency, is_computed_from
from nnlint.evidence.regrouping import Misplaced, Regrouping, regroup
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.library.arguments import is_array
from nnlint.symbolic.scalar import evaluate
from nnlint.symbolic.sizes import (
    ARITHMETIC,
    LARGEST,
    Atom,
    Monomial,
    as_operation,
    is_minus_one,
    monomial,
    spelled,
    together,
)
from nnlint.symbolic.trace import Reshape
from nnlint.symbolic.values import (
    Choice,
    Const,
    Operation,
    Symbol,
    Tensor,
    Unknown,
    Value,
    alternatives,
    same,
    shape_of,
)

if TYPE_CHECKING:
    from nnlint.experiment import Experiment
    from nnlint.symbolic.trace import Run, Trace

MADE = frozenset(("zeros", "ones", "empty", "rand", "randn", "full"))
"""Tensors whose elements are all alike, or drawn alike: their order says nothing."""

JOINED = frozenset(("torch.cat", "torch.concat", "torch.nn.functional.pad", "numpy.concatenate", "numpy.pad"))
"""An axis lengthened by these and then viewed with its neighbour's size is skewed on purpose (relative attention)."""


PERMUTING = frozenset((".permute", ".transpose", ".swapaxes", "torch.permute", "torch.transpose", "torch.swapaxes"))

KEEPING = frozenset(("getitem", ".view", ".reshape", ".view_as", ".contiguous"))

EXPRESSIONS = ARITHMETIC | {"==", "!=", "<", "<=", ">", ">=", "and", "or", "not"}


@rule("NN203", severity=Severity.ERROR, since="0.1.0", mentions=(".view(", "reshape("), roots=("view", "reshape"))
def view_for_permute(trace: Trace) -> Iterator[Finding]:
    """A view or reshape that asks for the dimensions in another order than they are in.

    ## Why it matters
    `view` and `reshape` never move an element: they only cut the same row of numbers at other places. Asked for
    another order of dimensions they give a tensor of the right sizes in which the examples of a batch, or the axes of
    one example, are mixed. Nothing fails; the network trains on scrambled data and is a little worse. The recipe
    lists it among the bugs that hide best: check by backpropagation that an output depends on its own example only.

    ## Example
    ```python
    import torch
    from torch import nn


    class Pointwise(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.project = nn.Linear(channels, channels)

        def forward(self, x):
            batch, channels, time = x.shape
            return self.project(x.view(batch, time, channels))
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn


    class Pointwise(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.project = nn.Linear(channels, channels)

        def forward(self, x):
            batch, channels, time = x.shape
            return self.project(x.transpose(1, 2))
    ```

    ## How it is confirmed
    The accused expression is run on numbered elements, of the sizes that it really meets: in the script itself where
    that can be run, else in its class or function with inputs that this accepts, else in nothing but the lines that
    lead to it. That names an element that lies where another belongs. What was called is then called again, weights
    and inputs the same, with the axes moved in the place of the view: the outputs must differ. If they do not, the
    order does not count and the finding is refuted; so it is where the elements turn out to be in order (an axis of
    size 1), or where another view takes this one back and nothing between the two mixes elements, whatever the
    weights. Single rows of the inputs are changed to see which output rows depend on them, before and after, and the
    chart of the recipe is drawn by backpropagation. Norm layers and dropout are in evaluation mode. It abstains where
    the lines cannot be run, where no output depends on the view, and where a view that may take it back lies behind
    something that is not there.

    ## When it stays silent
    - Dimensions are merged with their neighbours or split in order: flattening, attention heads, windows of a
      sequence, batch and time put together and taken apart again.
    - The axes were permuted before.
    - Dimensions that are moved have size 1, such as the state of a recurrent layer with one layer and direction.
    - The order cannot be told from the script, or the sizes could come out right.
    - An axis was padded first, as in the skewing of relative attention.
    - All elements are alike, or noise.
    """
    verdicts: dict[int, list[tuple[Reshape, Regrouping]]] = {}
    mixed: dict[int, Regrouping] = {}
    runs = {id(event): run for run in trace.runs for event in run.of(Reshape)}
    for event in trace.of(Reshape):
        if any(condition.implied for condition in event.context.conditions):
            # the arguments may belong to the other callee; the module alone is read in its own file
            continue
        judged = _judged(event)
        if judged is None or _is_contradictory(event):
            continue
        if judged.verdict == "mixed":
            mixed[id(event.result)] = judged
            if _is_undone(event, judged, mixed):
                continue
        verdicts.setdefault(id(event.place.node), []).append((event, judged))
    for readings in verdicts.values():
        found = next(((event, judged) for event, judged in readings if judged.verdict == "mixed"), None)
        if found is None or _is_meant(*found):
            continue
        if all(judged.verdict == "mixed" or _is_special(judged, found[1]) for _, judged in readings):
            yield replace(_finding(*found), experiment=_experiment(readings, runs))


def _is_special(judged: Regrouping, mixed: Regrouping) -> bool:
    """Whether the order is kept only because a size that is mixed elsewhere is 1 here."""
    return len(judged.dims) == len(mixed.dims) and any(
        one.is_one and not other.is_one for one, other in zip(judged.dims, mixed.dims, strict=True)
    )


def _is_contradictory(event: Reshape) -> bool:
    """Whether the conditions around rule each other out, as for one side of a choice made on the same test before."""
    conditions = event.context.conditions
    return any(
        one.outcome != other.outcome and same(one.test, other.test)
        for place, one in enumerate(conditions)
        for other in conditions[:place]
    )


def _judged(event: Reshape) -> Regrouping | None:
    """What the reshape does to the order; None if too little is known of the sizes before."""
    dims = shape_of(event.operand).dims or event.dims or _open_dims(event) or _asked_dims(event)
    return None if dims is None else regroup(dims, event.sizes)


def _open_dims(event: Reshape) -> tuple[Value, ...] | None:
    """The sizes of a tensor known at both ends, all that may lie between in one.

    With more than one known in front the two ends might overlap.
    """
    axes = shape_of(event.operand).axes
    if set(axes) not in ({0, -1}, {0, -2, -1}):
        return None
    return (axes[0], Symbol(), *(axes[axis] for axis in sorted(axes) if axis < 0))


def _asked_dims(event: Reshape) -> tuple[Value, ...] | None:
    """The sizes of a tensor of which the script asks for all but the first by their number, and for no more."""
    axes = shape_of(event.operand).axes
    rank = max(axes, default=0) + 1
    if rank < 3 or min(axes) < 0 or any(axis not in axes for axis in range(1, rank)):
        return None
    asked = [axes[axis] for axis in range(1, rank)]
    if not all(any(size is other for other in event.sizes) for size in asked):
        return None
    return (axes.get(0, Symbol()), *asked)


def _keeps_elements(op: str) -> bool:
    """Whether the elements only come in other pieces."""
    return op in KEEPING


def _computes(op: str) -> bool:
    """Whether an operation is surely no layer: what these learn, a view after them cannot take back."""
    return op != "call" and not (op.startswith("torch.nn.") and op[len("torch.nn.")].isupper())


def _ancestors(value: Value, follow: Callable[[str], bool], limit: int = 60) -> Iterator[Value]:
    """The tensors that a tensor was computed from, nearest first, through the operations to ``follow``."""
    queue, seen = [value], {id(value)}
    while queue and limit > 0:
        item = queue.pop(0)
        limit -= 1
        yield item
        origin = item.origin
        if origin is None or not follow(origin.op):
            continue
        for earlier in origin.inputs:
            if isinstance(earlier, (Tensor, Unknown)) and id(earlier) not in seen:
                seen.add(id(earlier))
                queue.append(earlier)


def _is_undone(event: Reshape, judged: Regrouping, mixed: Mapping[int, Regrouping]) -> bool:
    """Whether the view brings back the sizes that a mixing view before has changed; that one is the mistake."""
    for value in _ancestors(event.operand, _computes):
        before = mixed.get(id(value))
        if before is not None and _same_sizes(before.dims, judged.sizes) and _same_sizes(before.sizes, judged.dims):
            return True
    return False


def _same_sizes(one: tuple[Monomial, ...], other: tuple[Monomial, ...]) -> bool:
    """Whether sizes may be the same: those that nobody has named may be anything."""
    left, right = ([size for size in sizes if not size.is_one] for sizes in (one, other))
    return len(left) == len(right) and all(
        here == there or not spelled(here) or not spelled(there) for here, there in zip(left, right, strict=True)
    )


def _is_meant(event: Reshape, judged: Regrouping) -> bool:
    """Whether the mixing does no harm, or is what the author wants."""
    origin = event.operand.origin
    if origin is not None and origin.op.rpartition(".")[2].removeprefix("new_").removesuffix("_like") in MADE:
        return True
    for value in _ancestors(event.operand, _keeps_elements):
        if value.origin is not None and value.origin.op in JOINED and any(map(_is_sum, shape_of(value).dims or ())):
            return True
    return _is_shuffled(event, judged) or not any(_is_certain(event, evidence) for evidence in judged.misplaced)


def _is_shuffled(event: Reshape, judged: Regrouping) -> bool:
    """Whether the axes were permuted in the same breath for a view that would be in order without that.

    If it also leaves open what one of them becomes, it is a shuffle: two axes of one size have different meanings.
    """
    open_axis = next((axis for axis, size in enumerate(event.sizes) if is_minus_one(size)), None)
    mixed = [after for _, after in judged.blocks if any(evidence.target in after for evidence in judged.misplaced)]
    if open_axis is None or not any(open_axis in after for after in mixed):
        return False
    value: Value = event.operand
    while value.origin is not None and value.origin.op == ".contiguous":
        value = value.origin.inputs[0]
    if value.origin is None or value.origin.op not in PERMUTING:
        return False
    dims = shape_of(value.origin.inputs[0]).dims
    return dims is not None and regroup(dims, event.sizes).verdict == "ordered"


def _is_certain(event: Reshape, evidence: Misplaced) -> bool:
    """Whether both the size in question and the sizes that it is mixed with are more than 1, and not decided alike."""
    if all(isinstance(atom.value, Choice) for atom in (*evidence.wanted.atoms, *evidence.ratio.atoms)):
        return not (evidence.wanted.powers and evidence.ratio.powers)
    return not _comes_to_one(event, evidence.ratio) and not _comes_to_one(event, evidence.wanted)


def _is_sum(size: Value) -> bool:
    expression = as_operation(size)
    return expression is not None and expression.op == "+"


def _comes_to_one(event: Reshape, ratio: Monomial) -> bool:
    """Whether sizes are 1: a condition around says so, or the defaults do and no condition speaks of them."""
    involved = {id(part) for atom in ratio.atoms for part in _parts(atom.value)}
    mentioned = False
    for condition in event.context.conditions:
        if condition.outcome and any(_says_one(part, involved) for part in _parts(condition.test)):
            return True
        mentioned = mentioned or any(id(part) in involved for part in _parts(condition.test))
    if mentioned:
        return False
    optional = all(map(_may_be_one, ratio.atoms)) and bool(ratio.powers) and ratio.numerator == ratio.denominator
    return optional or evaluate(ratio.value()) == 1


def _may_be_one(atom: Atom) -> bool:
    return any(isinstance(side, Const) and side.value == 1 for side in alternatives(atom.value))


def _parts(value: Value) -> list[Value]:
    """An expression and the expressions that it is made of, but for its constants."""
    found: list[Value] = []
    stack: list[Value | None] = [value]
    while stack and len(found) < LARGEST:
        item = stack.pop()
        if item is None or isinstance(item, Const):
            continue
        found.append(item)
        if isinstance(item, Operation):
            stack += item.args
        elif isinstance(item, Choice):
            stack += (item.test, item.yes, item.no)
        elif isinstance(item, Unknown) and item.origin is not None and item.origin.op in EXPRESSIONS:
            stack += item.origin.inputs
    return found


def _says_one(test: Value, involved: set[int]) -> bool:
    """Whether a test asks if a size is 1."""
    if isinstance(test, Operation):
        op, sides = test.op, test.args
    elif isinstance(test, Unknown) and test.origin is not None:
        op, sides = test.origin.op, test.origin.inputs
    else:
        return False
    return (
        op == "=="
        and any(isinstance(side, Const) and side.value == 1 for side in sides)
        and any(id(side) in involved for side in sides)
    )


# --- the finding -----------------------------------------------------------------------------------------------------


def _finding(event: Reshape, judged: Regrouping) -> Finding:
    evidence = max(judged.misplaced, key=lambda part: _weight(judged, part))
    names, asked = _names(judged)
    before = f"({', '.join(names)})"
    wanted = spelled(evidence.wanted) or names[evidence.source]
    beside = [axis for axis in judged.held(evidence.target) if axis != evidence.source and not judged.dims[axis].is_one]
    others = [names[axis] for axis in beside]
    there = " and ".join(others)
    certain = shape_of(event.operand).dims is not None and any(part.wanted.powers for part in judged.misplaced)
    asks = f"axis {evidence.target} of the result should run over {wanted}; what lies there runs over {there}"
    return Finding(
        event.place,
        message=f"`{event.method}` turns {before} into ({', '.join(asked)}) without moving an element",
        why=f"the axes {', '.join((wanted, *others[:-1]))} and {others[-1]} are mixed up, and nothing fails",
        advice="bring the axes into order with `permute` or `transpose` first, then change the sizes",
        notes=(*_known_from(event, before), Note(event.place, asks)),
        fix=_fix(event, judged),
        severity=None if certain else Severity.WARNING,
        confidence=Confidence.HIGH if certain else Confidence.MEDIUM,
    )


def _weight(judged: Regrouping, evidence: Misplaced) -> int:
    """How easily a piece of evidence is understood: best a whole axis that is asked for as a whole."""
    whole = evidence.wanted == judged.dims[evidence.source]
    return whole + (whole and evidence.wanted == judged.sizes[evidence.target])


def _names(judged: Regrouping) -> tuple[list[str], list[str]]:
    """The sizes before and after in words; an axis without a name goes by its number."""
    before = [spelled(size) or f"axis {axis}" for axis, size in enumerate(judged.dims)]
    after = [before[judged.dims.index(size)] if size in judged.dims else spelled(size) or "…" for size in judged.sizes]
    return before, after


def _known_from(event: Reshape, before: str) -> list[Note]:
    """Where the tensor got the sizes it has, if that is a place of its own."""
    value: Value = event.operand
    shape = shape_of(value)
    origin = value.origin
    while origin is not None and origin.inputs and origin.op != "parameter":
        earlier = next((item for item in origin.inputs if isinstance(item, (Tensor, Unknown))), None)
        if earlier is None or shape_of(earlier) is not shape or earlier.origin is None:
            break
        value, origin = earlier, earlier.origin
    if origin is None or origin.op == "parameter" or origin.node is event.place.node:
        return []
    return [Note(Place(origin.source, origin.node), f"here the sizes are {before}")]


# --- the experiment --------------------------------------------------------------------------------------------------


def _experiment(readings: list[tuple[Reshape, Regrouping]], runs: Mapping[int, Run]) -> Experiment | None:
    """The experiment on the reading that the script itself runs, if there is one."""
    mixed = [(event, judged) for event, judged in readings if judged.verdict == "mixed"]
    event, judged = next(((event, judged) for event, judged in mixed if runs[id(event)].script), mixed[0])
    fix = next((fix for reading in [(event, judged), *mixed] if (fix := _fix(*reading)) is not None), None)
    ranked = tuple(sorted(judged.misplaced, key=lambda part: -_weight(judged, part)))
    return dependency(
        runs[id(event)],
        event,
        replace(judged, misplaced=ranked),
        _names(judged),
        "" if fix is None else fix.edits[0].text,
        [other for other in runs[id(event)].of(Reshape) if _is_partner(other, event, judged)],
    )


def _is_partner(other: Reshape, event: Reshape, judged: Regrouping) -> bool:
    """Whether another view may bring back the sizes of a view, or have changed what that brings back."""
    if other.place.node is event.place.node:
        return False
    there = _judged(other)
    if there is None or there.verdict == "ordered":
        sizes = [monomial(size) for size in other.sizes if not is_minus_one(size)]
        if there is not None or len(other.sizes) != len(judged.dims) or None in sizes:
            return False
        return is_computed_from(other.operand, event.result)
    if is_computed_from(other.operand, event.result):
        return _same_sizes(judged.dims, there.sizes)
    return is_computed_from(event.operand, other.result) and _same_sizes(there.dims, judged.sizes)


# --- the fix ---------------------------------------------------------------------------------------------------------


def _fix(event: Reshape, judged: Regrouping) -> Fix | None:
    """The axes put into the order that the target names, then the sizes as they are asked for."""
    node, origin = event.place.node, event.result.origin
    if not isinstance(node, cst.Call) or not isinstance(node.func, cst.Attribute) or origin is None:
        return None
    given = list(node.args)
    if not origin.op.startswith("."):
        if len(given) != 2 or given[0].keyword is not None:
            return None
        tensor_node: cst.BaseExpression = given.pop(0).value
    else:
        tensor_node = node.func.value
    module = event.place.source.module
    tensor = module.code_for_node(tensor_node)
    sizes = [module.code_for_node(arg.with_changes(comma=cst.MaybeSentinel.DEFAULT)) for arg in given]
    array = origin.op.startswith("numpy.") or is_array(event.operand)
    order = _matched(judged.dims, judged.sizes)
    if order is not None:
        moved = f"{tensor}.{_moved(order, array)}"
        if [judged.dims[axis] for axis in order] != list(judged.sizes):
            moved += f".reshape({', '.join(sizes)})"
        elif not array:
            moved += ".contiguous()"
        return Fix("move the axes instead", (Edit("replace", event.place, moved),))
    if len(given) != len(event.sizes):
        return None
    wholes = [(arg.value, size) for arg, size in zip(given, judged.sizes, strict=True)]
    factors = [
        piece
        for (written, part), size in zip(wholes, event.sizes, strict=True)
        for piece in _pieces(written, size, part)
    ]
    for pieces in (wholes, factors):
        order = _matched(tuple(size for _, size in pieces), judged.dims)
        if order is not None:
            break
    else:
        return None
    names = [module.code_for_node(pieces[place][0]) for place in order]
    cut = f"{tensor}.{event.method}({', '.join(names)})"
    moved = f"{cut}.{_moved([order.index(place) for place in range(len(order))], array)}"
    if len(pieces) > len(given):
        moved += f".reshape({', '.join(sizes)})"
    elif not array:
        moved += ".contiguous()"
    return Fix("cut the axes in their own order, then move them", (Edit("replace", event.place, moved),))


def _pieces(node: cst.BaseExpression, size: Value, part: Monomial) -> list[tuple[cst.BaseExpression, Monomial]]:
    """The factors of a size as they are written, with what each comes to."""
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Multiply):
        expression = as_operation(size)
        if expression is not None and expression.op == "*" and len(expression.args) == 2:
            left, right = (monomial(arg) for arg in expression.args)
            if left is not None and right is not None and left * right == part:
                return [
                    *_pieces(node.left, expression.args[0], left),
                    *_pieces(node.right, expression.args[1], right),
                ]
    return [(node, part)]


def _moved(order: list[int], array: bool) -> str:
    """The call that puts axes into an order: an exchange for two of them, a permutation for more."""
    differing = [place for place, axis in enumerate(order) if place != axis]
    if len(differing) == 2:
        return f"{'swapaxes' if array else 'transpose'}({differing[0]}, {differing[1]})"
    return f"{'transpose' if array else 'permute'}({', '.join(map(str, order))})"


def _matched(parts: tuple[Monomial, ...], wholes: tuple[Monomial, ...]) -> list[int] | None:
    """For wholes that are products of some parts each: the parts in the order of the wholes."""
    left = {axis: part for axis, part in enumerate(parts) if not part.is_one}
    order: list[int] = []
    for whole in wholes:
        rest = whole
        group: list[int] = []
        while not rest.is_one:
            if together(left.values()) == rest:
                group += left
                left.clear()
                break
            exact = [axis for axis, part in left.items() if part == rest]
            fitting = exact or [axis for axis, part in left.items() if part.powers and (rest / part).is_whole]
            if not fitting:
                return None
            group.append(fitting[0])
            rest = rest / left.pop(fitting[0])
        order += sorted(group)
    if left:
        return None
    return order + [axis for axis, part in enumerate(parts) if part.is_one]
