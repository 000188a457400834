"""NN211: an evaluation of a model whose dropout and batch norm are in train mode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.evaluation import Evaluation, evaluations
from nnlint.evidence.mode_layers import mode_layers
from nnlint.evidence.protocol import protocol
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.modes import holds, is_library_model
from nnlint.symbolic.trace import Backward, Build, Forward, Mode, Step
from nnlint.symbolic.values import Instance

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

SETS_MODE = re.compile(r"\.eval\(|\.train\(|\btraining\s*=(?!=)|\.apply\(|set_?mode|\btrain_?mode|eval_?mode")
"""What an evaluation does to a mode, other than what the reading followed."""

ON_PURPOSE = re.compile(
    r"\bmc\b|mc_?drop|monte.?carlo|bayes|uncertain|ensemble|stochastic|generat|netG|\bG\b|gan\b|style|adapt|adabn|test.?time",
    re.IGNORECASE,
)
"""Evaluations in train mode on purpose: Monte Carlo dropout, generators of GANs, adaptation at test time."""


@rule(
    "NN211",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("val", "test", "dev"),
    requires=(".backward(",),
    roots=("^backward$",),
)
def evaluation_in_train_mode(trace: Trace) -> Iterator[Finding]:
    """A model is evaluated in train mode: dropout drops, and batch norm uses and takes in the batch.

    ## Why it matters
    In train mode dropout removes units at random, and batch norm normalizes with the batch at hand. The figures of such
    an evaluation are those of another, noisier model; they depend on the size and the order of the batches, and with
    every batch the running statistics take in data of the test set. "You forgot to toggle train/eval mode for the net"
    is the second of the most common mistakes that Karpathy lists.

    ## Example
    ```python
    import torch
    from torch import nn, optim
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    torch.manual_seed(0)
    to_tensor = transforms.ToTensor()
    train_loader = DataLoader(datasets.MNIST("data", train=True, transform=to_tensor), batch_size=64, shuffle=True)
    test_loader = DataLoader(datasets.MNIST("data", train=False, transform=to_tensor), batch_size=256)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 10))
    optimizer = optim.Adam(model.parameters())
    for epoch in range(10):
        for images, labels in train_loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        hits = 0
        with torch.no_grad():
            for images, labels in test_loader:
                hits += (model(images).argmax(1) == labels).sum().item()
        print(epoch, hits / len(test_loader.dataset))
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn, optim
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    torch.manual_seed(0)
    to_tensor = transforms.ToTensor()
    train_loader = DataLoader(datasets.MNIST("data", train=True, transform=to_tensor), batch_size=64, shuffle=True)
    test_loader = DataLoader(datasets.MNIST("data", train=False, transform=to_tensor), batch_size=256)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 10))
    optimizer = optim.Adam(model.parameters())
    for epoch in range(10):
        model.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        model.eval()
        hits = 0
        with torch.no_grad():
            for images, labels in test_loader:
                hits += (model(images).argmax(1) == labels).sum().item()
        print(epoch, hits / len(test_loader.dataset))
    ```

    ## How it is confirmed
    By protocol: a few batches of the script's own training and evaluation are run, and run again with the model in eval
    mode in the forward passes of the evaluation. Confirmed, if it computes something else in eval mode and is in train
    mode in all of them; refuted, if all its outputs are those of eval mode. Where nobody knows what it computes, for
    want of the data, the mode of its dropout and batch norm decides. It abstains where the model is not reached, or
    some passes are in train mode and some are not.

    ## When it stays silent
    - Nothing in the model depends on the mode, or nobody can tell whether something does.
    - Only parts of it are in eval mode (the batch norm), or `train()` is called for the evaluation itself, such as for
      the losses of torchvision's detectors.
    - Dropout stays on to sample predictions (Monte Carlo dropout), or the model is a generator that is meant to.
    - The mode, or whether it is an evaluation, cannot be told.
    - A framework sets the mode.
    """
    reported: set[int] = set()
    for evaluation in evaluations(trace):
        layers = dropping(evaluation)
        place = None if layers is None else place_of(evaluation)
        if layers is not None and place is not None and id(place.node) not in reported:
            reported.add(id(place.node))
            yield describe(evaluation, layers, place)


def dropping(evaluation: Evaluation) -> str | None:
    """What of the model is surely in train mode in the evaluation, None if nothing is."""
    if evaluation.loop is None or not evaluation.is_over_evaluation_data:
        return None
    if any(forward.training is not True for forward in evaluation.forwards) or not was_trained(evaluation):
        return None
    if sets_mode(evaluation) or ON_PURPOSE.search(said(evaluation)):
        return None
    return mode_layers(evaluation.forward.module) or None


def was_trained(evaluation: Evaluation) -> bool:
    """Whether the same run has built the model, or trained it, so that its mode is known."""
    run, module = evaluation.run, evaluation.forward.module
    before = run.events[: run.events.index(evaluation.forward)]
    built = is_library_model(module) or any(isinstance(event, Build) and holds(event.value, module) for event in before)
    told = any(isinstance(event, Mode) and event.training and holds(event.module, module) for event in before)
    learned = any(isinstance(event, Backward) for event in before) and any(
        isinstance(event, Forward) and holds(event.module, module) for event in before
    )
    return (built and run.script) or ((told or built) and learned)


def sets_mode(evaluation: Evaluation) -> bool:
    """Whether a mode is set for the evaluation, of the model or of a part, or in a way that was not followed."""
    if SETS_MODE.search(evaluation.text):
        return True
    function = evaluation.evaluator
    if function is not None:
        code = function.frame.module.source.module.code_for_node(function.node)
        if SETS_MODE.search(re.sub(r"#.*", "", code)):
            return True
    since: list[Mode] = []
    for event in evaluation.run.events:
        if event is evaluation.forward:
            break
        if isinstance(event, Step):
            since = []
        elif isinstance(event, Mode):
            since.append(event)
    return bool(since)


def said(evaluation: Evaluation) -> str:
    """What the model, and the functions around, are called."""
    module = evaluation.forward.module
    names = [site.function.name for site in evaluation.forward.context.calls]
    if isinstance(module, Instance):
        names += [cls.name for cls in module.cls.lineage()]
    node = evaluation.forward.place.node
    if isinstance(node, cst.Call):
        names.append(evaluation.forward.place.source.module.code_for_node(node.func))
    return " ".join(names)


def place_of(evaluation: Evaluation) -> Place | None:
    """Where `eval()` belongs: the loop over the data."""
    loop = evaluation.loop
    return Place(loop.source, loop.node.iter) if loop is not None and isinstance(loop.node, cst.For) else None


def describe(evaluation: Evaluation, layers: str, place: Place) -> Finding:
    """The finding in words."""
    node = evaluation.forward.place.node
    source = evaluation.forward.place.source
    name = source.module.code_for_node(node.func) if isinstance(node, cst.Call) else "model"
    name = name if re.fullmatch(r"[\w.]+", name) else "model"
    role = evaluation.split.role if evaluation.split is not None else "test"
    effect = "uses, and takes in, the statistics of the batch" if "orm" in layers else "goes on dropping"
    return Finding(
        place,
        f"`{name}` goes over {role} data in train mode: {layers} {effect}",
        "the figures are those of another, noisier model",
        f"call `{name}.eval()` before the loop and `{name}.train()` before training goes on",
        (Note(evaluation.forward.place, "the model is called here, in train mode"),),
        fix(evaluation, name),
        confidence=Confidence.HIGH if evaluation.run.script else Confidence.MEDIUM,
        experiment=partial(
            protocol, evaluation.run, "evaluation-mode", accused=evaluation.forward.place, around=evaluation.forward
        ),
    )


def fix(evaluation: Evaluation, name: str) -> Fix | None:
    """``eval()`` before the loop, and ``train()`` after it; where the model is called in the same function."""
    loop = evaluation.loop
    if loop is None or evaluation.forward.context.loops[-1] is not loop:
        return None
    place = Place(loop.source, loop.node)
    edits = (Edit("before", place, f"{name}.eval()"), Edit("after", place, f"{name}.train()"))
    return Fix("evaluate in eval mode", edits)
