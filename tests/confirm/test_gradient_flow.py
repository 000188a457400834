"""The experiment on clipped losses: what is refuted once the bound is gone, and what stand-ins become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from nnlint.verdict import Json

FIXTURES = Path(__file__).parent.parent.parent / "fixtures" / "clipped_loss_confirm"

Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]
Verdicts = Callable[[Path], Mapping[tuple[str, int, str], str]]


@pytest.mark.parametrize(
    ("fixture", "bound", "repair"),
    [
        ("regression.py", "torch.clamp(loss, max=100.0)", "loss"),
        ("digits.py", "torch.minimum(losses, torch.full_like(losses, ceiling))", "losses"),
        ("digits.py", "torch.full_like(losses, ceiling)", "torch.full_like(losses, float('inf'))"),
        ("prices.py", "torch.clamp(F.mse_loss(model(x), y), max=1.0)", "F.mse_loss(model(x), y)"),
    ],
)
def test_mended_bounds_are_refuted(repaired: Repaired, fixture: str, bound: str, repair: str) -> None:
    answer = repaired(FIXTURES / fixture, "NN204", {bound: repair})
    assert answer["outcome"] == "refuted", answer["summary"]


def test_figures_are_the_same_every_time(repaired: Repaired) -> None:
    answers = [repaired(FIXTURES / "regression.py", "NN204", {"range(args.epochs)": "range(3)"}) for _ in range(2)]
    assert answers[0]["figures"] == answers[1]["figures"]
    assert answers[0]["outcome"] == "confirmed"
    assert answers[0]["figures"]["gradient_above"] == 0  # type: ignore[call-overload, index]


def outcomes(verdicts: Verdicts, folder: Path, text: str) -> list[str]:
    path = folder / "train.py"
    path.write_text("import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n" + dedent(text))
    return [outcome for (_, _, code), outcome in sorted(verdicts(path).items()) if code == "NN204"]


@pytest.mark.parametrize(
    "bound",
    [
        "loss = loss.clip(0, 10)",
        "loss = torch.clamp_max(loss, 10.0)",
        "loss.clamp_(max=10.0)",
        "loss = torch.min(loss, torch.tensor(10.0))",
        "loss = min(loss, torch.tensor(10.0))",
        "if loss > 10.0: loss = torch.tensor(10.0, requires_grad=True)",
        "if loss.item() > 50: loss = torch.clamp(loss, max=10.0)",
    ],
)
def test_spellings(verdicts: Verdicts, tmp_path: Path, bound: str) -> None:
    text = f"""
        def train(model, loader, optimizer):
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.smooth_l1_loss(model(x), y)
                {bound}
                loss.backward()
                optimizer.step()
    """
    assert outcomes(verdicts, tmp_path, text) == ["confirmed"]


@pytest.mark.parametrize(
    ("loss", "outcome"),
    [
        ("F.nll_loss(F.log_softmax(scores, dim=1), labels)", "confirmed"),
        ("F.binary_cross_entropy_with_logits(scores, labels.float())", "confirmed"),
        ("(scores - labels).abs().mean()", "confirmed"),
        ("-(F.log_softmax(scores, 1).gather(1, labels.view(-1, 1))).mean()", "confirmed"),
        ("torch.tanh(F.mse_loss(scores, labels))", "refuted"),
        ("1 - F.cosine_similarity(scores, labels).mean()", "refuted"),
        ("scores.loss", "inconclusive"),
        ("perceptual_loss(scores, labels)", "inconclusive"),
    ],
)
def test_losses_get_the_operands_that_they_need(verdicts: Verdicts, tmp_path: Path, loss: str, outcome: str) -> None:
    text = f"""
        def train(net, loader, optimizer, perceptual_loss):
            for images, labels in loader:
                scores = net(images)
                loss = {loss}
                loss = torch.clamp(loss, max=12.0)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    """
    assert outcomes(verdicts, tmp_path, text) == [outcome]


def test_other_parts_do_not_hide_a_bound(verdicts: Verdicts, tmp_path: Path) -> None:
    text = """
        class Loss(nn.Module):
            def __init__(self, weight=0.1):
                super().__init__()
                self.weight = weight

            def forward(self, prediction, target):
                loss = F.mse_loss(prediction, target).clamp(max=5.0)
                return loss + self.weight * F.l1_loss(prediction, target)
    """
    assert outcomes(verdicts, tmp_path, text) == ["confirmed"]


def test_what_meets_a_number_takes_the_shape_that_is_wanted_then(verdicts: Verdicts, tmp_path: Path) -> None:
    text = """
        def learn(network, target_network, optimizer, batch, gamma=0.99):
            states, actions, rewards, following, done = batch
            values = network(states).gather(1, actions).squeeze(1)
            with torch.no_grad():
                goal = rewards + gamma * target_network(following).max(1).values * (1 - done)
            loss = (goal - values).clamp(-1, 1).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    """
    assert outcomes(verdicts, tmp_path, text) == ["confirmed"]


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("nn.LSTM(6, 4, batch_first=True, proj_size=1)", "(5, 7, 6)"),
        ("nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 1))", "(5, 2, 32, 32)"),
        ("nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Linear(8 * 7, 1))", "(5, 7)"),
        ("nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 9 * 11, 1))", "(5, 3, 9, 11)"),
    ],
)
def test_missing_data_have_the_shape_that_the_model_accepts(
    repaired: Repaired, tmp_path: Path, model: str, shape: str
) -> None:
    path = tmp_path / "train.py"
    path.write_text(MISSING.replace("MODEL", model))
    answer = repaired(path, "NN204", {})
    assert answer["outcome"] == "confirmed", answer["summary"]
    assert f"x: made-up numbers of shape {shape}" in answer["stood_in"]  # type: ignore[operator]


MISSING = """
import pickle

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, random_split


