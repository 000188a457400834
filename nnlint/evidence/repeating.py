"""The experiment on a seed: what a script draws before it trains, drawn in two new processes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.evidence.effects import calls_for_effect
from nnlint.evidence.seeding import GLOBAL, Seeding, clock
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Place
from nnlint.symbolic.trace import Event, RandomUse, Seed
from nnlint.symbolic.values import Const, Loop, Setting, Value
from nnlint.verdict import Json

if TYPE_CHECKING:
    from nnlint.source import Source

GIVEN = 4711
"""The seed that is given on the command line where there is none by default."""

MOST = 60
"""Draws that are watched: a network has hundreds of layers."""

LOOKED_AT = 600
"""Draws of which those are taken: layers that are built in one line count once."""


def repetition(
    seeding: Seeding,
    blamed: Collection[str] = GLOBAL,
    *,
    draws: Sequence[RandomUse] | None = None,
    chosen: Sequence[tuple[Place, bool]] = (),
    option: str = "",
    told: bool = True,
    seeded: Sequence[str] = (),
) -> Experiment | None:
    """Run what draws from the ``blamed`` generators, and all that seeds; None if all of it is drawn elsewhere.

    Args:
        seeding: what the script draws and seeds.
        blamed: the generators without a seed.
        draws: the draws that count; all from those generators if none are given.
        chosen: the conditions that the finding rests on, each with its outcome.
        option: the option for the seed that the finding is about, by the name it is stored under.
        told: whether who repeats the run knows a seed that was drawn, so that it is the same number again.
        seeded: the generators that the finding says are seeded.
    """
    found = [draw for generator in blamed for draw in seeding.drawn(generator)] if draws is None else draws
    draws = [draw for draw in found if not draw.in_worker]
    if not draws:
        return None
    early = [draw for draw in draws if not _in_training(seeding, draw)]
    plan = _Plan(seeding, scopes=[(seeding.trace.source, seeding.trace.source.module)])
    for draw in (early or draws)[:LOOKED_AT]:
        if len(plan.drawn) < MOST:
            plan.watch(draw)
    for seed in seeding.seeds:
        plan.seed(seed, told=told)
    for build in seeding.built:
        if not _in_training(seeding, build):
            plan.anchor(build)
    plan.effects()
    settings: dict[str, Json] = {
        "drawn": plan.drawn,
        "blamed": sorted(blamed),
        "later": sorted({draw.generator for draw in draws if draw not in early}),
        "loop": [str(each["watch"]) for each in plan.drawn if not early],
        "seeded": list(seeded),
        "options": plan.given,
        "seeds": plan.seeds,
        "chosen": {f"condition {number}": outcome for number, (_, outcome) in enumerate(chosen)},
    }
    if option:
        settings["option"] = option
    start = _start_of_training(seeding) if early else None
    if start is not None:
        plan.watches.append(Watch("training", start))
    conditions = [Watch(f"condition {number}", place) for number, (place, _) in enumerate(chosen)]
    return Experiment("repeat", tuple(plan.anchors), (*plan.watches, *conditions), settings=settings)


def repetition_in_workers(seeding: Seeding, blamed: Collection[str], seeded: Sequence[str]) -> Experiment | None:
    """Build the loaders, and ask the processes that load the samples for their generators; None without loaders."""
    plan = _Plan(seeding, scopes=[(seeding.trace.source, seeding.trace.source.module)])
    for seed in seeding.seeds:
        plan.seed(seed, told=True)
    for build in seeding.built:
        plan.loader(build)
    for draw in [draw for generator in blamed for draw in seeding.drawn(generator)][:MOST]:
        plan.sample(draw)
    start = _start_of_training(seeding)
    if start is not None:
        plan.watches.append(Watch("training", start))
    plan.effects()
    settings: dict[str, Json] = {
        "drawn": plan.drawn,
        "blamed": sorted(blamed),
        "loaders": plan.loaders,
        "seeded": list(seeded),
        "options": plan.given,
        "seeds": plan.seeds,
    }
    return Experiment("repeat", tuple(plan.anchors), tuple(plan.watches), settings=settings) if plan.loaders else None


def _training_loop(seeding: Seeding) -> Loop | None:
    """The loop that trains: the outermost over epochs or batches, not one over folds or runs around it."""
    loops = seeding.trains.context.loops
    return next((loop for loop in loops if loop.kind != Loop.OTHER), loops[-1] if loops else None)


def _in_training(seeding: Seeding, event: Event) -> bool:
    """Whether something happens in the loop that trains, or later."""
    training = _training_loop(seeding)
    inside = training is not None and any(loop.node is training.node for loop in event.context.loops)
    return inside or not seeding.precedes_training(event)


def _start_of_training(seeding: Seeding) -> Place | None:
    """What the loop that trains evaluates first."""
    loop = _training_loop(seeding)
    if loop is None or not isinstance(loop.node, cst.For | cst.While):
        return None
    return Place(loop.source, loop.node.iter if isinstance(loop.node, cst.For) else loop.node.test)


@dataclass(slots=True, eq=False)
class _Plan:
    seeding: Seeding
    anchors: list[Place] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    drawn: list[dict[str, Json]] = field(default_factory=list)
    loaders: list[Json] = field(default_factory=list)
    seeds: dict[str, list[str]] = field(default_factory=dict)
    """The generators of the seeds, by watch."""
    given: dict[str, Json] = field(default_factory=dict)
    """Options for seeds, and what they are given."""
    scopes: list[tuple[Source, cst.CSTNode]] = field(default_factory=list)
    """What is run statement by statement: the script, and the functions on the way to the anchors."""
    _names: dict[int, str] = field(default_factory=dict)

    def watch(self, draw: RandomUse) -> None:
        """Watch a draw, and the object that it is made for."""
        made = self.anchor(draw)
        drawn: dict[str, Json] = {
            "watch": (own := self._watched(result_of(draw.place))),
            "made": own if made.node is draw.place.node else self._watched(made),
            "generator": draw.generator,
            "label": _label(draw),
        }
        if drawn not in self.drawn:
            self.drawn.append(drawn)

    def seed(self, seed: Seed, *, told: bool) -> None:
        """Have a seed set. A number that is drawn for it and told is known to who repeats the run."""
        if seed.in_worker:
            return
        self.anchor(seed)
        name = next((each.name for each in self.watches if each.place.node is seed.place.node), "")
        if not name:
            name = f"seed {len(self.watches)}"
            self.watches.append(Watch(name, seed.place))
        self.seeds[name] = sorted({*self.seeds.get(name, ()), *seed.generators})
        if isinstance(seed.value, Setting) and _is_none(seed.value.default):
            self.given[seed.value.name] = GIVEN
        source = clock(seed.value) if told else None
        if source is not None and all(watch.place.node is not source.node for watch in self.watches):
            self.watches.append(Watch(f"number {len(self.watches)}", Place(source.source, source.node), instead=True))

    def effects(self) -> None:
        """Have all happen that may seed, or change what was drawn."""
        for place, changes in list(calls_for_effect(self.seeding, self.scopes, self.watched)):
            self.add(place)
            if changes:
                self.watches.append(Watch(f"change {len(self.watches)}", place))

    def loader(self, build: Event) -> None:
        """Watch the building of a loader."""
        self.anchor(build)
        self.loaders.append(self._watched(build.place))

    def sample(self, draw: RandomUse) -> None:
        """Watch a draw that is made when a sample is loaded."""
        name = self._watched(draw.place)
        self.drawn.append({"watch": name, "made": name, "generator": draw.generator, "label": _label(draw)})

    def _watched(self, place: Place) -> str:
        name = self._names.get(id(place.node))
        if name is None:
            name = self._names[id(place.node)] = f"draw {len(self._names)}"
            self.watches.append(Watch(name, place))
        return name

    def anchor(self, event: Event) -> Place:
        """Have something happen; what is given back is the call that makes it, as far as the way is followed.

        A function on the way is cut down to what leads on, an object is built with all its initializer does.
        """
        for site in event.context.calls:
            self.add(site.place)
            owner = site.function.owner
            if owner is not None and site.function.name == "__init__":
                return site.place
            if all(node is not site.function.node for _, node in self.scopes):
                self.scopes.append((site.function.frame.module.source, site.function.node))
        self.add(event.place)
        return event.place

    def add(self, place: Place) -> None:
        """Have a place reached."""
        if all(each.node is not place.node for each in self.anchors):
            self.anchors.append(place)

    @property
    def watched(self) -> list[Place]:
        """The places whose values are seen."""
        return [watch.place for watch in self.watches]


def _label(draw: RandomUse) -> str:
    """What to call that which is drawn."""
    drawing, verb, _ = draw.what.partition(" draws ")
    return f"what {drawing} draws" if verb else f"the state of {draw.what.partition(' takes ')[0]}"


def result_of(place: Place) -> Place:
    """Where the result of a draw is seen: what is shuffled in place is the argument."""
    call = place.node
    if isinstance(call, cst.Call) and isinstance(call.func, cst.Attribute) and call.func.attr.value == "shuffle":
        return Place(place.source, call.args[0].value) if call.args else place
    return place


def _is_none(value: Value) -> bool:
    return isinstance(value, Const) and value.value is None
