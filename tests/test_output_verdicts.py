"""Verdicts in every format: proof under the finding, what is refuted apart and not counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nnlint.diagnostic import Confidence, Diagnostic, Location, Severity, Span, TextEdit, TextFix
from nnlint.output import RENDERERS, RenderContext, step_summary
from nnlint.output.github import SHOWN
from nnlint.summary import render_statistics, render_summary
from nnlint.verdict import Outcome, Verdict

ROOT = Path("/repo")
PROOF = Verdict(
    Outcome.CONFIRMED,
    "3 of 8 examples get no gradient; without the bound all 8 do",
    "gradient",
    {"silent": 3, "examples": 8},
    ("a batch of 8",),
    ("wandb", "`CIFAR10` by noise"),
    "cuda:0",
    "2.13.0",
    0.01749,
    ("network",),
)
DISPROOF = Verdict(Outcome.REFUTED, "all 210 elements are where they were", "differential", {"elements": 210})
SILENCE = Verdict(Outcome.INCONCLUSIVE, "train.py:12: no module named 'apex'", "gradient")


def finding(row: int, verdict: Verdict | None = None, severity: Severity = Severity.WARNING) -> Diagnostic:
    location = Location("/repo/train.py", Span(row, 1, row, 5))
    return Diagnostic(
        code="NN204",
        name="clipped-loss",
        message="the loss has an upper bound",
        why="above the bound its gradient is zero",
        advice="clip the gradients",
        severity=severity,
        confidence=Confidence.MEDIUM,
        location=location,
        fix=TextFix("clip the gradients", False, (TextEdit(location, "loss"),)),
        text="loss = loss.clamp(max=1)",
        verdict=verdict,
    )


FINDINGS = [finding(1, DISPROOF, Severity.ERROR), finding(2, PROOF), finding(3, SILENCE), finding(4)]


def context(*, color: bool = False, unicode: bool = True, width: int = 100) -> RenderContext:
    return RenderContext(ROOT, lambda _: "loss\n" * 9, width=width, color=color, unicode=unicode)


def test_full_shows_the_evidence_and_refuted_findings_apart() -> None:
    findings, apart = RENDERERS["full"](FINDINGS, context()).split("Refuted by running the lines in question:\n\n")
    assert [line.partition(": ")[0] for line in findings.splitlines() if "[NN204]" in line] == [
        f"train.py:{row}:1" for row in (2, 3, 4)
    ]
    assert (
        "  = confirmed: 3 of 8 examples get no gradient; without the bound all 8 do\n"
        "    assumed: a batch of 8 · stood in for: wandb; `CIFAR10` by noise\n"
        "  = why: above"
    ) in findings
    assert "  = inconclusive: train.py:12: no module named 'apex'\n  = why" in findings
    assert apart == (
        "train.py:1:1: refuted[NN204] clipped-loss: the loss has an upper bound\n"
        "  = refuted: all 210 elements are where they were\n\n"
    )


def test_full_without_verdicts_says_nothing_of_them() -> None:
    text = RENDERERS["full"]([finding(4)], context())
    assert "efuted" not in text and "confirmed" not in text


def test_what_the_run_said_can_do_no_harm_on_a_terminal() -> None:
    hostile = replace(PROOF, summary="\x1b[2Jloss\nis \u202e5", assumptions=("a\rb",), stood_in=("ü",))
    for name in ("full", "concise"):
        text = RENDERERS[name]([finding(1, hostile)], context(unicode=False))
        assert text.isascii() and "\x1b" not in text and "\r" not in text
    assert " | stood in for: ?" in RENDERERS["full"]([finding(1, hostile)], context(unicode=False))
    (line,) = RENDERERS["concise"]([finding(1, hostile)], context()).splitlines()
    assert "\u202e" not in line


def test_full_paints_the_verdict_and_dims_what_it_rests_on() -> None:
    text = RENDERERS["full"](FINDINGS, context(color=True))
    assert "\x1b[91m\x1b[1mconfirmed:\x1b[0m 3 of 8" in text
    assert "\x1b[32m\x1b[1mrefuted[NN204]\x1b[0m" in text
    assert "\x1b[2massumed: a batch of 8" in text


def test_full_wraps_the_evidence() -> None:
    text = RENDERERS["full"]([finding(1, PROOF)], context(width=50))
    assert all(len(line) <= 50 for line in text.splitlines()[1:])


def test_concise() -> None:
    assert RENDERERS["concise"](FINDINGS, context()).splitlines() == [
        (
            "train.py:2:1: warning[NN204] clipped-loss: the loss has an upper bound "
            "[confirmed: 3 of 8 examples get no gradient; without the bound all 8 do]"
        ),
        (
            "train.py:3:1: warning[NN204] clipped-loss: the loss has an upper bound "
            "[inconclusive: train.py:12: no module named 'apex']"
        ),
        "train.py:4:1: warning[NN204] clipped-loss: the loss has an upper bound",
        "train.py:1:1: refuted[NN204] clipped-loss: the loss has an upper bound [all 210 elements are where they were]",
    ]


def test_json_has_the_verdict_as_data_and_refuted_findings_last() -> None:
    entries = json.loads(RENDERERS["json"](FINDINGS, context()))
    assert [entry["location"]["row"] for entry in entries] == [2, 3, 4, 1]
    assert [entry["confirmation"] and entry["confirmation"]["verdict"] for entry in entries] == [
        "confirmed",
        "inconclusive",
        None,
        "refuted",
    ]
    assert entries[0]["confirmation"] == {
        "verdict": "confirmed",
        "summary": "3 of 8 examples get no gradient; without the bound all 8 do",
        "experiment": "gradient",
        "figures": {"silent": 3, "examples": 8},
        "assumptions": ["a batch of 8"],
        "stood_in": ["wandb", "`CIFAR10` by noise"],
        "device": "cuda:0",
        "torch": "2.13.0",
        "seconds": 0.017,
        "unenforced": ["network"],
    }


def test_fingerprints_do_not_depend_on_verdicts() -> None:
    def marks(findings: list[Diagnostic]) -> dict[int, str]:
        entries = json.loads(RENDERERS["json"](findings, context()))
        return {entry["location"]["row"]: entry["fingerprint"] for entry in entries}

    assert marks(FINDINGS) == marks([replace(each, verdict=None) for each in FINDINGS])


def test_github_says_it_in_the_message_and_leaves_refuted_findings_to_the_summary() -> None:
    text = RENDERERS["github"](FINDINGS, context())
    assert "line=1," not in text
    assert (
        "%0AConfirmed: 3 of 8 examples get no gradient; without the bound all 8 do."
        "%0AAssumed: a batch of 8 · stood in for: wandb; `CIFAR10` by noise.\n"
    ) in text
    assert "%0AInconclusive: train.py:12: no module named 'apex'.\n" in text


def test_github_shows_proof_before_suspicion() -> None:
    findings = [finding(row, SILENCE) for row in range(1, SHOWN + 3)] + [finding(99, PROOF)]
    first, *_ = RENDERERS["github"](findings, context()).splitlines()
    assert "line=99," in first


def test_the_summary_of_the_step_has_a_column_for_the_verdict() -> None:
    page = step_summary(FINDINGS, context()).splitlines()
    assert page[0] == "### nnlint: 3 findings"
    assert page[2] == "| Severity | Rule | Place | Finding | Verdict |"
    assert page[4].endswith(" | Confirmed&#58; 3 of 8 examples get no gradient; without the bound all 8 do. |")
    assert page[-2].endswith(" |  |")
    assert page[-1].endswith(" | Refuted&#58; all 210 elements are where they were. |")
    assert {line.count(" | ") for line in page[2:]} == {4}


def test_the_summary_of_the_step_without_a_finding_left() -> None:
    page = step_summary([finding(1, DISPROOF)], context())
    assert page.startswith("### nnlint\n\nNo findings.\n\n| Severity |")
    assert "Refuted" in page
    assert "Verdict" not in step_summary([finding(1)], context())


@pytest.mark.parametrize(
    ("findings", "fixed", "line"),
    [
        (
            FINDINGS,
            0,
            "Found 3 findings (3 warnings): 1 confirmed, 1 inconclusive; 1 more refuted by running the code.",
        ),
        (
            FINDINGS,
            2,
            "Found 5 findings (2 fixed, 3 remaining): 1 confirmed, 1 inconclusive; 1 more refuted by running the code.",
        ),
        (FINDINGS[1:2], 0, "Found 1 finding (1 warning): 1 confirmed."),
        (FINDINGS[:1], 0, "All checks passed! 1 finding refuted by running the code."),
        (FINDINGS[3:], 0, "Found 1 finding (1 warning)."),
    ],
)
def test_the_closing_line(findings: list[Diagnostic], fixed: int, line: str) -> None:
    first, *rest = render_summary(findings, fixed=fixed, unsafe=False).splitlines()
    assert first == line
    assert not rest or rest[0].startswith(f"{sum(not each.refuted for each in findings)} fixable")


def test_statistics_leave_refuted_findings_out() -> None:
    assert render_statistics(FINDINGS, as_json=False) == "3  NN204  clipped-loss\n"
    assert render_statistics(FINDINGS[:1], as_json=False) == ""
