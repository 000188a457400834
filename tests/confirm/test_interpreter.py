"""Whose Python runs the user's lines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nnlint.config import ConfigError
from nnlint.confirm.interpreter import find_interpreter

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="virtual environments look different there")


def environment(folder: Path) -> Path:
    """A virtual environment; its Python."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    return python


def test_our_own_where_there_is_no_other(tmp_path: Path) -> None:
    assert find_interpreter(None, tmp_path, {}) == Path(sys.executable)


def test_the_first_that_is_there(tmp_path: Path) -> None:
    project = tmp_path / "project"
    expected = {
        "VIRTUAL_ENV": environment(tmp_path / "active"),
        "CONDA_PREFIX": environment(tmp_path / "conda"),
        ".venv": environment(project / ".venv"),
        "venv": environment(project / "venv"),
    }
    variables = {"VIRTUAL_ENV": str(tmp_path / "active"), "CONDA_PREFIX": str(tmp_path / "conda")}
    for name, python in expected.items():
        assert find_interpreter(None, project, variables) == python, name
        # Links stay: that is how a virtual environment is known.
        assert python.is_symlink()
        variables.pop(name, None)
        python.unlink()
    assert find_interpreter(None, project, variables) == Path(sys.executable)


def test_an_environment_that_is_gone_is_passed_by(tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    assert find_interpreter(None, tmp_path, {"VIRTUAL_ENV": str(tmp_path / "gone")}) == python


def test_the_base_of_conda_comes_last(tmp_path: Path) -> None:
    base, own = environment(tmp_path / "conda"), environment(tmp_path / "project" / ".venv")
    variables = {"CONDA_PREFIX": str(tmp_path / "conda"), "CONDA_DEFAULT_ENV": "base"}
    assert find_interpreter(None, tmp_path / "project", variables) == own
    assert find_interpreter(None, tmp_path / "elsewhere", variables) == base


def test_an_environment_above_as_far_as_the_repository_reaches(tmp_path: Path) -> None:
    environment(tmp_path / ".venv")
    folder = tmp_path / "repository" / "examples"
    folder.mkdir(parents=True)
    inside = environment(tmp_path / "repository" / "venv")
    assert find_interpreter(None, folder, {}) == Path(sys.executable)
    (tmp_path / "repository" / ".git").mkdir()
    assert find_interpreter(None, folder, {}) == inside
    inside.unlink()
    assert find_interpreter(None, folder, {}) == Path(sys.executable)


def test_what_is_given_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = environment(tmp_path / "given")
    variables = {"VIRTUAL_ENV": str(python.parents[1])}
    monkeypatch.chdir(tmp_path)
    for given in (str(python), str(tmp_path / "given"), "given", "given/bin/python"):
        assert find_interpreter(given, tmp_path, variables) == python
    monkeypatch.setenv("PATH", str(python.parent))
    assert find_interpreter("python", tmp_path, variables) == python


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("empty", "--python empty: the folder is no virtual environment"),
        ("notes.txt", "--python notes.txt: is no program"),
        ("absent", "--python absent: no such file or command"),
    ],
)
def test_what_is_given_has_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError) as error:
        find_interpreter(given, tmp_path, {})
    assert str(error.value) == message
