"""A value the slice does not have: it takes part in anything without failing, and remembers why it is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from opcode import opmap
from types import FrameType
from typing import Any


class Anything:
    """Stands for a value that could not be had; ``why`` is the reason. What is computed from it is missing too.

    It is false, smaller than nothing and greater than nothing, and empty when iterated, so that the branches and loops
    it decides are left out.
    """

    def __init__(self, why: str) -> None:
        object.__setattr__(self, "_nnlint_why", why)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Anything(reason(self))

    def __setattr__(self, name: str, value: object) -> None:
        pass

    def __delattr__(self, name: str) -> None:
        pass

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """More of the same; as a decorator it leaves alone what it decorates, which no type of a library is."""
        if len(args) == 1 and not kwargs and (isinstance(args[0], type) or type(args[0]).__name__ == "function"):
            library = str(getattr(args[0], "__module__", "")).partition(".")[0]
            return Anything(reason(self)) if library in ("builtins", "numpy", "torch") else args[0]
        return Anything(reason(self))

    def __getitem__(self, key: object) -> Any:
        return Anything(reason(self))

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def __delitem__(self, key: object) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        """Nothing; but where it is unpacked, ``a, b = missing``, as many missing values as are asked for."""
        return iter([Anything(reason(self)) for _ in range(_targets(sys._getframe(1)))])

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False

    def __contains__(self, item: object) -> bool:
        return False

    def __fspath__(self) -> str:
        """Raises: FileNotFoundError: there is no such path, and why."""
        raise FileNotFoundError(reason(self))

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return ()

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"<missing: {reason(self)}>"

    def __format__(self, spec: str) -> str:
        return repr(self)


def _targets(frame: FrameType) -> int:
    """How many variables the expression that a frame is at is unpacked into; 0 if it is not."""
    code, place = frame.f_code.co_code, frame.f_lasti
    return code[place + 1] if 0 <= place < len(code) - 1 and code[place] == opmap["UNPACK_SEQUENCE"] else 0


def _missing(self: Anything, *others: object) -> Anything:
    return Anything(reason(self))


def _false(self: Anything, other: object) -> bool:
    return False


for _name in "add sub mul matmul truediv floordiv mod pow and or xor lshift rshift".split():
    for _form in (f"__{_name}__", f"__r{_name}__", f"__i{_name}__"):
        setattr(Anything, _form, _missing)
for _name in "neg pos abs invert".split():
    setattr(Anything, f"__{_name}__", _missing)
for _name in "lt le gt ge".split():
    setattr(Anything, f"__{_name}__", _false)


DECIDING = "__bool__ __lt__ __le__ __gt__ __ge__ __contains__ __len__ __iter__".split()


@contextmanager
def decisions() -> Iterator[list[str]]:
    """The reasons of missing values that decide a branch or a loop meanwhile."""
    found: list[str] = []
    before = {name: getattr(Anything, name) for name in DECIDING}

    def noted(method: Callable[..., Any]) -> Callable[..., Any]:
        def decide(self: Anything, *others: object) -> Any:
            found.append(reason(self))
            return method(self, *others)

        return decide

    def iterate(self: Anything) -> Iterator[Any]:
        number = _targets(sys._getframe(1))
        if not number:
            found.append(reason(self))
        return iter([Anything(reason(self)) for _ in range(number)])

    for name, method in before.items():
        setattr(Anything, name, iterate if name == "__iter__" else noted(method))
    try:
        yield found
    finally:
        for name, method in before.items():
            setattr(Anything, name, method)


def is_missing(value: object) -> bool:
    """Whether a value could not be had."""
    return type(value) is Anything


def reason(value: object) -> str:
    """Why a value could not be had."""
    return str(object.__getattribute__(value, "_nnlint_why"))
