from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nnlint.confirm.constructions import constructions
from nnlint.confirm.slice import cut
from nnlint.experiment import Plan

torch = pytest.importorskip("torch")

from nnlint.confirm.worker.anything import Anything  # noqa: E402
from nnlint.confirm.worker.bench import Bench  # noqa: E402
from nnlint.confirm.worker.building.guessing import BATCH, STEPS  # noqa: E402
from nnlint.confirm.worker.building.literals import sides_in, tensors_written_in  # noqa: E402
from nnlint.confirm.worker.building.prepared import Prepared  # noqa: E402
from nnlint.confirm.worker.building.sketches import Sketch  # noqa: E402
from nnlint.confirm.worker.building.synthesis import prepare, twin  # noqa: E402
from nnlint.confirm.worker.job import parse_slice  # noqa: E402
from nnlint.confirm.worker.program import Program  # noqa: E402
from nnlint.confirm.worker.setting.surroundings import surroundings  # noqa: E402
from nnlint.confirm.worker.verdict import Inconclusive  # noqa: E402

HEADER = "import argparse\nimport torch\nfrom torch import nn\nimport torch.nn.functional as F\n"

Make = Callable[..., Prepared]


@pytest.fixture
def bench() -> Bench:
    return Bench("cpu", lambda works: [work() for work in works])


@pytest.fixture
def prepared(tmp_path: Path, bench: Bench) -> Make:
    """Prepares an entry of a script, or of the last of several files, as the parent process and the worker do."""
    torch.set_num_threads(1)

    def make(text: str, entry: str, files: dict[str, str] | None = None, **settings: Any) -> Prepared:
        for name, content in {"model.py": text, **(files or {})}.items():
            (tmp_path / name).write_text(HEADER + textwrap.dedent(content))
        plan = Plan("dependency", str(tmp_path / "model.py"), str(tmp_path), entry=entry)
        program = Program(parse_slice(dict(cut(plan, {}))), bench)
        with surroundings(bench, {}):
            return prepare(program.entry(), {"constructions": constructions(plan, {}), **settings}, bench)

    return make


def shapes(prepared: Prepared) -> list[tuple[int, ...]]:
    return [tuple(each.shape) for each in prepared.inputs]


# --- building --------------------------------------------------------------------------------------------------------


def test_known_arguments_come_before_the_calls_of_the_script(prepared: Make, bench: Bench) -> None:
    text = """
    class Net(nn.Module):
        def __init__(self, width, depth=1):
            super().__init__()
            self.layer = nn.Linear(width, depth)
        def forward(self, x):
            return self.layer(x)
    net = Net(12, 3)
    """
    assert shapes(prepared(text, "Net")) == [(BATCH, 12)]
    assert shapes(prepared(text, "Net", arguments={"width": 6})) == [(BATCH, 6)]
    assert bench.assumptions == []


def test_the_call_of_the_script_is_evaluated_with_its_options(prepared: Make, bench: Bench) -> None:
    model = """
    class Net(nn.Module):
        def __init__(self, args, classes):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(args.width, 4), nn.Linear(4, classes))
        def forward(self, x):
            return self.layers(x)
    """
    train = """
    from model import Net
    from no_such_package import train
    CLASSES = ["cat", "dog", "cow"]
    def main():
        parser = argparse.ArgumentParser()
        parser.add_argument("--width", type=int, default=13)
        parser.add_argument("data")
        args = parser.parse_args()
        data = load(open(args.data))
        train(build(args))
    def build(args):
        return Net(args, len(CLASSES))
    if __name__ == "__main__":
        main()
    """
    ready = prepared(model, "Net", {"train.py": train})
    assert shapes(ready) == [(BATCH, 13)] and ready.call()[0].shape == (BATCH, 3)


