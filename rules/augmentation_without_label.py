"""NN101: a picture that is flipped, turned or cropped without its mask, boxes, keypoints or flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.augmentation import MENTIONS, MOTIONS, ROOTS, Disagreement, disagreements, place_of
from nnlint.evidence.misplaced_flags import MisplacedFlag, misplaced_flags
from nnlint.evidence.paired_experiment import of_digits, of_disagreement, of_flag, of_pair
from nnlint.evidence.paired_transforms import Pair, pairs
from nnlint.evidence.repeated_statement import repeated_for
from nnlint.evidence.target import reader, trunk
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.library.motions import CROP, FLIP, ROTATION, SCALE, SIDED_DATASETS, WARP, random_motions
from nnlint.symbolic.trace import Build
from nnlint.symbolic.values import Object

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

MOVES = {FLIP: "flips", ROTATION: "rotates", CROP: "crops", WARP: "warps", SCALE: "rescales"}

TOGETHER = {
    "boxes": (
        "transform both in one call: albumentations with bboxes= and bbox_params, or torchvision.transforms.v2 with "
        "tv_tensors.BoundingBoxes"
    ),
    "keypoints": (
        "transform both in one call (albumentations with keypoints= and keypoint_params), and swap left and right "
        "where a flip does"
    ),
    "flow": "do the same to the flow, and negate its component along the flipped axis",
}
"""What to do about a target, by what it is."""

TOGETHER_OTHERWISE = (
    "transform both in one call (torchvision.transforms.v2 with tv_tensors, albumentations with mask=), or draw once "
    "and do the same to both"
)


@rule("NN101", severity=Severity.WARNING, since="0.1.0", mentions=MENTIONS, requires=MOTIONS, roots=ROOTS)
def augmentation_without_label(trace: Trace) -> Iterator[Finding]:
    """A random flip, rotation, crop or warp of an image whose mask, boxes, keypoints or flow stay as they were.

    ## Why it matters
    A mask, a box or a keypoint says something about a place. If the image is flipped and they are not, the label of a
    pixel belongs to another one in half of the samples. Training goes on and the loss still falls, to a floor of noise
    that no model can get under. The recipe's first stage asks to look at what comes out of the loader, just before it
    enters the network: image and label drawn over each other show this bug at once.

    ## Example
    ```python
    import random

    from PIL import Image, ImageOps
    from torch.utils.data import Dataset


    class Roads(Dataset):
        def __init__(self, image_paths, mask_paths):
            self.image_paths = image_paths
            self.mask_paths = mask_paths

        def __len__(self):
            return len(self.image_paths)

        def __getitem__(self, index):
            image = Image.open(self.image_paths[index])
            mask = Image.open(self.mask_paths[index])
            if random.random() < 0.5:
                image = ImageOps.mirror(image)
            return image, mask
    ```

    ## Use instead
    ```python
    import random

    from PIL import Image, ImageOps
    from torch.utils.data import Dataset


    class Roads(Dataset):
        def __init__(self, image_paths, mask_paths):
            self.image_paths = image_paths
            self.mask_paths = mask_paths

        def __len__(self):
            return len(self.image_paths)

        def __getitem__(self, index):
            image = Image.open(self.image_paths[index])
            mask = Image.open(self.mask_paths[index])
            if random.random() < 0.5:
                image = ImageOps.mirror(image)
                mask = ImageOps.mirror(mask)
            return image, mask
    ```

    ## How it is confirmed
    The dataset that the script builds (or the transforms that it gives to a dataset of torchvision, or the function
    that is handed both) is asked for samples whose pictures are black and white patterns, in the types that its lines
    read. Each draw is repeated with the colours exchanged, from the same state of all generators, so it shows where
    every pixel went, whatever is done to the values: normalization, colour jitter and class maps do not matter. It is
    confirmed when image and mask are apart in several draws and agree in others, or agree once the accused line is
    left out; the offset is read off from a Gray code of rows and columns. Boxes and keypoints are compared with where
    the picture shows their corners. It is refuted when the image lies differently and the target follows in all of 66
    draws: a transform of probability 0.1 is missed by so many once in 1000 times. A mirrored digit is looked for in
    the pictures that the transform gives, a misplaced flag in the arguments that arrive. It abstains when the dataset
    cannot be run, when a value that it lacks decides what happens to a sample, when nothing moves, or when picture and
    target are apart by no more than what interpolation leaves.

    ## When it stays silent
    - The label is a class, an attribute or a number: it has no place.
    - The target depends on the same draw: it was transformed in the same call or under the same condition, mirrored by
      hand, cropped with the same offsets, or computed from the image after the transform.
    - The transform always does the same, or changes colours only.
    - Image and target are two views of one picture, or two pictures that do not belong together.
    - The sample says what was drawn, so that whoever gets it can follow.
    - The target goes through something nobody knows that may well transform it.

    Digits, letters and traffic signs whose class has a side are only pointed out (info).
    """
    found = [*_in_samples(trace), *_in_arguments(trace), *_mirrored_characters(trace)]
    seen: set[int] = set()
    for finding in found:
        if id(finding.place.node) not in seen:
            seen.add(id(finding.place.node))
            yield finding


def _in_samples(trace: Trace) -> Iterator[Finding]:
    """What a dataset does to the parts of a sample."""
    yield from (_moved_alone(found, trace) for found in disagreements(trace) if found.by is None)
    for run in trace.runs:
        yield from (_misplaced(flag, trace) for flag in misplaced_flags(run))


def _moved_alone(found: Disagreement, trace: Trace) -> Finding:
    movement, target = found.movement, found.target
    applied, place = place_of(movement.origin), _accused(found, trace)
    picture = found.picture.label or "the image"
    certain = target.read is not None and target.noun == "mask"
    notes: list[Note] = []
    if target.read is not None and target.read.origin is not None:
        notes.append(Note(place_of(target.read.origin), f"{target.name} is read here and never moved like that"))
    if movement.transform is not None and movement.transform.origin is not None:
        notes.insert(0, Note(place_of(movement.transform.origin), f"{movement.transform.name} is built here"))
    notes.append(Note(applied, f"it {MOVES[movement.kind]} {picture} here"))
    return Finding(
        place,
        message=f"{movement.name} {MOVES[movement.kind]} {picture} at random, but not {target.name}",
        why=f"image and {target.noun} no longer tell of the same places, and the model learns wrong labels",
        advice=TOGETHER.get(target.noun, TOGETHER_OTHERWISE),
        notes=tuple(note for note in notes if note.place.node is not place.node),
        fix=_same_for_the_target(found),
        severity=Severity.ERROR if certain else None,
        confidence=Confidence.HIGH if certain else Confidence.MEDIUM,
        experiment=of_disagreement(found, trace),
    )


def _accused(found: Disagreement, trace: Trace) -> Place:
    """The line that transforms the image; where that is in another file, the transform that this file has built."""
    applied = place_of(found.movement.origin)
    transform = found.movement.transform
    if applied.source is trace.source or transform is None or transform.origin is None:
        return applied
    built = place_of(transform.origin)
    return built if built.source is trace.source else applied


def _same_for_the_target(found: Disagreement) -> Fix | None:
    """The statement ``image = mirror(image)`` once more for the target, where both were read in the same way."""
    target, movement = found.target, found.movement
    read = reader(trunk(found.picture.value))
    if movement.kind not in (FLIP, CROP) or movement.transform is not None or read is None or target.read is None:
        return None
    draws = {id(draw.origin.node) for draw in movement.draws if draw.origin is not None}
    text = repeated_for(found.returned.place.node, movement.origin.node, target.name, draws)
    if text is None or read.origin is None or target.read.origin is None or read.origin.op != target.read.origin.op:
        return None
    return Fix(f"do the same to {target.name}", (Edit("after", place_of(movement.origin), text),))


def _misplaced(flag: MisplacedFlag, trace: Trace) -> Finding:
    by_name = f"{flag.name}={flag.name}"
    return Finding(
        flag.place,
        message=f"{flag.function} gets {flag.name} as {flag.taken_for}; its parameter {flag.name} keeps its default",
        why="the image is moved, and what this call loads for it is not",
        advice=f"pass it by name: {by_name}",
        fix=None if flag.argument is None else Fix("pass it by name", (Edit("replace", flag.argument, by_name),)),
        confidence=Confidence.HIGH,
        experiment=of_flag(flag, trace),
    )


def _in_arguments(trace: Trace) -> Iterator[Finding]:
    """Transforms that are given for the image and for the target apart."""
    return (_given_alone(pair) for pair in pairs(trace) if pair.by is None)


def _given_alone(pair: Pair) -> Finding:
    name, moves = pair.transform.name, MOVES[pair.motion.kind]
    return Finding(
        pair.build.place,
        message=f"{name} {moves} the images of this {pair.name} at random, but not the {pair.noun}",
        why=f"images and {pair.noun} no longer tell of the same places, and the model learns wrong labels",
        advice=pair.advice,
        notes=tuple(Note(place_of(origin), f"{name} is built here") for origin in (pair.transform.origin,) if origin),
        severity=Severity.ERROR if pair.is_picture else None,
        confidence=Confidence.HIGH if pair.is_picture else Confidence.MEDIUM,
        experiment=of_pair(pair),
    )


def _mirrored_characters(trace: Trace) -> Iterator[Finding]:
    """Flips of datasets whose classes have a side."""
    for event in trace.of(Build):
        built = event.value
        if not isinstance(built, Object) or built.kind != "dataset" or built.name not in SIDED_DATASETS:
            continue
        for transform, motion in random_motions(built.arguments.get(None, "transform")):
            if motion.kind == FLIP and transform.origin is not None:
                yield Finding(
                    place_of(transform.origin),
                    message=f"{transform.name} mirrors the images of {built.name}, whose classes have a side",
                    why="a mirrored digit, letter or sign is another one or none, and keeps its label",
                    advice="leave the flip out for this dataset; small rotations and shifts keep the label true",
                    notes=(Note(event.place, f"{built.name} is loaded with it here"),),
                    severity=Severity.INFO,
                    confidence=Confidence.HIGH,
                    experiment=of_digits(event),
                )
