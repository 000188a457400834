"""The verdicts in the README are those that its script gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnlint.catalogue import render_confirmed_example, with_section

README = Path(__file__).parent.parent.parent / "README.md"


def test_the_confirmed_example_is_up_to_date() -> None:
    torch = pytest.importorskip("torch")
    if not torch.__version__.startswith("2.13."):
        pytest.skip("the figures are those of torch 2.13")
    readme = README.read_text(encoding="utf-8")
    assert readme == with_section(readme, "confirm", render_confirmed_example(README.parent)), "stale: make bless"
