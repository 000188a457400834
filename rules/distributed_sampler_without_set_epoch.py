"""NN107: a distributed sampler that is never told the epoch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.loaders import Use, anchor, given, training_loaders
from nnlint.evidence.repository import is_said
from nnlint.evidence.sample_order import repeated_order
from nnlint.evidence.seeding import is_test
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.scalar import is_loop_dependent, number
from nnlint.symbolic.trace import Build, Run
from nnlint.symbolic.values import Const, Loop, Object, alternatives, resolve_setting

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

TOLD = r"set_epoch|sampler\.epoch\s*="
"""How a repository tells a sampler the epoch, in whatever way it comes by it."""

BY_THEMSELVES = re.compile(
    r"^\s*(?:import|from)\s+(?:accelerate|lightning|pytorch_lightning|lightning_fabric|transformers|ignite|fastai|composer"
    r"|catalyst|mmcv|mmengine|mmdet|deepspeed|determined|ray|colossalai|torchtnt)\b",
    re.MULTILINE,
)
"""Frameworks that tell samplers the epoch."""


@rule(
    "NN107",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("oader",),
    requires=("istributed", "sampler"),
    roots=("DistributedSampler",),
)
def distributed_sampler_without_set_epoch(trace: Trace) -> Iterator[Finding]:
    """A `DistributedSampler` that nothing tells the epoch: every epoch has the same order.

    ## Why it matters
    The processes of a distributed run must agree on who gets which samples, so a `DistributedSampler` draws its order
    from a seed of its own and the number of the epoch. That number is 0 until `set_epoch` is called. Where it never is,
    all epochs have one order: the same batches, on the same processes, again and again. The loader says that it
    shuffles, the run on a single process, where the loader does it itself, was better, and nothing tells why.

    ## Example
    ```python
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel
    from torch.utils.data import DataLoader
    from torch.utils.data.distributed import DistributedSampler
    from torchvision import datasets, transforms

    torch.manual_seed(0)
    dist.init_process_group("gloo")
    train_set = datasets.MNIST("data", train=True, transform=transforms.ToTensor())
    sampler = DistributedSampler(train_set)
    loader = DataLoader(train_set, batch_size=64, sampler=sampler)
    model = DistributedDataParallel(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(28 * 28, 10)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(10):
        for images, labels in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    ```

    ## Use instead
    ```python
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel
    from torch.utils.data import DataLoader
    from torch.utils.data.distributed import DistributedSampler
    from torchvision import datasets, transforms

    torch.manual_seed(0)
    dist.init_process_group("gloo")
    train_set = datasets.MNIST("data", train=True, transform=transforms.ToTensor())
    sampler = DistributedSampler(train_set)
    loader = DataLoader(train_set, batch_size=64, sampler=sampler)
    model = DistributedDataParallel(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(28 * 28, 10)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(10):
        sampler.set_epoch(epoch)
        for images, labels in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    ```

    ## How it is confirmed
    The epochs of the script are begun, three of them, as those of the first of two processes; the process group is
    stood in for. Each time the sampler that the script has built is asked for its order. Confirmed if that is the same
    in every epoch, and another in every epoch where, as a control, the same lines run with the sampler told the epoch.
    Refuted if the orders differ: something else tells the sampler the epoch, or changes its seed. How many samples
    there are may be made up, which is said. No verdict is given where the sampler cannot be built, does not decide the
    order of the loader, or has fewer than four samples for a process, or where only one epoch is gone through.

    ## When it stays silent
    - `set_epoch` is called anywhere in the repository, or an epoch is assigned to a sampler.
    - The sampler does not shuffle (`shuffle=False`), or its order is that of data that are only evaluated.
    - A new sampler is built for every epoch, with a seed that counts them.
    - A framework tells it (Lightning, accelerate, transformers, ignite).
    - There is one epoch only, or none that can be seen.
    """
    if is_test(trace.source.path) or BY_THEMSELVES.search(trace.source.text):
        return
    reported: set[int] = set()
    for use in training_loaders(trace):
        sampler = sampler_of(use)
        build = None if sampler is None else build_of(use.run, sampler)
        place = None if build is None else anchor(trace, build)
        if build is None or place is None or id(place.node) in reported or is_said(trace, TOLD):
            continue
        reported.add(id(place.node))
        yield replace(describe(use, build, place), experiment=partial(repeated_order, use, build, place))


def sampler_of(use: Use) -> Object | None:
    """The distributed sampler that draws the order of a loader, in several epochs."""
    epochs = use.event.context.innermost(Loop.EPOCHS)
    sampler = given(use.loader.arguments.get(3, "sampler"))
    if epochs is None or number(epochs.count) == 1 or sampler is None:
        return None
    for each in alternatives(sampler):
        if isinstance(each, Object) and each.path == "torch.utils.data.DistributedSampler":
            shuffle, seed = resolve_setting(each.arguments.get(3, "shuffle")), each.arguments.get(4, "seed")
            draws = shuffle is None or (isinstance(shuffle, Const) and bool(shuffle.value))
            return each if draws and not is_loop_dependent(seed) and not each.arguments.star else None
    return None


def build_of(run: Run, sampler: Object) -> Build | None:
    """Where a sampler is built."""
    return next((event for event in run.of(Build) if event.value is sampler), None)


def describe(use: Use, build: Build, place: Place) -> Finding:
    """The finding in words."""
    epochs = use.event.context.innermost(Loop.EPOCHS)
    assert epochs is not None
    node = epochs.node
    notes = [
        Note(use.build.place, "the loader takes its order from it"),
        Note(
            Place(epochs.source, node.iter if isinstance(node, cst.For) else node), "the epochs, which it is not told"
        ),
    ]
    return Finding(
        place,
        "nothing calls `set_epoch` of the DistributedSampler: every epoch has the same order",
        "the sampler draws its order from its seed and the epoch, which stays 0",
        "call `sampler.set_epoch(epoch)` at the beginning of each epoch",
        tuple(note for note in notes if note.place.node is not place.node),
        fix(use, build),
        confidence=Confidence.HIGH,
    )


def fix(use: Use, build: Build) -> Fix | None:
    """Tell the sampler before the loop over its batches, where the sampler and the epoch have names there."""
    epochs, loop = use.event.context.innermost(Loop.EPOCHS), use.loop
    if epochs is None or loop is None or not epochs.target or not isinstance(epochs.node, cst.For):
        return None
    name = name_of(build)
    if name is None or not isinstance(loop.node, cst.For) or build.context.calls != use.event.context.calls:
        return None
    if epochs.source is not loop.source or not isinstance(epochs.node.target, cst.Name):
        return None
    return Fix(
        "tell the sampler the epoch",
        (Edit("before", Place(loop.source, loop.node.iter), f"{name}.set_epoch({epochs.target})"),),
    )


def name_of(build: Build) -> str | None:
    """The name that a sampler is bound to by the statement that builds it."""
    for statement in build.place.source.module.body:
        for small in statement.body if isinstance(statement, cst.SimpleStatementLine) else ():
            if isinstance(small, cst.Assign) and small.value is build.place.node and len(small.targets) == 1:
                target = small.targets[0].target
                return target.value if isinstance(target, cst.Name) else None
    return None
