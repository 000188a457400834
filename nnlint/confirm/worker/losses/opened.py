"""What of torch takes values that nobody gives while the user's lines run: loaders, buffers, makers of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..anything import is_missing
from ..bench import Bench
from ..draws.loading import without_data
from ..setting.replacement import replaced
from .supply import BATCHES, Supply
from .wanted import Wanted, is_wanted

MAKERS = ("tensor", "as_tensor", "from_numpy")
"""Functions that make tensors of arrays."""


@contextmanager
def opened(supply: Supply, bench: Bench) -> Iterator[None]:
    """Loaders give one batch, one that nobody gives where there are no data; buffers and makers take what is wanted."""
    import torch
    from torch.utils.data import DataLoader

    iterate = DataLoader.__iter__
    register = torch.nn.Module.register_buffer

    def register_any(self: Any, name: str, tensor: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(tensor, Wanted):
            self.__dict__[name] = tensor
        else:
            register(self, name, tensor, *args, **kwargs)

    def batches(self: Any) -> Iterator[Any]:
        self.num_workers = 0
        return iter(_loaded(iterate, self, supply))

    replacements = (
        (DataLoader, "__iter__", batches),
        (torch.nn.Module, "register_buffer", register_any),
        *((torch, name, _handing_on(getattr(torch, name))) for name in MAKERS),
    )
    with without_data(bench), replaced(replacements):
        yield


def one_batch(value: Any, supply: Supply) -> Any:
    """The first round of a loop over batches; a batch that nobody gives if there is none."""
    if is_wanted(value):
        return value
    try:
        for batch in value:
            return [batch]
    except Exception:
        pass
    return Wanted(BATCHES, supply)


def _loaded(iterate: Callable[[Any], Iterator[Any]], loader: Any, supply: Supply) -> Any:
    """The first batch of a loader; one that nobody gives if its samples are made of what nobody gives.

    Nothing is known of such samples: the batch is made up as a whole, where the lines ask for it.
    """
    before = supply.mark()
    try:
        batch = next(iterate(loader))
        if supply.mark() == before and not any(is_wanted(each) or is_missing(each) for each in _in(batch)):
            return [batch]
    except Exception:
        pass
    supply.forget(before)
    return Wanted(BATCHES, supply)


def _in(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _in(each)
    elif isinstance(value, dict):
        yield from _in(list(value.values()))
    else:
        yield value


def _handing_on(maker: Callable[..., Any]) -> Callable[..., Any]:
    """What nobody gives is a tensor if one is wanted, and need not be made one."""

    def make(value: Any, *args: Any, **kwargs: Any) -> Any:
        return value if isinstance(value, Wanted) else maker(value, *args, **kwargs)

    return make
