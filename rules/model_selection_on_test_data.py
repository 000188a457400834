"""NN502: the model that is kept was chosen on the test data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Severity
from nnlint.evidence.decisions import Adjustment, Decision, adjustments, decisions, place_of
from nnlint.evidence.figures import Told, told_of
from nnlint.evidence.loaders import anchor
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.values import Object, Value

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Run, Trace


@rule(
    "NN502",
    severity=Severity.INFO,
    since="0.1.0",
    mentions=("best", "Best", "patience", "early_stop", "EarlyStop", "Plateau"),
    requires=("test", "Test", "train=False"),
    roots=("best", "patience", "early_?stop", "Plateau"),
)
def model_selection_on_test_data(trace: Trace) -> Iterator[Finding]:
    """A model that is kept, a run that is ended or a rate that is lowered by a figure measured on the test data.

    ## Why it matters
    The best of fifty test scores is not a test score. Whoever keeps the checkpoint that does best on the test set has
    fitted the choice to it: part of what the figure gained over the epochs before is luck with these very samples, and
    it will not come again on others. The recipe evaluates on the test set only a few times and takes every decision on
    a validation set. How much is lost is small for a large test set and few epochs, and large for small ones.

    ## Example
    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    torch.manual_seed(0)
    train_set = datasets.MNIST("data", train=True, transform=transforms.ToTensor())
    test_set = datasets.MNIST("data", train=False, transform=transforms.ToTensor())
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=1000)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    best = 0.0
    for epoch in range(20):
        model.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in test_loader:
                correct += (model(images).argmax(1) == labels).sum().item()
        accuracy = correct / len(test_set)
        if accuracy > best:
            best = accuracy
            torch.save(model.state_dict(), "best.pt")
    print(f"test accuracy {best:.4f}")
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Subset
    from torchvision import datasets, transforms

    torch.manual_seed(0)
    everything = datasets.MNIST("data", train=True, transform=transforms.ToTensor())
    train_set, valid_set = Subset(everything, range(55_000)), Subset(everything, range(55_000, 60_000))
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    valid_loader = DataLoader(valid_set, batch_size=1000)
    test_set = datasets.MNIST("data", train=False, transform=transforms.ToTensor())
    test_loader = DataLoader(test_set, batch_size=1000)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


    def accuracy(loader):
        model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in loader:
                correct += (model(images).argmax(1) == labels).sum().item()
        return correct / len(loader.dataset)


    best = 0.0
    for epoch in range(20):
        model.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        score = accuracy(valid_loader)
        if score > best:
            best = score
            torch.save(model.state_dict(), "best.pt")
    model.load_state_dict(torch.load("best.pt"))
    print(f"test accuracy {accuracy(test_loader):.4f}")
    ```

    ## How it is confirmed
    It has no experiment: what is said is where a figure comes from, and running it would show nothing more.

    ## When it stays silent
    - The data are a validation split that merely bears the name: its file, path or argument says so (`voc12_val.txt`,
      `split="val"`), or all that is said of them is `train=False` of a data set of the repository.
    - The figure is measured on validation data, also in part, or it cannot be told on what.
    - The test figure is only printed or logged, or decides about something else: not about what is kept, when to stop
      and when `ReduceLROnPlateau` lowers the rate.
    """
    reported: set[int] = set()
    for run in trace.runs:
        choices: list[Decision | Adjustment] = [*decisions(run), *adjustments(run)]
        for choice in choices:
            told = [told_of(item) for item in choice.data]
            roles = [each.role for each in told]
            if "test" not in roles or not {"test", "train"} >= set(roles):
                continue
            place = where(trace, run, choice)
            if place is not None and not {id(choice.loop.node), id(place.node)} & reported:
                reported |= {id(choice.loop.node), id(place.node)}
                number = roles.index("test")
                yield describe(choice, choice.data[number], told[number], place)


def where(trace: Trace, run: Run, choice: Decision | Adjustment) -> Place | None:
    """The place in the file where the figure decides, None if it lies elsewhere."""
    return anchor(trace, choice.event) if isinstance(choice, Adjustment) else place_of(trace, run, choice)


def done(choice: Decision | Adjustment) -> tuple[str, str]:
    """What is decided, and what happens at the place of the event."""
    if isinstance(choice, Adjustment):
        return "the learning rate is lowered", "the rate is lowered here"
    if choice.stops:
        return "training is stopped", "training ends here"
    return "the model that is kept is chosen", "the weights are kept here"


def describe(choice: Decision | Adjustment, data: Value, told: Told, place: Place) -> Finding:
    """The finding in words."""
    what, here = done(choice)
    notes = [Note(choice.event.place, here)]
    if isinstance(data, Object) and data.origin is not None:
        notes.insert(0, Note(Place(data.origin.source, data.origin.node), "the data that the figure is measured on"))
    return Finding(
        place,
        f"{what} by a figure measured on the test data",
        "a test score that has been chosen by is too good, and says little of new data",
        "hold a validation split out of the training data, choose by it, and measure the test data once at the end",
        tuple(note for note in notes if note.place.node is not place.node),
        confidence=told.confidence,
    )
