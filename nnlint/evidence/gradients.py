"""What a script does between ``backward`` and ``step``, and how it would clip the gradients there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst

from nnlint.evidence.provenance import operation_of, summands, walk_back
from nnlint.rule import Edit, Place
from nnlint.symbolic.trace import Backward, Build, ClipGradients, Event, Mode, Run, Step
from nnlint.symbolic.values import Function, Object, Value


def gradient_clipping(run: Run, backward: Backward) -> Edit | None:
    """The statement that clips the gradients before the step that follows; None if the script does not show how.

    Nor if it clips them already, or scales the loss: scaled gradients must be unscaled before anything clips them.
    """
    here = function_of(backward)
    after = run.events[run.events.index(backward) + 1 :]
    step = next((event for event in after if isinstance(event, Step) and function_of(event) is here), None)
    if step is None or any(isinstance(event, ClipGradients) for event in after) or is_scaled(backward.loss):
        return None
    spelled = {text for event in run.events for text in _spellings(event, step.optimizer, here)}
    if len(spelled) != 1 or not re.search(r"^import torch$", step.place.source.text, re.MULTILINE):
        return None
    return Edit("before", step.place, f"torch.nn.utils.clip_grad_norm_({spelled.pop()}, 1.0)")


def is_scaled(loss: Value) -> bool:
    """Whether a gradient scaler scales a loss."""
    origins = (part.value.origin for part in walk_back(loss, summands))
    return any(origin is not None and operation_of(origin) == "scale" for origin in origins)


def function_of(event: Event) -> Function | None:
    """The function that an event happens in, None at module level."""
    return event.context.calls[-1].function if event.context.calls else None


def _spellings(event: Event, optimizer: Value, here: Function | None) -> Iterator[str]:
    """``model.parameters()`` as it stands where the optimizer is built, if that means the same ``here``.

    For an optimizer that was built out of sight it is the module that is put into train mode here.
    """
    node, place = event.place.node, function_of(event)
    if not isinstance(node, cst.Call):
        return
    if isinstance(event, Build) and event.value is optimizer and node.args:
        text = _code(event.place, node.args[0].value)
        sibling = place is not None and here is not None and place.owner is here.owner and text.startswith("self.")
        if (place is here or sibling) and re.fullmatch(r"[\w.]+\.parameters\(\)", text):
            yield text
    elif isinstance(event, Mode) and event.training and place is here and not isinstance(optimizer, Object):
        yield _code(event.place, node.func).removesuffix("train") + "parameters()"


def _code(place: Place, node: cst.CSTNode) -> str:
    return place.source.module.code_for_node(node)
