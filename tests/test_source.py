"""Reading of text, the tree, and positions: a source is its file, to the byte."""

from __future__ import annotations

import codecs
import random
import subprocess
import sys
from pathlib import Path

import libcst as cst
import pytest
from hypothesis import given
from hypothesis import strategies as st
from libcst.metadata import MetadataWrapper, PositionProvider

from nnlint.diagnostic import Span
from nnlint.source import NEWLINE, ParseFailure, Source, TooLarge, UnreadableSource

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted([*ROOT.glob("fixtures/**/*.py"), *ROOT.glob("nnlint/*.py")])


def source(text: str) -> Source:
    return Source(Path("train.py"), text)


def decode(content: bytes) -> Source:
    return Source.decode(Path("train.py"), content)


def failure(text: str) -> ParseFailure:
    with pytest.raises(ParseFailure) as raised:
        source(text).module  # noqa: B018
    return raised.value


@pytest.mark.parametrize(
    ("content", "text", "encoding"),
    [
        (b"", "", "utf-8"),
        (b"x = 1", "x = 1", "utf-8"),
        ("x = 'é 🌍'\n".encode(), "x = 'é 🌍'\n", "utf-8"),
        (codecs.BOM_UTF8 + b"x = 1\r\n", "x = 1\r\n", "utf-8"),
        ("# coding: latin-1\nx = 'é'\n".encode("latin-1"), "# coding: latin-1\nx = 'é'\n", "iso-8859-1"),
        ("#!/bin/python\n# vim: set fileencoding=gbk :\n'中'\n".encode("gbk"), None, "gbk"),
        (b"def f():\r\n    x = 1\n    return x\r\n\rz = 1", "def f():\r\n    x = 1\n    return x\r\n\rz = 1", "utf-8"),
    ],
)
def test_bytes_come_back(content: bytes, text: str | None, encoding: str) -> None:
    read = decode(content)
    assert read.encode(read.text) == content
    assert read.encoding == encoding
    assert text is None or read.text == text


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    content = b"# coding: utf-8\n" + text.encode("utf-8", "ignore")
    assert decode(content).encode(decode(content).text) == content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"x = 1\ny = '\xe9'\n", "byte 0xe9 in row 2 is not UTF-8"),
        (b"# coding: ascii\nx = '\xe9'\n", "byte 0xe9 in row 2 is not ASCII"),
        (b"# coding: martian\n", "it declares an unknown encoding: martian"),
        (b"# coding: rot13\nk = 1\n", "'rot13' is not an encoding of text"),
        (codecs.BOM_UTF8 + b"# coding: latin-1\n", "its coding comment contradicts its byte order mark"),
        ("x = 1\n".encode("utf-16"), "it begins like UTF-16, which Python does not read"),
    ],
)
def test_unreadable(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableSource) as raised:
        decode(content)
    assert raised.value.reason == reason


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSource, match="no such file"):
        Source.read(tmp_path / "none.py")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSource):
        Source.read(tmp_path)


def test_lines_end_where_python_ends_them() -> None:
    read = source("a = '\u2028'\r\nb = 1\rc\x0c = 2\n")
    assert [read.line(row) for row in range(6)] == ["", "a = '\u2028'", "b = 1", "c\x0c = 2", "", ""]
    assert read.newline == "\r\n"
    assert source("x").newline == "\n"


@pytest.mark.parametrize(
    ("text", "row", "column"),
    [
        ("x = (1,\n", 1, 5),
        ("x = 1\nprint 'hello'\n", 2, 1),
        ("def f():\n    return 1\n  x = 2\n", 3, None),
        ("x = 1\ny = '\0'\nz = )\n", 2, 6),
        ("%matplotlib inline\n", 1, 1),
        ("<<<<<<< HEAD\nx = 1\n", 1, 1),
    ],
)
def test_parse_failure_has_a_place_and_a_plain_reason(text: str, row: int, column: int | None) -> None:
    failed = failure(text)
    assert failed.row == row
    assert column is None or failed.column == column
    assert failed.reason
    assert "\n" not in failed.reason
    assert not failed.reason.endswith(".")
    assert str(failed).startswith(f"{failed.row}:{failed.column}: ")


def test_reason_of_libcst_where_python_has_none() -> None:
    failed = failure("x = 1\n(y): int\n")
    assert (failed.row, failed.column, failed.reason) == (2, 4, "unexpected ':'")


def test_parse_failure_is_remembered() -> None:
    broken = source("x = (")
    for _ in range(2):
        with pytest.raises(ParseFailure):
            broken.module  # noqa: B018


def test_code_that_the_checks_of_libcst_stumble_over() -> None:
    assert source("x = () if 0 else(lambda:())\n").module.body


@given(st.text(alphabet="()[]{}:'\"\\\n \t#=abfix0,.;-+\0é", max_size=40))
def test_any_text_parses_or_fails_cleanly(text: str) -> None:
    read = source(text)
    place: tuple[int, int] = (1, 1)
    try:
        assert read.spans([read.module])
    except ParseFailure as failed:
        place = failed.row, failed.column
    assert min(place) >= 1


