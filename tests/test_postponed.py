import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nnlint.postponed import postpone


@pytest.fixture
def slow(folder: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    write("slow/__init__.py", "from slow.part import word\nloaded = True\n")
    write("slow/part.py", "word = 'here'\n")
    monkeypatch.syspath_prepend(folder)
    yield "slow"
    for name in ("slow", "slow.part"):
        sys.modules.pop(name, None)


def test_loaded_at_the_first_use(slow: str) -> None:
    postpone(slow)
    first = __import__(slow)
    second = __import__(slow)
    assert first is second
    assert "slow.part" not in sys.modules
    assert first.word == "here"
    assert "slow.part" in sys.modules
    assert second.loaded
    assert __import__(slow).word is first.word
    with pytest.raises(AttributeError):
        _ = first.absent


def test_loaded_by_an_import_from_inside(slow: str) -> None:
    postpone(slow)
    first = __import__(slow)
    assert __import__("slow.part", fromlist=["word"]).word == "here"
    assert first.loaded


def test_what_is_there_already_stays(slow: str) -> None:
    module = __import__(slow)
    postpone(slow)
    assert sys.modules[slow] is module
    postpone("there_is_no_such_module")
    assert "there_is_no_such_module" not in sys.modules
