"""NN306: layers that are put into a model after its optimizer was built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.protocol import protocol
from nnlint.evidence.provenance import everything, walk_back
from nnlint.evidence.rounds import agree
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.trace import Attach, Build, Event, Run, Step, Trace
from nnlint.symbolic.values import Object, Value
from nnlint.symbolic.words import below, words_of

PARAMETERS = frozenset((".parameters", ".named_parameters"))


@rule(
    "NN306",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("optim",),
    requires=("parameters",),
    roots=("^optim", "opt$"),
)
def orphaned_parameters(trace: Trace) -> Iterator[Finding]:
    """A layer that is put into the model after the optimizer was built: the optimizer does not know of it.

    ## Why it matters
    An optimizer holds the parameters that the model had when it was built. A head that is replaced afterwards brings
    new ones, which no step ever moves, while the optimizer goes on with those of the old head. The loss still goes
    down a little, as the layers around the random one adapt: a silent bug, of the kind that the recipe finds by
    overfitting a single batch.

    ## Example
    ```python
    import torch
    from torch import nn

    torch.manual_seed(0)
    x = torch.randn(64, 8)
    y = torch.randn(64, 3)


    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(8, 16)
            self.head = nn.Linear(16, 10)

        def forward(self, x):
            return self.head(self.body(x).relu())


    model = Network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.head = nn.Linear(16, 3)
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
    x = torch.randn(64, 8)
    y = torch.randn(64, 3)


    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(8, 16)
            self.head = nn.Linear(16, 10)

        def forward(self, x):
            return self.head(self.body(x).relu())


    model = Network()
    model.head = nn.Linear(16, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(100):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## How it is confirmed
    By protocol: a few iterations of the script's own training are run, and it is written down which parameters
    gradients reach and which the optimizers hold. Confirmed, if gradients reach parameters of the new layer that no
    optimizer holds while others are moved; refuted, if an optimizer holds and moves them all the same. It abstains
    where the lines cannot be run.

    ## When it stays silent
    - The optimizer is built afterwards, is built anew, or is given the new layer by `add_param_group`.
    - The model is moved (`model.cuda()`, `model.to(device)`): its parameters stay the same objects.
    - The optimizer makes no step afterwards, or it cannot be told which model it was built for.
    - The layer is one of another model, or has nothing to learn.
    """
    reported: set[int] = set()
    for run in trace.runs:
        for build, attach, step in _orphans(trace, run):
            if id(attach.place.node) not in reported:
                reported.add(id(attach.place.node))
                finding = _described(trace, build, attach, step)
                yield replace(finding, experiment=_experiment(trace, run, attach, step))


def _orphans(trace: Trace, run: Run) -> Iterator[tuple[Build, Attach, Step]]:
    """The layers that a model gets between the building of its optimizer and a step of that."""
    for position, attach in enumerate(run.events):
        if not isinstance(attach, Attach) or attach.place.source is not trace.source:
            continue
        before, after = run.events[:position], run.events[position:]
        if any(_holds(other, attach.value) for other in after if isinstance(other, Build)) or _is_added(trace):
            continue
        for build in before:
            if isinstance(build, Build) and _is_for(build, attach):
                step = next((each for each in after if isinstance(each, Step) and each.optimizer is build.value), None)
                if step is not None and agree(attach, step) and not _is_rebuilt(after, build):
                    yield build, attach, step
                    break


def _modules_of(build: Build) -> list[Value]:
    """The modules whose ``parameters()`` an optimizer is given."""
    optimizer = build.value
    if not isinstance(optimizer, Object) or optimizer.kind != "optimizer":
        return []
    given = optimizer.arguments.get(0, "params")
    if given is None:
        return []
    origins = (part.value.origin for part in walk_back(given, everything))
    return [origin.inputs[0] for origin in origins if origin is not None and origin.op in PARAMETERS and origin.inputs]


def _is_for(build: Build, attach: Attach) -> bool:
    """Whether an optimizer was built for the module, for one that it is part of, or for what is replaced in it."""
    modules = _modules_of(build)
    return any(each is part for part in _around(attach.module) for each in modules) or any(
        each is attach.before for each in modules
    )


def _around(module: Value) -> Iterator[Value]:
    """A module and those that it was taken from: ``model`` of ``model.encoder``."""
    for _ in range(4):
        yield module
        if module.origin is None or module.origin.op != "getattr" or not module.origin.inputs:
            return
        module = module.origin.inputs[0]


def _holds(build: Build, value: Value) -> bool:
    """Whether an optimizer is given the new layer."""
    return any(each is value for each in _modules_of(build))


def _is_rebuilt(after: list[Event], build: Build) -> bool:
    """Whether an optimizer is built for the same model afterwards."""
    mine = _modules_of(build)
    later = (each for event in after if isinstance(event, Build) for each in _modules_of(event))
    return any(each is module for each in later for module in mine)


def _is_added(trace: Trace) -> bool:
    return "add_param_group" in words_of(trace.source.module)


def _described(trace: Trace, build: Build, attach: Attach, step: Step) -> Finding:
    node = attach.place.node
    text = trace.source.module.code_for_node(node) if isinstance(node, cst.Attribute) else attach.name
    return Finding(
        Place(trace.source, node),
        f"`{text}` is {'replaced' if attach.before is not None else 'set'} after the optimizer was built: "
        "no step moves the parameters of the new one",
        "an optimizer holds the parameters that the model has when it is built",
        "build the optimizer after the model is complete",
        (Note(build.place, "the optimizer takes the parameters here"), Note(step.place, "and steps them here")),
        confidence=Confidence.HIGH,
    )


def _experiment(trace: Trace, run: Run, attach: Attach, step: Step) -> Experiment | None:
    """A few steps of the script's training, with an eye on the new layer."""
    written = next(
        (
            node.value
            for node in below(trace.source.module)
            if isinstance(node, cst.Assign) and any(each.target is attach.place.node for each in node.targets)
        ),
        None,
    )
    if written is None:
        return None
    layers = Watch("layers", Place(trace.source, written))
    way = [site.place for site in attach.context.calls if isinstance(site.place.node, cst.Call)]
    return protocol(run, "unheld-parameters", accused=attach.place, around=step, watches=(layers,), anchors=way)
