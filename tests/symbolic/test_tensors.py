"""What tensor functions, methods, layers and subscripts do to shapes, against what torch does where it is installed."""

from __future__ import annotations

import warnings

import pytest

from nnlint.symbolic.scalar import atoms, evaluate
from nnlint.symbolic.trace import Clip, Reshape
from nnlint.symbolic.values import Value
from tests.symbolic.reading import events

LENGTHS = {"b": 2, "t": 3, "c": 4, "n": 2, "k": 3, "h": 8, "w": 16}

SCRIPT = """
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

def run(x, y, image, words):
    b, t, c = x.shape
    n, k, h, w = image.shape
    words = words.view(b, t)
    array = x.numpy()
    {}
    torch.reshape({}, (0, 99))
"""

Expected = tuple[int | None, ...] | None

SHAPES: dict[str, Expected] = {
    # elementwise
    "x.relu()": (2, 3, 4),
    "torch.exp(x)": (2, 3, 4),
    "F.softmax(x, dim=-1)": (2, 3, 4),
    "x + 1": (2, 3, 4),
    "1 - x": (2, 3, 4),
    "x * x.mean(-1, keepdim=True)": (2, 3, 4),
    "x.sum(1, keepdim=True) + x.sum(2, keepdim=True)": (2, 3, 4),
    "torch.add(x, x)": (2, 3, 4),
    "x.masked_fill(x > 0, 0)": (2, 3, 4),
    "torch.where(x > 0, x, -x)": (2, 3, 4),
    "x.clamp(min=0).to(torch.float64).detach()": (2, 3, 4),
    "x.double().cpu().contiguous().clone()": (2, 3, 4),
    "torch.flip(x, [1])": (2, 3, 4),
    "torch.zeros_like(x)": (2, 3, 4),
    "x.data": (2, 3, 4),
    "-x": (2, 3, 4),
    # reductions
    "x.sum()": (),
    "x.mean(1)": (2, 4),
    "x.mean(dim=(1, 2))": (2,),
    "torch.mean(x, -1, keepdim=True)": (2, 3, 1),
    "x.max()": (),
    "x.max(1)[0]": (2, 4),
    "torch.max(x, 2)[1]": (2, 3),
    "x.argmax(-1)": (2, 3),
    "x.topk(2, dim=1)[0]": (2, 2, 4),
    "x.sort(1)[0]": (2, 3, 4),
    "x.logsumexp(-1)": (2, 3),
    "x.norm(dim=-1)": (2, 3),
    "x.std(0)": (3, 4),
    "x.cumsum(1)": (2, 3, 4),
    # views
    "x.view(b * t, c)": (6, 4),
    "x.view(-1, c)": (6, 4),
    "x.reshape(b, -1)": (2, 12),
    "x.view([b, t * c])": (2, 12),
    "x.view((b, t, 2, c // 2))": (2, 3, 2, 2),
    "x.view(*x.shape[:-1], 2, -1)": (2, 3, 2, 2),
    "x.view(x.size(0), -1)": (2, 12),
    "x.mean(2).view(x.shape[:2])": (2, 3),
    "x.view(torch.Size([b, t * c]))": (2, 12),
    "x.view(b, -1).view_as(x)": (2, 3, 4),
    "x.flatten(1)": (2, 12),
    "torch.flatten(x, 0, 1)": (6, 4),
    "x.flatten()": (24,),
    "x.unflatten(2, (2, -1))": (2, 3, 2, 2),
    "x.ravel()": (24,),
    # order of axes
    "x.permute(2, 0, 1)": (4, 2, 3),
    "x.permute((0, 2, 1))": (2, 4, 3),
    "torch.permute(x, (0, 2, 1))": (2, 4, 3),
    "x.transpose(1, 2)": (2, 4, 3),
    "x.transpose(-1, -2)": (2, 4, 3),
    "torch.transpose(x, 0, 1)": (3, 2, 4),
    "x.swapaxes(0, 2)": (4, 3, 2),
    "x.mT": (2, 4, 3),
    "x[0].t()": (4, 3),
    "x[0].T": (4, 3),
    "x.movedim(0, -1)": (3, 4, 2),
    # axes of size 1
    "x.unsqueeze(1)": (2, 1, 3, 4),
    "x.unsqueeze(-1)": (2, 3, 4, 1),
    "x.unsqueeze(1).squeeze(1)": (2, 3, 4),
    "x.unsqueeze(-1).squeeze()": (2, 3, 4),
    "x.unsqueeze(1).expand(-1, 5, -1, -1)": (2, 5, 3, 4),
    "x.mean(1, keepdim=True).expand_as(x)": (2, 3, 4),
    "x.repeat(1, 2, 1)": (2, 6, 4),
    "x.repeat(2, 1, 1, 1)": (2, 2, 3, 4),
    "x.repeat_interleave(3, dim=0)": (6, 3, 4),
    # together and apart
    "torch.cat([x, x], dim=1)": (2, 6, 4),
    "torch.cat((x, x[:, :1]), 1)": (2, 4, 4),
    "torch.stack([x, x, x])": (3, 2, 3, 4),
    "torch.stack([x, x], dim=-1)": (2, 3, 4, 2),
    "x.chunk(2, dim=-1)[1]": (2, 3, 2),
    "x.split(1, dim=1)[0]": (2, 1, 4),
    "x.split([1, 3], -1)[1]": (2, 3, 3),
    "x.unbind(1)[0]": (2, 4),
    "x.narrow(1, 0, 2)": (2, 2, 4),
    "x.select(1, 0)": (2, 4),
    "x.gather(1, torch.zeros(b, 1, c).long())": (2, 1, 4),
    "x.index_select(1, torch.arange(2))": (2, 2, 4),
    # products
    "x @ x.transpose(1, 2)": (2, 3, 3),
    "torch.matmul(x, x[0].t())": (2, 3, 3),
    "torch.bmm(x, x.transpose(1, 2))": (2, 3, 3),
    "x[0].mm(x[0].t())": (3, 3),
    "torch.matmul(x.unsqueeze(1), x.mT.unsqueeze(0))": (2, 2, 3, 3),
    "torch.einsum('btc,bsc->bts', x, x)": (2, 3, 3),
    "torch.einsum('btc->bct', [x])": (2, 4, 3),
    "torch.einsum('...c,...c->...', x, x)": None,
    # subscripts
    "x[0]": (3, 4),
    "x[:, 0]": (2, 4),
    "x[:, -1, :]": (2, 4),
    "x[..., 0]": (2, 3),
    "x[..., None]": (2, 3, 4, 1),
    "x[:, None]": (2, 1, 3, 4),
    "x[:, :2]": (2, 2, 4),
    "x[:, 1:]": (2, 2, 4),
    "x[:, :-1]": (2, 2, 4),
    "x[:, 1:-1]": (2, 1, 4),
    "x[:, -2:]": (2, 2, 4),
    "x[..., ::2]": (2, 3, 2),
    "x[:, torch.arange(2)]": (2, 2, 4),
    "x[:, [0, 2]]": (2, 2, 4),
    "x[torch.randperm(b)]": (2, 3, 4),
    "x[x[:, 0, 0].argsort()]": (2, 3, 4),
    "x[0, 1:, None]": (2, 1, 4),
    "x[x > 0]": None,
    # making
    "torch.zeros(b, t)": (2, 3),
    "torch.ones([b, t])": (2, 3),
    "torch.randn(x.shape)": (2, 3, 4),
    "torch.randn(b, t, device='cpu')": (2, 3),
    "torch.full((b, 1), 7)": (2, 1),
    "torch.arange(t)": (3,),
    "torch.eye(c)": (4, 4),
    "torch.tensor([[1, 2, 3], [4, 5, 6]])": (2, 3),
    "x.new_zeros(b, 5)": (2, 5),
    "torch.randint(0, 9, (b, t))": (2, 3),
    "torch.from_numpy(np.zeros((b, t)))": (2, 3),
    # neural functions
    "F.one_hot(words, 9)": (2, 3, 9),
    "F.pad(x, (1, 1))": (2, 3, 6),
    "F.pad(image, (0, 0, 2, 2))": (2, 3, 12, 16),
    "F.interpolate(image, scale_factor=2)": (2, 3, 16, 32),
    "F.interpolate(image, scale_factor=0.5)": (2, 3, 4, 8),
    "F.interpolate(image, size=(5, 7))": (2, 3, 5, 7),
    "F.max_pool2d(image, 2)": (2, 3, 4, 8),
    "F.avg_pool2d(image, (h, w))": (2, 3, 1, 1),
    "F.adaptive_avg_pool2d(image, 1)": (2, 3, 1, 1),
    "F.max_pool1d(x, x.size(2))": (2, 3, 1),
    "F.layer_norm(x, (c,))": (2, 3, 4),
    "F.glu(x)": (2, 3, 2),
    "F.pixel_shuffle(image.repeat(1, 4, 1, 1), 2)": (2, 3, 16, 32),
    "F.scaled_dot_product_attention(x, x, x)": (2, 3, 4),
    "F.cosine_similarity(x, x, dim=-1)": (2, 3),
    "F.normalize(x, dim=-1)": (2, 3, 4),
    # layers
    "nn.Linear(4, 6)(x)": (2, 3, 6),
    "nn.Conv2d(3, 5, 3, padding=1)(image)": (2, 5, 8, 16),
    "nn.Conv2d(3, 5, kernel_size=4, stride=2, padding=1)(image)": (2, 5, 4, 8),
    "nn.Conv2d(3, 5, (1, 3), padding='same')(image)": (2, 5, 8, 16),
    "nn.Conv2d(3, 5, 3)(image)": (2, 5, 6, 14),
    "nn.Conv1d(3, 5, 2)(x)": (2, 5, 3),
    "nn.ConvTranspose2d(3, 5, 4, 2, 1)(image)": (2, 5, 16, 32),
    "nn.ConvTranspose2d(3, 5, 3, 2, 1, output_padding=1)(image)": (2, 5, 16, 32),
    "nn.MaxPool2d(2)(image)": (2, 3, 4, 8),
    "nn.AvgPool2d(3, stride=2, padding=1)(image)": (2, 3, 4, 8),
    "nn.AdaptiveAvgPool2d((1, None))(image)": (2, 3, 1, 16),
    "nn.BatchNorm2d(3)(image)": (2, 3, 8, 16),
    "nn.ReLU()(nn.Dropout()(x))": (2, 3, 4),
    "nn.Embedding(9, 5)(words)": (2, 3, 5),
    "nn.Flatten()(image)": (2, 384),
    "nn.Unflatten(2, (2, 2))(x)": (2, 3, 2, 2),
    "nn.Upsample(scale_factor=2)(image)": (2, 3, 16, 32),
    "nn.PixelShuffle(2)(image.repeat(1, 4, 1, 1))": (2, 3, 16, 32),
    "nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 7))(x)": (2, 3, 7),
    "nn.ZeroPad2d(1)(image)": (2, 3, 10, 18),
    "nn.MultiheadAttention(4, 2, batch_first=True)(x, x, x)[0]": (2, 3, 4),
    "nn.MultiheadAttention(4, 2)(x, x, x)[1]": (3, 2, 2),
    "nn.TransformerEncoderLayer(4, 2)(x)": (2, 3, 4),
    "nn.GLU()(x)": (2, 3, 2),
    "nn.Identity()(x)": (2, 3, 4),
    "nn.LayerNorm(4)(x)": (2, 3, 4),
    # recurrent layers
    "nn.LSTM(4, 5, batch_first=True)(x)[0]": (2, 3, 5),
    "nn.LSTM(4, 5, batch_first=True)(x)[1][0]": (1, 2, 5),
    "nn.LSTM(4, 5)(x)[1][1]": (1, 3, 5),
    "nn.LSTM(4, 5, 2, bidirectional=True, batch_first=True)(x)[0]": (2, 3, 10),
    "nn.LSTM(4, 5, num_layers=2, bidirectional=True, batch_first=True)(x)[1][0]": (4, 2, 5),
    "nn.LSTM(4, 5, batch_first=True, proj_size=2)(x)[1][0]": (1, 2, 2),
    "nn.GRU(4, 5, bidirectional=True)(x)[1]": (2, 3, 5),
    "nn.RNN(4, 5)(x[0])[1]": (1, 5),
    "nn.GRUCell(4, 5)(x[0])": (3, 5),
    "nn.LSTMCell(4, 5)(x[0])[0]": (3, 5),
    # numpy
    "np.reshape(array, (b * t, c))": (6, 4),
    "array.reshape(b, -1)": (2, 12),
    "array.transpose(0, 2, 1)": (2, 4, 3),
    "array.transpose()": (4, 3, 2),
    "np.transpose(array, (2, 0, 1))": (4, 2, 3),
    "np.swapaxes(array, 0, 1)": (3, 2, 4),
    "np.moveaxis(array, -1, 0)": (4, 2, 3),
    "np.expand_dims(array, 0)": (1, 2, 3, 4),
    "np.concatenate([array, array], axis=0)": (4, 3, 4),
    "np.stack([array, array], axis=1)": (2, 2, 3, 4),
    "np.zeros((b, c))": (2, 4),
    "array.max(axis=1)": (2, 4),
    "np.mean(array, axis=0)": (3, 4),
    "array.astype(np.float32)[..., ::-1]": (2, 3, 4),
    "np.random.randn(b, c)": (2, 4),
}

