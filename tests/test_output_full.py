"""What people see: the frame, its marks and labels, whatever stands in the line."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlint.diagnostic import Confidence, Diagnostic, Location, Related, Severity, Span, TextEdit, TextFix
from nnlint.output import RENDERERS, RenderContext
from nnlint.output.cells import cells, width
from nnlint.output.path import readable, relative_path

ROOT = Path("/repo")
TRAIN = """\
import torch

def train(model, loader):
    for x, y in loader:
        output = model(x)
        loss = criterion(output, y)
        loss = torch.clamp(loss, max=1.0)
        optimizer.zero_grad()
        loss.backward()
"""


def at(*span: int, name: str = "train.py") -> Location:
    row, column, end_row, end_column = span
    return Location(f"/repo/{name}", Span(row, column, end_row, end_column))


def finding(
    location: Location,
    *related: tuple[str, Location],
    severity: Severity = Severity.WARNING,
    why: str = "above the bound its gradient is zero",
    fix: TextFix | None = None,
) -> Diagnostic:
    return Diagnostic(
        code="NN204",
        name="clipped-loss",
        message="the loss has an upper bound",
        why=why,
        advice="clip the gradients",
        severity=severity,
        confidence=Confidence.HIGH,
        location=location,
        related=tuple(Related(message, place) for message, place in related),
        fix=fix,
    )


def context(
    files: dict[str, str] | str = TRAIN, *, width: int = 100, color: bool = False, unicode: bool = True
) -> RenderContext:
    texts = {"train.py": files} if isinstance(files, str) else files

    def read_text(filename: str) -> str:
        try:
            return texts[Path(filename).name]
        except KeyError:
            raise OSError("no such file") from None

    return RenderContext(ROOT, read_text, width=width, color=color, unicode=unicode)


def full(diagnostic: Diagnostic, surroundings: RenderContext) -> str:
    return RENDERERS["full"]([diagnostic], surroundings)


def test_nothing_found_is_nothing_written() -> None:
    assert RENDERERS["full"]([], context()) == ""
    assert RENDERERS["concise"]([], context()) == ""


def test_concise() -> None:
    assert RENDERERS["concise"]([finding(at(7, 16, 7, 42))], context()) == (
        "train.py:7:16: warning[NN204] clipped-loss: the loss has an upper bound\n"
    )


def test_evidence_stands_in_the_same_frame() -> None:
    mend = TextFix("clip the gradients instead", False, (TextEdit(at(7, 1, 8, 1), ""),))
    found = finding(
        at(7, 16, 7, 42),
        ("the loss is computed here", at(6, 16, 6, 36)),
        ("it goes backward here", at(9, 9, 9, 24)),
        ("out of the model", at(5, 18, 5, 26)),
        fix=mend,
    )
    assert full(found, context()) == (
        """\
train.py:7:16: warning[NN204] clipped-loss: the loss has an upper bound
  |
5 |         output = model(x)
  |                  -------- out of the model
6 |         loss = criterion(output, y)
  |                -------------------- the loss is computed here
7 |         loss = torch.clamp(loss, max=1.0)
  |                ^^^^^^^^^^^^^^^^^^^^^^^^^^
8 |         optimizer.zero_grad()
9 |         loss.backward()
  |         --------------- it goes backward here
  |
  = why: above the bound its gradient is zero
  = help: clip the gradients
  = fix: clip the gradients instead (changes numbers; apply with --fix --unsafe-fixes)

"""
    )


def test_rows_far_apart_and_other_files_have_windows_of_their_own() -> None:
    files = {"train.py": "x\n" * 11 + "y\n", "model.py": "a = 1\n"}
    found = finding(at(12, 1, 12, 2), ("first", at(1, 1, 1, 2)), ("there", at(1, 5, 1, 6, name="model.py")))
    assert full(found, context(files)) == (
        """\
train.py:12:1: warning[NN204] clipped-loss: the loss has an upper bound
   |
 1 | x
   | - first
...
12 | y
   | ^
   |
  ::: model.py:1:5
   |
 1 | a = 1
   |     - there
   |
   = why: above the bound its gradient is zero
   = help: clip the gradients

