"""What the parts of a sample went through on their way out of a dataset: which were moved at random, which were not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import libcst as cst

from nnlint.rule import Place
from nnlint.symbolic.ancestry import Assumed, ancestors, parents
from nnlint.symbolic.library.vision import DRAW, READERS, generator_of, is_draw, motion_of
from nnlint.symbolic.trace import Run, Sample, Seed, Store
from nnlint.symbolic.values import (
    Attribute,
    Choice,
    Const,
    Function,
    Library,
    Mapping,
    Method,
    Object,
    Origin,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
    resolve_setting,
)

Tests = dict[int, tuple[Value, bool]]
"""The tests that decided for something, and how they came out, by the identity of the test."""

PARTS_OF_SAMPLE = 24
"""Parts of a sample that are looked at."""


# --- what kind of thing a part is ------------------------------------------------------------------------------------

SPATIAL = (
    ("mask", re.compile(r"(^|_)(seg|segs|segm|segment(ation)?s?|semantic|masks?|(seg|label|lbl|lab)_?(img|image|map|mask)|trimap|matte|matting|parsing)(_?\d+)?(_(gt|target|label|image|img|map|mask|tensor|np|arr|array|true))?$")),
    ("boxes", re.compile(r"(^|_)(b?boxes|b?box|bboxs|bndbox(es)?|rois)$")),
    ("keypoints", re.compile(r"(^|_)(key_?points?|kps|kpts?|land_?marks?|joints?(_?[23]d)?)$")),
    ("flow", re.compile(r"(^|_)(optical_)?flow(_?(gt|map|target))?$")),
    ("depth map", re.compile(r"(^|_)(depths?|disp|disparity|disparities)(_?(gt|map|img|image|target|map_gt))?$")),
    ("normals", re.compile(r"(^|_)(surface_)?normals$")),
    ("heatmap", re.compile(r"(^|_)(heat_?maps?|density(_?map)?|dmap|score_?map)(_gt)?$")),
)
"""Names of what lies where the pixels lie."""

MIRRORED = re.compile(r"(^|_)(targets?|gts?|labels?|lbls?|ground_?truth|truth|annot(ation)?s?|annos?|y|clean|sharp|hr|matte)(_?(img|image|map|pic|picture))?s?$")
"""Names of what is the answer to a picture; if it is a picture itself, it lies where the pixels lie."""

NOT_SPATIAL = re.compile(
    r"(^|_)(attention|attn|input|pad(ding)?|token|tok|key_padding|causal|src|tgt|loss|valid|time|frame|text|missing|"
    r"path|paths|file|files|fname|filename|name|names|id|ids|idx|index|num|count|counts|shape|size|len|length|meta|info|"
    r"orig|original|raw|ratio|prob|url)(_|$)"
)

PICTURE = re.compile(r"(^|_)(x|img|image|im|imgs|images|input|inputs|rgb|photo|picture|pic|frame|slice|scan|volume|ct|mri)(\d*)(_|$)")

HANDLES = re.compile(r"transform|aug|flip|mirror|crop|rot(at)?|warp|affine|jitter|pair|sync|joint|consist", re.IGNORECASE)
"""Names of callables that may well do to a target what was done to the picture."""


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
    for item in queue:
        item = resolve_setting(item) or item
        if id(item) in seen or len(found) > 200:
            continue
        seen.add(id(item))
        found.append(item)
        if isinstance(item, Choice):
            outcome = None if assumed is None or item.test is None else assumed.get(id(item.test))
            queue += [item.yes, item.no] if outcome is None else [item.yes if outcome else item.no]
        elif isinstance(item, Sequence) and item.items:
            queue.append(item.items[0])
        elif isinstance(item, Object):
            queue += item.arguments.positional[:1]
        elif item.origin is not None and not is_source(item):
            inputs = item.origin.inputs
            if item.origin.op == "call":
                callee = inputs[0] if inputs else None
                inputs = inputs[1:]
                if not inputs and isinstance(callee, Attribute):
                    inputs = (callee.receiver,)
            queue += inputs[:1]
    return found


def is_source(value: Value) -> bool:
    """Whether a value is read from a file, or is an item of what the dataset holds."""
    if value.origin is None:
        return True
    op, inputs = value.origin.op, value.origin.inputs
    if op in READERS:
        return True
    if op != "getitem" or not inputs:
        return False
    return any(isinstance(item, Symbol) for key in inputs[1:] for item in ancestors(key))


def reader(values: list[Value]) -> Value | None:
    """The reading of a picture among the values."""
    return next((item for item in values if item.origin is not None and item.origin.op in READERS), None)


# --- movements -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Movement:
    """A random operation that moved the pixels of a part of a sample.

    ``draws`` are the random numbers that decide about it, ``tests`` the branches it stands in.
    """

    kind: str
    origin: Origin
    draws: tuple[Value, ...]
    tests: Tests

    @property
    def picture(self) -> Value:
        """What was moved."""
        return self.origin.inputs[0]

    @property
    def transform(self) -> Object | None:
        """The transform of a library that did it, None if the script did it itself."""
        for draw in self.draws:
            if draw.origin is not None and draw.origin.op == DRAW and draw.origin.inputs:
                found = draw.origin.inputs[0]
                return found if isinstance(found, Object) else None
        return None

    @property
    def name(self) -> str:
        """What did it, as a script would call it."""
        op = self.origin.op
        if op == "getitem":
            return "a slice"
        return op.rpartition(".")[2] + ("()" if op.startswith(".") else "")


def movements(value: Value) -> list[Movement]:
    """The random operations that moved pixels on the way to a value."""
    found: list[Movement] = []
    for origin, tests in _moved(value, {}).values():
        parameters = [*origin.inputs[1:], *(test for test, _ in tests.values())]
        draws: dict[int, Value] = {}
        for parameter in parameters:
            draws.update((id(item), item) for item in ancestors(parameter) if is_draw(item))
        if draws:
            kind = motion_of(origin)
            assert kind is not None
            found.append(Movement(kind, origin, tuple(draws.values()), tests))
    return found


Moved = dict[int, tuple[Origin, Tests]]


def _moved(value: Value, known: dict[int, Moved]) -> Moved:
    """The operations that move pixels, by the identity of their origins, each with the tests that decide for it."""
    if id(value) in known:
        return known[id(value)]
    known[id(value)] = found = {}
    if is_draw(value) or (isinstance(value, Object) and value.kind == "transform"):
        return found
    if isinstance(value, Choice):
        yes, no = _moved(value.yes, known), _moved(value.no, known)
        for key in yes | no:
            if key in yes and key in no:
                tests = {test: how for test, how in yes[key][1].items() if test in no[key][1]}
                found[key] = yes[key][0], tests
            else:
                side, outcome = (yes, True) if key in yes else (no, False)
                deciding = {} if value.test is None else {id(value.test): (value.test, outcome)}
                found[key] = side[key][0], {**side[key][1], **deciding}
        return found
    for parent in parents(value):
        for key, (origin, tests) in _moved(parent, known).items():
            if key in found:
                tests = {test: how for test, how in tests.items() if test in found[key][1]}
            found[key] = origin, tests
    if value.origin is not None and value.origin.inputs and motion_of(value.origin) is not None:
        found[id(value.origin)] = value.origin, {}
    return found


# --- samples ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Part:
    """A part of what a dataset returns, and what the script calls it."""

    label: str
    value: Value
    assumed: Assumed = field(default_factory=dict)
    """How the tests came out that led to the return."""

    @cached_property
    def _cache(self) -> dict[str, object]:
        return {}


def parts_of_sample(sample: Sample) -> Iterator[list[Part]]:
    """The parts of what is returned, once for each way to return."""
    names = returned_names(sample.place.node)
    for value, assumed in _ways(sample.value, {}):
        parts: list[Part] = []
        _flatten(value, "", assumed, names, parts)
        if len(parts) > 1:
            yield parts


def _ways(value: Value, assumed: dict[int, bool]) -> Iterator[tuple[Value, dict[int, bool]]]:
    if isinstance(value, Choice) and len(assumed) < 8:
        known = {} if value.test is None else {id(value.test): True}
        yield from _ways(value.yes, {**assumed, **known})
        yield from _ways(value.no, {**assumed, **{test: False for test in known}})
    else:
        yield value, assumed


def _flatten(value: Value, label: str, assumed: Assumed, names: dict[int, list[str]], parts: list[Part]) -> None:
    if len(parts) >= PARTS_OF_SAMPLE:
        return
    if isinstance(value, Sequence) and value.items:
        spoken = names.get(len(value.items), []) if not label else []
        for number, item in enumerate(value.items):
            _flatten(item, spoken[number] if spoken else label, assumed, {}, parts)
    elif isinstance(value, Mapping) and value.items:
        for key, item in value.items.items():
            _flatten(item, key if isinstance(key, str) else label, assumed, {}, parts)
    elif isinstance(value, Unknown) and value.items:
        for key, item in value.items.items():
            _flatten(item, str(key), assumed, {}, parts)
    else:
        parts.append(Part(label, value, assumed))


def returned_names(node: cst.CSTNode) -> dict[int, list[str]]:
    """What the ``return`` statements of a function call the items of the tuples they return, by the number of items."""
    found: dict[int, list[str]] = {}

    class Returns(cst.CSTVisitor):
        def visit_FunctionDef(self, inner: cst.FunctionDef) -> bool:  # noqa: N802
            return inner is node

        def visit_Return(self, statement: cst.Return) -> None:  # noqa: N802
            if isinstance(statement.value, (cst.Tuple, cst.List)):
                names = [_spoken(element.value) for element in statement.value.elements]
                found[len(names)] = names

    node.visit(Returns())
    return found


def _spoken(node: cst.BaseExpression) -> str:
    """The name that an expression is about: itself, the receiver of a method, the first argument of a function."""
    while True:
        if isinstance(node, cst.Name):
            return node.value
        if isinstance(node, cst.Call):
            function = node.func
            receiver = function.value if isinstance(function, cst.Attribute) else None
            about_receiver = isinstance(receiver, (cst.Call, cst.Subscript)) or not node.args
            if about_receiver and receiver is not None:
                node = receiver
            elif node.args:
                node = node.args[0].value
            else:
                return ""
        elif isinstance(node, cst.Subscript):
            index = node.slice[0].slice
            key = index.value if isinstance(index, cst.Index) else None
            if isinstance(key, cst.SimpleString):
                return str(key.evaluated_value)
            node = node.value
        elif isinstance(node, cst.Attribute):
            return node.attr.value
        elif isinstance(node, cst.BinaryOperation):
            node = node.left
        else:
            return ""


# --- pairs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A part of a sample that lies where the pixels lie. ``noun`` says what it is, ``read`` where it was read."""

    part: Part
    noun: str
    trunk: list[Value]
    read: Value | None

    @property
    def is_data(self) -> bool:
        """Whether it is known to be read, or taken from what the dataset holds, for this very sample."""
        return self.read is not None or depends_on_index(self.part.value)

    @property
    def name(self) -> str:
        """What the script calls it."""
        return self.part.label or next((name for item in self.trunk if (name := name_of(item))), self.noun)


