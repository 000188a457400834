"""NN104: validation or test data that pass through random augmentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.chances import transforms_of
from nnlint.evidence.loaders import anchor, datasets, given
from nnlint.evidence.loading_again import loading_for_evaluation
from nnlint.evidence.phases import Phase, phases
from nnlint.evidence.seeding import clock, listed
from nnlint.evidence.splits import Role
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.loops import innermost_source
from nnlint.symbolic.trace import Build, Forward, Return, Run, Seed
from nnlint.symbolic.values import Instance, Object, Unknown, Value, resolve_setting

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

ON_PURPOSE = re.compile(
    r"\btta\b|_tta|tta_|test[-_ ]?time[-_ ]?aug|TwoCrop|MultiView|[Cc]ontrastive|SimCLR|n_views|BYOL|MoCo"
)
"""Words of scripts that evaluate on random views because they mean to."""

ASSIGNED = re.compile(r"(?<!\bself)\.transforms?\s*=(?!=)")
"""A data set that is given another transform later."""

TELLING: dict[str, Role] = {"val_dataloader": "validation", "test_dataloader": "test"}
"""Lightning's methods that return the loaders of a split."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A loader whose batches a model is evaluated on: where that is, the split, and what more than a name tells it."""

    loader: Object
    place: Place
    role: Role | None
    confidence: Confidence


@rule(
    "NN104",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("oader",),
    requires=("Random", "Jitter", "Flip", "Rotat", "Crop", "Affine", "transform"),
    roots=("DataLoader",),
)
def augmented_evaluation_data(trace: Trace) -> Iterator[Finding]:
    """Validation or test data that are augmented at random: the figure is another one each time it is measured.

    ## Why it matters
    Augmentation makes training harder so that evaluation is easier. Where the evaluation data are cropped, flipped
    and jittered as well, the score is that of distorted pictures, not of those the network is for, and it is drawn
    anew each time: part of the difference between two epochs, or two models, is the luck of the crops, and early
    stopping picks the lucky one. The recipe asks for an evaluation to be trusted before anything else is done, and to
    fix the randomness so that the same code gives the same number twice. It comes about when a data set is split after
    its transform was chosen: both halves share it.

    ## Example
    ```python
    import torch
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    torch.manual_seed(0)
    augmented = transforms.Compose([transforms.RandomResizedCrop(64), transforms.ToTensor()])
    train_loader = DataLoader(datasets.ImageFolder("data/train", augmented), batch_size=64, shuffle=True)
    val_loader = DataLoader(datasets.ImageFolder("data/val", augmented), batch_size=64)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 64, 10))
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(10):
        for images, labels in train_loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        correct = 0
        with torch.no_grad():
            for images, labels in val_loader:
                correct += (model(images).argmax(1) == labels).sum().item()
        print(epoch, correct / len(val_loader.dataset))
    ```

    ## Use instead
    ```python
    import torch
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    torch.manual_seed(0)
    augmented = transforms.Compose([transforms.RandomResizedCrop(64), transforms.ToTensor()])
    plain = transforms.Compose([transforms.Resize(64), transforms.CenterCrop(64), transforms.ToTensor()])
    train_loader = DataLoader(datasets.ImageFolder("data/train", augmented), batch_size=64, shuffle=True)
    val_loader = DataLoader(datasets.ImageFolder("data/val", plain), batch_size=64)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 64, 10))
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(10):
        for images, labels in train_loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        correct = 0
        with torch.no_grad():
            for images, labels in val_loader:
                correct += (model(images).argmax(1) == labels).sum().item()
        print(epoch, correct / len(val_loader.dataset))
    ```

    ## How it is confirmed
    The script is run as far as the loader that is evaluated, with pictures of made-up colours where its files are
    missing, and one sample is loaded from 25 states of the generators of torch, numpy and `random`. Confirmed is a
    sample that differs between them although it is the same from the same state; the verdict says in how many draws,
    by how much, and whose generator decides. Refuted is one that is the same in 67 draws, so that what happens every
    tenth time would have been missed once in a thousand times: the probability is 0 where it runs, or the crop leaves
    nothing out. Nothing is said where the sample does not show the picture that is read, where the accused transforms
    did not run for a sample that differs, or where data or a package are missing and decide what happens to it.

    ## When it stays silent
    - The transforms do the same each time: `CenterCrop`, a flip with probability 0 or 1, a crop of the whole picture.
    - It depends on the mode of the data set, or on an option, whether they are applied.
    - The data set is given another transform later (`val_set.dataset.transform = plain`), or seeds each sample by its
      index.
    - Several views of each picture are evaluated: test-time augmentation, contrastive learning.
    - It is accuracy on the training data that is measured, or it cannot be told which split it is.
    """
    if ON_PURPOSE.search(trace.source.text) or ASSIGNED.search(trace.source.text):
        return
    reported: set[int] = set()
    for run in trace.runs:
        builds = {id(event.value): event for event in run.of(Build)}
        for evaluation in evaluations(run):
            parts = [(each, transforms_of(run, each)) for each in datasets(evaluation.loader)]
            if not parts or not all(found and not is_seeded_by_sample(run, each) for each, found in parts):
                continue
            build = builds.get(id(parts[0][0])) or builds.get(id(evaluation.loader))
            place = None if build is None else anchor(trace, build)
            if place is not None and id(place.node) not in reported:
                reported.add(id(place.node))
                transforms = [part for _, found in parts for part in found]
                loading = builds.get(id(evaluation.loader))
                experiment = (
                    partial(loading_for_evaluation, run, loading, [each for each, _ in parts], transforms)
                    if isinstance(loading, Build)
                    else None
                )
                yield replace(describe(evaluation, place, transforms), experiment=experiment)


