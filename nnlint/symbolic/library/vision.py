"""Image transforms: torchvision, albumentations, imgaug, kornia and monai, and what applying one leaves behind.

A transform that is applied gives a new value whose origin is the class of the transform. If it moves pixels by chance,
the last input of the origin is the number it has drawn: what went through the same call shares the draw.
"""

from __future__ import annotations

from nnlint.symbolic.branches import join
from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.library.motions import (
    DRAW,
    PIPELINES,
    SELECTIONS,
    chance,
    fits,
    generator_of,
    keys_of,
    motion_of_class,
    parts_of,
    words,
)
from nnlint.symbolic.trace import RandomUse
from nnlint.symbolic.values import (
    Arguments,
    Choice,
    Const,
    Instance,
    Mapping,
    Object,
    Origin,
    Sequence,
    Unknown,
    Value,
    resolve_setting,
)

PREFIXES: dict[str, str] = {
    "torchvision.transforms": "transform",
    "torchvision.transforms.v2": "transform",
    "albumentations": "transform",
    "albumentations.pytorch": "transform",
    "albumentations.augmentations": "transform",
    "kornia.augmentation": "transform",
    "kornia.augmentation.container": "transform",
    "imgaug.augmenters": "transform",
    "monai.transforms": "transform",
}


# --- applying a transform --------------------------------------------------------------------------------------------


def transformed(call: Call, transform: Value, value: Value, selected_by: Value | None = None) -> Value:
    """What a transform makes of a value, or of all leaves of a container at once.

    ``selected_by`` is the draw that decides whether the transform is applied at all.
    """
    transform = resolve_setting(transform) or transform
    if isinstance(transform, Object):
        if transform.name in PIPELINES:
            before: Value | None = None
            for part in parts_of(transform):
                if before is None or not fits(before, part):
                    value = transformed(call, part, value, selected_by)
                before = part
            return value
        if transform.name in SELECTIONS:
            for part in parts_of(transform):
                value = transformed(call, part, value, _draw(call, transform))
            return value
        if transform.name == "Lambda":
            function = transform.arguments.get(0, "lambd")
            return call.unknown(value) if function is None else call.call(function, value)
        if transform.kind == "transform":
            return _applied(call, transform, value, selected_by)
        return call.call(transform, value)
    if isinstance(transform, Choice):
        yes = transformed(call, transform.yes, value, selected_by)
        no = transformed(call, transform.no, value, selected_by)
        result: Value = join(transform.test, yes, no)
        return result
    if isinstance(transform, Instance) and transform.cls.lookup("__call__") is None and _base(transform):
        return _applied(call, Object(_base(transform), "transform", transform.arguments), value, selected_by)
    if isinstance(transform, Const):
        return value
    spread = isinstance(value, Sequence) and value.kind == "tuple" and ".v2." in call.path
    result = call.call(transform, *(value.items if spread and isinstance(value, Sequence) else (value,)))
    return result if selected_by is None else Choice(selected_by, result, value)


def _base(transform: Instance) -> str:
    """The class of a transform library that a class of the repository inherits its application from."""
    return next((path for path in transform.cls.libraries() if path.startswith("albumentations.")), "")


def _draw(call: Call, transform: Object) -> Unknown:
    """A number drawn for one application of a transform."""
    if "draw" in transform.attributes:
        found = transform.attributes["draw"]
        assert isinstance(found, Unknown)
        return found
    built = transform.origin
    source, node = (call.source, call.node) if built is None else (built.source, built.node)
    draw = Unknown(origin=Origin(DRAW, (transform,), source, node))
    if generator_of(draw) == "torch":
        what = f"{transform.name} draws what it does"
        call.emit(RandomUse, generator="torch", what=what, in_worker=call.executor.in_worker)
    return draw


def _applied(call: Call, transform: Object, value: Value, selected_by: Value | None) -> Value:
    """A single transform applied to the leaves of a value, all with the same draw."""
    decision = _decision(call, transform, selected_by)
    extra: tuple[Value, ...] = () if decision is None else (decision,)
    if transform.name == "Normalize":
        # With what it normalizes stands where it was built.
        extra = (transform,)
    keys = keys_of(transform) if transform.path.startswith("monai.") else None

    def leaf(item: Value) -> Value:
        if isinstance(item, Sequence):
            element = None if item.element is None else leaf(item.element)
            return Sequence(item.kind, [leaf(part) for part in item.items], item.open, element)
        if isinstance(item, Mapping):
            return Mapping(
                {key: leaf(part) if keys is None or key in keys else part for key, part in item.items.items()},
                item.open,
                None if item.default is None or keys is not None else leaf(item.default),
            )
        if isinstance(item, Const):
            return item
        return Unknown(origin=Origin(transform.path, (item, *extra), call.source, call.node))

    return leaf(value)


def _decision(call: Call, transform: Object, selected_by: Value | None) -> Value | None:
    """The drawn number that decides how a transform moves pixels this time, None if nothing does."""
    motion = motion_of_class(transform.path)
    if motion is None:
        if transform.name.startswith("Random") or transform.name == "ColorJitter":
            _draw(call, transform)
        return None
    decided_by = chance(transform, motion)
    return _draw(call, transform) if decided_by is transform else decided_by or selected_by


