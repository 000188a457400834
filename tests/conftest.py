"""What the tests share: a small set of rules of their own, so that the engine is tested without the reading."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import libcst as cst
import pytest
from click.testing import CliRunner, Result

from nnlint.cli import main
from nnlint.diagnostic import Severity
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Edit, Finding, Fix, Place, Rule, rule
from nnlint.source import Source
from nnlint.symbolic.project import Project
from nnlint.symbolic.trace import Trace
from rules.unparsable_file import unparsable_file
from rules.unused_suppression import unused_suppression


def calls(trace: Trace, method: str) -> Iterator[cst.Call]:
    found: list[cst.Call] = []

    class Collect(cst.CSTVisitor):
        def visit_Call(self, node: cst.Call) -> None:  # noqa: N802
            if isinstance(node.func, cst.Attribute) and node.func.attr.value == method:
                found.append(node)

    trace.source.module.visit(Collect())
    yield from found


@rule("NN204", severity=Severity.ERROR, since="0.1.0", mentions=("clamp", "helper"))
def clipped_loss(trace: Trace) -> Iterator[Finding]:
    """Every clamp."""
    for call in calls(trace, "clamp"):
        place = Place(trace.source, call)
        assert isinstance(call.func, cst.Attribute)
        fix = Fix("do not", (Edit("replace", place, trace.source.module.code_for_node(call.func.value)),))
        experiment = Experiment(
            "gradient",
            anchors=(place,),
            watches=(Watch("loss", Place(trace.source, call.func.value), instead=True),),
            settings={"bound": 1.0},
            mended=True,
        )
        yield Finding(
            place, "the loss is clipped", "nothing is learned", "clip the gradients", fix=fix, experiment=experiment
        )


@rule("NN203", severity=Severity.WARNING, since="0.1.0", mentions=("view",))
def view_for_permute(trace: Trace) -> Iterator[Finding]:
    """Every view; the fix is safe."""
    for call in calls(trace, "view"):
        place = Place(trace.source, call)
        yield Finding(
            place, "values mix", "rows mix", "permute", fix=Fix("permute", (Edit("replace", place, "y"),), safe=True)
        )


@rule("NN601", severity=Severity.INFO, since="0.1.0", mentions=("patience",))
def hasty_early_stopping(trace: Trace) -> Iterator[Finding]:
    """Every patience."""
    for call in calls(trace, "patience"):
        yield Finding(Place(trace.source, call), "patience is short", "a plateau ends the run", "wait")


@rule("NN101", severity=Severity.WARNING, since="0.1.0", mentions=("explode",))
def augmentation_without_label(trace: Trace) -> Iterator[Finding]:
    """A rule that breaks, and one that takes the process down."""
    yield from ()
    if "explode()" in trace.source.text:
        raise RuntimeError("boom")
    if "explode_all()" in trace.source.text:
        os.kill(os.getpid(), signal.SIGKILL)


def execute(source: Source, project: Project, words: set[str] | None = None) -> Trace:
    """Stands in for the reading: no events, and a few words that make it behave badly."""
    if "unreadable_script" in source.text:
        raise KeyError("lost")
    trace = Trace(source)
    if "endless_script" in source.text:
        trace.truncated = "too many steps"
    return trace


@pytest.fixture
def stub_rules(monkeypatch: pytest.MonkeyPatch) -> dict[str, Rule]:
    """Replace the rules and the reading by the ones above."""
    rules = (
        unparsable_file,
        unused_suppression,
        clipped_loss,
        view_for_permute,
        hasty_early_stopping,
        augmentation_without_label,
    )
    by_code = {each.code: each for each in sorted(rules, key=lambda each: each.code)}
    for name in ("cli", "config", "linter"):
        monkeypatch.setattr(f"nnlint.{name}.load_rules", lambda: by_code)
    executor = ModuleType("nnlint.symbolic.roots")
    executor.execute = execute  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nnlint.symbolic.roots", executor)
    return by_code


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Callable[[str, str], Path]:
    """Write a file of the folder."""

    def write(name: str, text: str = "") -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def nnlint(stub_rules: dict[str, Rule], folder: Path) -> Callable[..., Result]:
    """The command line with the rules above, run in the folder."""

    def run(*arguments: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(main, arguments, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