def test_the_function_around_a_call_is_called_alone_if_nobody_calls_it(prepared: Make) -> None:
    ready = prepared(
        """
        class Block(nn.Module):
            def __init__(self, width): super().__init__(); self.layer = nn.Linear(width, width)
            def forward(self, x): return self.layer(x)
        class Net(nn.Module):
            def __init__(self, block, widths):
                super().__init__()
                self.blocks = nn.Sequential(*[block(each) for each in widths])
            def forward(self, x): return self.blocks(x)
        def small(pretrained=False, **kwargs):
            return Net(Block, [6, 6], **kwargs)
        """,
        "Net",
    )
    assert shapes(ready) == [(BATCH, 6)] and len(ready.module.blocks) == 2


def test_a_call_that_the_script_only_makes_if_it_is_told_to_is_made_all_the_same(prepared: Make) -> None:
    model = """
    class Net(nn.Module):
        def __init__(self, widths): super().__init__(); self.layer = nn.Linear(*widths)
        def forward(self, x): return self.layer(x)
    def small(): return Net([6, 4])
    """
    train = """
    def network(name):
        if name == "small":
            from model import small
            return small()
    def main():
        parser = argparse.ArgumentParser()
        parser.add_argument("--net", required=True)
        network(parser.parse_args().net)
    main()
    """
    assert shapes(prepared(model, "Net", {"train.py": train})) == [(BATCH, 6)]


def test_a_module_inside_another_gets_what_that_one_gives_it(prepared: Make, bench: Bench) -> None:
    ready = prepared(
        """
        class Attention(nn.Module):
            def __init__(self, width, heads):
                super().__init__()
                self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
            def forward(self, query, context):
                return self.attention(query, context, context)[0]
        class Net(nn.Module):
            def __init__(self, width):
                super().__init__()
                self.embedding = nn.Embedding(19, width)
                self.attention = Attention(width, heads=3)
            def forward(self, words):
                x = self.embedding(words)
                return self.attention(x, x[:, :2])
        Net(width=21)
        """,
        "Attention",
    )
    assert shapes(ready) == [(BATCH, STEPS, 21), (BATCH, 2, 21)] and ready.names == ["query", "context"]
    assert bench.assumptions == []


def test_a_module_that_another_is_told_to_use_gets_what_that_one_gives_it(prepared: Make, bench: Bench) -> None:
    ready = prepared(
        """
        class Block(nn.Module):
            def __init__(self, width, out):
                super().__init__()
                self.conv = nn.Conv2d(width, out, 3, padding=1)
            def forward(self, x): return self.conv(x)
        class Net(nn.Module):
            def __init__(self, block, depth):
                super().__init__()
                self.stem = nn.Conv2d(3, 12, 3, padding=1)
                self.blocks = nn.Sequential(*[block(12, 12) for _ in range(depth)])
            def forward(self, x): return self.blocks(self.stem(x))
        def net3(): return Net(Block, depth=3)
        """,
        "Block",
    )
    assert shapes(ready) == [(BATCH, 12, 32, 48)] and bench.assumptions == []


def test_the_calls_that_hand_over_the_class_itself_come_first(prepared: Make, bench: Bench) -> None:
    model = """
    class Plain(nn.Module):
        def __init__(self, width): super().__init__(); self.conv = nn.Conv2d(width, width, 3, padding=1)
        def forward(self, x): return self.conv(x)
    class Narrow(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(width, 2, 1), nn.Conv2d(2, width, 1))
        def forward(self, x): return x + self.layers(x)
    class Net(nn.Module):
        def __init__(self, block):
            super().__init__()
            self.stem, self.block = nn.Conv2d(3, 14, 3, padding=1), block(14)
        def forward(self, x): return self.block(self.stem(x))
    def one(): return Net(Plain)
    def two(): return Net(Plain)
    def three(): return Net(Plain)
    def four(): return Net(Plain)
    def five(): return Net(Narrow)
    """
    other = "class Narrow(nn.Module):\n    pass\nclass Odd(nn.Module):\n    def forward(self, x): return Narrow()(x)\n"
    ready = prepared(model, "Narrow", {"other.py": other})
    assert shapes(ready) == [(BATCH, 14, 32, 48)] and bench.assumptions == []


