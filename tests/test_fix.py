"""Fixes of text: whole or not at all, and never a file that is no Python any more."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlint.diagnostic import Confidence, Diagnostic, Location, Severity, Span, TextEdit, TextFix
from nnlint.fix import MAX_PASSES, fix_file, fix_until_stable, unified_diff, write_source
from nnlint.source import Source

NAME = os.path.abspath("train.py")


def source(text: str) -> Source:
    return Source(Path(NAME), text)


def edit(span: tuple[int, int, int, int], replacement: str, name: str = NAME) -> TextEdit:
    return TextEdit(Location(name, Span(*span)), replacement)


def diagnostic(*edits: TextEdit, safe: bool = True, row: int = 1, code: str = "NN204") -> Diagnostic:
    return Diagnostic(
        code=code,
        name="clipped-loss",
        message="m",
        why="w",
        advice="a",
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        location=Location(NAME, Span(row, 1, row, 2)),
        fix=TextFix("mend", safe, edits) if edits else None,
    )


def test_edits_are_applied_and_the_rest_is_kept() -> None:
    read = source("# é 🌍\r\nx = f(a,  b)  # why\r\ny = 1\n")
    found = [
        diagnostic(edit((2, 7, 2, 8), "alpha"), edit((2, 11, 2, 12), "")),
        diagnostic(edit((3, 1, 3, 1), "z = 0\n"), row=3),
        diagnostic(row=3, code="NN201"),
    ]
    fixed = fix_file(read, found, unsafe=False)
    assert fixed.text == "# é 🌍\r\nx = f(alpha,  )  # why\r\nz = 0\ny = 1\n"
    assert fixed.applied == (found[0], found[1])
    assert fixed.skipped == ()


def test_unsafe_fixes_wait_for_permission() -> None:
    risky = diagnostic(edit((1, 5, 1, 6), "2"), safe=False)
    held = fix_file(source("x = 1\n"), [risky], unsafe=False)
    assert (held.text, [each.reason for each in held.skipped]) == ("x = 1\n", ["the fix is unsafe"])
    assert fix_file(source("x = 1\n"), [risky], unsafe=True).text == "x = 2\n"


def test_a_fix_that_overlaps_is_skipped_whole() -> None:
    first = diagnostic(edit((1, 1, 1, 6), "y = 2"))
    second = diagnostic(edit((2, 1, 2, 2), "w"), edit((1, 5, 1, 6), "3"), row=2)
    fixed = fix_file(source("x = 1\nz\n"), [second, first], unsafe=False)
    assert fixed.text == "y = 2\nz\n"
    assert fixed.applied == (first,)
    assert [(each.diagnostic, each.reason) for each in fixed.skipped] == [(second, "the fix overlaps another")]


def test_a_fix_that_overlaps_itself_is_skipped() -> None:
    muddled = diagnostic(edit((1, 1, 1, 2), "y"), edit((1, 1, 1, 6), "z"))
    assert fix_file(source("x = 1\n"), [muddled], unsafe=False).applied == ()


def test_an_edit_two_fixes_share_is_made_once() -> None:
    seed = edit((1, 1, 1, 1), "seed()\n")
    found = [diagnostic(seed), diagnostic(seed, edit((1, 5, 1, 6), "2"), code="NN201")]
    fixed = fix_file(source("x = 1\n"), found, unsafe=False)
    assert fixed.text == "seed()\nx = 2\n"
    assert len(fixed.applied) == 2


def test_different_insertions_at_one_place_wait_for_each_other() -> None:
    found = [diagnostic(edit((1, 1, 1, 1), "a\n")), diagnostic(edit((1, 1, 1, 1), "b\n"), code="NN301")]
    fixed = fix_file(source("x = 1\n"), found, unsafe=False)
    assert fixed.text == "a\nx = 1\n"
    assert len(fixed.skipped) == 1


def test_edits_that_touch_do_not_overlap() -> None:
    found = [
        diagnostic(edit((1, 5, 1, 6), "2")),
        diagnostic(edit((1, 6, 1, 6), " + 3"), code="NN205"),
        diagnostic(edit((1, 5, 1, 5), "4 + "), code="NN206"),
    ]
    assert fix_file(source("x = 1\n"), found, unsafe=False).text == "x = 4 + 2 + 3\n"


def test_a_result_that_is_no_python_leaves_the_file_alone() -> None:
    found = [diagnostic(edit((1, 5, 1, 6), "2")), diagnostic(edit((2, 1, 2, 2), "("), row=2)]
    fixed = fix_file(source("x = 1\nz\n"), found, unsafe=False)
    assert fixed.text == "x = 1\nz\n"
    assert fixed.applied == ()
    assert all(each.reason.startswith("the result would not be Python: ") for each in fixed.skipped)
    assert len(fixed.skipped) == 2


def test_a_result_the_encoding_lacks_leaves_the_file_alone() -> None:
    read = Source(Path(NAME), "# coding: ascii\nx = 'a'\n", encoding="ascii")
    fixed = fix_file(read, [diagnostic(edit((2, 6, 2, 7), "é"))], unsafe=False)
    assert [each.reason for each in fixed.skipped] == ["the result cannot be written in ascii"]


def test_a_fix_that_reaches_into_another_file_is_skipped() -> None:
    far = diagnostic(edit((1, 1, 1, 2), "y"), edit((1, 1, 1, 2), "y", name=os.path.abspath("model.py")))
    fixed = fix_file(source("x = 1\n"), [far], unsafe=False)
    assert [each.reason for each in fixed.skipped] == ["the fix reaches into another file"]


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=12), min_size=1, max_size=5),
    st.data(),
)
def test_fixes_are_whole(lines: list[str], data: st.DataObject) -> None:
    # Comments stay Python whatever is put into them.
    text = "".join(f"#{line}\n" for line in lines)
    rows = [f"#{line}" for line in lines]
    found: list[Diagnostic] = []
    for number in range(data.draw(st.integers(0, 4))):
        edits: list[TextEdit] = []
        for _ in range(data.draw(st.integers(1, 3))):
            row = data.draw(st.integers(0, len(rows) - 1))
            start = data.draw(st.integers(1, len(rows[row])))
            end = data.draw(st.integers(start, len(rows[row])))
            new = data.draw(st.text("ab🌍 ", max_size=3))
            edits.append(edit((row + 1, start + 1, row + 1, end + 1), new))
        found.append(diagnostic(*edits, code=f"NN{100 + number}"))
    fixed = fix_file(source(text), found, unsafe=False)
    assert {each.code for each in fixed.applied} | {each.diagnostic.code for each in fixed.skipped} == {
        each.code for each in found
    }
    made = {each for one in fixed.applied if one.fix for each in one.fix.edits}
    expected = list(rows)
    for each in sorted(made, key=lambda each: each.location.span, reverse=True):
        span = each.location.span
        line = expected[span.row - 1]
        expected[span.row - 1] = line[: span.column - 1] + each.replacement + line[span.end_column - 1 :]
    assert fixed.text == "".join(f"{line}\n" for line in expected)


def grow(read: Source) -> Sequence[Diagnostic]:
    """A fix for each x, and one that never ends for y."""
    found: list[Diagnostic] = []
    for row, line in enumerate(read.lines, 1):
        if "x" in line:
            column = line.index("x") + 1
            found.append(diagnostic(edit((row, column, row, column + 1), "z"), row=row))
        if "y" in line:
            found.append(diagnostic(edit((row, 1, row, 2), "yy"), row=row))
    return found


def test_passes_go_on_until_nothing_changes() -> None:
    fixed = fix_until_stable(source("x + x + x\nx\n"), grow, unsafe=False)
    assert fixed.text == "z + z + z\nz\n"
    assert len(fixed.applied) == 4


def test_passes_are_bounded() -> None:
    fixed = fix_until_stable(source("y\n"), grow, unsafe=False)
    assert fixed.text == "y" * (MAX_PASSES + 1) + "\n"


def test_no_change_no_diff() -> None:
    assert unified_diff("x\n", "x\n", "train.py") == ""


def test_diff_reads_well() -> None:
    assert unified_diff("a\nx = 1\r\nb", "a\nx = 2\r\nb", "src/train.py") == (
        "--- src/train.py\n+++ src/train.py\n@@ -1,3 +1,3 @@\n"
        " a\n-x = 1\r\n+x = 2\r\n b\n\\ No newline at end of file\n"
    )


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("name", ["train.py", "my train.py", 'tr"ain\té.py', "büro.py"])
@pytest.mark.parametrize(
    ("before", "after"), [("a\nb\nc\n", "a\nB\nc\n"), ("a", "a\n"), ("a\r\nb", "a\r\nc"), ("a\x0cb\u2028\n", "c\n")]
)
def test_a_diff_can_be_applied(tmp_path: Path, name: str, before: str, after: str) -> None:
    (tmp_path / name).write_bytes(before.encode())
    diff = unified_diff(before, after, name).encode()
    subprocess.run(["git", "apply", "-p0", "-"], input=diff, cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / name).read_bytes().decode() == after


def test_write_keeps_encoding_mark_newlines_and_permissions(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_bytes(b"\xef\xbb\xbfx = 1\r\n")
    path.chmod(0o750)
    write_source(Source.read(path), "x = 'é'\r\n")
    assert path.read_bytes() == b"\xef\xbb\xbfx = '\xc3\xa9'\r\n"
    assert stat.S_IMODE(path.stat().st_mode) == (0o750 if os.name == "posix" else stat.S_IMODE(path.stat().st_mode))
    assert [each.name for each in tmp_path.iterdir()] == ["train.py"]


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_write_follows_links(tmp_path: Path) -> None:
    (tmp_path / "real.py").write_text("x\n")
    link = tmp_path / "link.py"
    link.symlink_to("real.py")
    write_source(Source.read(link), "y\n")
    assert link.is_symlink()
    assert (tmp_path / "real.py").read_text() == "y\n"


def test_a_failed_write_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_bytes(b"# coding: latin-1\n")
    with pytest.raises(UnicodeEncodeError):
        write_source(Source.read(path), "# coding: latin-1\n# 🌍\n")
    assert path.read_bytes() == b"# coding: latin-1\n"
    assert [each.name for each in tmp_path.iterdir()] == ["train.py"]
