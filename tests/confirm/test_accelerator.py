"""Lines that were written for an accelerator run where there is none."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from nnlint.confirm.worker.bench import Bench  # noqa: E402
from nnlint.confirm.worker.setting.accelerator import PLACING, moved_to_bench  # noqa: E402


@pytest.fixture
def on_cpu() -> Iterator[None]:
    with moved_to_bench(Bench("cpu", list)):
        yield


def documented() -> Iterator[str]:
    """The functions of torch that say in their documentation that they are given a device."""
    for path in PLACING:
        owner: Any = importlib.import_module(path) if path != "torch.Tensor" else torch.Tensor
        for name in dir(owner):
            text = getattr(getattr(owner, name), "__doc__", None) or ""
            if not name.startswith("_") and not isinstance(getattr(owner, name), type) and "device (:class" in text:
                yield f"{path}.{name}"


def test_every_function_that_is_given_a_device_is_known() -> None:
    known = {f"{path}.{name}" for path, names in PLACING.items() for name in names}
    known |= {f"torch.Tensor.{name}" for name in ("to", "cuda", "ipu", "xpu", "mtia")}
    found = set(documented())
    assert len(found) > 40
    assert found <= known


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(3, device="cuda"),
        lambda: torch.tensor([1.0], device=torch.device("cuda:1")),
        lambda: torch.ones_like(torch.zeros(2), device=0),
        lambda: torch.zeros(2).new_full((2,), 1.0, device="cuda"),
        lambda: torch.zeros(2).to("cuda", torch.float64),
        lambda: torch.zeros(2).to(device="cuda:0", dtype=torch.float64),
        lambda: torch.zeros(2).to(torch.zeros(3)),
        lambda: torch.zeros(2).to(1),
        lambda: torch.zeros(2).cuda(0, non_blocking=True),
        lambda: torch.nn.Linear(2, 2).cuda().weight,
        lambda: torch.nn.Linear(2, 2, device="cuda").to("cuda:0").weight,
    ],
)
def test_what_goes_to_an_accelerator_stays_here(make: Callable[[], Any]) -> None:
    assert make().device.type == "cpu"


@pytest.mark.usefixtures("on_cpu")
def test_the_default_device_stays_here() -> None:
    with torch.device("cuda"):
        assert torch.zeros(2).device.type == "cpu"
    torch.set_default_device("cuda:0")
    try:
        assert torch.zeros(2).device.type == "cpu"
    finally:
        torch.set_default_device(None)


@pytest.mark.usefixtures("on_cpu")
def test_other_arguments_arrive() -> None:
    assert torch.zeros(2, device="meta").device.type == "meta"
    assert torch.zeros(2).to(torch.float64).dtype is torch.float64
    assert torch.arange(2, 6, 2, dtype=torch.int32).tolist() == [2, 4]


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_functions_compiled_by_torch_know_those_of_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    function = "def padded(x):\n    return torch.zeros(2, device=x.device) + x.to(torch.float32)\n"
    (tmp_path / "compiled_by_torch.py").write_text(f"import torch\n@torch.jit.script\n{function}")
    monkeypatch.syspath_prepend(tmp_path)
    padded = importlib.import_module("compiled_by_torch").padded
    assert padded(torch.ones(2)).tolist() == [1.0, 1.0]


def test_afterwards_everything_is_as_it_was() -> None:
    before = {path: dict(vars(torch if path == "torch" else torch.Tensor)) for path in ("torch", "torch.Tensor")}
    with moved_to_bench(Bench("cpu", list)):
        assert torch.zeros is not before["torch"]["zeros"]
    assert torch.zeros is before["torch"]["zeros"]
    assert dict(vars(torch.Tensor)) == before["torch.Tensor"]
