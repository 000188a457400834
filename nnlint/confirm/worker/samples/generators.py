"""Generators of the user's, of whatever library: the state they are in, and putting them into another one."""

from __future__ import annotations

import hashlib
from typing import Any


def state_of(generator: Any) -> str:
    """The state of a generator of numpy, ``random`` or torch, as a short text; empty for anything else."""
    engine: Any = getattr(generator, "bit_generator", None)
    if hasattr(engine, "state"):
        state = engine.state
    elif hasattr(generator, "getstate"):
        state = generator.getstate()
    elif hasattr(generator, "get_state"):
        state = generator.get_state()
    else:
        return ""
    return hashlib.sha256(repr(_numbers(state)).encode()).hexdigest()[:16]


def put(generator: Any, number: int) -> None:
    """Put a generator into the state that follows from a seed."""
    engine: Any = getattr(generator, "bit_generator", None)
    if hasattr(engine, "state"):
        engine.state = type(engine)(number).state
    elif hasattr(generator, "manual_seed"):
        generator.manual_seed(number)
    else:
        generator.seed(number)


def _numbers(state: Any) -> Any:
    """A state without arrays and tensors, whose text would leave numbers out."""
    if isinstance(state, dict):
        return {name: _numbers(each) for name, each in state.items()}
    if isinstance(state, (list, tuple)):
        return [_numbers(each) for each in state]
    return state.tolist() if hasattr(state, "tolist") else state
