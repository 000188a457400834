"""In which range does what reaches a loss lie: are these probabilities, their logarithms, or any numbers?

Settings:
    given: what the finding says reaches the loss: ``probabilities``, ``log-probabilities`` or ``logits``.
    expected: what the loss expects.
    distribution: whether the numbers along some axis belong together, so that probabilities sum to one.
    loss: what the loss is called.
    output, outputs: which output of the module it is given, and how many there are.

With a class as the entry its module is built, and run with several sets of weights; its outputs, of several the one
that the watch ``output`` sees computed, are what the loss is given. Without one the script or function is run as far as
the watch ``prediction``. The control is the mended program, whose numbers must lie in another range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..bench import Bench
from ..building.prepared import Prepared
from ..building.synthesis import said, twin
from ..elements.weights import VARIATIONS, other_weights
from ..job import Job
from ..losses.reaching import at_the_watches, note_supplied, prepared_module
from ..program import Program
from ..verdict import Inconclusive, Verdict, confirmed, refuted

TOLERANCE = 1e-3
"""How far a sum of probabilities may be from one; half precision adds up no better."""


def run(job: Job, bench: Bench) -> Verdict:
    """Look at the numbers, and say whether they are what the finding says, or what the loss expects after all."""
    given, expected = job.settings["given"], job.settings["expected"]
    values, control = _of_module(job, bench) if _is_class(job, bench) else _at_the_loss(job, bench)
    found = [_range(value, job.settings["distribution"]) for value in values]
    figures = _figures(found, values)
    if given == "logits":
        return _of_logits(found, expected, values, figures, job)
    if all(each.is_called(given) for each in found):
        if control and all(
            each.is_called(given) for each in (_range(one, job.settings["distribution"]) for one in control)
        ):
            raise Inconclusive("without the accused operation the numbers lie in the same range")
        if control:
            figures["range_without"] = [_rounded(min(map(_least, control))), _rounded(max(map(_most, control)))]
        return confirmed(_said(given, found, values, job), **figures)
    outside = next(each for each in found if not each.is_called(given))
    return refuted(f"what reaches {job.settings['loss']} is no {given}: it lies in {outside.words()}", **figures)


def _is_class(job: Job, bench: Bench) -> bool:
    """Whether the entry is a module to be built, rather than a function or the script."""
    return any(watch.name == "output" for file in job.program.files for watch in file.watches)


# --- where the numbers come from -------------------------------------------------------------------------------------


def _at_the_loss(job: Job, bench: Bench) -> tuple[list[Any], list[Any]]:
    """The prediction at the loss, as it is and in the mended program."""
    names = ("prediction",)
    reached = at_the_watches(job, job.program, bench, names)
    note_supplied(reached, bench)
    control: list[Any] = []
    if job.mended is not None and job.settings["given"] != "logits":
        try:
            control = [_tensor(at_the_watches(job, job.mended, bench, names).seen["prediction"])]
        except Inconclusive:
            # The watch may be gone with what the fix leaves out.
            control = []
    return [_tensor(reached.seen["prediction"])], control


def _of_module(job: Job, bench: Bench) -> tuple[list[Any], list[Any]]:
    """What the user's module gives with several sets of weights, as it is and in the mended program."""
    prepared, seen = prepared_module(job, bench, "output")
    place = _place(prepared, seen, job.settings)
    values = []
    for number in range(VARIATIONS):
        with other_weights(prepared.module, number):
            values.append(_tensor(_outputs(prepared)[place]))
    control: list[Any] = []
    if job.mended is not None and job.settings["given"] != "logits":
        other = twin(prepared, Program(job.mended, bench).entry(), job.settings, bench)
        control = [_tensor(_outputs(other)[place])]
    return values, control