def test_the_function_around_a_call_is_called_with_what_names_suggest(prepared: Make, bench: Bench) -> None:
    text = """
    class Net(nn.Module):
        def __init__(self, body, head):
            super().__init__()
            self.body, self.head = body, head
        def forward(self, x, *, y=None): return self.head(self.body(x) + y)
    def small(embed_dim, num_classes):
        return Net(nn.Linear(embed_dim, embed_dim), nn.Linear(embed_dim, num_classes))
    """
    ready = prepared(text, "Net")
    assert ready.names == ["x", "y"] and ready.call()[0].shape[-1] == 11
    assert bench.assumptions == ["small is called with embed_dim = 32, num_classes = 11"]


def test_words_are_those_that_the_lines_know(prepared: Make, bench: Bench) -> None:
    text = """
    class Net(nn.Module):
        def __init__(self, rnn_type, act):
            super().__init__()
            if rnn_type == "gru":
                self.rnn = nn.GRU(6, 4, batch_first=True)
            elif rnn_type == "lstm":
                self.rnn = nn.LSTM(6, 4, batch_first=True)
            self.act = getattr(F, act)
        def forward(self, x): return self.act(self.rnn(x)[0])
    def build(rnn_type, act="relu"): ...
    """
    assert shapes(prepared(text, "Net")) == [(BATCH, STEPS, 6)]
    assert bench.assumptions == ["Net is built with rnn_type = 'gru', act = 'relu'"]


def test_what_is_not_known_is_guessed_by_name_and_said(prepared: Make, bench: Bench) -> None:
    ready = prepared(
        """
        class Net(nn.Module):
            def __init__(self, vocab_size, hidden_size, num_heads, num_classes, dropout):
                super().__init__()
                self.embedding = nn.Embedding(vocab_size, hidden_size)
                self.attention = nn.MultiheadAttention(hidden_size, num_heads, dropout, batch_first=True)
                self.out = nn.Linear(hidden_size, num_classes)
            def forward(self, words):
                x = self.embedding(words)
                return self.out(self.attention(x, x, x)[0].mean(1))
        """,
        "Net",
    )
    assert shapes(ready) == [(BATCH, STEPS)] and int(ready.inputs[0].max()) < ready.bounds[0] == 37
    assert ready.call()[0].shape == (BATCH, 11)
    assert bench.assumptions == [
        "Net is built with vocab_size = 37, hidden_size = 32, num_heads = 4, num_classes = 11, dropout = 0.1"
    ]


def test_widths_that_do_not_fit_are_guessed_again(prepared: Make, bench: Bench) -> None:
    ready = prepared(
        """
        class Block(nn.Module):
            def __init__(self, in_channels, out_channels):
                super().__init__()
                self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, groups=16)
            def forward(self, x): return x + self.conv(x)
        """,
        "Block",
    )
    assert shapes(ready)[0][:2] == (BATCH, 64)
    assert bench.assumptions == ["Block is built with in_channels = 64, out_channels = 64"]


def test_arguments_by_position_stay_so(prepared: Make) -> None:
    ready = prepared(
        """
        class Net(nn.Module):
            def __init__(self, first, *widths, act=None):
                super().__init__()
                pairs = zip((first, *widths), widths)
                self.layers = nn.Sequential(*[nn.Linear(a, b) for a, b in pairs])
            def forward(self, x): return self.layers(x)
        net = Net(6, 5, 4, act="relu")
        """,
        "Net",
    )
    assert shapes(ready) == [(BATCH, 6)] and ready.call()[0].shape == (BATCH, 4)


def test_a_configuration_is_guessed_field_by_field(prepared: Make, bench: Bench) -> None:
    text = """
    class Net(nn.Module):
        def __init__(self, config):
            super().__init__()
            self.layer = nn.Linear(config.hidden_size, config["num_classes"])
        def forward(self, x): return self.layer(x)
    """
    assert shapes(prepared(text, "Net")) == [(BATCH, 32)]
    assert bench.assumptions == ["Net is built with hidden_size = 32, num_classes = 11"]


