import pytest

from nnlint.diagnostic import Confidence, Diagnostic, Location, Severity, Span
from nnlint.rule import Rule
from nnlint.suppression import find_comments, suppress, unused_suppressions


def finding(row: int, code: str = "NN204", end_row: int | None = None) -> Diagnostic:
    name = {"NN204": "clipped-loss", "NN203": "view-for-permute"}[code]
    location = Location("/x.py", Span(row, 1, end_row or row, 5))
    return Diagnostic(code, name, "m", "w", "a", Severity.ERROR, Confidence.HIGH, location)


def silenced(text: str, *findings: Diagnostic) -> bool:
    kept, used = suppress(findings, find_comments(text))
    assert bool(used) is (len(kept) < len(findings))
    return not kept


@pytest.mark.parametrize(
    "comment",
    [
        "# nnlint: ignore[NN204]",
        "# nnlint: ignore[NN204] because it is so",
        "#nnlint:ignore[nn204]",
        "# nnlint: ignore[clipped-loss]",
        "# nnlint: ignore[NN203, NN204]",
        "# nnlint: ignore[NN203,clipped-loss,]",
        "# nnlint: ignore [NN204]",
        "# nnlint: ignore",
        "# type: ignore  # nnlint: ignore[NN204]",
        "# nnlint: ignore[NN204]  # noqa: E501",
        "# noqa",
        "# NOQA",
        "# noqa: NN204",
        "# noqa:E501,NN204",
        "# noqa: E501 NN204",
        "# fmt: skip # noqa: NN204 for a reason",
    ],
)
def test_on_the_line(comment: str) -> None:
    assert silenced(f"x = 1\ny = x.clamp()  {comment}\n", finding(2))
    assert not silenced(f"x = 1  {comment}\ny = x.clamp()\n", finding(2))


@pytest.mark.parametrize(
    "comment",
    [
        "# nnlint: ignore[NN203]",
        "# nnlint: ignore[]",
        "# nnlint: ignroe[NN204]",
        "# nnlint ignore[NN204]",
        "# noqa: E501",
        "# noqa: NN203",
        "# noqaNN204",
        "# see nnlint: ignore[NN204]",
    ],
)
def test_others_are_heard(comment: str) -> None:
    assert not silenced(f"y = x.clamp()  {comment}\n", finding(1))


@pytest.mark.parametrize(
    "text",
    [
        "s = '# nnlint: ignore[NN204]'\n",
        's = """\n# nnlint: file-ignore[NN204]\n"""\n',
        "s = '''a''' '# noqa'\n",
        "s = 'it\\'s # noqa'\n",
        's = r"\\\\" + "# noqa"\n',
        "s = 'a\\\n# noqa'\n",
    ],
)
def test_a_comment_in_a_string_is_none(text: str) -> None:
    assert find_comments(text).suppressions == ()


CALL = """\
loss = clamp(  {0}
    x,  {1}
    max=(
        3 + \\
        4),  {2}
)  {3}
y = 1
"""


@pytest.mark.parametrize(
    ("at", "row", "end_row", "expected"),
    [
        (0, 1, 6, True),
        (1, 1, 6, False),
        (3, 1, 6, True),
        (0, 2, 2, True),
        (1, 2, 2, True),
        (3, 2, 2, True),
        (2, 2, 2, False),
        (2, 3, 5, True),
        (3, 7, 7, False),
    ],
)
def test_statements_of_several_rows(at: int, row: int, end_row: int, expected: bool) -> None:
    comments = ["# nnlint: ignore[NN204]" if index == at else "" for index in range(4)]
    assert silenced(CALL.format(*comments), finding(row, end_row=end_row)) is expected


def test_a_finding_on_a_whole_definition_is_silenced_at_its_head() -> None:
    text = "def f(  # {0}\n    a,\n):\n    x = 1\n    return x  # {1}\n"
    assert silenced(text.format("nnlint: ignore[NN204]", ""), finding(1, end_row=5))
    assert not silenced(text.format("", "nnlint: ignore[NN204]"), finding(1, end_row=5))


ALONE = """\
# nnlint: ignore[NN204]

# another comment
@decorated
@twice(
    1,
)
def f(
    a,
):
    loss = a
"""


@pytest.mark.parametrize(("row", "expected"), [(4, True), (8, True), (9, True), (11, False)])
def test_alone_on_a_line_for_the_next_statement(row: int, expected: bool) -> None:
    assert silenced(ALONE, finding(row)) is expected


