"""Whether anything depends on the bias of a layer that a batch norm follows.

The entry is built and run on inputs that it accepts, with batch norm as in training. The watch ``layer`` sees the
layers that the accused call builds. Their biases are moved, and the outputs compared with those from before; the
control is moving their weights instead, which the outputs must show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..bench import Bench
from ..building.comparison import difference, noise_between
from ..building.prepared import Prepared
from ..building.synthesis import prepare, said
from ..job import Job
from ..program import Program
from ..verdict import Inconclusive, Verdict, confirmed, refuted

ROUNDING = 1e-4
"""Elements that differ by less than this part of the largest are taken to be rounded otherwise."""

CERTAIN = 1e-2
"""Outputs that differ by more than this part of the largest are others."""


def run(job: Job, bench: Bench) -> Verdict:
    """Move the biases, then the weights."""
    import torch

    built: list[Any] = []

    def note(layer: Any) -> Any:
        built.append(layer)
        return layer

    program = Program(job.program, bench)
    program.see["layer"] = note
    prepared = prepare(program.entry(), job.settings, bench)
    if not isinstance(prepared.module, torch.nn.Module):
        raise Inconclusive("what is run is no module")
    inside = {id(each) for each in prepared.module.modules()}
    layers = [layer for layer in built if id(layer) in inside]
    if not layers:
        raise Inconclusive("the model that was built has no such layer")
    if any(layer.bias is None for layer in layers):
        return refuted("the layer has no bias when it is built", layers=len(layers))
    bench.assume(f"called with {prepared.described}")
    return _compared(prepared, layers)


def _compared(prepared: Prepared, layers: Sequence[Any]) -> Verdict:
    calls: list[Any] = []
    for layer in layers:
        layer.register_forward_hook(lambda *called: calls.append(called[0]))
    _train_batch_norm(prepared.module)
    before = _outputs(prepared)
    if not calls:
        raise Inconclusive(f"the layer is not called with {prepared.described}")
    noise = noise_between(before, _outputs(prepared))
    with _moved([layer.weight for layer in layers]):
        control = difference(before, _outputs(prepared), noise, ROUNDING)
    if control.relative < CERTAIN:
        raise Inconclusive("nor do the outputs depend on the weights of the layer")
    with _moved([layer.bias for layer in layers]):
        found = difference(before, _outputs(prepared), noise, ROUNDING)
    figures = {"by_bias": float(f"{found.relative:.2g}"), "by_weights": float(f"{control.relative:.2g}")}
    if not found:
        return confirmed(
            f"with other biases the outputs are the same, with other weights they change by {control.relative:.2g} of "
            "the largest",
            **figures,
        )
    if found.relative < CERTAIN:
        raise Inconclusive("the outputs change so little with the biases that it may be rounding")
    return refuted(f"with other biases the outputs change by {found.relative:.2g} of the largest", **figures)


def _outputs(prepared: Prepared) -> list[Any]:
    try:
        outputs = prepared.call()
    except Exception as error:
        raise Inconclusive(said(error)) from error
    if not outputs:
        raise Inconclusive("no tensor is returned")
    return outputs


def _train_batch_norm(module: Any) -> None:
    """Let batch norm take its means from the batch, as in training, while all else is as in evaluation."""
    from torch.nn.modules.batchnorm import _BatchNorm

    def into_training(norm: Any, _: Any) -> None:
        norm.training = True

    for each in module.modules():
        if isinstance(each, _BatchNorm):
            each.register_forward_pre_hook(into_training)


@contextmanager
def _moved(parameters: Sequence[Any]) -> Iterator[None]:
    """Parameters with noise of size 1 added, each channel its own."""
    import torch

    generator = torch.Generator().manual_seed(1)
    kept = [each.detach().clone() for each in parameters]
    try:
        with torch.no_grad():
            for each in parameters:
                each.add_(torch.randn(each.shape, generator=generator).to(each))
        yield
    finally:
        with torch.no_grad():
            for each, value in zip(parameters, kept):
                each.copy_(value)
