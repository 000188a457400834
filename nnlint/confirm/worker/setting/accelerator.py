"""Code written for one device, run on another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from ..bench import Bench
from .replacement import replaced

PLACING = {
    "torch": (
        *("arange", "as_tensor", "asarray", "bartlett_window", "blackman_window", "empty", "empty_like"),
        *("empty_permuted", "empty_quantized", "empty_strided", "eye", "from_file", "full", "full_like"),
        *("hamming_window", "hann_window", "kaiser_window", "linspace", "logspace", "normal", "ones", "ones_like"),
        *("rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm", "range", "scalar_tensor"),
        *("sparse_bsc_tensor", "sparse_bsr_tensor", "sparse_compressed_tensor", "sparse_coo_tensor"),
        *("sparse_csc_tensor", "sparse_csr_tensor", "tensor", "tril_indices", "triu_indices", "zeros", "zeros_like"),
    ),
    "torch.Tensor": ("new_empty", "new_empty_strided", "new_full", "new_ones", "new_tensor", "new_zeros"),
    "torch.fft": ("fftfreq", "rfftfreq"),
    "torch.nested": ("as_nested_tensor", "nested_tensor"),
    "torch.signal.windows": (
        *("bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming"),
        *("hamming", "hann", "kaiser", "nuttall"),
    ),
}
"""The functions and methods of torch that make a tensor on the ``device`` they are given, by what has them."""


@contextmanager
def moved_to_bench(bench: Bench) -> Iterator[None]:
    """What the user's lines put on an accelerator goes to the device of the bench.

    The functions themselves are replaced: a mode of torch for functions would slow down every operation.
    """
    import torch
    from torch.jit import _builtins
    from torch.utils._device import DeviceContext

    device = torch.device(bench.device)
    if device.type == "cuda":
        yield
        return

    def moved(value: Any) -> Any:
        if isinstance(value, torch.device):
            return device if value.type == "cuda" else value
        if isinstance(value, str):
            return device if value.partition(":")[0] == "cuda" else value
        return device if type(value) is int else value

    def placing(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def place(*args: Any, **kwargs: Any) -> Any:
            if "device" in kwargs:
                kwargs["device"] = moved(kwargs["device"])
            return function(*args, **kwargs)

        return place

    def to(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = {name: moved(value) if name == "device" else value for name, value in kwargs.items()}
        return move(self, *map(moved, args), **given)

    def cuda(self: Any, *args: Any, **kwargs: Any) -> Any:
        return move(self, device)

    def enter(self: Any, place: Any) -> None:
        begin(self, moved(place))

    def find_builtin(function: Any) -> Any:
        return find(getattr(function, "__wrapped__", function))

    move, begin, find = torch.Tensor.to, DeviceContext.__init__, _builtins._find_builtin
    replacements: list[tuple[Any, str, Any]] = [
        (torch.Tensor, "to", to),
        (torch.Tensor, "cuda", cuda),
        (DeviceContext, "__init__", enter),
        # The compiler of torch.jit knows the functions of torch by their identity.
        (_builtins, "_find_builtin", find_builtin),
    ]
    for path, names in PLACING.items():
        owner: Any = torch
        for part in path.split(".")[1:]:
            owner = getattr(owner, part)
        replacements += [(owner, name, placing(getattr(owner, name))) for name in names if hasattr(owner, name)]
    with replaced(replacements):
        yield
