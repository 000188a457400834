"""The rate over a run: what is repaired is refuted, and what is not known here makes no verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from nnlint.verdict import Json

pytest.importorskip("torch")

Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]

HEAD = """
import torch
from torch import nn, optim
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, MultiStepLR, StepLR
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
epochs = 40
loader = DataLoader(TensorDataset(torch.randn(512, 8), torch.randn(512, 1)), batch_size=8)
model = nn.Linear(8, 1)
lr = 0.01
optimizer = optim.SGD(model.parameters(), lr=lr)
"""

TRAIN = """
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
"""

LOOP = f"for epoch in range(epochs):{TRAIN}"

IN_EPOCHS = f"{LOOP}    scheduler.step()\n"

IN_BATCHES = f"{LOOP}        scheduler.step()\n"

ADJUST = """
def adjust(optimizer, epoch, lr):
    decay = 0.1 ** (epoch // 10)
    for group in optimizer.param_groups:
        group["lr"] *= decay
"""

BY_HAND = f"{ADJUST}\nfor epoch in range(epochs):\n    adjust(optimizer, epoch, lr){TRAIN}"

STEP = "scheduler = StepLR(optimizer, step_size=8)"

BUGS: dict[str, tuple[str, tuple[str, ...], dict[str, str], str]] = {
    "faint": (
        "NN301",
        (STEP, IN_EPOCHS),
        {"step_size=8": "step_size=20"},
        "ends at 0.001 and is below 1 % of its highest (0.01) in none",
    ),
    "never": (
        "NN301",
        ("scheduler = MultiStepLR(optimizer, milestones=[60, 90])", IN_EPOCHS),
        {"epochs = 40": "epochs = 100"},
        "falls from 0.01 to 0.001 in epoch 60 of 100",
    ),
    "compounding": (
        "NN301",
        (BY_HAND,),
        {'group["lr"] *= decay': 'group["lr"] = max(lr * decay, 1e-3)'},
        "starts at 0.01 and ends at 0.001;",
    ),
    "factor": (
        "NN301",
        ("scheduler = StepLR(optimizer, step_size=30, gamma=lr)", IN_EPOCHS),
        {"gamma=lr": "gamma=0.5"},
        "step 30 of the scheduler multiplies the rate 0.01 by 0.5",
    ),
    "too often": (
        "NN302",
        ("scheduler = CosineAnnealingLR(optimizer, T_max=epochs)", IN_BATCHES),
        {"T_max=epochs": "T_max=epochs * len(loader)"},
        "the rate still changes in batch 2,559 of 2,560",
    ),
    "too seldom": (
        "NN302",
        ("scheduler = CosineAnnealingLR(optimizer, T_max=len(loader))", IN_EPOCHS),
        {"T_max=len(loader)": "T_max=epochs"},
        "the run makes 40 steps, and the scheduler is made for 40",
    ),
    "too seldom by a function": (
        "NN302",
        (
            "total = epochs * len(loader)",
            "scheduler = LambdaLR(optimizer, lambda step: max(0.0, 1 - step / total))",
            IN_EPOCHS,
        ),
        {"total = epochs * len(loader)": "total = epochs"},
        "the run makes 40 steps, and the scheduler is made for 40 (lr_lambda)",
    ),
    "twice": (
        "NN302",
        ("scheduler = StepLR(optimizer, step_size=1000)", f"{IN_BATCHES}    scheduler.step()"),
        {"\n    scheduler.step()": "\n"},
        "the scheduler is stepped both ways in none of the first 10 epochs: 640 steps in the batches",
    ),
    "early": (
        "NN303",
        (STEP, LOOP.replace(":\n", ":\n    scheduler.step()\n", 1)),
        {"step_size=8": "step_size=80"},
        "1 of the scheduler's rates is passed over, but the run trains at 0.01 all the same",
    ),
}


def written(folder: Path, *parts: str, head: str = HEAD) -> Path:
    path = folder / "train.py"
    path.write_text("\n".join((head, *parts)), encoding="utf-8")
    return path


@pytest.mark.parametrize("bug", BUGS)
def test_a_repaired_schedule_is_refuted(bug: str, tmp_path: Path, repaired: Repaired) -> None:
    code, parts, changes, said = BUGS[bug]
    path = written(tmp_path, *parts)
    assert repaired(path, code, {})["outcome"] == "confirmed"
    answer = repaired(path, code, changes)
    assert answer["outcome"] == "refuted"
    assert said in str(answer["summary"])


def test_the_figures_are_those_of_the_run(tmp_path: Path, repaired: Repaired) -> None:
    answer = repaired(written(tmp_path, STEP, IN_EPOCHS), "NN301", {})
    figures = answer["figures"]
    assert isinstance(figures, Mapping)
    rates = figures["rates"]
    assert rates == pytest.approx([0.01 * 0.1 ** (epoch // 8) for epoch in range(40)])
    assert {
        name: figures[name] for name in ("epochs", "batches_per_epoch", "scheduler_steps", "share_below_1_percent")
    } == {
        "epochs": 40,
        "batches_per_epoch": 64,
        "scheduler_steps": 40,
        "share_below_1_percent": 0.4,
    }
    assert figures["first_epoch_below_1_percent"] == 24
    assert answer["assumptions"] == []


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("    keep_up(optimizer)\n", "the optimizer is handed to what is not known here: "),
        (
            "    if gauge.quiet():\n        optimizer.param_groups[0].update(lr=lr)\n",
            "whether the rate is set depends on ",
        ),
    ],
)
def test_lines_of_a_missing_package_leave_it_open(added: str, said: str, tmp_path: Path, repaired: Repaired) -> None:
    head = f"from a_package_that_is_not_here import gauge, keep_up\n{HEAD}"
    answer = repaired(written(tmp_path, STEP, f"{IN_EPOCHS}{added}", head=head), "NN301", {})
    assert answer["outcome"] == "inconclusive"
    assert str(answer["summary"]).startswith(said)


@pytest.mark.parametrize(
    "added",
    [
        "    for group, first in zip(optimizer.param_groups, [lr]):\n        group.update(lr=first)\n",
        "    optimizer.load_state_dict(beginning)\n",
        "    head = optimizer.param_groups[0]\n    head.update({'lr': lr})\n",
    ],
)
def test_what_sets_the_rate_unseen_is_run(added: str, tmp_path: Path, repaired: Repaired) -> None:
    path = written(tmp_path, "beginning = optimizer.state_dict()", STEP, f"{IN_EPOCHS}{added}")
    answer = repaired(path, "NN301", {})
    assert answer["outcome"] == "refuted", answer["summary"]


def test_a_wrapper_that_is_not_installed_hands_the_optimizer_on(tmp_path: Path, repaired: Repaired) -> None:
    wrapped = "from apex import amp\nmodel, optimizer = amp.initialize(model, optimizer, opt_level='O1')\n"
    answer = repaired(written(tmp_path, wrapped, BY_HAND), "NN301", {})
    assert answer["outcome"] == "confirmed"
    assert "the package apex, which is not installed" in str(answer["stood_in"])


def test_a_function_that_nobody_calls_is_given_what_it_asks_for(tmp_path: Path, repaired: Repaired) -> None:
    body = """
def fit(model, loader, learning_rate, epochs=40):
    optimizer = optim.Adam(model.parameters(), lr=learning_rate)
    scheduler = StepLR(optimizer, 5)
    for epoch in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
        scheduler.step()
"""
    imports = HEAD.partition("torch.manual_seed")[0]
    answer = repaired(written(tmp_path, body, head=imports), "NN301", {})
    assert answer["outcome"] == "confirmed"
    assert answer["assumptions"] == ["the learning rate, which the script is not given, starts at 1"]


def test_a_schedule_made_of_an_unknown_number_of_batches_is_left_open(tmp_path: Path, repaired: Repaired) -> None:
    path = written(tmp_path, "scheduler = CosineAnnealingLR(optimizer, T_max=len(loader))", IN_EPOCHS)
    changes = {"TensorDataset(torch.randn(512, 8), torch.randn(512, 1))": "torch.load('samples.pt')"}
    answer = repaired(path, "NN302", changes)
    assert answer["outcome"] == "inconclusive"
    assert str(answer["summary"]).startswith(
        "it depends on how many batches an epoch has, which is not known here: with 20"
    )


def test_where_the_number_of_batches_does_not_matter_it_is_assumed(tmp_path: Path, repaired: Repaired) -> None:
    path = written(tmp_path, "scheduler = CosineAnnealingLR(optimizer, T_max=epochs)", IN_BATCHES)
    changes = {"TensorDataset(torch.randn(512, 8), torch.randn(512, 1))": "torch.load('samples.pt')"}
    answer = repaired(path, "NN302", changes)
    assert answer["outcome"] == "confirmed"
    assert answer["assumptions"] == ["an epoch has between 20 and 500 batches; the verdict does not depend on how many"]


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
def test_known_data_sets_have_their_lengths(tmp_path: Path, repaired: Repaired) -> None:
    data = "from torchvision import datasets\nloader = DataLoader(datasets.CIFAR10('data', False), batch_size=100)\n"
    path = written(tmp_path, data, "scheduler = CosineAnnealingLR(optimizer, T_max=len(loader))", IN_EPOCHS)
    answer = repaired(path, "NN302", {})
    assert answer["outcome"] == "confirmed"
    assert "the run makes 40 of the 100 steps" in str(answer["summary"])
    assert "the data set CIFAR10, of which only its 10,000 samples are known" in str(answer["stood_in"])


@pytest.mark.parametrize(
    ("leaving", "then", "outcome", "said"),
    [
        (
            "late()",
            "",
            "inconclusive",
            "left after the first batch of each epoch, the scheduler is stepped once an epoch",
        ),
        ("torch.isnan(loss)", "", "confirmed", "is not run; it is not"),
        ("late()", "    scheduler.step()\n", "confirmed", "the verdict is the same if it is left at once"),
    ],
    ids=["decides", "ends what has broken down", "does not matter"],
)
def test_an_exit_that_is_not_run(
    leaving: str, then: str, outcome: str, said: str, folder: Path, repaired: Repaired
) -> None:
    path = folder / "train.py"
    made = "from cluster import late, loss\nscheduler = MultiStepLR(optimizer, milestones=[10, 20, 30], gamma=0.1)\n"
    path.write_text(f"{HEAD}{made}{IN_BATCHES}        if {leaving}:\n            break\n{then}", encoding="utf-8")
    answer: Any = repaired(path, "NN302", {})
    assert answer["outcome"] == outcome
    told = " ".join([answer["summary"], *answer["assumptions"]])
    assert "what decides whether the loop is left at train.py" in told
    assert said in told
