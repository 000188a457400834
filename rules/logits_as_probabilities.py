"""NN208: raw outputs given to a loss that expects probabilities, or their logarithms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.answers import ranges_by_option
from nnlint.evidence.at_the_loss import output_range
from nnlint.evidence.loss_calls import MENTIONS, ROOTS, LossCall, loss_calls
from nnlint.evidence.ranges import Range, Scale, range_of
from nnlint.evidence.swapping import swap_of
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.values import Const, resolve_setting

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

EXPECTED: dict[str, Scale] = {
    "nll_loss": "log-probabilities",
    "kl_div": "log-probabilities",
    "binary_cross_entropy": "probabilities",
}
"""What losses expect of their first argument."""

WITH_LOGITS = {
    "nll_loss": "cross_entropy",
    "NLLLoss": "CrossEntropyLoss",
    "binary_cross_entropy": "binary_cross_entropy_with_logits",
    "BCELoss": "BCEWithLogitsLoss",
}
"""The losses that take the softmax or the sigmoid by themselves, and the same arguments."""

WHY = {
    "nll_loss": "it is then the score of the right class with a minus sign, which has no lower end and says nothing "
    "about the other classes",
    "kl_div": "the divergence is computed from numbers that are no logarithms of probabilities",
    "binary_cross_entropy": "it takes the logarithm of them, and stops with an error as soon as one is not in [0, 1]",
}


@rule("NN208", severity=Severity.ERROR, since="0.1.0", mentions=MENTIONS, roots=ROOTS)
def logits_as_probabilities(trace: Trace) -> Iterator[Finding]:
    """Raw outputs given to a loss that expects probabilities or log-probabilities.

    ## Why it matters
    `nll_loss` does not compute a logarithm: it picks the number of the right class and changes its sign. Given raw
    outputs it falls without end as they grow, and no class is ever compared with another. `binary_cross_entropy` takes
    the logarithm of its input and stops as soon as one lies outside of [0, 1], `kl_div` expects its first argument as
    log-probabilities and its second as probabilities, which is easily overlooked. It is the other side of a mistake
    that Karpathy lists among the most common with neural nets: outputs and loss that do not agree on where the softmax
    is taken.

    ## Example
    ```python
    import torch
    from torch import nn

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.argmax(1)
    model = nn.Linear(8, 8)
    criterion = nn.NLLLoss()
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
    model = nn.Linear(8, 8)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(100):
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## How it is confirmed
    By output range: the module that the prediction comes from is built and run on inputs that it accepts, with several
    sets of weights; where there is none, the script or the function is run as far as the loss. Confirmed, if what
    reaches the loss lies outside of the range that it expects, and their softmax or sigmoid does not; refuted, if it is
    what the loss expects. It abstains where the lines cannot be run. For the target of a divergence there is no
    experiment.

    ## When it stays silent
    - A softmax, a sigmoid, or their logarithm is taken anywhere between the layer and the loss.
    - The last operation is not a linear layer or a convolution, so that the range of its outputs is not known.
    - The loss and the last layer depend on options, and their defaults fit. Where options of the command line choose
      the model alone, the others are looked at too.
    - The target of `kl_div` is given as log-probabilities, and `log_target=True` says so.
    """
    seen: set[tuple[int, str]] = set()
    for call in loss_calls(trace, frozenset(EXPECTED)):
        if swap_of(call) is not None:
            continue
        for mistake in (*mistakes(call), *mistakes_by_option(call)):
            key = id(mistake.given.place.node), call.function
            if key not in seen:
                seen.add(key)
                yield describe(mistake)


@dataclass(frozen=True, slots=True, eq=False)
class Mistake:
    """A loss, what it is given, what it expects instead, and where that stands."""

    call: LossCall
    given: Range
    expected: Scale
    place: Place
    is_target: bool = False
    by_option: bool = False
    """Whether it takes another answer than the default to an option of the command line."""


def mistakes(call: LossCall) -> Iterator[Mistake]:
    """What is wrong with the prediction, or with the target of a divergence."""
    expected = EXPECTED[call.function]
    given = range_of(call.prediction, call.event.context.conditions)
    if given is not None and given.scale != expected and given.scale != "probabilities":
        yield Mistake(call, given, expected, call.argument(0, "input") or call.place)
    if call.function == "kl_div" and call.target is not None:
        given = range_of(call.target, call.event.context.conditions)
        in_logarithms = resolve_setting(call.option("log_target"))
        if given is None or given.scale == "probabilities":
            return
        if in_logarithms is None or (isinstance(in_logarithms, Const) and in_logarithms.value is False):
            yield Mistake(call, given, "probabilities", call.argument(1, "target") or call.place, is_target=True)


def mistakes_by_option(call: LossCall) -> Iterator[Mistake]:
    """The models that options choose against their defaults, and that do not give what this loss expects."""
    if not call.is_fixed:
        return
    expected = EXPECTED[call.function]
    for given in ranges_by_option(call.prediction, call.event.context.conditions, call.place):
        if given.scale != expected and given.scale != "probabilities":
            yield Mistake(call, given, expected, call.argument(0, "input") or call.place, by_option=True)


def describe(mistake: Mistake) -> Finding:
    """The finding in words."""
    call, given = mistake.call, mistake.given
    of = f"the raw outputs of `{given.name}`" if given.scale == "logits" else f"what `{given.name}` gives"
    takes = f"`{call.name}` is given {of}" + (" as its target" if mistake.is_target else "")
    takes += ", if an option asks for that model," if mistake.by_option else ""
    return Finding(
        mistake.place,
        f"{takes} and expects {mistake.expected}",
        WHY[call.function],
        advice(mistake),
        (Note(given.place, f"`{given.name}` gives {given.scale} here"),),
        fix(mistake),
        Severity.WARNING if given.by_default or call.function == "kl_div" else None,
        Confidence.MEDIUM if given.by_default else Confidence.HIGH,
        None if mistake.is_target else output_range(call, given, mistake.expected, mended=False),
    )


def advice(mistake: Mistake) -> str:
    """What to do."""
    function, given = mistake.call.function, mistake.given
    if mistake.by_option:
        return f"give {mistake.expected} in that model too, as the others do, or another loss for it"
    if function == "kl_div":
        if not mistake.is_target:
            return "take the `log_softmax` of the first argument"
        if given.scale == "logits":
            return "take the `softmax` of the target"
        return "give `log_target=True`, or the probabilities themselves"
    if given.scale != "logits":
        return f"give the logits to `{WITH_LOGITS[function]}`"
    return f"use `{WITH_LOGITS[mistake.call.name.removeprefix('nn.')]}`, which takes the logits"


def fix(mistake: Mistake) -> Fix | None:
    """Put the loss that takes logits in the place of the other, or take the log-softmax where the loss needs it."""
    call = mistake.call
    if mistake.given.scale != "logits" or call.function == "kl_div" or mistake.by_option:
        return None
    criterion = call.event.criterion
    origin = None if criterion is None else criterion.origin
    source = call.place.source if origin is None else origin.source
    node = call.place.node if origin is None else origin.node
    if not isinstance(node, cst.Call):
        return None
    callee = source.module.code_for_node(node.func)
    name = callee.rpartition(".")[2]
    other = WITH_LOGITS.get(name)
    if other is None or callee == name:
        return None  # a name of its own would have to be imported too
    return Fix(f"use `{other}`", (Edit("replace", Place(source, node.func), callee[: -len(name)] + other),))
