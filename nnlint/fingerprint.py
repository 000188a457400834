"""What identifies a finding from one run to the next, after lines above it have come and gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from os import PathLike

from nnlint.diagnostic import Diagnostic
from nnlint.output.path import relative_path


def fingerprints(diagnostics: Sequence[Diagnostic], root: PathLike[str]) -> list[str]:
    """A fingerprint for each of the diagnostics of a run, in their order: 32 hexadecimal digits.

    It covers the code, the path from ``root``, the enclosing definition, the text of the line, and which of the
    findings equal in all of these it is, counted from the top of the file; never a row or a column.
    """
    answer = [""] * len(diagnostics)
    seen: Counter[tuple[str, str, str, str]] = Counter()
    for index in sorted(range(len(diagnostics)), key=lambda index: diagnostics[index].location):
        diagnostic = diagnostics[index]
        path = relative_path(diagnostic.location.filename, root)
        identity = (diagnostic.code, path, diagnostic.scope, " ".join(diagnostic.text.split()))
        parts = "\0".join((*identity, str(seen[identity])))
        seen[identity] += 1
        answer[index] = sha256(parts.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return answer