# --- handlers --------------------------------------------------------------------------------------------------------

ALBUMENTATIONS_TARGETS = words("image mask masks bboxes keypoints images volume volumes mask3d masks3d")
IMGAUG_TARGETS = words(
    "image images segmentation_maps heatmaps bounding_boxes keypoints polygons line_strings images_aug"
)


def _call_transform(call: Call) -> Value:
    """``transform(image)``, ``transform(image, mask)``, ``transform(sample)``, ``transform(image=…, mask=…)``."""
    transform = call.receiver
    assert isinstance(transform, Object)
    library = transform.path.partition(".")[0]
    if library == "albumentations":
        return _call_albumentations(call, transform)
    if library == "imgaug":
        return _call_imgaug(call, transform)
    params = call.get(None, "params")
    values = [*call.arguments.positional]
    values += [value for name, value in call.arguments.keywords.items() if name not in ("params", "data_keys")]
    if not values or call.arguments.star:
        return call.unknown()
    subject = values[0] if len(values) == 1 else Sequence("tuple", values)
    if params is not None and transform.name not in PIPELINES:
        return Unknown(origin=Origin(transform.path, (subject, params), call.source, call.node))
    return transformed(call, transform, subject)


def _call_albumentations(call: Call, transform: Object) -> Value:
    """A dict of what was given; keys that are no targets come back as they went in."""
    declared = resolve_setting(transform.arguments.get(None, "additional_targets"))
    targets = set(ALBUMENTATIONS_TARGETS)
    if isinstance(declared, Mapping):
        targets.update(str(key) for key in declared.items)
    every = declared is not None and (not isinstance(declared, Mapping) or declared.open)
    given = call.arguments.keywords
    moved: dict[object, Value] = {name: value for name, value in given.items() if every or name in targets}
    result = transformed(call, transform, Mapping(moved))
    rest = call.unknown()
    if isinstance(result, Mapping):
        return Mapping({**dict(given.items()), **result.items}, True, rest)
    return rest


def _call_imgaug(call: Call, transform: Object) -> Value:
    """What was given, in the order of the arguments; a single value if it was one."""
    given = [*call.arguments.positional]
    given += [value for name, value in call.arguments.keywords.items() if name in IMGAUG_TARGETS]
    if not given or call.arguments.star:
        return call.unknown()
    return transformed(call, transform, given[0] if len(given) == 1 else Sequence("tuple", given))


def _augment(call: Call) -> Value:
    """``augmenter.augment_image(image)``, ``augmenter.augment_bounding_boxes(boxes)`` and the like."""
    transform = call.receiver
    assert isinstance(transform, Object)
    given = next(iter((*call.arguments.positional, *call.arguments.keywords.values())), None)
    return call.unknown() if given is None else transformed(call, transform, given)


def _deterministic(call: Call) -> Value:
    """``augmenter.to_deterministic()``: an augmenter that does the same in every call."""
    augmenter = call.receiver
    assert isinstance(augmenter, Object)
    return _frozen(augmenter, Unknown(origin=Origin(DRAW, (augmenter,), call.source, call.node)))


def _frozen(augmenter: Object, draw: Unknown) -> Object:
    parts: list[Value] = [_frozen(part, draw) if isinstance(part, Object) else part for part in parts_of(augmenter)]
    whole = augmenter.name in PIPELINES or augmenter.name in SELECTIONS
    return Object(
        augmenter.path,
        augmenter.kind,
        augmenter.arguments if not whole else Arguments(),
        {"draw": draw},
        parts if whole else [],
        origin=augmenter.origin,
    )


def _itself(call: Call) -> Value:
    """``transform.to(device)`` and the like of transforms that are modules."""
    return call.receiver or Unknown()


def _reseed(call: Call) -> Value:
    """``transform.set_random_state(seed=…)`` of monai: what is drawn from now on follows from the seed."""
    transform = call.receiver
    assert isinstance(transform, Object)
    seed = call.get(0, "seed") or call.get(1, "state")
    draw = Unknown(origin=Origin(DRAW, (transform,) if seed is None else (transform, seed), call.source, call.node))
    call.executor.put(transform.attributes, "draw", draw)
    return transform


FUNCTIONS: dict[str, Handler] = {}

OBJECT_METHODS: dict[tuple[str, str], Handler] = {
    ("transform", "__call__"): _call_transform,
    ("transform", "augment"): _call_transform,
    ("transform", "to_deterministic"): _deterministic,
    ("transform", "set_random_state"): _reseed,
    **dict.fromkeys((("transform", name) for name in ("to", "cuda", "cpu", "float", "train", "eval")), _itself),
    **{
        ("transform", f"augment_{what}"): _augment
        for what in (
            *("image", "images", "segmentation_maps", "heatmaps", "bounding_boxes", "keypoints", "polygons", "batch"),
            "line_strings",
        )
    },
}
