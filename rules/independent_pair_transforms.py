"""NN102: an image and its target that are transformed at random, each by its own draw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.rule import Finding, Note, rule
from nnlint.symbolic.augmentation import Disagreement, disagreements, place_of
from nnlint.symbolic.library.vision import CROP, FLIP, ROTATION, SCALE, WARP
from nnlint.symbolic.paired_transforms import Pair, pairs

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

MOVED = {FLIP: "flipped", ROTATION: "rotated", CROP: "cropped", WARP: "warped", SCALE: "rescaled"}


@rule("NN102", severity=Severity.ERROR, since="0.1.0", mentions=("__getitem__", "ataset", "Rand"))
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
    The dataset will be asked for samples whose image and mask encode their own coordinates, and the agreement of the
    two measured over as many draws as a random transform cannot hide in.

    ## When it stays silent
    - Both go through one call, or through calls that share what was drawn (parameters, `to_deterministic`, replay).
    - The generator that the transform draws from is seeded again, or put back to a saved state, in between. Seeding
      `random` alone does nothing for torchvision, which draws from torch since version 0.8.
    - The transform always does the same: a probability of 0 or 1, a fixed angle, a crop of the whole.
    - Two views of one picture, as in contrastive learning.
    - Pictures that do not belong together, as in CycleGAN.
    """
    seen: set[int] = set()
    for run in trace.runs:
        for found in disagreements(run):
            if found.by is not None and id(found.by.origin.node) not in seen:
                seen.add(id(found.by.origin.node))
                yield _finding(found)
    for pair in pairs(trace):
        if pair.by is not None:
            yield _finding_of_pair(pair, pair.by.name)


def _finding(found: Disagreement) -> Finding:
    assert found.by is not None
    movement, target = found.movement, found.target
    picture = found.picture.label or "the image"
    how = MOVED[movement.kind]
    notes = [Note(place_of(movement.origin), f"{picture} is {how} here, by a draw of its own")]
    transform = movement.transform
    if transform is not None and transform.origin is not None:
        notes.insert(0, Note(place_of(transform.origin), f"{transform.name} draws anew in every call"))
    advice = "transform both in one call (torchvision.transforms.v2 with tv_tensors, albumentations with mask=), or draw once and apply the same to both"
    if found.reseeded is not None:
        notes.append(Note(found.reseeded.place, f"{found.reseeded.by} does not reach the generator that is drawn from"))
        advice += "; torchvision draws from torch since 0.8, so that seeding must be by torch.manual_seed"
    return Finding(
        place_of(found.by.origin),
        message=f"{target.name} is {how} at random by another draw than {picture}",
        why="the two no longer show the same place, and the model is taught wrong pixels",
        advice=advice,
        notes=tuple(notes),
        confidence=Confidence.HIGH if target.read is not None else Confidence.MEDIUM,
    )


def _finding_of_pair(pair: Pair, by: str) -> Finding:
    assert pair.transform.origin is not None and pair.by is not None and pair.by.origin is not None
    how = MOVED[pair.motion.kind]
    return Finding(
        pair.place,
        message=f"images and {pair.noun} of this {pair.name} are {how} by {pair.transform.name} and {by}, each with a draw of its own",
        why="the two no longer show the same place, and the model is taught wrong pixels",
        advice="give one transform for both: transforms= with torchvision.transforms.v2, keys=[…] with both keys",
        notes=(
            Note(place_of(pair.transform.origin), f"{pair.transform.name} for the images"),
            Note(place_of(pair.by.origin), f"{by} for the {pair.noun}"),
        ),
        confidence=Confidence.HIGH,
    )
