"""Where a script evaluates: forward passes that nothing is learned from, over data or in a mode that says so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path

import libcst as cst

from nnlint.diagnostic import Confidence
from nnlint.evidence.gradients import function_of
from nnlint.evidence.splits import Split, role_of_name, split_of
from nnlint.source import Source
from nnlint.symbolic.ancestry import made_of
from nnlint.symbolic.loops import innermost_source
from nnlint.symbolic.modes import holds, parts_of
from nnlint.symbolic.trace import Backward, Event, Forward, Mode, Run, Step, Trace
from nnlint.symbolic.values import Class, Function, Instance, Loop, Object, Value, resolve_setting
from nnlint.symbolic.words import below, words_of

EVALUATES = re.compile(
    r"^_*(run_|do_|get_|compute_|model_|my_|final_)*(evaluat\w*|eval|validat\w*|valid|val|test|testing|inference|infer|predict)"
    r"(_\w+)?$|_(evaluate|evaluation|eval|validate|validation|valid|val|test|inference)(_(epoch|loop|step|model|one_epoch))?$",
    re.IGNORECASE,
)
"""Names of functions that evaluate."""

LEARNS = re.compile(
    r"train|fit|learn|finetune|fine_tune|update|adapt|attack|advers|explain|salien|optimi[sz]e", re.IGNORECASE
)
"""Names of functions that do something else, whatever else they are called."""

FRAMEWORK = re.compile(r"Lightning|Fabric|Trainer$|fastai|ignite|poutyne|catalyst|skorch|Callback$")
"""Classes of frameworks, which set modes and gradients around what they call."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Forward passes of one function, and of one loop there, that nothing is learned from.

    ``loop`` is the outermost loop around them in which nothing is learned, None if there is none.
    """

    trace: Trace
    run: Run
    forwards: tuple[Forward, ...]
    loop: Loop | None
    split: Split | None

    @property
    def forward(self) -> Forward:
        """The first of the forward passes."""
        return self.forwards[0]

    @property
    def function(self) -> Function | None:
        """The function that the model is called in, None at module level."""
        calls = self.forward.context.calls
        return calls[-1].function if calls else None

    @cached_property
    def evaluator(self) -> Function | None:
        """The outermost function around in which nothing is learned and whose name says that it evaluates."""
        for site in self.forward.context.calls:
            if says_evaluation(site.function) and not self.learns_within(site.function):
                return site.function
        return None

    def learns_within(self, function: Function) -> bool:
        """Whether something is learned in a function that is on the way to the model."""
        return any(
            any(site.function.node is function.node for site in event.context.calls)
            for event in self.run.events
            if isinstance(event, (Backward, Step))
        )

    @property
    def is_over_evaluation_data(self) -> bool:
        """Whether the loop goes over data that are not for training."""
        return self.split is not None and self.split.role in ("validation", "test")

    @cached_property
    def is_trained(self) -> bool:
        """Whether the script trains the model before or after."""
        return any(
            isinstance(event, Forward) and event.training is not False and holds(event.module, self.forward.module)
            for event in self.run.events
        ) and any(isinstance(event, Backward) for event in self.run.events)

    @cached_property
    def eval_call(self) -> Mode | None:
        """The last call of ``eval()`` before the model is called, in the function of the call."""
        found = None
        for event in self.run.events:
            if event is self.forward:
                return found
            if isinstance(event, Mode) and function_of(event) is function_of(self.forward):
                found = event if event.training is False and holds(event.module, self.forward.module) else found
        return found

    @cached_property
    def scopes(self) -> list[tuple[Source, cst.CSTNode]]:
        """What is run: the loop, or the function, and the functions that are called on the way to the model."""
        calls = self.forward.context.calls
        scopes: list[tuple[Source, cst.CSTNode]] = []
        if self.loop is not None:
            loop = self.loop
            scopes.append((loop.source, loop.node))
            holding = (number for number, site in enumerate(calls, 1) if _is_in(loop.node, site.function.node))
            # What has led to the loop is no part of it: a function that trains as well, as a rule.
            calls = calls[max(holding, default=0) :]
        scopes += [(site.function.frame.module.source, site.function.node) for site in calls[-2:]]
        return scopes + classes_of(self.forward.module)

    @cached_property
    def text(self) -> str:
        """The code of what is run, without comments; where a model is also trained there, without its backward pass."""
        code = "\n".join(source.module.code_for_node(node) for source, node in self.scopes)
        code = re.sub(r"#.*", "", code)
        trains = self.loop is None and self.function is not None and self.steps_before
        return code.replace(".backward(", "(") if trains else code

    @property
    def steps_before(self) -> bool:
        """Whether an optimizer steps in the function of the model's call before it."""
        before = self.run.events[: self.run.events.index(self.forward)]
        return any(isinstance(event, Step) and function_of(event) is self.function for event in before)


UNIT_TEST = re.compile(r"^\s*(import|from) (pytest|unittest|torch\.testing)\b", re.MULTILINE)


def is_unit_test(source: Source) -> bool:
    """Whether a file tests code rather than a model."""
    return UNIT_TEST.search(source.text) is not None


def says_evaluation(function: Function) -> bool:
    """Whether a function is called like one that evaluates."""
    return EVALUATES.search(function.name) is not None and not LEARNS.search(function.name)


