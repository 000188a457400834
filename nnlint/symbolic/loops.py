"""Loops: what kind they are, what their rounds yield, and what a round leaves to the next."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.symbolic import calls
from nnlint.symbolic.branches import MISSING, Changes, Entry, Flow, changes
from nnlint.symbolic.scalar import evaluate, is_numeric, operation, truth
from nnlint.symbolic.values import (
    Attribute,
    Batch,
    Carried,
    Choice,
    Const,
    Index,
    Instance,
    Library,
    Loop,
    Mapping,
    Object,
    Origin,
    Range,
    Sequence,
    Setting,
    Symbol,
    Tensor,
    Unknown,
    Value,
    Wrapped,
    resolve_setting,
    shape_of,
)

if TYPE_CHECKING:
    from nnlint.symbolic.executor import Executor

EPOCH = re.compile(r"epoch|(^|_)ep(s|och|ochs)?($|_)|^e$", re.IGNORECASE)
LOADER = re.compile(
    r"loader|data_?iter|batches|batch_?iter|^(train|test|val|valid|trn|tst)_?(data|dl|iter|gen)?$|_dl$", re.IGNORECASE
)
STEPS = re.compile(r"step|iter|^(it|its|i_batch)$|batch", re.IGNORECASE)

UNROLLED = 3
"""A loop over at most this many known items is read item by item."""

UNROLLED_OBJECTS = 10
"""Nor over more objects than this: the transforms of a pipeline, each of which does something else."""


def names_of(target: cst.CSTNode) -> list[str]:
    """The plain names that a loop target binds, in order."""
    if isinstance(target, cst.Name):
        return [target.value]
    if isinstance(target, (cst.Tuple, cst.List)):
        return [name for element in target.elements for name in names_of(element.value)]
    return []


def innermost_source(value: Value) -> Value:
    """What is iterated over once ``enumerate``, ``tqdm`` and the like are taken away (of ``zip``: the first)."""
    value = resolve_setting(value) or value
    while isinstance(value, Wrapped) and value.sources:
        value = value.sources[0]
    return value


def is_loader(value: Value) -> bool:
    """Whether iterating over the value yields batches: built as a loader, or named like one."""
    value = innermost_source(value)
    if isinstance(value, Object):
        return value.kind == "loader"
    if isinstance(value, Instance):
        return value.cls.derives("torch.utils.data.DataLoader") or bool(LOADER.search(value.cls.name))
    if isinstance(value, (Unknown, Tensor)):
        if LOADER.search(value.name):
            return True
        inputs = () if value.origin is None else value.origin.inputs
        return bool(inputs) and isinstance(inputs[0], Unknown) and is_named_loader(value)
    if isinstance(value, Choice):
        return is_loader(value.yes) or is_loader(value.no)
    if isinstance(value, Attribute):
        return bool(LOADER.search(value.name))
    return False


def is_named_loader(value: Unknown | Tensor) -> bool:
    """Whether an unknown value comes from a callable or item whose name speaks of batches."""
    origin = value.origin
    if origin is None:
        return False
    names = [item.name for item in origin.inputs if isinstance(item, Unknown)]
    names += [str(item.value) for item in origin.inputs if isinstance(item, Const) and isinstance(item.value, str)]
    return any(LOADER.search(name) for name in names)


def length(executor: Executor, value: Value) -> Value:
    """``len(value)``: the same symbol for the same value each time where it is not known."""
    value = resolve_setting(value) or value
    if isinstance(value, Sequence) and not value.open:
        return Const(len(value.items))
    if isinstance(value, Mapping) and not value.open:
        return Const(len(value.items))
    if isinstance(value, Const) and isinstance(value.value, (str, bytes)):
        return Const(len(value.value))
    if isinstance(value, Range):
        return rounds_of_range(value)
    if isinstance(value, (Tensor, Unknown)) and shape_of(value).rank is not None:
        return shape_of(value).size(0)
    if isinstance(value, Wrapped) and value.sources and value.kind != "zip":
        return length(executor, value.sources[0])
    if id(value) not in executor.lengths:
        name = value.name if isinstance(value, Unknown) else ""
        known: Value = Symbol(f"len({name})" if name else "", of=value)
        if isinstance(value, Tensor) or (isinstance(value, Unknown) and value.shape is not None):
            known = shape_of(value).size(0)
        elif isinstance(value, Object) and value.children and value.kind not in ("optimizer", "dataset"):
            known = Const(len(value.children))
        executor.lengths[id(value)] = (value, known)
    return executor.lengths[id(value)][1]


def rounds_of_range(value: Range) -> Value:
    """How often ``for … in range(…)`` goes round."""
    if isinstance(value.step, Const) and value.step.value == 1:
        return operation("-", value.stop, value.start)
    return operation("ceil", operation("/", operation("-", value.stop, value.start), value.step))


def element(executor: Executor, iterable: Value, loop: Loop | None) -> Value:
    """What one round of a loop over ``iterable`` yields."""
    iterable = resolve_setting(iterable) or iterable
    if isinstance(iterable, Range):
        if loop is None:
            return Symbol()
        if loop.variable is None:
            loop.variable = Index(loop, iterable.start, iterable.step)
        return loop.variable
    if isinstance(iterable, Wrapped):
        return element_of_wrapped(executor, iterable, loop)
    if isinstance(iterable, Sequence):
        if iterable.items:
            return calls.any_of([*iterable.items, *([iterable.element] if iterable.element else [])])
        return iterable.element or Unknown()
    if isinstance(iterable, Mapping):
        keys = islice((key for key in iterable.items if isinstance(key, (str, int))), calls.TOLD_APART)
        return calls.any_of([Const(key) for key in keys] or [Unknown()])
    if isinstance(iterable, Choice):
        yes = element(executor, iterable.yes, loop)
        no = element(executor, iterable.no, loop)
        return Choice(iterable.test, yes, no)
    if isinstance(iterable, Attribute) and iterable.name == "param_groups":
        return param_group(executor, iterable.receiver)
    if isinstance(iterable, Unknown) and iterable.name == "param_groups" and iterable.origin is not None:
        return param_group(executor, iterable.origin.inputs[0])
    if isinstance(iterable, Object) and iterable.kind == "loader":
        return batch(executor, iterable)
    if isinstance(iterable, Object) and iterable.children:
        return calls.any_of(iterable.children)
    if isinstance(iterable, Instance):
        return element_of_instance(executor, iterable)
    origin = None
    if loop is not None:
        origin = Origin("iterate", (iterable,), loop.source, loop.node)
    if isinstance(iterable, Tensor):
        dims = shape_of(iterable).dims
        from nnlint.symbolic.values import Shape

        return Tensor(Shape(None if dims is None else dims[1:]), origin=origin, batch=iterable.batch)
    return Unknown(origin=origin, batch=Batch(iterable) if is_loader(iterable) else None)


def element_of_wrapped(executor: Executor, iterable: Wrapped, loop: Loop | None) -> Value:
    """What one round over ``enumerate``, ``zip``, ``items`` … yields."""
    if iterable.kind == "enumerate":
        counted: Value = Symbol()
        if loop is not None:
            start = iterable.sources[1] if len(iterable.sources) > 1 else Const(0)
            if loop.variable is None:
                loop.variable = Index(loop, start, Const(1))
            counted = loop.variable
        return Sequence("tuple", [counted, element(executor, iterable.sources[0], loop)])
    if iterable.kind == "zip":
        return Sequence("tuple", [element(executor, source, loop) for source in iterable.sources])
    if iterable.kind in ("items", "values"):
        source = iterable.sources[0]
        items = list(source.items.values()) if isinstance(source, Mapping) else []
        value = calls.any_of(items) if items else Unknown()
        return Sequence("tuple", [Unknown(), value]) if iterable.kind == "items" else value
    return element(executor, iterable.sources[0], loop)


def element_of_instance(executor: Executor, iterable: Instance) -> Value:
    """What iterating over an object of the repository yields: ``__iter__``, else its items."""
    method = iterable.cls.lookup("__iter__")
    if method is not None:
        produced = calls.call_method(executor, iterable, "__iter__", [], iterable.cls.node)
        if produced is iterable:
            return calls.call_method(executor, iterable, "__next__", [], iterable.cls.node)
        return element(executor, produced, None)
    if iterable.cls.lookup("__getitem__") is not None:
        return calls.sample(executor, iterable, iterable.cls.node) or Unknown()
    if is_loader(iterable):
        return Unknown(batch=Batch(iterable))
    return Unknown()


def batch(executor: Executor, loader: Object) -> Value:
    """What a loader yields: the samples of its dataset, stacked along a new first axis."""
    from nnlint.symbolic.values import Shape

    if "__batch__" in loader.attributes:
        return loader.attributes["__batch__"]
    dataset = loader.arguments.get(0, "dataset")
    size = Symbol("batch", of=loader)
    value: Value | None = None
    for candidate in datasets_of(dataset):
        value = calls.sample(executor, candidate, loader.origin.node if loader.origin else candidate.cls.node)
    value = value or rows_of(dataset)
    if loader.arguments.get(6, "collate_fn") is not None:
        value = None

    def stacked(item: Value) -> Value:
        if isinstance(item, Sequence) and not item.open and len(item.items) <= 12:
            return Sequence("list", [stacked(part) for part in item.items])
        if isinstance(item, Mapping):
            return Mapping({key: stacked(part) for key, part in item.items.items()}, item.open)
        if isinstance(item, (Tensor, Unknown)):
            dims = item.shape.dims if item.shape is not None else None
            shape = Shape(None if dims is None else (size, *dims))
            return Unknown(item.name, shape, Batch(loader), origin=item.origin)
        if isinstance(item, Const) and isinstance(item.value, (int, float)):
            return Unknown(shape=Shape([size]), batch=Batch(loader))
        return Unknown(batch=Batch(loader))

    result = Unknown("", batch=Batch(loader)) if value is None else stacked(value)
    loader.attributes["__batch__"] = result
    return result


def rows_of(dataset: Value | None) -> Sequence | None:
    """A sample of a ``TensorDataset``, or of a subset of one: a row of each of its tensors."""
    from nnlint.symbolic.values import Shape, shape_of

    dataset = resolve_setting(dataset)
    for _ in range(4):
        if not isinstance(dataset, Object) or dataset.path != "torch.utils.data.Subset":
            break
        dataset = resolve_setting(next(iter(dataset.children), dataset.arguments.get(0, "dataset")))
    if not isinstance(dataset, Object) or dataset.path != "torch.utils.data.TensorDataset" or dataset.arguments.star:
        return None
    rows: list[Value] = []
    for tensor in dataset.arguments.positional:
        if not isinstance(tensor, (Tensor, Unknown)):
            return None
        dims = shape_of(tensor).dims
        rows.append(Unknown(tensor.name, Shape(dims[1:]) if dims else None, origin=tensor.origin))
    return Sequence("tuple", rows) if rows else None


def datasets_of(value: Value | None) -> list[Instance]:
    """The datasets of the repository that a value holds: itself, or those it is a subset or concatenation of."""
    found: list[Instance] = []
    stack = [resolve_setting(value)]
    rounds = 0
    while stack and rounds < 20:
        rounds += 1
        item = stack.pop()
        if isinstance(item, Instance):
            found.append(item)
        elif isinstance(item, Choice):
            stack += [item.no, item.yes]
        elif isinstance(item, Object) and item.kind in ("dataset", "loader"):
            stack += [*item.children, *item.arguments.positional[:1], *item.arguments.keywords.values()]
        elif isinstance(item, Sequence):
            stack += item.items
        elif isinstance(item, Unknown) and item.origin is not None and item.origin.op == "getitem":
            stack.append(item.origin.inputs[0])
        elif isinstance(item, Unknown) and item.origin is not None and item.origin.op.endswith("random_split"):
            stack += item.origin.inputs[:1]
    return found


def param_group(executor: Executor, optimizer: Value) -> Object:
    """A parameter group of an optimizer; its ``lr`` is the rate at that time."""
    from nnlint.symbolic.values import Arguments

    if id(optimizer) not in executor.groups:
        group = Object("torch.optim.Optimizer.param_groups", "param_group", Arguments(), children=[optimizer])
        group.attributes["lr"] = Symbol("lr", of=group)
        group.attributes["initial_lr"] = Symbol("initial_lr", of=group)
        executor.groups[id(optimizer)] = (optimizer, group)
    found = executor.groups[id(optimizer)][1]
    assert isinstance(found, Object)
    return found


# --- kinds -----------------------------------------------------------------------------------------------------------


def described(executor: Executor, node: cst.For, iterable: Value) -> Loop:
    """A ``for`` loop before its first round."""
    names = names_of(node.target)
    loop = Loop(node, executor.module.source, iterates=iterable, target=names[0] if names else "")
    source = innermost_source(iterable)
    if isinstance(source, Range):
        loop.count = rounds_of_range(source)
        spoken = [loop.target, *(atom_names(source.stop))]
        if any(EPOCH.search(name) for name in spoken):
            loop.kind = Loop.EPOCHS
        elif STEPS.search(loop.target):
            loop.kind = Loop.BATCHES
    elif is_loader(iterable):
        loop.kind = Loop.BATCHES
        loop.count = length(executor, source)
    elif names and (EPOCH.search(names[0])):
        loop.kind = Loop.EPOCHS
        loop.count = None
    elif any("batch" in name for name in names) and not isinstance(source, (Sequence, Mapping)):
        loop.kind = Loop.BATCHES
    else:
        loop.count = length(executor, source) if isinstance(source, Sequence) else None
    if loop.kind == Loop.BATCHES:
        enclose(executor)
    return loop


def atom_names(value: Value) -> list[str]:
    """The names of the numbers in an expression."""
    from nnlint.symbolic.scalar import atoms

    return [atom.name for atom in atoms(value) if isinstance(atom, (Symbol, Unknown, Setting, Carried))]


def enclose(executor: Executor) -> None:
    """A loop over batches begins: the counted loop right around it counts epochs."""
    for loop in reversed(executor.loops):
        if loop.kind != Loop.OTHER:
            return
        if isinstance(loop.node, cst.While) or isinstance(innermost_source(loop.iterates or Unknown()), Range):
            loop.kind = Loop.EPOCHS
            return


def execute_for(executor: Executor, node: cst.For) -> Flow:
    """A ``for`` loop."""
    from nnlint.symbolic.executor import bind

    iterable = executor.evaluate(node.iter)
    items = unrolled(iterable)
    if items is not None:
        flow = None
        for item in items:
            bind(executor, node.target, item)
            flow = executor.block(node.body)
            if flow in ("return", "raise"):
                return flow
            if flow == "break":
                break
        return orelse(executor, node, flow)
    loop = described(executor, node, iterable)

    def begin() -> None:
        bind(executor, node.target, element(executor, iterable, loop))

    return orelse(executor, node, go_round(executor, loop, begin, node.body))


def orelse(executor: Executor, node: cst.For | cst.While, flow: Flow) -> Flow:
    """The ``else`` of a loop that was not left by ``break``."""
    if flow in (None, "continue") and node.orelse is not None:
        return executor.block(node.orelse.body)
    return flow if flow in ("return", "raise") else None


def unrolled(iterable: Value) -> list[Value] | None:
    """The items of a short sequence of constants, such as ``["train", "val"]``, or of objects, such as transforms."""
    if not isinstance(iterable, Sequence) or iterable.open or not 0 < len(iterable.items) <= UNROLLED_OBJECTS:
        return None
    kinds = (Const, Sequence, Object, Instance) if len(iterable.items) <= UNROLLED else (Object, Instance)
    return list(iterable.items) if all(isinstance(item, kinds) for item in iterable.items) else None


def execute_while(executor: Executor, node: cst.While) -> Flow:
    """A ``while`` loop."""
    test = executor.evaluate(node.test)
    if truth(test) is False:
        return orelse(executor, node, None)
    loop = Loop(node, executor.module.source)
    names = atom_names(test) + names_in(node.test)
    if any(EPOCH.search(name) for name in names):
        loop.kind = Loop.EPOCHS
    elif any(STEPS.search(name) for name in names):
        loop.kind = Loop.BATCHES
        enclose(executor)

    def begin() -> None:
        executor.evaluate(node.test)

    return orelse(executor, node, go_round(executor, loop, begin, node.body))


def names_in(node: cst.CSTNode) -> list[str]:
    """The names and attributes that an expression mentions."""
    if isinstance(node, cst.Name):
        return [node.value]
    if isinstance(node, cst.Attribute):
        return [*names_in(node.value), node.attr.value]
    if isinstance(node, cst.Comparison):
        return names_in(node.left) + [name for part in node.comparisons for name in names_in(part.comparator)]
    if isinstance(node, (cst.BooleanOperation, cst.BinaryOperation)):
        return names_in(node.left) + names_in(node.right)
    return []


def go_round(executor: Executor, loop: Loop, begin: Callable[[], None], body: cst.BaseSuite) -> Flow:
    """Read the body of a loop twice, so that what the first round leaves behind meets the second."""
    outer_loops, outer_round = executor.loops, executor.round
    outer_conditions = executor.conditions
    executor.loops = (*outer_loops, loop)
    events = len(executor.run.events)
    try:
        executor.round = 0
        flow, left = one_round(executor, begin, body)
        carried = carry(executor, loop, left)
        eventful = loop.kind != Loop.OTHER and len(executor.run.events) > events
        if (carried or eventful) and flow not in ("return", "raise", "break"):
            executor.round = 1
            executor.conditions = outer_conditions
            loop.reread = len(executor.run.events)
            flow, left = one_round(executor, begin, body)
        settle(executor, carried, left)
    finally:
        executor.loops, executor.round = outer_loops, outer_round
        executor.conditions = outer_conditions
    return flow


def one_round(executor: Executor, begin: Callable[[], None], body: cst.BaseSuite) -> tuple[Flow, Changes]:
    """One round and the changes it leaves."""
    outer = executor.journal
    mine: list[Entry] = []
    executor.journal = mine
    try:
        begin()
        flow = executor.block(body)
    finally:
        executor.journal = outer
        outer += mine
    return flow, changes(mine)


def carry(executor: Executor, loop: Loop, left: Changes) -> list[Carried]:
    """Numbers that the round has changed stand for any round's number from now on."""
    carried: list[Carried] = []
    for target, key, before, after in left.values():
        if before is MISSING or not isinstance(before, Value) or not isinstance(after, Value) or before is after:
            continue
        if is_numeric(before) and (is_numeric(after) or isinstance(after, (Unknown, Tensor))) and isinstance(key, str):
            number = Carried(loop, key, before)
            executor.put(target, key, number)
            carried.append(number)
            number.origin = None
    return carried


