"""The parts of a finding joined into prose."""

from __future__ import annotations

import re

from nnlint.diagnostic import Diagnostic


def prose(diagnostic: Diagnostic) -> str:
    """What is wrong, why it matters and what to do, as sentences in one line."""
    return " ".join(sentence(part) for part in (diagnostic.message, diagnostic.why, diagnostic.advice) if part.strip())


def sentence(clause: str) -> str:
    """A clause with a capital, unless it begins with a name of the code, and a full stop."""
    clause = " ".join(clause.split())
    if re.match(r"[a-z]+('s)?[ ,]|a ", clause):
        clause = clause[0].upper() + clause[1:]
    return clause if clause.endswith((".", "!", "?")) else f"{clause}."