def target_of(part: Part) -> Target | None:
    """The part as a target, None if it does not lie where the pixels lie, as far as anybody knows."""
    value = resolve_setting(part.value) or part.value
    if not isinstance(value, (Unknown, Tensor, Choice, Object)):
        return None
    line = trunk(value, part.assumed)
    read = reader(line)
    names = [part.label.lower(), *(name_of(item).lower() for item in line if isinstance(item, (Unknown, Tensor, Attribute)))]
    names = [name for name in names if name]
    if not names or any(NOT_SPATIAL.search(name) for name in names[:1]):
        return None
    for name in names[:2] if read is None else names:
        for noun, pattern in SPATIAL:
            if pattern.search(name):
                return Target(part, noun, line, read)
    if read is not None:
        keys = _path_words(read)
        for name in (*names, *keys):
            if MIRRORED.search(name):
                return Target(part, "target image", line, read)
        for name in keys:
            for noun, pattern in SPATIAL:
                if pattern.search(name):
                    return Target(part, noun, line, read)
    return None


def _path_words(read: Value) -> list[str]:
    """The names that the path of a picture is made of."""
    assert read.origin is not None
    found: list[str] = []
    for argument in read.origin.inputs[:1]:
        for item in ancestors(argument):
            if isinstance(item, (Unknown, Attribute)) and item.name:
                found.append(re.sub(r"_?(paths?|files?|names?|lists?|dirs?|fnames?|root|folder)$", "", item.name.lower()))
            elif isinstance(item, Const) and isinstance(item.value, str) and len(item.value) < 40:
                found += [word for word in re.split(r"[^a-z]+", item.value.lower()) if word]
    return found


