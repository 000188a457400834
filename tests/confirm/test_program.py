"""The slice in the worker: what is kept runs, what fails is missing, what is watched is seen."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nnlint.confirm.slice import cut
from nnlint.confirm.worker.anything import is_missing
from nnlint.confirm.worker.bench import Bench
from nnlint.confirm.worker.job import parse_job
from nnlint.confirm.worker.program import Enough, Program
from nnlint.confirm.worker.setting import packages
from nnlint.confirm.worker.verdict import Inconclusive
from nnlint.experiment import Plan, WatchedSpan
from tests.confirm.test_slice import Write, place, script

__all__ = ["script"]

Make = Callable[..., Program]


@pytest.fixture
def make() -> Iterator[Make]:
    """A program cut around anchors or an entry of a file."""
    modules, lines = set(sys.modules), dict(linecache.cache)

    def make(path: Path, *anchors: str, entry: str = "", see: str = "", instead: str = "") -> Program:
        watches = [WatchedSpan("seen", place(path, see))] if see else []
        watches += [WatchedSpan("supplied", place(path, instead), instead=True)] if instead else []
        places = tuple(place(path, anchor) for anchor in anchors)
        plan = Plan("kind", str(path), str(path.parent), places, tuple(watches), entry)
        job = parse_job({"kind": "kind", "program": cut(plan, {}), "settings": {}})
        return Program(job.program, Bench("cpu", lambda works: [work() for work in works]))

    yield make
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    linecache.cache.clear()
    linecache.cache.update(lines)


def test_what_fails_is_missing_and_the_rest_runs(script: Write, make: Make) -> None:
    train = script(
        "train.py", "data = open('nowhere.txt')\nsize = len(data.read()) + 3\nother = 4\nresult = (size, other)\n"
    )
    program = make(train, "result")
    module = program.run()
    assert is_missing(module.size) is False
    assert module.result == (3, 4)
    assert program.why_missing().startswith("train.py:1: FileNotFoundError: ")


def test_missing_values_spread_with_their_reason(script: Write, make: Make) -> None:
    train = script("train.py", "a, (b, *c) = load()\nd = b.x[3](1) * 2\n")
    module = make(train, "d = ").run()
    assert is_missing(module.d)
    assert "load" in repr(module.d)


def test_a_package_that_is_not_installed_is_stood_in_for(script: Write, make: Make) -> None:
    train = script(
        "train.py",
        "import no_such_package as nsp\nfrom no_such_package.sub import thing\n"
        "@thing\ndef f():\n    nsp.log(1)\n    return 5\nclass C(nsp.Base):\n    x = 1\nresult = f() + C().x\n",
    )
    program = make(train, "result")
    assert program.run().result == 6
    assert program.bench.stood_in == ["the package no_such_package, which is not installed"]


def test_watches_see_and_change(script: Write, make: Make) -> None:
    train = script("train.py", 'é = "é"; x = len("aé") + 1\nresult = x * 10\n')
    program = make(train, "result", see='len("aé")')
    seen: list[int] = []

    def watch(value: int) -> int:
        seen.append(value)
        return 7

    program.see["seen"] = watch
    assert program.run().result == 80
    assert seen == [2]


def test_watches_supply(script: Write, make: Make) -> None:
    train = script("train.py", "model = build(everything)\nresult = model + 1\n")
    program = make(train, "result", instead="build(everything)")
    program.supply["supplied"] = lambda: 41
    assert program.run().result == 42


def test_a_watch_ends_the_run(script: Write, make: Make) -> None:
    train = script("train.py", "x = 17\ntry:\n    y = x + 1\nexcept Exception:\n    y = 2\nz = y\n")
    program = make(train, "z = y", see="17")

    def enough(value: Any) -> Any:
        raise Enough

    program.see["seen"] = enough
    assert "z" not in vars(program.run())


def test_the_end_of_the_process_is_a_reason(script: Write, make: Make) -> None:
    train = script("train.py", "import sys\nif sys:\n    x = sys.exit(3)\ny = x\n")
    with pytest.raises(Inconclusive, match=r"train.py:3: ends the program \(exit status 3\)"):
        make(train, "y = x").run()


def test_an_entry_of_a_module_of_the_repository(script: Write, make: Make) -> None:
    script("lib/__init__.py", "")
    script("lib/parts.py", "raise_here = 1 / 0\ndef part():\n    return 3\n")
    nets = script(
        "lib/nets.py", "from .parts import part\nfrom . import parts\nclass Net:\n    x = part() + parts.part()\n"
    )
    assert make(nets, entry="Net").entry().x == 6


def test_an_initializer_bears_failures_but_not_that_of_a_module(script: Write, make: Make) -> None:
    text = "class {0}:\n    def __init__(self):\n        self.file = open('nowhere')\n        self.size = 3\n"
    data = script("data.py", text.format("Data(object)"))
    net = script("net.py", text.format("Net(Module)").replace("class", "class Module: pass\nclass"))
    assert make(data, entry="Data").entry()().size == 3
    with pytest.raises(FileNotFoundError):
        make(net, entry="Net").entry()()


def test_imported_names_that_the_slice_left_out_are_missing(script: Write, make: Make) -> None:
    script("tools.py", "def good():\n    return 1\nbad = 1 / 0\n")
    train = script("train.py", "from tools import good, bad\nresult = good()\n")
    assert make(train, "result").run().result == 1


def test_what_an_assignment_binds_is_seen(script: Write, make: Make) -> None:
    train = script("train.py", "totals = {'loss': 9}\ntotals['loss'] /= 2\n")
    program = make(train, "totals['loss'] /= 2", see="totals['loss'] /= 2")
    seen: list[float] = []
    program.see["seen"] = seen.append
    program.run()
    assert seen == [4.5]


def test_a_break_can_be_called_off(script: Write, make: Make) -> None:
    train = script("train.py", "rounds = []\nfor i in range(4):\n    rounds.append(i)\n    if i == 1: break\n")
    program = make(train, "rounds.append", "break", see="break")
    assert program.run().rounds == [0, 1]
    program.see["seen"] = lambda value: not value
    assert program.run().rounds == [0, 1, 2, 3]


def test_large_packages_of_the_project_itself_are_not_imported_ahead(
    script: Write, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be installed as well, as their developers do, but they are the lines themselves."""
    monkeypatch.setattr(packages, "_asked", {})
    script("timm/__init__.py", "")
    train = script("train.py", "import timm\nimport timm.nowhere\nimport yaml.nowhere\nresult = timm, yaml\n")
    program = make(train, "import timm\n", "import timm.nowhere", "import yaml.nowhere", "result")
    program.prepare()
    program.run()
    assert packages.asked() == ["yaml.nowhere"]


def test_a_missing_value_is_no_path_and_says_why(script: Write, make: Make) -> None:
    train = script(
        "train.py",
        """
        import os
        path = load()
        exists = os.path.exists(path)
        try:
            text = open(path).read()
        except FileNotFoundError:
            text = "by default"
        size = len(os.listdir(path))
        result = exists, text, size
        """,
    )
    program = make(train, "result")
    module = program.run()
    assert module.exists is False
    assert program.losses[-1] == "train.py:8: FileNotFoundError: train.py:2: name 'load' is not defined"
