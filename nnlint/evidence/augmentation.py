"""Samples whose picture was moved at random and whose target was not, or by another draw."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, takewhile

from nnlint.evidence.movement import Movement, draws_of, is_extent, movements
from nnlint.evidence.sample_parts import Part, parts_of
from nnlint.evidence.target import Target, name_of, reader, target_of, trunk
from nnlint.rule import Place
from nnlint.symbolic.ancestry import ancestors
from nnlint.symbolic.library.motions import READERS, generator_of, is_draw, motion_of
from nnlint.symbolic.trace import Return, Run, Sample, Seed, Store, Trace
from nnlint.symbolic.values import (
    Const,
    Function,
    Instance,
    Mapping,
    Method,
    Operation,
    Origin,
    Sequence,
    Symbol,
    Unknown,
    Value,
)

MENTIONS = ("__getitem__", "ataset(", "transform=", "transforms=", "Segmentation(", "Detection(", "transforms.")
"""Texts of which a file that makes samples, or the transforms for them, contains one."""

MOTIONS = ("Rand", "lip", "FLIP", "otat", "mirror", "ffine", "lastic", "erspective", "ugment", "crop(")
"""Texts of which a file that moves pixels at random, or says that others do, contains one."""

ROOTS = ("__getitem__", "Rand", "Flip", "flip", "FLIP")
"""Parts of names of which a function that makes samples, or transforms them, uses one."""

HANDLES = re.compile(
    r"transform|aug|flip|mirror|crop|rot(at)?|warp|affine|jitter|pair|sync|joint|consist", re.IGNORECASE
)
"""Names of callables that may well do to a target what was done to the picture."""

RESTORES = frozenset(("set_rng_state", "setstate", "set_state"))
"""Functions that put a generator back to a state it was in."""


@dataclass(frozen=True, slots=True, eq=False)
class Disagreement:
    """A picture that was moved at random, and a target that was not moved with it.

    ``returned`` is the event that gives both away: of a dataset, or of a function that was handed both. ``by`` is how
    the target was moved instead, None if it was left as it was; ``reseeded`` a seed that is set on the way without any
    effect on the two.
    """

    returned: Sample | Return
    picture: Part
    movement: Movement
    target: Target
    by: Movement | None = None
    reseeded: Seed | None = None


@lru_cache(maxsize=1)
def disagreements(trace: Trace) -> tuple[Disagreement, ...]:
    """The first disagreement of each way to return a sample, from a dataset or from a function that transforms one.

    Several rules ask for them, one after the other.
    """
    return tuple(found for run in trace.runs for found in _disagreements(run))


def _disagreements(run: Run) -> Iterator[Disagreement]:
    changes: list[_Change] | None = None
    for event in run.events:
        if isinstance(event, (Sample, Return)):
            for parts in parts_of(event):
                moved = {id(part): movements(part.value) for part in parts}
                if any(moved.values()):
                    if changes is None:
                        changes = [_Change.of(store) for store in run.of(Store)]
                    found = next(_among(run, event, parts, moved, changes), None)
                    if found is not None:
                        yield found


def _among(
    run: Run,
    returned: Sample | Return,
    parts: list[Part],
    moved: dict[int, list[Movement]],
    changes: list[_Change],
) -> Iterator[Disagreement]:
    for picture, part in permutations(parts, 2):
        its, others = moved[id(picture)], moved[id(part)]
        target = target_of(part, moved=_have_a_draw_in_common(its, others)) if its else None
        if target is None or not _belong_together(picture, its, target):
            continue
        if isinstance(returned, Return) and not (_is_handed_in(trunk(picture.value)) and _is_handed_in(target.trunk)):
            continue
        known_to_picture = _reached(picture)
        rivals = [other for other in others if not other.is_decided_by(known_to_picture)]
        record = _common_record(picture, target)
        is_data = target.is_data or isinstance(returned, Return) or record is not None
        for movement in its:
            if _is_followed(movement, target, changes) or _is_asked_about(target, movement):
                continue
            if any(_tells(part, movement) for part in parts if part is not target.part and not moved[id(part)]):
                continue
            by = next((rival for rival in rivals if rival.kind == movement.kind), None)
            if by is None and is_data and not _may_be_handled(target, record):
                yield Disagreement(returned, picture, movement, target)
            elif by is not None and not _is_synchronised(run, movement, by):
                yield Disagreement(returned, picture, movement, target, by, _seed_on_the_way(run))


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    """An assignment to a part of a value.

    By identity: what is changed, what that belongs to, and what the new value, the keys and the branches around are
    made of.
    """

    changed: frozenset[int]
    of_which: frozenset[int]
    decided_by: frozenset[int]

    @classmethod
    def of(cls, store: Store) -> _Change:
        given = (store.value, *store.keys, *(condition.test for condition in store.context.conditions))
        decided_by = frozenset(id(item) for value in given for item in ancestors(value))
        item = _item(store)
        if item is not None:
            return cls(frozenset((id(item),)), frozenset(), decided_by)
        return cls(frozenset(map(id, _held(store.target))), frozenset(map(id, ancestors(store.target))), decided_by)


def _item(store: Store) -> Value | None:
    """The item of a dict that an assignment takes the place of, None if it may be any."""
    key = store.keys[0] if len(store.keys) == 1 else None
    if not isinstance(store.target, Mapping) or not isinstance(key, Const) or store.target.open:
        return None
    return store.target.items.get(key.value)


def _have_a_draw_in_common(its: list[Movement], others: list[Movement]) -> bool:
    """Whether some number moves both of two parts: then the one lies where the pixels of the other lie."""
    mine = {id(draw) for movement in its for draw in movement.draws}
    return any(id(draw) in mine for movement in others for draw in movement.draws)


def _is_handed_in(line: list[Value]) -> bool:
    """Whether a value was given to the function that nobody calls."""
    return any(item.origin is not None and item.origin.op == "parameter" for item in line)


def _reached(part: Part) -> set[int]:
    """All that a part was made of, other than by the size of a picture, by identity."""
    return {id(item) for item in ancestors(part.value, part.assumed, is_extent)}


def _belong_together(picture: Part, its: list[Movement], target: Target) -> bool:
    """Whether picture and target are two things about one example: neither is made from the other, nor chosen apart."""
    line = trunk(picture.value, picture.assumed)
    read = reader(line)
    if read is not None and read is target.read:
        return False
    content = _content(target.part)
    if any(id(movement.picture) in content for movement in its):
        return False
    if id(target.part.value) in _content(picture):
        return False
    return not _chosen_by(line) ^ _chosen_by(target.trunk)


def _common_record(picture: Part, target: Target) -> Value | None:
    """What the target was taken from that also names the file of the picture; None if there is no such thing."""
    read = reader(trunk(picture.value, picture.assumed))
    if read is None or read.origin is None:
        return None
    named = {id(item) for path in read.origin.inputs[:1] for item in ancestors(path) if isinstance(item, Unknown)}
    return next((item for item in target.trunk if id(item) in named), None)


def _content(part: Part) -> set[int]:
    """All that went into a part itself, rather than into a size or a draw, by identity."""
    return {id(item) for item in ancestors(part.value, part.assumed, lambda item: is_extent(item) or is_draw(item))}


def _chosen_by(line: list[Value]) -> set[int]:
    """The random numbers that decide which files are read."""
    paths = [path for item in line if item.origin and item.origin.op in READERS for path in item.origin.inputs]
    return {id(draw) for draw in draws_of(tuple(paths))}


def _is_followed(movement: Movement, target: Target, changes: list[_Change]) -> bool:
    """Whether the target depends on what decided about the movement, by its value or by what is stored in it."""
    draws = {id(draw) for draw in movement.draws}
    assumed = dict(target.part.assumed)
    for key, (test, outcome) in movement.tests.items():
        if not any(id(item) in draws for item in ancestors(test)):
            assumed[key] = outcome
    reached = {id(item) for item in ancestors(target.part.value, assumed, is_extent)}
    line = {id(item) for item in target.trunk if not isinstance(item, Symbol)}
    for change in changes:
        if not reached.isdisjoint(change.changed) or not line.isdisjoint(change.of_which):
            reached |= change.decided_by
    return movement.is_decided_by(reached)


def _held(target: Value) -> list[Value]:
    """What an assignment to an item changes: the value itself; of a list or dict, which may be a copy, its items."""
    if isinstance(target, (Sequence, Mapping)):
        items = target.items if isinstance(target, Sequence) else list(target.items.values())
        return [item for item in items if not isinstance(item, (Const, Symbol))]
    return [target]


def _tells(part: Part, movement: Movement) -> bool:
    """Whether a part of the sample says what was drawn, so that whoever gets it can move the target."""
    draws = {id(draw) for draw in movement.draws}
    return any(id(item) in draws for item in ancestors(part.value))


def _is_asked_about(target: Target, movement: Movement) -> bool:
    """Whether a branch on the way to the movement, or to the return, asks whether there is a target at all."""
    line = {id(item) for item in target.trunk if not isinstance(item, (Symbol, Const))}
    tests = (test for test, _ in (*movement.tests.values(), *target.part.tests.values()))
    return any(_asks_for(test, line) for test in tests)


def _asks_for(test: Value, line: set[int]) -> bool:
    if id(test) in line:
        return True
    inputs = test.args if isinstance(test, Operation) else test.origin.inputs if test.origin is not None else ()
    op = test.op if isinstance(test, Operation) else test.origin.op if test.origin is not None else ""
    if op in ("not", "and", "or"):
        return any(_asks_for(item, line) for item in inputs)
    with_none = any(isinstance(item, Const) and item.value is None for item in inputs)
    if (op in ("is", "is not", "==", "!=") and with_none) or op in ("builtins.isinstance", "builtins.hasattr", "in"):
        return any(id(item) in line for item in inputs)
    return False


def _may_be_handled(target: Target, record: Value | None) -> bool:
    """Whether something nobody knows, that may move it, was done to the target since it was taken from its record."""
    for item in takewhile(lambda item: item is not record, target.trunk):
        origin = item.origin
        if origin is None and isinstance(item, Unknown):
            return True
        if origin is None or not origin.inputs or motion_of(origin) is not None:
            continue
        if origin.op == "call":
            # a function of the repository that was not followed may do anything
            if isinstance(origin.inputs[0], (Function, Method, Instance)) or HANDLES.search(name_of(origin.inputs[0])):
                return True
        elif origin.op.startswith(".") and HANDLES.search(origin.op):
            return True
    return False


def _is_synchronised(run: Run, first: Movement, second: Movement) -> bool:
    """Whether the generator that both draw from is put back in between: seeded twice, or its state restored."""
    generators = {generator_of(draw) for draw in (*first.draws, *second.draws)}
    times: set[object] = set()
    for seed in run.of(Seed):
        if seed.in_worker and ("" in generators or seed.generators & generators):
            if seed.by.rpartition(".")[2] in RESTORES:
                return True
            times.add((id(seed.place.node), *(id(site.place.node) for site in seed.context.calls)))
    return len(times) > 1


def _seed_on_the_way(run: Run) -> Seed | None:
    return next((seed for seed in run.of(Seed) if seed.in_worker), None)


@dataclass(frozen=True, slots=True, eq=False)
class VainSeeds:
    """Two parts that go through transforms nobody knows, each after a seed that does not reach torchvision."""

    seed: Seed
    dataset: Instance
    parts: tuple[Part, Part]
    first: Origin
    second: Origin


def vain_seeds(run: Run) -> Iterator[VainSeeds]:
    """Samples for which ``random`` or numpy is seeded again, in a module that uses torchvision."""
    seeds = [seed for seed in run.of(Seed) if seed.in_worker]
    if not seeds or any(seed.generators - {"random", "numpy"} for seed in seeds):
        return
    places = {id(seed.place.node) for seed in seeds}
    if len(places) < 2:
        return
    for sample in run.of(Sample):
        if "torchvision" not in sample.place.source.text:
            continue
        for parts in parts_of(sample):
            calls = [(part, call) for part in parts if (call := _unknown_transform(part)) is not None]
            if len(calls) > 1:
                (first, one), (second, other) = calls[:2]
                yield VainSeeds(seeds[0], sample.dataset, (first, second), one, other)
                return


def _unknown_transform(part: Part) -> Origin | None:
    """The call of a transform nobody knows that a part went through."""
    for item in trunk(part.value, part.assumed):
        origin = item.origin
        if origin is not None and origin.op == "call" and "transform" in name_of(origin.inputs[0]):
            return origin
    return None


def place_of(origin: Origin) -> Place:
    """Where an operation stands."""
    return Place(origin.source, origin.node)
