"""The learning rate over a run, as the reading of a script follows it."""

from __future__ import annotations

import math

import pytest

from nnlint.evidence.schedule import Course, courses
from nnlint.evidence.stepping import Stepping, steppings
from tests.symbolic.reading import read

SCRIPT = """
import math
import torch
from torch import nn, optim
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader

model = nn.Linear(4, 2)
loader = DataLoader(dataset, batch_size=2)
optimizer = optim.SGD(model.parameters(), lr=1.0)
{before}

for epoch in range({rounds}):
    {top}
    for x in loader:
        optimizer.step()
        {inside}
    {bottom}
"""


def script(before: str = "", top: str = "pass", inside: str = "pass", bottom: str = "pass", rounds: str = "8") -> str:
    """A training script with lines put into it."""
    return SCRIPT.format(before=before, top=top, inside=inside, bottom=bottom, rounds=rounds)


def course(text: str) -> Course:
    """The only course of a script."""
    (found,) = [each for run in read(text).runs for each in courses(run)]
    return found


def rates(scheduler: str, *, step: str = "scheduler.step()", rounds: str = "8") -> list[float]:
    """The rates of a run with a scheduler of torch."""
    before = f"scheduler = lr_scheduler.{scheduler}"
    return list(course(script(before, bottom=step, rounds=rounds)).rates)


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("StepLR(optimizer, 3, 0.5)", [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]),
        ("MultiStepLR(optimizer, milestones=[2, 5])", [1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]),
        ("ExponentialLR(optimizer, gamma=0.5)", [0.5**turn for turn in range(8)]),
        ("LinearLR(optimizer, 0.5, total_iters=2)", [0.5, 0.75, 1, 1, 1, 1, 1, 1]),
        ("ConstantLR(optimizer, factor=0.5, total_iters=2)", [0.5, 0.5, 1, 1, 1, 1, 1, 1]),
        ("PolynomialLR(optimizer, total_iters=4)", [1, 0.75, 0.5, 0.25, 0, 0, 0, 0]),
        ("CosineAnnealingLR(optimizer, T_max=4)", [1, 0.853553, 0.5, 0.146447, 0, 0.146447, 0.5, 0.853553]),
        ("CosineAnnealingWarmRestarts(optimizer, 2, 2)", [1, 0.5, 1, 0.853553, 0.5, 0.146447, 1, 0.961940]),
        ("LambdaLR(optimizer, lambda epoch: 0.5 ** (epoch // 4))", [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]),
    ],
)
def test_schedulers_of_torch(scheduler: str, expected: list[float]) -> None:
    assert rates(scheduler) == pytest.approx(expected, abs=1e-5)


def test_a_step_at_the_top_of_the_epoch_skips_the_first_rate() -> None:
    before = "scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)"
    assert course(script(before, top="scheduler.step()", rounds="3")).rates == (0.5, 0.25, 0.125)


def test_a_step_that_is_told_the_epoch() -> None:
    assert rates("StepLR(optimizer, 2, 0.5)", step="scheduler.step(2 * epoch)", rounds="3") == [1.0, 1.0, 0.5]


def test_a_step_under_a_condition_on_the_epoch() -> None:
    found = rates("ExponentialLR(optimizer, 0.5)", step="if epoch >= 2: scheduler.step()", rounds="5")
    assert found == [1.0, 1.0, 1.0, 0.5, 0.25]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("optimizer.param_groups[0]['lr'] = 0.1 ** (epoch // 2)", [1, 1, 0.1, 0.1]),
        ("optimizer.param_groups[0]['lr'] *= 0.5", [0.5, 0.25, 0.125, 0.0625]),
        ("optimizer.param_groups[0]['lr'] = 0.5 * (1 + math.cos(math.pi * epoch / 4))", [1, 0.853553, 0.5, 0.146447]),
        ("if epoch in (1, 3): optimizer.param_groups[0]['lr'] /= 10", [1, 0.1, 0.1, 0.01]),
        ("if epoch % 2 == 1: optimizer.param_groups[0]['lr'] *= 0.5", [1, 0.5, 0.5, 0.25]),
        ("optimizer = optim.SGD(model.parameters(), lr=1 / (epoch + 1))", [1, 1 / 2, 1 / 3, 1 / 4]),
    ],
)
def test_rates_set_by_hand(lines: str, expected: list[float]) -> None:
    assert course(script(top=lines, rounds="4")).rates == pytest.approx(expected, abs=1e-5)


