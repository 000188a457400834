"""Whether autograd records: ``no_grad`` and its relatives, as context managers, decorators and calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.scalar import truth
from nnlint.symbolic.values import Const, Library, Object, Value

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
