from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from nnlint.confirm.constructions import constructions
from nnlint.confirm.slice import cut
from nnlint.diagnostic import Diagnostic, Location, Span, TextEdit, TextFix
from nnlint.experiment import Plan, WatchedSpan
from tests.confirm.harness import findings

torch = pytest.importorskip("torch")

from nnlint.confirm.worker.bench import Bench  # noqa: E402
from nnlint.confirm.worker.building.comparison import difference, noise_between  # noqa: E402
from nnlint.confirm.worker.job import parse_job  # noqa: E402
from nnlint.confirm.worker.kinds import differential  # noqa: E402
from nnlint.confirm.worker.setting.surroundings import surroundings  # noqa: E402
from nnlint.confirm.worker.verdict import Inconclusive, Verdict, inconclusive  # noqa: E402

Try = Callable[..., Verdict]


@pytest.fixture
def tried(tmp_path: Path) -> Try:
    """The verdict on a script in which ``old`` is to be ``new``."""
    torch.set_num_threads(1)

    def run(
        text: str,
        old: str,
        new: str,
        entry: str = "",
        *,
        see: Sequence[str] = (),
        through: Sequence[str] = (),
        **settings: Any,
    ) -> Verdict:
        path = tmp_path / "train.py"
        path.write_text(textwrap.dedent(text))
        fix = TextFix("mend it", False, (TextEdit(place(path, old), new),))
        return verdict(plan(path, fix, entry, see, through, settings))

    return run


def plan(path: Path, fix: TextFix, entry: str, see: Sequence[str], through: Sequence[str], settings: Any) -> Plan:
    watches = tuple(WatchedSpan("accused" if entry else each, place(path, each)) for each in see)
    anchors = tuple(place(path, each) for each in through)
    return Plan("differential", str(path), str(path.parent), anchors, watches, entry, settings, fix)


def verdict(plan: Plan) -> Verdict:
    """What the kind says, without a process of its own."""
    job = {"kind": plan.kind, "program": cut(plan, {}), "mended": cut(plan, {}, mended=True)}
    bench = Bench("cpu", lambda works: [work() for work in works])
    with surroundings(bench, {}):
        try:
            settings = {**plan.settings, "constructions": constructions(plan, {})}
            return differential.run(parse_job({**job, "settings": settings}), bench)
        except Inconclusive as reason:
            return inconclusive(str(reason))


def place(path: Path, piece: str) -> Location:
    """Where a piece of text stands, the last time if it does so more than once."""
    text = path.read_text()
    start = text.rindex(piece)
    rows = [text.count("\n", 0, offset) + 1 for offset in (start, start + len(piece))]
    columns = [offset - text.rfind("\n", 0, offset) for offset in (start, start + len(piece))]
    return Location(str(path), Span(rows[0], columns[0], rows[1], columns[1]))


# --- a class or function ---------------------------------------------------------------------------------------------

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv1d(channels, 4, 3, padding=1)

    def forward(self, x):
        batch, time, channels = x.shape
        return self.conv(x.view(batch, channels, time)).mean(2)

Net(8)
"""

POINTWISE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, 4)

    def forward(self, x):
        batch, time, width = x.shape
        return self.linear(x.view(time, batch, width)).view(batch, time, 4)

Net(8)
"""


def test_lines_that_matter_are_confirmed_with_figures(tried: Try) -> None:
    found = tried(NET, "x.view(batch, channels, time)", "x.transpose(1, 2)", "Net")
    assert found.outcome == "confirmed"
    assert found.figures["elements"] == 20 and found.figures["share"] == 1 and found.figures["noise"] == 0
    assert found.summary.startswith("mended, the lines give another result: 100% of 20 elements differ, by up to 0.")


def test_there_and_back_is_refuted(tried: Try) -> None:
    old, new = (
        "self.linear(x.view(time, batch, width)).view(batch, time, 4)",
        "self.linear(x.transpose(0, 1)).transpose(0, 1)",
    )
    found = tried(POINTWISE, old, new, "Net")
    assert found.outcome == "refuted"
    assert found.summary.startswith("the lines do no harm: mended, they give the same result ")


