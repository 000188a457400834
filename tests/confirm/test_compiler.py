"""What torch would compile is left as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nnlint.confirm.worker.setting.compiler import without_compiler
from nnlint.verdict import Json

torch = pytest.importorskip("torch")

SCRIPT = """
import torch
import torch.nn.functional as F


@torch.compile(mode="reduce-overhead")
def step(model, x, y):
    return F.mse_loss(model(x), y).clamp(max=1.0)


torch.manual_seed(0)
model = torch.compile(torch.nn.Linear(3, 1))
model.compile()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for x, y in zip(torch.randn(9, 4, 3), torch.randn(9, 4, 1)):
    loss = step(model, x, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def test_nothing_is_compiled() -> None:
    before = torch.compile
    with without_compiler():
        assert torch.compile(len) is len
        assert torch.compile(dynamic=True)(len) is len
        assert torch.nn.Linear(1, 1).compile() is None
    assert torch.compile is before


def test_compiled_lines_have_a_verdict(
    repaired: Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]], tmp_path: Path
) -> None:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    assert repaired(path, "NN204", {})["outcome"] == "confirmed"
