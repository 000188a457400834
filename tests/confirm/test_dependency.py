"""Views under experiment: where elements end up, what depends on them, and that a repair turns the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from nnlint.verdict import Json

torch: Any = pytest.importorskip("torch")

from nnlint.confirm.worker.bench import Bench  # noqa: E402 # needs torch
from nnlint.confirm.worker.building.prepared import Prepared  # noqa: E402
from nnlint.confirm.worker.elements.chart import chart  # noqa: E402
from nnlint.confirm.worker.elements.perturbation import fresh, rows_that_move  # noqa: E402
from nnlint.confirm.worker.elements.views import View, brings_back, elements_apart  # noqa: E402
from nnlint.confirm.worker.elements.witness import numbered, witness  # noqa: E402
from nnlint.confirm.worker.verdict import Inconclusive  # noqa: E402

Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]
Verdicts = Callable[[Path], Mapping[tuple[str, int, str], str]]
Write = Callable[[str, str], Path]

SERIES = """
    import torch
    from torch import nn

    torch.manual_seed(0)


    class SeriesNet(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.conv = nn.Conv1d(channels, 4, 3)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            batch, time, channels = x.shape
            return self.head(self.conv(x.view(batch, channels, time)).mean(2))


    data = torch.randn(12, 9, 6).cumsum(1)
    model = SeriesNet(6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(data).square().mean().backward()
        optimizer.step()
"""

ENCODER = """
    import torch
    from torch import nn


    class Encoder(nn.Module):
        def __init__(self, vocabulary, hidden=6):
            super().__init__()
            self.hidden = hidden
            self.embedding = nn.Embedding(vocabulary, 10)
            self.rnn = nn.GRU(10, hidden, bidirectional=True, batch_first=True)
            self.head = nn.Linear(2 * hidden, 3)

        def forward(self, words):
            _, state = self.rnn(self.embedding(words))
            return self.head(state.view(-1, 2 * self.hidden))
"""

CLIPS = """
    import torch
    from missing_player import Player


    def play(player: Player):
        for clip in player.clips():
            if not clip.is_empty():
                frames = clip.frames()
                count, height, width, channels = frames.shape
                yield player.encode(frames.reshape(count, channels, height, width))
"""


@pytest.fixture
def script(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (SERIES, ".view(batch, channels, time)", ".transpose(1, 2)"),
        (ENCODER, ".view(-1, 2", ".transpose(0, 1).reshape(-1, 2"),
        (CLIPS, ".reshape(count, channels, height, width)", ".permute(0, 3, 1, 2)"),
    ],
    ids=["script", "class", "lines"],
)
def test_a_repair_turns_the_verdict(text: str, old: str, new: str, script: Write, repaired: Repaired) -> None:
    path = script("train.py", text)
    before, after = repaired(path, "NN203", {}), repaired(path, "NN203", {old: new})
    assert (before["outcome"], after["outcome"]) == ("confirmed", "refuted"), (before, after)


def test_rows_of_the_batch_are_mixed(script: Write, repaired: Repaired) -> None:
    found = repaired(script("encoder.py", ENCODER), "NN203", {})
    figures: Any = found["figures"]
    assert figures["rows"] != figures["mended_rows"] == {"0": [0], "2": [2]}
    assert figures["chart"] == [[0, 1], [2, 3], [0, 4], [1, 2], [3, 4]]


def test_the_same_figures_every_time(script: Write, repaired: Repaired) -> None:
    path = script("train.py", SERIES)
    first, second = (dict(repaired(path, "NN203", {})) for _ in range(2))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_the_lines_alone_do_not_decide_what_may_be_taken_back(script: Write, repaired: Repaired) -> None:
    text = CLIPS.replace("yield player.encode(", "mixed = player.encode(").rstrip() + "\n" + 16 * " "
    text += "yield mixed.reshape(count, height, width, channels)\n"
    path = script("train.py", text)
    found = repaired(path, "NN203", {})
    assert found["outcome"] == "inconclusive"
    assert "another view, which is not run, may undo that" in str(found["summary"])


NET = """
    import torch
    from torch import nn


    class Net(nn.Module):
        def __init__(self, width=6):
            super().__init__()
            self.fc = nn.Linear(width, width)
            self.rnn = nn.LSTM(width, width)
            self.gate = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            batch, time, width = x.shape
            h = x.view(time, batch, width)
"""

BODIES = {
    "refuted": (
        "return self.fc(h).relu().view(batch, time, width)",
        "return torch.relu(self.fc(h)).view_as(x).flatten(1)",
        "return h.mean((0, 1))",
    ),
    "confirmed": (
        "return self.rnn(h)[0].view(batch, time, width)",
        "return self.fc(h).view(batch, time, width), self.rnn(h)[0]",
        "return self.rnn(self.fc(h.reshape(-1, width)).view(time, batch, width))[0]",
        "return x.sum((1, 2)) + self.gate * self.rnn(h)[0][-1].mean(1)",
    ),
    "inconclusive": ("return x.mean(1) + 0 * h.mean()",),
}


@pytest.mark.parametrize(
    ("outcome", "body"), [(outcome, body) for outcome, bodies in BODIES.items() for body in bodies]
)
def test_what_follows_decides(outcome: str, body: str, script: Write, verdicts: Verdicts) -> None:
    found = verdicts(script("net.py", f"{NET}            {body}\n"))
    assert found["net.py", 15, "NN203"] == outcome


# --- numbered elements -----------------------------------------------------------------------------------------------


def pair(source: int, target: int, *, whole_source: bool = True, whole_target: bool = True) -> dict[str, Any]:
    return {"source": source, "target": target, "whole_source": whole_source, "whole_target": whole_target}


def test_an_exchange_by_name_misplaces_elements() -> None:
    elements = numbered(torch.zeros(2, 3, 5))
    found = witness((2, 3, 5), elements.view(3, 2, 5), [pair(0, 1), pair(1, 0)])
    assert found.misplaced == pytest.approx(2 / 3)
    told = found.told(["b", "t", "c"], ["t", "b", "c"])
    assert told == "67% of the elements end up in the wrong place: result[t=0, b=1, c=0] holds the element of t=1, b=0"
    assert not witness((2, 3, 5), elements.transpose(0, 1), [pair(0, 1), pair(1, 0)]).misplaced


def test_without_names_axes_are_told_by_their_places() -> None:
    found = witness((4, 3, 5), numbered(torch.zeros(4, 3, 5)).view(4, 5, 3), [pair(2, 1), pair(1, 2)])
    for before, after in ((["4", "3", "5"], ["4", "5", "3"]), (["b", "x", "x"], ["b", "…", "…"]), ([], [])):
        assert found.told(before, after).endswith(
            "result[0, 0, 1] should come from input[:, :, 0] but is input[0, 0, 1]"
        )
    parts = witness((2, 6), numbered(torch.zeros(2, 6)).view(3, 4), [pair(1, 0, whole_target=True, whole_source=False)])
    assert parts.told([], []).endswith("result[0, 1] holds input[0, 1]")


def test_a_factor_of_an_axis_may_run_slowly_or_fast() -> None:
    elements = numbered(torch.zeros(2, 5, 3))
    merged = [pair(1, 0), pair(0, 1, whole_target=False)]
    for right in (elements.permute(1, 0, 2), elements.permute(1, 2, 0)):
        assert not witness((2, 5, 3), right.reshape(5, 6), merged).misplaced
    wrong = witness((2, 5, 3), elements.view(5, 6), merged)
    assert (wrong.axis, wrong.wanted) == (1, 0)
    assert wrong.holds[1] != 0


def test_axes_of_other_sizes_are_not_those_that_were_read() -> None:
    with pytest.raises(Inconclusive, match="axis 0 has 2 elements"):
        witness((2, 3), numbered(torch.zeros(2, 3)).view(6, 1), [pair(0, 0)])


# --- views that take each other back ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "back"),
    [
        (View((3, 5, 7), (5, 3, 7)), True),
        (View((3, 5, 2), (5, 3, 2)), True),
        (View((3, 5, 7), (15, 7)), False),
        (View((3, 5, 7), (5, 21)), False),
        (View((3, 5, 7), (5, 3, 7, 1)), True),
        (View((3, 5, 7, 1), (5, 3, 7)), True),
        (View((15, 7), (5, 3, 7)), False),
        (View((5, 3, 7), (3, 5, 7)), False),
    ],
)
def test_what_brings_sizes_back(view: View, back: bool) -> None:
    assert brings_back(view, View((5, 3, 7), (3, 5, 7))) is back


def test_stretches_are_what_a_view_leaves_together() -> None:
    assert elements_apart(View((5, 3, 7, 2), (3, 5, 7, 2))) == 15
    assert elements_apart(View((5, 3), (3, 5))) == 15


# --- dependence ------------------------------------------------------------------------------------------------------


class Mixing(torch.nn.Module):  # type: ignore[misc,name-defined,unused-ignore]
    """Every row but the first also depends on the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = torch.nn.Dropout(0.9)
        self.norm = torch.nn.BatchNorm1d(4)
        self.embedding = torch.nn.Embedding(9, 4)
        self.calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        if not x.is_floating_point():
            x = self.embedding(x)
        x = self.norm(self.drop(x))
        return torch.softmax(torch.cat([x[:1], x[1:] + x[:-1]]), dim=-1)


@pytest.fixture
def bench() -> Bench:
    return Bench("cpu", lambda works: [work() for work in works])


@pytest.mark.parametrize("integers", [False, True])
def test_rows_that_depend_on_others(integers: bool, bench: Bench) -> None:
    module = Mixing()
    x = torch.tensor([0, 1, 2, 3, 4]) if integers else torch.randn(5, 4)
    run = Prepared(module.forward, module, {"x": x}, {"x": 9 if integers else 0}, 5, bench)
    assert rows_that_move(run, 0, [0, 2, 4], run.call(), 0.0) == {0: [0, 1], 2: [2, 3], 4: [4]}
    assert chart(run) == [[0], [0, 1], [1, 2], [2, 3], [3, 4]]
    assert module.training
    assert module.calls == 0
    assert run.inputs[0] is x


def test_fresh_values_differ_and_stay_in_range() -> None:
    words = torch.randint(0, 5, (100,))
    assert bool((fresh(words, 5) != words).all())
    assert int(fresh(words, 5).max()) < 5
    assert bool((fresh(torch.zeros(50)).abs() >= 0.5).all())
    assert bool(fresh(torch.zeros(3, dtype=torch.bool)).all())
