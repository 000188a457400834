"""NN215: a test score of a part of the test data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.decisions import is_left_by
from nnlint.evidence.figures import Told, is_evaluation_loop, loops_over, measured_on, summands, told_of
from nnlint.evidence.loaders import anchor
from nnlint.evidence.passes import evaluation_pass, gone_over, term_of
from nnlint.evidence.samples import count_of_samples
from nnlint.evidence.seeding import contains
from nnlint.evidence.telling import tellings
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.loops import innermost_source
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Average, Break, Condition, Event, Forward, Run, Take
from nnlint.symbolic.values import Carried, Const, Index, Loop, Object, Operation, Unknown, Value
from nnlint.symbolic.words import below

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

TRIES = re.compile(
    r"sanity|debug|quick|smoke|preview|visual|plot|show|sample|demo|warm|profil|bench|fast|calib", re.IGNORECASE
)
"""Names of functions and scripts that look at a few batches and mean to."""

SCORE = re.compile(r"acc|score|\bf1|precision|recall|error.?rate|test.{0,3}error", re.IGNORECASE)
"""What a test score is called where it is told."""

EXAMPLES = re.compile(r"batch|first|example|predicted|truth|\bone\b", re.IGNORECASE)
"""Words by which people are told that it is a figure of a few samples."""

LARGEST = 256
"""The largest batch that is surely not all of the test data, where nobody knows how many there are."""


@rule(
    "NN215",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("break", "next("),
    requires=("test", "Test"),
    roots=(r"test_?(\w+_)?(data|dl|gen|iter|loader|set)", "_test$", "^(test|evaluate|eval|predict)$"),
)
def partial_evaluation(trace: Trace) -> Iterator[Finding]:
    """A test score that is computed from the first batches of the test data and then left at that.

    ## Why it matters
    A `break` after ten batches makes a slow evaluation quick while one writes the script, and is forgotten. The figure
    it leaves behind is that of the first thousand samples, which in a test set that is stored class by class are of one
    class. Nobody who reads it can tell. Divided by the length of the whole loader or data set it is not even the mean
    of what was seen. The recipe asks for figures one can trust, and evaluates on the entire test set.

    ## Example
    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    torch.manual_seed(0)
    test_loader = DataLoader(datasets.MNIST("data", train=False, transform=transforms.ToTensor()), batch_size=100)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    model.load_state_dict(torch.load("model.pt"))
    model.eval()
    correct = total = 0
    with torch.no_grad():
        for step, (images, labels) in enumerate(test_loader):
            correct += (model(images).argmax(1) == labels).sum().item()
            total += len(labels)
            if step == 10:
                break
    print(f"test accuracy {correct / total:.4f}")
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    torch.manual_seed(0)
    test_loader = DataLoader(datasets.MNIST("data", train=False, transform=transforms.ToTensor()), batch_size=100)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    model.load_state_dict(torch.load("model.pt"))
    model.eval()
    correct = total = 0
    with torch.no_grad():
        for images, labels in test_loader:
            correct += (model(images).argmax(1) == labels).sum().item()
            total += len(labels)
    print(f"test accuracy {correct / total:.4f}")
    ```

    ## How it is confirmed
    By protocol: the script's own evaluation is run over its loader, which is not cut short, and it is counted how many
    batches the score is made of and how many there are; then once more with the `break` left out, or the rest taken of
    what `next` has begun. Confirmed, if there are more batches than the score is made of, and they come then; refuted,
    if it is made of all of them as it is: the bound is never met, or the first batch is the only one. Batches that
    cannot be loaded are stood in for. It abstains where nobody knows how many samples the test data have, or the batch
    size.

    ## When it stays silent
    - It is a sanity check: a flag that is off by default limits the batches, or the function says so by its name.
    - The data are for validation: a look at a part of them now and then is a monitor.
    - As many batches as the bound allows are all there are, or may be: a large batch of data of an unknown size.
    - The model is run over all of the data as well, in another loop, or it is said to be a figure of examples.
    - The loop gathers no figure: it shows or stores the first few samples.
    - It cannot be told how many batches are seen, or that the data are for testing.
    """
    reported: set[int] = set()
    for run in trace.runs:
        for part in parts(run):
            place = anchor(trace, part.event)
            if place is not None and id(part.asked.node) not in reported:
                reported.add(id(part.asked.node))
                yield describe(run, part, place)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """An evaluation that is done when ``batches`` batches of test data are used.

    Attributes:
        event: the loop over them is left, or one is taken.
        asked: what the loop goes over, or what gives the one.
        batches: how many are used.
        loader: what they come from.
        told: how the script says that it is test data.
        score: the figure that is computed of them, or told.
        scored: what happens there.
        term: what is added to the total of the figure for each batch.
    """

    event: Break | Take
    asked: Place
    batches: float
    loader: Value
    told: Told
    score: Place
    scored: Event
    term: Place | None = None


def parts(run: Run) -> Iterator[Part]:
    """The evaluations of a run that see a part of the test data."""
    yield from _left_early(run)
    yield from _of_one_batch(run)


def _left_early(run: Run) -> Iterator[Part]:
    """The loops over test data that are left before their end."""
    averages = {
        id(loop): (event, summand) for event in run.of(Average) for loop, summand in summands(event) if loop is not None
    }
    for event in run.of(Break):
        loop = event.context.loops[-1]
        loader = innermost_source(loop.iterates or Unknown())
        if id(loop) not in averages or not is_left_by(loop, event.place.node) or _says_so(event):
            continue
        told, asked = told_of(loader), gone_over(loop)
        batches = _batches(run, event, loop)
        if asked is None or batches is None or batches < 1 or told.role != "test" or _is_all(loader, batches):
            continue
        if not is_gone_through_elsewhere(run, loader) and is_evaluation_loop(run, loader, loop, held_out=True):
            average, summand = averages[id(loop)]
            term = term_of(average, loop, summand)
            yield Part(event, asked, batches, loader, told, average.place, average, term)


def _of_one_batch(run: Run) -> Iterator[Part]:
    """The batches that are taken of test data once, with a score that is told of them and none of all the data."""
    takes = list(run.of(Take))
    for event in takes:
        loader = innermost_source(event.iterator)
        if not isinstance(loader, Object) or loader.kind != "loader" or event.context.loops or _says_so(event):
            continue
        told = told_of(loader)
        if told.role != "test" or _is_all(loader, 1) or not _is_small(loader) or loops_over(run, loader):
            continue
        score = _score_told(event)
        others = [each for each in takes if each is not event and innermost_source(each.iterator) is loader]
        if score is not None and not others and _is_answered(run, loader):
            yield Part(event, event.place, 1, loader, told, score, event)


def _is_answered(run: Run, loader: Object) -> bool:
    """Whether a model is run over what comes from a loader."""
    given = (value for event in run.of(Forward) for value in event.arguments.positional)
    return any(source is loader for value in given for source in measured_on(value))


def _is_small(loader: Object) -> bool:
    """Whether the batches of a loader are not as large as a test set may be."""
    size = number(loader.arguments.get(1, "batch_size") or Const(1))
    known = count_of_samples(loader.arguments.get(0, "dataset")) is not None
    return size is not None and (known or size <= LARGEST)


def _score_told(event: Event) -> Place | None:
    """What tells people a score that comes of a batch, and says nothing of a batch or of examples."""
    calls = event.context.calls
    source = event.place.source
    scope = calls[-1].function.node if calls else source.module
    if not isinstance(scope, (cst.Module, cst.FunctionDef)):
        return None
    for telling in tellings(scope, event.place.node):
        text = source.module.code_for_node(telling)
        if SCORE.search(text) and not EXAMPLES.search(text) and not TRIES.search(text):
            return Place(source, telling)
    return None


def _says_so(event: Event) -> bool:
    names = [event.place.source.path.stem, *(site.function.name for site in event.context.calls)]
    return any(map(TRIES.search, names))


def _batches(run: Run, event: Break, loop: Loop) -> float | None:
    """How many batches are used when the loop is left by default; None if it cannot be told, or never is."""
    inside = [each for each in event.context.conditions if contains(loop.node, each.place.node)]
    if not inside:
        return 1 if is_always_left(loop.node, event.place.node) else None
    bound = _bound(inside[0], loop) if len(inside) == 1 else None
    if bound is None:
        return None
    before = (each for each in run.events[: run.events.index(event)] if each.context.round == event.context.round)
    is_used = any(isinstance(each, Forward) and loop in each.context.loops for each in before)
    return bound if is_used else bound - 1


def _bound(condition: Condition, loop: Loop) -> float | None:
    """The number of the batch, from 1, at which a counter of the loop meets its bound."""
    test = condition.test
    if not isinstance(test, Operation) or test.op not in ("==", ">", ">=") or not condition.outcome:
        return None
    left: Value = test.args[0]
    bound = number(test.args[1])
    shift: float | None = 0.0
    if isinstance(left, Operation) and left.op == "+":
        shift = number(left.args[1])
        left = left.args[0]
    first = _first(left, loop)
    if first is None or shift is None or bound is None or isinstance(bound, bool):
        return None
    return bound - shift - first + (2 if test.op == ">" else 1)


def is_always_left(loop: cst.CSTNode, node: cst.CSTNode) -> bool:
    """Whether the first round of a loop ends in a ``break``, whatever happens in it."""
    if not isinstance(loop, cst.For):
        return False
    lines = (each for each in below(loop.body) if isinstance(each, (cst.SimpleStatementLine, cst.SimpleStatementSuite)))
    if any(isinstance(small, cst.Continue) for line in lines for small in line.body):
        return False
    body: cst.BaseSuite = loop.body
    while True:
        last = body.body[-1]
        if not isinstance(last, cst.With):
            return any(each is node for each in last.body) if isinstance(last, cst.SimpleStatementLine) else False
        body = last.body


def is_gone_through_elsewhere(run: Run, loader: Value) -> bool:
    """Whether a model is also run over all batches of a loader, in a loop that nothing leaves early."""
    left = {id(event.context.loops[-1]) for event in run.of(Break)}
    evaluating = {id(loop) for event in run.of(Forward) for loop in event.context.loops}
    return any(id(loop) in evaluating and id(loop) not in left for loop in loops_over(run, loader))


def _first(counter: Value, loop: Loop) -> float | None:
    """What a counter of the batches of a loop is at the first one; None if it counts something else."""
    if isinstance(counter, Index) and counter.loop is loop:
        return number(counter.start) if number(counter.step) == 1 else None
    if isinstance(counter, Carried) and counter.loop is loop and isinstance(counter.update, Operation):
        grown, step = counter.update.args if counter.update.op == "+" else (None, None)
        if grown is counter and step is not None and number(step) == 1:
            return number(counter.initial)
    return None


def _is_all(loader: Value, batches: float) -> bool:
    """Whether a loader is known to have no more batches."""
    if not isinstance(loader, Object):
        return False
    samples = count_of_samples(loader.arguments.get(0, "dataset"))
    size = number(loader.arguments.get(1, "batch_size"))
    return samples is not None and size is not None and batches * size >= samples


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(run: Run, part: Part, place: Place) -> Finding:
    """The finding in words."""
    notes = [Note(part.score, "the figure is computed here" if part.score is part.scored.place else "it is told here")]
    seen, after = ("one batch", "it") if part.batches == 1 else (f"{part.batches:g} batches", "these")
    what = f"the loop is left after {after}" if isinstance(part.event, Break) else "no other is taken"
    if isinstance(part.loader, Object) and part.loader.origin is not None:
        notes.insert(0, Note(Place(part.loader.origin.source, part.loader.origin.node), "the test data"))
    return Finding(
        place,
        f"the test score sees {seen} of the test data: {what}",
        "it is a figure of the samples that are stored first, and nobody who reads it can tell",
        "evaluate on all of the test data, or say in the figure's name what it was measured on",
        tuple(note for note in notes if note.place.node is not place.node),
        confidence=Confidence.HIGH if part.told.confidence > Confidence.LOW else Confidence.MEDIUM,
        experiment=partial(experiment, run, part),
    )


def experiment(run: Run, part: Part) -> Experiment | None:
    """The pass with its figure; None where the loader is not built in sight."""
    if not isinstance(part.loader, Object):
        return None
    breaks = isinstance(part.event, Break)
    return evaluation_pass(
        run,
        "partial-pass",
        loader=part.loader,
        asked=part.asked,
        score=part.score,
        event=part.scored,
        watches=(
            *([Watch("break", part.event.place)] if breaks else []),
            *([] if part.term is None else [Watch("term", part.term)]),
        ),
        settings={"break": breaks},
    )
