"""What is said of a run as a whole: the closing lines, and the count of findings by rule."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from nnlint.diagnostic import Diagnostic
from nnlint.verdict import Outcome


def count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def render_summary(diagnostics: Sequence[Diagnostic], *, fixed: int, unsafe: bool) -> str:
    """The closing lines for people: how much was found, what running it has shown, and how much of it a fix mends.

    ``fixed`` findings were mended already; ``unsafe`` says that unsafe fixes were allowed. Refuted findings count only
    as such.
    """
    refuted = sum(diagnostic.refuted for diagnostic in diagnostics)
    diagnostics = [diagnostic for diagnostic in diagnostics if not diagnostic.refuted]
    verdicts = _verdicts(diagnostics, refuted)
    lines: list[str] = []
    if fixed:
        total = count(fixed + len(diagnostics), "finding")
        lines.append(f"Found {total} ({fixed} fixed, {len(diagnostics)} remaining){verdicts}.")
    elif diagnostics:
        severities = Counter(diagnostic.severity for diagnostic in diagnostics)
        parts = [count(severities[severity], str(severity)) for severity in sorted(severities, reverse=True)]
        lines.append(f"Found {count(len(diagnostics), 'finding')} ({', '.join(parts)}){verdicts}.")
    elif refuted:
        return f"All checks passed! {count(refuted, 'finding')} refuted by running the code.\n"
    else:
        return "All checks passed!\n"
    safe = sum(diagnostic.fix is not None and diagnostic.fix.safe for diagnostic in diagnostics)
    risky = sum(diagnostic.fix is not None and not diagnostic.fix.safe for diagnostic in diagnostics)
    if unsafe and safe + risky:
        lines.append(f"{safe + risky} fixable with `--fix --unsafe-fixes`; see them with `--diff --unsafe-fixes`.")
    elif safe and risky:
        lines.append(f"{safe} fixable with `--fix`, {risky} more with `--unsafe-fixes`; see them with `--diff`.")
    elif safe:
        lines.append(f"{safe} fixable with `--fix`; see with `--diff`.")
    elif risky:
        lines.append(f"{risky} fixable with `--fix --unsafe-fixes`; see with `--diff --unsafe-fixes`.")
    return "".join(f"{line}\n" for line in lines)


def _verdicts(diagnostics: Sequence[Diagnostic], refuted: int) -> str:
    """What is added to the number of findings when they were run: how they came out, and how many are left out."""
    outcomes = Counter(diagnostic.outcome for diagnostic in diagnostics)
    parts = [f"{outcomes[each]} {each}" for each in (Outcome.CONFIRMED, Outcome.INCONCLUSIVE) if outcomes[each]]
    left_out = [f"{refuted} more refuted by running the code"] * bool(refuted)
    return "".join(f"{mark}{text}" for mark, text in ((": ", ", ".join(parts)), ("; ", "".join(left_out))) if text)


def render_statistics(diagnostics: Sequence[Diagnostic], *, as_json: bool) -> str:
    """The number of findings of each rule, the most frequent first; refuted ones are none."""
    diagnostics = [diagnostic for diagnostic in diagnostics if not diagnostic.refuted]
    counts = Counter((diagnostic.code, diagnostic.name) for diagnostic in diagnostics)
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    fixable = {diagnostic.code for diagnostic in diagnostics if diagnostic.fix is not None}
    if as_json:
        entries = [
            {"code": code, "name": name, "count": number, "fixable": code in fixable} for (code, name), number in rows
        ]
        return json.dumps(entries, indent=2) + "\n"
    width = len(str(rows[0][1])) if rows else 0
    return "".join(f"{number:>{width}}  {code}  {name}\n" for (code, name), number in rows)
