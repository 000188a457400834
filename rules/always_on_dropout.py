"""NN401: a dropout that nobody turns off for the evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.element_order import entered, method_of, switches
from nnlint.evidence.requirements import is_older
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic import calls
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Apply, Drop
from nnlint.symbolic.values import Class, Function, Object
from nnlint.symbolic.words import below, words_of
from nnlint.verdict import Json

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

DROPS_UNASKED = (1, 0)
"""From this version of torch on the functional dropouts drop unless they are told not to."""

ON_PURPOSE = re.compile(
    r"\bmc\b|mc_?drop|monte.?carlo|bayes|uncertain|always|pre_?net|infer|test.?time|stochastic|variational|ensemble|"
    r"noise|both modes|eval mode|augment",
    re.IGNORECASE,
)
"""How a class speaks of dropout that stays on in the evaluation."""

MODE = re.compile(r"train|eval|test|infer|determin|phase|^mode$|^valid")
"""What the mode is called."""

LAYER = re.compile(r"torch\.nn\.\w*Dropout\w*")
"""Layers that drop out."""


@dataclass(frozen=True, slots=True, eq=False)
class Dropout:
    """A dropout in a method of a module.

    ``node`` is the call that drops; ``built`` the call that builds the layer that it calls, None for a function.
    """

    event: Drop | Apply
    node: cst.Call
    method: Function
    owner: Class
    built: cst.Call | None = None

    @property
    def rate(self) -> list[cst.Arg]:
        """The arguments that its rate is among."""
        return [*(self.node.args[1:] if self.built is None else self.built.args)]

    @property
    def name(self) -> str:
        """What drops: ``F.dropout2d``, ``nn.Dropout``."""
        function, module = (self.node.func, "F") if self.built is None else (self.built.func, "nn")
        if isinstance(function, cst.Attribute):
            return f"{module}.{function.attr.value}"
        return function.value if isinstance(function, cst.Name) else "dropout"


@rule(
    "NN401",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("ropout(", "ropout1d(", "ropout2d(", "ropout3d("),
    requires=("Module",),
    roots=("[dD]ropout",),
)
def always_on_dropout(trace: Trace) -> Iterator[Finding]:
    """A functional dropout in a module without `training=`, or a layer built anew in each call: it drops in eval mode.

    ## Why it matters
    `nn.Dropout` knows the mode of its model; `F.dropout` is a function and knows nothing: since torch 1.0 it drops
    unless `training=False` is given (until 0.4 it never did, unless `training=True` was given). Called without it in
    `forward`, it goes on dropping after `model.eval()`. Predictions are then noisy and differ from call to call, and
    the validation figures are worse than the model. A layer that `forward` builds itself, `nn.Dropout(0.5)(x)`, is no
    better: it is always new, and in training mode. Karpathy's recipe adds dropout as a regularizer, which belongs to
    training alone.

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
    The module is built and run on inputs that it accepts, in evaluation mode, by its flags. Of two calls that are alike
    in everything else the accused line draws from another state of the generators. Confirmed when the outputs differ,
    and agree where the line is mended; refuted when the rate is 0 at run time, or when the line is reached in training
    mode and not in evaluation mode. It abstains where the module cannot be built or run, the line is not reached, its
    rate comes from an argument that nobody knows or is assigned elsewhere too, no output shows what it drops, or
    `train()` is the module's own.

    ## When it stays silent
    - `training` is given, whatever it is, or may be among `*args` and `**kwargs`.
    - The call stands under a test of the mode: `if self.training:`, an early return, or a test by the caller.
    - It is `F.alpha_dropout` or `F.feature_alpha_dropout`, which drop only where they are told to.
    - The layer is made only once, or told the mode: `nn.Dropout(0.5).train(self.training)(x)`.
    - The rate is 0, or follows the mode.
    - The class says that it is meant so: Monte Carlo dropout, an uncertainty, a pre-net of a speech model, noise.
    - It is called outside of a module, as an augmentation of data.
    - The project asks for a torch below 1.0, in its `requirements.txt`, `pyproject.toml`, `setup.py` or
      `environment.yml`.
    """
    reported: set[int] = set()
    for dropout in map(dropout_of, chain[Drop | Apply](trace.of(Drop), trace.of(Apply))):
        if dropout is None or id(dropout.node) in reported or not is_always_on(dropout):
            continue
        if dropout.built is None and is_older(trace.root, "torch", DROPS_UNASKED):
            continue
        reported.add(id(dropout.node))
        yield describe(dropout)


def dropout_of(event: Drop | Apply) -> Dropout | None:
    """A functional dropout in a method of a module, or a layer of dropout that is built there; else None."""
    method = event.context.calls[-1].function if event.context.calls else None
    node = event.place.node
    if method is None or not isinstance(method.owner, Class) or not calls.is_module(method.owner):
        return None
    if not isinstance(node, cst.Call) or any(argument.star for argument in node.args):
        return None
    if isinstance(event, Drop):
        return Dropout(event, node, method, method.owner)
    built = built_there(event.layer, node, method)
    return None if built is None else Dropout(event, node, method, method.owner, built)


def built_there(layer: Object, node: cst.Call, method: Function) -> cst.Call | None:
    """The call that builds a layer anew whenever the method runs that calls it; None if it is another's."""
    built = None if layer.origin is None else layer.origin.node
    if not isinstance(built, cst.Call) or LAYER.fullmatch(layer.path) is None or layer.training is not True:
        return None
    return built if node.func is built or any(built is each for each in kept_in_names(method)) else None


