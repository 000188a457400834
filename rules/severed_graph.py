"""NN309: a loss that is cut off the graph before it is backpropagated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Severity
from nnlint.evidence.at_the_loss import at_the_loss
from nnlint.evidence.gradient_flow import backpropagated
from nnlint.evidence.objective import Evidence, evidence, says_loss
from nnlint.evidence.provenance import operation_of
from nnlint.evidence.severing import COPIES, CUTS, Cut, cut_of, is_predicted
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.trace import Backward
from nnlint.symbolic.values import Origin, Tensor, Unknown

if TYPE_CHECKING:
    from nnlint.experiment import Experiment
    from nnlint.symbolic.trace import Run, Trace
    from nnlint.verdict import Json

LEAF = re.compile(r"([\w.]+|[)\]])\.requires_grad(?:_\(\s*(?:True)?\s*\)|\s*=\s*True)")
"""What a script makes a leaf that gradients are kept of."""

NO_GRADIENT = frozenset({"tolist", "numpy", "item", "int", "float"})
"""Operations that give numbers which have no ``backward`` at all."""

COMPOUND = frozenset({"BinaryOperation", "UnaryOperation", "BooleanOperation", "Comparison", "IfExp", "Lambda"})


@rule(
    "NN309",
    severity=Severity.ERROR,
    since="0.1.0",
    mentions=(".backward(",),
    requires=(
        ".data",
        ".item(",
        ".detach(",
        "tensor(",
        "Tensor(",
        "Variable(",
        "numpy",
        "float(",
        "argmax",
        ".long(",
        "round(",
    ),
    roots=("^backward$",),
)
def severed_graph(trace: Trace) -> Iterator[Finding]:
    """A loss that is detached from the graph before it is backpropagated: nothing is learned from it.

    ## Why it matters
    `backward()` goes back along the graph that computed a value. `.item()`, `.data`, `.detach()`, numpy, and a new
    `torch.tensor(…)` or `Variable(…)` made of a loss keep its number and leave the graph behind; `argmax` and
    comparisons have no gradient at all. PyTorch notices, and says that the tensor does not require grad; the error
    goes away with `requires_grad=True`, and so does the last sign that something is wrong: the loss is printed, the
    optimizer steps, and no parameter ever moves. Karpathy's advice for a first run catches it: overfit one small
    batch, and be suspicious if the loss does not go to zero.

    ## Example
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.sum(1, keepdim=True)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(100):
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss = torch.tensor(loss.item(), requires_grad=True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## Use instead
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.sum(1, keepdim=True)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(100):
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## How it is confirmed
    By gradient flow: the lines are run as far as `backward()`, and the graph of the loss is followed back. Confirmed,
    if it leads to no parameter and to no output of a model, while that of the value before it was cut off does;
    refuted, if it leads to any. It abstains where the lines cannot be run.

    ## When it stays silent
    - A part of the loss is detached on purpose, and gradients come back through another: the targets of a
      distillation or of Q-learning, an advantage, a weight, a commitment loss.
    - What is detached is an input or a code that is optimized itself (adversarial examples, latent optimization).
    - What is detached is logged, added to a running total, or compared, and the loss itself is backpropagated.
    - It is not known how a part of the loss was computed.
    """
    seen: set[int] = set()
    for run in trace.runs:
        for event in run.of(Backward):
            if event.gradient is not None:
                continue
            cut = cut_of(event.loss)
            if cut is None or id(cut.origin.node) in seen:
                continue
            why = evidence(cut.operand)
            if why is None and not is_severed_prediction(event, cut):
                continue
            seen.add(id(cut.origin.node))
            yield describe(run, event, cut, why)


def is_severed_prediction(event: Backward, cut: Cut) -> bool:
    """Whether the prediction that a loss is computed of was cut off, and not a leaf made of it on purpose."""
    if cut.makes_leaf or evidence(event.loss) is None or not is_predicted(cut.operand):
        return False
    leaves = leaves_around(Place(cut.origin.source, cut.origin.node)) | leaves_around(event.place)
    return all(says_loss(name.rpartition(".")[2]) for name in leaves)


def leaves_around(place: Place) -> set[str]:
    """What the outermost function or class around a place makes leaves that gradients are kept of, by the text."""
    path = place.source.sites([place.node])[id(place.node)].path
    scope = next((node for node in path if isinstance(node, cst.FunctionDef | cst.ClassDef)), None)
    text = place.source.text if scope is None else place.source.module.code_for_node(scope)
    names = {match.group(1) for match in LEAF.finditer(text)}
    return names | ({"requires_grad=True"} if re.search(r"requires_grad\s*=\s*True\s*[,)]", text) else set())


def describe(run: Run, event: Backward, cut: Cut, why: Evidence | None) -> Finding:
    """The finding in words."""
    what = "the loss" if why is not None else "the prediction"
    how = said(cut.origin)
    name = f"`{how}`"
    notes = [Note(event.place, "it is backpropagated here")]
    if why is not None and why.origin is not None and why.origin.node is not cut.origin.node:
        notes.insert(0, Note(Place(why.origin.source, why.origin.node), f"{why.words} here"))
    message = f"{name} cuts {what} off the graph before it is backpropagated"
    if cut.is_step:
        message = f"no gradient comes back through {name}, which {what} goes through before it is backpropagated"
    marked = is_leaf(event)
    return Finding(
        Place(cut.origin.source, cut.origin.node),
        message,
        "no gradient reaches the parameters, so that the optimizer never moves them"
        if cut.makes_leaf or marked
        else "there is nothing to go back along: `backward()` ends with an error",
        advice(cut, what),
        tuple(notes),
        None if marked else fix(cut),  # on the graph its flag cannot be set
        None,
        None if why is None else why.confidence,
        experiment(run, event, cut, why),
    )


def experiment(run: Run, event: Backward, cut: Cut, why: Evidence | None) -> Experiment | None:
    """The lines as far as ``backward``, to see what gradients would come back to, from there and before the cut."""
    origin = cut.operand.origin
    if origin is None or not isinstance(origin.node, cst.BaseExpression):
        return None
    watches = {
        "end": Place(event.place.source, backpropagated(event.place.node)),
        "before": Place(origin.source, origin.node),
    }
    settings: dict[str, Json] = {"asked": "severed", "scalar": why is not None}
    return at_the_loss("gradient_reach", run, event, event.place, watches, settings, mended=False)


def advice(cut: Cut, what: str) -> str:
    """What to do."""
    if cut.is_step:
        return "compute the loss of the outputs themselves, and take labels of them only for metrics"
    return f"backpropagate {what} as it is, and detach only what is logged"


def is_leaf(event: Backward) -> bool:
    """Whether the script has made the loss a leaf afterwards."""
    name = event.loss.name if isinstance(event.loss, (Tensor, Unknown)) else ""
    return any(says_loss(leaf.rpartition(".")[2]) or leaf == name for leaf in leaves_around(event.place))


def said(origin: Origin) -> str:
    """The operation as the script calls it."""
    operation = operation_of(origin)
    if origin.op in COPIES:
        return origin.op.removeprefix("torch.autograd.").removeprefix("builtins.")
    if operation == "data":
        return ".data"
    if origin.op.startswith(".") or operation in CUTS:
        return f".{operation}()"
    return origin.op


# --- how it is mended ------------------------------------------------------------------------------------------------


def fix(cut: Cut) -> Fix | None:
    """Put the loss itself in the place of the copy, where the script shows both in one expression."""
    node = cut.origin.node
    if cut.is_step or not isinstance(node, cst.BaseExpression):
        return None
    operand = peeled(node, cut)
    if operand is None:
        return None
    source = cut.origin.source
    text = " ".join(source.module.code_for_node(operand).split())
    compound = type(operand).__name__ in COMPOUND and not operand.lpar
    return Fix(
        "leave the loss on the graph", (Edit("replace", Place(source, node), f"({text})" if compound else text),)
    )


def peeled(node: cst.BaseExpression, cut: Cut) -> cst.BaseExpression | None:
    """The expression that the loss stands in below all operations that cut it off; None if it has a name in between.

    ``torch.tensor(loss.item(), requires_grad=True)`` gives ``loss``, as does ``Variable(loss.data)``.
    """
    origin: Origin | None = cut.origin
    for _ in range(6):
        below = _below(node)
        if origin is None or not origin.inputs or below is None:
            return None
        value = origin.inputs[0]
        if value is cut.operand:
            return below
        origin = value.origin
        if origin is None or origin.node is not below:
            return None
        node = below
    return None


def _below(node: cst.BaseExpression) -> cst.BaseExpression | None:
    """What one of the operations that cut is applied to, None for anything else."""
    if isinstance(node, cst.Attribute):
        return node.value if node.attr.value == "data" else None
    if not isinstance(node, cst.Call):
        return None
    if isinstance(node.func, cst.Attribute) and node.func.attr.value in (CUTS | {"cpu", "clone"}) and not node.args:
        return node.func.value
    last = node.func.attr.value if isinstance(node.func, cst.Attribute) else getattr(node.func, "value", "")
    if last in ("tensor", "Variable", "float") and node.args and not node.args[0].star and node.args[0].keyword is None:
        return node.args[0].value
    return None
