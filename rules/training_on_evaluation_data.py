"""NN109: the optimizer steps on the data that the model is to be judged by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from nnlint.diagnostic import Severity
from nnlint.evidence.figures import Told, told_of
from nnlint.evidence.loaders import anchor
from nnlint.evidence.phases import Phase, phases
from nnlint.evidence.protocol import protocol
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.ancestry import ancestors
from nnlint.symbolic.loops import innermost_source
from nnlint.symbolic.scalar import atoms, is_numeric
from nnlint.symbolic.trace import Backward, Condition, Event, Run, Step
from nnlint.symbolic.values import Carried, Index, Loop, Object, Tensor, Unknown, Value, alternatives
from nnlint.symbolic.words import below

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

ON_PURPOSE = re.compile(
    r"adapt|meta|maml|few_?shot|tta|test_?time|finetune|fine_tune|final|query|transduct|semi|unlabel|attack|fold|"
    r"cross_?val|search|arch|pseudo|incremental|continual|active",
    re.IGNORECASE,
)
"""Names of functions that may well train on what they evaluate."""


@rule(
    "NN109",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("val", "test", "Val", "Test"),
    requires=(".step(", "backward"),
    roots=("^step$", "backward"),
)
def training_on_evaluation_data(trace: Trace) -> Iterator[Finding]:
    """An optimizer that steps on batches of the validation or test data as well as on those for training.

    ## Why it matters
    What a model has been fitted to it knows. A validation figure of data that the optimizer has stepped on is a
    training figure: it falls while the model overfits, chooses the wrong epoch, and promises what new data will not
    keep. It happens by copying: the training loop becomes the validation loop, and `backward` and `step` stay in it, or
    the wrong loader is handed to the function that trains. The recipe's first rule of the skeleton is a figure that
    can be trusted.

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


    def run_epoch(loader):
        total = 0.0
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(inputs)
        return total / len(loader.dataset)


    for epoch in range(10):
        print(f"{epoch}: loss {run_epoch(train_loader):.4f}, validation loss {run_epoch(valid_loader):.4f}")
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


    def run_epoch(loader, train):
        model.train(train)
        total = 0.0
        for inputs, targets in loader:
            with torch.set_grad_enabled(train):
                loss = nn.functional.mse_loss(model(inputs), targets)
            if train:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += loss.item() * len(inputs)
        return total / len(loader.dataset)


    for epoch in range(10):
        print(f"{epoch}: {run_epoch(train_loader, train=True):.4f} {run_epoch(valid_loader, train=False):.4f}")
    ```

    ## How it is confirmed
    The script's own loops are run for a few batches of a few epochs, and each step of its optimizers is written down
    with the parameters that it moves. It is confirmed if steps that are made while the loop goes over the evaluation
    data move parameters that the same optimizer moves on the training data. It is refuted if none does though those on
    the training data do, or if the weights and what the optimizer remembers are put back before training goes on. It
    abstains where no such step is reached, only the weights are put back, or the lines do not run.

    ## When it stays silent
    - Another optimizer steps there: the weights of an architecture search, of a test-time adaptation, of an attack.
    - The steps on training data are over: the last fit on all data once everything has been chosen.
    - Folds take turns in cross-validation, or the step is one of meta-learning on its query set.
    - Whether the step is made depends on something that the reading does not know, such as a flag or the phase.
    - It cannot be told that the data are for evaluation.
    """
    reported: set[int] = set()
    for run in trace.runs:
        for lesson in lessons(run):
            place = anchor(trace, lesson.step)
            shared = lesson.step.place.node is lesson.elsewhere.place.node
            if shared:
                place = _call(trace, lesson) or place
            if place is not None and id(place.node) not in reported:
                reported.add(id(place.node))
                experiment = partial(protocol, run, "trained-on-evaluation", accused=place, around=lesson.step)
                yield replace(describe(lesson, place), experiment=experiment)


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """A step on evaluation data in ``loop``; ``elsewhere`` is one of the same optimizer on training data."""

    step: Step
    loop: Loop
    told: Told
    elsewhere: Step


def lessons(run: Run) -> Iterator[Lesson]:
    """The steps of a run on evaluation data, in a loop that goes over training data as well."""
    trained = [
        (phase, step)
        for phase in phases(run)
        if phase.trains and told_of(phase.loop.iterates).role == "train"
        for step in phase.events
        if isinstance(step, Step)
    ]
    for phase in phases(run) if trained else ():
        told = told_of(phase.loop.iterates)
        if told.role not in ("validation", "test") or _is_on_purpose(phase):
            continue
        step = next((event for event in phase.events if isinstance(event, Step) and _is_sure(event, phase)), None)
        if step is None or not _learns_from(phase):
            continue
        for other, elsewhere in trained:
            if _is_same(step.optimizer, elsewhere.optimizer) and _shared_loop(step, elsewhere, phase, other):
                yield Lesson(step, phase.loop, told, elsewhere)
                break


def _is_same(one: Value, other: Value) -> bool:
    """Whether two optimizers are surely the same."""
    return one is other and isinstance(one, (Object, Unknown)) and len(alternatives(one)) == 1


def _shared_loop(step: Event, elsewhere: Event, phase: Phase, other: Phase) -> bool:
    """Whether both steps are made in the rounds of one loop around, and neither loop lies inside the other."""
    if phase.loop in elsewhere.context.loops or other.loop in step.context.loops:
        return False
    return any(loop in elsewhere.context.loops for loop in step.context.loops)


def _is_on_purpose(phase: Phase) -> bool:
    names = [site.function.name for event in phase.events[:1] for site in event.context.calls]
    return any(ON_PURPOSE.search(name) for name in names)


def _is_sure(step: Step, phase: Phase) -> bool:
    """Whether a step is made in every round, or in every so many."""
    outside = {id(each.test) for each in _around(phase)}
    return all(
        id(condition.test) in outside or any(isinstance(atom, (Index, Carried)) for atom in _atoms(condition.test))
        for condition in step.context.conditions
    )


def _atoms(test: Value) -> list[Value]:
    return list(atoms(test)) if is_numeric(test) else []


def _around(phase: Phase) -> list[Condition]:
    """The conditions under which the loop as a whole is run."""
    inside = {id(node) for node in below(phase.loop.node)}
    called = [site for event in phase.events for site in event.context.calls if id(site.place.node) in inside]
    inside.update(
        id(node) for site in {id(site): site for site in called}.values() for node in below(site.function.node)
    )
    conditions = phase.events[0].context.conditions
    return [condition for condition in conditions if id(condition.place.node) not in inside]


def _learns_from(phase: Phase) -> bool:
    """Whether the loss is computed from the batches of the loop."""
    source = innermost_source(phase.loop.iterates or Unknown())
    return any(
        isinstance(value, (Unknown, Tensor))
        and value.batch is not None
        and innermost_source(value.batch.loader) is source
        for event in phase.events
        if isinstance(event, Backward)
        for value in ancestors(event.loss)
    )


# --- what is said ----------------------------------------------------------------------------------------------------


def _call(trace: Trace, lesson: Lesson) -> Place | None:
    """Where the loader is handed to a function that trains on the right one as well."""
    known = {id(site.place.node) for site in lesson.elsewhere.context.calls}
    for site in lesson.step.context.calls:
        if id(site.place.node) not in known and site.place.source is trace.source:
            return site.place
    return None


def describe(lesson: Lesson, place: Place) -> Finding:
    """The finding in words."""
    split = "validation" if lesson.told.role == "validation" else "test"
    notes = [Note(lesson.step.place, f"the optimizer steps on the {split} data here")]
    if lesson.elsewhere.place.node is not lesson.step.place.node:
        notes.insert(0, Note(lesson.elsewhere.place, "and on the training data here"))
    return Finding(
        place,
        f"the model is trained on the {split} data: the optimizer steps on their batches as on those for training",
        f"a figure of the {split} data then says how well the model remembers, not what it will do on new data",
        f"leave `backward` and `step` out while going over the {split} data, under `torch.no_grad()`",
        tuple(note for note in notes if note.place.node is not place.node),
        confidence=lesson.told.confidence,
    )
