"""Figures of an evaluation: the data that a number was measured on, and the decisions that are taken by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import libcst as cst

from nnlint.diagnostic import Confidence
from nnlint.evidence.leaves import by_default
from nnlint.evidence.splits import FLAGS, SPLITS, TEST_FLAGS, Role, role_of_name
from nnlint.source import Source
from nnlint.symbolic.ancestry import parents
from nnlint.symbolic.loops import innermost_source, is_loader
from nnlint.symbolic.trace import Average, Backward, Forward, Run, Step
from nnlint.symbolic.values import (
    Arguments,
    Carried,
    Choice,
    Class,
    Const,
    Function,
    Instance,
    Library,
    Loop,
    Object,
    Operation,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
    resolve_setting,
)
from nnlint.symbolic.words import below

FARTHEST = 3_000
"""Values that one walk visits at most."""

ENDS = ("module", "optimizer", "scheduler", "criterion", "scaler")
"""Objects that a figure is not measured on, whatever they hold."""

DATA = re.compile(r"loader|data|set$|split|samples|batches|(^|_)dl$|iter", re.IGNORECASE)
"""Names of what holds data."""

OFFICIAL = ("torchvision.datasets.", "torchtext.datasets.", "torchaudio.datasets.", "torch_geometric.datasets.")
"""Data sets whose parts are those that papers report on."""


# --- what a figure was measured on -----------------------------------------------------------------------------------


def ingredients(value: Value) -> list[Value]:
    """What a figure was computed from directly, through the rounds of loops and out of tensors."""
    if isinstance(value, (Function, Class, Library, Instance)):
        return []
    if isinstance(value, Object):
        return list(value.arguments.positional[:1]) if value.kind == "" else []
    found = parents(value)
    if isinstance(value, Carried) and value.update is not None:
        found.append(value.update)
    if isinstance(value, Symbol) and value.of is not None:
        found.append(value.of)
    return found


def everything_in(value: Value, stop: Callable[[Value], bool] | None = None) -> Iterator[Value]:
    """A figure and all that it was computed from, nearest first, each once; not beyond what ``stop`` holds for."""
    seen = {id(value)}
    queue = [value]
    for item in queue:
        yield item
        if len(queue) > FARTHEST:
            return
        for part in () if stop is not None and stop(item) else ingredients(item):
            if id(part) not in seen:
                seen.add(id(part))
                queue.append(part)


def measured_on(value: Value) -> list[Value]:
    """The loaders and data sets that a figure was measured on, each once."""
    found: dict[int, Value] = {}
    for item in everything_in(value, _is_batch):
        source = item.batch.loader if isinstance(item, (Unknown, Tensor)) and item.batch is not None else item
        source = innermost_source(source)
        if _is_data(source):
            found.setdefault(id(source), source)
    return list(found.values())


def _is_batch(value: Value) -> bool:
    return isinstance(value, (Unknown, Tensor)) and value.batch is not None


def _is_data(value: Value) -> bool:
    if isinstance(value, Object):
        return value.kind in ("loader", "dataset")
    if isinstance(value, Instance):
        return is_loader(value) or value.cls.lookup("__getitem__") is not None
    if isinstance(value, Unknown):
        return is_loader(value) or DATA.search(value.name) is not None
    return False


# --- which split data are --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """What a script says of data: the splits that arguments and paths speak of, and those that names speak of."""

    said: frozenset[Role] = frozenset()
    named: frozenset[Role] = frozenset()
    official: bool = False
    """Whether the argument of a published data set says it."""

    def __or__(self, other: Told) -> Told:
        return Told(self.said | other.said, self.named | other.named, self.official or other.official)

    @property
    def role(self) -> Role | None:
        """The one split that it is; what arguments and paths say goes before names."""
        roles = self.said or self.named
        return next(iter(roles)) if len(roles) == 1 else None

    @property
    def confidence(self) -> Confidence:
        """How surely it is known."""
        if self.said:
            return Confidence.HIGH if self.official else Confidence.MEDIUM
        return Confidence.LOW


def told_of(value: Value | None, depth: int = 8) -> Told:
    """All that a script says about the split that a loader or a data set is."""
    value = by_default(resolve_setting(value))
    if value is None or depth == 0:
        return Told()
    value = innermost_source(value)
    if isinstance(value, Choice):
        return told_of(value.yes, depth - 1) | told_of(value.no, depth - 1)
    if isinstance(value, Object):
        return _told_of_object(value, depth)
    if isinstance(value, Instance):
        return _of_arguments(value.arguments, official=False) | _by_name(_assigned(value))
    if isinstance(value, (Unknown, Tensor)):
        return _told_of_unknown(value, depth)
    return Told()


def _told_of_object(value: Object, depth: int) -> Told:
    named = _by_name(_assigned(value))
    parts = [value.arguments.get(0, "dataset")] if value.kind == "loader" or value.name == "Subset" else []
    parts += value.children if value.kind == "dataset" else []
    told = named
    for part in parts:
        told |= told_of(part, depth - 1)
    if value.kind == "loader" or value.name in ("Subset", "ConcatDataset", "TensorDataset"):
        return told
    return told | _of_arguments(value.arguments, official=value.path.startswith(OFFICIAL))


def _told_of_unknown(value: Unknown | Tensor, depth: int) -> Told:
    if value.batch is not None:
        return told_of(value.batch.loader, depth - 1)
    told = _by_name(value.name)
    origin = value.origin
    if origin is None or not origin.inputs or told.named:
        return told
    if origin.op == "getitem" and len(origin.inputs) > 1:
        key = origin.inputs[1]
        told |= _by_name(str(key.value)) if isinstance(key, Const) else Told()
        return told | told_of(origin.inputs[0], depth - 1)
    if origin.op == "call":
        callee = origin.inputs[0]
        return told | _by_name(getattr(callee, "name", "")) | _of_values(origin.inputs[1:])
    return told | told_of(origin.inputs[0], depth - 1)


def _by_name(name: str) -> Told:
    role = role_of_name(name)
    return Told() if role is None else Told(named=frozenset((role,)))


def _of_arguments(arguments: Arguments, *, official: bool) -> Told:
    """What ``train=False``, ``split="test"`` or a path says; ``train=False`` is a test set where it is official."""
    for name, given in arguments.keywords.items():
        value = resolve_setting(given)
        if not isinstance(value, Const):
            continue
        if isinstance(value.value, bool) and name.lower() in FLAGS and (official or value.value):
            return Told(frozenset(("train" if value.value else "test",)), official=official)
        if value.value is True and name.lower() in TEST_FLAGS and name.lower().endswith("test"):
            return Told(frozenset(("test",)), official=official)
        if isinstance(value.value, str) and name.lower() in SPLITS:
            role = role_of_name(value.value)
            return Told() if role is None else Told(frozenset((role,)), official=official)
    return _of_values((*arguments.positional, *arguments.keywords.values()))


def _of_values(values: tuple[Value, ...]) -> Told:
    """What the paths and words among arguments say."""
    roles = {role for value in values for text in _texts(value) if (role := _role_of_path(text)) is not None}
    return Told(frozenset(roles))


def _texts(value: Value, depth: int = 5) -> Iterator[str]:
    """The texts that a path is put together from, and the keys that it was found under; the last ones first."""
    value = resolve_setting(value) or value
    if isinstance(value, Const):
        if isinstance(value.value, str) and len(value.value) < 300:
            yield value.value
    elif depth and isinstance(value, (Unknown, Sequence, Operation)):
        parts = value.args if isinstance(value, Operation) else () if value.origin is None else value.origin.inputs
        for part in parts:
            yield from _texts(part, depth - 1)


def _role_of_path(text: str) -> Role | None:
    """The split that the last part of a path speaks of, of those that speak of any."""
    for part in reversed(re.split(r"[/\\]", text)):
        role = role_of_name(part)
        if role is not None:
            return role
    return None


def _assigned(value: Object | Instance) -> str:
    """The name that a value was given where it was built, empty if it was given none."""
    origin = value.origin
    return "" if origin is None else _assignments(origin.source).get(id(origin.node), "")


@lru_cache(maxsize=64)
def _assignments(source: Source) -> dict[int, str]:
    """The names that the calls of a file are assigned to, by the identity of the call."""
    found: dict[int, str] = {}
    for node in below(source.module):
        target: cst.CSTNode | None = None
        value: cst.CSTNode | None = None
        # By type: asking what a node of libcst is an instance of takes its time.
        if type(node) is cst.Assign:
            target, value = node.targets[0].target, node.value
        elif type(node) is cst.AnnAssign:
            target, value = node.target, node.value
        elif type(node) is cst.DictElement:
            target, value = node.key, node.value
        if isinstance(value, cst.Call):
            name = _name(target)
            for call in (value, *(arg.value for arg in value.args if isinstance(arg.value, cst.Call))):
                found.setdefault(id(call), name)
    return found


def _name(target: cst.CSTNode | None) -> str:
    if isinstance(target, cst.Name):
        return target.value
    if isinstance(target, cst.Attribute):
        return target.attr.value
    if isinstance(target, cst.SimpleString):
        return target.value.strip("'\"")
    return ""


# --- where it is measured ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def learning_loops(run: Run) -> frozenset[int]:
    """The loops of a run in which something is learned, by identity."""
    learned = (event for event in run.events if isinstance(event, (Backward, Step)))
    return frozenset(id(loop) for event in learned for loop in event.context.loops)


def loops_over(run: Run, loader: Value) -> list[Loop]:
    """The loops of a run that go over a loader and in which something happens."""
    loops = {id(loop): loop for event in run.events for loop in event.context.loops}
    return [loop for loop in loops.values() if innermost_source(loop.iterates or Unknown()) is loader]


def is_evaluation_loop(run: Run, loader: Value, loop: Loop | None, *, held_out: bool) -> bool:
    """Whether nothing is learned while a loop goes over a loader, and the data or the mode of the model say so.

    Args:
        run: the run that the loop belongs to.
        loader: what the loop goes over.
        loop: the loop; None for every loop over the loader.
        held_out: whether the data are known not to be for training.
    """
    loops = {id(each) for each in ([loop] if loop is not None else loops_over(run, loader))}
    if not loops or not learning_loops(run).isdisjoint(loops):
        return False
    inside = [event for event in run.of(Forward) if any(id(each) in loops for each in event.context.loops)]
    return bool(inside) and (held_out or all(event.training is False for event in inside))


# --- averages --------------------------------------------------------------------------------------------------------

AS_IT_IS = frozenset(
    ".item .detach .cpu .numpy .data .float .double .tolist .clone .cuda .to builtins.float getattr".split()
)
"""Operations that hand a number on as it is."""


def summands(event: Average) -> Iterator[tuple[Loop | None, Value]]:
    """What is added to the total in each round, with the loop; None for a list that is averaged."""
    count = event.count
    if isinstance(event.total, Sequence):
        yield from ((None, item) for item in event.total.items[-1:])
        return
    total = bare(event.total)
    if isinstance(total, Operation) and total.op == "*" and isinstance(total.args[0], Const):
        total = bare(total.args[1])  # a share in percent
    if isinstance(total, Symbol) and total.origin is not None and total.origin.op == "left":
        total = total.origin.inputs[0]
    grown = total if isinstance(total, Carried) else None
    if grown is not None and grown.update is not None:
        total = grown.update
    parts = total.args if isinstance(total, Operation) and total.op == "+" else _operands(total)
    listed = count.of if isinstance(count, Symbol) else None
    if isinstance(listed, Sequence):
        yield from ((None, item) for item in listed.items[-1:] if any(item is part for part in (total, *parts)))
    for carried, summand in (parts, parts[::-1]) if len(parts) == 2 else ():
        if isinstance(carried, Carried):
            yield carried.loop, summand
        elif grown is not None and carried is grown.initial:
            yield grown.loop, summand  # of a loop that never comes to a second round


def _operands(value: Value) -> tuple[Value, ...]:
    return value.origin.inputs if value.origin is not None and value.origin.op == "+" else ()


def bare(value: Value) -> Value:
    """A number before it was moved, copied or turned into one of Python."""
    for _ in range(8):
        origin = value.origin
        if origin is None or origin.op not in AS_IT_IS or not origin.inputs:
            break
        value = origin.inputs[0]
    return value