PACKED = """packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([3, 2]), batch_first=True)
    outputs, state = nn.GRU(4, 5, batch_first=True)(packed)
    padded, lengths = nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)"""

STATEMENTS: dict[tuple[str, str], Expected] = {
    (PACKED, "state"): (1, 2, 5),
    (PACKED, "padded"): (2, 3, 5),
    ("x, y = x.transpose(1, 2), None", "x"): (2, 4, 3),
    ("x.clamp_(0, 1)", "x"): (2, 3, 4),
    ("first, second = x.chunk(2, -1)", "second"): (2, 3, 2),
    ("size = x.size()", "torch.ones(size)"): (2, 3, 4),
    ("size = list(x.shape)", "x.reshape([size[0] * size[1]] + size[2:])"): (6, 4),
    ("b, *rest = x.shape", "torch.ones(b)"): (2,),
    ("values, indices = x.max(dim=1)", "indices"): (2, 4),
    ("x += 1", "x"): (2, 3, 4),
}


def shape_of_expression(expression: str, statements: str = "pass") -> Expected:
    """The sizes that the reading finds, a number where the lengths of the inputs decide it; None: unknown rank."""
    found = [event for event in events(SCRIPT.format(statements, expression), Reshape) if len(event.sizes) == 2]
    dims = next(event.dims for event in found if getattr(event.sizes[1], "value", None) == 99)
    return None if dims is None else tuple(map(length, dims))


