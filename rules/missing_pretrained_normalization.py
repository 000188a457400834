"""NN103: a pretrained network that is fed pictures which are not normalized as those it was pretrained on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.element_order import is_module_method
from nnlint.evidence.feeding import feeding
from nnlint.evidence.loaders import anchor, datasets, given
from nnlint.evidence.pretraining import IMAGENET, Pretrained, Statistics, pretrained
from nnlint.evidence.seeding import is_test
from nnlint.experiment import Experiment
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.library.motions import parts_of
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Forward, Step
from nnlint.symbolic.values import Choice, Object, Origin, Sequence, Tensor, Unknown, Value, resolve_setting
from nnlint.symbolic.words import below, words_of

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

PASSING = frozenset(".to .cuda .cpu .float .contiguous torch.autograd.Variable .requires_grad_ .clone .detach".split())
"""What is done to a batch that leaves its numbers as they are."""

TO_UNIT = frozenset(("ToTensor", "to_tensor"))
"""Transforms after which a picture has numbers between 0 and 1."""

PLAIN = frozenset(
    "Resize Scale CenterCrop RandomCrop RandomResizedCrop RandomSizedCrop RandomHorizontalFlip RandomVerticalFlip "
    "RandomRotation RandomAffine RandomPerspective ColorJitter RandomGrayscale RandomErasing Pad Grayscale "
    "RandAugment AutoAugment TrivialAugmentWide GaussianBlur FiveCrop TenCrop ToTensor RandomApply RandomChoice "
    "resize crop center_crop resized_crop hflip vflip rotate pad".split()
)
"""Transforms that normalize nothing."""

NORMALIZE = frozenset(("Normalize", "normalize"))

CHANGED = re.compile(
    r"register_forward_pre_hook|\.transforms\b\s*(?:\.(?:append|insert|extend)\b|\+?=[^=]|\[[^\]]*\]\s*=[^=])|"
    r"(?<!self)\.(?:transform|collate_fn|forward)\s*=[^=]|"
    r"(?<!self)\.(?:conv1|conv_stem|conv_proj|patch_embed|stem|features)\b[\w.\[\]]*\s*=[^=]"
)
"""What a script does that changes what a network is fed after all, or replaces the layer that it is fed to."""

CLOSE = 0.1
"""How far a mean or standard deviation may be from that of the pretraining."""


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """How the pictures that a model is fed are scaled: where that is decided, and the statistics, if any."""

    place: Place
    statistics: Statistics | None


@rule(
    "NN103",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("pretrained", "weights", "DataLoader"),
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
    The script's lines are run with pictures in the colours of ImageNet in the place of those that are not there, as far
    as the first layer of the network, whose weights stay the initial ones. Confirmed when what this layer is given has
    another mean and standard deviation than it knows, and has these once it is normalized as in the pretraining;
    refuted when it has these already, by something on the way that the reading did not see. It abstains where no
    picture gets there, what becomes of the pictures hangs on something that is missing, other pictures make no
    difference to what the layer is given, or the first layer is replaced.

    ## When it stays silent
    - The pictures are normalized with ImageNet's statistics, with some near them, or with others that look measured.
    - They are normalized on the way from the loader to the network, also in place, or the network does it inside, as
      torchvision's detectors do.
    - The transform comes with the weights (`weights.transforms()`, timm's `create_transform`), or is not known.
    - The pipeline, the data set's transform or the first layer is changed later, or the network has a hook for inputs.
    - The network is not pretrained, was pretrained on pictures between 0 and 1, or its weights are loaded from a file
      of one's own.
    """
    finetuned = "load_state_dict" in trace.source.text and not any(True for _ in trace.of(Step))
    if finetuned or is_test(trace.source.path):
        return
    reported: set[int] = set()
    for run in trace.runs:
        for forward in run.of(Forward):
            model = pretrained(forward.module)
            scale, loader = (None, None) if model is None else fed_to(forward)
            if model is None or scale is None or is_right(scale, model):
                continue
            if is_changed(forward) or any(
                CHANGED.search(source.text) for source in (forward.place.source, model.built.source, scale.place.source)
            ):
                continue
            place = scale.place if scale.place.source is trace.source else anchor(trace, forward)
            if place is not None and id(scale.place.node) not in reported:
                reported.add(id(scale.place.node))
                yield describe(
                    model, scale, forward, place, partial(feeding, run, forward, model, scale.statistics, loader)
                )


def is_right(scale: Scale, model: Pretrained) -> bool:
    """Whether pictures are scaled as those of the pretraining, or as the data themselves ask for.

    What the models of timm were pretrained with is not known: any statistics may be theirs.
    """
    if scale.statistics is None or model.statistics is None:
        return scale.statistics is not None
    return all(map(is_measured, scale.statistics)) or all(
        abs(mine - theirs) <= CLOSE
        for given, known in zip(scale.statistics, model.statistics, strict=True)
        for mine, theirs in zip(given * 3 if len(given) == 1 else given, known, strict=False)
    )


def is_changed(forward: Forward) -> bool:
    """Whether the functions on the way to a model change the pictures in place."""
    sites = forward.context.calls
    calls = [forward.place.node, *(site.place.node for site in sites if is_module_method(site.function))]
    fed = {word for call in calls if isinstance(call, cst.Call) for arg in call.args[:1] for word in words_of(arg)}
    bodies: list[cst.CSTNode] = [forward.place.source.module, *(site.function.node for site in sites)]
    return any(changes_in_place(node, fed - {"self"}) for body in bodies for node in below(body))


