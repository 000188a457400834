"""NN204: a loss with an upper bound, backpropagated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.bounds import Bound, Bounds, is_optional, is_passed_by
from nnlint.evidence.gradient_flow import gradient_flow
from nnlint.evidence.gradients import gradient_clipping
from nnlint.evidence.objective import Evidence, evidence, says_loss
from nnlint.evidence.provenance import DIFFERENCE, Part, operands, operation_of, summands, walk_back
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.scalar import is_numeric, number
from nnlint.symbolic.trace import Backward, Event, Forward, Return, Run
from nnlint.symbolic.values import Function, Instance, Value

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

HUGE = 1e6
"""From here on a bound is there against infinities: it bites late, but it bites."""

ENDLESS = 1e30
"""No bound at all."""

MOST = 200
"""Bounds of one run that are judged; a run of a script has a dozen at most."""

EVALUATIVE = re.compile(
    r"eval|valid|test|metric|score|accura|psnr|predict|infer|monitor|log_|plot|report|priorit|perpl"
)
"""Functions of such names return figures for people."""

BOUNDED = re.compile(r"ssim|iou|dice|cos|tversky|jaccard|auc|corr", re.IGNORECASE)
"""Names of losses that end at 1 or 2 by themselves."""

COMPOUND = frozenset("BinaryOperation UnaryOperation BooleanOperation Comparison IfExp Lambda".split())
"""Expressions that need parentheses where a call stood."""


@rule(
    "NN204",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("clamp", "clip", "minimum", "fmin", ".backward("),
    requires=("loss", "Loss", "backward", "error", "objective"),
    roots=("clamp", "^clip_?$", "minimum$", "^fmin$", "backward"),
)
def clipped_loss(trace: Trace) -> Iterator[Finding]:
    """A loss with an upper bound that is backpropagated: above the bound nothing is learned.

    ## Why it matters
    Where a loss exceeds its bound the bound is all that is left of it, and the gradient of a constant is zero. The
    examples that the model gets most wrong are just those that it no longer learns from, and a run that starts above
    the bound never moves at all. Karpathy tells of this in "A Recipe for Training Neural Networks": people meant to
    clip gradients, clipped the loss, and had the outliers of their data ignored without a word. A bound far above
    any loss of a healthy run bites only once training diverges, but then the run stands still in place of failing,
    so bounds from a million on are reported as an info.

    ## Example
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = 10 * x.sum(1, keepdim=True)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(100):
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss = torch.clamp(loss, -1, 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## Use instead
    ```python
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = 10 * x.sum(1, keepdim=True)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(100):
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    ```

    If single outliers are the trouble, a loss that grows more slowly (`HuberLoss`, `SmoothL1Loss`) still learns from
    them; a batch that must not count is better skipped, and counted.

    ## How it is confirmed
    By gradient flow. The lines from what the loss is computed of to `backward` are run with losses above the bound and
    below it, once as they stand and once with the bound taken out, and the gradient that comes back to each loss is
    looked at. It is confirmed if losses above the bound get a gradient of exactly zero, while the same losses get one
    without the bound, as do losses below it. It is refuted if the gradient comes back all the same, if the bound turns
    out to be infinite, or if no loss can reach it: neither larger inputs and weights nor steps uphill along the
    gradient bring the loss near the bound, as for 1 - cosine similarity under a bound of 10. What the script does not
    have at hand (predictions of a model that is passed in, a batch whose files are missing) is made up in the shapes
    that the lines ask for and the models accept, and said to be. A loss in a function is run from a script on that
    calls it, where one is read as well. It stays inconclusive where the loss itself is computed out of sight, by a
    criterion that is passed in or a package that is not installed, where it stays below its bound only if a missing
    target is a probability as what it is compared with, and where the lines do not run. There is no
    experiment for `loss[loss > c] = c`, nor where a test chooses a constant that was made before.

    ## When it stays silent
    - The bound is a lower one (hinge and triplet losses, `clamp(min=0)`), infinite, or the end of the value's own
      range (1 - IoU in [0, 2], an SSIM in [0, 1]).
    - Something else is bounded: a probability before its logarithm, a denominator, a weight (Min-SNR, advantages), the
      ratio and the values of PPO, the critic's parameters of a WGAN, targets, priorities.
    - The value goes on without its bound as well, as in a Huber loss written by hand.
    - The loss is maximized, and bounded so that the ascent ends.
    - The smaller of two losses is taken, neither of them a constant (permutation-invariant losses).
    - The bounded value is detached, logged, or only returned by an evaluation.
    - It is bounded in a `torch.autograd.Function`: the gradient is what its `backward` says.
    - A batch whose loss is too large is skipped, or scaled down.
    - The bound is an option that is off by default.
    """
    best: dict[int, tuple[Run, Bound, Goal, Evidence]] = {}
    for run in trace.runs:
        for bound, part, goal in islice(candidates(run), MOST):
            why = judge(bound, part, goal)
            place = id(bound.place.node)
            if why is not None and (place not in best or why.confidence > best[place][3].confidence):
                best[place] = run, bound, goal, why
    paths = paths_to([bound.place for _, bound, _, _ in best.values()])
    for place, (run, bound, goal, why) in best.items():
        finding = describe(bound, goal, why, fix_of(run, bound, goal, paths[place]))
        yield replace(finding, experiment=partial(gradient_flow, run, bound, goal.event, paths[place]))


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
            if has_own_gradient(event.function):
                continue
            place = event.place
            if isinstance(event.function.node, cst.FunctionDef):
                place = Place(event.place.source, event.function.node.name)
            yield Goal(event.value, event, Note(place, "this function returns it as a loss"))
        elif isinstance(event, Forward) and isinstance(event.module, Instance) and says_loss(event.module.cls.name):
            yield Goal(event.result, event, Note(event.place, f"`{event.module.cls.name}` returns it as the loss here"))


def has_own_gradient(function: Function) -> bool:
    """Whether a function is a method of a `torch.autograd.Function`, whose gradient is what its `backward` says."""
    return function.owner is not None and any(path.startswith("torch.autograd.") for path in function.owner.libraries())


def candidates(run: Run) -> Iterator[tuple[Bound, Part, Goal]]:
    """The bounds that gradients pass, the parts of what is backpropagated that they bound, and what that is."""
    bounds = Bounds(run)
    for goal in goals(run):
        for part in walk_back(goal.value, summands):
            conditions = goal.event.context.conditions if part.value is goal.value else ()
            for bound in bounds.on(part.value, conditions):
                yield bound, part, goal


# --- what makes it a mistake -----------------------------------------------------------------------------------------


def judge(bound: Bound, part: Part, goal: Goal) -> Evidence | None:
    """Why the bounded value is a loss, None if it is none or the bound is no mistake."""
    if bound.limit is not None and not 0 < bound.limit < ENDLESS:
        return None
    if is_optional(bound) or is_passed_by(bound, part.beside):
        return None
    why = evidence(bound.operand) or meant(bound) or named(bound, part) or used(part, goal)
    if why is None or is_own_range(bound, why):
        return None
    if goal.certain:
        return why
    return replace(why, confidence=min(why.confidence, Confidence.MEDIUM))


def meant(bound: Bound) -> Evidence | None:
    """The evidence that lies in bounding a difference on both sides alike before it is squared: it is an error."""
    return Evidence("", Confidence.MEDIUM, None, error=True) if bound.squared else None


def named(bound: Bound, part: Part) -> Evidence | None:
    """The evidence that lies in what the script calls the value where it is bounded, or once it is."""
    name = next((name for name in (bound.name, getattr(part.value, "name", "")) if says_loss(name)), "")
    return Evidence("", Confidence.LOW, None) if name else None


def used(part: Part, goal: Goal) -> Evidence | None:
    """The evidence that lies in being all of what is backpropagated."""
    return Evidence("", Confidence.MEDIUM, None) if goal.whole and not part.beside else None


def is_own_range(bound: Bound, why: Evidence) -> bool:
    """Whether the bounds are those of a value that knows no others: 1 - overlap, a difference of images."""
    if why.computed or bound.limit not in (1, 2) or number(bound.lower) not in (0, -1):
        return False
    if why.error:
        return bound.limit == 1 and not bound.squared
    if BOUNDED.search(bound.name) or BOUNDED.search(why.words):
        return True
    return any(is_complement(part.value) for part in walk_back(bound.operand, summands))


def is_complement(value: Value) -> bool:
    """Whether a value is a number minus something."""
    origin = value.origin
    if origin is None or operation_of(origin) not in DIFFERENCE:
        return False
    both = operands(origin)
    return both is not None and is_numeric(both[0])


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(bound: Bound, goal: Goal, why: Evidence, fix: Fix | None) -> Finding:
    """The finding in words."""
    limit = limit_in_words(bound.upper)
    name = f"`{code(bound.place, bound.expression)}`" if bound.expression is not None else f"`{bound.name or 'loss'}`"
    notes = [goal.note]
    if why.origin is not None:
        notes.insert(0, Note(Place(why.origin.source, why.origin.node), f"{why.words} here"))
    done = "replaced by a constant above" if bound.replaces else "clipped at"
    end = "before it is backpropagated" if goal.certain else "before it is returned as a loss"
    return Finding(
        bound.place,
        f"{name} is {done} {limit} {end}",
        "above the bound its gradient is zero, so that nothing is learned from what the model gets most wrong",
        "leave the loss as it is, and clip the gradients between `backward()` and `step()`: "
        "`torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)`",
        tuple(notes),
        fix,
        Severity.INFO if bound.limit is not None and bound.limit >= HUGE else None,
        why.confidence,
    )


def limit_in_words(upper: Value) -> str:
    """The upper bound: the number, and the option that sets it."""
    value, name = number(upper), getattr(upper, "name", "")
    if value is None:
        return f"`{name}`" if name else "a bound that varies"
    return f"{value:g} (`{name}`)" if name else f"{value:g}"


def code(place: Place, node: cst.CSTNode) -> str:
    """The text of a node on one line."""
    return " ".join(place.source.module.code_for_node(node).split())


# --- how it is mended ------------------------------------------------------------------------------------------------


def paths_to(places: Sequence[Place]) -> dict[int, tuple[cst.CSTNode, ...]]:
    """The statements and blocks around nodes, by the identity of the node."""
    sources = {id(place.source): place.source for place in places}
    nodes = [place.node for place in places]
    return {key: site.path for source in sources.values() for key, site in source.sites(nodes).items()}


def fix_of(run: Run, bound: Bound, goal: Goal, path: tuple[cst.CSTNode, ...]) -> Fix | None:
    """Take the bound away, and clip the gradients before the step that follows where the script shows how."""
    edit = removal(bound, path)
    if edit is None:
        return None
    clipping = gradient_clipping(run, goal.event) if isinstance(goal.event, Backward) else None
    if clipping is None or clipping.place.source is not bound.place.source:
        return Fix("remove the bound", (edit,))
    return Fix("remove the bound and clip the gradients", (edit, clipping))


def removal(bound: Bound, path: tuple[cst.CSTNode, ...]) -> Edit | None:
    """The edit that leaves the value without its bound; a statement that would do nothing then goes altogether."""
    operand, line = bound.expression, path[-1]
    if isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1 and _is_idle(line.body[0], bound):
        return Edit("delete", Place(bound.place.source, _guard(path) or line))
    if operand is None or bound.is_assignment:
        return None
    text = code(bound.place, operand)
    return Edit(
        "replace", bound.place, f"({text})" if type(operand).__name__ in COMPOUND and not operand.lpar else text
    )


def _is_idle(statement: cst.BaseSmallStatement, bound: Bound) -> bool:
    """Whether nothing is left of a statement without the bound: ``loss``, ``loss = loss``, ``loss[loss > c] = c``."""
    if isinstance(statement, cst.Expr):
        return statement.value is bound.place.node
    if bound.is_assignment:
        return isinstance(statement, cst.Assign) and len(statement.targets) == 1
    if not isinstance(statement, cst.Assign) or statement.value is not bound.place.node:
        return False
    first, *others = statement.targets
    named_again = bound.expression is not None and first.target.deep_equals(bound.expression)
    return not others and (named_again or bound.replaces)


def _guard(path: tuple[cst.CSTNode, ...]) -> cst.If | None:
    """The ``if`` without ``else`` that holds nothing but the statement at the end of the path."""
    around, test, block = ([None] * 4 + list(path))[-4:-1]
    if isinstance(test, cst.If) and test.orelse is None and test.body is block and not isinstance(around, cst.If):
        return test if len(test.body.body) == 1 else None
    return None
