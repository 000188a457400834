"""NN207: probabilities given to a loss that expects logits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.at_the_loss import output_range
from nnlint.evidence.loss_calls import MENTIONS, ROOTS, LossCall, loss_calls
from nnlint.evidence.ranges import Range, layer_of, range_of
from nnlint.evidence.swapping import swap_of
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.words import below

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

AGAIN = {
    "cross_entropy": "softmax",
    "binary_cross_entropy_with_logits": "sigmoid",
    "multilabel_soft_margin_loss": "sigmoid",
}
"""Losses that expect logits, and what they apply to them by themselves."""

COMPOUND = frozenset({"BinaryOperation", "UnaryOperation", "BooleanOperation", "Comparison", "IfExp", "Lambda"})
"""Expressions that need parentheses where a call stood."""

LOGARITHMIC = frozenset({"nll_loss", "kl_div"})
"""Losses that expect log-probabilities."""


@rule(
    "NN207",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=MENTIONS,
    roots=ROOTS,
)
def probabilities_as_logits(trace: Trace) -> Iterator[Finding]:
    """Probabilities given to a loss that expects logits: their softmax or sigmoid is taken twice.

    ## Why it matters
    `cross_entropy` takes the softmax of its input, and `binary_cross_entropy_with_logits` the sigmoid. What has been
    through either before lies between 0 and 1, so that two classes differ by a factor of e at most however certain the
    model is: with ten classes the loss cannot fall below 1.46, and its gradient fades where the model is wrong and
    sure of it. The run learns all the same, slower and to a worse end, which is why nobody notices. Karpathy has it
    among the most common mistakes with neural nets: "you passed softmaxed outputs to a loss that expects raw logits".
    `nll_loss` and `kl_div` expect the logarithms of probabilities, and give nonsense for probabilities.

    ## Example
    ```python
    import torch
    from torch import nn

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.argmax(1)
    model = nn.Sequential(nn.Linear(8, 8), nn.Softmax(dim=1))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(100):
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.argmax(1)
    model = nn.Sequential(nn.Linear(8, 8))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(100):
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    The softmax belongs where probabilities are read: `model(x).softmax(dim=1)`.

    ## How it is confirmed
    By output range: the module that the prediction comes from is built and run on inputs that it accepts, with several
    sets of weights; where there is none, the script or the function is run as far as the loss. Confirmed, if what
    reaches the loss lies between 0 and 1 and, after a softmax, sums to one, and no longer does so without the accused
    operation; refuted, if it lies elsewhere. It abstains where the lines cannot be run, or where the numbers lie in the
    same range without the operation.

    ## When it stays silent
    - The softmax is applied elsewhere: to what is shown, sampled or ranked, to attention weights, to the targets, or
      only in evaluation mode.
    - The loss and the last layer depend on options, and their defaults fit.
    - Anything between the softmax and the loss makes other numbers of them (a logarithm, a scale, a product).
    - It is not known what the model gives.

    A `log_softmax` before `cross_entropy` changes no number, for the log-softmax of log-probabilities is what they
    are already; it is reported as an info.
    """
    seen: set[int] = set()
    for call in loss_calls(trace, frozenset(AGAIN) | LOGARITHMIC):
        if swap_of(call) is not None:
            continue
        given = range_of(call.prediction, call.event.context.conditions)
        mistake = None if given is None else mistake_of(call, given)
        if mistake is not None and id(mistake.given.place.node) not in seen:
            seen.add(id(mistake.given.place.node))
            yield describe(mistake)


@dataclass(frozen=True, slots=True, eq=False)
class Mistake:
    """A loss, what it is given, and whether that changes the loss at all."""

    call: LossCall
    given: Range
    harmless: bool = False


def mistake_of(call: LossCall, given: Range) -> Mistake | None:
    """What is wrong with a prediction; None if it is what the loss expects, as far as that goes."""
    if given.scale == "logits":
        return None
    if call.function in LOGARITHMIC:
        return Mistake(call, given) if given.scale == "probabilities" else None
    if given.scale == "probabilities":
        return Mistake(call, given)
    if call.function == "cross_entropy":
        # the log-softmax of log-probabilities is what they are already
        return Mistake(call, given, harmless=True) if given.name in ("log_softmax", "LogSoftmax") else None
    return Mistake(call, given)


def describe(mistake: Mistake) -> Finding:
    """The finding in words."""
    call, given = mistake.call, mistake.given
    again = AGAIN.get(call.function)
    scale = "probabilities" if given.scale == "probabilities" else "log-probabilities"
    if again is None:
        message = f"`{given.name}` gives probabilities, and `{call.name}` expects their logarithms"
        why = "the loss is a probability with a minus sign, which has next to no gradient where the model is wrong"
        advice = "use `log_softmax` in the place of `softmax`, or give the logits to `cross_entropy`"
        if call.function == "kl_div":
            why = "the divergence is computed from numbers that are no logarithms, and is lowest elsewhere"
            advice = "use `log_softmax` in the place of `softmax` for the first argument"
    elif mistake.harmless:
        message = f"`{given.name}` is computed twice: `{call.name}` does it by itself"
        why = "it changes no number, but looks as if the loss expected it"
        advice = "give the logits to the loss"
    else:
        twice = again == given.name.lower()
        does = f"takes the {again} of it again" if twice else f"expects logits and takes their {again}"
        message = f"`{given.name}` gives {scale}, and `{call.name}` {does}"
        why = "between 0 and 1 no class stands out, so that the loss stays high and its gradient small"
        if given.scale == "log-probabilities":
            why = "logarithms of probabilities are never positive, so that no class is ever likely"
        advice = f"give the logits to the loss, and take the {given.name.lower()} only where probabilities are read"
    mend = fix(mistake)
    expected = "logits" if again is not None else "log-probabilities"
    return Finding(
        given.place,
        message,
        why,
        advice,
        (Note(call.place, f"`{call.name}` is computed of it here"),),
        mend,
        Severity.INFO if mistake.harmless else None,
        Confidence.MEDIUM if given.by_default else Confidence.HIGH,
        output_range(call, given, expected, mended=mend is not None),
    )


# --- how it is mended ------------------------------------------------------------------------------------------------


def fix(mistake: Mistake) -> Fix | None:
    """Leave the softmax out, or take its logarithm too, where the script shows how it is spelled."""
    place = mistake.given.place
    node = place.node
    if not isinstance(node, cst.Call):
        return None
    callee = code(place, node.func)
    name = callee.rpartition(".")[2]
    if mistake.call.function in LOGARITHMIC:
        return _in_logarithms(mistake.given)
    if re.fullmatch(r"[A-Z]\w*", name):
        if callee == name:
            return None  # a name of its own would have to be imported too
        return Fix(f"leave the `{name}` out", (Edit("replace", place, callee[: -len(name)] + "Identity()"),))
    operand = operand_of(node, mistake.given)
    if operand is None:
        return None
    line = place.source.sites([node])[id(node)].path[-1]
    if isinstance(line, cst.SimpleStatementLine) and _is_idle(line, node, operand):
        return Fix(f"leave the `{name}` out", (Edit("delete", Place(place.source, line)),))
    text = code(place, operand)
    compound = type(operand).__name__ in COMPOUND and not operand.lpar
    return Fix(f"leave the `{name}` out", (Edit("replace", place, f"({text})" if compound else text),))


def _in_logarithms(given: Range) -> Fix | None:
    """Take the logarithm of the softmax as well, in the function or in the layer, if nothing else uses that."""
    layer, place = layer_of(given.origin), given.place
    if layer is not None and layer.origin is not None and layer.origin.node is not place.node:
        if _uses(place) != 2:
            return None  # where it is kept, and where it is called
        place = Place(layer.origin.source, layer.origin.node)
    if not isinstance(place.node, cst.Call):
        return None
    callee = code(place, place.node.func)
    name = callee.rpartition(".")[2]
    logarithmic = {"softmax": "log_softmax", "Softmax": "LogSoftmax"}.get(name)
    if logarithmic is None or callee == name:
        return None
    edit = Edit("replace", Place(place.source, place.node.func), callee[: -len(name)] + logarithmic)
    return Fix(f"use `{logarithmic}`", (edit,))


def _uses(place: Place) -> int:
    """How often a file speaks of the attribute that is called at a place; 0 if it is not one of an instance."""
    called = place.node.func if isinstance(place.node, cst.Call) else None
    if not isinstance(called, cst.Attribute):
        return 0
    attributes = (each for each in below(place.source.module) if isinstance(each, cst.Attribute))
    return sum(each.deep_equals(called) for each in attributes)


def _is_idle(line: cst.SimpleStatementLine, node: cst.Call, operand: cst.BaseExpression) -> bool:
    """Whether a line does nothing else than to give the softmax of a value the name of the value."""
    if len(line.body) != 1 or not isinstance(line.body[0], cst.Assign):
        return False
    statement = line.body[0]
    return statement.value is node and len(statement.targets) == 1 and statement.targets[0].target.deep_equals(operand)


def operand_of(node: cst.Call, given: Range) -> cst.BaseExpression | None:
    """What the softmax is computed of, as it is written: the receiver of a method, or the first argument."""
    if given.origin.op.startswith(".") and isinstance(node.func, cst.Attribute):
        return node.func.value
    first = node.args[0] if node.args else None
    return None if first is None or first.star or first.keyword is not None else first.value


def code(place: Place, node: cst.CSTNode) -> str:
    """The text of a node on one line."""
    return " ".join(place.source.module.code_for_node(node).split())
