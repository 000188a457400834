"""NN201: a script trains and draws random numbers, and nothing seeds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.repeating import repetition
from nnlint.evidence.seeding import (
    GLOBAL,
    MENTIONS,
    TRAINS,
    Seeding,
    cause_of,
    seed_before,
    seeding_of,
    seeds_in_words,
    unlike,
)
from nnlint.rule import Finding, Note, Place, rule

if TYPE_CHECKING:
    from nnlint.symbolic.trace import RandomUse, Trace

COMMENTED = re.compile(r"#.*\b(manual_seed\w*|(?:np|numpy|random)(?:\.random)?\.seed|seed_everything|set_seed)\s*\(")
"""A line that would seed if it were no comment."""


@rule(
    "NN201",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=MENTIONS,
    requires=TRAINS,
    roots=(),
)
def missing_seed(trace: Trace) -> Iterator[Finding]:
    """A script that trains draws its weights and the order of its data without a seed.

    ## Why it matters
    Without a seed every run starts from other weights and sees the data in another order, so two runs of the same
    code give two results, and nobody can tell an improvement, or a bug, from luck. Karpathy's recipe puts it among the
    first things of the skeleton: always use a fixed random seed, so that running the code twice gives the same outcome.

    ## Example
    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision.datasets import MNIST
    from torchvision.transforms import ToTensor

    loader = DataLoader(MNIST("data", transform=ToTensor()), batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(5):
        for images, digits in loader:
            loss = nn.functional.cross_entropy(model(images), digits)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision.datasets import MNIST
    from torchvision.transforms import ToTensor

    torch.manual_seed(0)
    loader = DataLoader(MNIST("data", transform=ToTensor()), batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(5):
        for images, digits in loader:
            loss = nn.functional.cross_entropy(model(images), digits)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    ```

    ## How it is confirmed
    What the script builds and draws before it trains (models, loaders, splits, numbers), and every line that might
    seed, is run twice, each time in a process of its own that starts with other generators, another clock and other
    entropy, as two runs of the script would. Confirmed: initial weights, the order of the first samples or numbers
    differ between the two, and a third process that starts like the first agrees with it. Refuted: all of it was
    drawn, and agrees; where a seed is seen to be set, the same lines without it must differ. Data that are not there
    are stood in for by their number of samples; weights that would be loaded count as alike. It abstains where no
    draw is reached, where the three processes differ for another reason, or where training goes on to draw from a
    generator whose states differ, be it for dropout.

    ## When it stays silent
    - The file is no script that trains: a module of definitions, a test, an evaluation, a script whose optimizer is
      never stepped in a loop.
    - A helper seeds, by any name and in any module of the repository, or in a library by a name that speaks of it
      (`seed_everything`, `set_seed`, `fix_random_seed`), also where only an option turns it on.
    - The framework seeds by itself, as the `Trainer` of transformers and `LightningCLI` do.
    - Something is seeded, but not all that is drawn from: that is [partial-seed](NN202).
    - The way to the training loop cannot be followed.
    """
    seeding = seeding_of(trace)
    if seeding is None or not seeding.missing:
        return
    first = next(((draw, cause) for draw in seeding.draws if (cause := cause_of(trace, draw)) is not None), None)
    if first is None:
        return
    draw, cause = first
    built = f"{cause.model} draws its initial weights" if cause.model and "initial weights" in draw.what else draw.what
    drawn = [generator for generator in GLOBAL if seeding.drawn(generator)] or ["torch"]
    yield Finding(
        place=cause.place,
        message=f"this script trains without a seed, and {built}",
        why="each run starts from other numbers, so no two results can be compared",
        advice=f"call {seeds_in_words(drawn)} before the first draw",
        notes=tuple(evidence(seeding, draw)),
        fix=seed_before(seeding, draw, drawn),
        confidence=Confidence.HIGH,
        experiment=partial(repetition, seeding),
    )


def evidence(seeding: Seeding, first: RandomUse) -> Iterator[Note]:
    """The first draw of all, of the weights and of each generator; where training begins; a seed commented out."""
    weights = [draw for draw in seeding.drawn("torch") if "weights" in draw.what]
    each = [draw for generator in GLOBAL for draw in seeding.drawn(generator)[:1]]
    yield from (Note(draw.place, draw.what) for draw in unlike([first, *each, *weights[:1]]))
    yield Note(seeding.trains.place, "the training begins here")
    commented = commented_seed(seeding.trace)
    if commented is not None:
        yield Note(commented[0], f"a seed is commented out here: {commented[1]}")


def commented_seed(trace: Trace) -> tuple[Place, str] | None:
    """A comment of the file that would seed, at the nearest statement that has a place."""
    if not COMMENTED.search(trace.source.text):
        return None
    stack: list[cst.CSTNode] = [trace.source.module]
    while stack:
        node = stack.pop()
        for line in getattr(node, "leading_lines", ()):
            if line.comment is not None and COMMENTED.search(line.comment.value):
                return Place(trace.source, node), line.comment.value.lstrip("# ")
        stack += reversed(node.children)
    return None
