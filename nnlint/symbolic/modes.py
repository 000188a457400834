"""Modules and their modes: what a script uses as a module, and whether it is in train or in eval mode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.symbolic.trace import Build, Forward, Run
from nnlint.symbolic.values import (
    Arguments,
    Attribute,
    Choice,
    Instance,
    Object,
    Sequence,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    import libcst as cst

    from nnlint.symbolic.executor import Executor

MODEL = re.compile(
    r"(torchvision\.models|segmentation_models_pytorch|pretrainedmodels)\.|timm(\.models(\.factory)?)?\.create_model$|"
    r"transformers\.\w*(Model|LMHead|For[A-Z])\w*\.from_(pretrained|config)$|efficientnet_pytorch\."
)
"""Paths of functions and classes of libraries that give a whole model."""

PARTS = re.compile(r"\.(transforms|list_models|get_\w*weights?|[A-Z]\w*_Weights\w*|utils|losses|metrics|datasets)\b")
"""What else there is in these libraries."""

PARALLEL = ("DataParallel", "DistributedDataParallel")

MOST = 400
"""Modules inside of one that are put into a mode with it."""


def key_of(value: Value) -> object:
    """What a module is known by: its identity; an attribute nobody has assigned is a new value each time it is read."""
    return (key_of(value.receiver), value.name) if isinstance(value, Attribute) else id(value)


def use_as_module(executor: Executor, value: Value) -> None:
    """The script does with a value what is done with modules."""
    for each in alternatives_of(value):
        executor.modules.setdefault(key_of(each), each)


def alternatives_of(value: Value) -> Iterator[Value]:
    """The value, or the sides of a choice."""
    if isinstance(value, Choice):
        yield from alternatives_of(value.yes)
        yield from alternatives_of(value.no)
    else:
        yield value


def is_library_model(value: Value) -> bool:
    """Whether a library has built the value, as a whole model."""
    origin = value.origin
    path = value.path if isinstance(value, Object) else "" if origin is None else origin.op
    return MODEL.match(path) is not None and not PARTS.search(path)


def mode_of(executor: Executor, value: Value) -> bool | None:
    """The mode of a module, None if it cannot be told. Libraries build models in train mode, but for transformers."""
    key = key_of(value)
    if key in executor.modes:
        return executor.modes[key]
    if isinstance(value, (Instance, Object)):
        return value.training
    if is_library_model(value) and value.origin is not None:
        return not value.origin.op.endswith("from_pretrained")
    return None


def put_into(executor: Executor, module: Value, training: bool | None) -> None:
    """Put a module, and all that it is made of, into a mode."""
    seen: set[int] = set()
    stack = [module]
    while stack and len(seen) < MOST:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, (Instance, Object)):
            executor.put(value, "training", training)
            stack += parts_of(value)
        elif value is module or is_library_model(value) or key_of(value) in executor.modules:
            key = key_of(value)
            executor.modes.setdefault(key, mode_of(executor, value))
            executor.put(executor.modes, key, training)


def remember_parts(run: Run) -> None:
    """Keep what the modules of a run are made of, before the run takes its changes back."""
    seen: set[int] = set()
    for event in run.events:
        module = event.value if isinstance(event, Build) else getattr(event, "module", None)
        stack = [] if module is None else list(alternatives_of(module))
        while stack:
            value = stack.pop()
            if id(value) not in seen and isinstance(value, (Instance, Object)):
                seen.add(id(value))
                held = parts_of(value)
                stack += held
                if isinstance(value, Instance) and held:
                    value.parts = held


def parts_of(module: Instance | Object) -> list[Value]:
    """The modules that a module holds directly, and perhaps other things that it holds."""
    held = list(module.attributes.values())
    if isinstance(module, Instance):
        held += module.parts
    if isinstance(module, Object):
        if module.kind not in ("module", ""):
            return []
        held += module.children
    found: list[Value] = []
    for value in held:
        for item in value.items if isinstance(value, Sequence) else [value]:
            found += alternatives_of(item)
    return [
        each
        for each in found
        if isinstance(each, (Instance, Unknown)) or (isinstance(each, Object) and each.kind in ("module", ""))
    ]


def holds(whole: Value, part: Value) -> bool:
    """Whether a module is another, or has it inside."""
    stack, seen = list(alternatives_of(whole)), set[object]()
    wanted = {key_of(each) for each in alternatives_of(part)}
    while stack and len(seen) < MOST:
        value = stack.pop()
        key = key_of(value)
        if key in wanted:
            return True
        if key not in seen and isinstance(value, (Instance, Object)):
            stack += parts_of(value)
        seen.add(key)
    return False


def note_forward(executor: Executor, callee: Value, arguments: Arguments, result: Value, node: cst.CSTNode) -> None:
    """A value nobody knows, or an object of a library, was called: the event, if it is a whole model."""
    module = callee
    if isinstance(callee, Attribute) and callee.name == "forward":
        module = callee.receiver
    if isinstance(module, Object) and (module.kind not in ("module", "") or module.name in PARALLEL):
        return
    if key_of(module) in executor.modules or is_library_model(module):
        training = mode_of(executor, module)
        executor.emit(Forward, node, module=module, arguments=arguments, result=result, training=training)


def copy_of(executor: Executor, value: Value, copied: dict[int, Value] | None = None) -> Value:
    """A module of its own with modules of its own inside; anything else is itself."""
    known = {} if copied is None else copied
    if id(value) in known or len(known) > MOST:
        return known.get(id(value), value)
    if isinstance(value, Choice):
        return Choice(value.test, copy_of(executor, value.yes, known), copy_of(executor, value.no, known))
    if isinstance(value, (Unknown, Attribute)) and (key_of(value) in executor.modules or is_library_model(value)):
        known[id(value)] = other = Unknown(value.name, origin=value.origin)
        use_as_module(executor, other)
        executor.modes[key_of(other)] = mode_of(executor, value)
        return other
    if isinstance(value, Instance):
        known[id(value)] = twin = Instance(value.cls, {}, value.arguments, value.training, origin=value.origin)
        twin.attributes.update({name: copy_of(executor, held, known) for name, held in value.attributes.items()})
        return twin
    if isinstance(value, Object) and value.kind == "module":
        known[id(value)] = layer = Object(
            value.path, value.kind, value.arguments, training=value.training, origin=value.origin
        )
        layer.attributes.update({name: copy_of(executor, held, known) for name, held in value.attributes.items()})
        layer.children += [copy_of(executor, child, known) for child in value.children]
        return layer
    return value
