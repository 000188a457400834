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

    ``options`` are given all the same, by the names that the parser stores them under; a subcommand is one of them.
    """
    original = argparse.ArgumentParser.parse_known_args

    def parse(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None, **more: Any) -> Any:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                action.required = False
            elif action.required or (not action.option_strings and action.nargs not in ("?", "*")):
                _relax(action, bench)
        for group in self._mutually_exclusive_groups:
            group.required = False
        parsed, rest = original(self, _subcommands(self, options, bench) if args is None else args, namespace, **more)
        for name, value in options.items():
            if hasattr(parsed, name) and getattr(parsed, name) != value:
                bench.assume(f"--{name.replace('_', '-')} {value}")
                setattr(parsed, name, value)
        return parsed, rest

    argparse.ArgumentParser.parse_known_args = parse  # type: ignore[method-assign]
    try:
        yield
    finally:
        argparse.ArgumentParser.parse_known_args = original  # type: ignore[method-assign]


def _subcommands(parser: argparse.ArgumentParser, options: Mapping[str, Any], bench: Bench) -> list[str]:
    """The subcommand that is asked for, as the command line would have it; by default that which trains."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            wanted = options.get(action.dest, "train")
            if wanted in action.choices:
                bench.assume(f"the subcommand {wanted}")
                return [wanted]
    return []


def _relax(action: argparse.Action, bench: Bench) -> None:
    # The long name of an option, its short one, or what else it is called.
    options = sorted(action.option_strings, key=lambda text: not text.startswith("--"))
    name = (*options, action.metavar or action.dest)[0]
    action.required = False
    if not action.option_strings:
        action.nargs = "?"
    if action.default is None:
        bench.stand_in(f"the required argument {name}, which is not given")
        action.default = Anything(f"the required argument {name} is not given")