class Stored(Dataset):
    def __init__(self, path):
        with open(path, "rb") as file:
            self.samples = pickle.load(file)

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


def main():
    data = Stored("samples.pkl")
    held_out = len(data) // 10
    train_set, test_set = random_split(data, [len(data) - held_out, held_out])
    loader = DataLoader(train_set, batch_size=16, shuffle=True)
    model = MODEL
    optimizer = torch.optim.Adam(model.parameters())
    for x, y in loader:
        output = model(x)
        output = output[0] if isinstance(output, tuple) else output
        loss = F.mse_loss(output, y).clamp(max=1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


main()
"""


AGENT = """
import torch
from torch import nn


class Agent:
    def __init__(self, net, criterion):
        self.net = net
        self.criterion = nn.MSELoss() if criterion is None else criterion
        self.optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def update(self, x, y):
        self.optimizer.zero_grad()
        loss = self.criterion(self.net(x), y)
        loss = loss.clamp(max=4.0)
        loss.backward()
        self.optimizer.step()
"""


def test_what_the_lines_have_an_answer_to_is_none(repaired: Repaired, tmp_path: Path) -> None:
    path = tmp_path / "agent.py"
    path.write_text(AGENT)
    answer = repaired(path, "NN204", {})
    assert answer["outcome"] == "confirmed"
    assert "criterion = None" in answer["assumptions"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("criterion", "criterion(…): which values that takes is not known"),
        (
            "__import__('lpips_').Loss()",
            "lpips_.Loss(…)(…), which could not be had: the package lpips_ is not installed",
        ),
    ],
)
def test_a_loss_out_of_sight_is_named(repaired: Repaired, tmp_path: Path, given: str, said: str) -> None:
    path = tmp_path / "agent.py"
    path.write_text(AGENT)
    answer = repaired(path, "NN204", {"nn.MSELoss() if criterion is None else criterion": given})
    assert answer["outcome"] == "inconclusive"
    assert answer["summary"] == f"agent.py:15: the loss comes from {said}"


def test_a_gradient_of_its_own_is_no_clipped_loss(verdicts: Verdicts, tmp_path: Path) -> None:
    text = """
        class CappedLoss(torch.autograd.Function):
            @staticmethod
            def forward(ctx, prediction, target):
                ctx.save_for_backward(prediction - target)
                return F.mse_loss(prediction, target).clamp(max=5.0)

            @staticmethod
            def backward(ctx, gradient):
                (error,) = ctx.saved_tensors
                return gradient * 2 * error / error.numel(), None
    """
    assert outcomes(verdicts, tmp_path, text) == []


LOSS = """
import torch.nn as nn
import torch.nn.functional as F


class ContrastLoss(nn.Module):
    def __init__(self, cap=6.0):
        super().__init__()
        self.cap = cap

    def forward(self, first, second):
        distance = F.pairwise_distance(first, second)
        loss = distance.pow(2).clamp(max=self.cap)
        return loss.mean()
"""

TRAIN = """
import json

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from contrast import ContrastLoss


class Pairs(Dataset):
    def __init__(self):
        with open("pairs.json") as file:
            self.pairs = json.load(file)

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        first, second = self.pairs[index]
        return torch.tensor(first), torch.tensor(second)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(9, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, first, second):
        return SCALE(self.layers(first), dim=1), SCALE(self.layers(second), dim=1)


torch.manual_seed(0)
net, criterion = Net(), ContrastLoss()
optimizer = torch.optim.Adam(net.parameters())
for first, second in DataLoader(Pairs(), batch_size=16, shuffle=True):
    loss = criterion(*net(first, second))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


@pytest.mark.parametrize(
    ("scale", "outcome"), [("F.normalize", "refuted"), ("(lambda x, dim: 3 * F.normalize(x, dim=dim))", "confirmed")]
)
def test_a_loss_is_confirmed_from_the_script_on(verdicts: Verdicts, tmp_path: Path, scale: str, outcome: str) -> None:
    (tmp_path / "contrast.py").write_text(LOSS)
    assert verdicts(tmp_path)["contrast.py", 13, "NN204"] == "confirmed"
    (tmp_path / "train.py").write_text(TRAIN.replace("SCALE", scale))
    assert verdicts(tmp_path)["contrast.py", 13, "NN204"] == outcome


READ = {
    "columns of a table in hand-made batches": """
        table = np.loadtxt("arm.txt", delimiter=",", dtype=np.float32)
        inputs, torques = table[:, :21], table[:, 21:28]
        inputs = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
        model = nn.Linear(21, 7)
        optimizer = torch.optim.Adam(model.parameters())
        order = np.random.permutation(inputs.shape[0])
        for start in range(0, len(order) - 256 + 1, 256):
            chosen = order[start : start + 256]
            x = torch.from_numpy(np.ascontiguousarray(inputs[chosen]))
            y = torch.from_numpy(np.ascontiguousarray(torques[chosen]))
            loss = ((model(x) - y) ** 2).sum(dim=1).mean().clamp(0, 100)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    """,
    "nodes of a graph, chosen by a mask": """
        def read(path):
            blob = torch.load(path)
            return blob["x"].float(), blob["adjacency"], blob["y"].long(), blob["train"]

        x, adjacency, y, train_mask = read("citations.pt")
        model = nn.Linear(x.size(1), int(y.max()) + 1)
        optimizer = torch.optim.Adam(model.parameters())
        for epoch in range(10):
            scores = F.log_softmax(model(x), dim=1)
            loss = torch.clamp(F.nll_loss(scores[train_mask], y[train_mask]), max=2.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    """,
    "batches as dicts that are moved as wholes": """
        class Texts(torch.utils.data.Dataset):
            def __init__(self, path):
                self.samples = json.load(open(path))

            def __len__(self):
                return len(self.samples)

            def __getitem__(self, index):
                return self.samples[index]

        model = nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Linear(8 * 7, 4))
        optimizer = torch.optim.Adam(model.parameters())
        for batch in torch.utils.data.DataLoader(Texts("texts.json"), batch_size=8, shuffle=True):
            batch = {key: value.to("cpu") for key, value in batch.items()}
            losses = F.cross_entropy(model(batch["ids"]), batch["labels"], reduction="none")
            loss = losses.clamp(max=2.0).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    """,
    "settings that an initializer reads": """
        class Experiment:
            def __init__(self, path):
                with open(path) as file:
                    self.settings = json.load(file)
                self.loss = nn.CrossEntropyLoss(label_smoothing=0.1)
                self.net = nn.Linear(5, 3)
                self.optimizer = torch.optim.Adam(self.net.parameters(), lr=float(self.settings["lr"]))

            def step(self, x, label):
                self.optimizer.zero_grad()
                loss = torch.clip(self.loss(self.net(x), label), max=5.0)
                loss.backward()
                self.optimizer.step()
    """,
}


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_data_are_followed_until_a_tensor_wants_them(verdicts: Verdicts, tmp_path: Path, text: str) -> None:
    assert outcomes(verdicts, tmp_path, "import json\nimport numpy as np\n" + dedent(text)) == ["confirmed"]
