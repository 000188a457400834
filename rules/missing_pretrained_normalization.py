"""NN103: a pretrained network that is fed pictures which are not normalized as those it was pretrained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.loaders import anchor, datasets, given
from nnlint.evidence.pretraining import IMAGENET, Pretrained, pretrained
from nnlint.evidence.seeding import is_test
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.library.motions import parts_of
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Forward, Step
from nnlint.symbolic.values import Choice, Object, Origin, Sequence, Tensor, Unknown, Value, resolve_setting

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

PASSING = frozenset(".to .cuda .cpu .float .contiguous torch.autograd.Variable .requires_grad_ .clone .detach".split())
"""What is done to a batch that leaves its numbers as they are."""

TO_UNIT = frozenset(("ToTensor",))
"""Transforms after which a picture has numbers between 0 and 1."""

PLAIN = frozenset(
    "Resize Scale CenterCrop RandomCrop RandomResizedCrop RandomSizedCrop RandomHorizontalFlip RandomVerticalFlip "
    "RandomRotation RandomAffine RandomPerspective ColorJitter RandomGrayscale RandomErasing Pad Grayscale "
    "RandAugment AutoAugment TrivialAugmentWide GaussianBlur FiveCrop TenCrop ToTensor RandomApply RandomChoice".split()
)
"""Transforms that normalize nothing."""

CLOSE = 0.1
"""How far a mean or standard deviation may be from that of the pretraining."""


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """How the pictures that a model is fed are scaled: where that is decided, and the statistics, if any."""

    place: Place
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None


@rule(
    "NN103",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("pretrained", "weights"),
    requires=("torchvision", "timm"),
    roots=("pretrained", "weights", "DataLoader"),
)
def missing_pretrained_normalization(trace: Trace) -> Iterator[Finding]:
    """A pretrained network that is fed pictures which are not normalized with its mean and standard deviation.

    ## Why it matters
    The first layer of a pretrained network knows pictures with mean 0 and standard deviation 1 in each channel: those
    of ImageNet, after its own statistics were taken out. Numbers between 0 and 1 are another kind of picture, all of
    them bright and pale; the features that come out are not those that were paid for. Finetuning adapts in the end,
    frozen features never do, and in both cases nothing fails: the score is only a few points lower. Karpathy's recipe
    warns of just this in its beginning: a network fed wrongly still works, but silently a bit worse.

    ## Example
    ```python
    import torch
    from torch.utils.data import DataLoader
    from torchvision import datasets, models, transforms

    torch.manual_seed(0)
    transform = transforms.Compose([transforms.RandomResizedCrop(224), transforms.ToTensor()])
    loader = DataLoader(datasets.ImageFolder("data/train", transform), batch_size=64, shuffle=True)
    model = models.resnet18(weights="IMAGENET1K_V1")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    for epoch in range(10):
        for images, labels in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    ```

    ## Use instead
    ```python
    import torch
    from torch.utils.data import DataLoader
    from torchvision import datasets, models, transforms

    torch.manual_seed(0)
    normalize = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    transform = transforms.Compose([transforms.RandomResizedCrop(224), transforms.ToTensor(), normalize])
    loader = DataLoader(datasets.ImageFolder("data/train", transform), batch_size=64, shuffle=True)
    model = models.resnet18(weights="IMAGENET1K_V1")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    for epoch in range(10):
        for images, labels in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    ```

    ## How it is confirmed
    It has no experiment yet.

    ## When it stays silent
    - The pictures are normalized with ImageNet's statistics, or with some near them, such as the data's own.
    - They are normalized on the way from the loader to the network, or the network does it inside, as torchvision's
      detectors do.
    - The transform comes with the weights (`weights.transforms()`, timm's `create_transform`), or is not known.
    - The network is not pretrained, or its weights are loaded from a file of one's own.
    """
    finetuned = "load_state_dict" in trace.source.text and not any(True for _ in trace.of(Step))
    if finetuned or is_test(trace.source.path):
        return
    reported: set[int] = set()
    for run in trace.runs:
        for forward in run.of(Forward):
            model = pretrained(forward.module)
            scale = scale_of(forward) if model is not None else None
            if model is None or scale is None or is_right(scale, model):
                continue
            place = scale.place if scale.place.source is trace.source else anchor(trace, forward)
            if place is not None and id(place.node) not in reported:
                reported.add(id(place.node))
                yield describe(model, scale, forward, place)


def is_right(scale: Scale, model: Pretrained) -> bool:
    """Whether pictures are scaled as those of the pretraining; statistics of timm's models are not known."""
    if scale.statistics is None:
        return False
    if model.built.op.startswith("timm."):
        return True
    return all(
        abs(mine - theirs) <= CLOSE
        for given, known in zip(scale.statistics, IMAGENET, strict=True)
        for mine, theirs in zip(given * 3 if len(given) == 1 else given, known, strict=False)
    )


# --- what the model is fed -------------------------------------------------------------------------------------------


def scale_of(forward: Forward) -> Scale | None:
    """How the pictures that a model is called with are scaled; None if it cannot be told."""
    value = next(iter(forward.arguments.positional), None)
    for _ in range(12):
        if not isinstance(value, (Tensor, Unknown)):
            return None
        origin = value.origin
        if origin is not None and origin.op.startswith("torchvision.transforms."):
            return _of_sample(origin)
        if value.batch is not None and (origin is None or origin.op == "getitem"):
            return _of_loader(value.batch.loader)
        if origin is None or origin.op not in PASSING or not origin.inputs:
            return None
        value = origin.inputs[0]
    return None


def _of_sample(origin: Origin) -> Scale | None:
    """What the transforms have done that a data set of the repository applies to a picture, the last first."""
    last = origin
    for _ in range(12):
        name = origin.op.rpartition(".")[2]
        if name in TO_UNIT:
            return Scale(Place(last.source, last.node), None)
        inner = next(iter(origin.inputs), None)
        if name not in PLAIN or inner is None or inner.origin is None:
            return None
        origin = inner.origin
    return None


def _of_loader(loader: Value) -> Scale | None:
    """What the transform of a loader's data set of torchvision does."""
    if not isinstance(loader, Object) or given(loader.arguments.get(6, "collate_fn")) is not None:
        return None
    scales = [_of_dataset(dataset) for dataset in datasets(loader)]
    return scales[0] if len(scales) == 1 else None


def _of_dataset(dataset: Value) -> Scale | None:
    if not isinstance(dataset, Object) or not dataset.path.startswith("torchvision.datasets."):
        return None
    arguments = dataset.arguments
    transforms = [
        resolved
        for value in (*arguments.positional, *arguments.keywords.values())
        if isinstance(resolved := resolve_setting(value), (Object, Choice)) and _is_transform(resolved)
    ]
    return _of_transform(transforms[0]) if len(transforms) == 1 else None


def _is_transform(value: Value) -> bool:
    return isinstance(value, Choice) or (isinstance(value, Object) and value.kind == "transform")


def _of_transform(transform: Value) -> Scale | None:
    """What a pipeline of known transforms does to a picture."""
    if not isinstance(transform, Object) or transform.origin is None:
        return None
    parts = parts_of(transform) if transform.name == "Compose" else [transform]
    names = [
        part.name for part in parts if isinstance(part, Object) and part.path.startswith("torchvision.transforms.")
    ]
    if len(names) != len(parts) or not TO_UNIT.intersection(names) or not PLAIN.union(("Normalize",)).issuperset(names):
        return None
    normalizations = [part for part in parts if isinstance(part, Object) and part.name == "Normalize"]
    if not normalizations:
        unit = next(part for part in parts if isinstance(part, Object) and part.name in TO_UNIT)
        built = transform.origin if unit.origin is None else unit.origin
        return Scale(Place(built.source, built.node), None)
    statistics = _statistics(normalizations[0]) if len(normalizations) == 1 else None
    built = normalizations[0].origin or transform.origin
    return None if statistics is None else Scale(Place(built.source, built.node), statistics)


def _statistics(normalize: Object) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """The mean and standard deviation by channel, where they are written down."""
    found = []
    for position, name in enumerate(("mean", "std")):
        value = resolve_setting(normalize.arguments.get(position, name))
        if not isinstance(value, Sequence) or value.open:
            return None
        numbers = [number(item) for item in value.items]
        known = tuple(item for item in numbers if item is not None)
        if len(known) != len(numbers) or len(known) not in (1, 3):
            return None
        found.append(known)
    return found[0], found[1]


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(model: Pretrained, scale: Scale, forward: Forward, place: Place) -> Finding:
    """The finding in words."""
    built = Place(model.built.source, model.built.node)
    if scale.statistics is None:
        message = f"the pretrained {model.name} is fed pictures between 0 and 1 that are not normalized"
    else:
        mean, std = (", ".join(f"{each:g}" for each in statistics) for statistics in scale.statistics)
        message = f"the pretrained {model.name} is fed pictures normalized with ({mean}) and ({std}), not as ImageNet's"
    known = ", ".join(str(list(statistics)) for statistics in IMAGENET)
    advice = f"normalize them as in its pretraining: `Normalize({known})`"
    if model.built.op.startswith("timm."):
        advice = "normalize them as in its pretraining: `timm.data.resolve_model_data_config(model)` says how"
    notes = (
        Note(built, "the pretrained weights are loaded here"),
        Note(forward.place, "the pictures are fed to it here"),
    )
    return Finding(
        place,
        message,
        "its first layer knows pictures with mean 0 and standard deviation 1 in each channel",
        advice,
        tuple(note for note in notes if note.place.node is not place.node),
        fix(model, scale),
        confidence=Confidence.HIGH if scale.statistics is None else Confidence.MEDIUM,
    )


def fix(model: Pretrained, scale: Scale) -> Fix | None:
    """Normalize after ``transforms.ToTensor()``, as an item of the list that it is written in."""
    node = scale.place.node
    if scale.statistics is not None or model.built.op.startswith("timm.") or not isinstance(node, cst.Call):
        return None
    code = scale.place.source.module.code_for_node
    if not isinstance(node.func, cst.Attribute) or node.func.attr.value != "ToTensor":
        return None
    mean, std = IMAGENET
    text = f"{code(node)}, {code(node.func.value)}.Normalize({list(mean)}, {list(std)})"
    return Fix("normalize with ImageNet's statistics", (Edit("replace", scale.place, text),))
