"""What a training script draws at random, and what of it is seeded: shared by the rules about seeds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.rule import Edit, Fix, Place
from nnlint.symbolic.library.generators import spoken
from nnlint.symbolic.library.layers import PARAMETRIC
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Backward, Build, Context, Event, Fit, Mode, RandomUse, Run, Seed, Step, Trace
from nnlint.symbolic.values import Choice, Loop, Object, Operation, Origin, Value
from nnlint.symbolic.words import below

if TYPE_CHECKING:
    from nnlint.source import Source

MENTIONS = ("__main__", ".backward(", ".fit", ".train(", "fine_tune(", "Trainer(", "LightningCLI(", "Fire(")
"""Texts of which a script that trains, or has the training done elsewhere, contains one."""

TRAINS = ("train(", ".train", "train_", "_train", "Train", ".fit", "epoch", "backward", "fine_tune")
"""And one of these."""

GLOBAL = ("torch", "numpy", "random")
"""The global generators, in the order in which messages name them."""


@dataclass(slots=True, eq=False)
class Seeding:
    """The draws and seeds of a script that trains, in the order in which it makes them."""

    trace: Trace
    trains: Event
    """The first step of an optimizer, or the fit of a framework."""
    draws: list[RandomUse] = field(default_factory=list)
    seeds: list[Seed] = field(default_factory=list)
    order: dict[int, int] = field(default_factory=dict)
    """When each draw and seed happens, by its identity."""
    aside: set[int] = field(default_factory=set)
    """The draws that training does not depend on, by identity: made while the model is evaluated, or for the seed."""
    loaders: list[Object] = field(default_factory=list)
    built: list[Build] = field(default_factory=list)
    """Where the loaders are built."""
    idle_option: cst.Call | None = None
    """The ``add_argument`` of a seed that the script never asks for."""

    def drawn(self, generator: str) -> list[RandomUse]:
        """The draws from a generator that training depends on."""
        return [draw for draw in self.draws if draw.generator == generator and id(draw) not in self.aside]

    def seeding(self, generator: str, *, in_worker: bool = False) -> list[Seed]:
        """The seeds of a generator."""
        return [seed for seed in self.seeds if generator in seed.generators and seed.in_worker == in_worker]

    def precedes_training(self, event: Event) -> bool:
        """Whether a draw, a seed or the building of a loader happens before the training begins."""
        return self.order[id(event)] < self.order[id(self.trains)]

    @property
    def missing(self) -> bool:
        """Whether nothing is seeded, not even in part or by intention."""
        return not self.seeds and self.idle_option is None


def seeding_of(trace: Trace) -> Seeding | None:
    """What the script draws and seeds; None if it is no script that trains and draws, as far as it could be read."""
    if is_test(trace.source.path):
        return None
    for run in trace.runs:
        if run.script:
            trains = start_of_training(trace, run)
            return None if trains is None else _seeding(trace, run, trains)
    return None


def is_test(path: Path) -> bool:
    """Whether a file tests or times code rather than training anything."""
    folders = {part.lower() for part in path.parts[-3:-1]}
    named = path.stem.startswith(("test_", "conftest", "bench"))
    return named or not folders.isdisjoint(("tests", "benchmark", "benchmarks"))


SMOKE = 50
"""Rounds up to which a loop that neither counts epochs nor runs over data tries a model out rather than training it."""


def start_of_training(trace: Trace, run: Run) -> Event | None:
    """The first event of a run that tells that it trains: a fit, or a step of an optimizer in a loop.

    Without any gradient the steps are those of an optimizer whose schedule is drawn, and nothing is trained.
    """
    backward = any(True for _ in run.of(Backward))
    for event in run.events:
        here = bool(event.context.calls) or event.place.source is trace.source
        steps = backward and isinstance(event, Step) and any(map(is_long, event.context.loops))
        if here and (steps or isinstance(event, Fit)):
            return event
    return None


def is_long(loop: Loop) -> bool:
    """Whether a loop may be one that trains."""
    rounds = number(loop.count)
    return loop.kind == Loop.EPOCHS or rounds is None or rounds > SMOKE


def _seeding(trace: Trace, run: Run, trains: Event) -> Seeding | None:
    seeding = Seeding(trace, trains)
    evaluating = training = False
    for moment, event in enumerate(run.events):
        training = training or event is trains
        if event is trains:
            seeding.order[id(trains)] = moment
        draw = as_draw(event)
        if isinstance(event, Mode):
            evaluating = event.training is False
        elif isinstance(event, Seed):
            if training and "own" in event.generators:
                continue  # for samples to look at
            seeding.seeds.append(event)
            seeding.order[id(event)] = moment
        elif draw is not None:
            seeding.draws.append(draw)
            seeding.order[id(draw)] = moment
            if evaluating and not draw.in_worker and draw.generator != "torch":
                seeding.aside.add(id(draw))
        elif isinstance(event, Build) and isinstance(event.value, Object) and event.value.kind == "loader":
            seeding.loaders.append(event.value)
            seeding.built.append(event)
            seeding.order[id(event)] = moment
    sources = {id(origin.node) for seed in seeding.seeds for origin in origins(seed.value, optional=True)}
    seeding.aside |= {id(draw) for draw in seeding.draws if id(draw.place.node) in sources}
    if not seeding.draws:
        return None
    seeding.idle_option = idle_option(trace, {id(event.place.source): event.place.source for event in run.events})
    return seeding


def origins(value: Value | None, *, optional: bool = False) -> Iterator[Origin]:
    """The operations that a value comes from, a few steps back; ``optional``: also on one side of a choice only."""
    stack, steps = [value], 0
    while stack and steps < 40:
        steps += 1
        item = stack.pop()
        if isinstance(item, Operation):
            stack += item.args
        elif isinstance(item, Choice):
            stack += (item.yes, item.no) if optional else ()
        elif item is not None and item.origin is not None:
            yield item.origin
            stack += item.origin.inputs if optional or item.origin.op != "or" else ()


def as_draw(event: Event) -> RandomUse | None:
    """The event as a draw: a layer with weights draws them when it is built."""
    if isinstance(event, RandomUse):
        return event
    if isinstance(event, Build) and isinstance(event.value, Object) and event.value.path in PARAMETRIC:
        what = f"{spoken(event.value.path)} draws its initial weights"
        return RandomUse(place=event.place, context=event.context, generator="torch", what=what)
    return None


CLOCKS = re.compile(
    r"^(?:time\.\w+|datetime\.datetime\.\w+|datetime\.\w+|random\.\w+|numpy\.random\.\w+|os\.urandom|os\.getp?pid|secrets\.\w+"
    r"|torch\.seed|torch\.randint|uuid\.\w+)$"
)
"""Functions that give another number in every run."""


def clock(value: Value | None) -> Origin | None:
    """The call that gives another number in each run, if a value comes from one."""
    return next((origin for origin in origins(value) if CLOCKS.match(origin.op)), None)


# --- places ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Cause:
    """Where the file of a trace makes something happen: at the event itself, or at a call that leads to it."""

    place: Place
    model: str = ""
    """The class that is built there."""
    depth: int = 0
    """How many calls lead to the function that it stands in; 0 for module level."""


def cause_of(trace: Trace, event: Event) -> Cause | None:
    """Where the file makes an event happen: the building of the model rather than of a layer inside it."""
    found: Cause | None = None
    for depth, site in enumerate(event.context.calls):
        if site.place.source is not trace.source:
            return found
        owner = site.function.owner
        built = owner.name if owner is not None and site.function.name == "__init__" else ""
        found = Cause(site.place, built, depth)
        if built:
            return found
    if event.place.source is trace.source:
        return Cause(event.place, "", len(event.context.calls))
    return found


def contains(outer: cst.CSTNode, inner: cst.CSTNode) -> bool:
    """Whether a node lies below another, or is it."""
    return any(node is inner for node in below(outer))


def same_conditions(one: Context, other: Context) -> bool:
    """Whether two things happen under the same conditions."""
    left, right = ({(id(c.place.node), c.outcome) for c in context.conditions} for context in (one, other))
    return left == right


def unlike(draws: Sequence[RandomUse]) -> list[RandomUse]:
    """Of draws that are described alike the first."""
    found: dict[str, RandomUse] = {}
    for draw in draws:
        found.setdefault(draw.what, draw)
    return list(found.values())


def listed(items: Sequence[str]) -> str:
    """The items in words: ``a``, ``a and b``, ``a, b and c``; nothing for none."""
    return "".join(items) if len(items) < 2 else f"{', '.join(items[:-1])} and {items[-1]}"


# --- the script's own words ------------------------------------------------------------------------------------------


OPTION = re.compile(
    r"^--?(?:(?:manual|random|rand|torch|global|train(?:ing)?)[-_]?)?(?:seed|random[-_]state)$", re.IGNORECASE
)
"""How an option for the seed is called."""


def idle_option(trace: Trace, read: dict[int, Source]) -> cst.Call | None:
    """The ``add_argument`` of an option for the seed that none of the files that were read ever asks for."""
    if "add_argument" not in trace.source.text or "seed" not in trace.source.text.lower():
        return None
    for call in calls_in(trace.source.module):
        if isinstance(call.func, cst.Attribute) and call.func.attr.value == "add_argument":
            name = option_of(call)
            if name and not any(_asks_for(source, name) for source in (trace.source, *read.values())):
                return call
    return None


def option_of(call: cst.Call) -> str:
    """The attribute that an option for the seed is stored in, empty if the call makes no such option."""
    dest = ""
    for arg in call.args:
        value = arg.value
        if not isinstance(value, cst.SimpleString):
            continue
        text = value.value.strip("'\"")
        if arg.keyword is None and OPTION.match(text):
            dest = dest or text.lstrip("-").replace("-", "_")
        elif dest and arg.keyword is not None and arg.keyword.value == "dest":
            dest = text
    return dest


def _asks_for(source: Source, name: str) -> bool:
    """Whether a file reads a name or attribute, or an item by that key; a method of that name is another thing."""
    if name not in source.text:
        return False
    if re.search(rf"""[\[(]\s*['"]{name}['"]\s*[\]),]""", source.text):
        return True
    methods = {id(call.func.attr) for call in calls_in(source.module) if isinstance(call.func, cst.Attribute)}
    return any(
        type(node) is cst.Name and node.value == name and id(node) not in methods for node in below(source.module)
    )


def imported_as(trace: Trace, module: str) -> str | None:
    """The name that the file imports a module under at its top level."""
    for statement in trace.source.module.body:
        for small in statement.body if isinstance(statement, cst.SimpleStatementLine) else ():
            if isinstance(small, cst.Import):
                for alias in small.names:
                    if isinstance(alias.name, cst.Name) and alias.name.value == module:
                        name = alias.asname.name if alias.asname is not None else alias.name
                        return name.value if isinstance(name, cst.Name) else None
    return None


SEEDERS = {"torch": "manual_seed", "numpy": "random.seed", "random": "seed"}
"""The function of each module that seeds its generator."""


def seeds_in_words(generators: Sequence[str], value: str = "0") -> str:
    """The calls that seed generators, as a message writes them."""
    short = {"numpy": "np"}
    return listed([f"{short.get(name, name)}.{SEEDERS[name]}({value})" for name in generators])


def seeds_as_code(trace: Trace, generators: Sequence[str], value: str) -> str:
    """The lines that seed generators in a file, with the imports that it lacks."""
    lines: list[str] = []
    for generator in generators:
        name = imported_as(trace, generator)
        if name is None:
            lines.append(f"import {generator}")
        lines.append(f"{name or generator}.{SEEDERS[generator]}({value})")
    return "\n".join(lines)


def seed_before(seeding: Seeding, draw: RandomUse, generators: Sequence[str]) -> Fix | None:
    """Seeds before the statement that makes a draw: only where that is run once, in a file that imports torch."""
    cause = cause_of(seeding.trace, draw)
    if cause is None or cause.depth > 1 or imported_as(seeding.trace, "torch") is None:
        return None
    if any(contains(loop.node, cause.place.node) for loop in draw.context.loops):
        return None
    edit = Edit("before", cause.place, seeds_as_code(seeding.trace, generators, "0"))
    return Fix(f"seed {listed(generators)} before the first draw", (edit,))


def calls_in(node: cst.CSTNode) -> Iterator[cst.Call]:
    """Every call below a node."""
    return (item for item in below(node) if type(item) is cst.Call)
