"""What docs/experiments.md shows works: its rule attaches an experiment, its kind decides."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

import libcst as cst
import pytest

from nnlint.confirm.confirmation import confirm, prepare
from nnlint.confirm.runner import Laboratory
from nnlint.diagnostic import Severity
from nnlint.resolve import Script, resolve
from nnlint.rule import Finding, Place, Rule
from nnlint.source import Source

PAGE = Path(__file__).parent.parent.parent / "docs" / "experiments.md"

SCRIPT = """\
import torch

model = torch.nn.Linear(3, 5)
images = torch.randn(7, 3)
probabilities = torch.softmax(model(images), dim={})
"""


def code(page: str) -> tuple[str, str]:
    """The part of a rule and the kind that the page shows."""
    rule, kind = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return rule, kind


def finding(rule: str, source: Source) -> Finding:
    """What the rule says of the last call of a script."""
    calls: list[cst.Call] = []

    class Find(cst.CSTVisitor):
        def visit_Call(self, node: cst.Call) -> None:  # noqa: N802
            if isinstance(node.func, cst.Attribute) and node.func.attr.value == "softmax":
                calls.append(node)

    source.module.visit(Find())
    names: dict[str, object] = {}
    exec(f"def check(place, axis):\n{textwrap.indent(rule, '    ')}", names)
    (found,) = names["check"](Place(source, calls[0]), "the batch")  # type: ignore[operator]
    assert isinstance(found, Finding)
    return found


def test_the_example_confirms_and_refutes(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    shown, kind = code(PAGE.read_text(encoding="utf-8"))
    rule = Rule("NN299", "softmax-over-batch", Severity.ERROR, "0.1.0", lambda trace: iter(()), "A page.")
    (tmp_path / "kinds").mkdir()
    (tmp_path / "kinds" / "sums.py").write_text(kind, encoding="utf-8")
    outcomes = []
    with Laboratory(Path(sys.executable), device="cpu", kinds=[tmp_path / "kinds"]) as laboratory:
        for axis in (0, 1):
            path = tmp_path / f"train{axis}.py"
            path.write_text(SCRIPT.format(axis), encoding="utf-8")
            found = resolve([(rule, finding(shown, Source.read(path)))], Script(path, tmp_path))
            (confirmed,) = confirm(found, prepare(found, {}), laboratory.run, lambda done: None)
            outcomes.append(str(confirmed.outcome))
    assert outcomes == ["confirmed", "refuted"]
