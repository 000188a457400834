"""Which split of the data a loader or a dataset holds, as far as the script says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from nnlint.diagnostic import Confidence
from nnlint.symbolic.loops import innermost_source
from nnlint.symbolic.values import (
    Arguments,
    Choice,
    Const,
    Instance,
    Mapping,
    Object,
    Tensor,
    Unknown,
    Value,
    resolve_setting,
)

Role = Literal["train", "validation", "test"]

FLAGS = frozenset("train is_train istrain training is_training".split())
"""Parameters of datasets that are true for the training split."""
TEST_FLAGS = frozenset("test is_test eval is_eval is_valid evaluate".split())
"""Parameters of datasets that are true for a split that is evaluated."""
SPLITS = frozenset("split image_set mode phase subset partition set_name fold set usage stage".split())
"""Parameters of datasets that name the split."""

WORDS: dict[Role, re.Pattern[str]] = {
    "train": re.compile(r"(?<![a-z])(train(ing|set|loader|dl)?|trn|tr)(?![a-z])", re.IGNORECASE),
    "validation": re.compile(r"(?<![a-z])(val(id(ation)?)?|dev|eval(uation)?)(set|loader|dl)?(?![a-z])", re.IGNORECASE),
    "test": re.compile(r"(?<![a-z])(test(ing)?|tst)(set|loader|dl)?(?![a-z])", re.IGNORECASE),
}
"""How the splits are called, in names and in paths."""


@dataclass(frozen=True, slots=True)
class Split:
    """A split: its role, and how surely it is known (HIGH by an argument, LOW by a name)."""

    role: Role
    confidence: Confidence


def split_of(value: Value | None) -> Split | None:
    """The split that a loader, a dataset or a part of their batches belongs to; None if the script does not say."""
    resolved = resolve_setting(value) if value is not None else None
    if resolved is None:
        return None
    source = innermost_source(resolved)
    if isinstance(source, Choice):
        yes, no = split_of(source.yes), split_of(source.no)
        return yes if yes == no else None
    if isinstance(source, (Object, Instance)):
        return _of_built(source)
    if isinstance(source, (Unknown, Tensor)):
        if source.batch is not None:
            return split_of(source.batch.loader)
        origin = source.origin
        if origin is not None and origin.op == "getitem" and len(origin.inputs) > 1:
            key = origin.inputs[1]
            named = role_of_name(str(key.value)) if isinstance(key, Const) else None
            if named is not None:
                return Split(named, Confidence.MEDIUM)
        named = role_of_name(source.name)
        return None if named is None else Split(named, Confidence.LOW)
    return None


def role_of_name(name: str) -> Role | None:
    """The one split that a name speaks of; None if it speaks of none or of several."""
    spoken = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    found: list[Role] = [role for role, words in WORDS.items() if words.search(spoken.replace("_", " "))]
    return found[0] if len(found) == 1 else None


def _of_built(value: Object | Instance) -> Split | None:
    told = _of_arguments(value.arguments)
    if told is not None:
        return told
    if isinstance(value, Object) and value.kind == "loader":
        return split_of(value.arguments.get(0, "dataset"))
    for part in value.children if isinstance(value, Object) else ():
        found = split_of(part)
        if found is not None:
            return found
    if isinstance(value, Object) and value.name == "Subset":
        return split_of(value.arguments.get(0, "dataset"))
    return _of_texts(value.arguments)


def _of_arguments(arguments: Arguments) -> Split | None:
    """What ``train=False`` or ``split="test"`` says."""
    for name, given in arguments.keywords.items():
        value = resolve_setting(given)
        if not isinstance(value, Const):
            continue
        if isinstance(value.value, bool):
            if name.lower() in FLAGS:
                return Split("train" if value.value else "test", Confidence.HIGH)
            if name.lower() in TEST_FLAGS and value.value:
                return Split("test", Confidence.HIGH)
        elif isinstance(value.value, str) and name.lower() in SPLITS:
            role = role_of_name(value.value)
            return None if role is None else Split(role, Confidence.HIGH)
    return None


def _of_texts(arguments: Arguments) -> Split | None:
    """What a path or a word among the arguments says."""
    values = [resolve_setting(value) for value in (*arguments.positional, *arguments.keywords.values())]
    texts = [value.value for value in values if isinstance(value, Const) and isinstance(value.value, str)]
    roles = {role for text in texts if (role := role_of_name(text)) is not None}
    return Split(roles.pop(), Confidence.MEDIUM) if len(roles) == 1 else None


def is_mapping_of_splits(value: Value | None) -> bool:
    """Whether a value is a dict by the names of splits: ``{"train": …, "val": …}``."""
    return isinstance(value, Mapping) and sum(role_of_name(str(key)) is not None for key in value.items) > 1
