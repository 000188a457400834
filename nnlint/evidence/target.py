"""What in a sample lies where the pixels lie: masks, boxes, keypoints, flow, and pictures that answer to a picture."""

from __future__ import annotations

import re
from dataclasses import dataclass

import libcst as cst

from nnlint.evidence.sample_parts import Part
from nnlint.symbolic.ancestry import Assumed, ancestors
from nnlint.symbolic.library.motions import READERS
from nnlint.symbolic.values import (
    Attribute,
    Choice,
    Const,
    Function,
    Library,
    Method,
    Object,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
    resolve_setting,
)

_AS = r"(_?(gt|true|target|label|image|img|map|mask|tensor|np|arr|array|\d+))*$"

SPATIAL = tuple(
    (noun, re.compile(rf"(^|_)({names}){_AS}"))
    for noun, names in (
        (
            "mask",
            r"seg|segs|segm|segment(ation)?s?|semantic|masks?|msks?|(seg|label|lbl|lab)_?(img|image|map|mask)|trimap|parsing",
        ),
        ("boxes", r"(b|bb|gt)?_?box(es)?|bboxs|bnd_?box(es)?|rois"),
        ("keypoints", r"key_?points?|kps|kpts?|pts|land_?marks?|joints?(_?[23]d)?"),
        ("flow", r"(optical_)?flow"),
        ("depth map", r"depths?|disp|disparity|disparities"),
        ("normals", r"(surface_)?normals"),
        ("heatmap", r"heat_?maps?|density(_?map)?|dmap|score_?map"),
    )
)
"""Names of what lies where the pixels lie."""

ANSWER = re.compile(
    rf"(^|_)(targets?|gts?|labels?|lbls?|ground_?truth|truth|annot(ation)?s?|annos?|y|clean|sharp|hr|matte|edges?){_AS}"
)
"""Names of what is the answer to a picture; if it is a picture itself, it lies where the pixels lie."""

ELSEWHERE = re.compile(
    r"(^|_)(has|is|with|no|use|attention|attn|input|pad(ding)?|tokens?|tok|causal|src|tgt|loss|valid|time|text|missing|"
    r"paths?|files?|fname|filename|names?|ids?|idx|index|num|counts?|shapes?|sizes?|len|lengths?|meta|info|"
    r"orig|original|raw|ratio|prob|url)(_|$)"
)
"""Words in a name that say that it is something else after all."""

FILE_WORDS = re.compile(r"_?(paths?|files?|names?|lists?|dirs?|fnames?|root|folder)$")
TRANSFORM_WORDS = re.compile(r"^_*|_?(transforms?|augment(er|ations?)?|tf|tfms?)$")

LONGEST = 200
"""Values that a trunk holds at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A part of a sample that lies where the pixels lie.

    ``noun`` says what it is, ``trunk`` what it was made from, ``read`` where it was read if it is a picture. ``moved``
    is whether it is known to lie there because it was moved along with the picture, though not in every respect.
    """

    part: Part
    noun: str
    trunk: list[Value]
    read: Value | None
    moved: bool

    @property
    def is_data(self) -> bool:
        """Whether it is known to be read, or taken from what the dataset holds, for this very sample."""
        return self.moved or self.read is not None or depends_on_index(self.part.value)

    @property
    def name(self) -> str:
        """What the script calls it."""
        return self.part.label or next((name for item in self.trunk if (name := name_of(item))), self.noun)


def target_of(part: Part, moved: bool) -> Target | None:
    """The part as a target, None if it does not lie where the pixels lie, as far as anybody knows."""
    value = resolve_setting(part.value) or part.value
    if not isinstance(value, (Unknown, Tensor, Choice, Object)):
        return None
    line = trunk(value, part.assumed)
    read = reader(line)
    names = names_along(part, line)
    if not names or ELSEWHERE.search(names[0]):
        return None
    noun = _noun(names if read is not None else list(dict.fromkeys(names))[:2])
    if noun is None and read is not None:
        on_the_path = path_words(read)
        answers = any(ANSWER.search(name) for name in (*names, *on_the_path))
        noun = "target image" if answers else _noun(on_the_path)
    if noun is None and moved:
        noun = "target"
    return None if noun is None else Target(part, noun, line, read, moved)


