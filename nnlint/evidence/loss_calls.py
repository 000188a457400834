"""The calls of loss functions of a script: what each is given as the prediction and as the target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from nnlint.rule import Place
from nnlint.symbolic.scalar import truth_by_default
from nnlint.symbolic.trace import Loss, Run, Trace
from nnlint.symbolic.values import Object, Value

MENTIONS = (
    "cross_entropy",
    "CrossEntropy",
    "with_logits",
    "WithLogits",
    "nll_loss",
    "NLLLoss",
    "kl_div",
    "KLDiv",
    "BCELoss",
    "_margin_loss",
    "MarginLoss",
    ".backward(",
    "training_step",
)
"""What a file mentions in which a loss is computed, or that trains with one which is computed elsewhere."""

ROOTS = ("criteri", "[Ll]oss", "cross_entropy", "CrossEntropy", "with_?logits", "kl_div", "KLDiv")
"""What names in a function are found where it may compute a loss, be it by a criterion that it is given."""

MOST = 300
"""Calls of loss functions of one run that are looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class LossCall:
    """A call of a loss function, or of a criterion, that happens whatever the options, or by their defaults."""

    run: Run
    event: Loss
    prediction: Value
    target: Value | None

    @property
    def function(self) -> str:
        """The function of ``torch.nn.functional`` that computes the loss, also for a criterion."""
        return self.event.function

    @property
    def name(self) -> str:
        """What the script calls: ``nn.CrossEntropyLoss``, or ``cross_entropy``."""
        return f"nn.{self.event.criterion.name}" if self.event.criterion is not None else self.event.function

    @property
    def place(self) -> Place:
        """The call."""
        return self.event.place

    @property
    def is_fixed(self) -> bool:
        """Whether this loss is computed whatever the options are."""
        conditions = self.event.context.conditions
        return not any(each.implied or truth_by_default(each.test) is not None for each in conditions)

    def argument(self, position: int, name: str) -> Place | None:
        """Where an argument of the call is written; None if it came in another way than by position or name."""
        node = self.event.place.node
        if not isinstance(node, cst.Call) or any(argument.star for argument in node.args):
            return None
        for number, argument in enumerate(node.args):
            if (argument.keyword is None and number == position) or (
                argument.keyword is not None and argument.keyword.value == name
            ):
                return Place(self.event.place.source, argument.value)
        return None

    def option(self, name: str) -> Value | None:
        """An option of the loss (``reduction``, ``log_target``), given to the function or to the criterion."""
        criterion = self.event.criterion
        return (criterion if isinstance(criterion, Object) else self.event).arguments.get(None, name)


def loss_calls(trace: Trace, functions: frozenset[str]) -> Iterator[LossCall]:
    """The calls of these functions of ``torch.nn.functional``, and of their criteria, in the order of the runs."""
    for run in trace.runs:
        left = MOST
        for event in run.of(Loss):
            prediction = event.arguments.get(0, "input")
            if event.function not in functions or prediction is None or event.arguments.star or not is_decided(event):
                continue
            left -= 1
            if left < 0:
                break
            yield LossCall(run, event, prediction, event.arguments.get(1, "target"))


def is_decided(event: Loss) -> bool:
    """Whether it is known that this criterion computes the loss, rather than another that an option chooses."""
    return all(
        truth_by_default(condition.test) is condition.outcome
        for condition in event.context.conditions
        if condition.implied
    )
