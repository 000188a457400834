"""Findings as a JSON array, for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from nnlint.diagnostic import Diagnostic, Location, TextFix
from nnlint.fingerprint import fingerprints
from nnlint.output.context import RenderContext
from nnlint.output.path import readable
from nnlint.output.sentences import prose
from nnlint.verdict import Json, Verdict


def render_json(diagnostics: Sequence[Diagnostic], context: RenderContext) -> str:
    """The findings in their order, refuted ones last; rows and columns count from 1 in code points, ends are exclusive.

    Only ASCII is written, so that no terminal or pipe can spoil it.
    """
    marks = fingerprints(diagnostics, context.root)
    marked = sorted(zip(diagnostics, marks, strict=True), key=lambda pair: pair[0].refuted)
    entries = [_entry(diagnostic, mark) for diagnostic, mark in marked]
    return f"{json.dumps(entries, indent=2)}\n"


def _entry(diagnostic: Diagnostic, fingerprint: str) -> dict[str, Json]:
    return {
        "code": diagnostic.code,
        "name": diagnostic.name,
        "message": prose(diagnostic),
        "severity": str(diagnostic.severity),
        "confidence": str(diagnostic.confidence),
        "filename": readable(diagnostic.location.filename),
        "cell": None,
        **_ends(diagnostic.location),
        "related": [
            {
                "message": related.message,
                "filename": readable(related.location.filename),
                **_ends(related.location),
            }
            for related in diagnostic.related
        ],
        "fix": _fix(diagnostic.fix),
        "confirmation": _confirmation(diagnostic.verdict),
        "fingerprint": fingerprint,
        "url": None,
    }


def _confirmation(verdict: Verdict | None) -> Json:
    if verdict is None:
        return None
    return {
        "verdict": str(verdict.outcome),
        "summary": verdict.summary,
        "experiment": verdict.experiment,
        "figures": verdict.figures,
        "assumptions": verdict.assumptions,
        "stood_in": verdict.stood_in,
        "device": verdict.device,
        "torch": verdict.torch,
        "seconds": round(verdict.seconds, 3),
        "unenforced": verdict.unenforced,
    }


def _ends(location: Location) -> dict[str, Json]:
    span = location.span
    return {
        "location": {"row": span.row, "column": span.column},
        "end_location": {"row": span.end_row, "column": span.end_column},
    }


def _fix(fix: TextFix | None) -> Json:
    if fix is None:
        return None
    return {
        "message": fix.message,
        "applicability": "safe" if fix.safe else "unsafe",
        "edits": [
            {
                "content": edit.replacement,
                **_ends(edit.location),
                "filename": readable(edit.location.filename),
            }
            for edit in fix.edits
        ],
    }
