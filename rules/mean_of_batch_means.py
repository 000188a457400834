"""NN214: a metric that averages the means of batches, the last of which is smaller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.figures import (
    bare,
    is_evaluation_loop,
    loops_over,
    measured_on,
    summands,
    told_of,
)
from nnlint.evidence.loaders import LOADERS, anchor, given
from nnlint.evidence.passes import evaluation_pass, gone_over, term_of
from nnlint.evidence.reductions import MEANS, reduction_of
from nnlint.evidence.samples import count_of_samples
from nnlint.evidence.seeding import contains
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.loops import innermost_source
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Average, Loss, Run
from nnlint.symbolic.values import (
    Carried,
    Choice,
    Const,
    Loop,
    Object,
    Operation,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
)
from nnlint.symbolic.words import below

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

MEAN = frozenset((".mean", "torch.mean", "numpy.mean", "numpy.average"))


@rule(
    "NN214",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("len(", "mean(", "avg", "+= 1", "average"),
    requires=("loader", "Loader"),
    roots=("eval", "valid", "^val", "^test$", r"test_?(\w+_)?(data|dl|epoch|gen|iter|loader|model|set)", "_test$"),
)
def mean_of_batch_means(trace: Trace) -> Iterator[Finding]:
    """A metric that averages the means of batches although the last batch is smaller than the others.

    ## Why it matters
    The recipe asks for figures one can trust: evaluate the loss over the whole test set, do not average it over
    batches. A validation set of 1,010 samples in batches of 100 has a last batch of ten, and in the mean of the eleven
    batch means each of these ten counts as much as ten others. The figure also depends on the batch size: change it,
    and the same model has another score. With losses that are a mean over words or boxes the weights are uneven in
    every batch.

    ## Example
    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    train_loader = DataLoader(TensorDataset(torch.randn(4096, 10), torch.randn(4096, 1)), batch_size=64, shuffle=True)
    valid_loader = DataLoader(TensorDataset(torch.randn(1010, 10), torch.randn(1010, 1)), batch_size=100)
    model = nn.Linear(10, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(10):
        model.train()
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
        model.eval()
        total = 0.0
        with torch.no_grad():
            for inputs, targets in valid_loader:
                total += nn.functional.mse_loss(model(inputs), targets).item()
        print(f"mean squared error {total / len(valid_loader):.4f}")
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    train_loader = DataLoader(TensorDataset(torch.randn(4096, 10), torch.randn(4096, 1)), batch_size=64, shuffle=True)
    valid_loader = DataLoader(TensorDataset(torch.randn(1010, 10), torch.randn(1010, 1)), batch_size=100)
    model = nn.Linear(10, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(10):
        model.train()
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
        model.eval()
        total = 0.0
        with torch.no_grad():
            for inputs, targets in valid_loader:
                total += nn.functional.mse_loss(model(inputs), targets, reduction="sum").item()
        print(f"mean squared error {total / len(valid_loader.dataset):.4f}")
    ```

    A batch mean times `len(inputs)`, summed and divided by the number of samples, is the same figure.

    ## How it is confirmed
    By protocol: the script's own evaluation goes through all batches of its loader, and it is written down how many
    samples each has, what is added to the total for it, and which figure comes of it; then once more with a batch size
    that divides the samples, where all batches are alike. Confirmed, if the figure is the mean of the batch means and
    not the mean over the samples, which are one where the batches are alike; refuted, if all batches have one size as
    they come, or the figure is the mean over the samples. Batches that cannot be loaded are stood in for, with their
    sizes. It abstains where nobody knows how many samples there are, and shows what a number makes of the figure that
    the batch size does not divide; and where the batch size is not known, batches are passed over, or it is neither.

    ## When it stays silent
    - Each batch is weighted by its size, or sums are divided by the number of samples.
    - All batches are alike: `drop_last=True`, a batch size of one, or one that divides the number of samples.
    - The figure is a monitor of training: it is gathered while the model learns, or from training data.
    - It is the running mean of a progress bar, shown inside the loop.
    - The loader is not built in sight, or what is averaged cannot be told to be a mean over the batch.
    """
    reported: set[int] = set()
    for run in trace.runs:
        for mean in means(run):
            place = _place(trace, mean)
            if place is None:
                continue
            figures = {id(place.node), id(place.node if mean.loop is None else mean.loop.node)}
            if not figures & reported:
                reported |= figures
                yield describe(run, mean, place)


@dataclass(frozen=True, slots=True, eq=False)
class Mean:
    """An average over the rounds of a loop; ``loader`` is what the loop goes over."""

    event: Average
    summand: Value
    loop: Loop | None
    loader: Object


def means(run: Run) -> Iterator[Mean]:
    """The means of batch means that a run computes while it evaluates."""
    losses = {id(event.result): event for event in run.of(Loss)}
    for event in run.of(Average):
        for loop, summand in summands(event):
            loader = _loader(loop, summand)
            if loop is None and (loader is None or not _is_once_a_batch(run, loader, summand)):
                continue
            if loader is None or not _counts_rounds(event, loop, loader) or not _is_batch_mean(summand, losses):
                continue
            if is_ragged(loader) and _is_evaluation(run, loader, loop):
                yield Mean(event, summand, loop, loader)
                break


# --- what is averaged ------------------------------------------------------------------------------------------------


def _is_batch_mean(value: Value, losses: dict[int, Loss], depth: int = 6) -> bool:
    """Whether a number is surely a mean over the samples of a batch."""
    value = bare(value)
    loss = losses.get(id(value))
    if loss is not None:
        return reduction_of(loss) in MEANS
    args = value.args if isinstance(value, Operation) else () if value.origin is None else value.origin.inputs
    op = value.op if isinstance(value, Operation) else "" if value.origin is None else value.origin.op
    if depth == 0 or isinstance(value, Choice):
        return False
    if op in MEAN and len(args) == 1 and isinstance(args[0], (Tensor, Unknown)):
        whole = losses.get(id(bare(args[0])))
        return (
            whole is None or reduction_of(whole) in MEANS or (isinstance(args[0], Tensor) and args[0].shape.rank != 0)
        )
    if op == "+":
        return len(args) == 2 and all(_is_batch_mean(part, losses, depth - 1) for part in args)
    if op in ("*", "/") and len(args) == 2:
        scaled, scale = (args[1], args[0]) if op == "*" and isinstance(args[0], Const) else args
        if number(scale) is not None:
            return _is_batch_mean(scaled, losses, depth - 1)
        return op == "/" and _is_batch_size(scale)
    return False


def _is_batch_size(value: Value) -> bool:
    """Whether a number is the size of the first axis of what a loader yields."""
    if not isinstance(value, Symbol) or value.of is None or value.axis not in (None, 0):
        return False
    return isinstance(value.of, (Unknown, Tensor)) and value.of.batch is not None


def _counts_rounds(event: Average, loop: Loop | None, loader: Object) -> bool:
    """Whether the total is divided by the number of batches."""
    count = event.count
    if count is None:
        return True
    if isinstance(count, Symbol) and count.of is not None:
        return count.of is loader or isinstance(count.of, Sequence)
    if isinstance(count, Symbol) and count.origin is not None and count.origin.op == "left":
        count = count.origin.inputs[0]
    if isinstance(count, Carried) and count.update is not None:
        count = count.update
    if not isinstance(count, Operation) or count.op != "+":
        return False
    carried, step = count.args
    return isinstance(carried, Carried) and carried.loop is loop and number(step) == 1


# --- over which data -------------------------------------------------------------------------------------------------


def _loader(loop: Loop | None, summand: Value) -> Object | None:
    """The loader that the loop goes over, and whose batches the summand is computed from."""
    data = [item for item in measured_on(summand) if isinstance(item, Object) and item.kind == "loader"]
    if loop is not None:
        source = innermost_source(loop.iterates or Unknown())
        return source if isinstance(source, Object) and any(item is source for item in data) else None
    return data[0] if len(data) == 1 else None


def is_ragged(loader: Object) -> bool:
    """Whether the last batch of a loader may be smaller than the others, as far as the script says."""
    arguments = loader.arguments
    if loader.path not in LOADERS or arguments.star or given(arguments.get(4, "batch_sampler")) is not None:
        return False
    drop_last, batch_size = arguments.get(8, "drop_last"), given(arguments.get(1, "batch_size"))
    if drop_last is not None and not (isinstance(drop_last, Const) and not drop_last.value):
        return False
    size = number(batch_size)
    if batch_size is None or size == 1:
        return False
    samples = count_of_samples(arguments.get(0, "dataset"))
    return samples is None or size is None or (size < samples and samples % size != 0)


def _is_once_a_batch(run: Run, loader: Object, summand: Value) -> bool:
    """Whether what is put into a list is computed in the loop over a loader, and not in one inside it."""
    if summand.origin is None:
        return False
    for loop in loops_over(run, loader):
        if isinstance(loop.node, cst.For):
            inner = [node for node in below(loop.node.body) if isinstance(node, (cst.For, cst.While, cst.CompFor))]
            if any(contains(node, summand.origin.node) for node in inner):
                return False
    return True


def _is_evaluation(run: Run, loader: Object, loop: Loop | None) -> bool:
    role = told_of(loader).role
    return role != "train" and is_evaluation_loop(run, loader, loop, held_out=role is not None)


# --- what is said ----------------------------------------------------------------------------------------------------


def _place(trace: Trace, mean: Mean) -> Place | None:
    """The division; for a meter the call that hands it the figure. None for what is only shown in the loop."""
    event = mean.event
    if mean.loop is None or mean.loop not in event.context.loops:
        return anchor(trace, event)
    for site in event.context.calls:
        if site.function.owner is not None and site.function.name in ("update", "add", "append", "__call__"):
            return site.place if site.place.source is trace.source else None
    return None


def describe(run: Run, mean: Mean, place: Place) -> Finding:
    """The finding in words."""
    loader = mean.loader
    size = number(loader.arguments.get(1, "batch_size"))
    samples = count_of_samples(loader.arguments.get(0, "dataset"))
    last = "which may be smaller"
    if samples is not None and size:
        last = f"which has {samples % int(size)} samples where the others have {int(size)}"
    notes = []
    if loader.origin is not None:
        notes.append(Note(Place(loader.origin.source, loader.origin.node), "the loader keeps a smaller last batch"))
    if mean.summand.origin is not None:
        notes.append(Note(Place(mean.summand.origin.source, mean.summand.origin.node), "the mean over one batch"))
    return Finding(
        place,
        f"a mean of batch means: it counts the last batch, {last}, as much as any other",
        "the figure depends on the batch size and is not the mean over the samples",
        "sum over samples: weight each batch mean by the size of its batch and divide by the number of samples",
        tuple(note for note in notes if note.place.node is not place.node),
        confidence=Confidence.HIGH if samples is not None else Confidence.MEDIUM,
        experiment=partial(experiment, run, mean),
    )


def experiment(run: Run, mean: Mean) -> Experiment | None:
    """The loop with its figure; None where the mean over a batch is nowhere written by itself."""
    loops = (mean.loop,) if mean.loop is not None else loops_over(run, mean.loader)
    asked = next((place for loop in loops if (place := gone_over(loop)) is not None), None)
    term = term_of(mean.event, mean.loop, mean.summand)
    if asked is None or term is None:
        return None
    return evaluation_pass(
        run,
        "unweighted-mean",
        loader=mean.loader,
        asked=asked,
        score=mean.event.place,
        event=mean.event,
        watches=(Watch("term", term),),
        settings={"batch_size": number(mean.loader.arguments.get(1, "batch_size"))},
    )
