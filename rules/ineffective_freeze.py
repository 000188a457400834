"""NN310: a freeze that freezes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.held import PARAMETERS, owner_of
from nnlint.evidence.late_freezes import LateFreeze, late_freezes
from nnlint.evidence.protocol import protocol
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.source import Source
from nnlint.symbolic.trace import Run, SetRequiresGrad, Step, Trace
from nnlint.symbolic.values import (
    Attribute,
    Class,
    Const,
    Instance,
    Library,
    Object,
    Sequence,
    Unknown,
    Value,
    alternatives,
    resolve_setting,
)
from nnlint.symbolic.words import below, words_of

Target = Literal["parameter", "module"]

RIGHT = "requires_grad"
"""The attribute of a parameter that autograd reads."""

METHOD = "requires_grad_"
"""The method of a module that sets it of all its parameters."""

MODULES = frozenset((".modules", ".named_modules", ".children", ".named_children"))
WEIGHTS = frozenset(("weight", "bias", "weight_ih", "weight_hh"))
"""What the parameters of layers are called."""

PARTS = re.compile(r"^(features|classifier|fc|head|layer\d|conv\d+|bn\d+|backbone|encoder|decoder|stem|blocks)$")
"""What the parts of models of torchvision and timm are called."""

MODELS = ("torchvision.models.", "timm.create_model", "timm.models.")


@rule(
    "NN310",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=(
        "require_grad",
        "required_grad",
        "requires_grads",
        ".requires_grad =",
        ".requires_grad=",
        ".trainable",
        "set_to_none=False",
    ),
    roots=(r"^requires?d?_?grads?_?$", "^trainable$"),
)
def ineffective_freeze(trace: Trace) -> Iterator[Finding]:
    """A freeze that freezes nothing: `requires_grad` of a module, a misspelt name, or one that comes too late.

    ## Why it matters
    Python lets any attribute be set, and autograd reads only one: `requires_grad` of a parameter. Set on a module, or
    misspelt, it changes nothing, no error is raised, and the backbone that was to be kept is trained along. The recipe
    asks to see what is really trained: count the parameters that require a gradient.

    The optimizer does not read it at all. It passes over parameters without a gradient, which is what frozen ones have
    as soon as `zero_grad()` has set it to None. After `zero_grad(set_to_none=False)` their gradient is zero instead,
    and weight decay, momentum and the averages of Adam go on moving them.

    ## Example
    ```python
    import torch
    from torch import nn

    backbone = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32))
    for param in backbone.parameters():
        param.require_grad = False
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn

    backbone = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32))
    for param in backbone.parameters():
        param.requires_grad = False
    ```

    ## How it is confirmed
    By protocol: a few iterations of the script's own training are run, and it is written down which parameters the
    steps of the optimizer move. Confirmed, if parameters that were to be frozen are among them (for a freeze that comes
    too late: in steps after it); refuted, if others are moved and these are not. It abstains where the file trains
    nothing, the freeze is not reached, the rate of these parameters is 0 so far, or the lines cannot be run.

    ## When it stays silent
    - It is a tensor, an input or a buffer: they require no gradient anyway.
    - `requires_grad_(False)`, which modules do understand.
    - The attribute is the class's own: it has a property of that name, or reads it.
    - The parameters of the same module are frozen as well, in the way that works.
    - It cannot be told whether it is a module, a parameter or a tensor.
    - The freeze comes before the first step, may be taken back, or nothing moves parameters without a gradient: the
      gradients are set to None, or it is SGD with neither momentum nor weight decay.
    """
    reported: set[int] = set()
    for run in trace.runs:
        for late in late_freezes(run):
            place = Place(late.freeze.place.source, late.freeze.place.node)
            if place.source is trace.source and id(place.node) not in reported:
                reported.add(id(place.node))
                yield replace(_described_late(trace.source, late), experiment=_experiment_on_late(run, late))
        for event in run.of(SetRequiresGrad):
            node = event.place.node
            if event.place.source is not trace.source or id(node) in reported or _is_true(event.value):
                continue
            if event.name == METHOD:
                continue
            kind = _kind_of_target(event)
            if kind is None or (kind == "parameter") == (event.name == RIGHT) or _is_meant(trace, run, event):
                continue
            reported.add(id(node))
            finding = _described(trace.source, event, kind)
            yield replace(finding, experiment=_experiment(run, event, finding.place))


def _is_true(value: Value) -> bool:
    resolved = resolve_setting(value)
    return isinstance(resolved, Const) and bool(resolved.value)


# --- what it is set of -----------------------------------------------------------------------------------------------


def _kind_of_target(event: SetRequiresGrad) -> Target | None:
    """Whether it is a parameter or a module; None if it is something else or cannot be told."""
    for condition in event.context.conditions:
        asked = _asked_for(condition.test, event.target) if condition.outcome else []
        if asked:
            return "module" if all(map(_is_module_class, asked)) else None
    return kind_of(event.target)


def _asked_for(test: Value, target: Value) -> list[Value]:
    """The classes that ``isinstance(target, …)`` asks for; empty for any other test."""
    origin = test.origin
    if (
        origin is None
        or origin.op != "builtins.isinstance"
        or len(origin.inputs) != 2
        or origin.inputs[0] is not target
    ):
        return []
    classes = origin.inputs[1]
    return classes.items if isinstance(classes, Sequence) else alternatives(classes)


def _is_module_class(value: Value) -> bool:
    if isinstance(value, Class):
        return _is_module(value)
    return isinstance(value, Library) and value.path.startswith("torch.nn.") and not value.path.endswith("Parameter")


def _is_module(cls: Class) -> bool:
    return any(path.startswith("torch.nn.") or path.endswith("LightningModule") for path in cls.libraries())


def kind_of(value: Value) -> Target | None:
    """Whether a value is a parameter or a module; None if it is something else or cannot be told."""
    if isinstance(value, Attribute):
        return "parameter" if value.name in WEIGHTS and kind_of(value.receiver) == "module" else None
    if isinstance(value, Instance):
        return "module" if _is_module(value.cls) else None
    if isinstance(value, Object):
        return "module" if value.kind == "module" else None
    origin = value.origin
    if not isinstance(value, Unknown) or origin is None:
        return None
    if origin.op == "getattr" and origin.inputs:
        if value.name in WEIGHTS:
            return "parameter" if kind_of(origin.inputs[0]) == "module" else None
        return "module" if PARTS.search(value.name) and kind_of(origin.inputs[0]) == "module" else None
    if origin.op.startswith(MODELS):
        return "module"
    return _yielded_by(value)


def _yielded_by(value: Value) -> Target | None:
    """What a loop over ``parameters()`` or ``modules()``, or the second of a pair of ``named_…()``, yields."""
    origin = value.origin
    pair = False
    if origin is not None and origin.op == "getitem" and len(origin.inputs) == 2:
        key = origin.inputs[1]
        pair = isinstance(key, Const) and key.value == 1
        origin = origin.inputs[0].origin if pair else None
    if origin is None or origin.op != "iterate" or not origin.inputs or origin.inputs[0].origin is None:
        return None
    method = origin.inputs[0].origin.op
    if method.startswith(".named_") is not pair:
        return None
    return "parameter" if method in PARAMETERS else "module" if method in MODULES else None


# --- what is meant ---------------------------------------------------------------------------------------------------


def _is_meant(trace: Trace, run: Run, event: SetRequiresGrad) -> bool:
    """Whether the attribute is read by somebody, or the freeze is done in the right way besides."""
    target = event.target
    if isinstance(target, Instance) and (target.cls.lookup(event.name) or _is_read(target.cls.node, event.name)):
        return True
    if event.name == "trainable" and _is_read(trace.source.module, event.name):
        return True
    if "requires_grad_" in words_of(_scope(trace.source, event)):
        return True
    frozen = [
        owner_of(other.target) for other in run.of(SetRequiresGrad) if other.name == RIGHT and not _is_true(other.value)
    ]
    return event.name == RIGHT and any(
        owner is target or owner is owner_of(target) for owner in frozen if owner is not None
    )


def _is_read(node: cst.CSTNode, name: str) -> bool:
    """Whether an attribute of the name is read below a node, and not only set."""
    written = {id(each.target) for each in below(node) if isinstance(each, cst.AssignTarget)}
    return any(
        isinstance(each, cst.Attribute) and each.attr.value == name and id(each) not in written for each in below(node)
    )


def _scope(source: Source, event: SetRequiresGrad) -> cst.CSTNode:
    """The function that the statement stands in, or the file."""
    calls = event.context.calls
    return calls[-1].function.node if calls else source.module


# --- what is said ----------------------------------------------------------------------------------------------------


def _described(source: Source, event: SetRequiresGrad, kind: Target) -> Finding:
    statement = _statement(source, event.place.node)
    place = Place(source, statement or event.place.node)
    text = source.module.code_for_node(event.place.node)
    if kind == "parameter":
        message = f"`{text}` is no attribute that autograd reads, it is called `{RIGHT}`: the parameter stays trainable"
        advice = f"write `{RIGHT}`"
    else:
        message = f"`{text}` is set of a module, where nobody reads it: its parameters stay trainable"
        advice = "call `requires_grad_(False)` of the module, which sets it of all its parameters"
    return Finding(
        place,
        message,
        "what was to be frozen is trained along",
        advice,
        fix=_fix(source, event, kind, statement),
        severity=Severity.ERROR if kind == "parameter" else None,
        confidence=Confidence.HIGH,
    )


def _described_late(source: Source, late: LateFreeze) -> Finding:
    node = late.freeze.place.node
    return Finding(
        Place(source, _statement(source, node) or node),
        f"frozen after the optimizer has moved them, these parameters go on moving: by {late.by}",
        "`zero_grad(set_to_none=False)` leaves them a gradient of zero, and a step only passes over those without one",
        "let `zero_grad()` set the gradients to None, or build the optimizer anew without these parameters",
        (
            Note(late.optimizer.place, "the optimizer holds them"),
            Note(late.clearing.place, "their gradients become zero here, not None"),
            Note(late.after.place, "and they are moved here"),
        ),
        confidence=Confidence.HIGH,
    )


def _statement(source: Source, node: cst.CSTNode) -> cst.Assign | None:
    """The assignment with the one target ``node``."""
    for each in below(source.module):
        if isinstance(each, cst.Assign) and len(each.targets) == 1 and each.targets[0].target is node:
            return each
    return None


def _fix(source: Source, event: SetRequiresGrad, kind: Target, statement: cst.Assign | None) -> Fix | None:
    node = event.place.node
    if statement is None or not isinstance(node, cst.Attribute):
        return None
    if kind == "parameter":
        return Fix(f"write `{RIGHT}`", (Edit("replace", Place(source, node.attr), RIGHT),))
    module, value = (source.module.code_for_node(each) for each in (node.value, statement.value))
    text = f"{module}.requires_grad_({value})"
    return Fix("freeze the parameters of the module", (Edit("replace", Place(source, statement), text),))


# --- the experiment --------------------------------------------------------------------------------------------------


def _experiment(run: Run, event: SetRequiresGrad, accused: Place) -> Experiment | None:
    """A few steps of the script's training, with an eye on what was to be frozen; none where it trains nothing."""
    after = run.events[run.events.index(event) :]
    step = next((each for each in after if isinstance(each, Step)), None)
    return None if step is None else _watched(run, "ineffective-freeze", event, accused, step)


def _experiment_on_late(run: Run, late: LateFreeze) -> Experiment | None:
    """The same, for a freeze that comes while the loops are gone through, or between two that are."""
    return _watched(run, "late-freeze", late.freeze, late.freeze.place, late.after, late.before)


def _watched(
    run: Run, check: str, event: SetRequiresGrad, accused: Place, step: Step, *earlier: Step
) -> Experiment | None:
    node = event.place.node.func if isinstance(event.place.node, cst.Call) else event.place.node
    if not isinstance(node, cst.Attribute):
        return None
    layers = Watch("layers", Place(accused.source, node.value))
    ways = [site.place for each in (event, *earlier) for site in each.context.calls]
    way = [place for place in ways if isinstance(place.node, cst.Call)]
    return protocol(run, check, accused=accused, around=step, watches=(layers,), anchors=way, beside=(event, *earlier))
