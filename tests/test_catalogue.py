from pathlib import Path

import pytest

from nnlint.catalogue import render_table, with_table
from nnlint.registry import load_rules
from nnlint.rule import Rule

README = Path(__file__).parent.parent / "README.md"


def test_readme_lists_the_rules() -> None:
    readme = README.read_text(encoding="utf-8")
    assert readme == with_table(readme, load_rules().values()), "the table is stale: make bless"


def test_table(stub_rules: dict[str, Rule]) -> None:
    table = render_table(stub_rules.values())
    assert "### Become one with the data\n" in table
    assert "| NN601 | hasty-early-stopping | Every patience. | info |\n" in table


def test_marks_are_needed() -> None:
    with pytest.raises(ValueError, match="lacks"):
        with_table("# nnlint\n", [])
