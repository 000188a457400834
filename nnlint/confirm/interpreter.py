"""Whose Python runs the user's lines: the one that their environment has."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from nnlint.config import ConfigError


def find_interpreter(given: str | None, folder: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """The Python to run experiments with.

    What was given; else the active virtual environment; else ``.venv`` or ``venv`` of the project; else our own. A
    ``base`` environment of conda is active without anybody's doing and comes after the project's.

    Args:
        given: a Python, the name of one, or the folder of a virtual environment.
        folder: a folder of the project; the virtual environment may lie in it, or above in its repository.
        environment: the environment variables.

    Raises:
        ConfigError: what was given is no Python.
    """
    if given is not None:
        return _named(given)
    found = (_python(place) for place in _environments(folder, environment))
    # Links are not followed: the folder that a Python is started from is what makes its environment.
    return next((python for python in found if python is not None), Path(sys.executable))


def _named(given: str) -> Path:
    path = Path(given)
    if path.is_dir():
        python = _python(path)
        if python is None:
            raise ConfigError(f"--python {given}: the folder is no virtual environment")
        return python
    command = shutil.which(given)
    if command is None:
        problem = "is no program" if path.exists() else "no such file or command"
        raise ConfigError(f"--python {given}: {problem}")
    return Path(os.path.abspath(command))


def _environments(folder: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """Folders of virtual environments, existing or not, the most wanted first."""
    conda = environment.get("CONDA_PREFIX")
    chosen = environment.get("CONDA_DEFAULT_ENV") != "base"
    if environment.get("VIRTUAL_ENV"):
        yield Path(environment["VIRTUAL_ENV"])
    if conda and chosen:
        yield Path(conda)
    for place in _project(folder):
        yield place / ".venv"
        yield place / "venv"
    if conda:
        yield Path(conda)


def _project(folder: Path) -> list[Path]:
    """The folder and those above it, as far as its repository reaches; above that anybody may have put a Python."""
    places = [folder, *folder.parents]
    depth = next((depth for depth, place in enumerate(places) if (place / ".git").exists()), 0)
    return places[: depth + 1]


def _python(environment: Path) -> Path | None:
    """The Python of a virtual environment; None if it has none."""
    names = ("Scripts/python.exe", "python.exe") if sys.platform == "win32" else ("bin/python", "bin/python3")
    return next((environment.absolute() / name for name in names if (environment / name).is_file()), None)
