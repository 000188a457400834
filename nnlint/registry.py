"""Every rule there is: the values of type Rule in the modules of ``nnlint.rules``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from nnlint.postponed import postpone
from nnlint.rule import Rule


@cache
def load_rules() -> dict[str, Rule]:
    """All rules by code, in the order of their codes.

    Raises:
        ValueError: two rules share a code or a name.
    """
    # Rules speak of syntax, but a run that has nothing to parse ends before libcst could be imported.
    postpone("libcst")
    package = importlib.import_module("nnlint.rules")
    found: dict[str, Rule] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"nnlint.rules.{info.name}")
        for value in vars(module).values():
            if not isinstance(value, Rule):
                continue
            if value.code in found or any(value.name == other.name for other in found.values()):
                raise ValueError(f"{value.code} {value.name} is declared twice")
            found[value.code] = value
    return dict(sorted(found.items()))
