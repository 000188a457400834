from collections.abc import Callable
from pathlib import Path

import pytest

from nnlint.config import Configuration, Options
from nnlint.discovery import discover
from nnlint.patterns import Pattern

pytestmark = pytest.mark.usefixtures("stub_rules")
Write = Callable[..., Path]


def found(
    folder: Path, *paths: str, exclude: str | None = None, force_exclude: bool = False, respect_gitignore: bool = True
) -> list[str]:
    options = Options(extend_exclude=None if exclude is None else (Pattern(exclude, folder),))
    discovery = discover(
        [Path(path) for path in paths or (".",)],
        Configuration(options),
        force_exclude=force_exclude,
        respect_gitignore=respect_gitignore,
    )
    return [path.relative_to(folder).as_posix() for path in discovery.files]


def test_folders_are_searched_for_python_files_in_order(folder: Path, write: Write) -> None:
    for name in ("b.py", "a.py", "sub/c.py", "notes.txt", "a.pyi", ".venv/lib.py", ".hidden/d.py", "build/e.py"):
        write(name)
    assert found(folder) == [".hidden/d.py", "a.py", "b.py", "sub/c.py"]


def test_each_file_once(folder: Path, write: Write) -> None:
    write("sub/a.py")
    assert found(folder, ".", "sub", "sub/a.py", "sub/../sub/a.py") == ["sub/a.py"]


def test_named_files_are_taken_as_they_are(folder: Path, write: Write) -> None:
    write("script")
    write("old/a.py")
    write("old/b.py")
    assert found(folder, "script", "old/a.py", exclude="old") == ["old/a.py", "script"]
    assert found(folder, "script", "old/a.py", exclude="old", force_exclude=True) == ["script"]
    assert found(folder, "old", exclude="old") == ["old/a.py", "old/b.py"]
    assert found(folder, "old", exclude="old", force_exclude=True) == []
    assert found(folder, exclude="old") == []


def test_links_are_walked_once_and_loops_not_at_all(folder: Path, write: Write) -> None:
    write("pkg/a.py")
    (folder / "pkg" / "loop").symlink_to(folder / "pkg", target_is_directory=True)
    (folder / "alias.py").symlink_to("pkg/a.py")
    (folder / "broken.py").symlink_to("absent.py")
    (folder / "self.py").symlink_to("self.py")
    assert found(folder) == ["pkg/a.py"]
    assert found(folder, "alias.py") == ["alias.py"]
    assert found(folder, "alias.py", ".") == ["pkg/a.py"]


def test_missing_and_unreadable_paths(folder: Path, write: Write) -> None:
    write("a.py")
    discovery = discover([Path("nope.py"), Path("a.py")], Configuration(), force_exclude=False, respect_gitignore=True)
    assert discovery.problems == ((Path("nope.py"), "no such file or folder"),)
    assert discovery.files == (folder / "a.py",)


def test_gitignore(folder: Path, write: Write) -> None:
    write(".git/info/exclude", "private.py\n")
    write(".gitignore", "data/\n*_gen.py\n/top.py\n")
    write("sub/.gitignore", "!keep_gen.py\nlocal.py\n")
    for name in (
        "a.py", "private.py", "top.py", "sub/top.py", "x_gen.py", "data/b.py",
        "sub/keep_gen.py", "sub/other_gen.py", "sub/local.py", "local.py",
    ):  # fmt: skip
        write(name)
    kept = ["a.py", "local.py", "sub/keep_gen.py", "sub/top.py"]
    assert found(folder) == kept
    assert found(folder, "sub") == ["sub/keep_gen.py", "sub/top.py"]
    assert found(folder, "data") == ["data/b.py"]
    assert found(folder, "top.py") == ["top.py"]
    assert len(found(folder, respect_gitignore=False)) == 10


def test_gitignore_stops_at_repositories(folder: Path, write: Write) -> None:
    write(".gitignore", "secret.py\n")
    write("inner/.git/HEAD")
    write("inner/secret.py")
    write("inner/deep/.gitignore", "x.py")
    write("inner/deep/x.py")
    write("plain/secret.py")
    assert found(folder) == ["inner/secret.py"]
    assert found(folder, "inner/deep") == []
    assert found(folder, "plain") == ["plain/secret.py"], "outside of a repository, ignore files above do not count"