def test_the_verdict_flips_when_the_lines_are_mended_in_the_source(tried: Try) -> None:
    mended = NET.replace("x.view(batch, channels, time)", "x.transpose(1, 2)")
    assert tried(mended, "x.transpose(1, 2)", "x.permute(0, 2, 1)", "Net").outcome == "refuted"


def test_height_and_width_that_are_swapped_by_a_view_are_seen(tried: Try) -> None:
    text = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x):
            b, c, h, w = x.shape
            return self.conv(x.view(b, c, w, h))
    """
    found = tried(text, "x.view(b, c, w, h)", "x.transpose(2, 3)", "Net")
    assert found.outcome == "confirmed" and found.figures["share"] > 0.9


def test_a_branch_that_is_multiplied_by_zero_at_first_is_not_harmless(tried: Try) -> None:
    text = NET.replace("mean(2)", "mean(2) * self.gate").replace(
        "self.conv =", "self.gate = nn.Parameter(torch.zeros(4))\n        self.conv ="
    )
    found = tried(text, "x.view(batch, channels, time)", "x.transpose(1, 2)", "Net")
    assert found.outcome == "confirmed" and "with every weight moved a little" in found.summary


def test_what_is_computed_and_never_used_says_nothing(tried: Try) -> None:
    text = NET.replace("return self.conv", "self.seen = self.conv").replace(
        "mean(2)\n", "mean(2)\n        return x.mean(1)\n"
    )
    old = "x.view(batch, channels, time)"
    found = tried(text, old, "x.transpose(1, 2)", "Net", see=[old])
    assert found.outcome == "inconclusive"
    assert found.summary == "the outputs are equal, but nor do they depend on the accused expression or on the inputs"


def test_what_matters_only_for_large_values_is_not_refuted(tried: Try) -> None:
    text = "def loss(output, target):\n    return ((output - target) ** 2).clamp(max=1000.0).mean()\n"
    found = tried(text, ".clamp(max=1000.0)", "", "loss")
    assert found.outcome == "inconclusive" and found.summary.endswith("but not on inputs 100 times as large")


def test_rounding_is_no_difference(tried: Try) -> None:
    text = "def scaled(x):\n    return x * 3.0 / 7.0\n"
    found = tried(text, "x * 3.0 / 7.0", "x * (3.0 / 7.0)", "scaled")
    assert found.outcome == "refuted" and "to within rounding" in found.summary
    assert 0 < found.figures["largest_difference"] < 1e-5


def test_lines_that_are_not_reached_say_nothing(tried: Try) -> None:
    text = "def f(x, flag=False):\n    if flag:\n        x = x * 2\n    return x\n"
    found = tried(text, "x = x * 2", "x = x * 3", "f")
    assert found.outcome == "inconclusive"
    assert found.summary.startswith("train.py:3 is not reached with x of shape (5, ")


def test_another_shape_is_a_difference(tried: Try) -> None:
    found = tried(
        "def f(x):\n    return x.mean(0)\n", "mean(0)", "mean(1)", "f", inputs=[{"name": "x", "shape": ["B", 4]}]
    )
    assert found.outcome == "confirmed" and found.figures["shapes"] == [[4], [5]]


def test_a_fix_that_changes_the_weights_cannot_be_compared(tried: Try) -> None:
    found = tried(NET, "nn.Conv1d(channels, 4, 3", "nn.Conv1d(channels, 4, 5", "Net")
    assert found.outcome == "inconclusive" and "the mended lines" in found.summary


def test_randomness_is_the_same_on_both_sides(tried: Try) -> None:
    text = "import torch\n\ndef noisy(x):\n    noise = torch.randn(x.shape)\n    return (x + noise) * 1\n"
    assert tried(text, " * 1", "", "noisy").outcome == "refuted"
    assert tried(text, " * 1", " * 2", "noisy").outcome == "confirmed"


# --- a script --------------------------------------------------------------------------------------------------------

SCHEDULE = """
import argparse
import wandb_is_not_installed as wandb

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--epochs", type=int, default=6)
args = parser.parse_args()
lr = args.lr

def decayed(epoch):
    global lr
    if epoch >= 3:
        lr *= 0.1
    return lr

def main():
    for epoch in range(args.epochs):
        rate = decayed(epoch)
        wandb.log(rate)

if __name__ == "__main__":
    main()