def length(size: Value) -> int | None:
    """The number that a size comes to."""
    assumed = {id(atom): LENGTHS.get(getattr(atom, "name", "")) for atom in atoms(size)}
    if None in assumed.values():
        return None
    result = evaluate(size, assumed)
    return int(result) if isinstance(result, (int, float)) else None


@pytest.mark.parametrize(("expression", "expected"), SHAPES.items())
def test_shape(expression: str, expected: Expected) -> None:
    assert shape_of_expression(expression) == expected


@pytest.mark.parametrize(("case", "expected"), STATEMENTS.items())
def test_shape_after_statements(case: tuple[str, str], expected: Expected) -> None:
    statements, expression = case
    assert shape_of_expression(expression, statements) == expected


def test_expectations_are_what_torch_does() -> None:
    torch = pytest.importorskip("torch")
    numpy = pytest.importorskip("numpy")
    cases: list[tuple[str, str, Expected]] = [("pass", expression, shape) for expression, shape in SHAPES.items()]
    cases += [(*case, shape) for case, shape in STATEMENTS.items()]
    wrong = []
    for statements, expression, expected in cases:
        names = {"torch": torch, "np": numpy, "nn": torch.nn, "F": torch.nn.functional, **LENGTHS}
        names |= {"x": torch.rand(2, 3, 4), "image": torch.rand(2, 3, 8, 16), "words": torch.zeros(2, 3).long()}
        names["array"] = names["x"].numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(statements.replace("\n    ", "\n"), names)
            real = tuple(eval(expression, names).shape)
        if expected is not None and (
            len(real) != len(expected) or any(a not in (None, b) for a, b in zip(expected, real, strict=True))
        ):
            wrong.append((expression, expected, real))
    assert not wrong


