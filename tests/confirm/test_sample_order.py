"""The experiments of NN106 and NN107: the verdict flips when the order of the samples is another one."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nnlint.confirm.worker.draws.other_seeds import other_seeds
from nnlint.verdict import Json

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
STORED = FIXTURES / "unshuffled_training_data_confirm"
REPEATED = FIXTURES / "distributed_sampler_without_set_epoch_confirm"
HOOK = FIXTURES / "unshuffled_training_data_lightning.py"

Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]


@pytest.mark.parametrize(
    ("code", "script", "old", "new"),
    [
        ("NN106", STORED / "by_folder.py", "num_workers=2", "num_workers=2, shuffle=True"),
        ("NN106", STORED / "along_the_axis.py", "range(400)", "torch.randperm(500)[:400].tolist()"),
        ("NN106", HOOK, "self.train_set, batch_size", "self.train_set, shuffle=True, batch_size"),
        ("NN107", REPEATED / "spawned.py", "model.train()", "sampler.set_epoch(epoch) or model.train()"),
        (
            "NN107",
            REPEATED / "if_there_are_several.py",
            "self.model.train()",
            "self.loader.sampler.set_epoch(epoch) or self.model.train()",
        ),
    ],
)
def test_a_repaired_order_refutes(repaired: Repaired, code: str, script: Path, old: str, new: str) -> None:
    before, after = repaired(script, code, {}), repaired(script, code, {old: new})
    assert (before["outcome"], after["outcome"]) == ("confirmed", "refuted"), (before["summary"], after["summary"])


@pytest.mark.parametrize(
    ("code", "script", "old", "new"),
    [
        ("NN106", STORED / "sorted_anew.py", "waves.new_epoch()", "len(waves)"),
        ("NN106", STORED / "mixed_when_read.py", "sums(count, seed)", "sorted(sums(count, seed))"),
        ("NN106", STORED / "mixed_in_place.py", "mix(rows)", "len(rows)"),
        ("NN106", STORED / "all_at_once.py", "default=256", "default=32"),
        ("NN107", REPEATED / "by_another_name.py", "order.epoch = epoch", "order.epoch = 0"),
        ("NN107", REPEATED / "by_its_seed.py", "seed += 1", "seed += 0"),
    ],
)
def test_without_what_changes_the_order_it_is_confirmed(
    repaired: Repaired, code: str, script: Path, old: str, new: str
) -> None:
    before, after = repaired(script, code, {}), repaired(script, code, {old: new})
    assert (before["outcome"], after["outcome"]) == ("refuted", "confirmed"), (before["summary"], after["summary"])


@pytest.mark.parametrize(
    ("code", "script", "old", "new", "reason"),
    [
        ("NN106", STORED / "along_the_axis.py", "torch.linspace(-3, 3, count)", "torch.rand(count)", "other samples"),
        ("NN106", STORED / "along_the_axis.py", "torch.linspace(-3, 3, count)", "torch.ones(count)", "told apart"),
        ("NN107", REPEATED / "spawned.py", "rows(1000)", "rows(8)", "only 2 samples"),
        ("NN107", REPEATED / "by_another_name.py", "sampler=order", "shuffle=True", "something else"),
    ],
)
def test_nothing_is_said_of_an_order_that_is_not_seen(
    repaired: Repaired, code: str, script: Path, old: str, new: str, reason: str
) -> None:
    answer = repaired(script, code, {old: new})
    assert answer["outcome"] == "inconclusive", answer["summary"]
    assert reason in str(answer["summary"])


def test_a_part_that_is_drawn_and_keeps_its_order_is_confirmed(repaired: Repaired) -> None:
    answer = repaired(
        STORED / "along_the_axis.py",
        "NN106",
        {"range(400)": "[number for number in range(500) if torch.rand(()) < 0.8]"},
    )
    assert answer["outcome"] == "confirmed", answer["summary"]


def test_with_other_seeds_every_generator_draws_other_numbers() -> None:
    before = _drawn()
    with other_seeds():
        meanwhile = _drawn()
    assert all(one != other for one, other in zip(before, meanwhile, strict=True))
    assert _drawn() == before


def _drawn() -> list[float]:
    """A number of each generator that a script can seed."""
    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    own = torch.Generator()
    own.manual_seed(0)
    return [
        random.random(),
        float(np.random.rand()),
        float(torch.rand(())),
        random.Random(0).random(),
        random.Random("zero").random(),
        float(np.random.RandomState(0).rand()),
        float(np.random.default_rng(0).random()),
        float(np.random.Generator(np.random.PCG64(0)).random()),
        float(torch.rand((), generator=own)),
        float(torch.rand((), generator=torch.Generator("cpu").manual_seed(0))),
    ]
