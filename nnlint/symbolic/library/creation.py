"""Functions that make tensors."""

from __future__ import annotations

from nnlint.symbolic.call import Call
from nnlint.symbolic.library.arguments import listed, operand, tensors
from nnlint.symbolic.scalar import is_numeric
from nnlint.symbolic.shapes import inserted
from nnlint.symbolic.values import (
    Attribute,
    Const,
    Library,
    Sequence,
    Shape,
    Symbol,
    Tensor,
    Unknown,
    Value,
    resolve_setting,
    shape_of,
)


def makes(call: Call) -> Value:
    """``zeros``, ``ones``, ``empty``, ``rand`` and so on: sizes one by one or as a list."""
    positional = call.arguments.positional
    if call.arguments.star:
        return call.tensor(Shape())
    given: list[Value] | None = list(positional)
    size = call.arguments.keywords.get("size") or call.arguments.keywords.get("shape")
    if not positional:
        given = listed(size) if size is not None else None
        if given is None and size is not None and is_numeric(size):
            given = [size]
    elif not is_numeric(positional[0]):
        given = listed(positional[0])
    return call.tensor(None if given is None else Shape(_numeric(given)))


def _numeric(sizes: list[Value]) -> list[Value]:
    while sizes and not is_numeric(sizes[-1]) and isinstance(sizes[-1], Library):
        sizes = sizes[:-1]
    return sizes


def makes_integers(call: Call) -> Value:
    """``randint(low, high, size)``."""
    size = call.arguments.keywords.get("size")
    if size is None:
        size = next((value for value in call.arguments.positional if isinstance(value, (Sequence, Attribute))), None)
    found = listed(size)
    return call.tensor(None if found is None else Shape(found), integer=True)


def makes_filled(call: Call) -> Value:
    """``full(size, value)``, ``new_full(size, value)``."""
    found = listed(call.get(0, "size"))
    return call.tensor(None if found is None else Shape(found))


def makes_range(call: Call) -> Value:
    """``arange``: a vector."""
    positional = call.arguments.positional
    length: Value = Symbol()
    if len(positional) == 1 and is_numeric(positional[0]):
        length = positional[0]
    elif len(positional) == 2 and isinstance(positional[0], Const) and positional[0].value == 0:
        length = positional[1] if is_numeric(positional[1]) else length
    return call.tensor(Shape([length]), integer=True)


def makes_steps(call: Call) -> Value:
    """``linspace(start, end, steps)``."""
    steps = call.get(2, "steps") or call.get(None, "num")
    return call.tensor(Shape([steps if steps is not None and is_numeric(steps) else Symbol()]))


def makes_identity(call: Call) -> Value:
    """``eye(n, m)``."""
    rows = call.get(0, "n") or Symbol()
    columns = call.get(1, "m") or call.get(None, "M") or rows
    return call.tensor(Shape([rows, columns]))


def makes_permutation(call: Call) -> Value:
    """``randperm(n)``."""
    length = call.get(0, "n") or Symbol()
    return call.tensor(Shape([length]), integer=True)


def makes_from_data(call: Call) -> Value:
    """``tensor``, ``as_tensor``, ``from_numpy``, ``array``: the shape of what is given."""
    value = call.get(0, "data") or call.get(0, "object") or operand(call)
    return call.tensor(shape_of_data(value))


def makes_typed(call: Call) -> Value:
    """``FloatTensor(…)``: of sizes if it is given numbers, else of data."""
    positional = call.arguments.positional
    if positional and all(is_numeric(value) for value in positional):
        return call.tensor(Shape(list(positional)))
    return call.tensor(shape_of_data(positional[0])) if positional else call.tensor(Shape([Const(0)]))


def shape_of_data(value: Value, depth: int = 0) -> Shape:
    """The shape of nested lists, numbers and arrays."""
    value = resolve_setting(value) or value
    if isinstance(value, (Tensor, Unknown)):
        return shape_of(value)
    if is_numeric(value):
        return Shape(())
    if isinstance(value, Sequence) and depth < 5:
        inner = value.items[0] if value.items else value.element
        if inner is None:
            return Shape()
        length: Value = Symbol() if value.open else Const(len(value.items))
        return inserted(shape_of_data(inner, depth + 1), 0, length)
    return Shape()


def stretches_grid(call: Call) -> Value:
    """``meshgrid``: as many tensors as vectors."""
    given = call.arguments.positional
    vectors = (tensors(given[0]) if len(given) == 1 and isinstance(given[0], Sequence) else list(given)) or []
    shape = Shape([shape_of(value).size(0) if shape_of(value).rank == 1 else Symbol() for value in vectors])
    return Sequence("list", [call.tensor(Shape(shape.dims)) for _ in vectors], not vectors)
