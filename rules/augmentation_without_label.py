"""NN101: a picture that is flipped, turned or cropped without its mask, boxes, keypoints or flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.augmentation import Disagreement, disagreements, place_of
from nnlint.symbolic.library.vision import CROP, FLIP, ROTATION, SCALE, SIDED_DATASETS, WARP, random_motions
from nnlint.symbolic.paired_transforms import Pair, pairs
from nnlint.symbolic.trace import Build
from nnlint.symbolic.values import Object

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

MOVES = {FLIP: "flips", ROTATION: "rotates", CROP: "crops", WARP: "warps", SCALE: "rescales"}

JOINTLY = {
    "boxes": "transform both in one call (albumentations with bboxes= and bbox_params, torchvision.transforms.v2 with tv_tensors.BoundingBoxes)",
    "keypoints": "transform both in one call (albumentations with keypoints= and keypoint_params), and swap left and right joints when flipping",
    "flow": "do the same to the flow, and negate its component along the flipped axis",
}
"""What to do about a target, by what it is."""

ADVICE = "transform both in one call (torchvision.transforms.v2 with tv_tensors, albumentations with mask=), or draw once and apply the same to both"


@rule("NN101", severity=Severity.WARNING, since="0.1.0", mentions=("__getitem__", "ataset", "Rand"))
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
    The dataset will be asked for samples whose pixels encode their own coordinates, with a mask, boxes or keypoints
    that encode the same ones, and their agreement measured over as many draws as a random transform cannot hide in.

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
    seen: set[int] = set()
    for run in trace.runs:
        for found in disagreements(run):
            place = _accused(found, trace)
            if found.by is None and id(place.node) not in seen:
                seen.add(id(place.node))
                yield _finding(found, place)
    for pair in pairs(trace):
        if pair.by is None:
            yield _finding_of_pair(pair)
    yield from _mirrored_characters(trace)


def _accused(found: Disagreement, trace: Trace) -> Place:
    """The line that transforms the image; where that is in another file, the transform that this file has built."""
    applied = place_of(found.movement.origin)
    transform = found.movement.transform
    if applied.source is trace.source or transform is None or transform.origin is None:
        return applied
    built = place_of(transform.origin)
    return built if built.source is trace.source else applied


def _finding(found: Disagreement, place: Place) -> Finding:
    movement, target = found.movement, found.target
    picture = found.picture.label or "the image"
    certain = target.read is not None and target.noun == "mask"
    notes = []
    transform = movement.transform
    if transform is not None and transform.origin is not None and place_of(transform.origin).node is not place.node:
        notes.append(Note(place_of(transform.origin), f"{transform.name} is built here"))
    applied = place_of(movement.origin)
    if applied.node is not place.node:
        notes.append(Note(applied, f"here it {MOVES[movement.kind]} {picture}"))
    if target.read is not None and target.read.origin is not None:
        notes.insert(0, Note(place_of(target.read.origin), f"{target.name} is read here, and nothing moves it"))
    return Finding(
        place,
        message=f"{movement.name} {MOVES[movement.kind]} {picture} at random, but {target.name} stays as it was",
        why=f"after that {target.name} speaks of other pixels, and the model is taught wrong places",
        advice=JOINTLY.get(target.noun, ADVICE),
        notes=tuple(notes),
        severity=Severity.ERROR if certain else None,
        confidence=Confidence.HIGH if certain else Confidence.MEDIUM,
    )


def _finding_of_pair(pair: Pair) -> Finding:
    name, kind = pair.transform.name, pair.motion.kind
    assert pair.transform.origin is not None
    return Finding(
        pair.place,
        message=f"{name} {MOVES[kind]} the images of this {pair.name} at random, but nothing does the same to its {pair.noun}",
        why=f"in the samples it changes, the {pair.noun} speak of other pixels",
        advice="give one transform for both (torchvision: transforms= with torchvision.transforms.v2)"
        if pair.place.source.text and pair.name != "Compose"
        else f"add the key {pair.noun!r} to the keys of {name}",
        notes=(Note(place_of(pair.transform.origin), f"{name} is built here"),),
        severity=Severity.ERROR if pair.is_picture else None,
        confidence=Confidence.HIGH if pair.is_picture else Confidence.MEDIUM,
    )


def _mirrored_characters(trace: Trace) -> Iterator[Finding]:
    """Flips of datasets whose classes have a side."""
    seen: set[int] = set()
    for event in trace.of(Build):
        built = event.value
        if not isinstance(built, Object) or built.kind != "dataset" or built.name not in SIDED_DATASETS:
            continue
        for transform, motion in random_motions(built.arguments.get(None, "transform")):
            origin = transform.origin
            if motion.kind != FLIP or origin is None or id(origin.node) in seen:
                continue
            seen.add(id(origin.node))
            yield Finding(
                place_of(origin),
                message=f"{transform.name} mirrors the images of {built.name}, whose classes have a side",
                why="a mirrored digit, letter or sign is another one or none, and keeps its label",
                advice="leave the flip out for this dataset; small rotations, shifts and scales keep the label true",
                notes=(Note(event.place, f"{built.name} is loaded with it here"),),
                severity=Severity.INFO,
                confidence=Confidence.HIGH,
            )
