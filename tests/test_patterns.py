from pathlib import Path

import pytest

from nnlint.patterns import Pattern

ROOT = Path("/home/[me]/project")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("venv", "venv", True),
        ("venv", "a/b/venv", True),
        ("venv/", "a/venv", True),
        ("venv", "venv2", False),
        ("*_pb2.py", "a/b/x_pb2.py", True),
        ("tests/*", "tests/a/b.py", True),
        ("tests/*", "a/tests/b.py", False),
        ("./tests/*.py", "tests/b.py", True),
        ("**/tests/*.py", "tests/b.py", True),
        ("**/tests/*.py", "a/c/tests/b.py", True),
        ("a?.py", "ab.py", True),
        ("[ab].py", "a.py", True),
        ("[!ab].py", "a.py", False),
        ("{train,test}.py", "x/test.py", True),
        ("{train,test}.py", "x/val.py", False),
        ("/home/[[]me]/project/a", "a", True),
        ("!src/*", "src/a.py", False),
        ("!src/*", "tests/a.py", True),
        ("[a.py", "[a.py", True),
    ],
)
def test_pattern(pattern: str, path: str, matches: bool) -> None:
    assert Pattern(pattern, ROOT).matches(ROOT / path) is matches


def test_parents_are_reached() -> None:
    assert Pattern("../other/*.py", ROOT).matches(ROOT.parent / "other" / "a.py")


@pytest.mark.parametrize("pattern", ["", "!", "./", "[z-a]"])
def test_no_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match="is no pattern"):
        Pattern(pattern, ROOT)
