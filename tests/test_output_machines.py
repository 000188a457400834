"""What programs read: JSON, GitHub's workflow commands and summary, and fingerprints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlint.diagnostic import Confidence, Diagnostic, Location, Related, Severity, Span, TextEdit, TextFix
from nnlint.fingerprint import fingerprints
from nnlint.output import RENDERERS, RenderContext, step_summary
from nnlint.output.github import SHOWN, SUMMARY_ROWS, escape_data, escape_property
from nnlint.output.sentences import sentence

ROOT = Path("/repo")
ODD_NAMES = ["a b.py", "100%.py", "a,b:c.py", "new\nline\r.py", "\udcff.py", "🌍é.py", "`|<x>[](y).py", "#?&.py"]


def finding(
    name: str = "train.py",
    span: tuple[int, int, int, int] = (7, 16, 7, 42),
    severity: Severity = Severity.WARNING,
    confidence: Confidence = Confidence.HIGH,
    message: str = "the loss has an upper bound",
    scope: str = "train",
    text: str = "loss = loss.clamp(max=1)",
) -> Diagnostic:
    location = Location(f"/repo/{name}", Span(*span))
    return Diagnostic(
        code="NN204",
        name="clipped-loss",
        message=message,
        why="above the bound its gradient is zero",
        advice="clip the gradients",
        severity=severity,
        confidence=confidence,
        location=location,
        related=(Related("the loss is computed here", Location(f"/repo/{name}", Span(6, 16, 6, 36))),),
        fix=TextFix("clip the gradients", False, (TextEdit(location, "loss"),)),
        scope=scope,
        text=text,
    )


def context(**environ: str) -> RenderContext:
    def read_text(filename: str) -> str:
        raise OSError(filename)

    return RenderContext(ROOT, read_text, environ=environ)


def test_json_has_exactly_its_keys() -> None:
    (entry,) = json.loads(RENDERERS["json"]([finding()], context()))
    fingerprint = entry.pop("fingerprint")
    assert re.fullmatch(r"[0-9a-f]{32}", fingerprint)
    assert entry == {
        "code": "NN204",
        "name": "clipped-loss",
        "message": "The loss has an upper bound. Above the bound its gradient is zero. Clip the gradients.",
        "severity": "warning",
        "confidence": "high",
        "filename": "/repo/train.py",
        "cell": None,
        "location": {"row": 7, "column": 16},
        "end_location": {"row": 7, "column": 42},
        "related": [
            {
                "message": "the loss is computed here",
                "filename": "/repo/train.py",
                "location": {"row": 6, "column": 16},
                "end_location": {"row": 6, "column": 36},
            }
        ],
        "fix": {
            "message": "clip the gradients",
            "applicability": "unsafe",
            "edits": [
                {
                    "content": "loss",
                    "location": {"row": 7, "column": 16},
                    "end_location": {"row": 7, "column": 42},
                    "filename": "/repo/train.py",
                }
            ],
        },
        "confirmation": None,
        "url": None,
    }


def test_json_of_nothing() -> None:
    assert RENDERERS["json"]([], context()) == "[]\n"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_every_format_is_valid_for_odd_names(name: str) -> None:
    found = [finding(name)]
    text = RENDERERS["json"](found, context())
    assert text.isascii()
    (entry,) = json.loads(text)
    assert entry["filename"].encode("utf-8")
    command = RENDERERS["github"](found, context())
    assert command.encode("utf-8")
    assert command.count("\n") == 1
    level, properties, _ = parse_command(command.rstrip("\n"))
    assert level == "warning"
    assert properties["file"] == name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    page = step_summary(found, context())
    assert page.encode("utf-8")
    assert all(line.count("|") == 5 for line in page.splitlines() if line.startswith("|"))


def parse_command(line: str) -> tuple[str, dict[str, str], str]:
    """A workflow command as the runner of GitHub's actions takes it apart."""
    match = re.fullmatch(r"::(\w+)(?: ([^:]*))?::(.*)", line)
    assert match is not None, line
    properties = dict(part.split("=", 1) for part in (match[2] or "").split(",") if part)
    return match[1], {key: unescape(value) for key, value in properties.items()}, unescape(match[3])


def unescape(text: str) -> str:
    for mark, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(mark, char)
    return text


@given(st.text(), st.text())
def test_escaping_comes_back(value: str, data: str) -> None:
    # Only a line feed ends a line for the runner.
    line = f"::error file={escape_property(value)}::{escape_data(data)}"
    assert "\n" not in line
    level, rest = line[2:].split(" ", 1)
    properties, message = rest.split("::", 1)
    assert level == "error"
    assert properties.count(",") == 0
    assert unescape(properties.removeprefix("file=")) == value
    assert unescape(message) == data


def test_github_command() -> None:
    assert RENDERERS["github"]([finding(severity=Severity.ERROR)], context()) == (
        "::error title=nnlint NN204 clipped-loss,file=train.py,line=7,endLine=7,col=16,endColumn=42"
        "::The loss has an upper bound. Above the bound its gradient is zero. Clip the gradients."
        "%0Atrain.py:6: the loss is computed here\n"
    )


def test_github_of_nothing() -> None:
    assert RENDERERS["github"]([], context()) == ""
    assert step_summary([], context()) == "### nnlint\n\nNo findings.\n"