"""


def test_the_values_a_script_comes_to_are_compared(tried: Try) -> None:
    found = tried(
        SCHEDULE, "lr *= 0.1", "lr = 0.1 * args.lr", see=["decayed(epoch)"], through=["decayed(epoch)", "main()"]
    )
    assert found.outcome == "confirmed"
    assert found.figures["elements"] == 6 and found.figures["share"] == round(2 / 6, 4)


def test_a_script_whose_values_stay_is_refuted(tried: Try) -> None:
    text = SCHEDULE.replace("default=6", "default=4")
    found = tried(text, "lr *= 0.1", "lr = 0.1 * args.lr", see=["decayed(epoch)"], through=["decayed(epoch)", "main()"])
    assert found.outcome == "refuted"


def test_a_script_that_does_not_come_to_the_lines_says_nothing(tried: Try) -> None:
    text = SCHEDULE.replace("default=6", "default=3")
    found = tried(text, "lr *= 0.1", "lr = 0.1 * args.lr", see=["decayed(epoch)"], through=["decayed(epoch)", "main()"])
    assert found.outcome == "inconclusive" and found.summary == "train.py:14 is not reached"


def test_a_value_that_cannot_be_had_is_the_reason(tried: Try) -> None:
    text = "import numpy\nrates = open('/no/such/file').read()\nlr = float(rates) * 1\n"
    found = tried(text, " * 1", " * 2", see=["float(rates)"], through=["float(rates)"])
    assert found.outcome == "inconclusive" and "FileNotFoundError" in found.summary


def test_a_watch_that_is_never_reached_says_nothing(tried: Try) -> None:
    text = "for epoch in range(0):\n    lr = epoch * 1\n"
    found = tried(text, "epoch * 1", "epoch * 2", see=["epoch * 1"], through=["epoch * 1"])
    assert found.outcome == "inconclusive" and found.summary.endswith("is not reached")


# --- fixes of real rules ---------------------------------------------------------------------------------------------


MIXER = """
import torch
from torch import nn

class Mixer(nn.Module):
    def forward(self, x):
        b, c, h, w = x.shape
        return x.reshape(b, h, w, c).softmax(3)
"""

BOUNDED = """
import torch
import torch.nn.functional as F
from torch import nn

def loss_of(output, target):
    return torch.clamp(F.mse_loss(output, target), max=0.5)

model = nn.Linear(4, 1)
for x, y in []:
    loss = loss_of(model(x), y)
    loss.backward()
"""


@pytest.mark.parametrize(("code", "entry", "text"), [("NN203", "Mixer", MIXER), ("NN204", "loss_of", BOUNDED)])
def test_the_fixes_of_rules_are_compared_as_they_are(tmp_path: Path, code: str, entry: str, text: str) -> None:
    path = tmp_path / "train.py"
    path.write_text(text)
    found = fixable(findings(path), code)
    assert found.fix is not None
    assert verdict(plan(path, found.fix, entry, (), (), {})).outcome == "confirmed"


def fixable(found: Sequence[Diagnostic], code: str) -> Diagnostic:
    (only,) = (each for each in found if each.code == code)
    return only


# --- comparing -------------------------------------------------------------------------------------------------------


def test_what_is_not_a_number_on_both_sides_is_equal() -> None:
    nan, inf = float("nan"), float("inf")
    one = torch.tensor([nan, inf, 1.0, -inf])
    assert not difference([one], [one.clone()])
    found = difference([one], [torch.tensor([nan, -inf, 1.5, 0.0])])
    assert found.differing == 3 and found.largest == 0.5 and found.scale == 1.5 and found.share == 0.75


def test_noise_and_rounding_are_allowed_for() -> None:
    one, other = torch.tensor([1.0, 100.0]), torch.tensor([1.001, 100.0])
    noise = noise_between([one], [one + 0.001])
    assert not difference([one], [other], noise=noise) and difference([one], [other])
    assert not difference([one], [other], rounding=1e-4) and difference([one], [other], rounding=1e-6)


def test_shapes_and_the_number_of_tensors_are_compared() -> None:
    assert difference([torch.zeros(2)], [torch.zeros(3)]).shapes == ((2,), (3,))
    assert difference([torch.zeros(2)], []).shapes == ((1,), (0,))
    assert not difference([torch.zeros(0)], [torch.zeros(0)])