def test_a_module_that_nobody_gives_is_named(prepared: Make) -> None:
    text = """
    class Wrapper(nn.Module):
        def __init__(self, backbone): super().__init__(); self.backbone = backbone
        def forward(self, x): return self.backbone(x)
    """
    with pytest.raises(Inconclusive, match="the argument backbone is not known"):
        prepared(text, "Wrapper")


def test_a_missing_package_is_the_reason(prepared: Make) -> None:
    text = """
    import no_such_package
    class Net(nn.Module):
        def __init__(self): super().__init__(); self.backbone = no_such_package.create_model("x")
        def forward(self, x): return self.backbone(x)
    """
    with pytest.raises(Inconclusive, match="the package no_such_package is not installed"):
        prepared(text, "Net")


# --- inputs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "forward", "found"),
    [
        ("self.conv = nn.Conv2d(3, 4, 3); self.fc = nn.Linear(4 * 26 * 26, 2)", "self.fc(self.conv(x).flatten(1))", 28),
        (
            "self.conv = nn.Conv2d(3, 4, 8, 8); self.fc = nn.Linear(4 * 28 * 28, 2)",
            "self.fc(self.conv(x).flatten(1))",
            224,
        ),
    ],
)
def test_the_side_of_an_image_is_found(prepared: Make, layers: str, forward: str, found: int) -> None:
    text = f"""
    class Net(nn.Module):
        def __init__(self): super().__init__(); {layers}
        def forward(self, x): return {forward}
    """
    assert shapes(prepared(text, "Net")) == [(BATCH, 3, found, found)]


@pytest.mark.parametrize(
    ("layers", "forward", "found"),
    [
        (
            "self.conv = nn.Conv2d(2, 4, 5); self.fc = nn.Linear(4 * 37 * 37, 2)",
            "self.fc(self.conv(x).flatten(1))",
            (2, 41, 41),
        ),
        ("self.conv = nn.Conv1d(6, 4, 3); self.norm = nn.LayerNorm(21)", "self.norm(self.conv(x))", (6, 23)),
        ("self.norm = nn.Identity(); self.fc = nn.Linear(9, 2)", "self.fc(self.norm(x[..., None])[..., 0])", (9,)),
    ],
    ids=["image", "signal", "vector"],
)
def test_sizes_are_those_that_an_error_asks_for(
    prepared: Make, layers: str, forward: str, found: tuple[int, ...]
) -> None:
    text = f"""
    class Net(nn.Module):
        def __init__(self): super().__init__(); {layers}
        def forward(self, x): return {forward}
    """
    assert shapes(prepared(text, "Net")) == [(BATCH, *found)]


def test_words_that_are_put_side_by_side_are_as_many_as_the_next_layer_takes(prepared: Make) -> None:
    text = """
    class Net(nn.Module):
        def __init__(self): super().__init__(); self.embedding, self.fc = nn.Embedding(50, 8), nn.Linear(24, 2)
        def forward(self, context): return self.fc(self.embedding(context).view(1, -1))
    """
    assert shapes(prepared(text, "Net")) == [(3,)]


def test_first_arguments_of_all_numbers_of_dimensions_meet_further_ones(prepared: Make) -> None:
    text = """
    class Loss(nn.Module):
        def __init__(self): super().__init__(); self.entropy = nn.CrossEntropyLoss(ignore_index=255)
        def forward(self, output, target):
            places = target.unsqueeze(1)
            loss = self.entropy(output, target)
            return loss + places.new_zeros(places.shape[0], output.shape[1], places.shape[2], places.shape[3]).sum()
    """
    output, target = shapes(prepared(text, "Loss"))
    assert len(output) == 4 and target == (output[0], *output[2:])