def test_alone_inside_a_statement_for_the_next_row() -> None:
    text = "x = [\n    a,\n    # nnlint: ignore[NN204]\n    b,\n    c,\n]\n"
    assert silenced(text, finding(4))
    assert not silenced(text, finding(5))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_line_ending(newline: str) -> None:
    text = newline.join(["s = '''", "'''", "x = 1  # nnlint: ignore[NN204]", "y = 2"])
    assert silenced(text, finding(3))
    assert not silenced(text, finding(4))


def test_the_whole_file() -> None:
    assert silenced("x = 1\n# nnlint: file-ignore[NN204] generated\n", finding(1), finding(90))
    assert not silenced("x = 1\n# nnlint: file-ignore[NN203]\n", finding(1))
    assert silenced("x = 1\n# nnlint: file-ignore\n", finding(1), finding(1, "NN203"))


def unused(text: str, *findings: Diagnostic, rules: dict[str, Rule], asked: set[str] | None = None) -> list[Diagnostic]:
    comments = find_comments(text)
    _, used = suppress(findings, comments)
    return list(unused_suppressions("/x.py", comments, used, set(rules) if asked is None else asked, rules))


@pytest.mark.parametrize(
    ("comment", "message", "becomes"),
    [
        ("# nnlint: ignore[NN203]", "there is no NN203 here to silence", ""),
        ("# nnlint: ignore[NN203] why", "there is no NN203 here to silence", ""),
        ("# nnlint: ignore[NN203, NN204]", "there is no NN203 here to silence", "# nnlint: ignore[NN204]"),
        ("# nnlint: ignore[NN203, NN601]", "there is no NN203 and no NN601 here to silence", ""),
        ("# noqa: E501, NN203", "there is no NN203 here to silence", "# noqa: E501"),
        ("# noqa: NN203", "there is no NN203 here to silence", ""),
        ("# nnlint: ignore[]", "this comment names no rule", ""),
        ("# nnlint: ignore[NN203]  # type: ignore", "there is no NN203 here to silence", "# type: ignore"),
        ("# type: ignore  # nnlint: ignore[NN203]", "there is no NN203 here to silence", "# type: ignore"),
        ("# nnlint: ignore[NN29]", "'NN29' is no rule of nnlint; did you mean 'NN20", None),
        ("# nnlint: ignore[cliped-loss]", "'cliped-loss' is no rule of nnlint; did you mean 'clipped-loss'?", None),
        ("# nnlint: ignroe[NN204]", "'ignroe' is no directive of nnlint; did you mean 'ignore'?", None),
        ("# nnlint: file-ignore[NN203]", "there is no NN203 here to silence", ""),
        ("# nnlint: ignore[NN204]", None, None),
        ("# nnlint: ignore", None, None),
        ("# nnlint: ignore[NN001]", None, None),
        ("# noqa", None, None),
        ("# noqa: E501", None, None),
        ("# noqa: NN999", None, None),
    ],
)
def test_unused(stub_rules: dict[str, Rule], comment: str, message: str | None, becomes: str | None) -> None:
    found = unused(f"y = x.clamp()  {comment}\n", finding(1), rules=stub_rules)
    if message is None:
        assert not found
        return
    assert len(found) == 1
    assert message in found[0].message
    fix = found[0].fix
    if becomes is None:
        assert fix is None
        return
    assert fix is not None
    assert fix.safe
    span = fix.edits[0].location.span
    line = f"y = x.clamp()  {comment}"
    mended = line[: span.column - 1] + fix.edits[0].replacement + line[span.end_column - 1 :]
    assert mended == f"y = x.clamp()  {becomes}".rstrip()


def test_an_unused_comment_of_its_own_goes_with_its_row(stub_rules: dict[str, Rule]) -> None:
    (found,) = unused("if x:\n    # nnlint: ignore[NN203]\n    y = 1\n", rules=stub_rules)
    assert found.fix is not None
    assert found.fix.edits[0].location.span == Span(2, 1, 3, 1)


def test_only_what_was_asked_can_be_unused(stub_rules: dict[str, Rule]) -> None:
    text = "y = 1  # nnlint: ignore[NN203]\nz = 1  # nnlint: ignore\n"
    assert len(unused(text, rules=stub_rules)) == 2
    assert not unused(text, rules=stub_rules, asked={"NN204", "NN001"})
