"""How the findings of each rule look: one snapshot a rule, of its fixture."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from nnlint.config import Configuration, Options
from nnlint.discovery import discover
from nnlint.linter import lint
from nnlint.output import RENDERERS, RenderContext
from nnlint.registry import load_rules
from nnlint.rule import Rule
from nnlint.source import Source

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("rule", load_rules().values(), ids=lambda rule: rule.name)
def test_message(rule: Rule, snapshot: SnapshotAssertion) -> None:
    stem = ROOT / "fixtures" / rule.name.replace("-", "_")
    fixtures = [path for path in (stem.with_suffix(".py"), stem) if path.exists()]
    configuration = Configuration(Options(select=(rule.code,)), isolated=True)
    files = discover(fixtures, configuration, force_exclude=False, respect_gitignore=False).files
    report = lint(files, configuration, folders=fixtures)
    context = RenderContext(ROOT, read_text=lambda name: Source.read(Path(name)).text, width=100)
    assert RENDERERS["full"](report.diagnostics, context) == snapshot
