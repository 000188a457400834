"""What would prove that image and target part: the dataset, the transforms or the call, and where its parts lie."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from nnlint.evidence.augmentation import Disagreement, VainSeeds, place_of
from nnlint.evidence.conditions import given_by
from nnlint.evidence.loaders import way_to
from nnlint.evidence.misplaced_flags import MisplacedFlag
from nnlint.evidence.movement import Movement
from nnlint.evidence.paired_transforms import Pair
from nnlint.evidence.sample_parts import Part
from nnlint.evidence.target import is_source, trunk
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Place
from nnlint.symbolic.library.motions import DRAW, READERS
from nnlint.symbolic.trace import Build, Return, Trace
from nnlint.symbolic.values import (
    Const,
    Instance,
    Library,
    Origin,
    Setting,
    Unknown,
    Value,
    resolve_setting,
)
from nnlint.verdict import Json

KIND = "paired_transform"

COORDINATES = ("boxes", "keypoints")
"""Targets that are lists of places rather than pictures."""


def of_disagreement(found: Disagreement, trace: Trace) -> Experiment | None:
    """Ask the dataset, or the function that is handed both, for samples, and compare their two parts."""
    paths = found.picture.path, found.target.part.path
    if paths[0] is None or paths[1] is None:
        return None
    given = {**given_by(found.movement.tests.values()), **given_by(found.picture.tests.values())}
    settings: dict[str, Json] = {
        "picture": list(paths[0]),
        "target": list(paths[1]),
        "names": [found.picture.label or "the image", found.target.name],
        "coordinates": found.target.noun if found.target.noun in COORDINATES else "",
        "alike": found.by is not None,
        "given": given,
        "options": given,
    }
    picture, target = _source(found.picture), _source(found.target.part)
    watches: list[Watch] = []
    if picture is None or target is None or picture.node is not target.node:
        for name, source, movement in (("picture", picture, found.movement), ("target", target, found.by)):
            settings[f"{name}_read"] = "" if source is None else _reading(source)
            if source is not None:
                watches.append(Watch(name, place_of(source), instead=True))
            elif movement is not None and (operand := _operand(movement.origin)) is not None:
                watches.append(Watch(name, Place(movement.origin.source, operand)))
    watches += _controls(found.movement, found.by)
    if isinstance(found.returned, Return):
        return _of_function(found.returned, found, watches, settings)
    return _of_dataset(found.returned.dataset, trace, watches, settings)


def of_pair(pair: Pair) -> Experiment:
    """Ask the transforms that a dataset is given for pairs of pictures."""
    settings: dict[str, Json] = {
        "subject": "transforms",
        "names": ["the image", f"its {pair.noun}"],
        "coordinates": "" if pair.is_picture else "boxes",
        "alike": pair.by is not None,
    }
    return _of_build(pair.build, (), settings)


def of_digits(event: Build) -> Experiment:
    """Ask the transform that a dataset of characters is given for pictures, and look whether they are mirrored."""
    return _of_build(event, (), {"subject": "characters"})


def of_flag(flag: MisplacedFlag, trace: Trace) -> Experiment | None:
    """Ask the dataset for samples, and look what the function is given."""
    call = flag.place.node
    if flag.dataset is None or not isinstance(call, cst.Call):
        return None
    settings: dict[str, Json] = {
        "subject": "flag",
        "flag": flag.name,
        "taken_for": flag.taken_for,
        "function": flag.function,
        "position": flag.position,
    }
    return _of_dataset(flag.dataset, trace, [Watch("called", Place(flag.place.source, call.func))], settings)


def of_vain_seeds(vain: VainSeeds, trace: Trace) -> Experiment | None:
    """Ask the dataset for samples, and compare what comes out of its two transforms."""
    paths = [part.path for part in vain.parts]
    if paths[0] is None or paths[1] is None:
        return None
    settings: dict[str, Json] = {
        "picture": list(paths[0]),
        "target": list(paths[1]),
        "names": [part.label or name for part, name in zip(vain.parts, ("the image", "the target"), strict=True)],
        "coordinates": "",
        "alike": True,
    }
    watches = [
        Watch("drawing", Place(origin.source, origin.node.func))
        for origin in (vain.first, vain.second)
        if isinstance(origin.node, cst.Call)
    ]
    return _of_dataset(vain.dataset, trace, watches, settings)


# --- what is run -----------------------------------------------------------------------------------------------------


def _of_dataset(dataset: Instance, trace: Trace, watches: list[Watch], settings: dict[str, Json]) -> Experiment | None:
    for run in trace.runs:
        for event in run.of(Build):
            if event.value is dataset:
                return _of_build(event, tuple(watches), settings)
    source, node = dataset.cls.frame.module.source, dataset.cls.node
    return Experiment(KIND, (), tuple(watches), Place(source, node), settings)


def _of_build(event: Build, watches: tuple[Watch, ...], settings: dict[str, Json]) -> Experiment:
    """The script, or the function that nobody calls, as far as the call that builds a dataset."""
    place, built = event.place, event.value
    if isinstance(place.node, cst.Call):
        watches = (Watch("class", Place(place.source, place.node.func)), *watches)
    name = built.cls.name if isinstance(built, Instance) else built.name
    anchors, entry = way_to(event)
    return Experiment(KIND, tuple(anchors), watches, entry, settings | {"class": name})


def _of_function(
    returned: Return, found: Disagreement, watches: list[Watch], settings: dict[str, Json]
) -> Experiment | None:
    """The function or method that is handed image and target, with what it calls them."""
    handed = [_parameter(found.picture.value), _parameter(found.target.part.value)]
    settings |= {"subject": "function", "handed": [name or "" for name in handed]}
    function, receiver = returned.function, returned.receiver
    source = function.frame.module.source
    if isinstance(receiver, Instance):
        settings |= {"method": function.name}
        return Experiment(
            KIND, (), tuple(watches), Place(receiver.cls.frame.module.source, receiver.cls.node), settings
        )
    if not isinstance(function.node, cst.FunctionDef):
        return None
    return Experiment(KIND, (), tuple(watches), Place(source, function.node), settings)


# --- where the parts come from ---------------------------------------------------------------------------------------

LOADERS = READERS | {"numpy.load", "torch.load"}
"""Functions that read a picture, or an array in the place of one."""


def _source(part: Part) -> Origin | None:
    """The expression that gives a part as it lies on disk, or in what the dataset holds or is handed."""
    line = trunk(part.value, part.assumed)
    reads = (number for number, item in enumerate(line) if item.origin is not None and item.origin.op in LOADERS)
    read = next(reads, None)
    if read is not None:
        # of an archive one array
        return line[read - 1 if read and _is_array_of(line[read - 1], line[read]) else read].origin
    ends = (number for number, item in enumerate(line) if _is_held(item))
    last = next(ends, None)
    if last is None:
        return None
    # of ``self.annotations[index]["boxes"]`` the whole
    while last > 0 and _is_item(line[last - 1]):
        last -= 1
    return line[last].origin


def _is_held(value: Value) -> bool:
    """Whether a value is an item of what the dataset holds, of one of its records, or of what a function is handed."""
    origin = value.origin
    if origin is None or origin.op != "getitem" or not origin.inputs:
        return False
    holder = origin.inputs[0].origin
    return is_source(value) or (holder is not None and holder.op in ("parameter", "iterate"))


def _is_array_of(value: Value, archive: Value) -> bool:
    """Whether a value is an array of an archive, by its name there: ``numpy.load(path)["mask"]``."""
    origin = value.origin
    if origin is None or origin.op != "getitem" or len(origin.inputs) != 2 or origin.inputs[0] is not archive:
        return False
    key = resolve_setting(origin.inputs[1])
    return isinstance(key, Const) and isinstance(key.value, str)


def _is_item(value: Value) -> bool:
    return value.origin is not None and value.origin.op in ("getitem", "getattr")


def _reading(source: Origin) -> str:
    """What the expression gives: the function that reads, with ``gray`` after it if it is asked for one channel."""
    if source.op == "getitem" and source.inputs[0].origin is not None:
        source = source.inputs[0].origin
    if source.op not in LOADERS:
        return ""
    asked = resolve_setting(source.inputs[1]) if len(source.inputs) > 1 else None
    gray = (isinstance(asked, Const) and asked.value == 0) or (
        isinstance(asked, Library) and asked.path.endswith("IMREAD_GRAYSCALE")
    )
    return f"{source.op} gray" if gray else source.op


def _parameter(value: Value) -> str:
    """What a function calls the argument that a value was made from."""
    line = trunk(value)
    return next(
        (
            item.name
            for item in line
            if isinstance(item, (Unknown, Setting)) and item.origin is not None and item.origin.op == "parameter"
        ),
        "",
    )


# --- the healthy case ------------------------------------------------------------------------------------------------


def _controls(movement: Movement, by: Movement | None) -> Iterator[Watch]:
    """What must be watched to leave the accused movement out, or to let both draw the same."""
    if by is None:
        operand = _operand(movement.origin)
        if operand is not None:
            yield Watch("unmoved", Place(movement.origin.source, operand))
            yield Watch("moved", place_of(movement.origin))
        return
    drawing = [movement.origin, by.origin]
    drawing += [draw.origin for draw in (*movement.draws, *by.draws) if draw.origin and draw.origin.op != DRAW]
    seen: set[int] = set()
    for origin in drawing:
        if isinstance(origin.node, cst.Call) and id(origin.node) not in seen:
            seen.add(id(origin.node))
            yield Watch("drawing", Place(origin.source, origin.node.func))


def _operand(movement: Origin) -> cst.BaseExpression | None:
    """The expression of the picture that an operation moves."""
    node = movement.node
    if isinstance(node, cst.Subscript):
        return node.value
    if not isinstance(node, cst.Call):
        return None
    if movement.op.startswith("."):
        return node.func.value if isinstance(node.func, cst.Attribute) else None
    named = [arg.value for arg in node.args if arg.keyword is not None and arg.keyword.value in ("image", "img")]
    return named[0] if named else node.args[0].value if node.args else None