def depends_on_index(value: Value) -> bool:
    """Whether a value has to do with the index that the sample was asked for by."""
    return any(isinstance(item, Symbol) and item.name == "index" for item in ancestors(value))


@dataclass(frozen=True, slots=True, eq=False)
class Disagreement:
    """A picture that was moved at random, and a target that was not moved with it.

    ``by`` is how the target was moved instead, None if it was left as it was.
    """

    sample: Sample
    picture: Part
    movement: Movement
    target: Target
    by: Movement | None = None
    reseeded: Seed | None = None
    """A seed that is set on the way, of a generator that neither draws from."""


def disagreements(run: Run) -> Iterator[Disagreement]:
    """The first disagreement of each way to return a sample."""
    stores = list(run.of(Store))
    for sample in run.of(Sample):
        for parts in parts_of_sample(sample):
            found = _disagreement(run, sample, parts, stores)
            if found is not None:
                yield found


def _disagreement(run: Run, sample: Sample, parts: list[Part], stores: list[Store]) -> Disagreement | None:
    moved = [(part, movements(part.value)) for part in parts]
    targets = [target for part in parts if (target := target_of(part)) is not None]
    for picture, its in moved:
        if not its or (isinstance(picture.value, Choice) and target_of(picture) is not None):
            continue
        for target in targets:
            if target.part is picture or not _belong_together(picture, target):
                continue
            others = next(theirs for part, theirs in moved if part is target.part)
            for movement in its:
                if _is_shared(movement, target, stores) or _is_told(movement, parts, picture, target):
                    continue
                if _is_question_about(movement, target):
                    continue
                by = next((other for other in others if other.kind == movement.kind), None)
                if by is not None:
                    if not _is_synchronised(run, sample, movement, by):
                        return Disagreement(sample, picture, movement, target, by, reseeded(run))
                elif target.is_data and not _may_be_handled(target):
                    return Disagreement(sample, picture, movement, target)
    return None


