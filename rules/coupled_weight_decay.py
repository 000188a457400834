"""NN405: Adam with a weight decay that goes through its normalization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.decay import Decay, decays
from nnlint.evidence.requirements import is_older
from nnlint.rule import Edit, Finding, Fix, Place, rule
from nnlint.symbolic.trace import Build, Run
from nnlint.symbolic.values import Const, Object, resolve_setting
from nnlint.symbolic.words import words_of

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

HAS_ADAMW = (1, 2)
"""The version of torch that AdamW came with."""

COUPLED = ("Adam", "NAdam", "RAdam")


@rule(
    "NN405",
    severity=Severity.INFO,
    since="0.1.0",
    mentions=("Adam",),
    roots=("Adam",),
)
def coupled_weight_decay(trace: Trace) -> Iterator[Finding]:
    """Adam with a weight decay, which it adds to the gradient and then normalizes away.

    ## Why it matters
    The `weight_decay` of Adam is added to the gradient. Adam then divides each gradient by its usual size, the decay
    with it: weights with large gradients are hardly decayed, those with small ones strongly, and how much depends on
    the loss rather than on the number that the script gives. Loshchilov and Hutter, "Decoupled Weight Decay
    Regularization", take the decay out of the gradient (AdamW): then it is what it says, and can be tuned apart from
    the learning rate. Karpathy's recipe has weight decay among what regularizes a model that overfits; it helps to have
    one that does.

    ## Example
    ```python
    import torch

    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4, weight_decay=1e-4)
    ```

    ## Use instead
    ```python
    import torch

    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01)
    ```

    The number has to be found anew: AdamW multiplies it by the learning rate, and values from 0.01 to 0.1 are usual.

    ## How it is confirmed
    It is not: it is advice, and what Adam does with a decay is known.

    ## When it stays silent
    - The decay is 0, an option that is 0 by default, or not known.
    - The optimizer decouples it: AdamW, or `decoupled_weight_decay=True`, which NAdam, RAdam and, in late versions of
      torch, Adam know.
    - An option decides which of several optimizers is used.
    - Another optimizer has it: in SGD both kinds of decay are the same.
    - The optimizer is not torch's.
    - The project asks for a torch below 1.2, which has no AdamW, in its `requirements.txt`, `pyproject.toml`,
      `setup.py` or `environment.yml`.
    """
    seen: set[int] = set()
    for run in trace.runs:
        for decay in decays(run):
            node = decay.build.place.node
            if decay.optimizer.name not in COUPLED or is_decoupled(decay) or is_one_of_several(decay, run):
                continue
            if is_older(trace.root, "torch", HAS_ADAMW):
                return
            if id(node) not in seen:
                seen.add(id(node))
                yield Finding(
                    decay.build.place,
                    f"the weight decay of {decay.words} goes through the normalization of `{decay.optimizer.name}`",
                    "weights with large gradients are hardly decayed, those with small ones strongly",
                    "use `AdamW`, which decays all weights alike, and tune the decay anew (0.01 to 0.1 are usual)",
                    fix=fix_of(decay),
                    confidence=Confidence.HIGH,
                )


def is_decoupled(decay: Decay) -> bool:
    """Whether the optimizer is told, or may be told, to decouple the decay."""
    told = resolve_setting(decay.optimizer.arguments.get(None, "decoupled_weight_decay"))
    return told is not None and not (isinstance(told, Const) and told.value is False)


def is_one_of_several(decay: Decay, run: Run) -> bool:
    """Whether a branch, or a variable, decides between this optimizer and another."""
    node = decay.build.place.node
    if not isinstance(node, cst.Call) or decay.optimizer.name not in words_of(node.func):
        return True
    chosen = {(id(each.place.node), each.outcome) for each in decay.build.context.conditions}
    others = [each for each in run.of(Build) if isinstance(each.value, Object) and each.value.kind == "optimizer"]
    conditions = [condition for other in others for condition in other.context.conditions]
    return any((id(each.place.node), not each.outcome) in chosen for each in conditions)


def fix_of(decay: Decay) -> Fix | None:
    """Build AdamW, if the script says ``torch.optim.Adam`` or ``optim.Adam``."""
    place = decay.build.place
    func = place.node.func if isinstance(place.node, cst.Call) else None
    if not isinstance(func, cst.Attribute) or func.attr.value != "Adam":
        return None
    return Fix("use AdamW", (Edit("replace", Place(place.source, func.attr), "AdamW"),))
