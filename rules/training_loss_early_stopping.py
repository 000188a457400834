"""NN407: the checkpoint that is kept, or the end of the run, is decided by the training loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.decisions import Decision, decisions, place_of
from nnlint.evidence.figures import learning_loops, told_of
from nnlint.evidence.phases import phases
from nnlint.rule import Finding, Note, rule
from nnlint.symbolic.loops import innermost_source
from nnlint.symbolic.trace import Forward, Run
from nnlint.symbolic.values import Unknown, Value

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace


@rule(
    "NN407",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("best", "Best", "patience", "early_stop", "EarlyStop"),
    requires=("val", "Val", "test", "Test", "dev"),
    roots=("best", "patience", "early_?stop"),
)
def training_loss_early_stopping(trace: Trace) -> Iterator[Finding]:
    """A checkpoint that is kept, or a run that is ended, by the training loss although validation data are at hand.

    ## Why it matters
    Early stopping is a regularizer: it ends the run where the model begins to fit what is particular to the training
    data. The training loss cannot tell: it goes on falling, so that the "best" model by it is the last and most
    overfitted one, and a patience that waits for it to rise waits for ever. The recipe stops by the validation loss,
    just as the model is about to overfit.

    ## Example
    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    train_loader = DataLoader(TensorDataset(torch.randn(4096, 10), torch.randn(4096, 1)), batch_size=64, shuffle=True)
    valid_loader = DataLoader(TensorDataset(torch.randn(1024, 10), torch.randn(1024, 1)), batch_size=64)
    model = nn.Linear(10, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    best_loss = float("inf")
    for epoch in range(100):
        model.train()
        train_loss = 0.0
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * len(inputs)
        model.eval()
        valid_loss = 0.0
        with torch.no_grad():
            for inputs, targets in valid_loader:
                valid_loss += nn.functional.mse_loss(model(inputs), targets, reduction="sum").item()
        print(f"{epoch}: {train_loss / 4096:.4f} {valid_loss / 1024:.4f}")
        if train_loss < best_loss:
            best_loss = train_loss
            torch.save(model.state_dict(), "best.pt")
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    train_loader = DataLoader(TensorDataset(torch.randn(4096, 10), torch.randn(4096, 1)), batch_size=64, shuffle=True)
    valid_loader = DataLoader(TensorDataset(torch.randn(1024, 10), torch.randn(1024, 1)), batch_size=64)
    model = nn.Linear(10, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    best_loss = float("inf")
    for epoch in range(100):
        model.train()
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
        model.eval()
        valid_loss = 0.0
        with torch.no_grad():
            for inputs, targets in valid_loader:
                valid_loss += nn.functional.mse_loss(model(inputs), targets, reduction="sum").item()
        if valid_loss < best_loss:
            best_loss = valid_loss
            torch.save(model.state_dict(), "best.pt")
    ```

    ## How it is confirmed
    It has no experiment: what is said is where a figure comes from, and running it would show nothing more.

    ## When it stays silent
    - The run evaluates on no other data: there is nothing better to decide by.
    - Another checkpoint is chosen, or the end decided, by a figure of the validation data.
    - The figure is measured on validation data as well, or it cannot be told on what.
    - The data are held out and only their name speaks of training.
    """
    reported: set[int] = set()
    for run in trace.runs:
        taken = list(decisions(run))
        if not evaluates(run) or not all(is_of_training(run, decision) for decision in taken):
            continue
        for decision in taken:
            place = place_of(trace, run, decision)
            if place is None or {id(decision.loop.node), id(place.node)} & reported:
                continue
            reported |= {id(decision.loop.node), id(place.node)}
            ends = "training ends here" if decision.stops else "the weights are kept here"
            what = "training is stopped" if decision.stops else "the model that is kept is chosen"
            yield Finding(
                place,
                f"{what} by a figure of the training data, though the run evaluates on others",
                "the training loss goes on falling while the model overfits, and cannot tell when to stop",
                "decide by the figure of the validation data",
                (Note(decision.event.place, ends),) if decision.event.place.node is not place.node else (),
                confidence=Confidence.HIGH,
            )


def evaluates(run: Run) -> bool:
    """Whether a run evaluates on data that are not for training."""
    return any(
        not phase.trains
        and told_of(phase.loop.iterates).role in ("validation", "test")
        and any(isinstance(event, Forward) for event in phase.events)
        for phase in phases(run)
    )


def is_of_training(run: Run, decision: Decision) -> bool:
    """Whether a figure was gathered while the model learned, and from nothing else."""
    return all(_is_learned(run, item) and told_of(item).role in ("train", None) for item in decision.data)


def _is_learned(run: Run, data: Value) -> bool:
    """Whether the loops over data are those in which the model learns."""
    loops = {
        id(loop)
        for event in run.events
        for loop in event.context.loops
        if innermost_source(loop.iterates or Unknown()) is data
    }
    return bool(loops) and loops <= learning_loops(run)
