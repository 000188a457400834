"""NN307: a learning rate far outside of what the optimizer stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.leaves import by_default
from nnlint.evidence.provenance import everything, walk_back
from nnlint.evidence.rounds import happens_by_default
from nnlint.evidence.schedule import argument_of
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.modes import parts_of
from nnlint.symbolic.registration import MOST, WITH_PARAMETERS, registered
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

FOR_DEEP = {**dict.fromkeys(("Adam", "AdamW", "NAdam", "RAdam", "Adamax"), 0.01), "RMSprop": 0.01}
"""Rates from which on it does so in networks of many layers, whose weights are smaller and depend on each other."""

USUAL = {"SGD": "0.1 to 0.001", "RMSprop": "1e-3 to 1e-4"}
"""The rates that are usual; those of Adam and its kind are not named here."""

SCHEDULED = re.compile(
    r"sched|warm_?up|anneal|adjust|param_groups|find_lr|lr_find|noam|(set|update|decay|change)_?(lr|learning)",
    re.IGNORECASE,
)
"""Names of what scales a rate."""

FEWEST = 3
"""Layers from which on a model is a network: regressions with one or two stand more."""

DEEP = 8
"""Layers, one after the other, from which on a network is deep."""

STACKS = frozenset(("Transformer", "TransformerEncoder", "TransformerDecoder"))
"""Layers of torch that are deep networks."""

PASSED = re.compile(r"^(Conv(Transpose)?[123]d|Linear|LSTM|GRU|RNN|MultiheadAttention|Transformer(En|De)coderLayer)$")
"""Layers that are counted for the depth."""

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

    Rates from 0.01 to 0.1 for Adam and RMSprop are pointed out (info) for a network of many layers that learns from the
    batches of a loader and is not frozen in part: small networks, those of graphs and of agents do well with them.
    """
    reported: set[int] = set()
    for run in trace.runs:
        for build in run.of(Build):
            if id(build.place.node) in reported or build.place.source is not trace.source:
                continue
            finding = _extreme(trace, run, build)
            if finding is not None and not any(map(SCHEDULED.search, words_of(trace.source.module))):
                reported.add(id(build.place.node))
                yield finding


def _extreme(trace: Trace, run: Run, build: Build) -> Finding | None:
    optimizer = build.value
    if not isinstance(optimizer, Object) or not optimizer.path.startswith("torch.optim."):
        return None
    bound, given = BOUNDS.get(optimizer.name), by_default(optimizer.arguments.get(1, "lr"))
    rate = number(given)
    if bound is None or rate is None or rate < FOR_DEEP.get(optimizer.name, bound) or _is_scaled(run, optimizer):
        return None
    network = _network(optimizer)
    if network is None or (rate < bound and not _is_plainly_deep(trace, run, network)):
        return None
    if not isinstance(given, Const) and not happens_by_default(build):
        return None
    written = argument_of(build.place.node, 1, "lr")
    finding = Finding(
        Place(trace.source, build.place.node if written is None else written),
        f"a learning rate of {rate:g} is far more than {optimizer.name} stands; usual are "
        f"{USUAL.get(optimizer.name, '1e-3 to 1e-5')}",
        "the first steps throw the weights so far that the network does not learn",
        "begin with 3e-4" if optimizer.name.startswith(("Adam", "NAdam", "RAdam")) else "begin with a hundredth of it",
        () if written is None else (Note(build.place, "the optimizer is built here"),),
        confidence=Confidence.HIGH if isinstance(given, Const) else Confidence.MEDIUM,
    )
    if rate >= bound:
        return finding
    return replace(
        finding,
        message=f"a learning rate of {rate:g} is more than a deep network stands of {optimizer.name} as a rule",
        why="each step moves the weights by about as much as they are large",
        severity=Severity.INFO,
        confidence=Confidence.LOW,
    )


def _is_scaled(run: Run, optimizer: Object) -> bool:
    """Whether anything sets rates in the run, or the gradients of SGD are clipped."""
    changes = (SetRate, SchedulerStep, ClipGradients) if optimizer.name == "SGD" else (SetRate, SchedulerStep)
    if any(isinstance(event, changes) for event in run.events):
        return True
    return any(isinstance(build.value, Object) and build.value.kind == "scheduler" for build in run.of(Build))


def _network(optimizer: Object) -> Value | None:
    """The network of several layers that all parameters are those of, None if it is none."""
    params = by_default(optimizer.arguments.get(0, "params"))
    if params is None:
        return None
    for part in walk_back(params, everything):
        origin = part.value.origin
        if origin is not None and origin.op in (".parameters", ".named_parameters") and origin.inputs:
            return origin.inputs[0] if _layers(origin.inputs[0]) >= FEWEST else None
    return None


def _is_plainly_deep(trace: Trace, run: Run, network: Value) -> bool:
    """Whether a network has many layers, all of which learn from the batches of a loader."""
    if "requires_grad" in trace.source.text or not any(_is_loader(build.value) for build in run.of(Build)):
        return False
    if network.origin is not None and network.origin.op.startswith(MODELS):
        return True
    layers = [each.name for each in _parts(network) if isinstance(each, Object)]
    return sum(map(bool, map(PASSED.match, layers))) >= DEEP or not STACKS.isdisjoint(layers)


def _is_loader(value: Value) -> bool:
    return isinstance(value, Object) and value.kind == "loader"


def _parts(module: Value) -> Iterator[Value]:
    """A module and all that it is made of."""
    stack, seen = [module], set[int]()
    while stack and len(seen) < MOST:
        item = stack.pop()
        if id(item) not in seen:
            seen.add(id(item))
            yield item
            stack += parts_of(item) if isinstance(item, (Instance, Object)) else []


def _layers(module: Value) -> int:
    """How many layers with something to learn a module is known to have."""
    if isinstance(module, Instance):
        calls = (node for cls in module.cls.lineage() for node in below(cls.node) if isinstance(node, cst.Call))
        written = sum(1 for call in calls if _last_word(call.func) in LAYERS)
        return max(written, sum(1 for each in _parts(module) if _has_parameters(each)))
    if module.origin is not None and module.origin.op.startswith(MODELS):
        return FEWEST
    return sum(1 for each in registered(module) if _has_parameters(each))


def _has_parameters(module: Value) -> bool:
    return isinstance(module, Object) and module.path in WITH_PARAMETERS


def _last_word(node: cst.BaseExpression) -> str:
    return node.attr.value if isinstance(node, cst.Attribute) else node.value if isinstance(node, cst.Name) else ""
