"""The experiment on seeds: what differs between two processes, and what a seed changes about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nnlint.confirm.slice import cut
from nnlint.diagnostic import Diagnostic
from nnlint.verdict import Json
from tests.confirm import harness

if TYPE_CHECKING:
    from nnlint.confirm.runner import Laboratory

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
Write = Callable[[str, str], Path]
Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]


def only(path: Path, code: str) -> Diagnostic:
    (found,) = (each for each in harness.findings(path) if each.code == code)
    return found


def answer(path: Path, code: str, laboratory: Laboratory) -> Mapping[str, Json]:
    return harness.repaired(path, code, {}, laboratory.run)


def with_fix(path: Path, code: str, laboratory: Laboratory) -> Mapping[str, Json]:
    """The answer of the experiment on a finding, run on the file with its own fix applied."""
    found = only(path, code)
    assert found.plan is not None
    assert found.fix is not None
    plan = replace(found.plan, mend=found.fix)
    program = cut(plan, {}, mended=True)
    return laboratory.run(
        {"id": 0, "kind": plan.kind, "program": program, "mended": None, "settings": dict(plan.settings)}
    )


@pytest.mark.parametrize(
    ("fixture", "code"),
    [
        ("missing_seed_confirm/split.py", "NN201"),
        ("missing_seed_confirm/spiral.py", "NN201"),
        ("partial_seed_confirm/shuffled.py", "NN202"),
        ("partial_seed_confirm/main_process.py", "NN202"),
    ],
)
def test_the_fix_flips_the_verdict(fixture: str, code: str, laboratory: Laboratory) -> None:
    path = FIXTURES / fixture
    assert answer(path, code, laboratory)["outcome"] == "confirmed"
    assert with_fix(path, code, laboratory)["outcome"] == "refuted"


def test_a_seed_in_time_flips_the_verdict(repaired: Repaired) -> None:
    path = FIXTURES / "partial_seed_confirm" / "clock.py"
    assert repaired(path, "NN202", {})["outcome"] == "confirmed"
    assert repaired(path, "NN202", {"int(time.time())": "1234"})["outcome"] == "refuted"


def test_a_loader_of_the_main_process_flips_the_verdict(repaired: Repaired) -> None:
    path = FIXTURES / "partial_seed_confirm" / "crops.py"
    assert repaired(path, "NN202", {})["outcome"] == "refuted"
    assert repaired(path, "NN202", {"num_workers=2": "num_workers=0"})["outcome"] == "confirmed"


TRAINING = """
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(100):
    loss = nn.functional.mse_loss(model(torch.eye(4)), torch.zeros(4, 2))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def test_the_figures_are_the_same_in_every_run(laboratory: Laboratory) -> None:
    path = FIXTURES / "missing_seed_confirm" / "split.py"
    first, second = (answer(path, "NN201", laboratory) for _ in range(2))
    assert first["figures"] == second["figures"]
    assert first["summary"] == second["summary"]
    assert first["figures"]["blamed"] == ["torch", "numpy"]  # type: ignore[call-overload, index]


def test_weights_that_are_loaded_count_for_nothing(write: Write, laboratory: Laboratory) -> None:
    path = write(
        "train.py",
        "import torch\nfrom torch import nn\n\nmodel = nn.Linear(4, 2)\n"
        'model.load_state_dict(torch.load("start.pt"))\n' + TRAINING,
    )
    found = answer(path, "NN201", laboratory)
    assert found["outcome"] == "inconclusive"
    assert "'start.pt' could not be read" in str(found["summary"])


def test_an_option_that_is_not_used(write: Write, laboratory: Laboratory) -> None:
    script = (
        "import argparse\n\nimport torch\nfrom torch import nn\n\nparser = argparse.ArgumentParser()\n"
        'parser.add_argument("--seed", type=int, default=0)\nargs = parser.parse_args()\ntorch.manual_seed(3)\n'
        "model = nn.Linear(4, 2)\n" + TRAINING
    )
    found = answer(write("train.py", script), "NN202", laboratory)
    assert found["outcome"] == "confirmed"
    assert "--seed 1 and --seed 2" in str(found["summary"])
    assert "torch.manual_seed (train.py:9) sets the seed" in str(found["summary"])


