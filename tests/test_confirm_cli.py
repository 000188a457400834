"""``--confirm`` on the command line, with a laboratory that does not run anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from nnlint.confirm.confirmation import confirm, prepare
from nnlint.confirm.runner import NoLaboratory
from nnlint.diagnostic import Confidence, Diagnostic, Location, Severity, Span
from nnlint.experiment import Plan
from nnlint.surroundings import Surroundings
from nnlint.verdict import Json, Outcome

Run = Callable[..., Result]
Write = Callable[..., Path]

TRAIN = """\
proved = a.clamp(1)  # confirmed
harmless = b.clamp(2)  # refuted
unclear = c.clamp(3)  # inconclusive
"""


class Laboratory:
    """Stands in for the real one: the verdict stands in a comment on the watched line."""

    made: list[tuple[Any, ...]]
    jobs: list[Mapping[str, Any]]
    python = Path("/usr/bin/python3")
    unenforced: tuple[str, ...] = ()
    broken = False

    foreseen: Sequence[str] = ()

    def __init__(self, *arguments: Any, foreseen: Sequence[str]) -> None:
        self.made.append(arguments)
        type(self).foreseen = foreseen

    def __enter__(self) -> Laboratory:  # noqa: PYI034 # Self is younger than Python 3.10
        return self

    def __exit__(self, *error: object) -> None:
        self.made.append(("closed",))

    @property
    def description(self) -> Mapping[str, Json]:
        if self.broken:
            raise NoLaboratory("torch is not installed; `/usr/bin/python3 -m pip install torch` installs it")
        return {"torch": "2.13.0", "device": "cpu"}

    def run(self, job: Mapping[str, Any]) -> dict[str, Json]:
        self.jobs.append(job)
        (file,) = job["program"]["files"]
        row = file["watches"][0][1]
        outcome = file["text"].splitlines()[row - 1].rpartition("# ")[2]
        return {
            "id": job["id"],
            "outcome": outcome,
            "summary": f"seen in row {row}",
            "figures": {"worst": float("inf"), "share": [0.5, float("nan")], "rate": 2.9999999999999997e-05},
            "assumptions": ["a batch of 8"],
            "stood_in": [],
            "device": "cpu",
            "torch": "2.13.0",
            "seconds": 0.25,
            "unenforced": list(self.unenforced),
        }


@pytest.fixture
def laboratory(monkeypatch: pytest.MonkeyPatch) -> type[Laboratory]:
    monkeypatch.setattr(Laboratory, "made", [], raising=False)
    monkeypatch.setattr(Laboratory, "jobs", [], raising=False)
    monkeypatch.setattr("nnlint.confirm.runner.Laboratory", Laboratory)
    monkeypatch.setattr("nnlint.confirm.interpreter.find_interpreter", lambda given, folder: Path(given or "python3"))
    return Laboratory


def verdicts(result: Result) -> dict[int, str | None]:
    entries = json.loads(result.stdout)
    return {each["location"]["row"]: (each["confirmation"] or {}).get("verdict") for each in entries}


@pytest.mark.parametrize(("text", "foreseen"), [("import torch\n", ()), ("import torchvision\n", ("torchvision",))])
def test_torchvision_is_foreseen_where_a_file_names_it(
    text: str, foreseen: tuple[str, ...], nnlint: Run, write: Write, laboratory: type[Laboratory]
) -> None:
    write("a.py", "import torch\n")
    write("b.py", text)
    nnlint("--confirm", "a.py", "b.py")
    assert laboratory.foreseen == foreseen


def test_every_finding_has_its_verdict(nnlint: Run, write: Write, laboratory: type[Laboratory]) -> None:
    write("train.py", TRAIN + "x.view(1)\n")
    result = nnlint("train.py", "--confirm", "--output-format", "json")
    assert result.exit_code == 1
    assert verdicts(result) == {1: "confirmed", 2: "refuted", 3: "inconclusive", 4: "inconclusive"}
    first, *_, unplanned, refuted = json.loads(result.stdout)
    assert first["confirmation"] == {
        "verdict": "confirmed",
        "summary": "seen in row 1",
        "experiment": "gradient",
        "figures": {"worst": "inf", "share": [0.5, "nan"], "rate": 3e-05},
        "assumptions": ["a batch of 8"],
        "stood_in": [],
        "device": "cpu",
        "torch": "2.13.0",
        "seconds": 0.25,
        "unenforced": [],
    }
    assert unplanned["confirmation"]["summary"] == "NN203 has no experiment for this finding"
    assert refuted["confirmation"]["verdict"] == "refuted"


def test_the_job_holds_the_slice_as_it_is_and_mended(
    nnlint: Run, write: Write, laboratory: type[Laboratory], folder: Path
) -> None:
    write("train.py", "y = x.clamp(1)  # confirmed\n")
    nnlint("--confirm")
    (job,) = laboratory.jobs
    assert (job["kind"], job["settings"]["bound"]) == ("gradient", 1.0)
    assert job["program"]["root"] == str(folder)
    assert job["program"]["files"][0]["watches"] == [["loss", 1, 4, 1, 5, True]]
    assert job["mended"]["files"][0]["text"] == "y = x  # confirmed\n"


def test_without_the_flag_nothing_is_planned_or_run(
    nnlint: Run, write: Write, laboratory: type[Laboratory], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("train.py", TRAIN)
    monkeypatch.setattr("nnlint.resolve._plan", lambda *_: pytest.fail("a plan was made"))
    result = nnlint("--output-format", "json")
    assert set(verdicts(result).values()) == {None}
    assert laboratory.made == []
    assert result.stderr == ""


def test_full_tells_what_was_run_and_what_came_of_it(
    nnlint: Run, write: Write, laboratory: type[Laboratory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Laboratory, "unenforced", ("no network", "no writing"))
    write("train.py", TRAIN)
    result = nnlint("--confirm")
    assert result.stderr == (
        "Confirming 3 findings by running code of train.py with /usr/bin/python3 (torch 2.13.0) on cpu\n"
        "This system did not enforce while the code ran: no network, no writing\n"
    )
    assert "  = confirmed: seen in row 1\n    assumed: a batch of 8\n" in result.stdout
    assert result.stdout.endswith(
        "train.py:2:12: refuted[NN204] clipped-loss: the loss is clipped\n"
        "  = refuted: seen in row 2\n"
        "    assumed: a batch of 8\n"
        "\n"
        "Found 2 findings (2 errors): 1 confirmed, 1 inconclusive; 1 more refuted by running the code.\n"
        "2 fixable with `--fix --unsafe-fixes`; see with `--diff --unsafe-fixes`.\n"
    )
    assert nnlint("--confirm", "-q").stderr == ""


def test_the_laboratory_is_told_the_limits_and_closed(nnlint: Run, write: Write, laboratory: type[Laboratory]) -> None:
    write("train.py", TRAIN)
    nnlint("--confirm")
    nnlint(
        *("--confirm", "--python", "other/python", "--device", "cuda:1"),
        *("--confirm-timeout", "2.5", "--confirm-memory", "500MB"),
    )
    assert laboratory.made == [
        (Path("python3"), "auto", 10.0, 4 << 30),
        ("closed",),
        (Path("other/python"), "cuda:1", 2.5, 500 << 20),
        ("closed",),
    ]


@pytest.mark.parametrize(
    ("text", "amount"), [("4GB", 4 << 30), ("512", 512 << 20), ("1.5g", 3 << 29), ("200 MiB", 200 << 20)]
)
def test_memory(nnlint: Run, laboratory: type[Laboratory], text: str, amount: int) -> None:
    nnlint("--confirm", "--confirm-memory", text)
    assert laboratory.made[0][3] == amount


@pytest.mark.parametrize(
    ("lines", "arguments", "status"),
    [
        ("confirmed refuted inconclusive", (), 1),
        ("refuted inconclusive", (), 1),
        ("refuted refuted", (), 0),
        ("refuted inconclusive", ("--fail-on", "any"), 1),
        ("refuted inconclusive", ("--fail-on", "confirmed"), 0),
        ("inconclusive confirmed", ("--fail-on", "confirmed"), 1),
        ("confirmed", ("--exit-zero",), 0),
        ("confirmed", ("--statistics",), 1),
        ("refuted", ("--output-format", "github"), 0),
    ],
)
def test_exit_status(
    nnlint: Run, write: Write, laboratory: type[Laboratory], lines: str, arguments: tuple[str, ...], status: int
) -> None:
    write("train.py", "".join(f"x{number}.clamp(1)  # {word}\n" for number, word in enumerate(lines.split())))
    assert nnlint("--confirm", *arguments).exit_code == status


def test_only_refuted_findings_pass(nnlint: Run, write: Write, laboratory: type[Laboratory]) -> None:
    write("train.py", "x.clamp(1)  # refuted\n")
    result = nnlint("--confirm")
    assert result.exit_code == 0
    assert result.stdout.endswith("\n\nAll checks passed! 1 finding refuted by running the code.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "cpu"), "--device needs --confirm"),
        (("--python", "python3"), "--python needs --confirm"),
        (("--confirm-timeout", "5"), "--confirm-timeout needs --confirm"),
        (("--confirm-memory", "4GB"), "--confirm-memory needs --confirm"),
        (("--fail-on", "confirmed"), "--fail-on confirmed needs --confirm: nothing is proved without it"),
        (("--confirm", "--fail-on", "refuted"), "'refuted' is not one of"),
        (("--confirm", "--device", "tpu"), "'tpu' is none of auto, cpu, cuda, cuda:N and mps"),
        (("--confirm", "--confirm-timeout", "0"), "0"),
        (("--confirm", "--confirm-memory", "lots"), "'lots' is no amount of memory"),
        (("--confirm", "--confirm-memory", "0"), "'0' is no amount of memory"),
    ],
)
def test_mistakes_are_2(nnlint: Run, laboratory: type[Laboratory], arguments: tuple[str, ...], message: str) -> None:
    result = nnlint(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert laboratory.made == []


@pytest.mark.parametrize("key", ["confirm", "python", "device", "fail-on"])
def test_no_configuration_has_code_run(nnlint: Run, write: Write, laboratory: type[Laboratory], key: str) -> None:
    write("train.py", TRAIN)
    write("nnlint.toml", f"{key} = true\n")
    result = nnlint()
    assert result.exit_code == 2
    assert f"unknown key '{key}': a configuration never has code run; say --{key} on the command line" in result.stderr
    assert laboratory.made == []


def test_without_a_laboratory_the_findings_are_shown_all_the_same(
    nnlint: Run, write: Write, laboratory: type[Laboratory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Laboratory, "broken", True)
    path = write("train.py", TRAIN)
    result = nnlint("--confirm", "--output-format", "json")
    assert result.exit_code == 2
    assert verdicts(result) == {1: None, 2: None, 3: None}
    assert result.stderr.endswith(
        "error: /usr/bin/python3: torch is not installed; `/usr/bin/python3 -m pip install torch` installs it\n"
    )
    result = nnlint("--confirm", "--fix", "--unsafe-fixes")
    assert result.exit_code == 2
    assert path.read_text() == TRAIN


def test_with_nothing_to_confirm_the_laboratory_is_not_waited_for(
    nnlint: Run, write: Write, laboratory: type[Laboratory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Laboratory, "broken", True)
    write("train.py", "x.clamp(1)  # nnlint: ignore[NN204]\ny = 1  # nnlint: ignore[NN203]\n")
    write("broken.py", "def clamp(\n")
    result = nnlint("--confirm", "--output-format", "json")
    assert result.exit_code == 1
    assert {each["code"]: each["confirmation"] for each in json.loads(result.stdout)} == {"NN000": None, "NN001": None}
    assert result.stderr == ""


def test_refuted_findings_are_not_fixed(nnlint: Run, write: Write, laboratory: type[Laboratory]) -> None:
    path = write("train.py", TRAIN)
    diff = nnlint("--confirm", "--diff", "--unsafe-fixes")
    assert [line for line in diff.stdout.splitlines() if line.startswith("-")][1:] == [
        "-proved = a.clamp(1)  # confirmed",
        "-unclear = c.clamp(3)  # inconclusive",
    ]
    assert diff.stderr.endswith("Would fix 2 findings.\n")
    result = nnlint("--confirm", "--fix", "--unsafe-fixes")
    assert path.read_text() == TRAIN.replace("a.clamp(1)", "a").replace("c.clamp(3)", "c")
    assert result.exit_code == 0
    assert (
        result.stdout.splitlines()[-1] == "Found 2 findings (2 fixed, 0 remaining); 1 more refuted by running the code."
    )


def test_standard_input_is_confirmed_as_it_comes(nnlint: Run, laboratory: type[Laboratory]) -> None:
    result = nnlint("--confirm", "-", "--output-format", "json", stdin=TRAIN)
    assert verdicts(result) == {1: "confirmed", 2: "refuted", 3: "inconclusive"}
    assert laboratory.jobs[0]["program"]["files"][0]["text"] == TRAIN


def test_statistics_leave_refuted_findings_out(nnlint: Run, write: Write, laboratory: type[Laboratory]) -> None:
    write("train.py", TRAIN)
    assert nnlint("--confirm", "--statistics").stdout.startswith("2  NN204")


def test_verdicts_do_not_depend_on_the_number_of_processes(
    nnlint: Run, write: Write, laboratory: type[Laboratory]
) -> None:
    for number in range(4):
        write(f"train{number}.py", TRAIN + "#" * (100 << 10))
    outputs = {nnlint("--confirm", "--output-format", "json", "-j", jobs).stdout for jobs in ("1", "2")}
    assert len(outputs) == 1
    assert outputs.pop().count('"confirmed"') == 4


def finding(plan: Plan | None, row: int = 1, code: str = "NN204") -> Diagnostic:
    location = Location("/repo/train.py", Span(row, 1, row, 2))
    return Diagnostic(code, "name", "m", "w", "a", Severity.WARNING, Confidence.LOW, location, plan=plan)


def answer(outcome: str) -> dict[str, Json]:
    lists: dict[str, Json] = {name: [] for name in ("assumptions", "stood_in", "unenforced")}
    return {"outcome": outcome, "summary": "s", "figures": {}, "device": "", "torch": "", "seconds": 0, **lists}


def test_one_experiment_serves_all_findings_that_ask_for_it(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("x = 1\n")
    place = Location(str(path), Span(1, 1, 1, 2))
    plan, other = (Plan("seed", str(path), str(tmp_path), (place,), settings={"n": number}) for number in (1, 2))
    ran: list[Json] = []

    def run(job: dict[str, Json]) -> dict[str, Json]:
        settings = job["settings"]
        assert isinstance(settings, Mapping)
        ran.append(settings["n"])
        return answer("confirmed" if settings["n"] == 1 else "inconclusive")

    told: list[int] = []
    given = [finding(plan, 3), finding(other, 1), finding(plan, 2), finding(None, 4), finding(None, 5, "NN001")]
    found = confirm(given, prepare(given, {}), run, told.append)
    assert ran == [1, 2]
    assert told == [1, 2]
    assert [each.location.span.row for each in found] == [3, 1, 2, 4, 5]
    assert [each.outcome for each in found] == [
        *(Outcome.CONFIRMED, Outcome.INCONCLUSIVE, Outcome.CONFIRMED, Outcome.INCONCLUSIVE),
        None,
    ]
    assert [each.confidence for each in found] == [Confidence.HIGH, Confidence.LOW] * 2 + [Confidence.LOW]


def test_what_cannot_be_cut_is_inconclusive_and_the_rest_is_run(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("x = 1\n")
    absent = Plan("seed", str(tmp_path / "absent.py"), str(tmp_path))
    sound = Plan("seed", str(path), str(tmp_path), (Location(str(path), Span(1, 1, 1, 2)),))
    given = [finding(absent), finding(sound, 2)]
    lost, kept = confirm(given, prepare(given, {}), lambda job: answer("refuted"), lambda done: None)
    assert lost.verdict is not None and lost.outcome is Outcome.INCONCLUSIVE
    assert lost.verdict.summary == "absent.py cannot be read: no such file or directory"
    assert kept.refuted


def terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to the terminal that stderr is from now on."""
    written: list[str] = []

    class Terminal:
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> None:
            written.append(text)

        def flush(self) -> None:
            pass

    monkeypatch.setattr(sys, "stderr", Terminal())
    return written


def test_progress_is_shown_from_one_second_on(monkeypatch: pytest.MonkeyPatch) -> None:
    written = terminal(monkeypatch)
    with Surroundings(False, False, None).progress("Confirming", 3) as progress:
        progress(1)
    assert written == []

    class AtOnce:
        daemon = False

        def __init__(self, seconds: float, work: Callable[[], None]) -> None:
            assert seconds == 1.0
            self.start = work

        def cancel(self) -> None:
            pass

    monkeypatch.setattr("threading.Timer", AtOnce)
    with Surroundings(False, False, None).progress("Confirming", 3) as progress:
        progress(1)
    assert [text.removeprefix("\r\x1b[K") for text in written] == ["Confirming: 0 of 3", "Confirming: 1 of 3", ""]


def test_progress_is_not_for_the_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    written = terminal(monkeypatch)
    monkeypatch.setattr("threading.Timer", lambda *_: pytest.fail("a timer was started"))
    with Surroundings(True, False, None).progress("Confirming", 3) as progress:
        progress(1)
    assert written == []
