"""NN215: a test score of a part of the test data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.decisions import is_left_by
from nnlint.evidence.figures import Told, is_evaluation_loop, summands, told_of
from nnlint.evidence.loaders import anchor
from nnlint.evidence.samples import count_of_samples
from nnlint.evidence.seeding import contains
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.loops import innermost_source
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Average, Break, Condition, Run
from nnlint.symbolic.values import Carried, Index, Loop, Object, Operation, Unknown, Value

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

TRIES = re.compile(
    r"sanity|debug|quick|smoke|preview|visual|plot|show|sample|demo|warm|profil|bench|fast|calib", re.IGNORECASE
)
"""Names of functions that look at a few batches and mean to."""


@rule(
    "NN215",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("break",),
    requires=("test", "Test"),
    roots=("test", "eval"),
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
    It has no experiment yet.

    ## When it stays silent
    - It is a sanity check: a flag that is off by default limits the batches, or the function says so by its name.
    - The data are for validation: a look at a part of them now and then is a monitor.
    - As many batches as the bound allows are all there are.
    - The loop gathers no figure: it shows or stores the first few samples.
    - It cannot be told how many batches are seen, or that the data are for testing.
    """
    reported: set[int] = set()
    for run in trace.runs:
        for part in parts(run):
            place = anchor(trace, part.event)
            if place is not None and id(part.loop.node) not in reported:
                reported.add(id(part.loop.node))
                yield describe(part, place)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A loop over test data that is left after ``batches`` batches; ``average`` is the figure that comes of it."""

    event: Break
    loop: Loop
    batches: float
    loader: Value
    told: Told
    average: Average


def parts(run: Run) -> Iterator[Part]:
    """The evaluations of a run that are left early."""
    averages = {id(loop): event for event in run.of(Average) for loop, _ in summands(event) if loop is not None}
    for event in run.of(Break):
        loop = event.context.loops[-1]
        loader = innermost_source(loop.iterates or Unknown())
        if id(loop) not in averages or not is_left_by(loop, event.place.node) or _says_so(event):
            continue
        told = told_of(loader)
        batches = _batches(event, loop)
        if batches is None or told.role != "test" or _is_all(loader, batches):
            continue
        if is_evaluation_loop(run, loader, loop, held_out=True):
            yield Part(event, loop, batches, loader, told, averages[id(loop)])


def _says_so(event: Break) -> bool:
    return any(TRIES.search(site.function.name) for site in event.context.calls)


def _batches(event: Break, loop: Loop) -> float | None:
    """After how many batches the loop is left by default; None if it cannot be told, or never is."""
    inside = [each for each in event.context.conditions if contains(loop.node, each.place.node)]
    return _bound(inside[0], loop) if len(inside) == 1 else None


def _bound(condition: Condition, loop: Loop) -> float | None:
    """The number of batches at which a counter of the loop meets its bound."""
    test = condition.test
    if not isinstance(test, Operation) or test.op not in ("==", ">", ">=") or not condition.outcome:
        return None
    left: Value = test.args[0]
    bound = number(test.args[1])
    shift = 0.0
    if isinstance(left, Operation) and left.op == "+":
        shift = number(left.args[1]) or 0.0
        left = left.args[0]
    counts = (isinstance(left, Index) and left.loop is loop) or (isinstance(left, Carried) and left.loop is loop)
    if not counts or bound is None or isinstance(bound, bool) or bound <= 0:
        return None
    return bound + 1 - shift + (1 if test.op == ">" else 0) if isinstance(left, Index) else bound


def _is_all(loader: Value, batches: float) -> bool:
    """Whether a loader is known to have no more batches."""
    if not isinstance(loader, Object):
        return False
    samples = count_of_samples(loader.arguments.get(0, "dataset"))
    size = number(loader.arguments.get(1, "batch_size"))
    return samples is not None and size is not None and batches * size >= samples


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(part: Part, place: Place) -> Finding:
    """The finding in words."""
    notes = [Note(part.average.place, "the figure is computed here")]
    if isinstance(part.loader, Object) and part.loader.origin is not None:
        notes.insert(0, Note(Place(part.loader.origin.source, part.loader.origin.node), "the test data"))
    return Finding(
        place,
        f"the test score sees {part.batches:g} batches of the test data: the loop is left after these",
        "it is a figure of the samples that are stored first, and nobody who reads it can tell",
        "evaluate on all of the test data, or say in the figure's name what it was measured on",
        tuple(note for note in notes if note.place.node is not place.node),
        confidence=Confidence.HIGH if part.told.confidence > Confidence.LOW else Confidence.MEDIUM,
    )
