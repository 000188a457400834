"""Weights that the user's lines would load: as they are not there, none of them counts as drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..anything import Anything, is_missing, reason
from ..bench import Bench
from .downloads import PRETRAINED


@dataclass
class Checkpoints:
    """The weights that were asked for and are not there; empty if there are none."""

    missing: str = ""


@contextmanager
def the_same_everywhere(bench: Bench) -> Iterator[Checkpoints]:
    """Loaded weights are the same in every process, whatever was drawn before: those that are missing become zeros.

    Once a checkpoint is missing every state that is loaded may have come from it.
    """
    import torch

    checkpoints = Checkpoints()
    load, load_state_dict = torch.load, torch.nn.Module.load_state_dict

    def load_file(file: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return load(file, *args, **kwargs)
        except Exception:
            checkpoints.missing = f"{file!r} could not be read" if isinstance(file, str) else "a file could not be read"
            bench.stand_in(f"a checkpoint: {checkpoints.missing}")
            return Anything(checkpoints.missing)

    def load_state(self: Any, state: Any, *args: Any, **kwargs: Any) -> Any:
        downloads = [note for note in bench.stood_in if note.startswith(PRETRAINED)]
        lost = [reason(state)] if is_missing(state) else []
        checkpoints.missing = checkpoints.missing or "".join((*lost, *downloads)[:1])
        if not checkpoints.missing:
            return load_state_dict(self, state, *args, **kwargs)
        with torch.no_grad():
            for tensor in (*self.parameters(), *self.buffers()):
                tensor.zero_()
        return torch.nn.modules.module._IncompatibleKeys([], [])

    torch.load, torch.nn.Module.load_state_dict = load_file, load_state
    try:
        yield checkpoints
    finally:
        torch.load, torch.nn.Module.load_state_dict = load, load_state_dict