# --- events ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        "x.view(torch.float32)",
        "x.view(dtype=torch.int32)",
        "x.reshape(sizes)",
        "x.view(*sizes)",
        "x.numpy().reshape((2, -1), order='F')",
        "x.flatten(1)",
    ],
)
def test_what_is_no_reshape(call: str) -> None:
    assert not events(f"import torch\ndef f(x, sizes):\n    return {call}", Reshape)


def test_reshape_remembers_the_sizes_before() -> None:
    (event,) = events("def f(x):\n    b, t, c = x.shape\n    x = x.view(b, -1)\n    return x", Reshape)
    assert event.dims is not None
    assert [getattr(dim, "name", "") for dim in event.dims] == ["b", "t", "c"]
    assert event.sizes[0] is event.dims[0]
    assert event.method == "view"


def bounds(code: str) -> list[tuple[object, object, bool]]:
    """Lower and upper bound of every clip of a script, and whether it is in place."""
    found = events(f"import torch\nimport numpy as np\ndef f(loss, other):\n    return {code}", Clip)
    return [(number(event.lower), number(event.upper), event.in_place) for event in found]


def number(value: Value | None) -> object:
    return None if value is None else evaluate(value)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("loss.clamp(-1, 1)", (-1, 1, False)),
        ("torch.clamp(loss, max=5.0)", (None, 5.0, False)),
        ("torch.clamp(loss, min=0)", (0, None, False)),
        ("loss.clamp_(max=1e4)", (None, 1e4, True)),
        ("loss.clamp(None, 2)", (None, 2, False)),
        ("loss.clamp_max(3)", (None, 3, False)),
        ("loss.clamp_min_(3)", (3, None, True)),
        ("loss.clip(0, 1)", (0, 1, False)),
        ("torch.minimum(loss, torch.tensor(3.0))", (None, 3.0, False)),
        ("torch.min(loss, torch.tensor([3.0]).to(loss.device))", (None, 3.0, False)),
        ("torch.max(torch.tensor(0.0), loss)", (0.0, None, False)),
        ("torch.maximum(loss, torch.full_like(loss, 2))", (2, None, False)),
        ("np.clip(loss, 0, 10)", (0, 10, False)),
        ("np.minimum(loss, 4)", (None, 4, False)),
    ],
)
def test_bounds(code: str, expected: tuple[object, object, bool]) -> None:
    assert bounds(code) == [expected]


