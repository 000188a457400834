import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnlint import __version__
from nnlint.cli import main

Run = Callable[..., Result]
Write = Callable[..., Path]

TRAIN = """\
import torch

loss = criterion(model(x), y).clamp(max=1.0)
loss.backward()
"""


def concise(result: Result) -> list[tuple[str, str]]:
    """Place and code of the findings that a run printed."""
    lines = [line for line in result.stdout.splitlines() if "[NN" in line]
    return [(line.split(": ")[0], line.split("[")[1].split("]")[0]) for line in lines]


def test_check_goes_without_saying(nnlint: Run, write: Write) -> None:
    write("train.py", TRAIN)
    write("check/train.py", TRAIN)
    for arguments in (
        ("train.py",),
        ("check", "train.py"),
        ("check", "check"),
        ("--output-format=concise", "train.py"),
    ):
        result = nnlint(*arguments)
        assert result.exit_code == 1
        assert "clipped-loss" in result.stdout
    assert len(concise(nnlint("--output-format", "concise"))) == 2


def test_clean(nnlint: Run, write: Write) -> None:
    write("train.py", "import torch\n")
    result = nnlint()
    assert (result.exit_code, result.stdout, result.stderr) == (0, "All checks passed!\n", "")
    assert nnlint("-q").stdout == ""


def test_nothing_to_lint(nnlint: Run) -> None:
    result = nnlint()
    assert result.exit_code == 0
    assert "warning: no Python files found" in result.stderr


def test_missing_path_is_2_and_the_others_are_linted(nnlint: Run, write: Write) -> None:
    write("train.py", TRAIN)
    result = nnlint("absent.py", "train.py", "--output-format", "concise")
    assert result.exit_code == 2
    assert concise(result) == [("train.py:3:8", "NN204")]
    assert result.stderr == "error: absent.py: no such file or folder\n"
    assert "passed" not in nnlint("absent.py").stdout


def test_unreadable_files_are_named_and_the_others_are_linted(nnlint: Run, write: Write, folder: Path) -> None:
    write("train.py", TRAIN)
    (folder / "latin.py").write_bytes(b"x = clamp  # \xe9\n")
    (folder / "tool.py").write_bytes(b"# \xe9 concerns nobody\n")
    result = nnlint("--output-format", "concise")
    assert result.exit_code == 2
    assert concise(result) == [("train.py:3:8", "NN204")]
    assert result.stderr.startswith(f"error: {folder / 'latin.py'}: cannot be read: byte 0xe9 in row 1")
    assert result.stderr.count("\n") == 1


def test_unparsable_files_are_findings(nnlint: Run, write: Write) -> None:
    write("old.py", "print 'clamp'\n")
    write("other.py", "print 'nothing of interest'\n")
    write("train.py", TRAIN)
    result = nnlint("--output-format", "concise")
    assert concise(result) == [("old.py:1:1", "NN000"), ("train.py:3:8", "NN204")]
    assert result.exit_code == 1
    assert nnlint("--select", "NN204", "old.py").exit_code == 0


def test_internal_errors_name_file_and_rule(nnlint: Run, write: Write) -> None:
    write("a.py", "explode()\nx.clamp(1)\n")
    write("b.py", "# clamp\nunreadable_script = 1\n")
    write("train.py", TRAIN)
    result = nnlint("--output-format", "concise")
    assert result.exit_code == 2
    assert concise(result) == [("a.py:2:1", "NN204"), ("train.py:3:8", "NN204")]
    first, second = result.stderr.splitlines()
    assert first.endswith("a.py: internal error in NN101 augmentation-without-label: RuntimeError: boom")
    assert second.endswith("b.py: internal error in the reading of the script: KeyError: 'lost'")
    assert "Traceback" in nnlint("-v").stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_file_that_kills_its_process_spares_the_others(nnlint: Run, write: Write) -> None:
    for number in range(8):
        write(f"part{number}.py", TRAIN + "# padding\n" * 4000)
    write("part3.py", "explode_all()\n" + "# padding\n" * 4000)
    result = nnlint("--output-format", "concise", "-j", "2")
    assert result.exit_code == 2
    assert len(concise(result)) == 7
    assert "part3.py: internal error: reading this file ended the process" in result.stderr


def test_the_number_of_jobs_changes_nothing(nnlint: Run, write: Write) -> None:
    for number in range(12):
        write(f"pkg{number % 3}/part{number}.py", TRAIN * (number % 2 + 1) + "# padding\n" * 4000)
    outputs = {nnlint("--output-format", "json", "-j", jobs).stdout for jobs in ("1", "2", "5")}
    assert len(outputs) == 1
    assert len(json.loads(outputs.pop())) == 18


