"""NN102: an image and its target that are transformed at random, each by its own draw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.augmentation import (
    MENTIONS,
    MOTIONS,
    ROOTS,
    Disagreement,
    VainSeeds,
    disagreements,
    place_of,
    vain_seeds,
)
from nnlint.evidence.movement import Movement
from nnlint.evidence.paired_experiment import of_disagreement, of_pair, of_vain_seeds
from nnlint.evidence.paired_transforms import Pair, pairs
from nnlint.evidence.requirements import is_older
from nnlint.rule import Finding, Note, rule
from nnlint.symbolic.library.motions import CROP, FLIP, ROTATION, SCALE, WARP
from nnlint.symbolic.values import Object

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Seed, Trace

MOVED = {FLIP: "flipped", ROTATION: "rotated", CROP: "cropped", WARP: "warped", SCALE: "rescaled"}

WHY = "the two no longer tell of the same places, and the model learns wrong labels"

TOGETHER = (
    "transform both in one call (torchvision.transforms.v2 with tv_tensors, albumentations with mask=), or draw once "
    "and do the same to both"
)

DRAW_FROM_TORCH = {"torchvision": (0, 8), "torch": (1, 7)}
"""From this version on, which goes with that of torch, all transforms of torchvision draw from torch."""

SEED_TORCH = "torchvision draws from torch since version 0.8: only torch.manual_seed makes two calls draw alike"


@rule(
    "NN102", severity=Severity.ERROR, since="0.1.0", mentions=MENTIONS, requires=(*MOTIONS, "random.seed("), roots=ROOTS
)
def independent_pair_transforms(trace: Trace) -> Iterator[Finding]:
    """A random flip, rotation, crop or warp of an image and its target with a draw of its own for each.

    ## Why it matters
    A transform draws anew every time it is called. Called for the image and then for its mask it flips one and not the
    other in half of the samples, and two crops hardly ever agree. The labels of most pixels are then those of other
    pixels; the loss falls all the same, to a floor that no model can get under. Image and mask drawn over each other
    right before they enter the network, as the recipe's first stage asks, show it at once.

    ## Example
    ```python
    from PIL import Image
    from torch.utils.data import Dataset
    from torchvision import transforms


    class Roads(Dataset):
        def __init__(self, image_paths, mask_paths):
            self.image_paths = image_paths
            self.mask_paths = mask_paths
            self.transform = transforms.Compose([transforms.RandomCrop(256), transforms.ToTensor()])

        def __len__(self):
            return len(self.image_paths)

        def __getitem__(self, index):
            image = self.transform(Image.open(self.image_paths[index]))
            mask = self.transform(Image.open(self.mask_paths[index]))
            return image, mask
    ```

    ## Use instead
    ```python
    from PIL import Image
    from torch.utils.data import Dataset
    from torchvision import tv_tensors
    from torchvision.transforms import v2


    class Roads(Dataset):
        def __init__(self, image_paths, mask_paths):
            self.image_paths = image_paths
            self.mask_paths = mask_paths
            self.transform = v2.Compose([v2.ToImage(), v2.RandomCrop(256)])

        def __len__(self):
            return len(self.image_paths)

        def __getitem__(self, index):
            image = Image.open(self.image_paths[index])
            mask = tv_tensors.Mask(Image.open(self.mask_paths[index]))
            return self.transform(image, mask)
    ```

    ## How it is confirmed
    The dataset that the script builds (or the transforms that it gives to a dataset of torchvision) is asked for
    samples whose pictures are black and white patterns, in the types that its lines read. Each draw is repeated with
    the colours exchanged, from the same state of all generators, so it shows where every pixel went, whatever is done
    to the values. It is confirmed when the two are apart in several draws and agree in others, or agree once both are
    made to draw the same; the offset is read off from a Gray code of rows and columns. It is refuted when the image
    lies differently and the target follows in all of 66 draws: two transforms of probability 0.1 are missed by so many
    less than once in 1000 times. It abstains when the dataset cannot be run, when the transforms are not known, when a
    value that it lacks decides what happens to a sample, when nothing moves, or when the two are apart by no more than
    what interpolation leaves.

    ## When it stays silent
    - Both go through one call, or through calls that share what was drawn (parameters, `to_deterministic`, replay).
    - The generator that the transform draws from is seeded again, or put back to a saved state, in between. Seeding
      `random` alone does nothing for torchvision, which draws from torch since version 0.8; it will do where the
      project asks for an older one, in its `requirements.txt`, `pyproject.toml`, `setup.py` or `environment.yml`.
    - The transform always does the same: a probability of 0 or 1, a fixed angle, a crop of the whole.
    - Two views of one picture, as in contrastive learning.
    - Pictures that do not belong together, as in CycleGAN.

    Where the transforms are not known, but `random` or numpy is seeded for each of them in a module that uses
    torchvision, that is only pointed out (info).
    """
    found = [*_in_samples(trace), *_in_arguments(trace)]
    seen: set[int] = set()
    for finding in found:
        if id(finding.place.node) not in seen:
            seen.add(id(finding.place.node))
            yield finding


def _in_samples(trace: Trace) -> Iterator[Finding]:
    """What a dataset does to the parts of a sample: what is known first, then what only the seeds tell."""
    found = list(disagreements(trace))
    for item in found:
        if item.by is not None and not _draws_alike(item.reseeded, trace):
            yield _moved_apart(item, item.by, trace)
    for run in trace.runs:
        yield from (_seeded_in_vain(vain, trace) for vain in vain_seeds(run) if not _draws_alike(vain.seed, trace))


def _draws_alike(seed: Seed | None, trace: Trace) -> bool:
    """Whether a seed reaches the transforms of the torchvision that the project asks for: until 0.7 ``random``'s."""
    if seed is None or "random" not in seed.generators:
        return False
    return any(is_older(trace.root, package, version) for package, version in DRAW_FROM_TORCH.items())


