"""The command line that an experiment gives to the user's script."""

from __future__ import annotations

import argparse

import pytest

from nnlint.confirm.worker.anything import is_missing
from nnlint.confirm.worker.bench import Bench
from nnlint.confirm.worker.setting.command_line import without_arguments


def parsed(bench: Bench, **options: str) -> argparse.Namespace:
    """What a script with two subcommands gets, as it is told them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train")
    train.add_argument("--epochs", type=int, default=3)
    train.add_argument("--out", required=True)
    commands.add_parser("test").add_argument("--weights", default="best.pt")
    with without_arguments(bench, options):
        return parser.parse_args()


@pytest.fixture
def bench() -> Bench:
    return Bench("cpu", lambda works: [work() for work in works])


def test_without_any_it_trains(bench: Bench) -> None:
    arguments = parsed(bench)
    assert (arguments.command, arguments.epochs) == ("train", 3)
    assert is_missing(arguments.data) and is_missing(arguments.out)
    assert bench.assumptions == ["the subcommand train"]


def test_the_subcommand_that_a_finding_is_about_is_given(bench: Bench) -> None:
    arguments = parsed(bench, command="test")
    assert (arguments.command, arguments.weights) == ("test", "best.pt")
    assert bench.assumptions == ["the subcommand test"]


def test_what_is_insisted_on_is_called_as_the_user_calls_it(bench: Bench) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-net", required=True)
    parser.add_argument("-o", "--out", required=True)
    parser.add_argument("data")
    with without_arguments(bench, {}):
        parser.parse_args()
    assert bench.stood_in == [f"the required argument {name}, which is not given" for name in ("-net", "--out", "data")]
