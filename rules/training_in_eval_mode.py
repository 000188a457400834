"""NN212: an evaluation leaves the model in eval mode, and training goes on in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.evaluation import is_unit_test
from nnlint.evidence.mode_layers import mode_layers
from nnlint.evidence.protocol import protocol
from nnlint.evidence.returning import Unreturned, unreturned
from nnlint.rule import Finding, Note, rule
from nnlint.symbolic.values import Loop

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace


@rule(
    "NN212",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=(".eval()", ".train(False)"),
    requires=(".backward(",),
    roots=("^backward$",),
)
def training_in_eval_mode(trace: Trace) -> Iterator[Finding]:
    """A model that an evaluation has put into eval mode is trained on without `train()`.

    ## Why it matters
    In eval mode dropout passes everything on and batch norm uses its running statistics, which it no longer updates.
    From the first evaluation on the model is trained without the regularization that the script asks for, and its
    batch norm is frozen at the statistics of the first epoch. The loss goes on falling, so that nobody notices: it
    even falls faster. Karpathy counts the opposite, a forgotten toggle of train and eval mode, among the most common
    mistakes with neural nets.

    ## Example
    ```python
    import torch
    from torch import nn, optim
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    x = torch.randn(512, 16)
    train_loader = DataLoader(TensorDataset(x[:448], x[:448].sum(1, keepdim=True)), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1))
    optimizer = optim.Adam(model.parameters())
    model.train()
    for epoch in range(20):
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            error = nn.functional.l1_loss(model(x[448:]), x[448:].sum(1, keepdim=True))
        print(epoch, error.item())
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn, optim
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    x = torch.randn(512, 16)
    train_loader = DataLoader(TensorDataset(x[:448], x[:448].sum(1, keepdim=True)), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1))
    optimizer = optim.Adam(model.parameters())
    for epoch in range(20):
        model.train()
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            error = nn.functional.l1_loss(model(x[448:]), x[448:].sum(1, keepdim=True))
        print(epoch, error.item())
    ```

    ## How it is confirmed
    By protocol: a few batches of the script's own loops are run, with the evaluation, and run again with the model in
    train mode whenever a training batch goes through. Confirmed, if it is in train mode before the first `eval()`, and
    in eval mode in a training batch after it, by its own flag or by what it computes; refuted, if all training batches
    after it find it in train mode, and it computes what it does there. It abstains where nothing is trained before or
    after the evaluation, or only a part of the model is in eval mode.

    ## When it stays silent
    - `train()` is called anywhere between the evaluation and the next batch, under a condition or not.
    - The model is trained in eval mode on purpose: nothing is evaluated between `eval()` and the next batch, or only a
      part of the model (a frozen batch norm, a frozen backbone) is in eval mode.
    - What is evaluated is another model: a teacher, a moving average, a copy.
    - The loop ends with the evaluation.
    - A framework sets the mode.

    Of a model in which nothing depends on the mode it is told as an info: the next dropout layer makes it a mistake.
    """
    if is_unit_test(trace.source):
        return
    for case in unreturned(trace):
        yield describe(case)


def describe(case: Unreturned) -> Finding:
    """The finding in words."""
    layers = mode_layers(case.trained.module)
    per = "epoch" if case.loop.kind == Loop.EPOCHS else "round"
    notes = (
        Note(case.evaluated.place, "the model is evaluated here"),
        Note(case.trained.place, f"and trained here in the next {per}, still in eval mode"),
    )
    if layers == "":
        consequence = "nothing in this model depends on the mode; with the first dropout or batch norm it would"
    elif layers is None:
        consequence = "dropout is off and batch norm frozen from then on"
    elif "orm" in layers:
        consequence = f"{layers} keeps the statistics that it has by then"
    else:
        consequence = f"{layers} drops nothing from then on"
    return Finding(
        case.eval_call.place,
        "training goes on in eval mode after this: nothing calls `train()` before the next batch",
        consequence,
        "call `train()` at the start of each epoch, or right after the evaluation",
        notes,
        severity=Severity.INFO if layers == "" else None,
        confidence=Confidence.HIGH if layers else Confidence.MEDIUM,
        experiment=partial(
            protocol, case.run, "mode-after-evaluation", accused=case.trained.place, around=case.eval_call
        ),
    )
