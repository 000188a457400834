"""The files of a run: what the paths name, without what is excluded or ignored by git."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nnlint.config import Configuration

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

SUFFIX = ".py"


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found: absolute paths in order, each file once, and the paths that could not be followed, with why."""

    files: tuple[Path, ...]
    problems: tuple[tuple[Path, str], ...]


@dataclass(frozen=True, slots=True)
class _Ignores:
    """The ignore file of a folder."""

    folder: str
    spec: GitIgnoreSpec


def discover(
    paths: Iterable[Path], configuration: Configuration, *, force_exclude: bool, respect_gitignore: bool
) -> Discovery:
    """The files that the paths name.

    A file is taken as it is, whatever its name, unless ``force_exclude``; a folder is searched for Python files.
    Links to folders are not followed, so that no loop is walked and no file read twice.
    """
    found: dict[str, Path] = {}
    problems: list[tuple[Path, str]] = []

    def add(path: str) -> None:
        real = os.path.realpath(path)
        if real not in found or path == real:
            found[real] = Path(path)

    for path in paths:
        # Not resolve(): a file keeps the name that it was given.
        absolute = Path(os.path.abspath(path))
        if not absolute.exists():
            problems.append((path, "no such file or folder"))
        elif force_exclude and configuration.excludes(absolute):
            continue
        elif absolute.is_dir():
            parents = _parent_ignores(absolute) if respect_gitignore else ()
            for file in _walk(str(absolute), parents, configuration, respect_gitignore, problems):
                add(file)
        else:
            add(str(absolute))
    return Discovery(tuple(sorted(found.values(), key=str)), tuple(problems))


def python_files(folder: Path, configuration: Configuration) -> Iterator[Path]:
    """The Python files below a folder, given by its absolute path, that are neither excluded nor ignored by git."""
    return map(Path, _walk(str(folder), _parent_ignores(folder), configuration, True, []))


def _walk(
    folder: str,
    ignores: tuple[_Ignores, ...],
    configuration: Configuration,
    respect_gitignore: bool,
    problems: list[tuple[Path, str]],
) -> Iterator[str]:
    pending = [(folder, ignores)]
    while pending:
        folder, ignores = pending.pop()
        try:
            with os.scandir(folder) as entries:
                listed = list(entries)
        except OSError as error:
            problems.append((Path(folder), f"cannot be read: {(error.strerror or str(error)).lower()}"))
            continue
        names = {entry.name for entry in listed}
        if respect_gitignore:
            # A repository inside a repository has rules of its own.
            ignores = () if ".git" in names else ignores
            ignores += _own_ignores(folder, names)
        settings = configuration.settings(Path(folder))
        for entry in listed:
            is_folder = entry.is_dir(follow_symlinks=False)
            if not is_folder and not (entry.name.endswith(SUFFIX) and _is_file(entry)):
                continue
            if settings.excluded(Path(entry.path)) or _ignored(entry.path, is_folder, ignores):
                continue
            if is_folder:
                pending.append((entry.path, ignores))
            else:
                yield entry.path


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _ignored(path: str, is_folder: bool, ignores: tuple[_Ignores, ...]) -> bool:
    for ignore in reversed(ignores):
        inside = os.path.relpath(path, ignore.folder).replace(os.sep, "/") + "/" * is_folder
        verdict = ignore.spec.check_file(inside).include
        if verdict is not None:
            return verdict
    return False


def _own_ignores(folder: str, names: Iterable[str]) -> tuple[_Ignores, ...]:
    sources = [
        (".git", os.path.join(folder, ".git", "info", "exclude")),
        (".gitignore", os.path.join(folder, ".gitignore")),
    ]
    specs = (_read_ignores(folder, file) for name, file in sources if name in names)
    return tuple(ignores for ignores in specs if ignores is not None)


def _read_ignores(folder: str, file: str) -> _Ignores | None:
    try:
        lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    from pathspec import GitIgnoreSpec

    return _Ignores(folder, GitIgnoreSpec.from_lines(lines))


def _parent_ignores(folder: Path) -> tuple[_Ignores, ...]:
    """The ignore files above a folder, up to the root of its repository; none outside of a repository.

    None either if they ignore the folder itself: whoever names it wants it read.
    """
    above = [*folder.parents]
    roots = [at for at, parent in enumerate(above) if (parent / ".git").exists()]
    if (folder / ".git").exists() or not roots:
        return ()
    ignores: tuple[_Ignores, ...] = ()
    for parent in reversed(above[: roots[0] + 1]):
        if _ignored(str(parent), True, ignores):
            return ()
        ignores += _own_ignores(str(parent), {".git", ".gitignore"})
    return () if _ignored(str(folder), True, ignores) else ignores