def test_a_method_may_have_all_it_needs(prepared: Make, bench: Bench) -> None:
    text = """
    class Net(nn.Module):
        def __init__(self): super().__init__(); self.layer = nn.Linear(6, 4)
        def sample(self, count=3): return self.layer(torch.randn(count, 6))
        def decode(self, count=3, code=None):
            return self.layer(torch.randn(count, 6) if code is None else code)
    """
    ready = prepared(text, "Net", method="sample")
    assert shapes(ready) == [] and ready.call()[0].shape == (3, 4)
    assert shapes(prepared(text, "Net", method="decode")) == [(BATCH, 6)]


def test_images_are_wider_than_high_where_that_goes_through(prepared: Make) -> None:
    text = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.up = nn.Conv2d(3, 4, 3, 2, 1), nn.Upsample(scale_factor=2)
        def forward(self, image, mask): return self.up(self.down(image)) * mask
    """
    assert shapes(prepared(text, "Net", inputs=[{"name": "mask", "shape": ["B", 1, 1, 1]}])) == [
        (BATCH, 3, 32, 48),
        (BATCH, 1, 1, 1),
    ]


def test_a_side_that_is_written_in_the_script_comes_first(prepared: Make) -> None:
    text = """
    class Net(nn.Module):
        def __init__(self): super().__init__(); self.conv = nn.Conv2d(1, 4, 3)
        def forward(self, x): return self.conv(x).mean((2, 3))
    Net()(torch.randn(2, 1, 40, 30))
    """
    assert shapes(prepared(text, "Net")) == [(BATCH, 1, 40, 30)]


def test_the_layer_that_is_reached_first_counts_not_the_one_registered_first(prepared: Make) -> None:
    text = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(9, 2)
            self.body = nn.LSTM(6, 9, batch_first=True)
        def forward(self, x): return self.head(self.body(x)[0][:, -1])
    """
    assert shapes(prepared(text, "Net")) == [(BATCH, STEPS, 6)]


def test_sizes_that_are_unpacked_tell_the_number_of_dimensions(prepared: Make) -> None:
    text = """
    def attention(queries, keys):
        B, L, H, E = queries.shape
        if queries.dim() == 3:
            B, L, E = keys.shape
        return torch.einsum("blhe,bshe->bhls", queries, keys)
    """
    ready = prepared(text, "attention")
    assert [len(shape) for shape in shapes(ready)] == [4, 4]


def test_further_arguments_fit_the_first(prepared: Make) -> None:
    text = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.LSTM(6, 9, batch_first=True)
        def forward(self, x, lengths, hidden):
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
            return nn.utils.rnn.pad_packed_sequence(self.cell(packed, hidden)[0], batch_first=True)[0]
    """
    ready = prepared(text, "Net")
    assert ready.names == ["x", "lengths", "hidden", "hidden"]
    assert shapes(ready) == [(BATCH, STEPS, 6), (BATCH,), (1, BATCH, 9), (1, BATCH, 9)]


def test_what_the_reading_knows_is_all_that_is_tried(prepared: Make) -> None:
    text = """
    def mixed(x, target):
        return (x.mean((2, 3)) - target).abs()
    """
    inputs = [{"name": "x", "shape": ["B", 3, "H", "W"]}, {"name": "target", "shape": ["B", 3]}]
    ready = prepared(text, "mixed", inputs=inputs)
    assert shapes(ready) == [(BATCH, 3, 7, 11), (BATCH, 3)]


def test_a_method_is_run_on_an_instance(prepared: Make) -> None:
    text = """
    class Net(nn.Module):
        def __init__(self, width): super().__init__(); self.layer = nn.Linear(width, 4)
        def encode(self, x): return self.layer(x)
        def forward(self, x): return self.encode(x).sum()
    Net(10)
    """
    for ready in (prepared(text, "Net", method="encode"), prepared(text, "Net.encode")):
        assert shapes(ready) == [(BATCH, 10)] and ready.call()[0].shape == (BATCH, 4)


def test_inputs_that_keep_the_number_of_examples_are_preferred(prepared: Make) -> None:
    text = """
    class Net(nn.Module):
        def __init__(self): super().__init__(); self.cell = nn.GRU(6, 4)
        def forward(self, x): return self.cell(x)[1].squeeze(0)
    """
    assert shapes(prepared(text, "Net")) == [(STEPS, BATCH, 6)]


def test_no_input_is_found(prepared: Make) -> None:
    text = """
    def picky(x):
        if x.shape != (1, 2, 3, 4, 5, 6):
            raise ValueError("six sizes, please")
        return x
    """
    with pytest.raises(Inconclusive, match=r"^model\.py:8: ValueError: six sizes, please$"):
        prepared(text, "picky")
    with pytest.raises(Inconclusive, match=r'^model\.py:8: ValueError at `raise ValueError\(""\)`$'):
        prepared(text.replace("six sizes, please", ""), "picky")


# --- running ---------------------------------------------------------------------------------------------------------

STATEFUL = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.norm = nn.BatchNorm1d(6, momentum=0.5)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(()))
        self.hidden, self.seen = None, []
    def train(self, mode=True): raise RuntimeError("never called")
    def eval(self): raise RuntimeError("never called")
    def forward(self, x):
        self.calls += 1
        self.seen.append(1)
        y = self.drop(self.norm(self.layer(x.mul_(2))))
        self.hidden = y if self.hidden is None else self.hidden + y
        return self.hidden + torch.rand(()) + len(self.seen) + self.calls
"""


