"""What a line of the user would have given that failed: data that were not at hand, most of the time."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..asked import Sizes
from ..draws.loading import SAMPLES
from ..reason import Unavailable
from .supply import UNKNOWN
from .wanted import ENTRIES, SAME, TENSOR, Wanted, settled

_ELEMENT = re.compile(r"\[-?\d+\]$")
"""The end of the name of one element."""


class Lost(Wanted):
    """Stands for what a failed line would have given.

    Arrays, tables and files are read and prepared in many ways before they are tensors of batches. So whatever is
    computed of it is lost as well, until it meets a tensor, or a function of torch that demands one. It has as many
    examples as a data set that nobody knows, and as many features as there are classes.

    Raises:
        Unavailable: one element of it is asked for as a number, or all of it as an array; it says why there is none.
    """

    def __getattr__(self, name: str) -> Any:
        if self._value is not None or name in SAME or name.startswith("__"):
            return super().__getattr__(name)
        if name == "shape":
            return Sizes((SAMPLES, *[self._supply.class_count] * 3))
        if name == "size":
            size = _Size(SAMPLES)
            size.sizes = self.shape
            return size
        return self._part(f".{name}") if name in TENSOR or name in ENTRIES else super().__getattr__(name)

    def __getitem__(self, key: Any) -> Any:
        if self._value is not None or isinstance(key, (str, int)):
            return super().__getitem__(key)
        return self._another(self._name, self._path)

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._value is not None or isinstance(key, (str, int)):
            super().__setitem__(key, value)

    def __len__(self) -> int:
        return SAMPLES if self._value is None else len(self._value)

    def __index__(self) -> int:
        self._refuse()
        if self._value is None:
            object.__setattr__(self, "_value", self._supply.size(self._name, self._supply.class_count))
        return int(self._value)

    __int__ = __index__

    def __float__(self) -> float:
        self._refuse()
        return super().__float__()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self._value is None:
            raise Unavailable(self._reason)
        return self._value.detach().cpu().numpy()

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return self._another(self._name, self._path)

    def __array_ufunc__(self, function: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._another(self._name, self._path)

    @property
    def _reason(self) -> str:
        return str(self._path).partition("\n")[0].removeprefix(UNKNOWN)

    def _refuse(self) -> None:
        if self._value is None and _ELEMENT.search(self._name):
            raise Unavailable(self._reason)


class _Size(int):
    """A number of elements, as arrays have it, that is also the method that tensors have."""

    sizes: Sizes

    def __call__(self, axis: int | None = None) -> Any:
        return self.sizes if axis is None else self.sizes[axis]


def _operator(name: str) -> Callable[..., Any]:
    of_wanted = getattr(Wanted, name)

    def method(self: Any, *others: Any) -> Any:
        import torch

        met = [settled(other) for other in others]
        if self._value is not None or any(isinstance(other, torch.Tensor) for other in met):
            return of_wanted(self, *met)
        return self._another(self._name, self._path)

    return method


for _name in "add sub mul matmul truediv floordiv mod pow lshift rshift and or xor".split():
    setattr(Lost, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(Lost, f"__r{_name}__", _operator(f"__r{_name}__"))
for _name in "lt le gt ge neg pos abs invert".split():
    setattr(Lost, f"__{_name}__", _operator(f"__{_name}__"))
