"""Whether ``parameters()`` of a module finds the layers of one of its attributes, and whether its outputs need them.

The class that the entry names is built, and run on inputs that it accepts: for models whose training stands elsewhere.

Settings:
    attribute: the list or dict of layers.
"""

from __future__ import annotations

from typing import Any

from ..bench import Bench
from ..building.prepared import Prepared
from ..building.synthesis import prepare, said
from ..job import Job
from ..program import Program
from ..protocol.layers import parameters_in
from ..verdict import Inconclusive, Verdict, confirmed, refuted


def run(job: Job, bench: Bench) -> Verdict:
    """Look for the parameters of the layers among those of the module, and go back to them from its outputs."""
    import torch

    prepared = prepare(Program(job.program, bench).entry(), job.settings, bench)
    module, attribute = prepared.module, job.settings["attribute"]
    if not isinstance(module, torch.nn.Module):
        raise Inconclusive("what is built is no module")
    bench.assume(f"called with {prepared.described}")
    ours = list(dict(parameters_in(getattr(module, attribute, None))).values())
    found = {id(each) for each in module.parameters()}
    hidden = [each for each in ours if id(each) not in found]
    figures = {"parameters_of_the_layers": len(ours), "found": len(ours) - len(hidden), "found_in_all": len(found)}
    if not ours:
        raise Inconclusive(f"`{attribute}` of the module that was built holds no layers")
    if not hidden:
        return refuted(f"`parameters()` finds all {len(ours)} parameters of `{attribute}`", **figures)
    needed = _needed(prepared, hidden)
    if not needed:
        raise Inconclusive(f"no output depends on what `parameters()` does not find of `{attribute}`")
    return confirmed(
        f"`parameters()` finds {len(found)} parameters, and {len(hidden)} of the {len(ours)} in `{attribute}` are not "
        f"among them; gradients come back from the outputs to {needed}",
        needed=needed,
        **figures,
    )


def _needed(prepared: Prepared, parameters: list[Any]) -> int:
    """To how many of some parameters gradients come back from the outputs that are not zero."""
    import torch

    try:
        outputs = [each for each in prepared.call(gradient=True) if each.requires_grad]
    except Exception as error:
        raise Inconclusive(said(error)) from error
    if not outputs:
        return 0
    # Squares, for the sum of what a softmax gives is one, whatever goes in.
    total = sum((each.float() ** 2).sum() for each in outputs)
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    return sum(each is not None and bool(each.any()) for each in gradients)
