"""Subscripts of tensors whose rank nobody has told, and of their shapes."""

from __future__ import annotations

import pytest

from nnlint.symbolic.indexing import IndexItem, index, shape_slice
from nnlint.symbolic.sizes import monomial
from nnlint.symbolic.values import Const, Operation, Sequence, Setting, Shape, Symbol, Tensor, Unknown, Value

B, T, C = Symbol("B"), Symbol("T"), Symbol("C")
ALL = IndexItem.slice(None, None)


def item(value: object) -> IndexItem:
    return IndexItem.value_of(value if isinstance(value, Value) else Const(value))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Const(0), "integer"),
        (Const(None), "new"),
        (Const(...), "ellipsis"),
        (Const(True), "other"),
        (Symbol("i"), "integer"),
        (Operation("+", (Symbol("i"), Const(1))), "integer"),
        (Operation(">", (Symbol("i"), Const(1))), "other"),
        (Setting("axis", Const(1)), "integer"),
        (Unknown("mask"), "other"),
        (Tensor(Shape()), "other"),
    ],
)
def test_kinds(value: Value, kind: str) -> None:
    assert IndexItem.value_of(value).kind == kind


def test_full_slices_keep_the_very_shape() -> None:
    value = Unknown("x")
    assert index(value, [ALL]) is index(value, [item(...), ALL])


def test_front_axes_of_an_unknown_rank() -> None:
    value = Unknown("x")
    first = index(value, [ALL, IndexItem.slice(None, Const(3))])
    assert value.shape is not None
    assert first.size(0) is value.shape.size(0)
    assert first.rank is None
    assert getattr(first.size(1), "value", None) == 3


def test_back_axes_of_an_unknown_rank() -> None:
    value = Unknown("x", shape=Shape())
    assert value.shape is not None
    last = value.shape.size(-1)
    result = index(value, [item(...), item(None)])
    assert getattr(result.size(-1), "value", None) == 1
    assert index(value, [ALL, IndexItem.slice(Const(1), None)]).size(-1) is last


def test_a_tuple_is_taken_apart() -> None:
    value = Tensor(Shape([B, T, C]))
    both = Sequence("tuple", [Const(0), Const(...)])
    assert index(value, [item(both)]).dims == (T, C)


def test_too_many_items_are_unknown() -> None:
    assert index(Tensor(Shape([B])), [item(0), item(0)]).rank is None

    value = Tensor(Shape([B, T, C]))
    assert index(value, [item(Unknown("mask"))]).rank is None


def test_cutting_what_was_added_restores_the_size() -> None:
    padded = Tensor(Shape([B, Operation("+", (T, Const(1)))]))
    assert index(padded, [ALL, IndexItem.slice(Const(1), None)]).dims == (B, T)
    assert index(padded, [ALL, IndexItem.slice(None, Const(-1))]).dims == (B, T)


def test_windows_of_known_length() -> None:
    i = Symbol("i")
    window = IndexItem.slice(i, Operation("+", (i, C)))
    assert index(Tensor(Shape([T])), [window]).dims == (C,)
    tail = IndexItem.slice(Operation("neg", (C,)), None)
    assert index(Tensor(Shape([T])), [tail]).dims == (C,)


def test_slices_of_a_shape() -> None:
    known = Shape([B, T, C])
    assert shape_slice(known, Const(1), None).items == [T, C]
    assert shape_slice(known, None, Const(-1)).items == [B, T]
    unknown = Shape()
    assert shape_slice(unknown, None, Const(2)).items == [unknown.size(0), unknown.size(1)]
    assert shape_slice(unknown, Const(-2), None).items == [unknown.size(-2), unknown.size(-1)]
    assert shape_slice(unknown, Const(1), None).open
    assert shape_slice(unknown, Symbol(), None).open


def test_steps_divide() -> None:
    result = index(Tensor(Shape([T])), [IndexItem.slice(None, None, Const(2))])
    assert result.dims is not None
    assert monomial(result.dims[0]) == monomial(Operation("//", (T, Const(2))))
    assert index(Tensor(Shape([T])), [IndexItem.slice(None, None, Const(-1))]).dims == (T,)
