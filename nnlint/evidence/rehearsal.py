"""What of a script to run to see its learning rate go through its own loops, without anything being trained."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import libcst as cst

from nnlint.evidence.schedule import RATE_NAME, argument_of
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Place
from nnlint.source import Source
from nnlint.symbolic.loops import EPOCH, names_of
from nnlint.symbolic.scalar import is_loop_dependent, number
from nnlint.symbolic.trace import Build, Event, Run, SchedulerStep, SetRate, Step, Trace
from nnlint.symbolic.values import (
    Function,
    Instance,
    Loop,
    Object,
    Sequence,
    Unknown,
    Value,
    Wrapped,
    alternatives,
    resolve_setting,
)
from nnlint.symbolic.values import Mapping as Dictionary
from nnlint.symbolic.words import below, words_of
from nnlint.verdict import Json

READING = re.compile(
    r"^(zero_grad|state_dict|backward|train|eval|get_(last_)?lr)$|print|log|save|clip|scale|synchronize"
)
"""Methods of optimizers and schedulers that leave the rate as it is."""

HARMLESS = re.compile(
    r"save|log|print|summary|clip|scale|initiali[sz]e|prepare|wrap|parallel|zero_grad|step|backward|train|valid|eval|"
    r"test|fit|autocast",
    re.IGNORECASE,
)
"""Names of functions that are given an optimizer for another purpose than to set its rate."""

MODEL = re.compile(r"model|net", re.IGNORECASE)
"""Names that models go by."""

PROGRESS = re.compile(r"tqdm|track|progress|^bar$", re.IGNORECASE)
"""Functions that hand on what they are given to be iterated over."""


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """What sets the rate of an optimizer in a loop: a scheduler of a library, or the script itself (None)."""

    optimizer: Value
    loop: Loop | None
    """None if the schedule is to be looked at by itself."""
    scheduler: Object | None = None
    horizon: cst.BaseExpression | None = None
    """The expression that says how many steps the scheduler is made for."""


def rehearsal(trace: Trace, run: Run, schedule: Schedule, settings: Mapping[str, Json]) -> Experiment | None:
    """The loops of a run with all that sets the rate in them; None if the run cannot be begun from outside.

    What takes part in training but not in the rate (the model, the data, the loss) is left out or watched, to be
    replaced. ``settings`` are handed to the experiment, with what the rounds of the loops yield added.
    """
    planning = _Planning(schedule, run)
    for event in planning.events:
        planning.follow(event)
    for source, body in _scenes(trace, run, planning.events):
        planning.scan(source, body, ())
    if schedule.loop is not None and not planning.watch_loop(schedule.loop):
        return None
    for position, loop in enumerate(planning.batch_loops()):
        planning.watch_batches(position, loop)
    planning.replace_models()
    planning.replace_other_steps()
    entry = None
    if not run.script:
        entry = root_of(run, planning.events)
        if entry is None:
            return None
    return Experiment(
        kind="schedule",
        anchors=tuple(_once(planning.anchors)),
        watches=tuple(planning.watches.values()),
        entry=entry,
        settings={
            **settings,
            "shapes": planning.shapes,
            "handed on": planning.handed_on,
            "set in batches": planning.set_in_batches,
        },
    )


def rehearsal_of_function(event: SetRate, rounds: int) -> Experiment | None:
    """The function of the script that sets the rate, to be called once in each of ``rounds`` rounds.

    None if it cannot be given an optimizer and the number of the round.
    """
    if not event.context.calls:
        return None
    function = event.context.calls[-1].function
    if not isinstance(function.node, cst.FunctionDef) or function.owner is not None:
        return None
    names = [param.name.value for param in function.node.params.params]
    optimizer = event.optimizer.name if isinstance(event.optimizer, Unknown) else ""
    epochs = [name for name in names if EPOCH.search(name) and name not in function.defaults]
    if optimizer not in names or len(epochs) != 1:
        return None
    return Experiment(
        kind="schedule",
        entry=Place(function.frame.module.source, function.node),
        settings={
            "finding": "function",
            "rounds": rounds,
            "optimizer": optimizer,
            "epoch": epochs[0],
            "rates": [name for name in names if RATE_NAME.search(name)],
        },
    )


def _once(places: Iterable[Place]) -> Iterator[Place]:
    seen: set[int] = set()
    for place in places:
        if id(place.node) not in seen:
            seen.add(id(place.node))
            yield place


def _is_model(value: Object | Instance) -> bool:
    if isinstance(value, Instance):
        return any(path.startswith("torch.nn.") for path in value.cls.libraries())
    return value.kind == "module"


def root_of(run: Run, events: list[Event]) -> Place | None:
    """The function that a run begins with, which nobody in the file calls."""
    name = run.root.rpartition(".")[2]
    for event in events:
        for site in event.context.calls[:1]:
            node = site.function.node
            if isinstance(node, cst.FunctionDef) and node.name.value == name:
                return Place(site.function.frame.module.source, node)
    return None


def _scenes(trace: Trace, run: Run, events: list[Event]) -> Iterator[tuple[Source, cst.BaseSuite | cst.Module]]:
    """The bodies in which the events of a run happen: of the script, and of the functions on the way."""
    if run.script:
        yield trace.source, trace.source.module
    seen: set[int] = set()
    for event in events:
        for site in event.context.calls:
            node = site.function.node
            if isinstance(node, cst.FunctionDef) and id(node) not in seen:
                seen.add(id(node))
                yield site.function.frame.module.source, node.body


def _is_about_rates(event: Event) -> bool:
    if isinstance(event, Build):
        if isinstance(event.value, Instance):
            return _is_own_optimizer(event.value)
        return event.value.kind in ("optimizer", "scheduler")
    return isinstance(event, (Step, SchedulerStep, SetRate))


def _is_own_optimizer(value: Instance) -> bool:
    """Whether an object is of a class of the repository that derives from an optimizer of torch."""
    return any(path.startswith("torch.optim.") and "sched" not in path for path in value.cls.libraries())


@dataclass(eq=False)
class _Planning:
    """The anchors and watches of one plan, as they are found."""

    schedule: Schedule
    run: Run
    anchors: list[Place] = field(default_factory=list)
    watches: dict[tuple[int, str], Watch] = field(default_factory=dict)
    shapes: dict[str, Json] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    """Variables that hold groups of parameters of an optimizer."""
    _functions: dict[int, cst.FunctionDef | cst.Lambda] = field(default_factory=dict)
    handed_on: dict[str, Json] = field(default_factory=dict)
    set_in_batches: bool = False
    """Whether anything in a loop over batches may set the rate: else their number does not matter."""

    def __post_init__(self) -> None:
        about_rates = [event for event in self.run.events if _is_about_rates(event)]
        self.optimizers = self._those_of(Step, self.schedule.optimizer)
        self.events = [event for event in about_rates if self._concerns(event)]
        self.schedulers: list[Value] = []
        if self.schedule.scheduler is not None:
            self.schedulers = self._those_of(SchedulerStep, self.schedule.scheduler)
        self._deciding = {id(event.place.node) for event in self.events if not isinstance(event, Step)}
        self._known = {id(event.place.node) for event in about_rates}

    def _those_of(self, kind: type[Step | SchedulerStep], wanted: Value) -> list[Value]:
        """The optimizer or scheduler of the finding, and those that may be in its place at the same steps."""
        found = [wanted]
        for event in self.run.of(kind):
            value = event.optimizer if isinstance(event, Step) else event.scheduler
            those = alternatives(value)
            if any(each is wanted for each in those):
                found += those
        return found

    def _concerns(self, event: Event) -> bool:
        """Whether an event happens to the optimizer of the finding, or may do so."""
        if isinstance(event, Build):
            if isinstance(event.value, Instance):
                return self._is_ours(event.value)
            if event.value.kind == "optimizer":
                return self._is_ours(event.value) or is_loop_dependent(event.value.arguments.get(1, "lr"))
            return self._may_be_ours(event.value.arguments.get(0, "optimizer"))
        if isinstance(event, SchedulerStep):
            return any(
                not isinstance(each, Object) or self._may_be_ours(each.arguments.get(0, "optimizer"))
                for each in alternatives(event.scheduler)
            )
        return isinstance(event, (Step, SetRate)) and self._may_be_ours(event.optimizer)

    def _is_ours(self, value: Value) -> bool:
        return any(value is each for each in self.optimizers)

    def _may_be_ours(self, value: Value | None) -> bool:
        known = [] if value is None else alternatives(value)
        return not known or any(
            self._is_ours(each) or not isinstance(each, Object) or each.kind != "optimizer" for each in known
        )

    def watch(self, name: str, source: Source, node: cst.CSTNode, *, instead: bool = False) -> None:
        self.watches.setdefault((id(node), name), Watch(name, Place(source, node), instead))

    # --- events ------------------------------------------------------------------------------------------------------

    def follow(self, event: Event) -> None:
        """Keep an event, and the calls on the way to it."""
        self.anchors.append(event.place)
        for site in event.context.calls:
            if isinstance(site.place.node, cst.Call):
                self.anchors.append(site.place)
                self._known.add(id(site.place.node))
                if not isinstance(event, Step):
                    self._deciding.add(id(site.place.node))
        source, node = event.place.source, event.place.node
        if not isinstance(event, Step) and self._in_batches(event):
            self.set_in_batches = True
        if isinstance(event, Step):
            if any(map(self._is_ours, alternatives(event.optimizer))):
                self.watch("trained", source, node, instead=True)
        elif isinstance(event, SchedulerStep):
            if any(each is ours for ours in self.schedulers for each in alternatives(event.scheduler)):
                if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
                    self.watch("receiver", source, node.func.value)
                self.watch("stepped in a batch" if self._in_batches(event) else "stepped in an epoch", source, node)
        elif isinstance(event, SetRate):
            self._follow_assignment(event)
        elif isinstance(event, Build):
            self._follow_build(event)

    def _follow_assignment(self, event: SetRate) -> None:
        """Watch the group whose rate is set, and the groups that it is one of."""
        if isinstance(event.place.node, cst.Subscript):
            self.watch("receiver", event.place.source, event.place.node.value)
        for loop in event.context.loops:
            if isinstance(loop.node, cst.For) and _is_optimizer(loop.node.iter):
                self.watch("receiver", loop.source, loop.node.iter)

    def _in_batches(self, event: Event) -> bool:
        batches = event.context.innermost(Loop.BATCHES)
        return batches is not None and batches is not self.schedule.loop

    def _follow_build(self, event: Build) -> None:
        source, node = event.place.source, event.place.node
        if any(event.value is each for each in self.schedulers):
            self.watch("scheduler", source, node)
            if self.schedule.horizon is not None and event.value is self.schedule.scheduler:
                self.watch("horizon", source, self.schedule.horizon)
        if isinstance(event.value, Object) and event.value.kind != "optimizer":
            return
        self.watch("optimizer", source, node)
        rate = argument_of(node, 1, "lr")
        if rate is not None:
            self.watch("first rate", source, rate)
        parameters = argument_of(node, 0, "params")
        if parameters is not None:
            self._follow_parameters(source, parameters, event.value.arguments.get(0, "params"))

    def _follow_parameters(self, source: Source, written: cst.BaseExpression, value: Value | None) -> None:
        """The parameters are replaced where they are written; groups made elsewhere are run, for the rates in them."""
        groups = _groups(written)
        if groups:
            for group in groups:
                self.watch("parameters", source, group, instead=True)
            return
        value = resolve_setting(value)
        made = isinstance(value, Sequence) and any(isinstance(item, Dictionary) for item in value.items)
        whole = made or isinstance(written, (cst.List, cst.ListComp, cst.Tuple))
        self.watch("groups" if whole else "parameters", source, written, instead=not whole)

    def replace_models(self) -> None:
        """Leave models out, unless the rates are made from them: parameter by parameter, or by a size of theirs."""
        if any(watch.name == "groups" for watch in self.watches.values()) or self._asks_for_model():
            return
        for event in self.run.of(Build):
            if _is_model(event.value) and isinstance(event.place.node, cst.Call):
                self.watch("model", event.place.source, event.place.node, instead=True)

    def replace_other_steps(self) -> None:
        """Leave out the steps of other optimizers."""
        for event in self.events:
            if isinstance(event, Step) and (id(event.place.node), "trained") not in self.watches:
                self.watch("not trained", event.place.source, event.place.node, instead=True)

    def _asks_for_model(self) -> bool:
        """Whether the function that a scheduler is given speaks of a model."""
        functions = (each.arguments.get(1, "lr_lambda") for each in self.schedulers if isinstance(each, Object))
        words = (words_of(each.node) for each in functions if isinstance(each, Function))
        return any(MODEL.search(word) for found in words for word in found)

    # --- statements --------------------------------------------------------------------------------------------------

    def scan(self, source: Source, body: cst.BaseSuite | cst.Module, tests: tuple[cst.BaseExpression, ...]) -> None:
        """Keep what may set a rate in a body, and watch the tests that decide whether it does."""
        self.groups.update(_groups_named(body))
        for statement in body.body:
            if isinstance(statement, cst.If):
                self._scan_if(source, statement, tests)
            elif isinstance(statement, cst.SimpleStatementLine):
                self._consider(source, statement, tests)
            elif not isinstance(statement, (cst.FunctionDef, cst.ClassDef)):
                for block in _blocks(statement):
                    self.scan(source, block, tests)

    def _scan_if(self, source: Source, statement: cst.If, tests: tuple[cst.BaseExpression, ...]) -> None:
        inside = (*tests, statement.test)
        self.scan(source, statement.body, inside)
        if isinstance(statement.orelse, cst.If):
            self._scan_if(source, statement.orelse, inside)
        elif statement.orelse is not None:
            self.scan(source, statement.orelse.body, inside)

    def _consider(
        self, source: Source, statement: cst.SimpleStatementLine, tests: tuple[cst.BaseExpression, ...]
    ) -> None:
        nodes = list(below(statement))
        for node in nodes:
            if isinstance(node, cst.Assign):
                self._consider_handed_on(source, node)
        decisive = [
            node
            for node in nodes
            if id(node) not in self._known and _may_set_rate(node, self.groups) and not self._leaves_rates(node)
        ]
        if decisive:
            self.anchors.append(Place(source, statement))
            for node in decisive:
                if isinstance(node, cst.Call):
                    self.watch("callee", source, node.func)
        if decisive or any(id(node) in self._deciding for node in nodes):
            for test in tests:
                self.watch("test", source, test)

    def _leaves_rates(self, node: cst.CSTNode, depth: int = 3) -> bool:
        """Whether a call is one of a function of the repository that does nothing to a rate."""
        function = self._called().get(id(node))
        if function is None or not depth:
            return False
        groups = set(_groups_named(function.body)) if isinstance(function, cst.FunctionDef) else set()
        return all(
            not _may_set_rate(inner, groups) or self._leaves_rates(inner, depth - 1) for inner in below(function.body)
        )

    def _called(self) -> dict[int, cst.FunctionDef | cst.Lambda]:
        """The functions that calls of the run lead to, by the identity of the call."""
        if not self._functions:
            sites = (site for event in self.run.events for site in event.context.calls)
            self._functions = {id(site.place.node): site.function.node for site in sites}
        return self._functions

    def _consider_handed_on(self, source: Source, node: cst.Assign) -> None:
        """``model, optimizer = amp.initialize(model, optimizer)``: what wraps the optimizer gives it back."""
        target = node.targets[0].target
        parts = [each.value for each in target.elements] if isinstance(target, cst.Tuple) else [target]
        given = [arg.value for arg in node.value.args] if isinstance(node.value, cst.Call) else []
        roles = [_role(part) if any(_said(part) == _said(each) for each in given) else "" for part in parts]
        if any(roles):
            name = f"handed on {len(self.handed_on)}"
            self.handed_on[name] = list(roles) if isinstance(target, cst.Tuple) else roles[0]
            self.watch(name, source, node.value)

    # --- loops -------------------------------------------------------------------------------------------------------

    def watch_loop(self, loop: Loop) -> bool:
        """Watch the rounds of the loop that the rate goes through; False if there is nothing to be watched."""
        source, node = loop.source, loop.node
        if isinstance(node, cst.While):
            self.anchors.append(Place(source, node.test))
            self.watch("round", source, node.test)
            return True
        if not isinstance(node, cst.For):
            return False
        self.anchors.append(Place(source, node.iter))
        self.watch("rounds", source, node.iter)
        counted = _innermost(node.iter)
        if isinstance(counted, cst.Call) and _said(counted.func).rpartition(".")[2] in ("range", "trange"):
            for position, arg in enumerate(counted.args):
                if arg.keyword is None and arg.star == "":
                    self.watch(f"bound {position}", source, arg.value)
        return True

    def batch_loops(self) -> list[Loop]:
        """The loops over batches in which something happens to the rate."""
        found: dict[int, Loop] = {}
        for event in self.events:
            for loop in event.context.loops:
                if loop.kind == Loop.BATCHES and loop is not self.schedule.loop and isinstance(loop.node, cst.For):
                    found.setdefault(id(loop.node), loop)
        return list(found.values())

    def watch_batches(self, position: int, loop: Loop) -> None:
        """Watch what the rounds of a loop over batches go through, so that it can be replaced."""
        assert isinstance(loop.node, cst.For)
        self.watch(f"batches {position}", loop.source, loop.node.iter)
        innermost = _innermost(loop.node.iter)
        if innermost is not loop.node.iter:
            self.watch(f"loader {position}", loop.source, innermost)
        self.shapes[f"batches {position}"] = _shape(loop.iterates, loop.node.target)


def _blocks(statement: cst.CSTNode) -> Iterator[cst.BaseSuite]:
    """The blocks of a compound statement other than ``if``."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(statement, name, None)
        if isinstance(block, (cst.Else, cst.Finally)):
            yield block.body
        elif isinstance(block, cst.BaseSuite):
            yield block
    for handler in getattr(statement, "handlers", ()):
        yield handler.body


