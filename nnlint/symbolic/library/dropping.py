"""``torch.nn.functional.dropout`` and its relatives, which know no mode: they drop unless told not to."""

from __future__ import annotations

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.library import tensors
from nnlint.symbolic.trace import Drop
from nnlint.symbolic.values import Value

NAMES = ("dropout", "dropout1d", "dropout2d", "dropout3d")
"""Those whose ``training`` is true by default; ``alpha_dropout`` drops only if it is told to."""


def _drops(call: Call) -> Value:
    """What the tables of tensors say, and the event."""
    call.emit(Drop, rate=call.get(1, "p"), training=call.get(2, "training"), star=call.arguments.star)
    return tensors.FUNCTIONS[call.path](call)


FUNCTIONS: dict[str, Handler] = {f"torch.nn.functional.{name}": _drops for name in NAMES}
