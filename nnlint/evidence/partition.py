"""Where a script splits its samples into those for training and those for evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import libcst as cst

from nnlint.evidence.splits import role_of_name
from nnlint.symbolic.ancestry import ancestors
from nnlint.symbolic.values import Origin, Tensor, Unknown, Value, same

SPLITS = ("sklearn.model_selection.train_test_split", "torch.utils.data.random_split")


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """A split: what does it, and what is split."""

    origin: Origin
    whole: Value


def partitions(loaders: Iterable[Value]) -> Iterator[Partition]:
    """The splits that the data of loaders come from, each once."""
    seen: set[int] = set()
    for value in (part for loader in loaders for part in ancestors(loader)):
        origin = value.origin
        if origin is None or id(origin.node) in seen or not origin.inputs:
            continue
        if origin.op in SPLITS:
            seen.add(id(origin.node))
            yield Partition(origin, origin.inputs[0])
    yield from _cuts(loaders)


def _cuts(loaders: Iterable[Value]) -> Iterator[Partition]:
    """Data that are cut in two: ``train, test = data[:n], data[n:]``, by names that say so."""
    heads: list[Origin] = []
    tails: list[Origin] = []
    for value in (part for loader in loaders for part in ancestors(loader)):
        if value.origin is None or not isinstance(value, (Unknown, Tensor)):
            continue
        end, role = end_of(value.origin), role_of_name(value.name)
        if end == "head" and role == "train":
            heads.append(value.origin)
        elif end == "tail" and role in ("validation", "test"):
            tails.append(value.origin)
    for tail in tails:
        if any(head.inputs[0] is tail.inputs[0] and same(head.inputs[1], tail.inputs[1]) for head in heads):
            yield Partition(tail, tail.inputs[0])


def end_of(origin: Origin) -> str:
    """Whether an operation takes the first part of data (``head``), the last one (``tail``), or neither (empty)."""
    node = origin.node
    if origin.op != "getitem" or not isinstance(node, cst.Subscript) or len(origin.inputs) < 2:
        return ""
    first = node.slice[0].slice
    if not isinstance(first, cst.Slice) or (first.lower is None) is (first.upper is None):
        return ""
    return "head" if first.lower is None else "tail"
