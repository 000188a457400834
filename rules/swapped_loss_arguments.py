"""NN209: the target first and the prediction second, where the order matters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.at_the_loss import at_the_loss
from nnlint.evidence.loss_calls import MENTIONS, ROOTS, LossCall, loss_calls
from nnlint.evidence.swapping import ORDERED, Swap, swap_of
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule

if TYPE_CHECKING:
    from nnlint.experiment import Experiment
    from nnlint.symbolic.trace import Trace
    from nnlint.verdict import Json


@rule("NN209", severity=Severity.ERROR, since="0.1.0", mentions=MENTIONS, roots=ROOTS)
def swapped_loss_arguments(trace: Trace) -> Iterator[Finding]:
    """A loss that is given the target in the place of the prediction and the prediction in that of the target.

    ## Why it matters
    Losses of PyTorch take the prediction first, metrics of scikit-learn and losses of Keras the target. With class
    numbers as targets PyTorch stops with an error, but where both are floating-point numbers, as for a binary cross
    entropy or for soft labels, it computes another loss without a word: the logarithm is taken of the labels, and the
    prediction only weighs it, so that the best it can do is to be 0 or 1 everywhere. `kl_div` expects the logarithms
    of the prediction first and the probabilities of the target second.

    ## Example
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = (x.sum(1, keepdim=True) > 0).float()
    model = torch.nn.Linear(8, 1)
    criterion = torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(100):
        loss = criterion(y, model(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## Use instead
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = (x.sum(1, keepdim=True) > 0).float()
    model = torch.nn.Linear(8, 1)
    criterion = torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(100):
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## How it is confirmed
    By gradient flow: the lines are run as far as the loss. Confirmed, if gradients come back to parameters through the
    second argument alone, the first being data; refuted, if they do through the first alone. For `kl_div` it is looked
    which of the two holds logarithms. It abstains where the lines cannot be run, or neither argument is computed by a
    model there.

    ## When it stays silent
    - The loss is symmetric (`mse_loss`, `l1_loss`, `smooth_l1_loss`, `huber_loss`, `cosine_similarity`).
    - The arguments are given by their names, `input=` and `target=`, and agree with them.
    - Both come from a model, as in distillation and self-supervised learning; a divergence may be meant either way
      round, as long as its first argument are logarithms.
    - A loss of the script's own, whose order is its own matter.
    """
    seen: set[int] = set()
    for call in loss_calls(trace, ORDERED):
        swap = swap_of(call)
        if swap is not None and id(call.place.node) not in seen:
            seen.add(id(call.place.node))
            yield describe(call, swap)


def describe(call: LossCall, swap: Swap) -> Finding:
    """The finding in words."""
    notes = [
        Note(place, words)
        for place, words in (
            (call.argument(0, "input"), f"{swap.words} is given as the prediction"),
            (call.argument(1, "target"), "the prediction is given as the target"),
        )
        if place is not None
    ]
    message = f"`{call.name}` is given {swap.words} first and the prediction second"
    why = "it computes another loss: the logarithm is taken of the target, and the prediction only weighs it"
    advice = f"exchange them: `{call.name}` takes the prediction first"
    if call.function == "kl_div":
        message = f"`{call.name}` is given {swap.words} first and their logarithms second"
        why = "the divergence is computed from numbers that are no logarithms"
        advice = f"exchange them: `{call.name}` takes the log-probabilities of the prediction first"
    return Finding(
        call.place,
        message,
        why,
        advice,
        tuple(notes),
        fix(call),
        None if swap.confidence is Confidence.HIGH else Severity.WARNING,
        swap.confidence,
        experiment(call),
    )


def experiment(call: LossCall) -> Experiment | None:
    """The lines as far as the loss, to see through which argument gradients come back."""
    first, second = call.argument(0, "input"), call.argument(1, "target")
    if first is None or second is None:
        return None
    settings: dict[str, Json] = {"asked": "swapped", "logarithms": call.function == "kl_div"}
    watches = {"first": first, "second": second}
    return at_the_loss("gradient_reach", call.run, call.event, call.place, watches, settings, mended=False)


def fix(call: LossCall) -> Fix | None:
    """Exchange the two arguments."""
    first, second = call.argument(0, "input"), call.argument(1, "target")
    if first is None or second is None:
        return None
    return Fix("exchange the arguments", (Edit("replace", first, code(second)), Edit("replace", second, code(first))))


def code(place: Place) -> str:
    """The text of an argument on one line."""
    return " ".join(place.source.module.code_for_node(place.node).split())