def settle(executor: Executor, carried: list[Carried], left: Changes) -> None:
    """After the loop: carried numbers get their update, and what depends on the round is unknown."""
    by_key = {number.name: number for number in carried}
    for target, key, before, after in left.values():
        if isinstance(key, str) and key in by_key and isinstance(after, Value):
            number = by_key[key]
            if number.update is None:
                number.update = after
            if not isinstance(after, Const):
                last = Symbol(key, origin=Origin("left", (number,), number.loop.source, number.loop.node))
                executor.put(target, key, last if is_numeric(after) else after)
        elif key == "items" and isinstance(target, Sequence) and isinstance(before, list) and len(after) > len(before):
            executor.put(target, "open", True)


def comprehension(executor: Executor, node: cst.CompFor, body: Callable[[], None]) -> bool:
    """Evaluate the body of a comprehension: for each of a few known items, which it then tells, or once for all."""
    from nnlint.symbolic.executor import bind

    names = executor.frame.names
    iterable = executor.evaluate(node.iter)
    source = innermost_source(iterable)
    loop = Loop(node, executor.module.source, iterates=iterable)
    if isinstance(source, Range):
        loop.count = rounds_of_range(source)
    items = None if node.ifs else items_of(iterable)
    told = items is not None and 0 < len(items) <= UNROLLED
    outer = executor.journal
    mine: list[Entry] = []
    executor.journal = mine
    executor.loops = (*executor.loops, loop)
    try:
        for item in items if told and items else [element(executor, iterable, loop)]:
            executor.advance()
            bind(executor, node.target, item)
            for test in node.ifs:
                executor.evaluate(test.test)
            if node.inner_for_in is not None:
                told = comprehension(executor, node.inner_for_in, body) and told
            else:
                body()
    finally:
        executor.loops = executor.loops[:-1]
        executor.journal = outer
        bound = set(names_of(node.target))
        for target, key, before in reversed(mine):
            if target is names and key in bound:
                if before is MISSING:
                    names.pop(key, None)
                else:
                    names[key] = before
            else:
                outer.append((target, key, before))
    return told


def items_of(iterable: Value) -> list[Value] | None:
    """What the rounds over a value yield, one by one; None if that is not known."""
    iterable = resolve_setting(iterable) or iterable
    if isinstance(iterable, Sequence):
        return None if iterable.open else iterable.items
    if not isinstance(iterable, Wrapped):
        return None
    if iterable.kind in ("items", "values"):
        mapping = iterable.sources[0]
        if not isinstance(mapping, Mapping) or mapping.open:
            return None
        if iterable.kind == "values":
            return list(mapping.items.values())
        return [Sequence("tuple", [Const(key), value]) for key, value in mapping.items.items()]
    if iterable.kind in ("zip", "enumerate"):
        sources = [items_of(source) for source in iterable.sources]
        if iterable.kind == "enumerate" and len(sources) == 1 and sources[0] is not None:
            return [Sequence("tuple", [Const(number), item]) for number, item in enumerate(sources[0])]
        if iterable.kind == "zip" and all(source is not None for source in sources):
            return [Sequence("tuple", list(row)) for row in zip(*(source or [] for source in sources), strict=False)]
    return None


__all__ = ["Library", "evaluate"]
