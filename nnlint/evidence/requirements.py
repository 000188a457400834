"""Which versions of a package a project asks for, as its files say; looked up only when a rule is about to speak."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

Version = tuple[int, ...]

FILES = (
    "requirements.txt",
    "requirements-dev.txt",
    "requirements/requirements.txt",
    "requirements/base.txt",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "Pipfile",
    "environment.yml",
    "environment.yaml",
    "conda.yml",
    "env.yml",
)
"""Where the root of a project says what it needs."""

CLAUSE = re.compile(r"(===?|~=|<=|<|>=|>|!=|\^|=)\s*v?(\d+(?:\.\d+)*)(\.\*)?")
"""One condition on a version: an operator of pip, conda or poetry, and the version."""


ANY = 999
"""A part of a version that may be any number."""


def is_older(root: Path | None, package: str, version: Version) -> bool:
    """Whether a project asks for a package, and every file of it that does asks for a version below ``version``."""
    if root is None:
        return False
    bounds = newest(root, package)
    return bool(bounds) and all(bound is not None and bound < version for bound in bounds)


def admits_older(root: Path | None, package: str, version: Version) -> bool:
    """Whether a project names a version below ``version`` as the oldest that will do: ``torch>=1.0`` for 1.1."""
    bounds = () if root is None else oldest(root, package)
    return any(bound is not None and bound < version for bound in bounds)


def asks_for(root: Path | None, package: str, version: Version) -> bool:
    """Whether a project asks for a package and no file of it admits a version below ``version``."""
    bounds = () if root is None else oldest(root, package)
    return bool(bounds) and all(bound is not None and bound >= version for bound in bounds)


@lru_cache(maxsize=64)
def newest(root: Path, package: str) -> tuple[Version | None, ...]:
    """The newest version that each line of a project's files allows for a package; None for one without an end.

    A version that is just excluded counts as the one before it: ``<1.9`` gives ``(1, 8)``.
    """
    return tuple(_upper_end(clauses) for text in _texts(root) for clauses in _requirements(text, package))


@lru_cache(maxsize=64)
def oldest(root: Path, package: str) -> tuple[Version | None, ...]:
    """The oldest version that each line of a project's files allows for a package; None where it says none."""
    return tuple(_lower_end(clauses) for text in _texts(root) for clauses in _requirements(text, package))


def _texts(root: Path) -> Iterator[str]:
    for name in FILES:
        try:
            yield (root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue


def _requirements(text: str, package: str) -> Iterator[str]:
    """The conditions that a file puts on a package: ``==1.7.1``, empty for any version."""
    names = f"(?:{re.escape(package)}|pytorch)" if package == "torch" else re.escape(package)
    # A word of its own: no torchvision, no pytorch-lightning, no URL.
    entry = re.compile(
        rf"""(?:^|["'\s:-])(?:[\w-]+::)?{names}["']?(?:\[[\w,\s-]*\])?\s*"""
        r"""((?:(?:===?|~=|<=|<|>=|>|!=|\^|=)\s*["']?[\^~<>=]*\s*v?\d[\w.*+!]*\s*,?\s*)*)(?=["'\s;#,)\]]|=|$)""",
        re.MULTILINE,
    )
    for line in text.splitlines():
        code = line.partition("#")[0].replace('= "', "=").replace("= '", "=")
        found = entry.search(code)
        if found is not None and not re.match(r"\s*(?:import|from|name|description|keywords|url|title)\b", code):
            yield found.group(1)


def _conditions(clauses: str) -> Iterator[tuple[str, Version, bool]]:
    """The operator and the version of each condition, and whether it ends in a wildcard: ``==1.*``."""
    for operator, written, wildcard in CLAUSE.findall(clauses.replace("=^", "^").replace("=~", "~=")):
        yield operator, tuple(int(part) for part in written.split(".")), bool(wildcard)


def _lower_end(clauses: str) -> Version | None:
    """The oldest version that conditions allow, None if they have no lower end."""
    return max((version for operator, version, _ in _conditions(clauses) if operator[0] in "=~>^"), default=None)


def _upper_end(clauses: str) -> Version | None:
    """The newest version that conditions allow, None if they have no upper end."""
    ends: list[Version] = []
    for operator, version, wildcard in _conditions(clauses):
        if operator == "=" or wildcard:
            ends.append((*version, ANY))
        elif operator in ("==", "===", "=", "<="):
            ends.append(version)
        elif operator == "<":
            ends.append(_before(version))
        elif operator == "~=" and len(version) > 1:
            ends.append(_before((*version[:-2], version[-2] + 1)))
        elif operator == "^":
            ends.append(_before((version[0] + 1,)))
    return min(ends, default=None)


def _before(version: Version) -> Version:
    """A version that is just below another: ``(1, 8)`` below ``(1, 9)``."""
    trimmed = version
    while len(trimmed) > 1 and trimmed[-1] == 0:
        trimmed = trimmed[:-1]
    return (*trimmed[:-1], trimmed[-1] - 1, ANY) if len(trimmed) < 2 else (*trimmed[:-1], trimmed[-1] - 1)
