"""The slice: the statements that a plan rests on, over the files of a repository."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from nnlint.confirm.slice import CannotCut, cut
from nnlint.confirm.texts import mend
from nnlint.confirm.worker.job import Slice, parse_job
from nnlint.diagnostic import Location, Span, TextEdit, TextFix
from nnlint.experiment import Plan, WatchedSpan

Write = Callable[[str, str], Path]


@pytest.fixture
def script(folder: Path) -> Write:
    """Write a file of the repository, its text dedented."""

    def write(name: str, text: str) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return write


def place(path: Path, text: str, number: int = 0) -> Location:
    """Where a text stands in a file for the ``number``-th time."""
    whole = path.read_text(encoding="utf-8")
    offset = -1
    for _ in range(number + 1):
        offset = whole.index(text, offset + 1)
    row, column = whole.count("\n", 0, offset) + 1, offset - whole.rfind("\n", 0, offset)
    return Location(str(path), Span(row, column, row, column + len(text)))


def kept(
    path: Path, *anchors: Location, entry: str = "", watches: tuple[WatchedSpan, ...] = ()
) -> dict[str, list[str]]:
    """The first lines of the statements that a slice keeps, by the name of the file."""
    program = sliced(Plan("kind", str(path), str(path.parent), anchors, watches, entry))
    return {
        Path(file.path).name: [file.text.split("\n")[row - 1].strip() for row, _ in file.keep] for file in program.files
    }


def sliced(plan: Plan, *, mended: bool = False) -> Slice:
    """The slice of a plan as the worker reads it."""
    return parse_job({"kind": "kind", "program": cut(plan, {}, mended=mended), "settings": {}}).program


def test_only_what_leads_to_the_anchor_stays(script: Write) -> None:
    train = script(
        "train.py",
        """
        import argparse
        import wandb
        import torch

        parser = argparse.ArgumentParser()
        parser.add_argument("--epochs", default=5)

        def main():
            args = parser.parse_args()
            wandb.init()
            model = torch.nn.Linear(1, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
            data = open("data.txt")
            for epoch in range(args.epochs):
                print(epoch, data)
                scheduler.step()
                if epoch > 3:
                    break
            return data

        main()
        """,
    )
    assert kept(train, place(train, "scheduler.step()"), place(train, "main()", 1))["train.py"] == [
        "import argparse",
        "import torch",
        "parser = argparse.ArgumentParser()",
        'parser.add_argument("--epochs", default=5)',
        "def main():",
        "args = parser.parse_args()",
        "model = torch.nn.Linear(1, 1)",
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)",
        "scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)",
        'data = open("data.txt")',
        "for epoch in range(args.epochs):",
        "scheduler.step()",
        "if epoch > 3:",
        "break",
        "return data",
        "main()",
    ]


def test_what_a_watch_replaces_needs_nothing(script: Write) -> None:
    train = script("train.py", "import a\nimport b\nmodel = a.build(b.depth)\nresult = model + 1\n")
    watch = WatchedSpan("model", place(train, "a.build(b.depth)"), instead=True)
    assert kept(train, place(train, "model + 1"), watches=(watch,))["train.py"] == [
        "model = a.build(b.depth)",
        "result = model + 1",
    ]


def test_names_are_followed_into_the_repository(script: Write) -> None:
    script("lib/__init__.py", "from .nets import Net\nfrom .data import Data\n")
    script("lib/nets.py", "import torch.nn as nn\nWIDTH = 3\nDEPTH = 4\nclass Net(nn.Module):\n    width = WIDTH\n")
    script("lib/data.py", "class Data: ...\n")
    train = script("train.py", "from lib import Net, Data\nnet = Net()\ndata = Data()\n")
    assert kept(train, place(train, "Net()")) == {
        "train.py": ["from lib import Net, Data", "net = Net()"],
        "__init__.py": ["from .nets import Net"],
        "nets.py": ["import torch.nn as nn", "WIDTH = 3", "class Net(nn.Module):"],
    }


def test_an_entry_is_kept_whole(script: Write) -> None:
    nets = script("nets.py", "import torch\nSIZE = 3\nOTHER = 4\nclass Net:\n    def f(self):\n        return SIZE\n")
    assert kept(nets, entry="Net")["nets.py"] == ["SIZE = 3", "class Net:"]


def test_global_names_are_bound_where_functions_bind_them(script: Write) -> None:
    train = script(
        "train.py",
        """
        def main():
            global rate
            rate = 3
            work()

        def work():
            print(rate)

        main()
        """,
    )
    anchors = (place(train, "print(rate)"), place(train, "work()"), place(train, "main()", 1))
    assert "rate = 3" in kept(train, *anchors)["train.py"]


def test_a_file_that_python_cannot_parse_cannot_be_cut(script: Write) -> None:
    broken = script("broken.py", "print 1\n")
    with pytest.raises(CannotCut, match=r"broken.py is not code for this version of Python"):
        kept(broken, place(broken, "1"))


def test_a_fix_moves_the_places_behind_it(script: Write) -> None:
    train = script("train.py", "x = make()\ny = x.view(2, 3)\nz = y + 1\n")
    edit = TextEdit(place(train, "x.view(2, 3)"), "x.permute(1, 0)")
    added = TextEdit(Location(str(train), Span(3, 1, 3, 1)), "y = y * 2\n")
    mended = mend(train.read_text(encoding="utf-8"), TextFix("permute", False, (edit, added)), str(train))
    assert mended.text == "x = make()\ny = x.permute(1, 0)\ny = y * 2\nz = y + 1\n"
    assert mended.added == ((3, 3),)
    assert mended.moved(place(train, "x.view(2, 3)").span) == Span(2, 5, 2, 20)
    assert mended.moved(place(train, "y + 1").span) == Span(4, 5, 4, 10)


def test_what_a_fix_adds_is_kept(script: Write) -> None:
    train = script("train.py", "x = make()\ny = x + 1\n")
    added = TextEdit(Location(str(train), Span(2, 1, 2, 1)), "x = x * 2\n")
    plan = Plan("kind", str(train), str(train.parent), (place(train, "x + 1"),), mend=TextFix("", False, (added,)))
    (file,) = sliced(plan, mended=True).files
    assert (2, 0) in file.keep


def test_a_loop_is_left_where_only_plain_names_and_options_decide_it(script: Write) -> None:
    train = script(
        "train.py",
        """
        import argparse
        from elsewhere import late
        parser = argparse.ArgumentParser()
        args = parser.parse_args()
        QUICK = True
        done = 0
        for epoch in range(9):
            scheduler.step()
            done += 1
            if QUICK and done > 3:
                break
            if done > args.most:
                break
            if late():
                break
        """,
    )
    lines = kept(train, place(train, "scheduler.step()"))["train.py"]
    assert "QUICK = True" in lines
    assert "done += 1" in lines
    assert "args = parser.parse_args()" in lines
    assert lines.count("break") == 2
    assert "if late():" not in lines


def test_options_of_groups_and_subcommands_are_kept(script: Write) -> None:
    path = script(
        "train.py",
        """
        import argparse

        parser = argparse.ArgumentParser()
        group = parser.add_argument_group("training")
        group.add_argument("--lr", type=float, default=0.1)
        commands = parser.add_subparsers(dest="command")
        train = commands.add_parser("train")
        train.add_argument("--epochs", type=int, default=3)
        other = argparse.ArgumentParser()
        other.add_argument("--unused")
        args = parser.parse_args()
        print(args.epochs * args.lr)
        """,
    )
    assert kept(path, place(path, "print(args.epochs * args.lr)"))["train.py"] == [
        "import argparse",
        "parser = argparse.ArgumentParser()",
        'group = parser.add_argument_group("training")',
        'group.add_argument("--lr", type=float, default=0.1)',
        'commands = parser.add_subparsers(dest="command")',
        'train = commands.add_parser("train")',
        'train.add_argument("--epochs", type=int, default=3)',
        "args = parser.parse_args()",
        "print(args.epochs * args.lr)",
    ]
