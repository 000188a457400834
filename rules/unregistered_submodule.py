"""NN305: layers in a plain list or dict, which torch does not find."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.protocol import protocol
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.source import Source
from nnlint.symbolic.trace import Hide, Run, Step, Trace
from nnlint.symbolic.values import Instance, Object, Value
from nnlint.symbolic.words import BINDS_CONTAINER, below, words_of

REGISTERS = re.compile(
    r"^(add_module|register_module|setattr|__setattr__|_modules|__dict__|exec|vars|requires_grad_?)$"
)
"""Names that a class uses which registers modules by other means, or freezes them."""

GATHERS = re.compile(r"^(named_)?parameters$|^_?parameters_of|^param_groups?$|^get_param")
"""Names that are used where parameters are gathered by hand."""

CONTAINERS = ("ModuleList", "ModuleDict", "Sequential")
"""Containers of torch that register what they are given."""


@rule(
    "NN305",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("Module",),
    requires=("def forward",),
    roots=(f"^{re.escape(BINDS_CONTAINER)}$",),
)
def unregistered_submodule(trace: Trace) -> Iterator[Finding]:
    """Layers in a plain list or dict: `parameters()` does not find them, so they are never trained.

    ## Why it matters
    A module knows the layers that are its attributes, not what lies in its lists and dicts. Layers there take part in
    `forward`, but the optimizer never gets their parameters, `to(device)` leaves them on the CPU, `eval()` does not
    reach their dropout, and the checkpoint does not hold them. The model still trains, with random layers inside: a
    bug of the silent kind that the recipe is about.

    ## Example
    ```python
    import torch
    from torch import nn


    class Network(nn.Module):
        def __init__(self, depth):
            super().__init__()
            self.first = nn.Linear(8, 32)
            self.blocks = [nn.Linear(32, 32) for _ in range(depth)]
            self.last = nn.Linear(32, 1)

        def forward(self, x):
            x = self.first(x).relu()
            for block in self.blocks:
                x = block(x).relu()
            return self.last(x)
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn


    class Network(nn.Module):
        def __init__(self, depth):
            super().__init__()
            self.first = nn.Linear(8, 32)
            self.blocks = nn.ModuleList([nn.Linear(32, 32) for _ in range(depth)])
            self.last = nn.Linear(32, 1)

        def forward(self, x):
            x = self.first(x).relu()
            for block in self.blocks:
                x = block(x).relu()
            return self.last(x)
    ```

    ## How it is confirmed
    By protocol: a few iterations of the script's own training are run, and it is written down which parameters
    gradients reach and which the optimizers hold. Confirmed, if gradients reach parameters of these layers that no
    optimizer holds while others are moved; refuted, if an optimizer holds and moves them all the same. It abstains
    where other lines move them.

    Where the file trains nothing the module is built, and run on inputs that it accepts. Confirmed, if gradients come
    back from its outputs to parameters of these layers that `parameters()` does not give; refuted, if it gives them
    all. It abstains where the module cannot be built or run.

    ## When it stays silent
    - The layers are registered as well: in a `ModuleList`, a `Sequential`, with `add_module` or `setattr`.
    - They have nothing to learn: activations, pooling, dropout, losses.
    - Somebody gathers their parameters by hand, in the class or where the optimizer is built.
    - A single module is wrapped in a list, which is how a frozen teacher is hidden on purpose, or layers are frozen.
    - They are not used outside of `__init__`: the list is only on the way to a container.
    """
    reported: set[tuple[int, str]] = set()
    for run in trace.runs:
        for event in run.of(Hide):
            cls = event.module.cls
            if cls.frame.module.source is not trace.source or (id(cls.node), event.attribute) in reported:
                continue
            reported.add((id(cls.node), event.attribute))
            written = _assigned(cls.node, event.attribute)
            if written is not None and not _is_on_purpose(trace.source, cls.node, event.attribute, written):
                finding = _described(trace.source, event, written)
                yield replace(finding, experiment=_experiment(run, event, finding.place, written))


# --- the attribute in the class --------------------------------------------------------------------------------------


def _is_attribute(node: cst.CSTNode, name: str) -> bool:
    """``self.name``."""
    return (
        isinstance(node, cst.Attribute)
        and node.attr.value == name
        and isinstance(node.value, cst.Name)
        and node.value.value == "self"
    )


def _assigned(cls: cst.ClassDef, name: str) -> cst.Assign | cst.AnnAssign | None:
    """The first statement of the class that binds the attribute."""
    for node in below(cls):
        if isinstance(node, cst.Assign) and any(_is_attribute(each.target, name) for each in node.targets):
            return node
        if isinstance(node, cst.AnnAssign) and _is_attribute(node.target, name) and node.value is not None:
            return node
    return None


def _is_on_purpose(source: Source, cls: cst.ClassDef, name: str, written: cst.Assign | cst.AnnAssign) -> bool:
    """Whether the layers are registered or trained by other means, hidden on purpose, or not used."""
    if any(REGISTERS.search(word) for word in words_of(cls)):
        return True
    if isinstance(written.value, (cst.List, cst.Tuple)) and len(written.value.elements) == 1:
        return True
    return _is_contained(cls, name, written.value) or not _is_used(cls, name) or _is_gathered(source.module, name)


def _is_contained(cls: cst.ClassDef, name: str, written: cst.BaseExpression | None) -> bool:
    """Whether the list is given to a container as well: ``nn.ModuleList(self.layers)``, ``nn.Sequential(*layers)``."""
    local = written.value if isinstance(written, cst.Name) else None
    calls = (node for node in below(cls) if isinstance(node, cst.Call) and _last_word(node.func) in CONTAINERS)
    return any(
        _is_attribute(part, name) or (isinstance(part, cst.Name) and part.value == local)
        for call in calls
        for part in below(call)
    )


def _is_used(cls: cst.ClassDef, name: str) -> bool:
    """Whether a method other than ``__init__`` speaks of the attribute."""
    methods = (node for node in cls.body.body if isinstance(node, cst.FunctionDef) and node.name.value != "__init__")
    return any(name in words_of(method) for method in methods)


def _is_gathered(module: cst.Module, name: str) -> bool:
    """Whether a statement, a loop or a function made for it speaks of the attribute and of parameters together."""
    for node in below(module):
        made_for_it = isinstance(node, cst.FunctionDef) and GATHERS.search(node.name.value)
        if made_for_it or isinstance(node, (cst.For, cst.SimpleStatementLine)):
            words = words_of(node)
            if name in words and any(GATHERS.search(word) for word in words):
                return True
    return False


def _last_word(node: cst.BaseExpression) -> str:
    return node.attr.value if isinstance(node, cst.Attribute) else node.value if isinstance(node, cst.Name) else ""


# --- what is said ----------------------------------------------------------------------------------------------------


def _described(source: Source, event: Hide, written: cst.Assign | cst.AnnAssign) -> Finding:
    assert written.value is not None
    kind = "dict" if isinstance(written.value, (cst.Dict, cst.DictComp)) else "list"
    layers = _kinds(event.hidden)
    return Finding(
        Place(source, written),
        f"`self.{event.attribute}` of {event.module.cls.name} is a plain {kind} of {layers}: "
        "`parameters()` does not find them",
        "they are not trained, not moved to the device and not saved",
        f"make it an `nn.{'ModuleDict' if kind == 'dict' else 'ModuleList'}`",
        tuple(_built_at(source, event)),
        fix=_registered(source, written.value),
        confidence=Confidence.HIGH,
    )


def _kinds(modules: tuple[Value, ...]) -> str:
    """What the layers are: ``Linear and Conv2d layers``."""
    names = dict.fromkeys(
        each.name if isinstance(each, Object) else each.cls.name
        for each in modules
        if isinstance(each, (Object, Instance))
    )
    shown = list(names)[:3]
    return f"{' and '.join(shown)} modules" if shown else "modules"


def _built_at(source: Source, event: Hide) -> Iterator[Note]:
    """Where the first of the layers is built, if that is in another place than the list."""
    for each in event.hidden[:1]:
        if each.origin is not None and each.origin.source is source:
            yield Note(Place(source, each.origin.node), "built here")


def _registered(source: Source, value: cst.BaseExpression) -> Fix | None:
    """``[…]`` becomes ``nn.ModuleList([…])``."""
    is_list = isinstance(value, (cst.List, cst.ListComp))
    if not is_list and not (isinstance(value, cst.Dict) and _has_names_for_keys(value)):
        return None
    container = _spelled(source, "ModuleList" if is_list else "ModuleDict")
    if not container:
        return None
    empty = isinstance(value, (cst.List, cst.Dict)) and not value.elements
    text = "" if empty else source.module.code_for_node(value)
    return Fix(f"make it a `{container}`", (Edit("replace", Place(source, value), f"{container}({text})"),))


def _has_names_for_keys(value: cst.Dict) -> bool:
    keys = [item.key for item in value.elements if isinstance(item, cst.DictElement)]
    strings = [key.evaluated_value for key in keys if isinstance(key, cst.SimpleString)]
    return len(strings) == len(value.elements) and all(isinstance(key, str) and "." not in key for key in strings)


def _spelled(source: Source, name: str) -> str:
    """How the file would write ``torch.nn.name``; empty if that cannot be told."""
    text = "\n".join(source.lines)
    if re.search(r"^\s*(import torch\.nn as nn|from torch import (\w+, )*nn\b)", text, re.MULTILINE):
        return f"nn.{name}"
    return f"torch.nn.{name}" if re.search(r"^\s*import torch\b", text, re.MULTILINE) else ""


# --- the experiment --------------------------------------------------------------------------------------------------


def _experiment(run: Run, event: Hide, accused: Place, written: cst.Assign | cst.AnnAssign) -> Experiment | None:
    """A few steps of the script's training; where the file trains nothing, the model by itself."""
    after = run.events[run.events.index(event) :]
    step = next((each for each in after if isinstance(each, Step)), None)
    if written.value is None:
        return None
    if step is None:
        entry = Place(accused.source, event.module.cls.node)
        return Experiment("hidden_layers", entry=entry, settings={"attribute": event.attribute})
    layers = Watch("layers", Place(accused.source, written.value))
    filled = [Place(accused.source, node) for node in _filled(event.module.cls.node, event.attribute)]
    return protocol(
        run, "unheld-parameters", accused=accused, around=step, watches=(layers,), anchors=filled, beside=(event,)
    )


def _filled(cls: cst.ClassDef, name: str) -> Iterator[cst.BaseExpression]:
    """The calls of the class that put layers into the list: ``self.layers.append(…)``."""
    calls = (node.value for node in below(cls) if isinstance(node, cst.Expr) and isinstance(node.value, cst.Call))
    for call in calls:
        if isinstance(call.func, cst.Attribute) and any(_is_attribute(part, name) for part in below(call.func)):
            yield call