def test_github_columns_only_on_one_line() -> None:
    _, properties, _ = parse_command(RENDERERS["github"]([finding(span=(7, 16, 9, 2))], context()).strip())
    assert (properties["line"], properties["endLine"]) == ("7", "9")
    assert not {"col", "endColumn"} & set(properties)


@pytest.mark.parametrize(
    ("workspace", "path"), [("/repo", "sub/train.py"), ("/", "repo/sub/train.py"), ("/elsewhere", "sub/train.py")]
)
def test_github_paths_count_from_the_repository(workspace: str, path: str) -> None:
    text = RENDERERS["github"]([finding("sub/train.py")], context(GITHUB_WORKSPACE=workspace))
    assert parse_command(text.strip())[1]["file"] == path


def test_github_shows_the_worst_and_counts_the_rest() -> None:
    found = [
        finding(span=(row, 1, row, 2), severity=severity, confidence=confidence)
        for row in range(1, 8)
        for severity in Severity
        for confidence in (Confidence.LOW, Confidence.HIGH)
    ]
    commands = [parse_command(line) for line in RENDERERS["github"](found, context()).splitlines()]
    levels = [level for level, _, _ in commands]
    assert levels == ["error"] * SHOWN + ["warning"] * SHOWN + ["notice"] * SHOWN
    assert [int(properties["line"]) for _, properties, _ in commands[:SHOWN]] == [1, 2, 3, 4, 5, 6, 7, 1, 2, 3]
    assert commands[-1][2].startswith(f"{len(found) - 3 * SHOWN + 1} more findings are not annotated")


def test_github_counts_nothing_when_all_are_shown() -> None:
    found = [finding(span=(row, 1, row, 2), severity=Severity.INFO) for row in range(1, SHOWN + 1)]
    assert len(RENDERERS["github"](found, context()).splitlines()) == SHOWN
    assert "title=nnlint::" not in RENDERERS["github"](found, context())


def test_summary_links_and_escapes() -> None:
    odd = finding("my train.py", message="`a|b` is *odd* <b> in `c`")
    environ = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "o/r", "GITHUB_SHA": "abc"}
    page = step_summary([odd], context(**environ))
    assert "### nnlint: 1 finding\n" in page
    assert "(https://github.com/o/r/blob/abc/my%20train.py#L7)" in page
    assert "<code>a&#124;b</code> is &#42;odd&#42; &#60;b&#62; in <code>c</code>" in page


def test_summary_is_bounded() -> None:
    page = step_summary([finding(span=(row, 1, row, 2)) for row in range(1, SUMMARY_ROWS + 6)], context())
    assert "\n5 more are not listed.\n" in page


@pytest.mark.parametrize(
    ("clause", "written"),
    [
        ("the loss is clipped", "The loss is clipped."),
        ("a loss", "A loss."),
        ("torch.manual_seed is missing", "torch.manual_seed is missing."),
        ("`loss` is clipped", "`loss` is clipped."),
        ("lr_scheduler is stepped", "lr_scheduler is stepped."),
        ("is it?", "Is it?"),
        ("two\nlines", "Two lines."),
    ],
)
def test_sentences(clause: str, written: str) -> None:
    assert sentence(clause) == written


def test_fingerprints_outlive_lines() -> None:
    before = fingerprints([finding()], ROOT)
    assert fingerprints([finding(span=(90, 3, 91, 5))], ROOT) == before
    assert fingerprints([finding(text="loss  =   loss.clamp(max=1)")], ROOT) == before
    assert fingerprints([finding(message="other words")], ROOT) == before


@pytest.mark.parametrize(
    "other", [finding("b.py"), finding(scope="test"), finding(text="x"), replace(finding(), code="NN301")]
)
def test_fingerprints_tell_findings_apart(other: Diagnostic) -> None:
    assert fingerprints([other], ROOT) != fingerprints([finding()], ROOT)


def test_equal_findings_are_counted_from_the_top() -> None:
    first, second = finding(span=(1, 1, 1, 2)), finding(span=(5, 1, 5, 2))
    assert fingerprints([first, second], ROOT) == fingerprints([second, first], ROOT)[::-1]
    assert len({*fingerprints([first, second], ROOT)}) == 2
    assert fingerprints([first], ROOT) == fingerprints([second], ROOT)


def test_fingerprints_do_not_depend_on_where_the_repository_lies() -> None:
    moved = replace(finding(), location=Location("/home/me/repo/train.py", Span(1, 1, 1, 2)))
    assert fingerprints([moved], Path("/home/me/repo")) == fingerprints([finding()], ROOT)


def test_output_does_not_depend_on_the_hash_seed() -> None:
    script = """
import sys
from pathlib import Path
from nnlint.diagnostic import *
from nnlint.output import RENDERERS, RenderContext, step_summary
places = [Location(f"/repo/{name}.py", Span(row, 1, row, 3)) for name in "cab" for row in (2, 1)]
found = [
    Diagnostic("NN204", "clipped-loss", "m", "w", "a", severity, Confidence.LOW, place,
               tuple(Related(str(n), other) for n, other in enumerate(places)))
    for place in places for severity in Severity
]
context = RenderContext(Path("/repo"), lambda name: "x = 1\\n" * 3)
for render in (*RENDERERS.values(), step_summary):
    sys.stdout.write(render(found, context))
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop()
