"""NN218: an evaluation whose only figure is the loss."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.figures import is_evaluation_loop, told_of
from nnlint.evidence.loaders import anchor
from nnlint.evidence.phases import Phase, phases
from nnlint.rule import Finding, Note, rule
from nnlint.symbolic.trace import Loss, Run
from nnlint.symbolic.values import Unknown

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

CLASSIFIES = frozenset(
    "cross_entropy nll_loss binary_cross_entropy binary_cross_entropy_with_logits multi_margin_loss "
    "multilabel_margin_loss multilabel_soft_margin_loss".split()
)
"""Losses of classification, whose value says little to a person."""

FIGURES = re.compile(
    r"argmax|topk|\.max\(|\.round\(|acc(ura|s?\b|_)|\bf1|auc|\biou|miou|dice|jaccard|precision|recall|metric|score|perplex|"
    r"\bppl\b|bleu|rouge|correct|confusion|\bcer\b|\bwer\b|edit_?dist|rank|kappa|pearson|spearman|hits?@|ndcg|\bmrr\b|"
    r"evaluator|\bmap\b|coco|threshold|[><]=?\s*0?\.\d|\bexp\(",
    re.IGNORECASE,
)
"""Words of a script that computes a figure a person can check, or may do so."""

GENERATIVE = re.compile(
    r"\bvae|gan\b|generat|sampl(e|ing)_|autoencod|\bnll\b|diffusion|denois|recon|languagemodel|language_model|\blm\b|gpt|"
    r"token|vocab|\bmlm\b|pretrain|contrastive|embedding|simclr|triplet|flow|elbo|\bkl|discriminat|corpus|seq2seq|sequences",
    re.IGNORECASE,
)
"""Words of models whose loss is the figure, or whose outputs a person looks at."""


@rule(
    "NN218",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("cross_entropy", "CrossEntropy", "nll_loss", "NLLLoss", "BCE", "argin"),
    requires=("val", "Val", "test", "eval"),
    roots=("criteri", "cross_entropy", "CrossEntropy", "loss_f", "nll_loss"),
)
def loss_only_evaluation(trace: Trace) -> Iterator[Finding]:
    """A classifier whose evaluation reports the loss and no figure that a person can check.

    ## Why it matters
    A cross-entropy of 0.7 may be a good model that is overconfident on a few samples, or one that guesses. Nobody can
    say what it ought to be, so nobody notices when it is wrong. The recipe asks for a metric next to the loss that a
    person can hold against a baseline and against what they can do themselves, such as the accuracy: it is where a
    label that is off by one, or a model that knows one class only, shows.

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
    criterion = nn.CrossEntropyLoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    for epoch in range(10):
        model.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            criterion(model(images), labels).backward()
            optimizer.step()
        model.eval()
        loss = 0.0
        with torch.no_grad():
            for images, labels in test_loader:
                loss += criterion(model(images), labels).item()
        print(f"{epoch}: test loss {loss / len(test_set):.4f}")
    ```

    ## Use instead
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
    criterion = nn.CrossEntropyLoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    for epoch in range(10):
        model.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            criterion(model(images), labels).backward()
            optimizer.step()
        model.eval()
        loss, correct = 0.0, 0
        with torch.no_grad():
            for images, labels in test_loader:
                outputs = model(images)
                loss += criterion(outputs, labels).item()
                correct += (outputs.argmax(1) == labels).sum().item()
        print(f"{epoch}: test loss {loss / len(test_set):.4f}, accuracy {correct / len(test_set):.4f}")
    ```

    ## How it is confirmed
    It has no experiment: a figure that is missing cannot be run.

    ## When it stays silent
    - A figure is computed anywhere in the files that the script reads: accuracy, IoU, F1, AUC, perplexity, a threshold.
    - The model is generative, embeds or predicts the next token: its loss is the figure, or a person looks at samples.
    - The loss is one of regression: it has the unit of what is predicted.
    - Not all of what is run in the evaluation could be read.
    """
    for run in trace.runs:
        for phase in phases(run):
            loss = _only_loss(run, phase)
            place = None if loss is None else anchor(trace, loss)
            if loss is not None and place is not None:
                if _may_have_figures(trace, run):
                    break
                notes = (Note(loss.place, "the loss of the evaluation"),) if loss.place.node is not place.node else ()
                yield Finding(
                    place,
                    f"the evaluation reports `{loss.function}` and no figure that a person can check",
                    "nobody can say what the loss ought to be, so nobody notices when it is wrong",
                    "report the accuracy, or another metric that can be held against a baseline, next to the loss",
                    notes,
                    confidence=Confidence.MEDIUM,
                )
                return


def _only_loss(run: Run, phase: Phase) -> Loss | None:
    """The loss of classification that a loop over evaluation data computes."""
    loader = phase.loop.iterates or Unknown()
    if told_of(loader).role not in ("validation", "test"):
        return None
    if not is_evaluation_loop(run, phase.loop.iterates or loader, phase.loop, held_out=True):
        return None
    return next((event for event in phase.events if isinstance(event, Loss) and event.function in CLASSIFIES), None)


def _may_have_figures(trace: Trace, run: Run) -> bool:
    """Whether the code of a file that the run has to do with, without its comments, speaks of a figure."""
    sources = {id(event.place.source): event.place.source for event in run.events} | {id(trace.source): trace.source}
    texts = (re.sub(r"#.*", "", source.text) for source in sources.values())
    return any(FIGURES.search(text) or GENERATIVE.search(text) for text in texts)
