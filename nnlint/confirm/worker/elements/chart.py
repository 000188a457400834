"""The chart of the recipe: by backpropagation, on which input rows each output row depends."""

from __future__ import annotations

from typing import Any

from ..building.prepared import Prepared

ROWS = 8
"""Rows that are charted."""

SEED = 11
"""Of the weights that an output row is summed up with: the plain sum of a softmax has no gradient."""


def chart(run: Prepared) -> list[list[int]] | None:
    """For each output row the input rows that it has a gradient from, the first :data:`ROWS` of them.

    Integers have no gradient; what the first embedding makes of them has. None if there is nothing to differentiate.
    """
    try:
        return _chart(run)
    except RuntimeError:
        return None


def _chart(run: Prepared) -> list[list[int]] | None:
    import torch

    batch = run.inputs[0].shape[0] if run.inputs and run.inputs[0].dim() else 0
    leaves: list[Any] = []
    before = list(run.inputs)
    handles = [
        each.register_forward_hook(lambda layer, given, made: _leaf(made, batch, leaves))
        for each in (run.module.modules() if isinstance(run.module, torch.nn.Module) else ())
        if isinstance(each, torch.nn.Embedding)
    ]
    if run.inputs and run.inputs[0].is_floating_point():
        leaves.append(run.inputs[0].detach().clone().requires_grad_())
        run.inputs[0] = leaves[0]
    try:
        outputs = [each for each in run.call(gradient=True) if each.dim() and each.shape[0] == batch]
    finally:
        run.inputs[:] = before
        for handle in handles:
            handle.remove()
    outputs = [each for each in outputs if each.requires_grad]
    if not leaves or not outputs or batch < 2:
        return None
    generator = torch.Generator().manual_seed(SEED)
    weights = [torch.randn(each.shape[1:], generator=generator).to(each.device) for each in outputs]
    rows = []
    for row in range(min(batch, ROWS)):
        total = sum((each[row] * weight).sum() for each, weight in zip(outputs, weights))
        (gradient,) = torch.autograd.grad(total, leaves[0], retain_graph=True, allow_unused=True)
        if gradient is None:
            return None
        rows.append(gradient.reshape(batch, -1).ne(0).any(1).nonzero().flatten().tolist())
    return rows


def _leaf(made: Any, batch: int, leaves: list[Any]) -> Any:
    if leaves or made.dim() < 2 or made.shape[0] != batch:
        return None
    leaves.append(made.detach().requires_grad_())
    return leaves[0]