OPTIMIZER = re.compile(r"optim|(^|_)opt(_|$)|sched", re.IGNORECASE)
"""Names that optimizers and schedulers go by."""


def _may_set_rate(node: cst.CSTNode, groups: Collection[str]) -> bool:
    """Whether an expression may change a rate: it calls a method of an optimizer, is given one, or sets a group's.

    ``groups`` are the variables that hold groups of an optimizer.
    """
    if isinstance(node, cst.Call):
        if isinstance(node.func, cst.Attribute) and _holds_rates(node.func.value, groups):
            return not READING.search(node.func.attr.value)
        given = any(_holds_rates(arg.value, groups) for arg in node.args)
        return given and not HARMLESS.search(_said(node.func).rpartition(".")[2])
    if isinstance(node, (cst.Assign, cst.AugAssign)):
        targets = [each.target for each in node.targets] if isinstance(node, cst.Assign) else [node.target]
        return any(_is_rate_item(target) for target in targets)
    return False


def _holds_rates(node: cst.CSTNode, groups: Collection[str]) -> bool:
    """Whether an expression is an optimizer, a scheduler, or a group of parameters."""
    while isinstance(node, cst.Subscript):
        node = node.value
    return _is_optimizer(node) or (isinstance(node, cst.Name) and node.value in groups)


