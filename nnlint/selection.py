"""Selectors: which rules a run asks, said in codes, prefixes of codes, names or ALL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nnlint.rule import Rule

SPECIFIC = 5
"""How specific a whole code or a name is; a prefix counts its length, ALL counts nothing."""


REACH = {"baseline": "2", "overfit": "3", "regularize": "4", "tune": "6"}
"""The stages that a project can be at, in the order of the recipe, and the last hundred of codes that is asked then."""

SPEAKS_OF_STAGE = len("NN4")
"""How specific a selector is that knows the stage of its rules; ``ALL`` and ``NN`` do not."""


class UnknownSelector(ValueError):
    """A selector that names no rule; the message says which and what may have been meant."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What one layer of configuration says about rules; ``select`` is None where it keeps what it finds."""

    select: tuple[str, ...] | None = None
    extend_select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selected:
    """The codes of a run; ``asked`` are those that somebody named, which show their infos too."""

    codes: frozenset[str]
    asked: frozenset[str]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A clause that suggests the nearest known word, or nothing."""
    from difflib import get_close_matches

    folded = {candidate.casefold(): candidate for candidate in known}
    near = get_close_matches(word.casefold(), folded, n=1)
    return f"; did you mean '{folded[near[0]]}'?" if near else ""


def expand(selector: str, rules: Mapping[str, Rule]) -> tuple[int, frozenset[str]]:
    """How specific a selector is, and the codes it stands for.

    Raises:
        UnknownSelector: it stands for none.
    """
    if selector.upper() == "ALL":
        return 0, frozenset(rules)
    if re.fullmatch(r"NN\d{0,3}", selector.upper()):
        codes = frozenset(code for code in rules if code.startswith(selector.upper()))
    else:
        codes = frozenset(code for code, rule in rules.items() if rule.name == selector.lower())
    if not codes:
        hint = did_you_mean(selector, [*rules, *(rule.name for rule in rules.values()), "ALL"])
        raise UnknownSelector(f"unknown rule selector '{selector}'{hint}")
    return (len(selector) if selector.upper().startswith("NN") else SPECIFIC), codes


def select_rules(layers: Iterable[Selection], rules: Mapping[str, Rule], stage: str | None = None) -> Selected:
    """Apply the layers in order, the strongest last, and leave out what comes after the stage, if one is given.

    Within a layer the more specific selector decides, and ``ignore`` where both are equally specific. A ``select``
    forgets what earlier layers selected; what they ignored stays ignored unless the new selector is as specific.
    The recipe is a sequence: a rule of a later stage is asked only if a selector names it or its hundred.

    Raises:
        UnknownSelector: a selector stands for no rule.
    """
    enabled = {code for code, rule in rules.items() if rule.default}
    asked: set[str] = set()
    named: set[str] = set()
    ignored: dict[str, int] = {}
    for layer in layers:
        chosen: dict[str, int] = {}
        refused: dict[str, int] = {}
        for selectors, into in (
            ((*(layer.select or ()), *layer.extend_select), chosen),
            (layer.ignore, refused),
        ):
            for selector in selectors:
                specificity, codes = expand(selector, rules)
                into.update((code, max(specificity, into.get(code, 0))) for code in codes)
        wanted = {code for code in chosen if chosen[code] > refused.get(code, -1)}
        if layer.select is not None:
            wanted -= {code for code in wanted if ignored.get(code, -1) > chosen[code]}
            enabled, asked, named = set(), set(), set()
        enabled |= wanted
        asked |= wanted
        named |= {code for code in wanted if chosen[code] >= SPEAKS_OF_STAGE}
        enabled -= refused.keys() - wanted
        for code in wanted:
            ignored.pop(code, None)
        ignored.update((code, refused[code]) for code in refused.keys() - wanted)
    if stage is not None:
        enabled = {code for code in enabled if code[2] <= REACH[stage] or code in named}
    return Selected(frozenset(enabled), frozenset(asked & enabled))
