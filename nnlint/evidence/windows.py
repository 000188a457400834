"""Windows of a sequence: which slice of which tensor a value is, and how far two of them lie apart."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst

from nnlint.evidence.provenance import operation_of
from nnlint.symbolic.scalar import atoms, evaluate
from nnlint.symbolic.values import Choice, Const, Index, Origin, Value

UNCHANGED = frozenset(
    "view reshape flatten contiguous clone to cuda cpu long int detach data Variable squeeze unsqueeze transpose t "
    "permute type float".split()
)
"""Operations that leave the tokens as they are, in another shape or elsewhere."""

FARTHEST = 30


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A slice of a sequence. ``lower`` and ``upper`` are None where the slice is open; ``origin`` where it is cut."""

    base: Value
    lower: Value | None = None
    upper: Value | None = None
    origin: Origin | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is cut off."""
        return self.origin is None


def window_of(value: Value) -> Window:
    """The slice that a value is, whatever shape it was given since; the whole of itself if it is none."""
    for _ in range(FARTHEST):
        if isinstance(value, Choice):
            value = value.yes if value.yes.origin is not None else value.no
            continue
        origin = value.origin
        if origin is None or not origin.inputs:
            break
        if origin.op == "getitem":
            bounds = bounds_of(origin)
            return Window(value) if bounds is None else Window(bare(origin.inputs[0]), *bounds, origin)
        if operation_of(origin) not in UNCHANGED:
            break
        value = origin.inputs[0]
    return Window(value)


def bare(value: Value) -> Value:
    """A value before it was moved or reshaped."""
    for _ in range(FARTHEST):
        origin = value.origin
        if isinstance(value, Choice):
            value = value.yes if value.yes.origin is not None else value.no
        elif origin is not None and origin.inputs and operation_of(origin) in UNCHANGED:
            value = origin.inputs[0]
        else:
            break
    return value


def bounds_of(origin: Origin) -> tuple[Value | None, Value | None] | None:
    """The lower and upper bound of the one slice in a subscript that cuts something off; None if it is another."""
    node = origin.node
    if not isinstance(node, cst.Subscript):
        return None
    slices = [element.slice for element in node.slice]
    values = list(origin.inputs[1 + sum(isinstance(each, cst.Index) for each in slices) :])
    found: list[tuple[Value | None, Value | None]] = []
    for each in slices:
        if not isinstance(each, cst.Slice):
            if isinstance(each, cst.Index) and isinstance(each.value, cst.Ellipsis):
                continue
            return None
        given = [bound is not None for bound in (each.lower, each.upper, each.step)]
        if sum(given) > len(values) or given[2]:
            return None
        bounds = [values.pop(0) if there else None for there in given[:2]]
        if any(given):
            found.append((bounds[0], bounds[1]))
    return found[0] if len(found) == 1 and not values else None


def distance(window: Window, other: Window) -> int | None:
    """How many steps further the other window begins in the same sequence; None if nobody can tell."""
    if not same_tensor(window.base, other.base):
        return None
    found = {_difference(window.lower, other.lower, shift) for shift in (0, 7)}
    result = found.pop()
    return result if not found and isinstance(result, int) else None


def length(window: Window) -> int | None:
    """How many steps a window has, None if it cannot be told."""
    if window.upper is None:
        return None
    found = {_difference(window.lower, window.upper, shift) for shift in (0, 7)}
    result = found.pop()
    return result if not found and isinstance(result, int) and result > 0 else None


def _difference(left: Value | None, right: Value | None, shift: int) -> int | None:
    """``right - left``, whatever the numbers are that both are written in."""
    unknown = [atom for bound in (left, right) for atom in atoms(bound)]
    assumed: dict[int, object] = {id(atom): 100 + shift * (number + 1) for number, atom in enumerate(unknown)}
    known = {id(atom) for atom in unknown if evaluate(atom) is not None and not isinstance(atom, Index)}
    values = [
        0 if bound is None else evaluate(bound, {key: value for key, value in assumed.items() if key not in known})
        for bound in (left, right)
    ]
    first, second = values
    if not isinstance(first, int) or not isinstance(second, int) or first < 0 or second < 0:
        return None
    return second - first


def same_tensor(one: Value, other: Value) -> bool:
    """Whether two values are one tensor: the same value, or the same item of the same batch."""
    one, other = bare(one), bare(other)
    if one is other:
        return True
    if one.origin is None or other.origin is None or {one.origin.op, other.origin.op} != {"getitem"}:
        return False
    here, there = one.origin.inputs, other.origin.inputs
    if len(here) != 2 or len(there) != 2 or not isinstance(here[1], Const) or not isinstance(there[1], Const):
        return False
    return here[1].value == there[1].value and same_tensor(here[0], there[0])