def changes_in_place(node: cst.CSTNode, names: set[str]) -> bool:
    """Whether a statement or expression changes what one of some names stands for."""
    if isinstance(node, cst.Call):
        if any(argument.keyword is not None and argument.keyword.value in ("inplace", "out") for argument in node.args):
            return bool(words_of(node) & names)
        method = node.func.attr.value if isinstance(node.func, cst.Attribute) else ""
        return method.endswith("_") and method != "requires_grad_" and bool(words_of(node.func) & names)
    targets = [each.target for each in node.targets] if isinstance(node, cst.Assign) else []
    targets += [node.target] if isinstance(node, cst.AugAssign) else []
    return any(
        bool(words_of(each.value) & names) for each in targets if isinstance(each, (cst.Attribute, cst.Subscript))
    )


def is_measured(numbers: tuple[float, ...]) -> bool:
    """Whether a mean or standard deviation looks like that of data: others by channel, or of more than two digits."""
    return len(set(numbers)) > 1 or any(round(number, 2) != number for number in numbers)


# --- what the model is fed -------------------------------------------------------------------------------------------


def fed_to(forward: Forward) -> tuple[Scale | None, Value | None]:
    """How the pictures that a model is called with are scaled, and their loader; None for what cannot be told."""
    value = next(iter(forward.arguments.positional), None)
    for _ in range(12):
        if not isinstance(value, (Tensor, Unknown)):
            break
        origin, loader = value.origin, None if value.batch is None else value.batch.loader
        if isinstance(loader, Object) and given(loader.arguments.get(6, "collate_fn")) is not None:
            break
        if origin is not None and origin.op.startswith("torchvision.transforms."):
            return _of_sample(origin), loader
        if loader is not None and (origin is None or origin.op == "getitem"):
            return _of_loader(loader), loader
        if origin is None or origin.op not in PASSING or not origin.inputs:
            break
        value = origin.inputs[0]
    return None, None


def _of_sample(origin: Origin) -> Scale | None:
    """What the transforms have done that a data set of the repository applies to a picture, the last first."""
    last = origin
    normalized: Scale | None = None
    for _ in range(12):
        name = origin.op.rpartition(".")[2]
        if name in TO_UNIT:
            return normalized or Scale(Place(last.source, last.node), None)
        if name in NORMALIZE:
            found = _of_normalization(origin)
            if normalized is not None or found is None:
                return None
            normalized = found
        inner = next(iter(origin.inputs), None)
        if name not in PLAIN | NORMALIZE or inner is None or inner.origin is None:
            return None
        origin = inner.origin
    return None


def _of_normalization(origin: Origin) -> Scale | None:
    """What one normalization of a picture does, by a transform or a function."""
    given = origin.inputs[1:]
    if len(given) == 1 and isinstance(given[0], Object):
        built = given[0].origin or origin
        statistics = _statistics(given[0].arguments.get(0, "mean"), given[0].arguments.get(1, "std"))
    else:
        built = origin
        statistics = _statistics(*given[:2]) if len(given) > 1 else None
    return None if statistics is None else Scale(Place(built.source, built.node), statistics)


def _of_loader(loader: Value) -> Scale | None:
    """What the transform of a loader's data set of torchvision does."""
    if not isinstance(loader, Object):
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
    parts = list(single_parts(transform))
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
    if len(normalizations) > 1:
        return None
    arguments, built = normalizations[0].arguments, normalizations[0].origin or transform.origin
    statistics = _statistics(arguments.get(0, "mean"), arguments.get(1, "std"))
    return None if statistics is None else Scale(Place(built.source, built.node), statistics)


def single_parts(transform: Value) -> Iterator[Value]:
    """The transforms that a pipeline is made of, those of pipelines and selections within it too."""
    if isinstance(transform, Object) and transform.name in ("Compose", "RandomApply", "RandomChoice", "RandomOrder"):
        for part in parts_of(transform):
            yield from single_parts(part)
    else:
        yield transform


def _statistics(mean: Value | None, std: Value | None) -> Statistics | None:
    """A mean and standard deviation by channel, where they are written down."""
    found = []
    for numbers_of in (mean, std):
        value = resolve_setting(numbers_of)
        if not isinstance(value, Sequence) or value.open:
            return None
        numbers = [number(item) for item in value.items]
        known = tuple(item for item in numbers if item is not None)
        if len(known) != len(numbers) or len(known) not in (1, 3):
            return None
        found.append(known)
    return found[0], found[1]


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(
    model: Pretrained, scale: Scale, forward: Forward, place: Place, experiment: Callable[[], Experiment | None]
) -> Finding:
    """The finding in words."""
    built = Place(model.built.source, model.built.node)
    if scale.statistics is None:
        message = f"the pretrained {model.name} is fed pictures between 0 and 1 that are not normalized"
    else:
        mean, std = (", ".join(f"{each:g}" for each in statistics) for statistics in scale.statistics)
        message = (
            f"the pretrained {model.name} is fed pictures normalized with ({mean}) and ({std}), not as it knows them"
        )
    advice = f"normalize them as in its pretraining: `Normalize({spelled(model.statistics or IMAGENET)})`"
    if model.statistics is None:
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
        experiment=experiment,
    )


def spelled(statistics: Statistics) -> str:
    """A mean and standard deviation as the arguments of ``Normalize``."""
    return ", ".join(str(list(each)) for each in statistics)


def fix(model: Pretrained, scale: Scale) -> Fix | None:
    """Normalize after ``transforms.ToTensor()``, as an item of the list that it is written in."""
    node = scale.place.node
    if scale.statistics is not None or model.statistics is None or not isinstance(node, cst.Call):
        return None
    code = scale.place.source.module.code_for_node
    if not isinstance(node.func, cst.Attribute) or node.func.attr.value != "ToTensor":
        return None
    text = f"{code(node)}, {code(node.func.value)}.Normalize({spelled(model.statistics)})"
    return Fix("normalize as in the pretraining", (Edit("replace", scale.place, text),))
