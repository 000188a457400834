"""What the transforms of a data set leave to chance: where pixels go, and which colours they have."""

from __future__ import annotations

from collections.abc import Iterator

from nnlint.symbolic.ancestry import ancestors
from nnlint.symbolic.library.motions import DRAW, PIPELINES, SELECTIONS, parts_of, random_motions, words
from nnlint.symbolic.scalar import evaluate
from nnlint.symbolic.trace import Run, Sample
from nnlint.symbolic.values import Choice, Instance, Object, Value, resolve_setting

COLOURS = words(
    "ColorJitter RandomGrayscale RandomErasing RandomInvert RandomPosterize RandomSolarize RandomAdjustSharpness "
    "RandomAutocontrast RandomEqualize RandomPhotometricDistort RandomChannelPermutation "
    "RandomBrightnessContrast RandomGamma RandomBrightness RandomContrast HueSaturationValue RGBShift GaussNoise "
    "MotionBlur CoarseDropout Cutout GridDropout ChannelShuffle RandomFog RandomRain RandomSnow RandomShadow"
)
"""Classes of torchvision, kornia and albumentations that change what a picture looks like by chance."""


def random_parts(transform: Value | None) -> list[Object]:
    """The parts of a transform, or itself, that do something else each time; a choice leaves it open: none."""
    return [*(part for part, _ in random_motions(transform)), *_random_colours(transform)]


def _random_colours(transform: Value | None) -> Iterator[Object]:
    transform = resolve_setting(transform)
    if not isinstance(transform, Object) or transform.kind != "transform":
        return
    if transform.name in PIPELINES or transform.name in SELECTIONS:
        for part in parts_of(transform):
            yield from _random_colours(part)
    elif transform.name in COLOURS and not transform.path.startswith(("imgaug.", "monai.")):
        probability = transform.arguments.get(None, "p")
        if probability is None or evaluate(probability) != 0:
            yield transform


def transforms_of(run: Run, dataset: Value) -> list[Object]:
    """The random transforms that the samples of a dataset go through, as far as it was followed; each once."""
    found: dict[int, Object] = {}
    if isinstance(dataset, Object):
        arguments = dataset.arguments
        for value in (*arguments.positional, *arguments.keywords.values()):
            resolved = resolve_setting(value)
            if isinstance(resolved, Object) and resolved.kind == "transform":
                found |= {id(part): part for part in random_parts(resolved)}
    elif isinstance(dataset, Instance):
        for sample in run.of(Sample):
            if sample.dataset is dataset:
                found |= {id(part): part for part in _drawn_in(sample.value)}
    return list(found.values())


def _drawn_in(value: Value) -> Iterator[Object]:
    """The random transforms that a sample went through; none if some ran twice on it: views of one picture."""
    draws: dict[int, list[int]] = {}
    seen: dict[int, Object] = {}
    for item in ancestors(value, barrier=lambda item: isinstance(item, (Choice, Instance))):
        origin = item.origin
        if origin is not None and origin.op == DRAW and isinstance(origin.inputs[0], Object):
            transform = origin.inputs[0]
            seen[id(transform)] = transform
            draws.setdefault(id(transform), []).append(id(item))
    if all(len(each) == 1 for each in draws.values()):
        yield from seen.values()
