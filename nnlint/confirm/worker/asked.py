"""What the lines make of a value that nobody gives: what they unpack it into, which keys and sizes they ask it for."""

from __future__ import annotations

import ast
import dis
import sys
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

from .definitions import body_at


def unpacked(frame: Any) -> list[str] | None:
    """The names of what the line that iterates unpacks, empty where it has none; None if the line loops."""
    code = frame.f_code
    if frame.f_lasti < 0 or dis.opname[code.co_code[frame.f_lasti]] not in ("UNPACK_SEQUENCE", "UNPACK_EX"):
        return None
    return _unpacked_at(code, frame.f_lasti)


@lru_cache(maxsize=256)
def _unpacked_at(code: CodeType, place: int) -> list[str]:
    """The same for the unpacking at a place of the code: a loop asks for it in every round."""
    following = iter(each for each in dis.get_instructions(code) if each.offset >= place)
    unpacking = next(following)
    count = (unpacking.arg or 0) & 0xFF
    if unpacking.opname == "UNPACK_EX":
        count += 1 + ((unpacking.arg or 0) >> 8)
    names: list[str] = []
    for each in following:
        if not each.opname.startswith("STORE_") or len(names) == count:
            break
        names += list(each.argval) if isinstance(each.argval, tuple) else [str(each.argval)]
    return names if len(names) == count else [""] * count


def keys_in(frame: Any) -> list[str]:
    """The keys, as texts, that the function at work in a frame asks mappings for."""
    keys = (
        node.slice.value
        for statement in body_at(frame.f_code)
        for node in ast.walk(statement)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
    )
    return list(dict.fromkeys(key for key in keys if isinstance(key, str)))


class Sizes(tuple):  # type: ignore[type-arg]
    """A shape of which nobody knows how many axes it has: as many as are unpacked, the last size for any beyond."""

    def __iter__(self) -> Iterator[Any]:
        names = unpacked(sys._getframe(1))
        return iter([self[axis] for axis in range(len(self) if names is None else len(names))])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return type(self)(tuple(self)[key])
        return tuple.__getitem__(self, key if -len(self) <= key < len(self) else -1)

    def numel(self) -> int:
        """Their product, or what is as good: the number of examples."""
        return int(self[0])
