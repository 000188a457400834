"""How image transforms move pixels: which classes and functions do, how, and what they leave to chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from nnlint.symbolic.ancestry import ancestors
from nnlint.symbolic.scalar import evaluate
from nnlint.symbolic.values import (
    Attribute,
    Choice,
    Const,
    Function,
    Instance,
    Library,
    Mapping,
    Method,
    Object,
    Origin,
    Partial,
    Sequence,
    Unknown,
    Value,
    resolve_setting,
    same,
)


def words(text: str) -> frozenset[str]:
    """The words of a table."""
    return frozenset(text.split())


# --- tables ----------------------------------------------------------------------------------------------------------

FLIP, ROTATION, CROP, WARP, SCALE = "flip", "rotation", "crop", "warp", "rescaling"
"""What can happen to the place of a pixel."""


@dataclass(frozen=True, slots=True)
class Motion:
    """How a transform moves pixels, and the argument that decides what it does.

    With ``always_same`` the transform does one thing or nothing, so that the probability ``p`` alone decides;
    otherwise ``argument`` is what it draws from.
    """

    kind: str
    always_same: bool = False
    argument: str = ""
    position: int | None = None
    default: float = 0.5
    """The probability where none is given."""


def _motions(names: str, motion: Motion) -> dict[str, Motion]:
    return dict.fromkeys(names.split(), motion)


_FLIP = Motion(FLIP, always_same=True, argument="p", position=0)

MOTIONS: dict[str, Motion] = {
    # torchvision and kornia
    **_motions("RandomHorizontalFlip RandomVerticalFlip RandomHorizontalFlip3D RandomVerticalFlip3D", _FLIP),
    **_motions("RandomDepthicalFlip3D", _FLIP),
    **_motions("RandomRotation RandomRotation3D", Motion(ROTATION, argument="degrees", position=0)),
    **_motions("RandomRotation90", Motion(ROTATION, argument="times", position=0)),
    **_motions("RandomAffine RandomAffine3D RandomShear RandomTranslate", Motion(WARP)),
    **_motions("RandomPerspective RandomPerspective3D ElasticTransform RandomElasticTransform", Motion(WARP)),
    **_motions("RandomThinPlateSpline RandomFisheye", Motion(WARP)),
    **_motions("AutoAugment RandAugment TrivialAugmentWide AugMix TrivialAugment", Motion(WARP)),
    **_motions("RandomCrop RandomResizedCrop RandomSizedCrop RandomIoUCrop RandomCrop3D", Motion(CROP)),
    **_motions("RandomResize RandomShortestSize ScaleJitter RandomZoomOut RandomScale", Motion(SCALE)),
    # albumentations
    **_motions("HorizontalFlip VerticalFlip Transpose", Motion(FLIP, always_same=True, argument="p")),
    **_motions("Flip D4 SquareSymmetry", Motion(FLIP)),
    **_motions("RandomRotate90", Motion(ROTATION)),
    **_motions("Rotate SafeRotate", Motion(ROTATION, argument="limit", position=0)),
    **_motions("ShiftScaleRotate Affine PiecewiseAffine Perspective IAAPerspective IAAPiecewiseAffine", Motion(WARP)),
    **_motions("GridDistortion OpticalDistortion ThinPlateSpline GridElasticDeform RandomGridShuffle", Motion(WARP)),
    **_motions("RandomCropNearBBox RandomSizedBBoxSafeCrop BBoxSafeRandomCrop CropNonEmptyMaskIfExists", Motion(CROP)),
    **_motions("AtLeastOneBBoxRandomCrop RandomCropFromBorders", Motion(CROP)),
    # monai, with and without keys
    **_motions("RandFlip", Motion(FLIP, always_same=True, argument="prob", position=0, default=0.1)),
    **_motions("RandAxisFlip", Motion(FLIP)),
    **_motions("RandRotate RandRotate90", Motion(ROTATION)),
    **_motions("RandAffine Rand2DElastic Rand3DElastic RandGridDistortion", Motion(WARP)),
    **_motions("RandZoom", Motion(SCALE)),
    **_motions("RandSpatialCrop RandSpatialCropSamples RandScaleCrop RandWeightedCrop", Motion(CROP)),
    **_motions("RandCropByPosNegLabel RandCropByLabelClasses", Motion(CROP)),
}
"""The classes that move pixels by chance."""

AUGMENTERS: dict[str, Motion] = {
    **_motions("Fliplr Flipud", Motion(FLIP, always_same=True, argument="p", position=0, default=1.0)),
    **_motions("Rotate Rot90", Motion(ROTATION)),
    **_motions("Affine PiecewiseAffine ElasticTransformation PerspectiveTransform ShearX ShearY", Motion(WARP)),
    **_motions("TranslateX TranslateY WithPolarWarping", Motion(WARP)),
    **_motions("ScaleX ScaleY", Motion(SCALE)),
    **_motions("Crop CropAndPad CropToFixedSize", Motion(CROP)),
}
"""The classes of imgaug that move pixels, by chance where an argument says so."""

PIPELINES = words("Compose Sequential AugmentationSequential ImageSequential VideoSequential ReplayCompose")
"""Classes that apply what they are made of one after the other."""
SELECTIONS = words("RandomApply RandomChoice RandomOrder OneOf SomeOf Sometimes OneOrOther Maybe")
"""Classes that leave to chance which of their parts they apply."""

_FUNCTIONAL = ("torchvision.transforms.functional", "torchvision.transforms.v2.functional")

MOVES: dict[str, str] = {
    **{
        f"{module}.{name}": kind
        for module in _FUNCTIONAL
        for kind, names in (
            (FLIP, "hflip vflip horizontal_flip vertical_flip"),
            (ROTATION, "rotate"),
            (CROP, "crop resized_crop"),
            (WARP, "affine perspective elastic elastic_transform"),
            (SCALE, "resize"),
        )
        for name in names.split()
    },
    **dict.fromkeys(("PIL.ImageOps.mirror", "PIL.ImageOps.flip"), FLIP),
    **{f"numpy.{name}": FLIP for name in ("flip", "fliplr", "flipud")},
    **{f"torch.{name}": FLIP for name in ("flip", "fliplr", "flipud")},
    **dict.fromkeys(("numpy.rot90", "torch.rot90", "cv2.rotate", "scipy.ndimage.rotate"), ROTATION),
    **dict.fromkeys(
        ("scipy.ndimage.interpolation.rotate", "skimage.transform.rotate", "scipy.misc.imrotate"), ROTATION
    ),
    **dict.fromkeys(("cv2.warpAffine", "cv2.warpPerspective", "cv2.remap", "scipy.ndimage.map_coordinates"), WARP),
    **dict.fromkeys(("scipy.ndimage.interpolation.map_coordinates", "scipy.ndimage.affine_transform"), WARP),
    **dict.fromkeys(("skimage.transform.warp", "scipy.ndimage.shift"), WARP),
    **dict.fromkeys(
        ("cv2.resize", "skimage.transform.resize", "skimage.transform.rescale", "scipy.ndimage.zoom"), SCALE
    ),
    "cv2.flip": FLIP,
    "kornia.geometry.transform.hflip": FLIP,
    "kornia.geometry.transform.vflip": FLIP,
    "kornia.geometry.transform.rotate": ROTATION,
    "kornia.geometry.transform.warp_affine": WARP,
    "kornia.geometry.transform.warp_perspective": WARP,
}
"""Functions that move the pixels of their first argument."""

METHOD_MOVES = {".rotate": ROTATION, ".crop": CROP, ".flip": FLIP, ".fliplr": FLIP, ".flipud": FLIP, ".rot90": ROTATION}
"""Methods that move the pixels of a picture, array or tensor."""

TRANSPOSITIONS = {
    "FLIP_LEFT_RIGHT": FLIP,
    "FLIP_TOP_BOTTOM": FLIP,
    "TRANSPOSE": FLIP,
    "TRANSVERSE": FLIP,
    "ROTATE_90": ROTATION,
    "ROTATE_180": ROTATION,
    "ROTATE_270": ROTATION,
}
"""What ``Image.transpose`` of PIL can be asked for."""

READERS = words(
    "PIL.Image.open cv2.imread cv2.imdecode imageio.imread imageio.v2.imread imageio.v3.imread skimage.io.imread "
    "matplotlib.pyplot.imread matplotlib.image.imread scipy.misc.imread torchvision.io.read_image tifffile.imread "
    "torchvision.io.decode_image nibabel.load SimpleITK.ReadImage pydicom.dcmread pydicom.read_file rasterio.open "
    "torchvision.datasets.folder.default_loader torchvision.datasets.folder.pil_loader gdal.Open mmcv.imread"
)
"""Functions that read a picture from a file."""


@dataclass(frozen=True, slots=True)
class PairedDataset:
    """A dataset of torchvision whose targets lie where the pixels lie.

    ``transform`` and ``target_transform`` are the positions of these arguments, counted from 0; ``selector`` is the
    argument that says what the targets are, ``asked`` the values of it that mean places in the picture.
    """

    noun: str
    transform: int
    target_transform: int
    selector: str = ""
    asked: frozenset[str] = frozenset()
    is_picture: bool = True


PAIRED_DATASETS: dict[str, PairedDataset] = {
    "VOCSegmentation": PairedDataset("masks", 4, 5),
    "Cityscapes": PairedDataset("masks", 4, 5),
    "OxfordIIITPet": PairedDataset("masks", 4, 5, "target_types", words("segmentation")),
    "VOCDetection": PairedDataset("boxes", 4, 5, is_picture=False),
    "CocoDetection": PairedDataset("boxes", 2, 3, is_picture=False),
    "WIDERFace": PairedDataset("boxes", 2, 3, is_picture=False),
    "Kitti": PairedDataset("boxes", 2, 3, is_picture=False),
    "CelebA": PairedDataset("landmarks", 3, 4, "target_type", words("bbox landmarks"), is_picture=False),
}
"""The datasets of torchvision that take a transform for the image and one for a target with places in it."""

SIDED_DATASETS = words("MNIST KMNIST EMNIST QMNIST USPS SVHN Omniglot GTSRB RenderedSST2")
"""The datasets of torchvision whose classes are told apart by their sides: digits, letters, traffic signs."""

DRAW = "draw"
"""The origin of the number that a random transform draws; its input is the transform."""

DRAWING_METHODS = words(
    ".random .uniform .randint .randrange .rand .randn .integers .choice .choices .normal .random_sample .binomial "
    ".getrandbits .uniform_ .random_ .bernoulli_ .normal_ .beta .standard_normal .poisson .get_params"
)
"""Methods of generators, and of tensors that are filled in place, that draw."""

_NO_DRAWS = words(
    "random.seed random.setstate random.getstate random.Random numpy.random.seed numpy.random.get_state "
    "numpy.random.set_state numpy.random.RandomState numpy.random.default_rng torch.random.manual_seed"
)
_TORCH_DRAWS = words(
    "torch.rand torch.randn torch.randint torch.randperm torch.rand_like torch.bernoulli torch.multinomial torch.normal"
)


# --- questions to a value --------------------------------------------------------------------------------------------


def is_draw(value: Value) -> bool:
    """Whether a value comes from a generator of random numbers."""
    if value.origin is None:
        return False
    op = value.origin.op
    if op == DRAW or op in _TORCH_DRAWS:
        return True
    if op.startswith(("random.", "numpy.random.")):
        return op not in _NO_DRAWS
    return op in DRAWING_METHODS or op.endswith(".get_params")


def generator_of(draw: Value) -> str:
    """The generator that a drawn number comes from: ``torch``, ``numpy``, ``random``, or empty for another one."""
    if draw.origin is None:
        return ""
    op = draw.origin.op
    if op == DRAW and draw.origin.inputs:
        transform = draw.origin.inputs[0]
        library = transform.path.partition(".")[0] if isinstance(transform, Object) else ""
        return "torch" if library in ("torchvision", "kornia") else ""
    if (
        op in _TORCH_DRAWS
        or op.startswith("torchvision.")
        or op in (".uniform_", ".random_", ".bernoulli_", ".normal_")
    ):
        return "torch"
    if op.startswith("numpy.random."):
        return "numpy"
    return "random" if op.startswith("random.") else ""


def motion_of(origin: Origin) -> str | None:
    """How an operation moves the pixels of its first input, None if it does not (or nobody knows)."""
    op = origin.op
    kind = MOVES.get(op)
    if kind is not None:
        return kind
    if op.startswith("."):
        return _motion_of_method(origin)
    if op == "getitem":
        return _motion_of_subscript(origin)
    motion = motion_of_class(op)
    return None if motion is None else motion.kind


def motion_of_class(path: str) -> Motion | None:
    """How the transforms of a class move pixels by chance, None if they do not."""
    library, _, rest = path.partition(".")
    name = rest.rpartition(".")[2]
    if library == "imgaug":
        return AUGMENTERS.get(name)
    if library == "monai":
        for suffix in ("Dict", "d", "D"):
            if name.endswith(suffix) and name[: -len(suffix)] in MOTIONS:
                return MOTIONS[name[: -len(suffix)]]
    return MOTIONS.get(name) if library in ("torchvision", "albumentations", "kornia", "monai") else None


def _motion_of_method(origin: Origin) -> str | None:
    if origin.op == ".transpose" and len(origin.inputs) == 2:
        asked = resolve_setting(origin.inputs[1])
        if isinstance(asked, Library) and asked.path.startswith("PIL."):
            return TRANSPOSITIONS.get(asked.path.rpartition(".")[2])
        return None
    if origin.op == ".rotate" and len(origin.inputs) < 2:
        return None
    return METHOD_MOVES.get(origin.op)


def _motion_of_subscript(origin: Origin) -> str | None:
    """``img[:, ::-1]`` flips; ``img[y : y + h, x : x + w]`` crops."""
    if not isinstance(origin.node, cst.Subscript):
        return None
    # a third index may be that of the channels, whose order is a matter of colour
    first_two = [element.slice for element in origin.node.slice[:2]]
    slices = [part for part in first_two if isinstance(part, cst.Slice)]
    if len(slices) == len(first_two) and any(isinstance(part.step, cst.UnaryOperation) for part in slices):
        return FLIP
    bounded = [part for part in slices if part.lower is not None and part.upper is not None]
    return CROP if len(bounded) >= 2 else None


# --- what a transform leaves to chance -------------------------------------------------------------------------------


def parts_of(transform: Object) -> list[Value]:
    """The transforms that a pipeline or selection is made of, in order."""
    if transform.children:
        return transform.children
    given = next(
        (value for name in ("transforms", "children", "then_list") if (value := transform.arguments.get(None, name))),
        None,
    )
    values = transform.arguments.positional if given is None else (given,)
    found: list[Value] = []
    for value in values:
        part = _longest(resolve_setting(value) or value)
        if isinstance(part, Sequence):
            found += part.items
        elif isinstance(part, (Object, Instance, Function, Method, Partial, Choice, Unknown, Attribute)):
            found.append(part)
    return found


def _longest(value: Value) -> Value:
    """Of two lists that a branch leaves behind the one with more in it, the value itself otherwise."""
    if not isinstance(value, Choice):
        return value
    lists = [side for side in (value.yes, value.no) if isinstance(side, Sequence)]
    return max(lists, key=lambda side: len(side.items), default=value)


def random_motions(transform: Value | None) -> Iterator[tuple[Object, Motion]]:
    """The parts of a transform (or itself) that move pixels by chance, in order."""
    transform = resolve_setting(transform)
    if not isinstance(transform, Object):
        return
    if transform.name in PIPELINES or transform.name in SELECTIONS:
        before: Value | None = None
        for part in parts_of(transform):
            if before is None or not fits(before, part):
                yield from random_motions(part)
            before = part
        return
    motion = motion_of_class(transform.path)
    if motion is not None and chance(transform, motion) is not None:
        yield transform, motion


def chance(transform: Object, motion: Motion) -> Value | None:
    """What decides, each time anew, what a transform does; the transform itself if it draws on its own.

    None if it always does the same: a flip with probability 1, a rotation by one angle. Where the argument was drawn
    by the script, so that transforms built with it do the same, the drawn number.
    """
    if transform.path.startswith("imgaug."):
        return _chance_of_augmenter(transform, motion)
    probability = transform.arguments.get(None, "p") or transform.arguments.get(None, "prob")
    if probability is None and motion.argument in ("p", "prob"):
        position = 1 if motion.argument == "prob" and not transform.name.endswith("Flip") else motion.position
        probability = transform.arguments.get(position, motion.argument)
    known = motion.default if probability is None and motion.always_same else evaluate(probability)
    if isinstance(known, (int, float)) and (known == 0 or (known >= 1 and motion.always_same)):
        return None
    if motion.always_same:
        return transform if probability is None else drawn(probability) or transform
    given = transform.arguments.get(motion.position, motion.argument) if motion.argument else None
    return transform if given is None else _chance_of_range(transform, given)


def _chance_of_range(transform: Object, given: Value) -> Value | None:
    """A number stands for the range around 0, a pair for the range between its items."""
    resolved = resolve_setting(given) or given
    if evaluate(resolved) == 0:
        return None
    if isinstance(resolved, Sequence) and len(resolved.items) == 2 and not resolved.open:
        low, high = resolved.items
        if same(low, high) or (isinstance(low, Const) and evaluate(low) == evaluate(high)):
            return drawn(low)
    return transform


def _chance_of_augmenter(transform: Object, motion: Motion) -> Value | None:
    arguments = (*transform.arguments.positional, *transform.arguments.keywords.values())
    if motion.always_same:
        probability = transform.arguments.get(motion.position, motion.argument)
        known = motion.default if probability is None else evaluate(probability)
        return None if known in (0, 1) else transform
    if transform.name == "CropToFixedSize":
        return transform
    ranges = (resolve_setting(value) for value in arguments)
    return transform if any(isinstance(value, (Sequence, Mapping, Object)) for value in ranges) else None


def drawn(value: Value) -> Value | None:
    """The random number that a value depends on, None if there is none."""
    return next((item for item in ancestors(value) if is_draw(item)), None)


def fits(before: Value, crop: Value) -> bool:
    """Whether a random crop follows a resize to its own size, so that nothing is left to choose."""
    if not (isinstance(before, Object) and isinstance(crop, Object)):
        return False
    if before.name != "Resize" or crop.name != "RandomCrop" or crop.arguments.get(1, "padding") is not None:
        return False
    left, right = before.arguments.get(0, "size"), crop.arguments.get(0, "size")
    pair = resolve_setting(left)
    if not isinstance(pair, Sequence) or right is None:
        return False
    other = resolve_setting(right)
    sizes = other.items if isinstance(other, Sequence) else [right] * len(pair.items)
    return len(sizes) == len(pair.items) and all(same(a, b) for a, b in zip(pair.items, sizes, strict=True))


def keys_of(transform: Object) -> frozenset[object] | None:
    """The constant ``keys`` of a dictionary transform of monai, None if it has none or nobody knows them."""
    given = resolve_setting(transform.arguments.get(0, "keys"))
    items = given.items if isinstance(given, Sequence) and not given.open else [given] if given is not None else []
    known = [item.value for part in items if isinstance(item := resolve_setting(part), Const)]
    known = [key for key in known if isinstance(key, str)]
    return frozenset(known) if known and len(known) == len(items) else None
