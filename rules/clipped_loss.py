"""NN204: a loss with an upper bound, backpropagated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.objective import Evidence, evidence, name_of_callable, says_loss
from nnlint.symbolic.provenance import DIFFERENCE, Part, ingredients, operands, operation_of, summands, walk_back
from nnlint.symbolic.scalar import is_numeric, number, truth_by_default
from nnlint.symbolic.trace import Backward, Build, Clip, ClipGradients, Event, Forward, Mode, Return, Run, Step
from nnlint.symbolic.values import Instance, Object, Operation, Setting, Unknown, Value, same

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

HUGE = 1e6
"""From here on a bound is there against infinities: it bites late, but it bites."""

ENDLESS = 1e30
"""No bound at all."""

EVALUATIVE = re.compile(r"eval|valid|test|metric|score|accura|psnr|predict|infer|monitor|log_|plot|report|priorit|perpl")
"""Functions of such names return figures for people."""

BOUNDED = re.compile(r"ssim|iou|dice|cos|tversky|jaccard|auc|corr", re.IGNORECASE)
"""Names of losses that end at 1 or 2 by themselves."""

OPTION = re.compile(r"clip|clamp|cap($|_)|limit|max|bound|trunc|thresh|ceil", re.IGNORECASE)
"""Names of options that switch clipping on."""


@rule(
    "NN204",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("clamp", "clip", "minimum", "clamp_", "clip_", "clamp_max", "clamp_max_", "fmin", "backward"),
)
def clipped_loss(trace: Trace) -> Iterator[Finding]:
    """PAGE."""
    found: dict[int, Finding] = {}
    for run in trace.runs:
        clips = _Clips(run)
        for goal in goals(run):
            for part in walk_back(goal.value, summands):
                for clip in clips.of(part.value):
                    finding = judge(run, clip, part, goal)
                    if finding is None:
                        continue
                    known = found.get(id(clip.place.node))
                    if known is None or (known.confidence or 0) < (finding.confidence or 0):
                        found[id(clip.place.node)] = finding
    yield from found.values()


# --- what is backpropagated ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Goal:
    """A value that gradients start from, and the event that says so."""

    value: Value
    event: Event
    note: Note

    @property
    def whole(self) -> bool:
        """Whether being all of it makes a value a loss, whatever it is called."""
        if isinstance(self.event, Return):
            owner = self.event.function.owner
            return says_loss(self.event.function.name) or (owner is not None and says_loss(owner.name))
        return True

    @property
    def certain(self) -> bool:
        """Whether ``backward`` was seen, rather than a loss being handed to a caller out of sight."""
        return isinstance(self.event, Backward)


def goals(run: Run) -> Iterator[Goal]:
    """Everything that a run backpropagates, or hands out as a loss."""
    for event in run.events:
        if isinstance(event, Backward) and event.gradient is None:
            yield Goal(event.loss, event, Note(event.place, "it is backpropagated here"))
        elif isinstance(event, Return) and not EVALUATIVE.search(event.function.name.lower()):
            place = event.place
            if isinstance(event.function.node, cst.FunctionDef):
                place = Place(event.place.source, event.function.node.name)
            yield Goal(event.value, event, Note(place, "this function returns it as a loss"))
        elif isinstance(event, Forward) and isinstance(event.module, Instance) and says_loss(event.module.cls.name):
            yield Goal(event.result, event, Note(event.place, f"`{event.module.cls.name}` returns it as the loss here"))


# --- what bounds it --------------------------------------------------------------------------------------------------


class _Clips:
    """The upper bounds of a run, by the value that is bounded."""

    def __init__(self, run: Run) -> None:
        self._by_value: dict[int, list[Clip]] = {}
        for event in run.of(Clip):
            if event.upper is not None:
                self._by_value.setdefault(id(event.result), []).append(event)

    def of(self, value: Value) -> list[Clip]:
        return self._by_value.get(id(value), [])


def judge(run: Run, clip: Clip, part: Part, goal: Goal) -> Finding | None:
    """The finding that a bound on the way to a loss is, None if it is a look-alike."""
    bound = number(clip.upper)
    if bound is not None and (bound <= 0 or bound >= ENDLESS):
        return None
    if is_option(clip) or is_learned_beside(clip, part):
        return None
    why = evidence(clip.operand)
    if why is None and goal.whole and not part.beside:
        why = Evidence("", Confidence.MEDIUM, None)
    if why is None or is_own_range(clip, why):
        return None
    confidence = why.confidence if goal.certain else min(why.confidence, Confidence.MEDIUM)
    return describe(run, clip, goal, replace(why, confidence=confidence), bound)


def is_option(clip: Clip) -> bool:
    """Whether the script clips only on request: by an option that is off by default, or whose default nobody knows."""
    tests = [(test, condition.outcome) for condition in clip.context.conditions for test in conjuncts(condition.test)]
    if number(clip.upper) is None and any(asks_for(test, clip.upper) for test, _ in tests):
        return True
    return any(names_option(test) and truth_by_default(test) is (not outcome) for test, outcome in tests)


def asks_for(test: Value, option: Value | None) -> bool:
    """Whether a test looks at a value: ``option``, ``option is not None``, ``option > 0``."""
    if test is option or same(test, option):
        return True
    inputs = test.args if isinstance(test, Operation) else test.origin.inputs if test.origin is not None else ()
    return any(item is option or same(item, option) for item in inputs)


def conjuncts(test: Value) -> list[Value]:
    """The tests that ``and`` joins."""
    if isinstance(test, Operation) and test.op == "and":
        return [part for arg in test.args for part in conjuncts(arg)]
    if isinstance(test, Unknown) and test.origin is not None and test.origin.op == "and":
        return [part for arg in test.origin.inputs for part in conjuncts(arg)]
    return [test]


def names_option(test: Value) -> bool:
    """Whether a test asks for an option whose name speaks of clipping."""
    if isinstance(test, Setting):
        return OPTION.search(test.name) is not None
    return isinstance(test, Operation) and any(names_option(arg) for arg in test.args)


def is_learned_beside(clip: Clip, part: Part) -> bool:
    """Whether the value is also added without its bound, so that something is learned above it."""
    if clip.in_place:
        return False
    return any(
        other.value is clip.operand for summand in part.beside for other in walk_back(summand, ingredients)
    )


def is_own_range(clip: Clip, why: Evidence) -> bool:
    """Whether the bounds are those of a value that knows no others: 1 - overlap, a correlation, a difference of images."""
    lower, upper = number(clip.lower), number(clip.upper)
    if why.computed or upper not in (1, 2) or lower not in (0, -1):
        return False
    if why.error:
        return upper == 1
    names = [name_of_callable(clip.operand), why.words]
    return any(map(BOUNDED.search, names)) or any(
        is_complement(part.value) for part in walk_back(clip.operand, ingredients)
    )


def is_complement(value: Value) -> bool:
    """Whether a value is a number minus something."""
    origin = value.origin
    if origin is None or operation_of(origin) not in DIFFERENCE:
        return False
    both = operands(origin)
    return both is not None and is_numeric(both[0])


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(run: Run, clip: Clip, goal: Goal, why: Evidence, bound: float | None) -> Finding:
    """The finding in words."""
    limit, operand = bound_in_words(clip, bound), operand_of(clip)
    name = f"`{code(clip.place, operand)}`" if operand is not None else "the loss"
    notes = [goal.note]
    if why.origin is not None and why.words:
        notes.insert(0, Note(Place(why.origin.source, why.origin.node), f"{why.words} here"))
    return Finding(
        clip.place,
        f"{name} is clipped at {limit} before it is backpropagated",
        f"where it exceeds {limit} its gradient is zero, so that what the model gets most wrong is what it does not learn from",
        "leave the loss as it is; clip the gradients, between `backward()` and `step()`, "
        "with `torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)`",
        tuple(notes),
        fix_of(run, clip, goal, operand),
        Severity.INFO if bound is not None and bound >= HUGE else None,
        why.confidence,
    )


def bound_in_words(clip: Clip, bound: float | None) -> str:
    """The upper bound: the number, and the option that sets it."""
    upper = clip.upper
    if bound is None:
        return "a bound that varies" if not isinstance(upper, Unknown) or not upper.name else f"`{upper.name}`"
    return f"{bound:g} (`{upper.name}`)" if isinstance(upper, Setting) else f"{bound:g}"


def code(place: Place, node: cst.CSTNode) -> str:
    """The text of a node on one line."""
    return " ".join(place.source.module.code_for_node(node).split())


def operand_of(clip: Clip) -> cst.BaseExpression | None:
    """The expression that is clipped: the receiver of the method or an argument of the function."""
    node = clip.place.node
    if not isinstance(node, cst.Call):
        return None
    given = [arg.value for arg in node.args]
    origin = clip.result.origin
    if clip.in_place or origin is None or origin.node is not node:
        return node.func.value if isinstance(node.func, cst.Attribute) else None
    if origin.op.startswith(".") and isinstance(node.func, cst.Attribute):
        given.insert(0, node.func.value)
    position = next((i for i, item in enumerate(origin.inputs) if item is clip.operand), 0)
    return given[position] if position < len(given) else None


# --- how it is mended ------------------------------------------------------------------------------------------------


def fix_of(run: Run, clip: Clip, goal: Goal, operand: cst.BaseExpression | None) -> Fix | None:
    """Take the bound away, and clip the gradients before the step that follows where the script shows how."""
    if operand is None:
        return None
    edits = [removal(clip, operand)]
    parameters = parameters_of(run, goal)
    if parameters is None or parameters[0].source is not clip.place.source:
        return Fix("remove the bound", tuple(edits))
    step, names = parameters
    text = f"torch.nn.utils.clip_grad_norm_({names}, 1.0)"
    return Fix("remove the bound and clip the gradients", (*edits, Edit("before", step, text)))


def removal(clip: Clip, operand: cst.BaseExpression) -> Edit:
    """The edit that leaves the clipped expression, or nothing where that would be ``loss = loss``."""
    node, source = clip.place.node, clip.place.source
    *_, block, line = source.sites([node])[id(node)].path
    if isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1:
        statement = line.body[0]
        idle = isinstance(statement, cst.Expr) and statement.value is node
        if isinstance(statement, cst.Assign) and statement.value is node and len(statement.targets) == 1:
            idle = statement.targets[0].target.deep_equals(operand)
        if idle:
            return Edit("delete", clip.place)
    text = code(clip.place, operand)
    if isinstance(operand, (cst.BinaryOperation, cst.UnaryOperation, cst.IfExp, cst.BooleanOperation)) and not operand.lpar:
        text = f"({text})"
    return Edit("replace", clip.place, text)


def parameters_of(run: Run, goal: Goal) -> tuple[Place, str] | None:
    """Where the optimizer steps after ``backward``, and how the script spells the parameters that it updates."""
    here = function_of(goal.event)
    after = run.events[run.events.index(goal.event) + 1 :] if goal.certain else []
    local = [event for event in after if function_of(event) is here]
    step = next((event for event in local if isinstance(event, Step)), None)
    if step is None or any(isinstance(event, ClipGradients) for event in after):
        return None
    if any(operation_of(part.value.origin) == "scale" for part in walk_back(goal.value, summands) if part.value.origin):
        return None
    spelled = {text for event in run.events if function_of(event) is here for text in spellings(event, step.optimizer)}
    if len(spelled) != 1 or not re.search(r"^import torch$", step.place.source.text, re.MULTILINE):
        return None
    return step.place, spelled.pop()


def spellings(event: Event, optimizer: Value) -> Iterator[str]:
    """``model.parameters()`` as it stands where the optimizer is built; else the module that is put into train mode."""
    node = event.place.node
    if not isinstance(node, cst.Call):
        return
    if isinstance(event, Build) and event.value is optimizer and node.args:
        text = code(event.place, node.args[0].value)
        if re.fullmatch(r"[\w.]+\.parameters\(\)", text):
            yield text
    elif isinstance(event, Mode) and event.training and not isinstance(optimizer, Object):
        if isinstance(node.func, cst.Attribute):
            yield f"{code(event.place, node.func.value)}.parameters()"


def function_of(event: Event) -> cst.CSTNode | None:
    """The function that an event happens in, None at module level."""
    return event.context.calls[-1].function.node if event.context.calls else None
