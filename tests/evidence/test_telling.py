"""What is told of a value: names are followed from statement to statement of a scope."""

from __future__ import annotations

from pathlib import Path

import libcst as cst
import pytest

from nnlint.evidence.telling import tellings
from nnlint.source import Source
from nnlint.symbolic.words import below


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x, y = take()\nright = x == y\nprint(right.mean())\nprint('done')", ["print(right.mean())"]),
        ("log.info('accuracy %f', score(take()))", ["log.info('accuracy %f', score(take()))"]),
        (
            "total = 0\nfor i in range(3):\n    total += take()\nwriter.add_scalar('t', total)",
            ["writer.add_scalar('t', total)"],
        ),
        ("x = take()\nsave(x)\ny = 3\nprint(y)", []),
        ("self.x = take()\nprint(self.y)", []),
        ("x = take()\ndef show(x):\n    print(x)", []),
    ],
)
def test_tellings(text: str, told: list[str]) -> None:
    source = Source(Path("/nowhere/train.py"), text)
    calls = (node for node in below(source.module) if isinstance(node, cst.Call))
    take = next(call for call in calls if isinstance(call.func, cst.Name) and call.func.value == "take")
    assert [source.module.code_for_node(each) for each in tellings(source.module, take)] == told
