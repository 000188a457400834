"""Large packages are imported once, before processes are forked that would each import them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nnlint.confirm.worker.setting import packages
from nnlint.confirm.worker.surgery import imported

PACKAGE = "yaml"
"""The name of a large package, given to a small one here."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == PACKAGE}
    for name in kept:
        del sys.modules[name]
    monkeypatch.setattr(packages, "_asked", {})
    monkeypatch.setattr(packages, "_hopeless", set())
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in (PACKAGE, "mine")]:
        del sys.modules[name]
    sys.modules.update(kept)


def test_what_a_file_imports_when_it_is_executed() -> None:
    tree = ast.parse(
        "import a.b as c\nfrom d import e, f\nfrom . import g\nfrom .h import i\n"
        "try:\n    import j\nexcept ImportError:\n    import k\n"
        "if c:\n    import l\ndef m():\n    import n\nclass o:\n    import p\n"
    )
    assert imported(tree) == ["a.b", "d", "d.e", "d.f", "j", "k", "l"]


def test_modules_and_what_is_in_them(site: Path) -> None:
    (site / PACKAGE).mkdir()
    (site / PACKAGE / "__init__.py").write_text("class Loader: pass\n")
    (site / PACKAGE / "part.py").write_text("")
    (site / "mine.py").write_text("")
    packages.import_packages([PACKAGE, f"{PACKAGE}.Loader", f"{PACKAGE}.part", f"{PACKAGE}.nowhere", "mine"])
    assert {f"{PACKAGE}.part", PACKAGE} <= sys.modules.keys()
    assert "mine" not in sys.modules
    assert packages.asked() == [PACKAGE, f"{PACKAGE}.Loader", f"{PACKAGE}.part", f"{PACKAGE}.nowhere"]


def test_a_package_that_cannot_be_imported_is_left_to_the_lines_that_ask_for_it(site: Path) -> None:
    (site / f"{PACKAGE}.py").write_text("raise OSError('libyaml.so: cannot open shared object file')\n")
    packages.import_packages([PACKAGE])
    assert PACKAGE not in sys.modules
    (site / f"{PACKAGE}.py").write_text("")
    packages.import_packages([f"{PACKAGE}.part"])
    assert PACKAGE not in sys.modules, "it is not tried again"


def test_what_the_lines_import_is_known_afterwards(site: Path) -> None:
    packages.ask("mine", ("part",))
    packages.ask(PACKAGE, ("load", "*"))
    assert packages.asked() == [PACKAGE, f"{PACKAGE}.load"]
