"""The protocol of a training loop, before and after the repair of a bug."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import indent

import pytest

from nnlint.verdict import Json

pytest.importorskip("torch")

Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]

IMPORTS = """\
import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
x, y = torch.randn(64, 8), torch.randn(64, 1)
"""

BEGINNING = """\
model = nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
total = 0.0


def first():
    FIRST


def last():
    LAST


for step in range(32):
    loss = F.mse_loss(model(x), y)
"""

TRAINER = """

class Trainer:
    def __init__(self):
        self.model = nn.Linear(8, 1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        self.total = 0.0

    def first(self):
        FIRST

    def last(self):
        LAST

    def run(self):
        for step in range(32):
            self.loss = F.mse_loss(self.model(x), y)
BODY

Trainer().run()
"""

NEVER_CLEARED = """\
    first()
    loss.backward()
    last()
"""

DISCARDED = """\
    loss.backward()
    first()
    optimizer.zero_grad()
    last()
"""

HELD = """\
    optimizer.zero_grad()
    loss.backward()
    first()
    last()
    total += loss
"""

CLIPPED_TOO_LATE = """\
    optimizer.zero_grad()
    loss.backward()
    first()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    last()
"""

SUMMED = """\
    first()
    loss.backward()
    last()
    if (step + 1) % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()
"""

NOTHING, STEP = "return None", "optimizer.step()"
CASES = {
    "NN205": (NEVER_CLEARED, (NOTHING, STEP), ("optimizer.zero_grad()", STEP)),
    "NN206": (DISCARDED, (NOTHING, STEP), (STEP, STEP)),
    "NN217": (HELD, (NOTHING, STEP), ("loss.detach_()", STEP)),
    "NN304": (CLIPPED_TOO_LATE, (STEP, NOTHING), (NOTHING, STEP)),
    "NN308": (SUMMED, ("model.eval()", NOTHING), ("loss.div_(4)", NOTHING)),
}
"""The body of a loop, the functions that it calls with a mistake in them, and without."""


OWN = re.compile(r"(?<![\w.])(model|optimizer|total|loss|first|last)\b")
"""What is an attribute of the trainer."""


def script(body: str) -> str:
    """A script with a loop at its end."""
    return IMPORTS + BEGINNING + body


def trainer(body: str) -> str:
    """A class with the same loop in a method."""
    return IMPORTS + TRAINER.replace("BODY", indent(attributes(body), " " * 8))


def attributes(code: str) -> str:
    """Code with the names of what it is about as attributes: ``self.model`` for ``model``."""
    return OWN.sub(r"self.\1", code)


@pytest.mark.parametrize("written", [script, trainer])
@pytest.mark.parametrize("code", CASES)
def test_a_repair_flips_the_verdict(
    code: str, written: Callable[[str], str], repaired: Repaired, tmp_path: Path
) -> None:
    body, mistaken, healthy = CASES[code]
    if written is trainer:
        mistaken, healthy = ((attributes(first), attributes(last)) for first, last in (mistaken, healthy))
    path = tmp_path / "train.py"
    text = written(body).replace(" FIRST", f" {mistaken[0]}  # first").replace(" LAST", f" {mistaken[1]}  # last")
    path.write_text(text, encoding="utf-8")
    before = repaired(path, code, {})
    after = repaired(path, code, {f"{mistaken[0]}  # first": healthy[0], f"{mistaken[1]}  # last": healthy[1]})
    assert (before["outcome"], after["outcome"]) == ("confirmed", "refuted"), (before["summary"], after["summary"])


def test_what_is_not_given_is_no_open_file_and_no_endless_list(tmp_path: Path, repaired: Repaired) -> None:
    """A stand-in is a number where one is asked for: as a path that of stderr, which would be read, and closed."""
    path = tmp_path / "train.py"
    path.write_text(
        "import argparse\nimport sys\n\nimport numpy as np\nimport torch\nfrom torch import nn\n"
        "from torch.utils.data import DataLoader, TensorDataset\n\n"
        "parser = argparse.ArgumentParser()\nparser.add_argument('--names', required=True)\n"
        "parser.add_argument('--weights', required=True)\nargs = parser.parse_args()\n"
        "try:\n    with open(args.names) as file:\n        names = file.read().split()\n"
        "except FileNotFoundError:\n    names = ['cat', 'dog']\n\n"
        "x, y = torch.randn(64, 8), torch.randint(0, 2, (64,))\n"
        "train_loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)\n"
        "test_loader = DataLoader(TensorDataset(x, y), batch_size=8)\n"
        "model = nn.Linear(8, len(names))\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "for epoch in range(3):\n    for inputs, labels in train_loader:\n        optimizer.zero_grad()\n"
        "        loss = nn.functional.cross_entropy(model(inputs), labels)\n        loss.backward()\n"
        "        optimizer.step()\n"
        "correct = 0\nmodel.eval()\n"
        "for inputs, labels in test_loader:\n    print('testing', file=sys.stderr, flush=True)\n"
        "    right = model(inputs).argmax(1) == labels\n"
        "    correct += np.sum(np.logical_and(args.weights, right.numpy()))\n"
    )
    found = repaired(path, "NN213", {})
    assert found["outcome"] == "confirmed", found
    assert "train.py:14: FileNotFoundError: No such file or directory: 'names'" in str(found["assumptions"])