def test_every_call_is_the_same(prepared: Make) -> None:
    ready = prepared(STATEFUL, "Net")
    state, before = torch.get_rng_state(), ready.inputs[0].clone()
    one, other = ready.call(), ready.call()
    assert torch.equal(one[0], other[0]) and torch.equal(ready.inputs[0], before)
    assert torch.equal(torch.get_rng_state(), state)
    assert ready.module.hidden is None and ready.module.seen == [] and float(ready.module.calls) == 0
    assert ready.module.training and ready.module.drop.training


def test_gradients_flow_to_the_inputs_if_wanted(prepared: Make) -> None:
    ready = prepared(STATEFUL, "Net")
    assert not ready.call()[0].requires_grad
    ready.inputs[0].requires_grad_()
    ready.call(gradient=True)[0].sum().backward()
    assert ready.inputs[0].grad is not None and bool(ready.inputs[0].grad.abs().sum() > 0)


def test_a_twin_has_the_same_weights_and_inputs(prepared: Make, bench: Bench) -> None:
    one = prepared(STATEFUL, "Net")
    with torch.no_grad():
        one.module.layer.weight.mul_(3)
    other = twin(one, prepared(STATEFUL, "Net").module.__class__, {}, bench)
    assert other.module is not one.module and torch.equal(one.call()[0], other.call()[0])


# --- what is written in a script -------------------------------------------------------------------------------------


def test_tensors_and_sides_that_are_written() -> None:
    text = "x = torch.randn(2, 3, 48, 48)\nsummary(net, (3, 24, 24))\n"
    text += "RandomCrop(20)\nCIFAR10('data')\nrandint(0, 9, (n, 4))"
    ast.parse(text)
    found = tensors_written_in([text])
    assert Sketch((BATCH, 3, 48, 48)) in found and Sketch((BATCH, 3, 24, 24)) in found
    assert Sketch((BATCH, 4), "integers", 10) in found
    assert sides_in([text]) == [20, 32]


def test_missing_values_are_no_arguments(bench: Bench) -> None:
    class Net(torch.nn.Module):  # type: ignore[misc,name-defined,unused-ignore] # torch is not read
        def __init__(self, width: int) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(width, 2)

        def forward(self, x: Any) -> Any:
            return self.layer(x)

    assert shapes(prepare(Net, {"arguments": {"width": Anything("not given")}}, bench)) == [(BATCH, 32)]
