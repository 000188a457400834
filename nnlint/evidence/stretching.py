"""Pairs of tensors of which broadcasting makes every combination of their elements."""

from __future__ import annotations

from dataclasses import dataclass

from nnlint.symbolic.scalar import number
from nnlint.symbolic.values import Const, Object, Symbol, Tensor, Unknown, Value, resolve_setting, same, shape_of


@dataclass(frozen=True, slots=True, eq=False)
class Stretched:
    """A tensor with one axis of size 1 more than the other, in front of whose axis of examples it comes to lie.

    ``longer`` and ``shorter`` are the shapes in words; ``result`` that of what comes out.
    """

    longer: str
    shorter: str
    result: str
    first: bool
    """Whether the longer one is the first of the pair."""


def stretched(left: Value, right: Value) -> Stretched | None:
    """How two tensors stretch each other, of which one has an axis of size 1 too many; None if they do not."""
    return _stretched(left, right, True) or _stretched(right, left, False)


def _stretched(longer: Value, shorter: Value, first: bool) -> Stretched | None:
    if not all(isinstance(value, (Tensor, Unknown)) for value in (longer, shorter)):
        return None
    few, many = shape_of(shorter).dims, shape_of(longer).dims
    if not few or not counts_examples(few[0], longer):
        return None
    if len(few) == 1:
        last = shape_of(longer).axes.get(-1) if many is None else many[-1]
        if not _is_one(last) or (many is not None and len(many) != 2):
            return None
        if many is not None and not _may_be(many[0], few[0]):
            return None
        size = in_words(few[0], "N")
        return Stretched(f"({size}, 1)", f"({size},)", f"({size}, {size})", first)
    if many is None or len(many) != len(few) + 1 or not _is_one(many[1]) or not same(many[0], few[0]):
        return None
    rest = [in_words(size, name) for size, name in zip(few[1:], "HWD", strict=False)]
    size = in_words(few[0], "N")
    return Stretched(
        f"({', '.join([size, '1', *rest])})",
        f"({', '.join([size, *rest])})",
        f"({', '.join([size, size, *rest])})",
        first,
    )


def counts_examples(size: Value, other: Value) -> bool:
    """Whether an axis is known to be longer than 1: a number, or the batches of a loader with a batch size."""
    known = number(size)
    if known is not None:
        return known > 1
    if isinstance(size, Symbol) and isinstance(size.of, Object) and size.of.kind == "loader":
        given = resolve_setting(size.of.arguments.get(1, "batch_size"))
        return given is not None and not (isinstance(given, Const) and given.value in (1, None))
    return same(size, shape_of(other).axes.get(0))


def _is_one(size: Value | None) -> bool:
    return isinstance(size, Const) and size.value == 1


def _may_be(one: Value, other: Value) -> bool:
    """Whether two sizes can be the same, which they must be for a loss of as many examples as targets."""
    this, that = number(one), number(other)
    return this is None or that is None or this == that


def in_words(size: Value, name: str) -> str:
    """A size as a number where it is known, else as a letter."""
    known = number(size)
    return f"{known:g}" if known is not None else name
