"""Walking back from a loss: which operations keep an upper bound of a part an upper bound of the whole."""

from __future__ import annotations

from textwrap import dedent

import pytest

from nnlint.evidence.provenance import everything, ingredients, is_positive, summands, walk_back
from nnlint.symbolic.trace import Backward
from nnlint.symbolic.values import Choice, Mapping, Sequence, Tensor, Unknown, Value, snapshot
from tests.symbolic.reading import events


def backpropagated(body: str) -> Value:
    """What a function with these lines calls ``backward`` on; ``part`` is one of its parameters."""
    text = "import torch\nimport torch.nn.functional as F\n\ndef train(part, other, weights, x, scaler, model, n=4):\n"
    lines = dedent(body).strip().split("\n")
    found = events(text + "".join(f"    {line}\n" for line in lines), Backward)
    return found[-1].loss


def reaches(value: Value, name: str, step: object = summands) -> bool:
    return any(
        isinstance(part.value, Unknown) and part.value.name == name
        for part in walk_back(value, step)  # type: ignore[arg-type]  # one of the steps
    )


KEPT = [
    "part",
    "part + other",
    "other + part",
    "part - other",
    "0.5 * part",
    "part * n",
    "part / 8",
    "part / len(x)",
    "weights * part",
    "(part * (x > 0)).sum() / (x > 0).sum()",
    "part.mean()",
    "torch.mean(part.view(-1), dim=0)",
    "part.nan_to_num().to('cuda').squeeze(1)",
    "torch.stack([other, part]).sum()",
    "sum([other, part])",
    "sum({'a': part, 'b': other}.values())",
    "scaler.scale(part)",
    "part.clamp(max=3) + 1",
    "torch.where(torch.isnan(part), torch.zeros_like(part), part)",
    "reduce_loss(part, weights)",
    "(part if n > 3 else other) / 2",
    "torch.minimum(part, other)",
    "torch.exp(x) * part",
]

LOST = [
    "-part",
    "other - part",
    "part * other",
    "-0.5 * part",
    "other / part",
    "part / other",
    "torch.log(part)",
    "part.exp()",
    "part ** 2",
    "part.detach()",
    "torch.max(part, other)",
    "torch.where(x < 0, part, other)",
    "F.mse_loss(part, other)",
    "model(part)",
]


@pytest.mark.parametrize("expression", KEPT)
def test_a_bound_on_a_part_bounds_the_whole(expression: str) -> None:
    assert reaches(backpropagated(f"loss = {expression}\nloss.backward()"), "part")


@pytest.mark.parametrize("expression", LOST)
def test_a_bound_on_a_part_says_nothing(expression: str) -> None:
    value = backpropagated(f"loss = {expression}\nloss.backward()")
    assert not reaches(value, "part")
    assert reaches(value, "part", everything)


def test_products_of_any_factors_are_ingredients() -> None:
    value = backpropagated("loss = (part * other / x).mean()\nloss.backward()")
    assert not reaches(value, "part")
    assert reaches(value, "part", ingredients)


def test_both_sides_of_a_branch_are_walked() -> None:
    value = backpropagated("if n > 3:\n    loss = part\nelse:\n    loss = other\n(loss / 2).backward()")
    assert reaches(value, "part")
    assert reaches(value, "other")


def test_what_was_appended_is_seen_after_the_run() -> None:
    value = backpropagated(
        "losses = []\nlosses.append(part)\nlosses.append(other)\ntorch.stack(losses).mean().backward()"
    )
    assert reaches(value, "part")
    assert reaches(value, "other")


def test_summands_passed_on_the_way_are_told() -> None:
    value = backpropagated("loss = (part + other).mean() + x\nloss.backward()")
    (found,) = [part for part in walk_back(value, summands) if getattr(part.value, "name", "") == "part"]
    assert {getattr(item, "name", "") for item in found.beside} == {"other", "x"}


@pytest.mark.parametrize(
    ("expression", "positive"),
    [
        ("weights", True),
        ("mask.float().sum()", True),
        ("cfg['loss_weight']", True),
        ("cfg.lambda_reg", True),
        ("torch.sigmoid(x)", True),
        ("(1 - p) ** 2", True),
        ("mask.sum().clamp(min=1) + 1e-8", True),
        ("advantage", False),
        ("x - y", False),
        ("-weights", False),
    ],
)
def test_factors(expression: str, positive: bool) -> None:
    text = f"def train(weights, mask, cfg, x, y, p, advantage):\n    import torch\n    ({expression}).backward()\n"
    (event,) = events(text, Backward)
    assert is_positive(event.loss) is positive


def test_snapshot_keeps_what_a_container_holds() -> None:
    loss, other = Unknown("loss"), Unknown("other")
    losses = Sequence("list", [loss])
    held = snapshot(Mapping({"all": losses}))
    losses.items.append(other)
    assert isinstance(held, Mapping)
    inner = held.items["all"]
    assert isinstance(inner, Sequence)
    assert inner.items == [loss]
    choice = Choice(None, loss, other)
    assert snapshot(choice) is choice
    assert not isinstance(snapshot(loss), Tensor)
