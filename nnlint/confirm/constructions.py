"""Where a repository builds a class: the calls of its name, each cut out with all that its arguments rest on."""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from nnlint.confirm.slice import CannotCut, cut
from nnlint.confirm.texts import Rows
from nnlint.diagnostic import Location, Span
from nnlint.experiment import Plan, WatchedSpan
from nnlint.source import Source, UnreadableSource
from nnlint.verdict import Json

LOOKED_AT = 3_000
"""Files of a repository that are looked at."""

CALLS = 4
"""Calls of a class that are cut out."""

CALLERS = 4
"""Calls on the way from a script to the function in which a class is built."""

WITHIN = 3
"""Modules within modules that are gone up, to one that a script builds."""

SKIPPED = frozenset(("node_modules", "build", "dist", "site-packages", "venv", "env", "__pycache__"))

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class _Call:
    """A call, with the definitions around it from the outermost."""

    path: Path
    node: ast.Call
    around: tuple[ast.ClassDef | FunctionNode, ...]

    @property
    def function(self) -> FunctionNode | None:
        """The outermost function that the call is in."""
        return next((each for each in self.around if isinstance(each, FunctionNode)), None)

    @property
    def holder(self) -> ast.ClassDef | None:
        """The class that the function is a method of."""
        first = self.around[0] if self.around else None
        return first if isinstance(first, ast.ClassDef) else None


class _Repository:
    """The files of a repository, parsed when their text mentions what is looked for."""

    def __init__(self, root: Path, texts: Mapping[Path, str]) -> None:
        self.root = root
        self.texts = texts
        self._calls: dict[Path, list[_Call]] = {}

    def calls_of(self, name: str, near: Path) -> Iterator[_Call]:
        """The calls of a name, those in the file ``near`` first, then those in the folders next to it.

        Files that have a class of this name of their own are left out.
        """
        mention = re.compile(rf"\b{re.escape(name)}\s*\(")
        another = re.compile(rf"^class {re.escape(name)}\b", re.MULTILINE)
        for path in sorted(_python_files(self.root), key=lambda path: _distance(path, near)):
            text = self.text(path)
            if mention.search(text) and (path == near or not another.search(text)):
                yield from (call for call in self.calls(path) if _called(call.node) == name)

    def calls(self, path: Path) -> list[_Call]:
        if path not in self._calls:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    tree = ast.parse(self.text(path))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                self._calls[path] = []
            else:
                self._calls[path] = list(_calls_below(path, tree, ()))
        return self._calls[path]

    def text(self, path: Path) -> str:
        if path in self.texts:
            return self.texts[path]
        return _text(path)


def constructions(plan: Plan, texts: Mapping[Path, str]) -> list[Json]:
    """The calls of the class that a plan enters, or a method of, each with a slice of the script that makes it.

    One that a method of another module makes comes with the calls of that module, under ``constructions``: the
    worker builds the outer module and looks what it calls the inner one with. ``watch`` is the name of the watch at
    what is called, ``within`` the class of the outer module or empty, ``inner`` then that of the inner
    one, and ``function`` the dotted name of the function that makes the call or empty.

    Args:
        plan: what is to be run.
        texts: what stands in the place of files on disk.
    """
    named = plan.settings.get("class")
    if not plan.entry and isinstance(named, str) and plan.watches:
        # A script that cannot be run may still tell what it builds this class with.
        plan = replace(plan, entry=named, filename=plan.watches[0].location.filename)
    for entry in (plan.entry, plan.entry.rpartition(".")[0]):
        entered = replace(plan, entry=entry)
        if entry and _is_class(entered, texts):
            return _constructions(entered, _Repository(Path(plan.root), texts), WITHIN, {entry})
    return []


def _constructions(plan: Plan, repository: _Repository, depth: int, known: set[str], inner: str = "") -> list[Json]:
    """The calls of the class that a plan enters, first those that are given the class ``inner``."""
    calls = list(repository.calls_of(plan.entry.rpartition(".")[2], Path(plan.filename)))
    calls.sort(key=lambda call: not _is_given(call.node, inner))
    free = [call for call in calls if call.holder is None or not _is_module(call.holder)]
    held = {(call.path, call.holder.name): call for call in calls if call.holder is not None and call not in free}
    found: list[Json] = []
    for call in free[:CALLS]:
        found += _cut(call, _free_plan(call, plan, repository), "", repository)
    if free or not depth:
        return found
    for (path, name), call in list({**_taking(plan, repository), **held}.items())[:2]:
        if name not in known:
            outer = replace(_plain(plan), filename=str(path), entry=name)
            further = _constructions(outer, repository, depth - 1, known | {name}, plan.entry)
            for each in _cut(call, outer, name, repository):
                found.append({**each, "constructions": further, "inner": plan.entry.rpartition(".")[2]})
    return found


