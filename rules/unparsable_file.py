"""NN000: files that cannot be parsed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Severity
from nnlint.rule import Finding, rule

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace


@rule("NN000", severity=Severity.ERROR, since="0.1.0")
def unparsable_file(trace: Trace) -> Iterator[Finding]:
    """A file that is not the Python that nnlint reads.

    ## Why it matters
    Nothing in the file was checked, so its silence says nothing. Other files are read all the same. Only a file that
    could hold a finding is parsed at all: one that never speaks of training is not looked at.

    ## Example
    ```python
    import torch

    torch.manual_seed(0)
    loss = model(x).mean()
    loss.backward()
    print "loss", loss.item()
    ```

    ## Use instead
    ```python
    import torch

    torch.manual_seed(0)
    loss = model(x).mean()
    loss.backward()
    print("loss", loss.item())
    ```

    ## How it is confirmed
    It needs no experiment: Python's own parser, or that of libcst, says where the text stops being Python.

    ## When it stays silent
    Python 3.10 to 3.14 is read, as far as libcst parses it. Files of Python 2, templates and generated code are best
    left out with `exclude`.
    """
    # The run answers this question, before there is a trace.
    yield from ()
