"""Whether autograd records: ``no_grad`` and its relatives, as context managers, decorators and calls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.scalar import truth
from nnlint.symbolic.values import Choice, Class, Const, Function, Library, Method, Object, Unknown, Value
from nnlint.symbolic.words import words_of

if TYPE_CHECKING:
    from nnlint.symbolic.executor import Executor

RECORDING: dict[str, bool] = {
    "torch.no_grad": False,
    "torch.inference_mode": False,
    "torch.enable_grad": True,
    "torch.autograd.no_grad": False,
    "torch.autograd.enable_grad": True,
    "torch.autograd.inference_mode": False,
    "torch.autograd.grad_mode.no_grad": False,
    "torch.autograd.grad_mode.enable_grad": True,
    "torch.autograd.grad_mode.inference_mode": False,
}
"""Whether gradients are recorded inside."""

KINDS: dict[str, str] = dict.fromkeys(RECORDING, "grad mode")


def _set_grad_enabled(call: Call) -> Value:
    """Takes effect at once; as a context manager it is taken back at the end of the block."""
    mode = Object("torch.set_grad_enabled", "grad mode", call.arguments, origin=call.origin())
    call.executor.put(call.executor, "recording", _of(mode))
    return mode


def recording(values: Iterable[Value]) -> bool | None:
    """Whether autograd records under the last grad mode among some values; True if there is none, None if unknown."""
    found: bool | None = True
    for value in values:
        if isinstance(value, Library) and value.path in RECORDING:
            found = RECORDING[value.path]
        elif is_grad_mode(value):
            found = _of(value)
    return found


def is_grad_mode(value: Value) -> bool:
    """Whether a value is what ``torch.no_grad()`` and its relatives return, or one of these themselves."""
    return (isinstance(value, Object) and value.kind == "grad mode") or (
        isinstance(value, Library) and value.path in RECORDING
    )


def enter(executor: Executor, value: Value) -> None:
    """``with torch.no_grad():``."""
    executor.put(executor, "recording", recording((value,)))


SPEAKING = re.compile(r"grad|infer|eval|test|valid|freez|frozen|ctx|context(?!lib)|guard|scope", re.IGNORECASE)
"""Names of context managers and decorators nobody can follow that may well decide whether autograd records."""

BY_NAME = ("no_grad", "inference_mode", "set_grad_enabled", "enable_grad")


def may_set(executor: Executor, node: cst.BaseExpression, value: Value) -> bool:
    """Whether a context manager which is none of torch's own may decide whether autograd records."""
    if isinstance(value, Choice):
        return any(is_grad_mode(side) or may_set(executor, node, side) for side in (value.yes, value.no))
    callee = executor.evaluate(node.func) if isinstance(node, cst.Call) else value
    if isinstance(callee, Method):
        callee = callee.function
    if isinstance(callee, (Function, Class)):
        return not words_of(callee.node).isdisjoint(BY_NAME)
    if isinstance(callee, Library) and callee.path.startswith(("torch.", "builtins.")):
        return callee.path.rpartition(".")[2] in BY_NAME
    return any(SPEAKING.search(word) for word in words_of(node))


def decorated(executor: Executor, decorators: Sequence[Value]) -> bool | None:
    """What the decorators of a function make of the mode that it is called in."""
    found = executor.recording
    for decorator in reversed(decorators):
        if is_grad_mode(decorator):
            return recording((decorator,))
        name = decorator.name if isinstance(decorator, Unknown) else ""
        if isinstance(decorator, Library):
            name = decorator.path.rpartition(".")[2]
        if isinstance(decorator, Unknown) and decorator.origin is not None and decorator.origin.inputs:
            name += getattr(decorator.origin.inputs[0], "name", "")
        if re.search(r"grad|infer|eval", name, re.IGNORECASE):
            found = None
    return found


def _of(mode: Value) -> bool | None:
    if not isinstance(mode, Object):
        return None
    asked = mode.arguments.get(0, "mode")
    if mode.path in RECORDING and mode.name != "inference_mode":
        return RECORDING[mode.path]
    if asked is None:
        return RECORDING.get(mode.path)
    known = bool(asked.value) if isinstance(asked, Const) else truth(asked)
    return known if mode.name != "inference_mode" or known is None else not known


FUNCTIONS: dict[str, Handler] = {
    "torch.set_grad_enabled": _set_grad_enabled,
    "torch.autograd.set_grad_enabled": _set_grad_enabled,
    "torch.autograd.grad_mode.set_grad_enabled": _set_grad_enabled,
}
