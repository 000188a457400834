"""NN307: a learning rate far outside of what the optimizer stands."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.leaves import by_default
from nnlint.evidence.provenance import everything, walk_back
from nnlint.evidence.rounds import happens_by_default
from nnlint.evidence.schedule import argument_of
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.registration import WITH_PARAMETERS, registered
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Build, ClipGradients, Run, SchedulerStep, SetRate, Trace
from nnlint.symbolic.values import Const, Instance, Object, Value
from nnlint.symbolic.words import below, words_of

BOUNDS = {
    **dict.fromkeys(("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "SparseAdam"), 0.1),
    "RMSprop": 0.1,
    "SGD": 10.0,
}
"""Rates from which on an optimizer moves the weights of a network further than they are large, by its name."""

USUAL = {"SGD": "0.1 to 0.001", "RMSprop": "1e-3 to 1e-4"}
"""The rates that are usual; those of Adam and its kind are not named here."""

SCHEDULED = re.compile(
    r"sched|warm_?up|anneal|adjust|param_groups|find_lr|lr_find|noam|(set|update|decay|change)_?(lr|learning)",
    re.IGNORECASE,
)
"""Names of what scales a rate."""

FEWEST = 3
"""Layers from which on a model is a network: regressions with one or two stand more."""

LAYERS = frozenset(path.rpartition(".")[2] for path in WITH_PARAMETERS)
"""The names of layers that have something to learn."""

MODELS = ("torchvision.models.", "timm.create_model", "timm.models.")


@rule(
    "NN307",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("Adam", "SGD", "RMSprop"),
    requires=("parameters",),
    roots=(r"^(N|R|Sparse)?Adam(W|ax)?$|^SGD$|^RMSprop$",),
)
def extreme_learning_rate(trace: Trace) -> Iterator[Finding]:
    """A learning rate far outside of what the optimizer stands, with nothing that scales it.

    ## Why it matters
    Adam moves every weight by about the rate in each step, whatever the size of the gradient: with 0.1 a weight of
    usual size, 0.05, is gone after one step. Plain SGD stands more, but not 10. The loss then jumps, or settles where
    the network gives the same answer to everything, which looks like a hard problem. The recipe's default is Adam at
    3e-4, and to tune the rate last.

    ## Example
    ```python
    import torch
    from torch import nn

    torch.manual_seed(0)
    x, y = torch.randn(256, 8), torch.randn(256, 1)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0)
    for step in range(100):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn

    torch.manual_seed(0)
    x, y = torch.randn(256, 8), torch.randn(256, 1)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    for step in range(100):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## How it is confirmed
    It has no experiment: whether a rate is too high is a matter of the data.

    ## When it stays silent
    - A scheduler, a warm-up or the script itself scales the rate.
    - Parameters that are no network's: an image, a latent code or a temperature that is optimized by itself.
    - A model of one or two layers, such as a regression, which stands more.
    - SGD with clipped gradients, as language models are trained.
    - An option sets the rate, and its default is meant for what the script does by default, which is something else.
    - Rates below 0.1 for Adam and RMSprop, and below 10 for SGD; what the rate is cannot be told.
    """
    if any(SCHEDULED.search(word) for word in words_of(trace.source.module)):
        return
    reported: set[int] = set()
    for run in trace.runs:
        for build in run.of(Build):
            if id(build.place.node) in reported or build.place.source is not trace.source:
                continue
            finding = _extreme(trace, run, build)
            if finding is not None:
                reported.add(id(build.place.node))
                yield finding


def _extreme(trace: Trace, run: Run, build: Build) -> Finding | None:
    optimizer = build.value
    if not isinstance(optimizer, Object) or not optimizer.path.startswith("torch.optim."):
        return None
    bound, given = BOUNDS.get(optimizer.name), by_default(optimizer.arguments.get(1, "lr"))
    rate = number(given)
    if bound is None or rate is None or rate < bound or not _is_for_network(optimizer) or _is_scaled(run, optimizer):
        return None
    if not isinstance(given, Const) and not happens_by_default(build):
        return None
    written = argument_of(build.place.node, 1, "lr")
    usual = USUAL.get(optimizer.name, "1e-3 to 1e-5")
    return Finding(
        Place(trace.source, build.place.node if written is None else written),
        f"a learning rate of {rate:g} is far more than {optimizer.name} stands; usual are {usual}",
        "the first steps throw the weights so far that the network does not learn",
        "begin with 3e-4" if optimizer.name.startswith(("Adam", "NAdam", "RAdam")) else "begin with a hundredth of it",
        () if written is None else (Note(build.place, "the optimizer is built here"),),
        confidence=Confidence.HIGH if isinstance(given, Const) else Confidence.MEDIUM,
    )


def _is_scaled(run: Run, optimizer: Object) -> bool:
    """Whether anything sets rates in the run, or the gradients of SGD are clipped."""
    changes = (SetRate, SchedulerStep, ClipGradients) if optimizer.name == "SGD" else (SetRate, SchedulerStep)
    if any(isinstance(event, changes) for event in run.events):
        return True
    return any(isinstance(build.value, Object) and build.value.kind == "scheduler" for build in run.of(Build))


def _is_for_network(optimizer: Object) -> bool:
    """Whether all parameters are those of a network of several layers."""
    params = by_default(optimizer.arguments.get(0, "params"))
    if params is None:
        return False
    for part in walk_back(params, everything):
        origin = part.value.origin
        if origin is not None and origin.op in (".parameters", ".named_parameters") and origin.inputs:
            return _layers(origin.inputs[0]) >= FEWEST
    return False


def _layers(module: Value) -> int:
    """How many layers with something to learn a module is known to have."""
    if isinstance(module, Instance):
        calls = (node for cls in module.cls.lineage() for node in below(cls.node) if isinstance(node, cst.Call))
        return sum(1 for call in calls if _last_word(call.func) in LAYERS)
    if module.origin is not None and module.origin.op.startswith(MODELS):
        return FEWEST
    return sum(1 for each in registered(module) if isinstance(each, Object) and each.path in WITH_PARAMETERS)


def _last_word(node: cst.BaseExpression) -> str:
    return node.attr.value if isinstance(node, cst.Attribute) else node.value if isinstance(node, cst.Name) else ""
