"""The command line of the user's script: as if it were started with no arguments."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..anything import Anything
from ..bench import Bench


@contextmanager
def without_arguments(bench: Bench, options: Mapping[str, Any]) -> Iterator[None]:
    """Every option has its default; what the script insists on being given is a missing value, and said to be one.

    ``options`` are given all the same, by the names that the parser stores them under.
    """
    original = argparse.ArgumentParser.parse_known_args

    def parse(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None, **more: Any) -> Any:
        for action in self._actions:
            if action.required or (not action.option_strings and action.nargs not in ("?", "*")):
                _relax(action, bench)
        for group in self._mutually_exclusive_groups:
            group.required = False
        parsed, rest = original(self, [] if args is None else args, namespace, **more)
        for name, value in options.items():
            if hasattr(parsed, name):
                bench.assume(f"--{name.replace('_', '-')} {value}")
                setattr(parsed, name, value)
        return parsed, rest

    argparse.ArgumentParser.parse_known_args = parse  # type: ignore[method-assign]
    try:
        yield
    finally:
        argparse.ArgumentParser.parse_known_args = original  # type: ignore[method-assign]


def _relax(action: argparse.Action, bench: Bench) -> None:
    name = next((text for text in action.option_strings if text.startswith("--")), action.metavar or action.dest)
    action.required = False
    if not action.option_strings:
        action.nargs = "?"
    if action.default is None:
        bench.stand_in(f"the required argument {name}, which is not given")
        action.default = Anything(f"the required argument {name} is not given")