def _taking(plan: Plan, repository: _Repository) -> dict[tuple[Path, str], _Call]:
    """The modules of the same file that are given a class as an argument, with the call: ``ResNet(Bottleneck, …)``."""
    path = Path(plan.filename)
    taking = {}
    for call in repository.calls(path):
        if _is_given(call.node, plan.entry):
            name = _called(call.node)
            if _is_class(replace(plan, entry=name), repository.texts):
                taking[path, name] = call
    return taking


def _is_given(call: ast.Call, name: str) -> bool:
    """Whether something of a name is an argument of a call."""
    given = (*call.args, *(keyword.value for keyword in call.keywords))
    return any(isinstance(each, ast.Name) and each.id == name for each in given)


def _plain(plan: Plan) -> Plan:
    return Plan("construction", plan.filename, plan.root)


def _free_plan(call: _Call, plan: Plan, repository: _Repository) -> Plan:
    """The script that makes a call, with the calls on the way to it."""
    way = [call, *_way(call, repository, CALLERS)]
    return replace(
        _plain(plan),
        filename=str(way[-1].path),
        anchors=tuple(_location(each.path, each.node, repository) for each in way),
        watches=(WatchedSpan("built", _location(call.path, call.node.func, repository), instead=True),),
    )


def _way(call: _Call, repository: _Repository, left: int) -> list[_Call]:
    """The calls that lead to the function in which a call is made, up to module level if possible."""
    function = call.function
    if function is None or not left:
        return []
    name = call.holder.name if call.holder is not None and function.name == "__init__" else function.name
    callers = [each for each in repository.calls_of(name, call.path) if function not in each.around]
    ways = [[caller, *_way(caller, repository, left - 1)] for caller in callers[:3]]
    complete = [way for way in ways if way[-1].function is None]
    if not complete:
        return []
    way = complete[0]
    if call.holder is not None and function.name != "__init__" and way[0].holder is not call.holder:
        made = next(repository.calls_of(call.holder.name, call.path), None)
        return [*([made] if made is not None else []), *way]
    return way


def _cut(call: _Call, plan: Plan, within: str, repository: _Repository) -> list[dict[str, Json]]:
    try:
        program = cut(plan, repository.texts)
    except CannotCut:
        return []
    names = [each.name for each in call.around]
    function = call.function
    dotted = "" if function is None else ".".join(names[: names.index(function.name) + 1])
    return [
        {
            "program": program,
            "watch": "built",
            "within": within,
            "path": str(call.path),
            "function": dotted,
            "place": f"{call.path.name}:{call.node.lineno}",
        }
    ]


def _location(path: Path, node: ast.expr, repository: _Repository) -> Location:
    text = repository.text(path)
    starts = Rows(text).starts

    def column(row: int, offset: int) -> int:
        return len(text[starts[row - 1] : starts[row - 1] + offset].encode()[:offset].decode(errors="ignore")) + 1

    end_row, end = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
    span = Span(node.lineno, column(node.lineno, node.col_offset), end_row, column(end_row, end))
    return Location(str(path), span)


def _calls_below(path: Path, node: ast.AST, around: tuple[ast.ClassDef | FunctionNode, ...]) -> Iterator[_Call]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield _Call(path, child, around)
        inner = (*around, child) if isinstance(child, ast.ClassDef | FunctionNode) else around
        yield from _calls_below(path, child, inner)


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _is_module(node: ast.ClassDef) -> bool:
    """Whether a class seems to be a module of torch: it says so, or it has a forward."""
    return any("Module" in ast.dump(base) for base in node.bases) or any(
        isinstance(each, FunctionNode) and each.name == "forward" for each in node.body
    )


def _is_class(plan: Plan, texts: Mapping[Path, str]) -> bool:
    path = Path(plan.filename)
    try:
        body: Sequence[ast.stmt] = ast.parse(texts.get(path) or _text(path)).body
    except (SyntaxError, ValueError, RecursionError):
        return False
    found: ast.stmt | None = None
    for name in plan.entry.split("."):
        statements = [each for statement in body for each in ast.walk(statement)]
        found = next((e for e in statements if isinstance(e, ast.ClassDef | FunctionNode) and e.name == name), None)
        body = found.body if isinstance(found, ast.ClassDef) else ()
    return isinstance(found, ast.ClassDef)


@lru_cache(maxsize=4)
def _python_files(root: Path) -> tuple[Path, ...]:
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED)
        found += [Path(folder, name) for name in sorted(names) if name.endswith(".py")]
        if len(found) > LOOKED_AT:
            break
    return tuple(found[:LOOKED_AT])


@lru_cache(maxsize=LOOKED_AT)
def _text(path: Path) -> str:
    try:
        return Source.read(path).text
    except UnreadableSource:
        return ""


def _distance(path: Path, near: Path) -> tuple[int, int, str]:
    """How far one file is from another: itself, its folder, folders around."""
    if path == near:
        return (0, 0, "")
    common = os.path.commonpath([path, near])
    return (1, len(near.parts) + len(path.parts) - 2 * len(Path(common).parts), str(path))
