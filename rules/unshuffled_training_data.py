"""NN106: a training loader that gives the samples in the order in which they are stored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.leaves import leaves
from nnlint.evidence.loaders import Use, anchor, datasets, given, has_items, training_loaders
from nnlint.evidence.sample_order import stored_order
from nnlint.evidence.seeding import is_test
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.ancestry import ancestors
from nnlint.symbolic.trace import Forward
from nnlint.symbolic.values import Const, Instance, Object, Sequence, Symbol, Value, resolve_setting

if TYPE_CHECKING:
    from nnlint.source import Source
    from nnlint.symbolic.trace import Trace

SHUFFLED = re.compile(
    r"\bshuffle\w*\s*\(|permutation\s*\(|randperm|train_test_split|random_split|\.sample\(|SubsetRandom|[Ss]treaming"
    r"|ShuffleSplit|KFold"
)
"""Words of a file that brings the samples into a random order itself, or cannot."""

DRAWS = re.compile(r"\b(randint|randrange|choice|choices|sample)\s*\(")
"""How a dataset draws which sample it gives, whatever it is asked for."""

MADE_UP = frozenset("torch.randn torch.rand torch.randint torch.normal numpy.random.randn numpy.random.rand".split())
"""Functions whose numbers have no order that could be kept."""


@rule(
    "NN106", severity=Severity.WARNING, since="0.1.0", mentions=("oader",), requires=("train",), roots=("DataLoader",)
)
def unshuffled_training_data(trace: Trace) -> Iterator[Finding]:
    """A training loader that neither shuffles nor samples: every epoch goes through the data in their stored order.

    ## Why it matters
    Data sets are stored class by class, patient by patient, day by day. Read in that order a batch holds what lies
    together, its gradient is not the one of the data but of a corner of them, and the statistics of batch norm are
    those of that corner. The network unlearns in the second half of the epoch what the first has taught it. Even where
    the order is harmless all epochs have the same batches. `DataLoader` does not shuffle unless it is asked to. The
    recipe's first step is to look at the data; what a batch holds is part of that.

    ## Example
    ```python
    import torch
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    torch.manual_seed(0)
    train_set = datasets.ImageFolder("data/train", transforms.Compose([transforms.Resize(64), transforms.ToTensor()]))
    train_loader = DataLoader(train_set, batch_size=64)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 64, 10))
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(10):
        for images, labels in train_loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    ```

    ## Use instead
    ```python
    import torch
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    torch.manual_seed(0)
    train_set = datasets.ImageFolder("data/train", transforms.Compose([transforms.Resize(64), transforms.ToTensor()]))
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 64, 10))
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(10):
        for images, labels in train_loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    ```

    ## How it is confirmed
    The epochs of the script are begun, three of them, and each time it is written down for which samples its own loader
    asks, and which ones the data set gives. Confirmed if these are 0, 1, 2, … in every epoch, and the data set keeps
    them where they are. The same lines run twice more as controls: with the loader built with `shuffle=True`, which
    must be seen to ask for another order in every epoch, and with all seeds of the script moved, which must change
    nothing. Refuted if the order changes from one epoch to the next, be it by the data set's own doing, if it is
    another one with other seeds, because the samples were shuffled when they were loaded, or if one batch holds them
    all. Augmentation does not hide which sample it is: all of them are looked at with the same draws. Of a framework
    the method is asked for its loader, which is gone through as it is.

    Files that are not there are stood in for, and that is said: folders list made-up names, data sets of torchvision
    have only their length, and a sample is known by its file or its number. No verdict is given where the loader cannot
    be built, where it is not seen which samples the data set gives, or where only one epoch is gone through.

    ## When it stays silent
    - A sampler or batch sampler decides the order, or an option of the script decides whether the loader shuffles.
    - The data decide it: an `IterableDataset`, a data set that draws which sample it gives.
    - The samples were shuffled when they were loaded or split (`random.shuffle`, `random_split`, `train_test_split`).
    - The order must be kept: what the model returned for one batch is given to it with the next.
    - The numbers are made up (`torch.randn`), or a batch holds all of them.
    - It cannot be seen that the loader is trained on, epoch after epoch.
    """
    if is_test(trace.source.path):
        return
    reported: set[int] = set()
    for use in training_loaders(trace):
        place = anchor(trace, use.build)
        if place is None or id(place.node) in reported or not keeps_order(use) or is_harmless(trace, use):
            continue
        reported.add(id(place.node))
        yield replace(describe(use, place), experiment=partial(stored_order, use, place))


def keeps_order(use: Use) -> bool:
    """Whether it is sure that a loader reads its samples one after another."""
    arguments = use.loader.arguments
    shuffle = arguments.get(2, "shuffle")
    told = isinstance(shuffle, Const) and not shuffle.value
    if arguments.star or not (told or shuffle is None):
        return False
    if given(arguments.get(3, "sampler")) is not None or given(arguments.get(4, "batch_sampler")) is not None:
        return False
    kinds = [has_items(dataset) for dataset in datasets(use.loader)]
    return bool(kinds) and (all(kinds) or (told and False not in kinds))


def is_harmless(trace: Trace, use: Use) -> bool:
    """Whether there is no order that could be kept, or a reason to keep it."""
    batch_size = use.loader.arguments.get(1, "batch_size")
    if any(isinstance(leaf, Symbol) for leaf in leaves(batch_size)) or any(
        SHUFFLED.search(text) for text in texts(trace, use)
    ):
        return True
    return any(map(is_made_up, datasets(use.loader))) or carries_state(use)


def texts(trace: Trace, use: Use) -> Iterator[str]:
    """The code that loads the samples, without comments."""
    sources: dict[int, Source] = {id(trace.source): trace.source, id(use.build.place.source): use.build.place.source}
    for dataset in datasets(use.loader):
        if isinstance(dataset, Instance):
            for cls in dataset.cls.lineage():
                source = cls.frame.module.source
                sources[id(source)] = source
    for source in sources.values():
        yield re.sub(r"#.*", "", source.text)


def is_made_up(dataset: Value) -> bool:
    """Whether the samples were drawn by the script, or are drawn each time one is asked for."""
    if isinstance(dataset, Instance):
        getter = dataset.cls.lookup("__getitem__")
        node = getattr(getter, "node", None)
        return isinstance(node, cst.FunctionDef) and ignores_index(dataset, node)
    if isinstance(dataset, Object) and dataset.name == "FakeData":
        return True
    if isinstance(dataset, (Object, Sequence)):
        return any(item.origin is not None and item.origin.op in MADE_UP for item in ancestors(dataset))
    return False


def ignores_index(dataset: Instance, getter: cst.FunctionDef) -> bool:
    """Whether a dataset gives another sample than the one it is asked for: one that it draws, or the same always."""
    code = dataset.cls.frame.module.source.module.code_for_node(getter.body)
    asked = [param.name.value for param in getter.params.params[1:2]]
    return DRAWS.search(code) is not None or not any(re.search(rf"\b{name}\b", code) for name in asked)


def carries_state(use: Use) -> bool:
    """Whether a model is given what one returned for the batch before."""
    loop = use.loop
    if loop is None or loop.reread is None:
        return False
    earlier: set[int] = set()
    for position, event in enumerate(use.run.events):
        if not isinstance(event, Forward) or loop not in event.context.loops:
            continue
        if position < loop.reread:
            parts = event.result.items if isinstance(event.result, Sequence) else ()
            earlier.update(map(id, (event.result, *parts)))
        else:
            inputs = (*event.arguments.positional, *event.arguments.keywords.values())
            if any(id(item) in earlier for value in inputs for item in ancestors(value)):
                return True
    return False


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(use: Use, place: Place) -> Finding:
    """The finding in words."""
    node = use.build.place.node
    shuffle = resolve_setting(use.loader.arguments.get(2, "shuffle"))
    how = (
        "`shuffle` is not given"
        if shuffle is None
        else f"`shuffle={shuffle.value!r}`"
        if isinstance(shuffle, Const)
        else ""
    )
    notes = [
        Note(
            use.event.place,
            "it is returned for training here" if use.loop is None else "the optimizer steps on its batches",
        )
    ]
    if place.node is not node:
        notes.insert(0, Note(use.build.place, "the loader is built here"))
    known = all(has_items(dataset) for dataset in datasets(use.loader))
    return Finding(
        place,
        f"the training loader reads its samples in the order in which they are stored: {how}",
        "batches hold what lies together, and every epoch has the same ones",
        "shuffle the training data: `shuffle=True`, or a sampler that draws",
        tuple(notes),
        fix(use),
        confidence=Confidence.HIGH if known else Confidence.MEDIUM,
    )


def fix(use: Use) -> Fix | None:
    """``shuffle=True``, where the call builds this loader alone."""
    place = use.build.place
    call = place.node
    builds = {
        id(event.value) for event in use.run.events if type(event) is type(use.build) and event.place.node is call
    }
    if not isinstance(call, cst.Call) or len(builds) != 1 or not call.args:
        return None
    for arg in call.args:
        if arg.keyword is not None and arg.keyword.value == "shuffle":
            return (
                Fix("shuffle", (Edit("replace", Place(place.source, arg.value), "True"),))
                if _is_false(arg.value)
                else None
            )
    if len([arg for arg in call.args if arg.keyword is None]) > 2:
        return None
    last = call.args[-1].value
    text = f"{place.source.module.code_for_node(last)}, shuffle=True"
    return Fix("shuffle", (Edit("replace", Place(place.source, last), text),))


def _is_false(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Name) and node.value == "False"
