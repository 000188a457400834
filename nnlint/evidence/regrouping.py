"""What a view does to the order of the dimensions."""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Literal

from nnlint.symbolic.sizes import LARGEST, ONE, Atom, Monomial, as_operation, is_minus_one, monomial, together
from nnlint.symbolic.values import Choice, Const, Symbol, Value

RANKS = 7
"""Shapes of more dimensions are not searched for the dimensions that a size is made of."""


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A dimension that a reshape asks for at a place where its elements do not lie.

    ``wanted`` is the size in question, ``source`` the axis that it is (part of) before and ``target`` the axis that
    asks for it; ``ratio`` is how many times too far apart (or, inverted, too close) the elements on the target axis
    lie: the view is right only if it is 1.
    """

    wanted: Monomial
    source: int
    target: int
    ratio: Monomial


@dataclass(frozen=True, slots=True)
class Regrouping:
    """What a reshape does to the order of the dimensions.

    ``sizes`` are the sizes after, -1 inferred. ``blocks`` pairs the runs of axes that hold the same elements: the
    axes before, the axes after. ``misplaced`` is the evidence of a mixed order.
    """

    verdict: Literal["ordered", "mixed", "unknown"]
    dims: tuple[Monomial, ...] = ()
    sizes: tuple[Monomial, ...] = ()
    blocks: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()
    misplaced: tuple[Misplaced, ...] = ()

    def held(self, target: int) -> tuple[int, ...]:
        """The source axes among which the elements on a target axis really lie."""
        return next((before for before, after in self.blocks if target in after), ())


UNKNOWN = Regrouping("unknown")


def regroup(dims: Items[Value], sizes: Items[Value]) -> Regrouping:
    """Whether a view of a tensor of sizes ``dims`` as ``sizes`` keeps the dimensions in order.

    The argument. A view renames no element: what lay ``stride`` elements apart still does. A size is a product of
    atoms, and an atom (say, B) that occurs in exactly one dimension before and exactly one after is asked for by name:
    the script says that the target's axis counts what the source's axis counted. In the source, the elements along B
    lie at least *the product of the dimensions behind* apart (its own dimension's other factors may lie behind it or
    before it, the sizes do not say which), in the target likewise. If the two ranges of strides cannot overlap for any
    sizes greater than 1, because the quotient of their nearest ends is a product, or one over a product, then the
    axis of that name counts other elements than before: the order is *mixed*. No coincidence of sizes can heal that:
    ``(B, W, H)`` viewed as ``(B, H, W)`` is wrong even for square images.

    ``ordered`` is the opposite proof: from both ends, each dimension after divides, or is divided by, what is left of
    the dimension before, until at most one dimension is left on a side, which may be cut up or put together freely
    (and the target does not show three or more dimensions whole in another order).
    All else is ``unknown``; so is everything when sizes contradict each other. A constant has no name; it is evidence
    only where both shapes have the very same object (``self.input_size``), or where there is but one way in which the
    dimensions before can be the factors of those after (``(2, N, 5)`` viewed as ``(-1, 10)``).

    If the sizes agree only under a condition, such as ``C == n * d``, then the view itself fails unless it holds; it
    is taken for granted, but nothing is asked for by name where only the condition says so. Dimensions that are known
    to be 1 do not matter. A quotient that consists of nothing but sizes computed by layers (which may well come down to
    1, such as the map a pooling leaves) is evidence only where the target gives them an axis of their own.
    """
    shared = _objects(dims) & _objects(sizes)
    before = [monomial(dim, shared) for dim in dims]
    after = [None if is_minus_one(size) else monomial(size, shared) for size in sizes]
    if None in before or sum(size is None for size in after) > 1 or sum(map(is_minus_one, sizes)) != after.count(None):
        return UNKNOWN
    source = [part for part in before if part is not None]
    given = [part for part in after if part is not None]
    rest = together(source) / together(given)
    unnamed: frozenset[Atom] = frozenset()
    if len(given) == len(after):
        if not rest.is_one:
            if rest.direction:
                return UNKNOWN
            solved = _solved(rest)
            if solved is not None:
                unnamed = frozenset(atom for atom, _ in solved[1].powers)
                source = [part.replaced(*solved) for part in source]
                given = [part.replaced(*solved) for part in given]
        target = given
    else:
        if rest.direction < 0 or (not rest.powers and rest.denominator != 1):
            return UNKNOWN
        target = [rest if part is None else part for part in after]
    return _judge(source, target, after.index(None) if None in after else None, unnamed)


def _objects(sizes: Items[Value]) -> frozenset[int]:
    """The constants greater than 1 that the sizes are made of, by identity."""
    found: set[int] = set()
    stack = list(sizes)
    while stack:
        item = stack.pop()
        if isinstance(item, Const):
            if isinstance(item.value, int) and item.value > 1:
                found.add(id(item))
        elif len(found) < LARGEST:
            expression = as_operation(item)
            stack.extend(() if expression is None else expression.args)
    return frozenset(found)


def _solved(rest: Monomial) -> tuple[Atom, Monomial] | None:
    """An atom, and what it must be, for ``rest`` to be 1."""
    for atom, exponent in rest.powers:
        if abs(exponent) != 1:
            continue
        # rest = atom^±1 · others = 1
        others = rest / Monomial(powers=((atom, exponent),))
        answer = ONE / others if exponent == 1 else others
        if answer.is_whole and not isinstance(atom.value, Const) and not any(map(_is_shaky, (atom, *answer.atoms))):
            return atom, answer
    for atom, exponent in rest.powers:
        others = rest / Monomial(powers=((atom, exponent),))
        if abs(exponent) == 1 and isinstance(atom.value, Const) and not others.powers:
            answer = ONE / others if exponent == 1 else others
            if answer.is_whole and answer.constant == atom.value.value:
                return atom, answer
    return None


def _judge(
    source: list[Monomial], target: list[Monomial], inferred: int | None, unnamed: frozenset[Atom]
) -> Regrouping:
    front = [axis for axis, size in enumerate(source) if not size.is_one]
    back = [axis for axis, size in enumerate(target) if not size.is_one]
    dims, sizes = [source[axis] for axis in front], [target[axis] for axis in back]
    blocks = _blocks(dims, sizes)
    named = tuple(
        (tuple(front[axis] for axis in before), tuple(back[axis] for axis in after)) for before, after in blocks
    )
    if not _is_rearranged(dims, sizes) and all(
        _in_order([dims[axis] for axis in before], [sizes[axis] for axis in after]) for before, after in blocks
    ):
        return Regrouping("ordered", tuple(source), tuple(target), named)
    asked = _asked(dims, sizes, back.index(inferred) if inferred in back else None, unnamed)
    found = [
        Misplaced(evidence.wanted, front[evidence.source], back[evidence.target], evidence.ratio)
        for evidence in _misplaced(dims, sizes, asked)
    ]
    return Regrouping("mixed" if found else "unknown", tuple(source), tuple(target), named, tuple(found))


def _is_rearranged(dims: list[Monomial], sizes: list[Monomial]) -> bool:
    """Whether three or more dimensions come again whole, in another order: no accident of divisible constants."""
    return len(dims) > 2 and len(set(dims)) == len(dims) and (way := _assigned(dims, sizes)) != sorted(way)


def _blocks(dims: list[Monomial], sizes: list[Monomial]) -> list[tuple[range, range]]:
    """The shortest runs of axes with equal products on both sides, from front to back."""
    blocks: list[tuple[range, range]] = []
    behind = {ONE: 0}
    total = ONE
    for count, dim in enumerate(dims, 1):
        total = total * dim
        behind[total] = count
    total, i, k = ONE, 0, 0
    for count, size in enumerate(sizes, 1):
        total = total * size
        end = behind.get(total)
        if end is not None and end > i:
            blocks.append((range(i, end), range(k, count)))
            i, k = end, count
    if i < len(dims) or k < len(sizes):
        blocks.append((range(i, len(dims)), range(k, len(sizes))))
    return blocks


def _in_order(dims: list[Monomial], sizes: list[Monomial]) -> bool:
    """Whether the target's dimensions split and merge the source's from both ends until one is left on a side."""
    dims, sizes = list(dims), list(sizes)
    for end in (0, -1):
        while len(dims) > 1 and len(sizes) > 1:
            dim, size = dims[end], sizes[end]
            if dim == size:
                del dims[end], sizes[end]
            elif (dim / size).is_whole:
                dims[end] = dim / size
                del sizes[end]
            elif (size / dim).is_whole:
                sizes[end] = size / dim
                del dims[end]
            else:
                break
    return len(dims) <= 1 or len(sizes) <= 1


def _strides(sizes: list[Monomial]) -> list[Monomial]:
    strides = [ONE]
    for size in reversed(sizes[1:]):
        strides.append(strides[-1] * size)
    return strides[::-1]


def _misplaced(dims: list[Monomial], sizes: list[Monomial], asked: list[tuple[int, int, Monomial]]) -> list[Misplaced]:
    """The atoms, or whole dimensions, whose elements lie elsewhere than the target says."""
    found: list[Misplaced] = []
    before, after = _strides(dims), _strides(sizes)
    for source, target, wanted in asked:
        # the strides that the wanted size can have: its own dimension's other factors lie behind it or before it
        loose, free = dims[source] / wanted, sizes[target] / wanted
        wider = (after[target] / (before[source] * loose)).reckoned
        closer = (after[target] * free / before[source]).reckoned
        ratio = wider if wider.direction > 0 else closer if closer.direction < 0 else None
        if ratio is not None and _exceeds_one(ratio, sizes):
            found.append(Misplaced(wanted, source, target, ratio))
    return found


def _asked(
    dims: list[Monomial], sizes: list[Monomial], inferred: int | None, unnamed: frozenset[Atom]
) -> list[tuple[int, int, Monomial]]:
    """Where the target asks for something of the source by name: the source axis, the target axis, and for what.

    An axis that is inferred asks for nothing, unless it can only be one whole dimension of the source; nor do atoms
    that only the solving of a condition has brought to where they are.
    """
    found: list[tuple[int, int, Monomial]] = []
    for atom in dict.fromkeys(atom for size in sizes for atom in size.atoms):
        before = [axis for axis, dim in enumerate(dims) if dim.exponent(atom)]
        after = [axis for axis, size in enumerate(sizes) if size.exponent(atom)]
        if len(before) != 1 or len(after) != 1 or atom in unnamed:
            continue
        dim, size = dims[before[0]], sizes[after[0]]
        if dim == size:
            entry = (before[0], after[0], dim)
        elif after[0] != inferred and dim.exponent(atom) == size.exponent(atom) == 1 and dim.is_whole and size.is_whole:
            entry = (before[0], after[0], Monomial(powers=((atom, 1),)))
        else:
            continue
        if entry not in found:
            found.append(entry)
    if not unnamed and len(set(dims)) == len(dims) and (len(dims) > 2 or any(dim.powers for dim in dims)):
        known = {source for source, _, _ in found}
        found += [
            (source, target, dims[source])
            for source, target in enumerate(_assigned(dims, sizes))
            if source not in known and (target != inferred or dims[source] == sizes[target])
        ]
    return found


def _assigned(dims: list[Monomial], sizes: list[Monomial]) -> list[int]:
    """For each dimension of the source the target's that it is a factor of; nothing unless there is but one way."""
    ways: list[list[int]] = []

    def assign(axis: int, left: list[Monomial], way: list[int]) -> None:
        if len(ways) > 1:
            return
        if axis == len(dims):
            if all(size.is_one for size in left):
                ways.append(way)
            return
        for target, size in enumerate(left):
            rest = size / dims[axis]
            if rest.is_one or rest.is_whole:
                assign(axis + 1, [*left[:target], rest, *left[target + 1 :]], [*way, target])

    if len(dims) <= RANKS:
        assign(0, sizes, [])
    return ways[0] if len(ways) == 1 else []


def _is_shaky(atom: Atom) -> bool:
    """Whether too little is known of an atom to conclude anything from what it would have to be."""
    return isinstance(atom.value, Choice) or as_operation(atom.value) is not None


def is_computed(atom: Atom) -> bool:
    """Whether an atom is a size that layers computed, or one that nothing is known of: it may come down to 1."""
    value = atom.value
    return as_operation(value) is not None or (isinstance(value, Symbol) and value.of is None and not value.name)


def _exceeds_one(ratio: Monomial, sizes: list[Monomial]) -> bool:
    """Whether a product is more than 1 for the sizes that a script can mean."""
    if ratio.numerator != ratio.denominator or not all(is_computed(atom) for atom in ratio.atoms):
        return True
    return any(
        all(is_computed(atom) for atom in size.atoms) and any(size.exponent(atom) for atom in ratio.atoms)
        for size in sizes
    )