def test_an_option_that_is_used_by_another_name(write: Write, laboratory: Laboratory) -> None:
    script = (
        "import argparse\n\nimport torch\nfrom torch import nn\n\nparser = argparse.ArgumentParser()\n"
        'parser.add_argument("--seed", type=int, default=0)\noptions = list(vars(parser.parse_args()).values())\n'
        "torch.manual_seed(options[0])\nmodel = nn.Linear(4, 2)\n" + TRAINING
    )
    found = answer(write("train.py", script), "NN202", laboratory)
    assert found["outcome"] == "refuted"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system has no /proc")
def test_what_differs_even_where_all_is_alike(write: Write, laboratory: Laboratory) -> None:
    script = (
        "import torch\nfrom torch import nn\n\n"
        'torch.default_generator.manual_seed(int(open("/proc/self/stat").read().split()[0]))\n'
        "model = nn.Linear(4, 2)\n" + TRAINING
    )
    found = answer(write("train.py", script), "NN201", laboratory)
    assert found["outcome"] == "inconclusive"
    assert "even where they start alike" in str(found["summary"])


@pytest.mark.parametrize(
    "number",
    [
        "int(np.random.default_rng().integers(1000000))",
        "uuid.uuid4().int % 1000000",
        "secrets.randbelow(1000000)",
        "int.from_bytes(os.urandom(4), 'big')",
        "time.time_ns() % 1000000",
        "int(time.perf_counter() * 1000)",
        "time.monotonic_ns() % 1000000",
        "os.getpid()",
        "int(datetime.datetime.now().timestamp())",
        "random.SystemRandom().randrange(1000000)",
    ],
)
def test_entropy_and_clock_are_other_ones_in_each_process(number: str, write: Write, laboratory: Laboratory) -> None:
    script = (
        "import datetime, os, random, secrets, time, uuid\n\nimport numpy as np\nimport torch\nfrom torch import nn\n\n"
        f"torch.default_generator.manual_seed({number})\nmodel = nn.Linear(4, 2)\n" + TRAINING
    )
    found = answer(write("train.py", script), "NN201", laboratory)
    assert found["outcome"] == "confirmed", found["summary"]


def test_other_modules_keep_the_true_datetime(write: Write, laboratory: Laboratory) -> None:
    # What is written in C, such as pandas, crashes with any other.
    script = (
        "import calendar\nfrom datetime import datetime\n\nimport torch\nfrom torch import nn\n\n"
        "sizes = {('datetime', True): 2}\nlibrary = calendar.datetime.datetime\n"
        "torch.default_generator.manual_seed(int(datetime.now().timestamp()))\n"
        "model = nn.Linear(4, sizes[library.__module__, isinstance(library.now(), datetime)])\n" + TRAINING
    )
    found = answer(write("train.py", script), "NN201", laboratory)
    assert found["outcome"] == "confirmed", found["summary"]
    assert not found["assumptions"]


def test_an_argument_that_decides_what_is_built(write: Write, laboratory: Laboratory) -> None:
    script = (
        "import argparse\n\nimport torch\nfrom torch import nn\n\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('-net', required=True)\nargs = parser.parse_args()\n"
        "if args.net == 'small':\n    model = nn.Linear(4, 2)\n" + TRAINING
    )
    found = answer(write("train.py", script), "NN201", laboratory)
    assert found["outcome"] == "inconclusive"
    assert str(found["summary"]).endswith(" was not reached: the required argument -net, which is not given")


def test_a_seed_that_fails(write: Write, laboratory: Laboratory) -> None:
    script = (
        "import json\n\nimport numpy as np\nimport torch\nfrom torch import nn\n\n"
        'settings = json.load(open("settings.json"))\ntorch.manual_seed(settings["seed"])\n'
        "noise = torch.from_numpy(np.random.randn(4, 4))\nmodel = nn.Linear(4, 2)\n" + TRAINING
    )
    found = answer(write("train.py", script), "NN202", laboratory)
    assert found["outcome"] == "inconclusive"
    assert "a seed could not be set" in str(found["summary"])


def test_a_part_of_what_could_not_be_built(write: Write, laboratory: Laboratory) -> None:
    script = (
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.head = nn.Linear(4, 2)\n"
        '        for name, weight in open("weights.txt"):\n            self.head.load_state_dict({name: weight})\n\n'
        "    def forward(self, inputs):\n        return self.head(inputs)\n\n\nmodel = Net()\n" + TRAINING
    )
    found = answer(write("train.py", script), "NN201", laboratory)
    assert found["outcome"] == "inconclusive"
    assert "may be loaded" in str(found["summary"])
