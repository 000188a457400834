"""Imports that wait until something of the module is used."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


class _Postponed(ModuleType):
    """Stands for a module, and becomes it at the first use."""

    def __getattr__(self, attribute: str) -> object:
        if sys.modules[self.__name__] is self:
            del sys.modules[self.__name__]
            self.__dict__.update(vars(import_module(self.__name__)))
        return getattr(sys.modules[self.__name__], attribute)


def postpone(name: str) -> None:
    """Let ``import name`` be quick, unless that module is there already.

    The standard library's ``LazyLoader`` does not do: with it the second ``import name`` already loads the module.
    """
    spec = None if name in sys.modules else find_spec(name)
    if spec is not None:
        module = sys.modules[name] = _Postponed(name)
        module.__spec__ = spec