DEEP = {
    "parentheses": "'(' * n + '1' + ')' * n",
    "unclosed": "'(' * n",
    "unclosed lines": "'(\\n' * n",
    "calls": "'f(' * n + ')' * n",
    "dictionaries": "'{1: ' * n + '1' + '}' * n",
    "attributes": "'a' + '.b' * n",
    "chained calls": "'a' + '.b(1)' * n",
    "subscripts": "'a' + '[1]' * n",
    "sums": "' + '.join('a' * n)",
    "continued sums": "' + \\\\\\n'.join('a' * n)",
    "conjunctions": "' and '.join('a' * n)",
    "strings": "'(' + '\"a\"\\n' * n + ')'",
    "signs": "'-' * n + '1'",
    "negations": "'not ' * n + '1'",
    "lambdas": "'lambda: ' * n + '1'",
    "conditionals": "'a if b else ' * n + '1'",
    "comprehension": "'[a' + ' for a in b' * n + ']'",
    "assignments": "'a = ' * n + '1'",
    "format strings": "'f\"{' * n + '1' + '}\"' * n",
    "elif": "'0\\nif a: pass' + '\\nelif b: pass' * n",
    "blocks": "'0\\n' + ''.join(' ' * i + 'if a:\\n' for i in range(n)) + ' ' * n + 'pass'",
    "patterns": "'0\\nmatch a:\\n    case ' + 'A(' * n + ')' * n + ': pass'",
}


def test_deep_text_is_no_crash() -> None:
    # A process of its own, for a crash would take the tests along; the last line of its output is what crashed it.
    script = f"""
from pathlib import Path
from nnlint.source import ParseFailure, Source
for kind, code in {DEEP!r}.items():
    for n in (9, 60, 250, 3000):
        print(kind, n, flush=True)
        read = Source(Path('x.py'), 'x = ' + eval(code) + chr(10))
        try:
            read.spans([read.module.body[0]])
        except ParseFailure:
            pass
"""
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout[-30:] + ran.stderr[-1000:]


def test_wide_text_is_not_deep() -> None:
    rows = "".join(f"    ('a', {number}, -1.5, [b, c.d(e)]),\n" for number in range(2000))
    assert source(f"x = [\n{rows}]\n").module.body
    assert source("if a:\n    pass\nelif b:\n    pass\n" * 400).module.body
    assert source("case = [[[[[[[[[[1]]]]]]]]]]\n").module.body


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_spans_are_those_of_libcst(path: Path) -> None:
    read = Source.read(path)
    if path.stem == "unparsable_file":
        pytest.skip("it has no tree")
    positions = MetadataWrapper(read.module, unsafe_skip_copy=True).resolve(PositionProvider)
    nodes = [node for node in positions if not isinstance(node, cst.Module | cst.EmptyLine | cst.Newline)]
    chosen = random.Random(path.name).sample(nodes, min(len(nodes), 300))
    spans = read.spans(chosen)
    for node in chosen:
        start, end = positions[node].start, positions[node].end
        assert spans[id(node)] == Span(start.line, start.column + 1, end.line, end.column + 1), type(node)


def test_span_counts_code_points_and_leaves_out_what_surrounds() -> None:
    read = source("# above\nx = '🌍é'; y = ( a +\n  b )  # beside\n")
    line = read.module.body[0]
    assert isinstance(line, cst.SimpleStatementLine)
    second = line.body[1]
    assert isinstance(second, cst.Assign)
    spans = read.spans([line, second, second.value])
    assert spans[id(line)] == Span(2, 1, 3, 6)
    assert spans[id(second)] == Span(2, 11, 3, 6)
    assert spans[id(second.value)] == Span(2, 17, 3, 4)


def test_foreign_nodes_have_no_place() -> None:
    assert source("x = 1\n").spans([cst.Name("x")]) == {}


def test_scope() -> None:
    read = source("a\nclass A:\n    b\n    def f(self):\n        def g(): c\n        d\n")

    def named(name: str) -> cst.Name:
        found: list[cst.Name] = []

        class Find(cst.CSTVisitor):
            def visit_Name(self, node: cst.Name) -> None:  # noqa: N802
                if node.value == name:
                    found.append(node)

        read.module.visit(Find())
        return found[0]

    assert [read.scope_of(named(name)) for name in "abcd"] == ["", "A", "A.f.g", "A.f"]
    klass = read.module.body[1]
    assert read.scope_of(klass) == ""


def test_editable() -> None:
    assert source("x = 1\n").editable
    assert not source("def f():\n\x0c    x = 1\n    return x\n").editable


def test_newline_pattern() -> None:
    assert NEWLINE.split("a\r\nb\rc\nd\x0be") == ["a", "b", "c", "d\x0be"]


def test_import_is_light() -> None:
    script = "import sys, nnlint.source; assert 'libcst' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)


def test_data_is_too_large_to_be_parsed_and_long_texts_are_not() -> None:
    for text in ("x = [" + "1, " * 150_000 + "]\n", "x = '" + "a" * 5_000_000 + "'\n"):
        with pytest.raises(TooLarge):
            _ = source(text).module
    text = '"""' + "a word " * 100_000 + '"""\n'
    assert source(text).module.code == text
