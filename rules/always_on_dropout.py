"""NN401: a functional dropout that nobody turns off for the evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic import calls
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Drop
from nnlint.symbolic.values import Class, Function
from nnlint.symbolic.words import below, words_of

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

ON_PURPOSE = re.compile(
    r"\bmc\b|mc_?drop|monte.?carlo|bayes|uncertain|always|pre_?net|infer|test.?time|stochastic|variational|ensemble|"
    r"noise|both modes|eval mode|augment",
    re.IGNORECASE,
)
"""How a class speaks of dropout that stays on in the evaluation."""


@rule(
    "NN401",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("dropout(", "dropout1d(", "dropout2d(", "dropout3d("),
    requires=("Module",),
    roots=("dropout",),
)
def always_on_dropout(trace: Trace) -> Iterator[Finding]:
    """A functional dropout in a module without `training=`: it drops in eval mode as well.

    ## Why it matters
    `nn.Dropout` knows the mode of its model; `F.dropout` is a function and knows nothing: it drops unless
    `training=False` is given. Called without it in `forward`, it goes on dropping after `model.eval()`. Predictions are
    then noisy and differ from call to call, and the validation figures are worse than the model. Karpathy's recipe
    adds dropout as a regularizer, which belongs to training alone.

    ## Example
    ```python
    from torch import nn
    from torch.nn import functional as F


    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(784, 256)
            self.out = nn.Linear(256, 10)

        def forward(self, x):
            x = F.relu(self.hidden(x.flatten(1)))
            x = F.dropout(x, p=0.5)
            return self.out(x)
    ```

    ## Use instead
    ```python
    from torch import nn
    from torch.nn import functional as F


    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(784, 256)
            self.out = nn.Linear(256, 10)

        def forward(self, x):
            x = F.relu(self.hidden(x.flatten(1)))
            x = F.dropout(x, p=0.5, training=self.training)
            return self.out(x)
    ```

    ## How it is confirmed
    It has no experiment yet.

    ## When it stays silent
    - `training` is given, whatever it is, or may be among `*args` and `**kwargs`.
    - The call stands under a test of the mode: `if self.training:`.
    - The rate is 0, or follows the mode.
    - The class says that it is meant so: Monte Carlo dropout, an uncertainty, a pre-net of a speech model, noise.
    - It is called outside of a module, as an augmentation of data.
    """
    reported: set[int] = set()
    for drop in trace.of(Drop):
        method = module_method(drop)
        node = drop.place.node
        if method is None or id(node) in reported or not isinstance(node, cst.Call) or not is_always_on(drop, method):
            continue
        if any(argument.star for argument in node.args):
            continue
        reported.add(id(node))
        name = f"F.{node.func.attr.value}" if isinstance(node.func, cst.Attribute) else "dropout"
        owner = method.owner
        yield Finding(
            drop.place,
            f"`{name}` is not told the mode, and drops in eval mode as well",
            f"after `eval()` the predictions of {owner.name if owner else 'the module'} are still random",
            "pass `training=self.training`, or use the layer `nn.Dropout`",
            (Note(Place(method.frame.module.source, method.node.name), "a method of this module"),)
            if isinstance(method.node, cst.FunctionDef)
            else (),
            fix(drop, method),
            confidence=Confidence.HIGH,
        )


def module_method(drop: Drop) -> Function | None:
    """The method of a module that the call stands in, None if it stands elsewhere."""
    if not drop.context.calls:
        return None
    function = drop.context.calls[-1].function
    if isinstance(function.owner, Class) and calls.is_module(function.owner):
        return function
    return None


def is_always_on(drop: Drop, method: Function) -> bool:
    """Whether nothing turns the dropout off in eval mode, or says that it is meant to stay on."""
    if drop.training is not None or number(drop.rate) == 0 or method.owner is None:
        return False
    if "training" in words_of(drop.place.node) or stands_under_mode(drop, method):
        return False
    said = method.frame.module.source.module.code_for_node(method.owner.node)
    return ON_PURPOSE.search(said) is None and not rate_follows_mode(drop, method)


def stands_under_mode(drop: Drop, method: Function) -> bool:
    """Whether a test on the way to the call asks for the mode."""
    tests = (node for node in below(method.node) if isinstance(node, (cst.If, cst.IfExp)))
    return any(
        words_of(node.test) & {"training", "train", "is_training", "is_train", "eval"}
        and any(inner is drop.place.node for inner in below(node))
        for node in tests
    )


def rate_follows_mode(drop: Drop, method: Function) -> bool:
    """Whether the rate is a name that the method assigns under the mode."""
    node = drop.place.node
    if not isinstance(node, cst.Call):
        return False
    rates = set().union(*(words_of(argument.value) for argument in node.args[1:])) if len(node.args) > 1 else set()
    assigned = (each for each in below(method.node) if isinstance(each, cst.Assign))
    return any(
        any(words_of(target.target) & (rates - {"self"}) for target in each.targets)
        and "training" in words_of(each.value)
        for each in assigned
    )


def fix(drop: Drop, method: Function) -> Fix | None:
    """Pass the mode of the module whose method it is."""
    node = drop.place.node
    params = method.node.params.params
    if not isinstance(node, cst.Call) or not params or params[0].name.value != "self":
        return None
    told = cst.Arg(
        cst.Attribute(cst.Name("self"), cst.Name("training")),
        keyword=cst.Name("training"),
        equal=cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace("")),
    )
    changed = node.with_changes(args=[*node.args, told])
    text = drop.place.source.module.code_for_node(changed)
    return Fix("pass the mode of the module", (Edit("replace", drop.place, text),))
