"""How a loss puts the losses of its elements together."""

from __future__ import annotations

from nnlint.symbolic.trace import Loss
from nnlint.symbolic.values import Arguments, Const, resolve_setting

MEANS = ("mean", "batchmean", "elementwise_mean")
"""Reductions that divide by the number of elements or samples; the last is what torch 0.4.1 called the first."""


def reduction_of(loss: Loss) -> str | None:
    """The reduction of a loss of torch: ``mean``, ``batchmean``, ``sum`` or ``none``; None if it cannot be told.

    ``size_average`` and ``reduce``, in the place of which ``reduction`` has come with torch 0.4.1, still count: where
    one of them is given, torch looks at nothing else.
    """
    arguments = loss.arguments if loss.criterion is None else loss.criterion.arguments
    options = arguments.positional if loss.criterion is not None else arguments.positional[2:]
    if arguments.star or any(isinstance(value, Const) and isinstance(value.value, bool) for value in options):
        return None
    if "size_average" in arguments.keywords or "reduce" in arguments.keywords:
        return _by_flags(arguments)
    given = arguments.get(None, "reduction")
    if given is None:
        return "mean"
    resolved = resolve_setting(given)
    return resolved.value if isinstance(resolved, Const) and isinstance(resolved.value, str) else None


def _by_flags(arguments: Arguments) -> str | None:
    """The reduction that ``size_average`` and ``reduce`` ask for; each is true unless it is given."""
    flags: list[bool] = []
    for name in ("reduce", "size_average"):
        given = resolve_setting(arguments.get(None, name))
        if given is not None and not isinstance(given, Const):
            return None
        flags.append(given is None or given.value is None or bool(given.value))
    reduces, averages = flags
    return "none" if not reduces else "mean" if averages else "sum"