def _belong_together(picture: Part, target: Target) -> bool:
    """Whether picture and target are two things about one example: neither is made from the other, nor chosen apart."""
    line = trunk(picture.value, picture.assumed)
    read = reader(line)
    if read is not None and target.read is read:
        return False
    reached = {id(item) for item in ancestors(target.part.value, target.part.assumed)}
    if any(id(movement.picture) in reached for movement in movements(picture.value)):
        return False
    if id(target.part.value) in {id(item) for item in ancestors(picture.value)}:
        return False
    return not (_chosen_by(read) ^ _chosen_by(target.read))


def _chosen_by(read: Value | None) -> set[int]:
    """The random numbers that decide which file is read."""
    if read is None or read.origin is None:
        return set()
    return {id(item) for given in read.origin.inputs for item in ancestors(given) if is_draw(item)}


def _is_shared(movement: Movement, target: Target, stores: list[Store]) -> bool:
    """Whether the target depends on a number that decided about the movement, by its value or by what is stored in it."""
    draws = {id(draw) for draw in movement.draws}
    assumed = {**target.part.assumed}
    for key, (test, outcome) in movement.tests.items():
        if not any(id(item) in draws for item in ancestors(test)):
            assumed[key] = outcome
    reached = {id(item) for item in ancestors(target.part.value, assumed)}
    if draws & reached:
        return True
    line = {id(item) for item in target.trunk if not isinstance(item, Symbol)}
    for store in stores:
        into = {id(item) for item in ancestors(store.target)}
        if not (into & line or id(store.target) in reached):
            continue
        given = [store.value, *store.keys, *(condition.test for condition in store.context.conditions)]
        if any(id(item) in draws for value in given for item in ancestors(value)):
            return True
    return False


def _is_told(movement: Movement, parts: list[Part], picture: Part, target: Target) -> bool:
    """Whether the sample says what was drawn, so that whoever gets it can move the target."""
    draws = {id(draw) for draw in movement.draws}
    for part in parts:
        if part is picture or part is target.part:
            continue
        told = any(id(item) in draws for item in ancestors(part.value))
        if told and not movements(part.value):
            return True
    return False


def _is_question_about(movement: Movement, target: Target) -> bool:
    """Whether the branch that the movement stands in asks about the target: whether there is one, for example."""
    line = {id(item) for item in target.trunk if not isinstance(item, (Symbol, Const))}
    for test, _ in movement.tests.values():
        if any(id(item) in line for item in ancestors(test)):
            return True
    return False


def _may_be_handled(target: Target) -> bool:
    """Whether something nobody knows, that may move it, was done to the target."""
    for item in target.trunk:
        origin = item.origin
        if origin is None or not origin.inputs:
            continue
        if origin.op == "call" and HANDLES.search(name_of(origin.inputs[0])):
            return True
        if origin.op.startswith(".") and HANDLES.search(origin.op):
            return True
    return False


def _is_synchronised(run: Run, sample: Sample, first: Movement, second: Movement) -> bool:
    """Whether the generator that both draw from is put back in between: seeded twice, or its state restored."""
    generators = {generator_of(draw) for draw in (*first.draws, *second.draws)}
    times: set[object] = set()
    for seed in run.of(Seed):
        if not seed.in_worker:
            continue
        if not (seed.generators & generators or "" in generators):
            continue
        if seed.by.rpartition(".")[2] in ("set_rng_state", "setstate", "set_state"):
            return True
        times.add((id(seed.place.node), tuple(id(site.place.node) for site in seed.context.calls)))
    return len(times) > 1


def reseeded(run: Run) -> Seed | None:
    """A seed set while a sample is loaded."""
    return next((seed for seed in run.of(Seed) if seed.in_worker), None)


def place_of(origin: Origin) -> Place:
    """Where an operation stands."""
    return Place(origin.source, origin.node)
