"""What a rule is: a question to the trace of a script, with its page, and the findings it answers with."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from nnlint.diagnostic import Confidence, Severity

if TYPE_CHECKING:
    import libcst as cst

    from nnlint.experiment import Experiment
    from nnlint.source import Source
    from nnlint.symbolic.trace import Trace

STAGES = {
    "0": "nnlint itself",
    "1": "become one with the data",
    "2": "set up the skeleton, get dumb baselines",
    "3": "overfit",
    "4": "regularize",
    "5": "tune",
    "6": "squeeze out the juice",
}
"""The stages of the recipe by the hundreds digit of a code (Karpathy, "A Recipe for Training Neural Networks")."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A node of a script: where something is, before anybody has asked for rows and columns."""

    source: Source
    node: cst.CSTNode


@dataclass(frozen=True, slots=True)
class Note:
    """A step of the evidence chain, in the order in which the script runs it."""

    place: Place
    message: str


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of source text, anchored at a node.

    ``replace`` puts ``text`` in the place of the node; ``before`` and ``after`` add ``text`` as statements of their
    own around the statement that the node is or lies in, at its indentation; ``delete`` removes that statement.
    """

    kind: Literal["replace", "before", "after", "delete"]
    place: Place
    text: str = ""


@dataclass(frozen=True, slots=True)
class Fix:
    """Edits that mend a finding; ``safe`` only when no number that the script computes changes."""

    message: str
    edits: tuple[Edit, ...]
    safe: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer of a rule. ``None`` for severity or confidence stands for the rule's own.

    ``message`` says what is wrong, ``why`` why it matters in one clause, ``advice`` what to do; none ends in a period.
    ``experiment`` is what ``--confirm`` runs to prove or disprove it; a function for one that takes time to think of.
    """

    place: Place
    message: str
    why: str
    advice: str
    notes: tuple[Note, ...] = ()
    fix: Fix | None = None
    severity: Severity | None = None
    confidence: Confidence | None = None
    experiment: Experiment | Callable[[], Experiment | None] | None = None


Check = Callable[["Trace"], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its code and name, what a file must mention to be worth reading, and the question itself."""

    code: str
    name: str
    severity: Severity
    since: str
    check: Check = field(repr=False)
    page: str = field(repr=False)
    mentions: tuple[str, ...] = ()
    """A file that contains none of these texts cannot hold a finding of the rule; empty for any file."""
    requires: tuple[str, ...] = ()
    """Nor can a file that contains none of these; empty for any file."""
    roots: tuple[str, ...] | None = None
    """A function that nothing in its file calls is read for the rule if one of these regular expressions is found in a
    name that it uses. None stands for ``mentions``; empty: the rule asks only about what the script runs.
    """
    default: bool = True
    """Whether the rule runs when nothing is selected; infos are opted into."""

    @property
    def summary(self) -> str:
        """The first line of the page."""
        return self.page.partition("\n")[0]

    @property
    def stage(self) -> str:
        """The stage of the recipe that the rule belongs to."""
        return STAGES[self.code[2]]


def rule(
    code: str,
    *,
    severity: Severity,
    since: str,
    mentions: tuple[str, ...] = (),
    requires: tuple[str, ...] = (),
    roots: tuple[str, ...] | None = None,
) -> Callable[[Check], Rule]:
    """Make a rule of a generator function; its name is the function's and its page the docstring.

    Raises:
        ValueError: the code is not ``NN`` and three digits, or the function has no docstring.
    """
    if not re.fullmatch(r"NN[0-6]\d\d", code):
        raise ValueError(f"{code!r} is no rule code: NN, the stage of the recipe (0 to 6), two digits")

    def decorate(check: Check) -> Rule:
        if not check.__doc__:
            raise ValueError(f"{code} has no page: the docstring of {check.__name__} is missing")
        return Rule(
            code=code,
            name=check.__name__.replace("_", "-"),
            severity=severity,
            since=since,
            check=check,
            page=inspect.cleandoc(check.__doc__),
            mentions=mentions,
            requires=requires,
            roots=roots,
            default=severity > Severity.INFO,
        )

    return decorate
