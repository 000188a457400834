"""The checks by name, each with the module of its family.

A check is a function ``check(record: Record, settings: Mapping[str, Any]) -> Verdict``, named like the check with
underscores: ``"stale-gradients"`` is ``stale_gradients`` in ``checks/gradients.py``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from ...verdict import Verdict
from ..record import Record

Check = Callable[[Record, Mapping[str, Any]], Verdict]

FAMILIES = {
    "unheld-parameters": "parameters",
    "ineffective-freeze": "parameters",
    "late-freeze": "parameters",
    "stale-gradients": "gradients",
    "ineffective-clipping": "gradients",
    "discarded-gradients": "gradients",
    "retained-graph": "graphs",
    "summed-accumulation": "gradients",
    "recorded-evaluation": "modes",
    "mode-after-evaluation": "modes",
    "evaluation-mode": "modes",
    "trained-on-evaluation": "evaluation",
    "unweighted-mean": "scores",
    "partial-pass": "scores",
    "stored-order": "orders",
    "repeated-order": "orders",
}
"""The module of each check."""


def check_named(name: str) -> Check:
    """The check of a name."""
    module = importlib.import_module(f"{__name__}.{FAMILIES[name]}")
    check: Check = getattr(module, name.replace("-", "_"))
    return check
