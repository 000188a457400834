"""NN306: parameters that a model gets after its optimizer was built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.held import is_built_for, modules_of, sources_of
from nnlint.evidence.protocol import protocol
from nnlint.evidence.rounds import agree
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.ancestry import ancestors
from nnlint.symbolic.modes import holds
from nnlint.symbolic.trace import Attach, Backward, Build, Event, Forward, Renew, Run, Step, Trace
from nnlint.symbolic.values import Const, Instance, Object, Value
from nnlint.symbolic.words import below, words_of

RUNS = re.compile(
    r"\b(summary|torchinfo|profile|FlopCountAnalysis|get_model_complexity_info|add_graph|jit\.trace|onnx\.export)\b"
)
"""What runs a model once, so that layers which its first forward pass builds are there."""

TOLD = re.compile(r"add_param_group|\[[\"']params[\"']\]\s*(=(?!=)|\+=|\.(append|extend)\b)")
"""How an optimizer is given parameters after it was built."""

GROWS = re.compile(r"^(add_tokens|add_special_tokens)$")
"""What makes a vocabulary larger, so that resizing the embeddings replaces them."""


@rule(
    "NN306",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("optim",),
    requires=("parameters",),
    roots=("^optim", "opt$"),
)
def orphaned_parameters(trace: Trace) -> Iterator[Finding]:
    """Parameters that come into the model after the optimizer was built: the optimizer does not know of them.

    ## Why it matters
    An optimizer holds the parameters that the model had when it was built. A head that is replaced afterwards, or a
    layer that the first forward pass builds, brings new ones, which no step ever moves. The loss still goes down a
    little, as the layers around the random one adapt: a silent bug, of the kind that the recipe finds by overfitting a
    single batch. Where the whole model is built anew nothing is trained at all.

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
    optimizer holds while others are moved, or if they reach none at all that it holds; refuted, if an optimizer holds
    and moves them all the same. It abstains where other lines move them, or the lines cannot be run.

    ## When it stays silent
    - The optimizer is built afterwards, is built anew, or is given the new layer by `add_param_group`.
    - A first batch has gone through the model, and built its layers, before the optimizer is built.
    - The parameters stay the same objects: the model is moved (`model.cuda()`, `model.to(device)`), compiled, wrapped
      for data parallelism, pruned, or loads a checkpoint without `assign=True`.
    - The embeddings are resized, and no token has been added.
    - The optimizer makes no step afterwards, or it cannot be told which model it was built for.
    - The layer is one of another model, or has nothing to learn.
    """
    reported: set[int] = set()
    for run in trace.runs:
        for orphan in (*_newcomers(trace, run), *_strangers(trace, run)):
            if id(orphan.place.node) not in reported:
                reported.add(id(orphan.place.node))
                yield replace(_described(trace, orphan), experiment=partial(_experiment, trace, run, orphan))


@dataclass(frozen=True, slots=True, eq=False)
class Orphan:
    """What brings new parameters at ``place``, the optimizer that was built before, and a step that it makes later."""

    place: Place
    event: Attach | Renew | Forward
    build: Build
    step: Step


def _newcomers(trace: Trace, run: Run) -> Iterator[Orphan]:
    """The parameters that a model gets between the building of its optimizer and a step of that."""
    for position, event in enumerate(run.events):
        if not isinstance(event, (Attach, Renew)) or event.place.source is not trace.source:
            continue
        before, after = run.events[:position], run.events[position:]
        if _is_told(trace, event, after) or not _is_new(trace, event, before):
            continue
        for build in before:
            if isinstance(build, Build) and _is_for(build, event):
                step = next((each for each in after if isinstance(each, Step) and each.optimizer is build.value), None)
                if step is not None and agree(event, step) and not _was_there(event, before, build):
                    yield Orphan(event.place, event, build, step)
                    break


def _is_for(build: Build, event: Attach | Renew) -> bool:
    """Whether an optimizer was built for the module, for one that it is part of, or for what is replaced in it."""
    before = event.before if isinstance(event, Attach) else None
    return is_built_for(build.value, event.module) or any(each is before for each in modules_of(build.value))


def _is_new(trace: Trace, event: Attach | Renew, before: list[Event]) -> bool:
    """Whether an event brings parameters that were not there, as far as can be told."""
    if isinstance(event, Attach):
        return not (_is_lazy(event) and RUNS.search(trace.source.text))
    return event.by != "resize_token_embeddings" or any(GROWS.search(word) for word in words_of(trace.source.module))


def _is_lazy(event: Event) -> bool:
    """Whether it happens in the forward pass of a model."""
    return any(site.function.name == "forward" for site in event.context.calls)


def _was_there(event: Attach | Renew, before: list[Event], build: Build) -> bool:
    """Whether the same line has built the layer before the optimizer was, and does so again under a condition only."""
    earlier = (each for each in before[: before.index(build)] if isinstance(each, (Attach, Renew)))
    again = any(each.place.node is event.place.node and each.module is event.module for each in earlier)
    return again and bool(event.context.conditions)


def _is_told(trace: Trace, event: Attach | Renew, after: list[Event]) -> bool:
    """Whether an optimizer hears of the new parameters afterwards."""
    if TOLD.search(trace.source.text):
        return True
    later = [each.value for each in after if isinstance(each, Build)]
    new = event.value if isinstance(event, Attach) else event.module
    return any(is_built_for(each, event.module) or any(one is new for one in modules_of(each)) for each in later)


def _strangers(trace: Trace, run: Run) -> Iterator[Orphan]:
    """Models that are built anew under the name of the one that the optimizer was built for, and trained with it."""
    builds = {id(each.value): each for each in run.of(Build)}
    for position, step in enumerate(run.events):
        build = builds.get(id(step.optimizer)) if isinstance(step, Step) else None
        if not isinstance(step, Step) or build is None:
            continue
        backward = _backward_for(step, run.events[:position])
        if backward is None:
            continue
        modules = modules_of(build.value)
        made = {id(each) for each in ancestors(backward.loss)}
        trained = [each for each in run.events[:position] if isinstance(each, Forward) and id(each.result) in made]
        if not modules or any(
            holds(one, each.module) or holds(each.module, one) for each in trained for one in modules
        ):
            continue
        for forward in trained:
            origin = forward.module.origin
            if origin is not None and origin.source is trace.source and _is_renamed(trace, build, forward):
                yield Orphan(Place(origin.source, origin.node), forward, build, step)


def _backward_for(step: Step, before: list[Event]) -> Backward | None:
    """The last computation of gradients before a step, if it is one of the same round."""
    last = next((each for each in reversed(before) if isinstance(each, Backward)), None)
    loops = step.context.loops
    return last if last is not None and loops and last.context.loops == loops else None


def _is_renamed(trace: Trace, build: Build, forward: Forward) -> bool:
    """Whether a model that is called has the name, and is of the kind, of one that the optimizer was built for."""
    node = forward.place.node
    if not isinstance(node, cst.Call) or forward.place.source is not trace.source:
        return False
    name = trace.source.module.code_for_node(node.func)
    for source in sources_of(build.value):
        called = source.node
        if source.source is trace.source and isinstance(called, cst.Call) and isinstance(called.func, cst.Attribute):
            before = trace.source.module.code_for_node(called.func.value)
            if before == name and _make_of(source.inputs[0]) == _make_of(forward.module) is not None:
                return True
    return False


def _make_of(module: Value) -> object:
    """What a module is an object of: a class of the repository, or one of a library; None for any other value."""
    if isinstance(module, Instance):
        return module.cls
    return module.path if isinstance(module, Object) and module.kind == "module" else None


# --- what is said ----------------------------------------------------------------------------------------------------


def _described(trace: Trace, orphan: Orphan) -> Finding:
    event, node = orphan.event, orphan.place.node
    text = trace.source.module.code_for_node(node.func if isinstance(node, cst.Call) else node)
    advice = "build the optimizer after the model is complete"
    if isinstance(event, Forward):
        name = (
            trace.source.module.code_for_node(event.place.node.func) if isinstance(event.place.node, cst.Call) else ""
        )
        message = f"`{name}` is built anew after its optimizer was: no step moves the parameters of this one"
        advice = "build the optimizer for the model that is trained"
    elif isinstance(event, Renew):
        message = f"`{text}` gives the model new parameters after the optimizer was built: no step moves them"
    elif isinstance(node, cst.Call):
        message = f"`{text}` puts a layer into the model after the optimizer was built: no step moves its parameters"
    else:
        new = isinstance(node, cst.Attribute) and (event.before is None or isinstance(event.before, Const))
        verb = "set" if new else "replaced"
        message = f"`{text}` is {verb} after the optimizer was built: no step moves the parameters of the new one"
    if isinstance(event, Attach) and _is_lazy(event):
        advice = "build the layer in `__init__`, or run the model once before the optimizer is built"
    return Finding(
        orphan.place,
        message,
        "an optimizer holds the parameters that the model has when it is built",
        advice,
        (
            Note(orphan.build.place, "the optimizer takes the parameters here"),
            Note(orphan.step.place, "and steps them here"),
        ),
        confidence=Confidence.HIGH,
    )


# --- the experiment --------------------------------------------------------------------------------------------------


def _experiment(trace: Trace, run: Run, orphan: Orphan) -> Experiment | None:
    """A few steps of the script's training, with an eye on the new parameters."""
    new = _brought(trace, orphan)
    if new is None:
        return None
    event = orphan.event
    way = [site.place for site in event.context.calls if isinstance(site.place.node, cst.Call)]
    return protocol(
        run,
        "unheld-parameters",
        accused=orphan.place,
        around=orphan.step,
        watches=(Watch("layers", new),),
        anchors=way,
        beside=(event,),
    )


def _brought(trace: Trace, orphan: Orphan) -> Place | None:
    """The expression whose value has the new parameters: what is assigned or put in, or the module itself."""
    event, node = orphan.event, orphan.event.place.node
    found: cst.CSTNode | None = None
    if isinstance(event, Forward):
        found = node.func if isinstance(node, cst.Call) else None
    elif isinstance(node, cst.Call) and isinstance(event, Renew) and isinstance(node.func, cst.Attribute):
        found = node if event.by not in ("load_state_dict", "resize_token_embeddings") else node.func.value
    elif isinstance(node, cst.Call):
        found = node if isinstance(event, Renew) else node.args[-1].value if node.args else None
    else:
        assigned = (each for each in below(trace.source.module) if isinstance(each, cst.Assign))
        found = next((each.value for each in assigned if any(one.target is node for one in each.targets)), None)
    return None if found is None else Place(event.place.source, found)
