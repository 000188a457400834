"""Which versions of torch a project asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnlint.evidence.requirements import admits_older, asks_for, is_older, newest, oldest


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("requirements.txt", "torch==1.7.1\ntorchvision==0.8\n", [(1, 7, 1)]),
        ("requirements.txt", "torch>=1.4,<1.9 ; python_version > '3'\n", [(1, 8)]),
        ("requirements.txt", "torch\n", [None]),
        ("requirements.txt", "torch==1.*\n", [(1, 999)]),
        ("requirements.txt", "torchvision==0.2\npytorch-lightning==1.2\n", []),
        ("requirements.txt", "torch>=1.7\n", [None]),
        ("requirements.txt", "torch~=1.7.0\n", [(1, 7)]),
        ("requirements.txt", "torch==1.7.1+cu110\n", [(1, 7, 1)]),
        ("requirements.txt", "torch<2.0\n", [(1, 999)]),
        ("requirements.txt", "# torch==1.4\n", []),
        ("environment.yml", "dependencies:\n  - pytorch=1.7.1\n  - pytorch::torchvision=0.4\n", [(1, 7, 1, 999)]),
        ("environment.yml", "  - pytorch==1.8.0=py3.8_cuda10\n", [(1, 8, 0)]),
        ("environment.yml", "  - pytorch>=1.6,<1.8\n", [(1, 7)]),
        ("pyproject.toml", '[tool.poetry]\ntorch = "^1.7"\n', [(1, 999)]),
        ("pyproject.toml", 'dependencies = ["torch>=2.0", "numpy"]\n', [None]),
        ("setup.py", "install_requires=['numpy', 'torch==1.6.0', 'x'],\n", [(1, 6, 0)]),
        ("setup.py", "import torch\n", []),
    ],
)
def test_newest(tmp_path: Path, name: str, text: str, wanted: list[tuple[int, ...] | None]) -> None:
    (tmp_path / name).write_text(text)
    assert list(newest(tmp_path, "torch")) == wanted


def test_is_older(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("torch==1.7.1\n")
    assert is_older(tmp_path, "torch", (1, 9))
    (tmp_path / "setup.py").write_text("setup(install_requires=['torch>=1.7'])\n")
    newest.cache_clear()
    assert not is_older(tmp_path, "torch", (1, 9))
    assert not is_older(None, "torch", (1, 9))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("torch>=0.4.1\n", [(0, 4, 1)]),
        ("torch>=0.4,<2\n", [(0, 4)]),
        ("torch==1.1.0\n", [(1, 1, 0)]),
        ("torch~=1.7.0\n", [(1, 7, 0)]),
        ("torch>1.0,!=1.3\n", [(1, 0)]),
        ("torch<2\n", [None]),
        ("torch\n", [None]),
        ("torchvision>=0.2\n", []),
    ],
)
def test_oldest(tmp_path: Path, text: str, wanted: list[tuple[int, ...] | None]) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    assert list(oldest(tmp_path, "torch")) == wanted


@pytest.mark.parametrize(
    ("text", "older", "asked"),
    [
        ("torch>=0.4.1\n", True, False),
        ("torch>=1.1\n", False, True),
        ("torch==1.0\n", True, False),
        ("torch\n", False, False),
        ("numpy\n", False, False),
    ],
)
def test_older_versions_that_will_do(tmp_path: Path, text: str, older: bool, asked: bool) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    assert admits_older(tmp_path, "torch", (1, 1)) is older
    assert asks_for(tmp_path, "torch", (1, 1)) is asked
    assert not admits_older(None, "torch", (1, 1))
    assert not asks_for(None, "torch", (1, 1))
