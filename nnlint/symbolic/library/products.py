"""Matrix products and contractions."""

from __future__ import annotations

from nnlint.symbolic.call import Call
from nnlint.symbolic.library.arguments import argument, operand, tensors
from nnlint.symbolic.library.elementwise import combined
from nnlint.symbolic.shapes import replaced, without
from nnlint.symbolic.sizes import broadcast, is_one
from nnlint.symbolic.values import (
    Const,
    Sequence,
    Shape,
    Symbol,
    Value,
    shape_of,
)


def multiplied(left: Value, right: Value) -> Shape:
    """The shape of a matrix product."""
    one, other = shape_of(left), shape_of(right)
    if other.rank == 1 or one.rank == 1:
        if one.rank == 1:
            return without(other, -2) if other.rank not in (None, 1) else Shape(()) if other.rank == 1 else Shape()
        return without(one, -1)
    if other.dims is not None and one.dims is not None:
        return Shape([*broadcast(one.dims[:-2], other.dims[:-2]), one.dims[-2], other.dims[-1]])
    if one.dims is not None:
        return Shape([*one.dims[:-1], other.size(-1)]) if not any(map(is_one, one.dims[:-2])) else Shape()
    if other.dims is not None and len(other.dims) > 2:
        return Shape([*other.dims[:-2], one.size(-2), other.dims[-1]])
    return replaced(one, -1, other.size(-1))


def binary(op: str, left: Value, right: Value) -> Shape:
    """The shape of ``left op right`` where at least one of them is a tensor."""
    return multiplied(left, right) if op == "@" else combined(left, right)


def multiplies(call: Call) -> Value:
    """``matmul``."""
    other = argument(call, 0, "other", "mat2", "tensor2", "vec")
    return call.tensor(None if other is None else multiplied(operand(call), other))


def multiplies_matrices(call: Call) -> Value:
    """``mm``: two matrices."""
    return _ranked_product(call, 2)


def multiplies_batches(call: Call) -> Value:
    """``bmm``: two batches of matrices."""
    return _ranked_product(call, 3)


def _ranked_product(call: Call, rank: int) -> Value:
    other = argument(call, 0, "mat2", "other")
    if other is None:
        return call.unknown()
    shape_of(operand(call)).fix_rank(rank)
    shape_of(other).fix_rank(rank)
    return call.tensor(multiplied(operand(call), other))


def adds_product(call: Call) -> Value:
    """``baddbmm``, ``addmm``: a matrix product plus something that broadcasts to it."""
    left, right = argument(call, 0, "batch1", "mat1"), argument(call, 1, "batch2", "mat2")
    return call.tensor(None if left is None or right is None else multiplied(left, right))


def contracts(call: Call) -> Value:
    """``einsum`` with its equation in letters."""
    equation = call.get(0, "equation")
    if not isinstance(equation, Const) or not isinstance(equation.value, str):
        return call.tensor(Shape())
    given = list(call.arguments.positional[1:])
    if len(given) == 1 and isinstance(given[0], Sequence):
        given = tensors(given[0]) or []
    return call.tensor(contracted(equation.value, given))


def contracted(equation: str, given: list[Value]) -> Shape:
    """The shape that an einsum equation gives; empty if it is not understood."""
    before, arrow, after = equation.replace(" ", "").partition("->")
    terms = before.split(",")
    if len(terms) != len(given):
        return Shape()
    sizes: dict[str, Value] = {}
    for term, value in zip(terms, given, strict=True):
        shape = shape_of(value)
        front, dots, back = term.partition("...")
        if not dots:
            shape.fix_rank(len(term))
            if shape.rank != len(term):
                return Shape()
        for axis, letter in enumerate(front):
            sizes.setdefault(letter, shape.size(axis))
        for axis, letter in enumerate(reversed(back), 1):
            sizes.setdefault(letter, shape.size(-axis))
    if not arrow:
        letters = before.replace(",", "")
        after = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1 and letter != "."))
    if "." in after:
        result = Shape()
        front, _, back = after.partition("...")
        for axis, letter in enumerate(front):
            result.know(axis, sizes.get(letter) or Symbol())
        for axis, letter in enumerate(reversed(back), 1):
            result.know(-axis, sizes.get(letter) or Symbol())
        return result
    return Shape([sizes.get(letter) or Symbol() for letter in after])
