"""A script that is one of many processes, run as the only one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..bench import Bench
from ..setting.replacement import replaced


@contextmanager
def alone(bench: Bench, members: int = 1) -> Iterator[None]:
    """The process group has as many members, of which this is the first; processes that are spawned are run here."""
    import torch

    distributed, multiprocessing = torch.distributed, torch.multiprocessing
    note = "there is one process" if members == 1 else f"this is the first of {members} processes"

    def said(value: Any) -> Callable[..., Any]:
        def function(*args: Any, **kwargs: Any) -> Any:
            bench.assume(note)
            return value

        return function

    def spawn(function: Callable[..., Any], args: tuple[Any, ...] = (), *rest: Any, **kwargs: Any) -> None:
        bench.assume(note)
        function(0, *args)

    def wrap(module: Any, *args: Any, **kwargs: Any) -> Any:
        return module

    replacements = (
        (distributed, "init_process_group", said(None)),
        (distributed, "destroy_process_group", said(None)),
        (distributed, "barrier", said(None)),
        (distributed, "get_rank", said(0)),
        (distributed, "get_world_size", said(members)),
        (multiprocessing, "spawn", spawn),
        (torch.nn.parallel, "DistributedDataParallel", wrap),
    )
    with replaced(each for each in replacements if hasattr(*each[:2])):
        yield
