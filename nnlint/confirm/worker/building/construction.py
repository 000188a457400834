"""What the user's class is called with: arguments of the script where they can be had, else likely ones."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..anything import is_missing
from .guessing import WIDTHS, Guessed, NoGuess, guess
from .hearsay import default_of, word_for

COUNTED = re.compile(r"vocab|n_?tokens?$|class(es)?$|n(um)?_?words|n(um)?_?labels|num_embeddings")
"""Names of what a script counts in its data."""


@dataclass(frozen=True)
class Arguments:
    """What a class or function is called with, by parameter; those of ``*args`` are one, with the star in its name.

    ``guessed`` are those arguments, and fields of configurations, that only a name suggests.
    """

    named: dict[str, Any]
    guessed: dict[str, Any] = field(default_factory=dict)

    def described(self) -> str:
        """What is assumed, in words; empty if nothing had to be."""
        return ", ".join(f"{name} = {_described(value)}" for name, value in self.guessed.items())


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"a tensor of shape {tuple(shape)}"


def arguments_for(function: Callable[..., Any], known: Mapping[str, Any]) -> Iterator[Arguments]:
    """Sets of arguments for a class or function, likely ones first.

    Args:
        function: what is to be called.
        known: arguments that are known, by parameter; what is missing in them is guessed.

    Raises:
        NoGuess: a parameter has no default and no likely value.
    """
    parameters = _parameters(function)
    initializer = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    further = {name: value for name, value in known.items() if name not in parameters and not has_missing(value)}
    for attempt in range(len(WIDTHS)):
        guessed: dict[str, Any] = {}
        named: dict[str, Any] = {}
        for name, parameter in parameters.items():
            value = known.get(name, parameter.empty)
            if value is not parameter.empty and not has_missing(value) and not _counts_nothing(name, value):
                named[name] = _completed(value, attempt, guessed)
            elif parameter.default is parameter.empty:
                named[name] = likely(initializer, parameter, attempt, guessed)
        both = {**named, **further}
        # In the order of the call: what is given by position stays in front.
        yield Arguments({name: both[name] for name in dict.fromkeys((*known, *both)) if name in both}, guessed)
        if not guessed and not any(isinstance(each, Guessed) for each in named.values()):
            return


def likely(function: Callable[..., Any], parameter: inspect.Parameter, attempt: int, noted: dict[str, Any]) -> Any:
    """What an argument may be: what it is compared with, else what its name suggests, else a default of that name.

    Raises:
        NoGuess: nothing is likely.
    """
    name = parameter.name
    found: Any = word_for(function, name)
    if found is None:
        try:
            return guess(name, _annotation(parameter), attempt, noted)
        except NoGuess:
            found = default_of(function, name)
            if found is None:
                raise
    noted[name] = found
    return found


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name: each for name, each in parameters.items() if each.kind not in starred}


def _counts_nothing(name: str, value: Any) -> bool:
    """Whether a number of words or classes is 0: it was counted in data that are missing."""
    return value == 0 and type(value) is int and COUNTED.search(name.lower()) is not None


def _annotation(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation
    if annotation is parameter.empty:
        return ""
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "") + str(annotation)


def has_missing(value: Any) -> bool:
    """Whether a value could not be had, or one of those in it."""
    if isinstance(value, (tuple, list)):
        return any(has_missing(each) for each in value)
    if isinstance(value, dict):
        return any(has_missing(each) for each in value.values())
    return is_missing(value)


def _completed(value: Any, attempt: int, guessed: dict[str, Any]) -> Any:
    """A configuration with what is missing in it guessed by name."""
    if isinstance(value, (str, int, float, tuple, list, type(None), type)) or not hasattr(value, "__dict__"):
        return value
    for name, each in list(vars(value).items()):
        if is_missing(each) or _counts_nothing(name, each):
            try:
                setattr(value, name, guess(name, "", attempt, guessed))
            except NoGuess:
                continue
    return value
