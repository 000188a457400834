"""Dimension algebra: sizes as products, and what a view does to the order of the dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from itertools import product as combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlint.evidence.regrouping import regroup
from nnlint.symbolic.scalar import operation
from nnlint.symbolic.shapes import Extended, Varied
from nnlint.symbolic.sizes import broadcast, monomial, product, spelled, viewed, windows
from nnlint.symbolic.values import Choice, Const, Operation, Setting, Shape, Symbol, Value

B, T, C, H, W, D, N, S, K = (Symbol(name) for name in ("B", "T", "C", "H", "W", "D", "N", "S", "K"))
REST = Const(-1)


def times(*sizes: Value) -> Value:
    return product(sizes)


def over(size: Value, by: Value) -> Value:
    return operation("//", size, by)


# --- products --------------------------------------------------------------------------------------------------------


def test_products_are_equal_in_any_order() -> None:
    assert monomial(times(B, T, C)) == monomial(times(C, B, T))
    assert hash(monomial(times(B, T))) == hash(monomial(times(T, B)))
    assert monomial(times(B, T)) != monomial(times(B, C))


def test_division_is_exact() -> None:
    assert monomial(times(over(C, N), N)) == monomial(C)
    assert monomial(over(times(C, Const(6)), Const(2))) == monomial(times(Const(3), C))
    assert monomial(Operation("int", (Operation("/", (C, Const(2))),))) == monomial(over(C, Const(2)))


def test_sums_are_atoms_compared_by_structure() -> None:
    one, other = (Operation("+", (H, Const(2))) for _ in range(2))
    assert monomial(one) == monomial(other)
    assert monomial(one) == monomial(Operation("+", (Const(2), H)))
    assert monomial(one) != monomial(Operation("+", (H, Const(3))))


def test_settings_and_choices_are_equal_by_structure() -> None:
    test = Setting("bidirectional", Const(False))
    one, other = (Choice(test, Const(2), Const(1)) for _ in range(2))
    assert monomial(times(one, H)) == monomial(times(H, other))
    assert monomial(Setting("heads", Const(8))) == monomial(Setting("heads", Const(8)))
    assert monomial(Choice(None, Const(2), Const(1))) != monomial(Choice(None, Const(2), Const(1)))


@pytest.mark.parametrize("value", [Const(0), Const(-1), Const("x"), Const(None), Const(True), Const(2.5), None])
def test_what_is_no_size(value: Value | None) -> None:
    assert monomial(value) is None


def test_large_expressions_end() -> None:
    value: Value = H
    for _ in range(40):
        value = Operation("+", (value, value))
    assert monomial(value) is not None


def test_product_folds() -> None:
    assert product([Const(3), Const(4)]).value == 12  # type: ignore[attr-defined]
    assert product([over(C, N), N]) is C
    assert product([B]) is B


@pytest.mark.parametrize("size", range(1, 40))
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (4, 2, 1), (2, 2, 0), (7, 4, 3)])
def test_windows_are_those_of_a_convolution(size: int, kernel: int, stride: int, padding: int) -> None:
    counted = len(range(0, size + 2 * padding - kernel + 1, stride))
    result = windows(Const(size), Const(kernel), Const(stride), Const(padding))
    assert isinstance(result, Const)
    assert result.value == max(counted, 1) or counted == 0


def test_windows_that_divide_stay_products() -> None:
    assert monomial(windows(H, Const(2), Const(2), Const(0))) == monomial(over(H, Const(2)))
    assert windows(H, Const(3), Const(1), Const(1)) is H
    assert monomial(windows(H, K, S, D)) == monomial(windows(H, K, S, D))


def test_broadcast() -> None:
    assert broadcast((B, Const(1), C), (T, C)) == (B, T, C)
    assert broadcast((C,), (B, T, Const(1))) == (B, T, C)


def test_inferred_sizes() -> None:
    assert monomial(viewed((B, T, C), (REST, C))[0]) == monomial(times(B, T))
    assert viewed((B, T, C), (B, REST, C))[1] is T
    assert isinstance(viewed(None, (B, REST))[1], Symbol)


def test_spelled() -> None:
    size = monomial(times(Setting("args.heads", Const(8)), Choice(None, Const(2), Const(1)), over(C, N)))
    assert size is not None
    assert spelled(size) == "heads·(1 or 2)·C/N"
    nameless = monomial(times(Symbol(), C))
    assert nameless is not None
    assert spelled(nameless) == ""


# --- views -----------------------------------------------------------------------------------------------------------

ORDERED: list[tuple[Sequence[Value], Sequence[Value]]] = [
    ((B, T, C), (REST, C)),
    ((B, T, C), (B, REST)),
    ((B, T, C), (times(B, T), C)),
    ((times(B, T), C), (B, T, REST)),
    ((B, T, C), (B, T, N, over(C, N))),
    ((B, T, C), (B, T, N, D)),
    ((N, C, H, W), (B, T, C, H, W)),
    ((B, C, H, W), (B, S, over(C, S), H, W)),
    ((B, C, H, W), (B, C, over(H, S), S, over(W, S), S)),
    ((B, T, C), (B, over(T, S), times(C, S))),
    ((N, C, H, W), (REST, times(C, S), H, W)),
    ((N, C, H, W), (S, REST, K, over(C, K), H, W)),
    ((Const(1), B, H), (B, REST)),
    ((Const(1), B, H), (B, Const(1), H)),
    ((B, T, T), (B, T, T)),
    ((B, T, Const(512)), (B, T, Const(8), Const(64))),
    ((B, C, Const(1), Const(1)), (REST, C)),
    ((B,), (REST, Const(1))),
]

MIXED: list[tuple[Sequence[Value], Sequence[Value]]] = [
    ((B, W, H), (B, H, W)),
    ((B, T, C), (REST, C, T)),
    ((B, T, C), (B, C, REST)),
    ((B, T, C), (REST, T)),
    ((S, B, H), (B, times(S, H))),
    ((S, B, H), (B, REST)),
    ((S, B, H), (REST, times(H, S))),
    ((Const(2), B, H), (B, REST)),
    ((B, times(S, H)), (S, B, H)),
    ((B, T, times(N, D)), (times(B, N), REST, D)),
    ((B, T, Const(512)), (times(B, Const(8)), REST, Const(64))),
    ((B, T, C), (B, N, T, over(C, N))),
    ((B, T, C), (B, N, T, D)),
    ((B, T, C), (N, B, REST)),
    ((B, N, T, D), (B, T, times(N, D))),
    ((times(B, N), T, D), (B, T, times(N, D))),
    ((B, T, H, W, C), (REST, C, H, W)),
    ((N, C, H, W), (B, C, T, H, W)),
    ((B, times(N, K), H, W), (B, REST, K)),
    ((N, K), (K, REST, Const(1))),
    ((B, Const(64), T), (B, REST, Const(64))),
    ((Const(512), Const(8), Const(3)), (Const(8), Const(512), Const(3))),
]

UNKNOWN: list[tuple[Sequence[Value], Sequence[Value]]] = [
    ((B, T, C), (REST, D)),
    ((B, T, C), (N, D)),
    ((B, T, C), (B, N, REST)),
    ((B, C, Operation("+", (H, Const(1))), Operation("+", (W, Const(1)))), (REST, C)),
    ((B, C, H), (B, C)),
    ((B, Const(3)), (B, Const(4))),
    ((B, Const(4)), (Const(3), REST)),
    ((B, T, Const("x")), (B, T)),
    ((B, T, C), (REST, REST)),
]


@pytest.mark.parametrize(("dims", "sizes"), ORDERED)
def test_ordered(dims: Sequence[Value], sizes: Sequence[Value]) -> None:
    assert regroup(dims, sizes).verdict == "ordered"


@pytest.mark.parametrize(("dims", "sizes"), MIXED)
def test_mixed(dims: Sequence[Value], sizes: Sequence[Value]) -> None:
    assert regroup(dims, sizes).verdict == "mixed"


@pytest.mark.parametrize(("dims", "sizes"), UNKNOWN)
def test_unknown(dims: Sequence[Value], sizes: Sequence[Value]) -> None:
    assert regroup(dims, sizes).verdict == "unknown"


def test_the_same_constant_is_a_name() -> None:
    width = Const(20)
    assert regroup((N, width), (width, REST, Const(1))).verdict == "mixed"
    assert regroup((width, width), (width, REST)).verdict == "ordered"
    hidden = Const(5)
    twice = Operation("*", (hidden, Const(2)))
    assert regroup((Const(2), Const(6), hidden), (REST, twice, Const(1))).verdict == "mixed"


def test_evidence_names_the_axes() -> None:
    judged = regroup((B, W, H), (B, H, W))
    assert {(evidence.source, evidence.target) for evidence in judged.misplaced} == {(2, 1), (1, 2)}
    assert judged.blocks == (((0,), (0,)), ((1, 2), (1, 2)))
    assert judged.held(1) == (1, 2)


# --- against brute force ---------------------------------------------------------------------------------------------


def coordinates(order: Sequence[int], lengths: dict[int, int]) -> list[tuple[int, ...]]:
    """For every element, in memory order, its coordinate along each atom, if the atoms lie in this order."""
    total = math.prod(lengths[atom] for atom in order)
    strides: dict[int, int] = {}
    stride = 1
    for atom in reversed(order):
        strides[atom] = stride
        stride *= lengths[atom]
    atoms = sorted(order)
    return [tuple(element // strides[atom] % lengths[atom] for atom in atoms) for element in range(total)]


def readings(groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """Every order that the atoms can have if only the dimensions they belong to are known."""
    inner = [list(permutations(group)) for group in groups]
    return [[atom for part in choice for atom in part] for choice in combinations(*inner)]


@st.composite
def views(draw: st.DrawFn) -> tuple[list[list[int]], list[list[int]], dict[int, int]]:
    count = draw(st.integers(2, 5))
    before = draw(st.permutations(range(count)))
    after = draw(st.permutations(range(count)))
    lengths = {atom: draw(st.integers(2, 4)) for atom in range(count)}
    return cut(draw, before), cut(draw, after), lengths


def cut(draw: st.DrawFn, order: Sequence[int]) -> list[list[int]]:
    groups: list[list[int]] = [[order[0]]]
    for atom in order[1:]:
        if draw(st.booleans()):
            groups[-1].append(atom)
        else:
            groups.append([atom])
    return groups


@settings(deadline=None, max_examples=150)
@given(views(), st.data())
def test_verdicts_hold_for_every_assignment(
    view: tuple[list[list[int]], list[list[int]], dict[int, int]], data: st.DataObject
) -> None:
    before, after, lengths = view
    symbols = [Symbol(f"a{atom}") for atom in range(len(lengths))]
    dims = [times(*(symbols[atom] for atom in group)) for group in before]
    sizes = [times(*(symbols[atom] for atom in group)) for group in after]
    hidden = next((axis for axis, group in enumerate(before) if len(group) == 2), None)
    if hidden is not None and data.draw(st.booleans()):
        # the dimension has a name of its own, and one factor is written as a quotient
        whole = Symbol("whole")
        first, second = before[hidden]
        dims[hidden] = whole
        parts: dict[int, Value] = dict(enumerate(symbols))
        parts[second] = over(whole, symbols[first])
        sizes = [times(*(parts[atom] for atom in group)) for group in after]
    if data.draw(st.booleans()):
        sizes[data.draw(st.integers(0, len(sizes) - 1))] = REST
    verdict = regroup(dims, sizes).verdict
    real = [coordinates(order, lengths) for order in readings(before)]
    asked = [coordinates(order, lengths) for order in readings(after)]
    agrees = any(one == other for one in real for other in asked)
    if verdict == "mixed":
        assert not agrees
    if verdict == "ordered":
        assert agrees


@given(st.permutations(range(4)))
def test_a_permutation_of_named_dimensions_is_decided(order: list[int]) -> None:
    symbols = [Symbol(f"a{atom}") for atom in range(4)]
    verdict = regroup(symbols, [symbols[atom] for atom in order]).verdict
    assert verdict == ("ordered" if order == sorted(order) else "mixed")


# --- shapes that follow others ---------------------------------------------------------------------------------------


def test_varied_follows_its_base() -> None:
    base = Shape()
    result = Varied(base, {-1: lambda _: D})
    assert result.size(0) is base.size(0)
    assert result.size(-1) is D
    assert result.size(-2) is base.size(-2)
    b, t, d = result.unpack(("b", "t", "d"))
    assert base.rank == 3
    assert (b, d) == (base.size(0), D)
    assert t is base.size(1)


def test_varied_knows_when_the_base_does() -> None:
    base = Shape()
    result = Varied(base, {-1: lambda _: D})
    base.fix_rank(2)
    assert result.dims == (base.size(0), D)


def test_extended_has_one_more_axis() -> None:
    base = Shape()
    result = Extended(base, D)
    assert result.unpack(("b", "t", "d"))[2] is D
    assert base.rank == 2
    assert result.size(0) is base.size(0)
