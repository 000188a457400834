"""What partial-seed makes of numpy in worker processes, which depends on the torch that a project asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnlint.config import Configuration, Options
from nnlint.diagnostic import Severity
from nnlint.linter import lint

SCRIPT = """
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Signals(Dataset):
    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return torch.zeros(8) + np.random.rand(), torch.zeros(1)


torch.manual_seed(0)
loader = DataLoader(Signals(), batch_size=8, shuffle=True, num_workers=4)
model = nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(100):
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
"""


@pytest.mark.parametrize(
    ("requirement", "severity"),
    [("torch", Severity.INFO), ("torch>=1.9", Severity.INFO), ("torch==1.8.1", Severity.WARNING)],
)
def test_numpy_in_workers(requirement: str, severity: Severity, tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "requirements.txt").write_text(requirement)
    configuration = Configuration(Options(select=("NN202",)), isolated=True)
    (found,) = lint([path], configuration, folders=[tmp_path]).diagnostics
    assert found.severity is severity