def classes_of(module: Value) -> list[tuple[Source, cst.CSTNode]]:
    """The classes of the repository that a module, and what it is made of, are objects of."""
    found: dict[int, tuple[Source, cst.CSTNode]] = {}
    stack, seen = [module], set[int]()
    while stack and len(seen) < 200:
        value = stack.pop()
        if id(value) in seen or not isinstance(value, (Instance, Object)):
            continue
        seen.add(id(value))
        stack += parts_of(value)
        for cls in value.cls.lineage() if isinstance(value, Instance) else ():
            found.setdefault(id(cls.node), (cls.frame.module.source, cls.node))
    return list(found.values())


@lru_cache(maxsize=4)
def evaluations(trace: Trace) -> tuple[Evaluation, ...]:
    """The evaluations of a script, each place once; the runs of the script itself come first."""
    if is_unit_test(trace.source):
        return ()
    found: dict[tuple[int, int], Evaluation] = {}
    for run in trace.runs:
        groups: dict[tuple[int, int], tuple[list[Forward], Loop | None]] = {}
        learning = [event for event in run.events if isinstance(event, (Backward, Step))]
        learned = {id(loop) for event in learning for loop in event.context.loops}
        for event in run.events:
            if isinstance(event, Forward) and not is_inside_module(event) and not is_in_framework(event):
                loop = next((loop for loop in event.context.loops if id(loop) not in learned), None)
                function = function_of(event)
                key = (
                    id(None if function is None else function.node),
                    id(event.place.node if loop is None else loop.node),
                )
                groups.setdefault(key, ([], loop))[0].append(event)
        for key, (forwards, loop) in groups.items():
            evaluation = Evaluation(trace, run, tuple(forwards), loop, _split(forwards[0], learned))
            if key not in found and evaluates(evaluation):
                found[key] = evaluation
    return tuple(found.values())


def _split(forward: Forward, learned: set[int]) -> Split | None:
    """The split that the innermost loop over one goes over; training data, if nothing says otherwise."""
    for loop in reversed(forward.context.loops):
        split = None if id(loop) in learned else split_of(loop.iterates) or _named(loop)
        if split is not None and split.role == "train" and _is_part(loop.iterates):
            split = _named(loop) or split
        if split is not None:
            return split
    return None


def _named(loop: Loop) -> Split | None:
    """The split that the loop's own words name: ``for x, y in valid_loader``."""
    words = words_of(loop.node.iter) if isinstance(loop.node, (cst.For, cst.CompFor)) else ()
    roles = {role for word in words if (role := role_of_name(word)) is not None}
    return Split(roles.pop(), Confidence.LOW) if len(roles) == 1 else None


def _is_part(loader: Value | None) -> bool:
    """Whether a loader goes over a part of a dataset, whose other parts may be for training."""
    source = None if loader is None else resolve_setting(innermost_source(loader))
    dataset = resolve_setting(source.arguments.get(0, "dataset")) if isinstance(source, Object) else None
    return isinstance(dataset, Object) and dataset.name == "Subset"


def is_inside_module(event: Event) -> bool:
    """Whether an event happens while a module computes its output: in ``forward``, or in building one."""
    return any(site.function.name in ("forward", "__init__", "__call__") for site in event.context.calls)


def is_in_framework(event: Event) -> bool:
    """Whether a framework calls the function that an event happens in."""
    owners = (site.function.owner for site in event.context.calls)
    return any(FRAMEWORK.search(path) for owner in owners if isinstance(owner, Class) for path in owner.libraries())


def evaluates(evaluation: Evaluation) -> bool:
    """Whether the forward passes surely are an evaluation."""
    forward = evaluation.forward
    if evaluation.loop is None:
        if forward.training is not False or is_learned_from(evaluation):
            return False
        if evaluation.function is not None and evaluation.learns_within(evaluation.function):
            return evaluation.is_trained and evaluation.steps_before
        return evaluation.is_trained
    if evaluation.split is not None and evaluation.split.role == "train":
        return forward.training is False and evaluation.evaluator is not None
    if evaluation.is_over_evaluation_data:
        return True
    return forward.training is False and (
        evaluation.evaluator is not None
        or (evaluation.is_trained and any(loop.kind == Loop.BATCHES for loop in (evaluation.loop,)))
    )


def _is_in(node: cst.CSTNode, function: cst.CSTNode) -> bool:
    return any(each is node for each in below(function))


def is_learned_from(evaluation: Evaluation) -> bool:
    """Whether the output of the model may take part in a loss that is backpropagated, by value or by the order."""
    run, forward = evaluation.run, evaluation.forward
    results = {id(each.result) for each in evaluation.forwards}
    for event in run.of(Backward):
        if not results.isdisjoint(made_of(event.loss)):
            return True
    position = run.events.index(forward)
    here = function_of(forward)
    return any(
        isinstance(event, Backward)
        and function_of(event) is here
        and event.context.loops == forward.context.loops
        and event.context.round == forward.context.round
        for event in run.events[position:]
    )


# --- who calls it ----------------------------------------------------------------------------------------------------

MOST_FILES = 1_500


def calls_elsewhere(trace: Trace, name: str) -> list[str]:
    """The texts of the files of the repository that call a function of this name."""
    root = trace.root or trace.source.path.parent
    call = re.compile(rf"(?<!def )\b{re.escape(name)}\s*\(")
    return [text for text in _texts(root) if name in text and call.search(text)]


@lru_cache(maxsize=1)
def _texts(root: Path) -> tuple[str, ...]:
    """The Python files of a repository."""
    found: list[str] = []
    for path in islice(sorted(root.rglob("*.py")), MOST_FILES):
        try:
            found.append(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
    return tuple(found)
