"""What a run reports: findings as plain data, ready for people, CI and editors."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from nnlint.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from nnlint.experiment import Plan


class Severity(IntEnum):
    """The consequence: what happens to the run if the finding is right."""

    INFO = 1
    """The recipe advises otherwise."""
    WARNING = 2
    """The run is very likely wrong, or silently worse than it could be."""
    ERROR = 3
    """The run is wrong."""

    def __str__(self) -> str:
        return self.name.lower()


class Confidence(IntEnum):
    """The evidence: how much of the finding was read in the script and how much inferred."""

    LOW = 1
    """Rests on what something is called."""
    MEDIUM = 2
    """Rests on how something is used."""
    HIGH = 3
    """Every step was followed from where the values were built."""

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of source text; rows and columns count from 1, columns in code points.

    The end is exclusive: ``end_column`` is the column after the last character.
    """

    row: int
    column: int
    end_row: int
    end_column: int


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A span in a file. ``filename`` is absolute, with the separators of the system."""

    filename: str
    span: Span


@dataclass(frozen=True, slots=True)
class Related:
    """One step of the evidence: where it is and what happens there."""

    message: str
    location: Location


@dataclass(frozen=True, slots=True)
class TextEdit:
    """Replace the text of a span (empty for an insertion) by ``replacement``."""

    location: Location
    replacement: str


@dataclass(frozen=True, slots=True)
class TextFix:
    """Edits that mend a finding; they belong together and are applied all or none.

    ``safe`` means that no number the script computes changes.
    """

    message: str
    safe: bool
    edits: tuple[TextEdit, ...]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A finding with its place in the text; plain data, so it crosses processes and lies in caches.

    ``message`` says what is wrong, ``why`` why it matters in one clause, ``advice`` what to do.
    ``scope`` is the dotted name of the enclosing definition, empty at module level, and ``text`` the first line of
    the finding, stripped: together they identify the finding when line numbers have moved.
    ``plan`` is the experiment on it, kept only if findings are to be confirmed, and ``verdict`` what that has shown.
    """

    code: str
    name: str
    message: str
    why: str
    advice: str
    severity: Severity
    confidence: Confidence
    location: Location
    related: tuple[Related, ...] = ()
    fix: TextFix | None = None
    scope: str = ""
    text: str = ""
    plan: Plan | None = None
    verdict: Verdict | None = None

    @property
    def outcome(self) -> Outcome | None:
        """What the experiment came to; None if there was none."""
        return None if self.verdict is None else self.verdict.outcome

    @property
    def refuted(self) -> bool:
        """Whether running the user's lines has shown that there is nothing wrong: such a finding does not count."""
        return self.outcome is Outcome.REFUTED
