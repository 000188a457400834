from pathlib import Path

import pytest

from nnlint.catalogue import render_table, renewed, with_section
from nnlint.rule import Rule

README = Path(__file__).parent.parent / "README.md"


def test_readme_is_up_to_date() -> None:
    readme = README.read_text(encoding="utf-8")
    assert readme == renewed(readme, README.parent), "the README is stale: make bless"


def test_table(stub_rules: dict[str, Rule]) -> None:
    table = render_table(stub_rules.values())
    assert "### Become one with the data\n" in table
    assert "| NN601 | hasty-early-stopping | Every patience. | info |\n" in table


def test_marks_are_needed() -> None:
    with pytest.raises(ValueError, match="lacks"):
        with_section("# nnlint\n", "rules", "")