def test_a_rate_carried_from_round_to_round() -> None:
    text = script(
        "lr = 1.0", top="lr = lr * 0.5 if epoch > 1 else lr; optimizer.param_groups[0]['lr'] = lr", rounds="4"
    )
    assert course(text).rates == pytest.approx([1, 1, 0.5, 0.25])


def test_the_rounds_after_the_run() -> None:
    found = course(script("scheduler = lr_scheduler.StepLR(optimizer, 10)", bottom="scheduler.step()"))
    assert found.later(4) == pytest.approx([1, 1, 0.1, 0.1])


@pytest.mark.parametrize(
    "text",
    [
        script("s = lr_scheduler.StepLR(optimizer, 3)", bottom="s.step()", rounds="int(input())"),
        script("s = lr_scheduler.StepLR(optimizer, int(input()))", bottom="s.step()"),
        script("s = lr_scheduler.ReduceLROnPlateau(optimizer)", bottom="s.step(loss)"),
        script("s = lr_scheduler.StepLR(optimizer, 3)", bottom="if measured() > 3: s.step()"),
        script("s = lr_scheduler.StepLR(optimizer, 3)", inside="s.step()"),
        script("s = lr_scheduler.StepLR(optimizer, 3, last_epoch=5)", bottom="s.step()"),
        script(
            "s, t = lr_scheduler.StepLR(optimizer, 3), lr_scheduler.ExponentialLR(optimizer, 1)",
            bottom="s.step(); t.step()",
        ),
        script("s = lr_scheduler.CosineAnnealingLR(optimizer, T_max=0)", bottom="s.step()"),
        script("s = lr_scheduler.ExponentialLR(optimizer, gamma=1e300)", bottom="s.step()"),
        script(top="optimizer.param_groups[0]['lr'] = measured()"),
        script("lr = 2", top="lr = lr * lr * lr; optimizer.param_groups[0]['lr'] = lr", rounds="4000"),
    ],
)
def test_what_only_the_run_can_tell(text: str) -> None:
    assert [each for run in read(text).runs for each in courses(run)] == []


def test_loops_without_end_are_not_followed() -> None:
    text = script("s = lr_scheduler.StepLR(optimizer, 3)", bottom="s.step()", rounds="10 ** 9")
    assert [each for run in read(text).runs for each in courses(run)] == []


def stepping(text: str) -> list[Stepping]:
    """How the schedulers of a script are stepped."""
    return [each for run in read(text).runs for each in steppings(run)]


def test_how_often_a_scheduler_is_stepped() -> None:
    before = "s = lr_scheduler.StepLR(optimizer, 3)"
    (in_batches,) = stepping(script(before, inside="s.step()"))
    (in_epochs,) = stepping(script(before, bottom="s.step()"))
    (in_both,) = stepping(script(before, inside="s.step()", bottom="s.step()"))
    paces = [(len(each.in_batches), len(each.in_epochs)) for each in (in_batches, in_epochs, in_both)]
    assert paces == [(1, 0), (0, 1), (1, 1)]


def test_a_step_that_may_not_come_is_not_counted() -> None:
    before = "s = lr_scheduler.StepLR(optimizer, 3)"
    assert stepping(script(before, inside="if epoch < 2: s.step()")) == []
    assert stepping(script(before, inside="if measured() > 3: s.step()")) == []
    assert math.isclose(course(script(before, bottom="s.step()")).rates[-1], 0.01)
