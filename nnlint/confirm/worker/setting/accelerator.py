"""Code written for one device, run on another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..bench import Bench


@contextmanager
def moved_to_bench(bench: Bench) -> Iterator[None]:
    """What the user's lines put on an accelerator goes to the device of the bench."""
    import torch
    from torch.overrides import TorchFunctionMode

    device = torch.device(bench.device)

    class Moving(TorchFunctionMode):  # type: ignore[misc,unused-ignore] # torch is not read by the type checker
        def __torch_function__(
            self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            given = {name: self.moved(value) if name == "device" else value for name, value in (kwargs or {}).items()}
            name = getattr(function, "__name__", "")
            if name == "cuda" and args and isinstance(args[0], torch.Tensor):
                return args[0].to(device)
            if name == "to":
                args = (args[0], *(self.moved(value) for value in args[1:]))
            return function(*args, **given)

        def moved(self, value: Any) -> Any:
            if isinstance(value, torch.device) and value.type == "cuda":
                return device
            if isinstance(value, str) and value.partition(":")[0] == "cuda":
                return device
            if type(value) is int:
                return device
            return value

    if device.type == "cuda":
        yield
        return
    with Moving():
        yield
