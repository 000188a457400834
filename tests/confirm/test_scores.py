"""The experiments of NN214 and NN215: scores of all samples, each counted once, refute them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nnlint.confirm.worker.protocol.checks.scores import unweighted_mean
from nnlint.confirm.worker.protocol.record import Figure, Pass, Record
from nnlint.confirm.worker.verdict import Inconclusive
from nnlint.verdict import Json

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"

Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]

WEIGHTED = {"total += ": "total += len(x) * ", "/= len(valid_loader)": "/= len(valid_loader.dataset)"}
WEIGHTED_BY_THE_METER = {")  # expect: NN214 inconclusive": ", labels.size(0))  # mended"}


@pytest.mark.parametrize(
    ("fixture", "changes"),
    [
        ("held_out_loss.py", WEIGHTED),
        ("held_out_loss.py", {"batch_size=100)": "batch_size=101)"}),
        ("held_out_loss.py", {"batch_size=100)": "batch_size=100, drop_last=True)"}),
        ("listed_losses.py", {"batch_size=64": "batch_size=50"}),
    ],
)
def test_weighted_means_are_refuted(repaired: Repaired, fixture: str, changes: Mapping[str, str]) -> None:
    path = FIXTURES / "mean_of_batch_means_confirm" / fixture
    before = repaired(path, "NN214", {})
    after = repaired(path, "NN214", changes)
    assert (before["outcome"], after["outcome"]) == ("confirmed", "refuted"), (before["summary"], after["summary"])


def test_a_supposed_number_of_samples_refutes_and_does_not_confirm(repaired: Repaired) -> None:
    path = FIXTURES / "mean_of_batch_means_confirm" / "meter_of_volumes.py"
    before = repaired(path, "NN214", {})
    assert before["outcome"] == "inconclusive"
    assert "how many samples there are is not known here; over 3 batches of" in str(before["summary"])
    after = repaired(path, "NN214", WEIGHTED_BY_THE_METER)
    assert after["outcome"] == "refuted", after["summary"]


@pytest.mark.parametrize(
    ("fixture", "old", "new"),
    [
        ("eleven_batches.py", "step == 10", "step == 99"),
        ("first_batch_only.py", "    break  #", "    pass  #"),
        ("first_batch_only.py", "batch_size=64", "batch_size=1_000"),
        ("at_most_twenty.py", "max_batches=20", "max_batches=79"),
        ("one_batch_taken.py", "batch_size=64", "batch_size=10_000"),
    ],
)
def test_whole_passes_are_refuted(repaired: Repaired, fixture: str, old: str, new: str) -> None:
    path = FIXTURES / "partial_evaluation_confirm" / fixture
    before = repaired(path, "NN215", {})
    after = repaired(path, "NN215", {old: new})
    assert (before["outcome"], after["outcome"]) == ("confirmed", "refuted"), (before["summary"], after["summary"])


def test_the_figures_are_those_of_the_script(repaired: Repaired) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    inputs = torch.randn(5_106, 10)
    targets = inputs @ torch.randn(10, 1) + torch.linspace(0, 2, 5_106).unsqueeze(1)
    model = torch.nn.Sequential(torch.nn.Linear(10, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
    squares = (model(inputs[4_096:]) - targets[4_096:]).detach().square()
    of_batches = torch.stack([batch.mean() for batch in squares.split(100)])

    figures = repaired(FIXTURES / "mean_of_batch_means_confirm" / "held_out_loss.py", "NN214", {})["figures"]
    assert isinstance(figures, Mapping)
    assert (figures["samples"], figures["batches"], figures["last_batch"]) == (1_010, 11, 10)
    assert figures["score"] == pytest.approx(float(of_batches.mean()), rel=1e-5)
    assert figures["mean_over_the_samples"] == pytest.approx(float(squares.mean()), rel=1e-5)
    assert figures["score_of_even_batches"] == pytest.approx(float(squares.mean()), rel=1e-5)


def test_the_bound_of_the_script_counts_however_late_it_is_met(repaired: Repaired) -> None:
    path = FIXTURES / "partial_evaluation_confirm" / "eleven_batches.py"
    answer = repaired(path, "NN215", {"step == 10": "step == 90"})
    figures = answer["figures"]
    assert isinstance(figures, Mapping)
    assert answer["outcome"] == "confirmed"
    assert (figures["batches_used"], figures["batches"], figures["samples_used"]) == (91, 100, 9_100)


TERMS, EVEN = [0.5, 0.25, 0.75], [0.5, 0.4]
SIZES = [4, 4, 2]


def gone_through(sizes: list[int], terms: list[float], score: float) -> Pass:
    """A whole pass with the score that came of it."""
    figures = [Figure(score, len(sizes), len(terms))]
    return Pass(tuple(sizes), "", sizes[0], sizes, list(terms), figures, ended=True, left=True)


def two_passes(score: float, terms: list[float], control: float) -> Record:
    """What is seen of batches of 4, 4 and 2 samples, and of two batches of 5 for the control."""
    even = Record(passes=[gone_through([5, 5], EVEN, control)])
    return Record(passes=[gone_through(SIZES, terms, score)], again=lambda **how: even)


@pytest.mark.parametrize("factor", [1, 100])
def test_a_score_is_told_by_the_weights_of_its_batches(factor: float) -> None:
    of_batches, of_samples = 0.5 * factor, 0.45 * factor
    assert unweighted_mean(two_passes(of_batches, TERMS, 0.45 * factor), {}).outcome == "confirmed"
    assert unweighted_mean(two_passes(of_samples, TERMS, 0.45 * factor), {}).outcome == "refuted"


@pytest.mark.parametrize(
    ("score", "terms", "reason"),
    [
        (0.47, TERMS, "neither the mean of the batch means, 0.5, nor that over the samples, 0.45"),
        (0.5, [0.5, 0.5, 0.5], "its weight cannot be told"),
        (0.5, [0.5, 0.5], "2 means are computed of 3 batches"),
    ],
)
def test_a_score_of_neither_weights_is_no_verdict(score: float, terms: list[float], reason: str) -> None:
    with pytest.raises(Inconclusive, match=reason):
        unweighted_mean(two_passes(score, terms, 0.45), {})
