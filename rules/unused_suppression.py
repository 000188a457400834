"""NN001: comments that silence nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Severity
from nnlint.rule import Finding, rule

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace


@rule("NN001", severity=Severity.WARNING, since="0.1.0")
def unused_suppression(trace: Trace) -> Iterator[Finding]:
    """A comment that silences a finding where there is none.

    ## Why it matters
    The finding was mended, or the comment never stood where it works: on the first or last row of the statement, or
    alone on a row above it. A comment that silences nothing today hides a finding tomorrow. A code or a directive
    that nnlint does not know is reported too, with what may have been meant.

    ## Example
    ```python
    import torch

    torch.manual_seed(0)
    weight = torch.zeros(3)  # nnlint: ignore[NN204] clipped on purpose
    ```

    ## Use instead
    ```python
    import torch

    torch.manual_seed(0)
    weight = torch.zeros(3)
    ```

    ## How it is confirmed
    It needs no experiment: the run itself found nothing to silence.

    ## When it stays silent
    - The rule was not asked in this run (`--select`, `--ignore`, `per-file-ignores`).
    - The file could not be read or parsed.
    - A file outside of this run imports it: what it silences may be found only on the way through that file.
    - A bare `# noqa`, and codes of other tools in a `# noqa: …`.
    """
    # The run answers this question, after every other rule has been asked.
    yield from ()
