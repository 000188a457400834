"""Scripts nobody would write: changed at random, the fixtures are still read, judged and mended without an error."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from nnlint.fix import fix_file
from nnlint.reading import asks_trace
from nnlint.registry import load_rules
from nnlint.resolve import resolve
from nnlint.source import ParseFailure, Source
from nnlint.symbolic.executor import Executor
from nnlint.symbolic.project import Project
from nnlint.symbolic.roots import execute

FIXTURES = sorted((Path(__file__).parent.parent / "fixtures").glob("*.py"))
SCRIPTS = 6
"""Scripts made of each fixture."""

ODD = (
    "None -1 1e400 10**9 True ... '' b'' [] () {} set() [[]] {'a':1} super() self model x.shape x.view(-1) "
    "torch.rand(0) zip() range(0) int(x) loss.item() next(iter(loader)) "
    "optimizer.param_groups f(*a,**k) dict(**x) {*x} x[...,None] "
    "x[::0] x@y not(x) -x 1j float('nan') torch.zeros(2,3) nn.Linear(1,2) (y:=3) '%s'%x"
).split()
"""Expressions that are put in the place of others."""

Change = Callable[[ast.Module, random.Random], None]


def bodies(tree: ast.Module) -> list[list[ast.stmt]]:
    """The blocks of a script."""
    found = (getattr(node, name, None) for node in ast.walk(tree) for name in ("body", "orelse", "finalbody"))
    return [body for body in found if isinstance(body, list) and body]


def operands(tree: ast.Module) -> list[tuple[ast.AST, str]]:
    """Where expressions stand that are evaluated: a node and the name of its field."""
    return [
        (node, name)
        for node in ast.walk(tree)
        for name, value in ast.iter_fields(node)
        if isinstance(value, ast.expr) and isinstance(getattr(value, "ctx", ast.Load()), ast.Load)
    ]


def duplicate(tree: ast.Module, chance: random.Random) -> None:
    body = chance.choice(bodies(tree))
    body.insert(chance.randrange(len(body) + 1), deepcopy(chance.choice(chance.choice(bodies(tree)))))


def delete(tree: ast.Module, chance: random.Random) -> None:
    body = chance.choice(bodies(tree))
    if len(body) > 1:
        body.pop(chance.randrange(len(body)))


def swap(tree: ast.Module, chance: random.Random) -> None:
    body = chance.choice(bodies(tree))
    one, other = chance.randrange(len(body)), chance.randrange(len(body))
    body[one], body[other] = body[other], body[one]


def copy(tree: ast.Module, chance: random.Random) -> None:
    (node, name), (other, there) = chance.choice(operands(tree)), chance.choice(operands(tree))
    setattr(node, name, deepcopy(getattr(other, there)))


def replace(tree: ast.Module, chance: random.Random) -> None:
    node, name = chance.choice(operands(tree))
    setattr(node, name, ast.parse(chance.choice(ODD), mode="eval").body)


def rename(tree: ast.Module, chance: random.Random) -> None:
    named = [node for node in ast.walk(tree) if isinstance(node, (ast.Name, ast.Attribute))]
    one, other = chance.choice(named), chance.choice(named)
    name = other.id if isinstance(other, ast.Name) else other.attr
    setattr(one, "id" if isinstance(one, ast.Name) else "attr", name)


CHANGES: tuple[Change, ...] = (duplicate, delete, swap, copy, replace, rename)


def changed(text: str, chance: random.Random) -> Iterator[str]:
    """Scripts made of one by more and more changes, as far as they are Python."""
    while True:
        tree = ast.parse(text)
        try:
            for _ in range(chance.randint(1, 4)):
                chance.choice(CHANGES)(tree, chance)
            after = ast.unparse(ast.fix_missing_locations(tree))
            ast.parse(after)
        except (SyntaxError, RecursionError, ValueError, IndexError):
            continue
        text = after
        yield text


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_any_script_is_read_judged_and_mended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError:
        pytest.skip("it is not Python")
    monkeypatch.setattr(Executor, "strict", True)
    rules = [rule for rule in load_rules().values() if asks_trace(rule)]
    scripts = changed(path.read_text(encoding="utf-8"), random.Random(path.stem))
    for text, _ in zip(scripts, range(SCRIPTS), strict=False):
        source = Source(path, text)
        try:
            trace = execute(source, Project(path.parent))
        except ParseFailure:
            continue
        diagnostics = resolve((rule, finding) for rule in rules for finding in rule.check(trace))
        fixed = fix_file(source, [each for each in diagnostics if each.location.filename == str(path)], unsafe=True)
        assert not [skipped for skipped in fixed.skipped if "would not" in skipped.reason], text