@pytest.mark.parametrize(
    ("arguments", "codes"),
    [
        ((), ["NN203", "NN204"]),
        (("--select", "NN204"), ["NN204"]),
        (("--select=NN2,NN6",), ["NN203", "NN204", "NN601"]),
        (("--select", "NN203", "--select", "clipped-loss"), ["NN203", "NN204"]),
        (("--select", "ALL", "--ignore", "NN2"), ["NN601"]),
        (("--extend-select", "hasty-early-stopping"), ["NN203", "NN204", "NN601"]),
        (("--select", "ALL", "--stage", "baseline"), ["NN203", "NN204"]),
        (("--select", "ALL", "--stage", "tune"), ["NN203", "NN204", "NN601"]),
        (("--extend-select", "NN601", "--stage", "overfit"), ["NN203", "NN204", "NN601"]),
        (("--min-severity", "error"), ["NN204"]),
        (("--select", "ALL", "--min-severity", "warning"), ["NN203", "NN204"]),
        (("--config", 'select = ["NN203"]'), ["NN203"]),
        (("--config", 'select = ["NN203"]', "--select", "NN204"), ["NN204"]),
        (("--config", "strict.toml"), ["NN601"]),
        (("--config", "strict.toml", "--config", 'extend-select = ["NN203"]'), ["NN203", "NN601"]),
    ],
)
def test_selection(nnlint: Run, write: Write, arguments: tuple[str, ...], codes: list[str]) -> None:
    write("strict.toml", 'select = ["NN601"]\n')
    write("train.py", "a.view(1)\nb.clamp(1)\nc.patience(1)\n")
    result = nnlint("--output-format", "concise", *arguments)
    assert [code for _, code in concise(result)] == codes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--select", "NN299"), "unknown rule selector 'NN299'; did you mean"),
        (("--ignore", "cliped-loss"), "did you mean 'clipped-loss'?"),
        (("--selct", "NN2"), "--select"),
        (("--min-severity", "fatal"), "'fatal' is not one of"),
        (("--stage", "squeeze"), "'squeeze' is not one of"),
        (("--output-format", "xml"), "'xml' is not one of"),
        (("--exclude", "[z-a]"), "is no pattern"),
        (("-j", "0"), "at least 1"),
        (("-j", "many"), "at least 1"),
        (("--config", "absent.toml"), "absent.toml: cannot be read"),
        (("--config", "selct = 1"), "unknown key 'selct'; did you mean 'select'?"),
        (("--config", "a.toml", "--config", "b.toml"), "more than one file"),
        (("--config", "a.toml", "--isolated"), "contradicts"),
        (("-", "a.py"), "standard input"),
        (("rule", "NN299"), "did you mean"),
        (("rule",), "either a rule or --all"),
    ],
)
def test_mistakes_are_2_with_a_hint(nnlint: Run, write: Write, arguments: tuple[str, ...], message: str) -> None:
    result = nnlint(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_exit_zero(nnlint: Run, write: Write) -> None:
    write("train.py", TRAIN)
    assert nnlint("--exit-zero").exit_code == 0
    assert nnlint("--exit-zero", "train.py", "absent.py").exit_code == 2
    assert nnlint("--exit-zero", "--no-cache", "--output-format", "json", ".").exit_code == 0


def test_settings_of_the_file_in_which_the_finding_lies(nnlint: Run, write: Write) -> None:
    write("nnlint.toml", '[per-file-ignores]\n"tests/*" = ["NN204"]\n')
    write("tests/test_a.py", TRAIN)
    write("strict/nnlint.toml", 'min-severity = "error"\nselect = ["ALL"]\n')
    write("strict/a.py", "a.view(1)\nb.clamp(1)\nc.patience(1)\n")
    write("a.py", TRAIN)
    result = nnlint("--output-format", "concise")
    assert concise(result) == [("a.py:3:8", "NN204"), ("strict/a.py:2:1", "NN204")]


def test_suppression(nnlint: Run, write: Write) -> None:
    write("a.py", "x.clamp(1)  # nnlint: ignore[NN204]\n")
    write("b.py", "x.clamp(1)  # nnlint: ignore[NN203]\n")
    write("c.py", "# nnlint: ignore[NN204]\nx = 1\n")
    result = nnlint("--output-format", "concise")
    assert concise(result) == [("b.py:1:1", "NN204"), ("b.py:1:13", "NN001"), ("c.py:1:1", "NN001")]
    assert concise(nnlint("--output-format", "concise", "--select", "NN001,NN203")) == [("b.py:1:13", "NN001")]
    assert nnlint("--fix", "c.py").exit_code == 0
    assert Path("c.py").read_text() == "x = 1\n"


def test_statistics(nnlint: Run, write: Write) -> None:
    write("a.py", "x.view(1)\n" * 10 + "x.clamp(1)\n")
    result = nnlint("--statistics")
    assert result.stdout.splitlines()[:2] == ["10  NN203  view-for-permute", " 1  NN204  clipped-loss"]
    assert json.loads(nnlint("--statistics", "--output-format", "json").stdout)[0] == {
        "code": "NN203",
        "name": "view-for-permute",
        "count": 10,
        "fixable": True,
    }


def test_output_file(nnlint: Run, write: Write, folder: Path) -> None:
    write("train.py", TRAIN)
    result = nnlint("--output-format", "json", "-o", "out.json", "--color", "always")
    assert (result.exit_code, result.stdout) == (1, "")
    assert json.loads((folder / "out.json").read_text())[0]["code"] == "NN204"
    result = nnlint("-o", "no/such/folder.txt")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_machine_formats_keep_stdout_pure(nnlint: Run, write: Write) -> None:
    assert json.loads(nnlint("--output-format", "json").stdout) == []
    assert nnlint("--output-format", "github").stdout == ""
    write("train.py", TRAIN)
    assert len(json.loads(nnlint("--output-format", "json", "-v").stdout)) == 1
    assert nnlint("--output-format", "github").stdout.count("\n") == 1


def test_github_summary(nnlint: Run, write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("train.py", TRAIN)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    nnlint("--output-format", "github")
    assert "NN204" in (folder / "summary.md").read_text()


def test_color(nnlint: Run, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("train.py", TRAIN)
    escape = "\x1b["
    assert escape not in nnlint().stdout
    assert escape in nnlint("--color", "always").stdout
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert escape in nnlint().stdout
    assert escape not in nnlint("--color", "never").stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert escape not in nnlint().stdout


def test_summary(nnlint: Run, write: Write) -> None:
    write("a.py", "x.view(1)\ny.clamp(1)\nz.clamp(1)\n")
    tail = nnlint().stdout.splitlines()[-2:]
    assert tail[0] == "Found 3 findings (2 errors, 1 warning)."
    assert tail[1] == "1 fixable with `--fix`, 2 more with `--unsafe-fixes`; see them with `--diff`."
    assert "Found" not in nnlint("-q").stdout


def test_fix(nnlint: Run, write: Write) -> None:
    path = write("a.py", "x.view(1)  # kept\ny.clamp(1)\n")
    before = path.read_text()
    result = nnlint("--diff")
    assert (result.exit_code, path.read_text()) == (1, before)
    assert "-x.view(1)  # kept\n+y  # kept\n" in result.stdout
    assert result.stderr == "Would fix 1 finding (1 more with `--unsafe-fixes`).\n"
    result = nnlint("--fix")
    assert result.exit_code == 1
    assert path.read_text() == "y  # kept\ny.clamp(1)\n"
    assert "Found 2 findings (1 fixed, 1 remaining)." in result.stdout
    result = nnlint("--fix", "--unsafe-fixes")
    assert (result.exit_code, path.read_text()) == (0, "y  # kept\ny\n")
    assert "Found 1 finding (1 fixed, 0 remaining)." in result.stdout
    assert nnlint("--diff").exit_code == 0


def test_stdin(nnlint: Run, write: Write, folder: Path) -> None:
    result = nnlint("-", "--output-format", "concise", stdin=TRAIN)
    assert (result.exit_code, concise(result)) == (1, [("-:3:8", "NN204")])
    write("sub/nnlint.toml", 'ignore = ["NN204"]\n')
    assert nnlint("-", "--stdin-filename", "sub/train.py", stdin=TRAIN).exit_code == 0
    result = nnlint("--stdin-filename", "train.py", "--fix", "--unsafe-fixes", stdin=TRAIN)
    assert (result.exit_code, result.stdout) == (0, TRAIN.replace(".clamp(max=1.0)", ""))
    assert not (folder / "train.py").exists()
    result = nnlint("-", "--stdin-filename", "old/a.py", "--extend-exclude", "old", "--force-exclude", stdin=TRAIN)
    assert result.exit_code == 0


def test_show_files(nnlint: Run, write: Write, folder: Path) -> None:
    write("b.py")
    write("a.py", TRAIN)
    assert nnlint("--show-files", "--exclude", "b.py").stdout == f"{folder / 'a.py'}\n"


def test_show_settings(nnlint: Run, write: Write, folder: Path) -> None:
    write("sub/nnlint.toml", 'select = ["NN2"]\n')
    write("sub/a.py")
    shown = nnlint("--show-settings", "sub", "--ignore", "NN204").stdout
    assert f"# from {folder / 'sub' / 'nnlint.toml'}\n" in shown
    assert 'select = ["NN203"]\n' in shown


def test_verbose_says_what_was_read(nnlint: Run, write: Write) -> None:
    write("a.py", "endless_script = clamp\n")
    write("b.py", "x = 1\n")
    result = nnlint("-v")
    assert "a.py: read only in part: too many steps" in result.stderr
    assert "2 files, 1 of them parsed, in " in result.stderr


def test_pages(nnlint: Run) -> None:
    assert nnlint("rule", "NN204").stdout == nnlint("rule", "Clipped-Loss").stdout
    assert "# clipped-loss (NN204)" in nnlint("rule", "NN204").stdout
    pages = json.loads(nnlint("rule", "--all", "--output-format", "json").stdout)
    assert [page["code"] for page in pages] == ["NN000", "NN001", "NN101", "NN203", "NN204", "NN601"]
    assert json.loads(nnlint("rule", "NN601", "--output-format", "json").stdout)["default"] is False
    assert "# view-for-permute (NN203)" in nnlint("rule", "--all").stdout


def test_help_and_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"nnlint {__version__}\n"
    shown = CliRunner().invoke(main, ["--help"]).output
    for word in ("check", "rule", "--select", "Rule selection:", "--unsafe-fixes"):
        assert word in shown


def loaded(*arguments: str, cwd: Path) -> set[str]:
    """The modules that a run of the real command line imports."""
    script = """
import runpy, sys
try:
    runpy.run_module("nnlint", run_name="__main__")
finally:
    print(*sys.modules, file=sys.stderr)
"""
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    return set(done.stderr.splitlines()[-1].split())


def test_the_start_is_fast(folder: Path, write: Write) -> None:
    write("a.py", "x = 1\n")
    write("train.py", TRAIN)
    assert "libcst._nodes" in loaded("train.py", cwd=folder)
    for arguments in (("--help",), ("--version",), ("a.py",), ("--select", "NN2", "a.py")):
        assert not {"libcst._nodes", "torch"} & loaded(*arguments, cwd=folder), arguments


def run_in_shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the shell in which ``$NNLINT`` stands for nnlint."""
    environ = {**os.environ, "NNLINT": f"{sys.executable} -m nnlint", "PYTHONPATH": str(Path(__file__).parent.parent)}
    shell = ["sh", "-c", command]
    return subprocess.run(shell, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("arguments", ["a.py", "a.py --output-format json", "rule --all"])
def test_a_full_disk_is_said(folder: Path, arguments: str) -> None:
    (folder / "a.py").write_text("x = 1\n")
    result = run_in_shell(folder, f"$NNLINT {arguments} > /dev/full")
    assert (result.returncode, result.stderr) == (2, "error: no space left on device\n")


@pytest.mark.skipif(os.name == "nt", reason="needs sh")
def test_closed_streams(folder: Path) -> None:
    (folder / "a.py").write_text("import torch\nloss.backward(clamp\n")
    assert run_in_shell(folder, "$NNLINT a.py >&- 2>&-").returncode == 1
    result = run_in_shell(folder, "$NNLINT - <&-")
    assert result.returncode == 2 and "standard input is closed" in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="the folder cannot be removed there")
def test_a_folder_that_is_gone(folder: Path) -> None:
    result = run_in_shell(folder, "mkdir gone && cd gone && rmdir ../gone && $NNLINT")
    assert (result.returncode, result.stderr.splitlines()[-1]) == (2, "error: no such file or directory")


def test_an_empty_path_is_not_the_current_folder(nnlint: Run, write: Write) -> None:
    write("train.py", TRAIN)
    result = nnlint("")
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals there")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interruption_ends_the_run_at_once_without_a_word(folder: Path, jobs: str) -> None:
    line = "x = torch.nn.functional.mse_loss(x, y).clamp(max=1)\nx.backward()\n"
    for number in range(16):
        (folder / f"{number}.py").write_text("import torch\n" + line * 2000)
    command = [sys.executable, "-m", "nnlint", "--jobs", jobs, "--select", "ALL"]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    pipe = subprocess.PIPE
    run = subprocess.Popen(command, cwd=folder, env=environ, stdout=pipe, stderr=pipe, start_new_session=True)
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(2)
    os.killpg(run.pid, signal.SIGINT)
    assert run.communicate(timeout=5) == (b"", b"")
    assert run.returncode == 130
