"""Write the two files of a new rule, with headings to fill: ``python scripts/new_rule.py NN205 missing-zero-grad``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

RULE = '''"""{code}: TODO what goes wrong, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Severity
from nnlint.rule import Finding, rule

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace


@rule("{code}", severity=Severity.WARNING, since="{version}", mentions=("TODO",))
def {function}(trace: Trace) -> Iterator[Finding]:
    """TODO: one line that says what is reported, and reads after "allow {name}".

    ## Why it matters
    TODO: what goes wrong in the run, and what the recipe says.

    ## Example
    ```python
    TODO = "gives exactly this finding"
    ```

    ## Use instead
    ```python
    TODO = "gives no finding"
    ```

    ## How it is confirmed
    TODO: the experiment on the user's own lines, and when it says no.

    ## When it stays silent
    - TODO: the look-alikes, each a line of the fixture.
    """
    yield from ()
'''

FIXTURE = '''"""TODO: a whole small training script, as a person would write it."""

import torch

TODO = torch.zeros(1)  # expect: {code}
'''


def main() -> None:
    """Write both files, or say why not."""
    if len(sys.argv) != 3 or not re.fullmatch(r"NN[0-6]\d\d", sys.argv[1]):
        raise SystemExit("usage: new_rule.py NNxxx the-name-of-the-pattern")
    code, name = sys.argv[1:]
    if not re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", name):
        raise SystemExit(f"'{name}' is no name: lower-case words joined by hyphens")
    sys.path.insert(0, str(ROOT))
    from nnlint import __version__
    from nnlint.registry import load_rules

    if any(name == rule.name or code == rule.code for rule in load_rules().values()):
        raise SystemExit(f"{code} or {name} is taken; neither is ever used again")
    function = name.replace("-", "_")
    for folder, template in (("rules", RULE), ("fixtures", FIXTURE)):
        path = ROOT / folder / f"{function}.py"
        with path.open("x", encoding="utf-8") as file:
            file.write(template.format(code=code, name=name, function=function, version=__version__))
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