def _noun(names: list[str]) -> str | None:
    return next((noun for name in names for noun, pattern in SPATIAL if pattern.search(name)), None)


def names_along(part: Part, line: list[Value]) -> list[str]:
    """What the script calls a part, nearest first: its label, its variables, and the transforms named after it."""
    names = [part.label]
    for item in line:
        if isinstance(item, (Unknown, Tensor, Attribute)):
            names.append(item.name)
        if item.origin is not None and item.origin.op == "call" and item.origin.inputs:
            names.append(TRANSFORM_WORDS.sub("", name_of(item.origin.inputs[0])))
    return [name.lower() for name in names if name]


def name_of(value: Value) -> str:
    """What the script calls a value, empty if it does not."""
    if isinstance(value, (Unknown, Tensor, Symbol, Attribute, Function)):
        return value.name
    if isinstance(value, Method):
        return value.function.name
    if isinstance(value, (Object, Library)):
        return value.path.rpartition(".")[2]
    return ""


def trunk(value: Value, assumed: Assumed | None = None) -> list[Value]:
    """The values that a value was step by step made from, nearest first, as far as the place it was taken from.

    Of an operation that is the first input, of a method the receiver, of a choice both sides.
    """
    found: list[Value] = []
    seen: set[int] = set()
    queue = [value]
    for given in queue:
        item = resolve_setting(given) or given
        if id(item) in seen or len(found) >= LONGEST:
            continue
        seen.add(id(item))
        found.append(item)
        if isinstance(item, Choice):
            outcome = None if assumed is None or item.test is None else assumed.get(id(item.test))
            queue += [item.yes, item.no] if outcome is None else [item.yes if outcome else item.no]
        elif isinstance(item, Sequence):
            queue += item.items[:1] or ([] if item.element is None else [item.element])
        elif isinstance(item, Object):
            queue += item.arguments.positional[:1]
        elif item.origin is not None and not is_source(item):
            queue += _worked_on(item)
    return found


def _worked_on(value: Value) -> tuple[Value, ...]:
    """What the operation that gave a value worked on."""
    assert value.origin is not None
    inputs = value.origin.inputs
    if value.origin.op != "call" or not inputs:
        return inputs[:1]
    callee = inputs[0]
    return inputs[1:2] or ((callee.receiver,) if isinstance(callee, Attribute) else ())


def is_source(value: Value) -> bool:
    """Whether a value is read from a file, or is an item of what the dataset holds."""
    if value.origin is None:
        return True
    op, inputs = value.origin.op, value.origin.inputs
    if op in READERS:
        return True
    return op == "getitem" and any(map(depends_on_index, inputs[1:]))


def reader(line: list[Value]) -> Value | None:
    """The reading of a picture among the values."""
    return next((item for item in line if item.origin is not None and item.origin.op in READERS), None)


def path_words(read: Value) -> list[str]:
    """The names that the path of a picture is made of."""
    assert read.origin is not None
    found: list[str] = []
    for item in (item for path in read.origin.inputs[:1] for item in ancestors(path)):
        if isinstance(item, (Unknown, Attribute)):
            found += (FILE_WORDS.sub("", name.lower()) for name in (item.name, _listed_in(item)))
        elif isinstance(item, Const) and isinstance(item.value, str):
            found += re.findall(r"[a-z]+", item.value.lower())
    return [word for word in found if word]


def _listed_in(item: Value) -> str:
    """The name of the list that an item is taken from: ``masks`` of ``self.masks[index]``; empty for any other."""
    node = item.origin.node if item.origin is not None and item.origin.op == "getitem" else None
    held = node.value if isinstance(node, cst.Subscript) else None
    if isinstance(held, cst.Attribute):
        return held.attr.value
    return held.value if isinstance(held, cst.Name) else ""


def depends_on_index(value: Value) -> bool:
    """Whether a value has to do with the index that the sample was asked for by."""
    return any(isinstance(item, Symbol) and item.name == "index" for item in ancestors(value))
