"""A script that is one of many processes, run as the only one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ..bench import Bench


@contextmanager
def alone(bench: Bench) -> Iterator[None]:
    """The process group has one member, processes that are spawned are the first of them, run here."""
    import torch

    distributed, multiprocessing = torch.distributed, torch.multiprocessing

    def said(value: Any) -> Callable[..., Any]:
        def function(*args: Any, **kwargs: Any) -> Any:
            bench.assume("there is one process")
            return value

        return function

    def spawn(function: Callable[..., Any], args: tuple[Any, ...] = (), *rest: Any, **kwargs: Any) -> None:
        bench.assume("there is one process")
        function(0, *args)

    def wrap(module: Any, *args: Any, **kwargs: Any) -> Any:
        return module

    with ExitStack() as stack:
        for owner, name, value in (
            (distributed, "init_process_group", said(None)),
            (distributed, "destroy_process_group", said(None)),
            (distributed, "barrier", said(None)),
            (distributed, "get_rank", said(0)),
            (distributed, "get_world_size", said(1)),
            (multiprocessing, "spawn", spawn),
            (torch.nn.parallel, "DistributedDataParallel", wrap),
        ):
            if hasattr(owner, name):
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, value)
        yield
