"""The wheel holds every package of the checkout."""

from __future__ import annotations

from pathlib import Path

import tomli

ROOT = Path(__file__).parent.parent


def test_every_package_is_listed() -> None:
    listed = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "nnlint").rglob("__init__.py")}
    assert sorted(found | {"nnlint.rules"}) == listed