def kept_in_names(method: Function) -> Iterator[cst.BaseExpression]:
    """What a method assigns to its own variables, and to nothing that lasts."""
    for node in below(method.node):
        if isinstance(node, cst.Assign) and all(isinstance(each.target, cst.Name) for each in node.targets):
            yield node.value


def is_always_on(dropout: Dropout) -> bool:
    """Whether nothing turns the dropout off in eval mode, or says that it is meant to stay on."""
    event = dropout.event
    if isinstance(event, Drop) and (event.training is not None or number(event.rate) == 0):
        return False
    if isinstance(event, Apply) and number(event.layer.arguments.get(0, "p")) == 0:
        return False
    if "training" in words_of(dropout.node) or stands_under_mode(event):
        return False
    said = dropout.method.frame.module.source.module.code_for_node(dropout.owner.node)
    return ON_PURPOSE.search(said) is None and not rate_follows_mode(dropout)


def stands_under_mode(event: Drop | Apply) -> bool:
    """Whether a test on the way to the call asks for the mode."""
    words = (words_of(test_of(condition.place.node)) for condition in event.context.conditions)
    return any(MODE.search(word) for said in words for word in said)


def test_of(node: cst.CSTNode) -> cst.CSTNode:
    """What a branch asks."""
    return node.test if isinstance(node, cst.If | cst.IfExp | cst.While) else node


def rate_follows_mode(dropout: Dropout) -> bool:
    """Whether the rate asks for the mode, or is a name that the method assigns under it."""
    rates = {word for argument in dropout.rate for word in words_of(argument.value)} - {"self"}
    assigned = (each for each in below(dropout.method.node) if isinstance(each, cst.Assign))
    return "training" in rates or any(
        any(words_of(target.target) & rates for target in each.targets) and "training" in words_of(each.value)
        for each in assigned
    )


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(dropout: Dropout) -> Finding:
    """The finding in words."""
    if dropout.built is None:
        message = f"`{dropout.name}` is not told the mode, and drops in eval mode as well"
        advice = "pass `training=self.training`, or use the layer `nn.Dropout`"
    else:
        message = f"this `{dropout.name}` is built anew in every call, and drops in eval mode as well"
        advice = "build it once, in `__init__`, so that `eval()` reaches it"
    method = dropout.method
    return Finding(
        dropout.event.place,
        message,
        f"after `eval()` the predictions of {dropout.owner.name} are still random",
        advice,
        (Note(Place(method.frame.module.source, method.node.name), "a method of this module"),)
        if isinstance(method.node, cst.FunctionDef)
        else (),
        fix(dropout),
        confidence=Confidence.HIGH,
        experiment=experiment_on(dropout),
    )


def experiment_on(dropout: Dropout) -> Experiment | None:
    """Call the module in evaluation mode, and again with other draws of this line."""
    sites = dropout.event.context.calls
    entry = entered(sites)
    settings: dict[str, Json] = {
        "method": method_of(sites),
        "arguments": switches(dropout.event),
        "rate": sorted({word for argument in dropout.rate for word in words_of(argument.value)} - {"self"}),
    }
    return (
        None
        if entry is None
        else Experiment(
            "evaluation_draws",
            watches=(Watch("dropout", Place(dropout.event.place.source, dropout.node.func)),),
            entry=entry,
            settings={name: value for name, value in settings.items() if value},
            mended=True,
        )
    )


def fix(dropout: Dropout) -> Fix | None:
    """Pass the mode of the module whose method it is."""
    source, params = dropout.event.place.source, dropout.method.node.params.params
    if not params or params[0].name.value != "self":
        return None
    last = dropout.built or (dropout.node.args[-1] if dropout.node.args else None)
    if last is None:
        return None
    if isinstance(last, cst.Arg):
        text = source.module.code_for_node(last.with_changes(comma=cst.MaybeSentinel.DEFAULT))
        mended = f"{text}, training=self.training"
    else:
        mended = f"{source.module.code_for_node(last)}.train(self.training)"
    return Fix("pass the mode of the module", (Edit("replace", Place(source, last), mended),))