def _moved_apart(found: Disagreement, by: Movement, trace: Trace) -> Finding:
    movement, target, seed = found.movement, found.target, found.reseeded
    picture, how = found.picture.label or "the image", MOVED[found.movement.kind]
    transform = movement.transform
    notes: list[Note] = []
    if transform is not None and transform.origin is not None:
        notes.append(Note(place_of(transform.origin), f"{transform.name} draws anew in every call"))
    notes.append(Note(place_of(movement.origin), f"{picture} is {how} here"))
    if seed is not None:
        notes.append(Note(seed.place, f"{seed.by} does not reach what is drawn from here"))
    return Finding(
        place_of(by.origin),
        message=f"{target.name} is {how} at random by another draw than {picture}",
        why=WHY,
        advice=TOGETHER if seed is None else f"{TOGETHER}; {SEED_TORCH}",
        notes=tuple(notes),
        confidence=Confidence.HIGH if target.read is not None else Confidence.MEDIUM,
        experiment=of_disagreement(found, trace),
    )


def _seeded_in_vain(vain: VainSeeds, trace: Trace) -> Finding:
    return Finding(
        place_of(vain.second),
        message=f"{vain.seed.by} is called so that two transforms draw alike, and does not reach those of torchvision",
        why="where these transforms are random, the two parts of the sample no longer show the same place",
        advice=f"{TOGETHER}; {SEED_TORCH}",
        notes=(
            Note(vain.seed.place, "it is seeded here, and again before the second transform"),
            Note(place_of(vain.first), "the first transform"),
        ),
        severity=Severity.INFO,
        confidence=Confidence.LOW,
        experiment=of_vain_seeds(vain, trace),
    )


def _in_arguments(trace: Trace) -> Iterator[Finding]:
    """Transforms that are given for the image and for the target apart."""
    return (_given_apart(pair, pair.by) for pair in pairs(trace) if pair.by is not None)


def _given_apart(pair: Pair, by: Object) -> Finding:
    how = MOVED[pair.motion.kind]
    places = ((pair.transform, "images"), (by, pair.noun))
    return Finding(
        pair.build.place,
        message=f"images and {pair.noun} of this {pair.name} are {how} at random, each by a draw of its own",
        why=WHY,
        advice=pair.advice,
        notes=tuple(Note(place_of(it.origin), f"{it.name} for the {what}") for it, what in places if it.origin),
        confidence=Confidence.HIGH,
        experiment=of_pair(pair),
    )
