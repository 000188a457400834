"""NN601: a run that ends at its first plateau."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.decisions import Decision, compared, decisions, place_of
from nnlint.evidence.figures import everything_in
from nnlint.evidence.stoppers import stoppers
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.scalar import atoms, is_numeric, number
from nnlint.symbolic.values import Carried, Index, Loop, Operation, Value, alternatives

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

SHORT = 3
"""Epochs without progress that a plateau easily lasts."""

LONG = 20
"""Epochs of a run that is meant to be long."""


@rule(
    "NN601",
    severity=Severity.INFO,
    since="0.1.0",
    mentions=("break", "EarlyStopping"),
    requires=("patience", "best", "early", "counter", "wait", "no_improve", "not_improve", "EarlyStopping"),
    roots=("patience", "best", "early_?stop", "improve", "EarlyStopping"),
)
def hasty_early_stopping(trace: Trace) -> Iterator[Finding]:
    """Early stopping with so short a patience that a plateau ends the run.

    ## Why it matters
    Figures of a validation set go up and down by chance, and stand still for epochs before they fall again: after a
    step of the learning rate, while a warm-up lasts, before the network has found a feature. A run that ends at the
    first few epochs without progress ends in one of these. The recipe's last advice is to leave it training: networks
    keep getting better for unintuitively long, and the best checkpoint is kept anyway.

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
    best_loss, waited = float("inf"), 0
    for epoch in range(200):
        model.train()
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
        model.eval()
        loss = 0.0
        with torch.no_grad():
            for inputs, targets in valid_loader:
                loss += nn.functional.mse_loss(model(inputs), targets, reduction="sum").item()
        if loss < best_loss:
            best_loss, waited = loss, 0
            torch.save(model.state_dict(), "best.pt")
        else:
            waited += 1
        if waited >= 2:
            break
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
    best_loss, waited = float("inf"), 0
    for epoch in range(200):
        model.train()
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
        model.eval()
        loss = 0.0
        with torch.no_grad():
            for inputs, targets in valid_loader:
                loss += nn.functional.mse_loss(model(inputs), targets, reduction="sum").item()
        if loss < best_loss:
            best_loss, waited = loss, 0
            torch.save(model.state_dict(), "best.pt")
        else:
            waited += 1
        if waited >= 30:
            break
    ```

    ## How it is confirmed
    It has no experiment: only the whole run on the real data could show what more epochs would have brought.

    ## When it stays silent
    - The patience is longer than three epochs, or it cannot be told how long it is by default.
    - The run is short by itself (fewer than twenty epochs), or its length is not known.
    - The figure is measured every so many epochs, so that the patience counts longer spans, or every so many steps,
      or the run lasts for some epochs in any case (`min_epochs` of Lightning).

    The callbacks of Lightning, transformers, fastai, skorch and poutyne are read in the same way, with their own
    patience where none is given (3 epochs in Lightning, 1 in transformers and fastai).
    """
    reported: set[int] = set()
    for run in trace.runs:
        for decision in decisions(run):
            epochs, patience = number(decision.loop.count), patience_of(decision)
            if not decision.stops or patience is None or decision.loop.kind != Loop.EPOCHS or is_at_intervals(decision):
                continue
            if epochs is None or epochs < LONG or not 1 <= patience <= SHORT:
                continue
            place = place_of(trace, run, decision)
            if place is not None and id(place.node) not in reported:
                reported.add(id(place.node))
                yield describe(decision.event.place, place, patience, epochs)
        for stopper in stoppers(run):
            origin = stopper.callback.origin
            if stopper.epochs < LONG or stopper.patience > SHORT or origin is None or id(origin.node) in reported:
                continue
            if origin.source is trace.source:
                reported.add(id(origin.node))
                place = Place(origin.source, origin.node)
                yield describe(place, place, stopper.patience, stopper.epochs, by_default=not stopper.given)


def patience_of(decision: Decision) -> float | None:
    """How many rounds without progress end the run by default."""
    for item in everything_in(decision.condition.test):
        sides = compared(item, "==")
        if sides is not None and _is_counter(sides[0]):
            bound = number(sides[1])
            op = item.op if isinstance(item, Operation) else "" if item.origin is None else item.origin.op
            if bound is not None and op in (">", ">=", "=="):
                return bound + (op == ">")
    return None


def _is_counter(value: Value) -> bool:
    """Whether a number grows by one from round to round, or begins anew."""
    for side in alternatives(value):
        grown = isinstance(side, Operation) and side.op == "+" and number(side.args[1]) == 1
        base = side.args[0] if isinstance(side, Operation) and grown else side
        if isinstance(base, Carried) and base.update is not None:
            return any(
                isinstance(item, Operation) and item.op == "+" and item.args[0] is base and number(item.args[1]) == 1
                for item in everything_in(base.update)
            )
    return False


def is_at_intervals(decision: Decision) -> bool:
    """Whether the figure is looked at in some of the rounds only."""
    return any(
        isinstance(atom, Index)
        for condition in decision.event.context.conditions
        if is_numeric(condition.test)
        for atom in atoms(condition.test)
    )


def describe(end: Place, place: Place, patience: float, epochs: float, *, by_default: bool = False) -> Finding:
    """The finding in words; ``by_default``: nobody has given the patience."""
    spans = "epoch" if patience == 1 else "epochs"
    whose = ", as is the default of this callback" if by_default else ""
    ends = "ends" if patience == 1 else "end"
    notes = [Note(end, "training ends here")]
    return Finding(
        place,
        f"{patience:g} {spans} without progress {ends} a run of {epochs:g} epochs{whose}",
        "a plateau, or the chance in the figure, easily lasts as long",
        "keep the best checkpoint and leave it training: a patience of tens of epochs costs little",
        tuple(note for note in notes if note.place.node is not place.node),
        confidence=Confidence.MEDIUM,
    )