def _is_optimizer(node: cst.CSTNode) -> bool:
    name = _said(node).rpartition(".")[2]
    return bool(OPTIMIZER.search(name)) or name == "param_groups"


def _groups_named(body: cst.BaseSuite | cst.Module) -> Iterator[str]:
    """The variables of a body that are bound to something of ``param_groups``."""
    for node in below(body):
        if isinstance(node, cst.For) and "param_groups" in words_of(node.iter):
            yield from names_of(node.target)
        elif isinstance(node, cst.Assign) and "param_groups" in words_of(node.value):
            yield from (name for target in node.targets for name in names_of(target.target))


def _role(node: cst.CSTNode) -> str:
    """What a variable holds by its name: an ``optimizer``, a ``scheduler``, or nothing of interest (empty)."""
    if not _is_optimizer(node):
        return ""
    return "scheduler" if re.search("sched", _said(node), re.IGNORECASE) else "optimizer"


def _is_rate_item(target: cst.CSTNode) -> bool:
    """``group["lr"]``."""
    if not isinstance(target, cst.Subscript) or len(target.slice) != 1:
        return False
    key = target.slice[0].slice
    return isinstance(key, cst.Index) and isinstance(key.value, cst.SimpleString) and key.value.evaluated_value == "lr"


def _said(node: cst.CSTNode) -> str:
    """The dotted name that an expression is written as; empty if it is none."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        before = _said(node.value)
        return f"{before}.{node.attr.value}" if before else node.attr.value
    return ""


def _groups(written: cst.BaseExpression) -> list[cst.BaseExpression]:
    """What the groups of a literal list of parameter groups are given as parameters."""
    if not isinstance(written, (cst.List, cst.Tuple)):
        return []
    found: list[cst.BaseExpression] = []
    for element in written.elements:
        group = element.value
        if not isinstance(group, cst.Dict):
            return []
        for item in group.elements:
            key = item.key if isinstance(item, cst.DictElement) else None
            if isinstance(key, cst.SimpleString) and key.evaluated_value == "params":
                found.append(item.value)
    return found


def _innermost(node: cst.BaseExpression) -> cst.BaseExpression:
    """What is iterated over once ``enumerate`` and progress bars are taken away, as it is written."""
    while isinstance(node, cst.Call) and node.args and node.args[0].star == "":
        name = _said(node.func).rpartition(".")[2]
        if name not in ("enumerate", "iter", "reversed") and (name == "trange" or not PROGRESS.search(name)):
            break
        node = node.args[0].value
    return node


def _shape(iterated: Value | None, target: cst.BaseExpression | None) -> Json:
    """What a round yields: None for a value, a list for a tuple, ``{"from": n}`` for a number that counts rounds."""
    iterated = resolve_setting(iterated)
    parts = [each.value for each in target.elements] if isinstance(target, (cst.Tuple, cst.List)) else []
    if isinstance(iterated, Wrapped) and iterated.kind == "enumerate":
        first = number(iterated.sources[1]) if len(iterated.sources) > 1 else 0
        inner = parts[1] if len(parts) == 2 else None
        return [{"from": int(first or 0)}, _shape(iterated.sources[0], inner)]
    if isinstance(iterated, Wrapped) and iterated.kind == "zip":
        inside = parts if len(parts) == len(iterated.sources) else [None] * len(iterated.sources)
        return [_shape(source, part) for source, part in zip(iterated.sources, inside, strict=True)]
    if isinstance(iterated, Wrapped) and iterated.sources:
        return _shape(iterated.sources[0], target)
    return [_shape(None, part) for part in parts] if parts else None