"""
    )


def test_labels_in_one_row_hang_below_each_other() -> None:
    found = finding(at(1, 7, 1, 14), ("outer", at(1, 1, 1, 22)), ("here", at(1, 17, 1, 21)), ("end", at(1, 20, 1, 21)))
    assert full(found, context("func( argument,  last)\n")).splitlines()[1:8] == [
        "  |",
        "1 | func( argument,  last)",
        "  | ------^^^^^^^--------",
        "  | |               |  |",
        "  | |               |  end",
        "  | |               here",
        "  | outer",
    ]


def test_the_last_label_of_a_row_stands_beside_its_mark() -> None:
    found = finding(at(1, 1, 1, 5), ("first", at(1, 7, 1, 8)), ("last", at(1, 10, 1, 14)))
    assert full(found, context("loss; x; step\n")).splitlines()[2:6] == [
        "1 | loss; x; step",
        "  | ^^^^  -  ---- last",
        "  |       |",
        "  |       first",
    ]


def test_a_note_at_the_place_itself_labels_the_carets() -> None:
    frame = full(finding(at(9, 9, 9, 13), ("a loss", at(9, 9, 9, 13))), context()).splitlines()
    assert frame[2:4] == ["9 |         loss.backward()", "  |         ^^^^ a loss"]


def test_short_spans_of_several_rows_are_marked_in_each() -> None:
    frame = full(finding(at(1, 5, 3, 2), ("whole", at(1, 5, 3, 2))), context("x = f(\n    1,\n)\n")).splitlines()
    assert frame[2:8] == ["1 | x = f(", "  |     ^^", "2 |     1,", "  |     ^^", "3 | )", "  | ^ whole"]


def test_long_spans_are_marked_in_their_first_row() -> None:
    frame = full(finding(at(1, 1, 9, 3)), context("if x:\n" + "    y\n" * 8)).splitlines()
    assert frame[2:5] == ["1 | if x:", "  | ^^^^^", "  |"]


@pytest.mark.parametrize(
    ("line", "span", "marks"),
    [
        ("s = '日本🌍'; loss", (12, 16), " " * 14 + "^^^^"),
        ("\tif x:\tloss", (8, 12), " " * 12 + "^^^^"),
        ("e\u0301 = loss", (6, 10), " " * 4 + "^^^^"),
        ("'👩\u200d🔬'; loss", (8, 12), " " * 8 + "^^^^"),
        ("loss", (5, 5), " " * 4 + "^"),
        ("loss", (9, 12), " " * 4 + "^"),
        ("'\x1b[31m'; loss", (9, 13), " " * 8 + "^^^^"),
        ("x\u00a0= loss", (5, 9), " " * 4 + "^^^^"),
    ],
)
def test_marks_stand_under_what_they_mark(line: str, span: tuple[int, int], marks: str) -> None:
    shown, marked = full(finding(at(1, span[0], 1, span[1])), context(f"{line}\n")).splitlines()[2:4]
    assert marked == f"  | {marks}"
    assert "\x1b" not in shown
    assert "\t" not in shown


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("column", [1, 40, 130, 300, 495])
def test_long_lines_are_cut_around_the_marks(column: int, unicode: bool) -> None:
    line = "".join(f"{number:05d}" for number in range(100))
    shown, marked = full(finding(at(1, column, 1, column + 5)), context(line, width=60, unicode=unicode)).splitlines()[
        2:4
    ]
    assert len(shown) <= 60
    start = marked.index("^")
    assert shown[start : start + 5] == line[column - 1 : column + 4]
    assert ("…" in shown) is unicode
    assert ("..." in shown) is not unicode


def test_marks_are_clipped_to_the_width() -> None:
    frame = full(finding(at(1, 1, 1, 301), ("all", at(1, 100, 1, 290))), context("x" * 300, width=40)).splitlines()
    assert all(len(line) <= 40 for line in frame[1:6])


def test_ascii_only() -> None:
    text = full(finding(at(1, 8, 1, 12), ("ein Maß", at(1, 1, 1, 2))), context("x = 'é'; loss", unicode=False))
    assert text.isascii()


def test_advice_is_wrapped_and_code_in_it_is_not_broken() -> None:
    advice = "call " + "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)" + " and more of it " * 3
    found = finding(at(1, 1, 1, 2), why=advice)
    lines = full(found, context(width=60)).splitlines()
    assert any("torch.nn.utils.clip_grad_norm_(model.parameters()," in line for line in lines)


def test_colour_changes_nothing_but_colour() -> None:
    found = finding(at(7, 16, 7, 42), ("computed", at(6, 16, 6, 36)), severity=Severity.ERROR)
    painted = full(found, context(color=True))
    assert "\x1b[" in painted
    assert [line.rstrip() for line in click.unstyle(painted).splitlines()] == full(found, context()).splitlines()


def test_a_file_that_is_gone_is_only_named() -> None:
    found = finding(at(3, 1, 3, 2, name="gone.py"), ("there", at(1, 1, 1, 2)))
    text = full(found, context())
    assert "gone.py:3:1" in text
    assert "there" in text


def test_rows_behind_the_end_of_a_file() -> None:
    assert "99 |" in full(finding(at(99, 5, 99, 9)), context("x\n"))


@given(
    st.text(st.characters(exclude_characters="\r\n"), max_size=60),
    st.lists(st.tuples(st.integers(1, 70), st.integers(0, 30), st.text(max_size=20)), max_size=4),
    st.integers(1, 120),
    st.booleans(),
)
def test_any_line_can_be_drawn(line: str, notes: list[tuple[int, int, str]], room: int, unicode: bool) -> None:
    related = [(message, at(1, start, 1, start + length)) for start, length, message in notes]
    text = full(finding(at(1, 1, 1, 5), *related), context(line, width=room, unicode=unicode))
    frame = text.splitlines()[1:]
    if unicode:
        shown = re.sub(r"^ *\d+ \| ?", "", frame[1])
        assert width(shown) <= max(24, room - 4)
        assert all(char.isprintable() or unicodedata.category(char) == "Zs" or not cells(char) for char in shown)
    else:
        assert text.isascii()
    assert not any(line.endswith(" ") for line in frame)


@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        ("/repo/a b.py", "a b.py"),
        ("/repo/src/ü.py", "src/ü.py"),
        ("/repo/new\nline.py", "new\\nline.py"),
        ("/repo/\udcff.py", "\\xff.py"),
        ("/repo/\x1b[31m.py", "\\x1b[31m.py"),
        ("/elsewhere/x.py", "/elsewhere/x.py"),
        ("/repository/x.py", "/repository/x.py"),
    ],
)
def test_names_of_files(filename: str, shown: str) -> None:
    assert readable(relative_path(filename, ROOT)) == shown
    line = RENDERERS["concise"]([finding(Location(filename, Span(1, 1, 1, 2)))], context())
    assert line.startswith(f"{shown}:1:1: ")
    assert line.count("\n") == 1
