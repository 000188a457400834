"""What every rule owes: a name that says the same everywhere, a fixture, and a page whose examples hold."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from nnlint.config import Configuration, Options
from nnlint.linter import lint
from nnlint.registry import load_rules
from nnlint.rule import Rule

ROOT = Path(__file__).parent.parent
RULES = list(load_rules().values())
SECTIONS = ["Why it matters", "Example", "Use instead", "How it is confirmed", "When it stays silent"]

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


def sections(page: str) -> dict[str, str]:
    """The parts of a page by their headings."""
    parts = re.split(r"^## (.+)\n", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def found_in(section: str, folder: Path) -> list[str]:
    """The codes that all rules find in the code of a section."""
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    path = folder / "train.py"
    path.write_text(code, encoding="utf-8")
    report = lint([path], Configuration(Options(select=("ALL",)), isolated=True))
    assert not report.problems
    return [diagnostic.code for diagnostic in report.diagnostics]


@each_rule
def test_module_function_and_name_are_one(rule: Rule) -> None:
    function = rule.name.replace("-", "_")
    module = importlib.import_module(f"nnlint.rules.{function}")
    assert vars(module)[function] is rule
    assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", rule.name)
    assert not rule.name.startswith(("no-", "avoid-"))


@each_rule
def test_has_a_fixture(rule: Rule) -> None:
    stem = rule.name.replace("-", "_")
    paths = [ROOT / "fixtures" / f"{stem}.py", ROOT / "fixtures" / stem]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]
    assert any(f"expect: {rule.code}" in file.read_text(encoding="utf-8") for file in files)


@each_rule
def test_page_is_whole(rule: Rule) -> None:
    assert rule.summary
    assert rule.summary.endswith(".")
    assert len(rule.summary) <= 120
    parts = sections(rule.page)
    assert list(parts) == SECTIONS
    assert all(text.strip() for text in parts.values())
    assert "TODO" not in rule.page


@each_rule
def test_example_gives_exactly_this_finding(rule: Rule, tmp_path: Path) -> None:
    assert found_in(sections(rule.page)["Example"], tmp_path) == [rule.code]


@each_rule
def test_use_instead_gives_none(rule: Rule, tmp_path: Path) -> None:
    assert found_in(sections(rule.page)["Use instead"], tmp_path) == []


@each_rule
def test_mentions_are_in_the_example(rule: Rule) -> None:
    example = sections(rule.page)["Example"]
    assert not rule.mentions or any(word in example for word in rule.mentions)