def _place(prepared: Prepared, seen: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    """Which of the outputs the loss is given: the one that the finding says, or that the accused expression computes.

    Raises:
        Inconclusive: there are several, and nobody can tell.
    """
    import torch

    outputs = _outputs(prepared)
    if len(outputs) == settings["outputs"]:
        return int(settings["output"])
    accused = seen.get("output")
    if isinstance(accused, torch.Tensor):
        for place, each in enumerate(outputs):
            if each.numel() == accused.numel() and torch.equal(each.flatten().sort()[0], accused.flatten().sort()[0]):
                return place
    raise Inconclusive(f"it gives {len(outputs)} tensors, and it is not known which of them the loss is given")


def _outputs(prepared: Prepared) -> list[Any]:
    try:
        outputs = prepared.call()
    except Exception as error:
        raise Inconclusive(said(error)) from error
    if not outputs:
        raise Inconclusive("it gives no tensor")
    return outputs


def _tensor(value: Any) -> Any:
    import torch

    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.numel():
        raise Inconclusive("what the loss is given is no tensor of floating-point numbers")
    if not bool(value.isfinite().all()):
        raise Inconclusive("what the loss is given is not finite here")
    return value.detach().double()


# --- what the numbers are --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Range:
    least: float
    most: float
    sums: bool
    """Whether they sum to one along some axis."""
    log_sums: bool
    """Whether their exponentials do."""

    def is_called(self, name: str) -> bool:
        """Whether the numbers are probabilities, or their logarithms."""
        if name == "probabilities":
            return self.least >= 0 and self.most <= 1 and self.sums
        if name == "log-probabilities":
            return self.most <= TOLERANCE and self.log_sums
        return not self.is_called("probabilities") and not self.is_called("log-probabilities")

    def words(self) -> str:
        return f"[{self.least:.3g}, {self.most:.3g}]"


def _range(value: Any, distribution: bool) -> _Range:
    sums = not distribution or _sums_to_one(value)
    log_sums = not distribution or _sums_to_one(value.exp())
    return _Range(_least(value), _most(value), sums, log_sums)


def _sums_to_one(value: Any) -> bool:
    axes = [axis for axis, size in enumerate(value.shape) if size > 1]
    return any(float((value.sum(axis) - 1).abs().max()) <= TOLERANCE for axis in axes)


def _least(value: Any) -> float:
    return float(value.min())


def _most(value: Any) -> float:
    return float(value.max())


# --- what is said ----------------------------------------------------------------------------------------------------


def _of_logits(
    found: Sequence[_Range], expected: str, values: Sequence[Any], figures: dict[str, Any], job: Job
) -> Verdict:
    """Whether numbers that should be probabilities are; the control is what a softmax, or sigmoid, makes of them."""
    if all(each.is_called(expected) for each in found):
        return refuted(f"what reaches {job.settings['loss']} are {expected}: it lies in {found[0].words()}", **figures)
    if not all(_range(_healthy(value, job), job.settings["distribution"]).is_called(expected) for value in values):
        raise Inconclusive("not even their softmax lies in the range that is expected")
    outside = next(each for each in found if not each.is_called(expected))
    logs = "their exponentials are no probabilities" if expected == "log-probabilities" else f"they are no {expected}"
    return confirmed(f"what reaches {job.settings['loss']} lies in {outside.words()}: {logs}", **figures)


def _healthy(value: Any, job: Job) -> Any:
    if not job.settings["distribution"]:
        return value.sigmoid()
    axis = 1 if value.dim() > 1 else 0
    return value.log_softmax(axis) if job.settings["expected"] == "log-probabilities" else value.softmax(axis)


def _said(given: str, found: Sequence[_Range], values: Sequence[Any], job: Job) -> str:
    least, most = min(each.least for each in found), max(each.most for each in found)
    together = ""
    if job.settings["distribution"]:
        together = " and sum to one" if given == "probabilities" else ", and their exponentials sum to one"
    said = f"what reaches {job.settings['loss']} are {given}: they lie in [{least:.3g}, {most:.3g}]{together}"
    classes = values[0].shape[1] if values[0].dim() > 1 else 0
    if given == "probabilities" and classes > 1 and job.settings["loss"] in ("nn.CrossEntropyLoss", "cross_entropy"):
        lowest = math.log(math.e + classes - 1) - 1
        said += f", so that the loss of {classes} classes cannot fall below {lowest:.3g}"
    return said


def _figures(found: Sequence[_Range], values: Sequence[Any]) -> dict[str, Any]:
    return {
        "range": [_rounded(min(each.least for each in found)), _rounded(max(each.most for each in found))],
        "shape": list(values[0].shape),
        "sets_of_weights": len(values),
    }


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")
