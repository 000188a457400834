"""The fixes of a run: what every file of a report becomes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from nnlint.diagnostic import Diagnostic
from nnlint.fix import Fixed, fix_until_stable
from nnlint.linter import Report, lint
from nnlint.source import Source, UnreadableSource

if TYPE_CHECKING:
    from nnlint.config import Configuration


@dataclass(frozen=True, slots=True)
class Mended:
    """A file that fixes change: as it is, and as it becomes."""

    source: Source
    fixed: Fixed


def mend(
    report: Report, configuration: Configuration, *, unsafe: bool, texts: Mapping[Path, bytes] | None = None
) -> Iterator[Mended]:
    """Fix the files of a report, in their order, until nothing changes; nothing is written.

    A file that cannot be read any more is left alone, and so is what running it has refuted.

    Args:
        report: what the run found.
        configuration: the configuration of the run.
        unsafe: apply fixes too that may change what the script computes.
        texts: what stands in the place of the files on disk.
    """
    for filename, group in groupby(report.diagnostics, key=lambda diagnostic: diagnostic.location.filename):
        findings = list(group)
        found = [diagnostic for diagnostic in findings if not diagnostic.refuted]
        refuted = {_identity(diagnostic) for diagnostic in findings if diagnostic.refuted}
        if not any(diagnostic.fix is not None and (diagnostic.fix.safe or unsafe) for diagnostic in found):
            continue
        path = Path(filename)
        try:
            source = Source.decode(path, texts[path]) if texts and path in texts else Source.read(path)
        except UnreadableSource:
            continue

        def lint_text(
            current: Source,
            path: Path = path,
            before: str = source.text,
            found: Sequence[Diagnostic] = found,
            refuted: Collection[object] = refuted,
        ) -> Sequence[Diagnostic]:
            if current.text == before:
                return found
            again = lint([path], configuration, texts={path: current.encode(current.text)}).diagnostics
            return [diagnostic for diagnostic in again if _identity(diagnostic) not in refuted]

        fixed = fix_until_stable(source, lint_text, unsafe)
        if fixed.text != source.text:
            yield Mended(source, fixed)


def _identity(diagnostic: Diagnostic) -> tuple[str, str, str]:
    """What a finding of a file still has when lines above it have come and gone."""
    return diagnostic.code, diagnostic.scope, diagnostic.text
