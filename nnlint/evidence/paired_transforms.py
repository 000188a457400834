"""Transforms that are given for images and targets apart: to a dataset of torchvision, or to keys of a sample."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nnlint.symbolic.ancestry import ancestors
from nnlint.symbolic.library.motions import (
    PAIRED_DATASETS,
    PIPELINES,
    Motion,
    PairedDataset,
    keys_of,
    motion_of_class,
    parts_of,
    random_motions,
)
from nnlint.symbolic.trace import Build, Trace
from nnlint.symbolic.values import (
    Arguments,
    Const,
    Function,
    Instance,
    Object,
    Sequence,
    Unknown,
    Value,
    resolve_setting,
)
from nnlint.symbolic.words import words_of

RANDOM_WORDS = frozenset(["random", "rand", "seed", "flip", "hflip", "vflip", "rotate", "transform", "augment"])
"""Names in a function that may well move a target at random."""

PICTURE_KEY = re.compile(r"image|img|^x$|input|scan|volume|^ct$|^mri?$|^t[12]|flair", re.IGNORECASE)
TARGET_KEY = re.compile(r"label|seg|mask|^gt|target", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A transform that moves images at random, and what moves their targets.

    ``build`` is that of the dataset or pipeline that both belong to, ``name`` what the script calls it; ``by`` a
    transform of the targets of the same kind with draws of its own, None if there is none.
    """

    build: Build
    name: str
    noun: str
    transform: Object
    motion: Motion
    by: Object | None
    is_picture: bool
    advice: str


def pairs(trace: Trace) -> Iterator[Pair]:
    """The first transform of each dataset or pipeline that moves the images and not, or not equally, their targets."""
    seen: set[int] = set()
    for event in trace.of(Build):
        built = event.value
        if isinstance(built, Object) and id(event.place.node) not in seen:
            found = _of_dataset(built, event) if built.kind == "dataset" else _of_keys(built, event)
            if found is not None:
                seen.add(id(event.place.node))
                yield found


def _of_dataset(built: Object, event: Build) -> Pair | None:
    paired = PAIRED_DATASETS.get(built.name) if built.path.startswith("torchvision.datasets.") else None
    if paired is None or not _asks_for_places(built.arguments, paired):
        return None
    transform = built.arguments.get(paired.transform, "transform")
    target_transform = resolve_setting(built.arguments.get(paired.target_transform, "target_transform"))
    moving = next(random_motions(transform), None)
    if moving is None or built.arguments.get(None, "transforms") is not None:
        return None
    given = target_transform is not None and not (
        isinstance(target_transform, Const) and target_transform.value is None
    )
    if given and (not paired.is_picture or not _is_understood(target_transform)):
        return None
    by = next((part for part, motion in random_motions(target_transform) if motion.kind == moving[1].kind), None)
    return Pair(
        event,
        built.name,
        paired.noun,
        *moving,
        by,
        paired.is_picture,
        "give one transform for both: transforms=, with torchvision.transforms.v2",
    )


def _asks_for_places(arguments: Arguments, paired: PairedDataset) -> bool:
    if not paired.selector:
        return True
    asked = resolve_setting(arguments.get(2, paired.selector))
    items = asked.items if isinstance(asked, Sequence) else [asked]
    return any(isinstance(item, Const) and item.value in paired.asked for item in items)


def _is_understood(transform: Value | None) -> bool:
    """Whether nothing in a transform may move its input in a way that nobody knows."""
    if transform is None or isinstance(transform, (Unknown, Instance)):
        return False
    for item in ancestors(transform):
        if isinstance(item, (Unknown, Instance)):
            return False
        if isinstance(item, Function) and words_of(item.node) & RANDOM_WORDS:
            return False
    return True


def _of_keys(built: Object, event: Build) -> Pair | None:
    """A pipeline of dictionary transforms in which one for the image leaves out the mask that was loaded with it."""
    if not built.path.startswith("monai.") or built.name not in PIPELINES:
        return None
    steps = [part for part in parts_of(built) if isinstance(part, Object)]
    loaded = next((keys_of(step) for step in steps if step.name.startswith("LoadImage")), None) or frozenset()
    images = {key for key in loaded if isinstance(key, str) and PICTURE_KEY.search(key)}
    targets = {key for key in loaded if isinstance(key, str) and TARGET_KEY.search(key)} - images
    if not images or not targets:
        return None
    moving = [
        (step, motion, keys_of(step))
        for step in steps
        for _, motion in random_motions(step)
        if motion_of_class(step.path)
    ]
    for step, motion, keys in moving:
        if keys is None or not keys & images or keys & targets:
            continue
        others = [other for other, also, theirs in moving if also.kind == motion.kind and theirs and theirs & targets]
        by = next((other for other in others if other is not step), None)
        noun = min(map(str, targets))
        advice = f"give {step.name} the keys of both, {noun!r} too"
        return Pair(event, built.name, noun, step, motion, by, True, advice)
    return None