def evaluations(run: Run) -> Iterator[Evaluation]:
    """The loaders that a run evaluates a model on."""
    trained = [loader for phase in phases(run) if phase.trains and (loader := loader_of(phase)) is not None]
    for phase in phases(run):
        loader = loader_of(phase)
        if loader is None or any(loader is each for each in trained) or not is_evaluation(phase):
            continue
        if phase.role in ("validation", "test") and phase.split is not None:
            yield Evaluation(loader, Place(phase.loop.source, phase.loop.node), phase.role, phase.split.confidence)
        elif any(is_held_out(loader, other) for other in trained):
            yield Evaluation(loader, Place(phase.loop.source, phase.loop.node), None, Confidence.HIGH)
    for event in run.of(Return):
        if event.function.name in TELLING and isinstance(event.value, Object) and event.value.kind == "loader":
            yield Evaluation(event.value, event.place, TELLING[event.function.name], Confidence.HIGH)


def loader_of(phase: Phase) -> Object | None:
    """The loader that a loop goes over, if it was built in sight."""
    source = innermost_source(phase.loop.iterates or Unknown())
    return source if isinstance(source, Object) and source.kind == "loader" else None


def is_evaluation(phase: Phase) -> bool:
    """Whether the loop calls a model; nothing is learned in it."""
    return not phase.trains and any(isinstance(event, Forward) for event in phase.events)


def is_held_out(loader: Object, other: Object) -> bool:
    """Whether two loaders read different parts of the same data."""
    mine, theirs = part_of(loader), part_of(other)
    if mine is None or theirs is None or mine is theirs:
        return False
    return any(one is each for one in datasets(loader) for each in datasets(other))


def part_of(loader: Object) -> Value | None:
    """What makes a loader read a part of its data only: a subset, or a sampler of one."""
    dataset = resolve_setting(loader.arguments.get(0, "dataset"))
    if isinstance(dataset, Object) and dataset.name == "Subset":
        return dataset
    sampler = resolve_setting(given(loader.arguments.get(3, "sampler")))
    return sampler if isinstance(sampler, Object) and sampler.name == "SubsetRandomSampler" else None


def is_seeded_by_sample(run: Run, dataset: Value) -> bool:
    """Whether a data set seeds a generator for each sample, by a number that is not drawn itself."""
    lineage = list(dataset.cls.lineage()) if isinstance(dataset, Instance) else []
    return any(
        seed.in_worker
        and clock(seed.value) is None
        and any(site.function.owner in lineage for site in seed.context.calls)
        for seed in run.of(Seed)
    )


def describe(evaluation: Evaluation, place: Place, transforms: list[Object]) -> Finding:
    """The finding in words."""
    names = list(dict.fromkeys(transform.name for transform in transforms))
    data = (
        "the held-out part of the training data passes" if evaluation.role is None else f"{evaluation.role} data pass"
    )
    notes = [
        Note(Place(transform.origin.source, transform.origin.node), f"{transform.name} does something else each time")
        for transform in transforms
        if transform.origin is not None
    ]
    return Finding(
        place,
        f"{data} through random augmentation: {listed(names)}",
        "the score is that of distorted samples and is drawn anew each time it is measured",
        "give the data that are evaluated a transform of their own that draws nothing"
        + (": split the indices, and build the data set twice" if evaluation.role is None else ""),
        (*notes[:5], Note(evaluation.place, "the model is evaluated on them here")),
        confidence=Confidence.HIGH if evaluation.confidence == Confidence.HIGH else Confidence.MEDIUM,
    )