@pytest.mark.parametrize(
    "code",
    ["torch.min(loss, other)", "torch.max(loss)", "loss.max(1)", "loss.min(dim=1)", "torch.minimum(loss, other)"],
)
def test_what_is_no_bound(code: str) -> None:
    assert bounds(code) == []


def test_clamp_in_place_gives_the_very_tensor_back() -> None:
    (event,) = events("def f(loss):\n    kept = loss.clamp_(max=1)\n    return kept", Clip)
    assert event.operand is event.result


@pytest.mark.parametrize(
    "call",
    [
        "x.view()", "x.permute(a)", "x.transpose('a', 'b')", "x.sum('x')", "x[None, ..., 0, ::s]", "x.squeeze(a)",
        "torch.cat(x)", "torch.cat([])", "torch.stack()", "x.expand(a, b)", "x.split()", "x.chunk(a)", "x.unbind(9)",
        "torch.einsum('ab,', x)", "torch.einsum(a, x)", "F.pad(x, a)", "F.interpolate(x)", "nn.Conv2d()(x)",
        "nn.LSTM()(x)", "nn.Linear()(x)", "nn.Flatten(5)(x)", "nn.Sequential()(x)", "F.conv2d(x)", "x.view(0, -5)",
        "x.view(-1, -1)", "x.topk(a)", "x.repeat(a)", "torch.zeros()", "torch.arange()", "np.reshape(x, a)",
        "x.unflatten(a, b)", "nn.MultiheadAttention(4, 2)()", "nn.Unflatten()(x)", "x.movedim(a, 1)", "x.T.mT.H",
        "nn.MaxPool2d(0)(x)", "nn.Conv1d(1, 2, 3, stride=0)(x)", "x.size(99)", "x.shape[9]", "x.select()",
    ],
)  # fmt: skip
def test_odd_arguments_are_no_trouble(call: str) -> None:
    code = f"""
import torch
import numpy as np
import torch.nn.functional as F
from torch import nn
def f(x, y, a, b, s):
    first = {call}
    x = x.view(3, 4, 5)
    second = {call}
    return first, second
"""
    events(code, Reshape)
