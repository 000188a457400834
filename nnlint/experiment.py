"""What would prove or disprove a finding: which lines of the user to run, and what to measure. Pure data.

A rule attaches an :class:`Experiment`, written in nodes of the script; :mod:`nnlint.resolve` makes a :class:`Plan` of
it, written in places of the text, when findings are to be confirmed. What a plan needs of the repository is cut out of
it by :mod:`nnlint.confirm.slice`; the ``kind`` names the module of :mod:`nnlint.confirm.worker.kinds` that runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nnlint.verdict import Json

if TYPE_CHECKING:
    from nnlint.diagnostic import Location, TextFix
    from nnlint.rule import Place


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """An expression of the user that the experiment watches, by the name the kind knows it by.

    It may also be an assignment such as ``total /= n``, of which the kind is shown what it binds, or a ``break``, which
    the kind can call off. With ``instead`` the expression is not evaluated: the kind supplies a value of its own.
    """

    name: str
    place: Place
    instead: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Experiment:
    """What a rule asks to be run.

    Attributes:
        kind: the module of ``nnlint.confirm.worker.kinds`` that runs it.
        anchors: the expressions and statements that must run. What they need is found by the slice; functions on the
            way to them are cut down to what leads there, everything else in them is left out.
        watches: expressions whose values the kind is shown, or that it replaces. A watch is no anchor by itself.
        entry: a class or function, as its definition node, that the kind will call itself; it and all it needs are
            kept whole (but for functions that hold anchors). None: the file is run as a script, ``__main__`` block and
            all, cut down to what leads to the anchors.
        settings: what the kind is told beyond that.
        mended: whether the slice is also cut from the text with the finding's fix applied, to compare the two.
        scripted: whether the slice is also cut from a script on, where the reading of one led to the same finding.
    """

    kind: str
    anchors: tuple[Place, ...] = ()
    watches: tuple[Watch, ...] = ()
    entry: Place | None = None
    settings: Mapping[str, Json] = field(default_factory=dict)
    mended: bool = False
    scripted: bool = False


@dataclass(frozen=True, slots=True)
class WatchedSpan:
    """A :class:`Watch` in the text."""

    name: str
    location: Location
    instead: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """An :class:`Experiment` in the text; plain data, so it crosses processes.

    ``filename`` is the file that is run: the one that defines the ``entry``, the dotted name of a class or function, or
    with an empty ``entry`` the script whose reading led to the finding. Anchors and watches may lie in other files.
    ``root`` is the folder of the repository that imports may reach, and ``mend`` the fix to compare with. ``script`` is
    the plan of the same finding that the reading of a script led to, if the experiment is to be ``scripted``.
    """

    kind: str
    filename: str
    root: str
    anchors: tuple[Location, ...] = ()
    watches: tuple[WatchedSpan, ...] = ()
    entry: str = ""
    settings: Mapping[str, Json] = field(default_factory=dict)
    mend: TextFix | None = None
    scripted: bool = False
    script: Plan | None = None
