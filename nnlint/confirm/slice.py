"""The program slice: of each file of the repository the statements that a plan rests on, and nothing else.

Names are followed from the anchors to what binds and what changes them, through the scopes of a file and through the
imports of the repository. Nothing is run for it, and the text is not changed: the statements that stay are named by
their places, so that tracebacks have the user's lines.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from nnlint.confirm.scopes import (
    FunctionNode,
    Scope,
    Scopes,
    attributes_in,
    attributes_of,
    bound_by,
    free_names,
    header,
    is_part,
    members_of,
    parameters_of,
)
from nnlint.confirm.texts import Rows, mend
from nnlint.diagnostic import Location
from nnlint.experiment import Plan
from nnlint.source import Source, UnreadableSource
from nnlint.symbolic.project import Project
from nnlint.verdict import Json

Point = tuple[int, int]
"""A row from 1 and a column from 0 in bytes of UTF-8, as :mod:`ast` counts them."""


REMEMBERED = 64
"""Files whose trees are kept: many plans rest on the same ones."""


class CannotCut(Exception):
    """There is no slice to be had; the message is the reason."""


@dataclass(eq=False)
class _File:
    """A file that the slice reaches."""

    path: Path
    text: str
    tree: ast.Module
    scopes: Scopes
    rows: Rows
    kept: set[Point] = field(default_factory=set)
    imports: dict[tuple[int, str], str] = field(default_factory=dict)
    watches: list[Json] = field(default_factory=list)
    replaced: set[int] = field(default_factory=set)


def cut(plan: Plan, texts: Mapping[Path, str], *, mended: bool = False) -> dict[str, Json]:
    """The slice that a plan rests on, as JSON (``worker.job.Slice``).

    Args:
        plan: what to run.
        texts: what stands in the place of files on disk.
        mended: cut from the text with the plan's fix applied.

    Raises:
        CannotCut: a file cannot be read or parsed by this Python.
    """
    return _Cut(plan, texts, mended).program()


class _Cut:
    def __init__(self, plan: Plan, texts: Mapping[Path, str], mended: bool) -> None:
        self.plan = plan
        self.mends = plan.mend if mended else None
        self.texts = texts
        self.project = Project(Path(plan.root))
        self.files: dict[Path, _File] = {}
        self.pruned: set[int] = set()
        self.asked: set[tuple[int, str]] = set()
        self.attributes: set[str] = set()
        """The names of the attributes that the slice asks of anything."""
        self.weighed: set[int] = set()
        """The statements that are being looked at, for whether they are plain."""

    def program(self) -> dict[str, Json]:
        main = self.file(Path(self.plan.filename))
        for watch in self.plan.watches:
            self.watch(watch.name, watch.location, watch.instead)
        anchored = [found for anchor in self.plan.anchors for found in self.anchored(anchor)]
        for file, statement in anchored:
            scope = file.scopes.of(statement)
            while scope is not None and scope.outer is not None:
                self.pruned.add(id(scope.node))
                scope = scope.outer
        if not self.plan.entry:
            self.pruned.add(id(main.tree))
        for file, statement in anchored:
            self.keep(file, statement)
        if self.plan.entry:
            self.need(main, main.scopes.module, self.plan.entry.partition(".")[0])
        self.keep_control()
        return {
            "root": self.plan.root,
            "path": str(main.path),
            "entry": self.plan.entry,
            "files": [self.described(file) for file in self.files.values()],
        }

    def described(self, file: _File) -> dict[str, Json]:
        pruned = [_point(scope.node) for scope in file.scopes.all if id(scope.node) in self.pruned]
        return {
            "path": str(file.path),
            "module": _module_name(file.path, self.project.root),
            "is_package": file.path.name == "__init__.py",
            "text": file.text,
            "pruned": [list(point) for point in {(0, 0), *pruned}],
            "keep": [list(point) for point in sorted(file.kept)],
            "watches": file.watches,
            "imports": [[level, name, path] for (level, name), path in file.imports.items()],
        }

    # --- files and places --------------------------------------------------------------------------------------------

    def file(self, path: Path) -> _File:
        if path not in self.files:
            text = self.text(path)
            if self.mends is not None:
                text = mend(text, self.mends, str(path)).text
            try:
                tree, scopes, rows = _parsed(text)
            except (SyntaxError, ValueError, RecursionError) as error:
                raise CannotCut(f"{path.name} is not code for this version of Python: {error}") from error
            self.files[path] = _File(path, text, tree, scopes, rows)
        return self.files[path]

    def text(self, path: Path) -> str:
        """The text of a file before any fix."""
        if path in self.texts:
            return self.texts[path]
        try:
            return Source.read(path).text
        except UnreadableSource as error:
            raise CannotCut(f"{path.name} cannot be read: {error.reason}") from error

    def span(self, location: Location) -> tuple[_File, Point, Point]:
        """The file of a location, and its beginning and end there, in the mended text if that is what is cut."""
        file = self.file(Path(location.filename))
        span = location.span
        if self.mends is not None:
            span = mend(self.text(file.path), self.mends, location.filename).moved(span)
        return file, file.rows.point(span.row, span.column), file.rows.point(span.end_row, span.end_column)

    def watch(self, name: str, location: Location, instead: bool) -> None:
        file, start, end = self.span(location)
        file.watches.append([name, *start, *end, instead])
        if instead:
            file.replaced.update(
                id(node)
                for node in ast.walk(file.tree)
                if isinstance(node, ast.expr) and (node.lineno, node.col_offset) == start and _end(node) == end
            )

    def anchored(self, location: Location) -> Iterator[tuple[_File, ast.stmt]]:
        """The innermost statement around an anchor, and with it what a fix has put beside it."""
        file, start, _ = self.span(location)
        found: ast.stmt | None = None
        for node in ast.walk(file.tree):
            if isinstance(node, ast.stmt) and _start(node) <= start <= _end(node) and file.scopes.of(node) is not None:
                found = node
        if found is not None:
            yield file, found
            scope = file.scopes.of(found)
            if self.mends is not None and scope is not None:
                added = mend(self.text(file.path), self.mends, str(file.path)).added
                for statement in scope.statements:
                    if any(first <= statement.lineno <= last for first, last in added):
                        yield file, statement

    # --- the closure -------------------------------------------------------------------------------------------------

    def keep(self, file: _File, statement: ast.stmt, name: str | None = None) -> None:
        """Keep a statement and all it needs; of an import only what binds ``name``."""
        scope = file.scopes.of(statement)
        if scope is None:
            return
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self.keep_import(file, statement, name)
        point = _point(statement)
        if point in file.kept:
            return
        file.kept.add(point)
        self.hold(file, scope)
        around = file.scopes.around(statement)
        if around is not None:
            self.keep(file, around)
        for part in _parts(statement, id(statement) in self.pruned):
            skipped = file.replaced | self.pruned
            self.attributes |= attributes_in(part, skipped)
            for used in sorted(free_names(part, skipped)):
                self.need(file, scope, used)

    def hold(self, file: _File, scope: Scope) -> None:
        """Keep the definition of the function that a statement is in."""
        if scope.outer is not None and scope.holder is not None:
            self.keep(file, scope.holder)

    def need(self, file: _File, scope: Scope, name: str) -> None:
        """Keep what binds a name, and what changes the object behind it."""
        at: Scope | None = scope
        while at is not None:
            if (id(at), name) in self.asked:
                return
            self.asked.add((id(at), name))
            if name in at.parameters and name not in at.bindings:
                return
            bound = at.bindings.get(name, [])
            for statement in (*bound, *at.changes.get(name, ())):
                self.keep(file, statement, name)
                for part in bound_by(statement) if is_part(statement) else ():
                    self.need(file, scope, part)
            if name in at.globals:
                for statement in at.statements:
                    if isinstance(statement, ast.Global) and name in statement.names:
                        self.keep(file, statement)
            elif bound:
                break
            at = at.outer
        if at is None or at is file.scopes.module:
            self.need_of_module(file, name)

    def need_of_module(self, file: _File, name: str) -> None:
        """A name of module level: what functions of the slice assign to it, and what a star import may bring."""
        for scope in file.scopes.all:
            if name in scope.globals and id(scope.node) in self.pruned:
                self.need(file, scope, name)
        if name in file.scopes.module.bindings:
            return
        for statement in file.scopes.module.statements:
            if isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*":
                self.keep(file, statement)
                found = self.project.find(file.path, statement.module or "", statement.level)
                if found is not None:
                    self.need_attribute(found.path, name)

    def need_attribute(self, path: Path, name: str) -> None:
        """A name that is asked of another file of the repository."""
        file = self.file(path)
        self.pruned.add(id(file.tree))
        self.need(file, file.scopes.module, name)
        if name not in file.scopes.module.bindings and path.name == "__init__.py":
            below = self.project.find(path, name, 1)
            if below is not None and below.path != path:
                file.imports[1, name] = str(below.path)
                self.need_whole(below.path)

    def need_whole(self, path: Path) -> None:
        """All definitions of a file: it is asked for by a name that nobody can follow."""
        file = self.file(path)
        self.pruned.add(id(file.tree))
        for name in list(file.scopes.module.bindings):
            if not name.startswith("__"):
                self.need(file, file.scopes.module, name)

    # --- imports -----------------------------------------------------------------------------------------------------

    def keep_import(self, file: _File, statement: ast.Import | ast.ImportFrom, name: str | None) -> None:
        for alias in statement.names:
            bound = alias.asname or alias.name.partition(".")[0]
            if name is not None and alias.name != "*" and bound != name:
                continue
            if isinstance(statement, ast.Import):
                found = self.project.find(file.path, alias.name, 0)
                if found is not None:
                    file.imports[0, alias.name] = str(found.path)
                    self.need_parts(file, found.path, alias.asname or alias.name)
            elif alias.name != "*":
                self.keep_import_from(file, statement, alias)
            else:
                found = self.project.find(file.path, statement.module or "", statement.level)
                if found is not None:
                    file.imports[statement.level, statement.module or ""] = str(found.path)

    def keep_import_from(self, file: _File, statement: ast.ImportFrom, alias: ast.alias) -> None:
        module, level = statement.module or "", statement.level
        found = self.project.find(file.path, module, level)
        if found is not None:
            file.imports[level, module] = str(found.path)
            if alias.name in self.file(found.path).scopes.module.bindings or found.path.name != "__init__.py":
                self.need_attribute(found.path, alias.name)
                return
        dotted = f"{module}.{alias.name}" if module else alias.name
        below = self.project.find(file.path, dotted, level)
        if below is not None:
            file.imports[level, dotted] = str(below.path)
            self.need_parts(file, below.path, alias.asname or alias.name)
        elif found is not None:
            self.need_attribute(found.path, alias.name)

    def need_parts(self, file: _File, path: Path, name: str) -> None:
        """What a file asks of a module that it knows by ``name``."""
        self.pruned.add(id(self.file(path).tree))
        asked = None if "." in name else attributes_of(file.tree, name)
        if asked is None:
            self.need_whole(path)
        else:
            for attribute in sorted(asked):
                self.need_attribute(path, attribute)

    # --- control -----------------------------------------------------------------------------------------------------

    def keep_control(self) -> None:
        """Keep what ends a function or a loop of the slice, where the slice knows what that depends on.

        A return that happens in any case stays with all it needs.
        """
        grown = True
        while grown:
            grown = False
            for file in list(self.files.values()):
                for scope in file.scopes.all:
                    if id(scope.node) in self.pruned:
                        for each in scope.statements:
                            grown = self.keep_exit(file, scope, each) or grown
                            grown = self.keep_member(file, scope, each) or grown
                            grown = self.keep_base(file, scope, each) or grown

    def keep_exit(self, file: _File, scope: Scope, statement: ast.stmt) -> bool:
        if not isinstance(statement, ast.Return | ast.Break | ast.Continue) or _point(statement) in file.kept:
            return False
        around = file.scopes.around(statement)
        certain = isinstance(statement, ast.Return) and around is None
        if not certain and not self.knows_why(file, scope, statement):
            return False
        self.keep(file, statement)
        return True

    def keep_member(self, file: _File, scope: Scope, statement: ast.stmt) -> bool:
        """Keep what a method writes into its object, if the slice asks for it: ``self.loader = loader``."""
        if _point(statement) in file.kept or not isinstance(scope.holder, ast.ClassDef):
            return False
        arguments = scope.node.args if isinstance(scope.node, FunctionNode) else None
        receiver = next(iter(parameters_of(arguments)), None) if arguments is not None else None
        if receiver is None or not members_of(statement, receiver) & self.attributes:
            return False
        self.keep(file, statement)
        return True

    def keep_base(self, file: _File, scope: Scope, statement: ast.stmt) -> bool:
        """Keep what an initializer needs to make an object of its base class: ``super().__init__()``."""
        if _point(statement) in file.kept or not isinstance(scope.holder, ast.ClassDef):
            return False
        if getattr(scope.node, "name", "") != "__init__" or not isinstance(statement, ast.Expr):
            return False
        function = statement.value.func if isinstance(statement.value, ast.Call) else None
        if not isinstance(function, ast.Attribute) or function.attr != "__init__":
            return False
        self.keep(file, statement)
        return True

    def knows_why(self, file: _File, scope: Scope, statement: ast.stmt) -> bool:
        """Whether what is asked before a statement is reached needs no name that the slice lacks."""
        used = set().union(*(free_names(part, file.replaced) for part in header(statement)))
        around = file.scopes.around(statement)
        while around is not None and _point(around) not in file.kept:
            used |= set().union(*(free_names(part, file.replaced) for part in header(around)))
            around = file.scopes.around(around)
        if around is None and isinstance(statement, ast.Break | ast.Continue):
            return False
        return all(self.has(file, scope, name) for name in used)

    def has(self, file: _File, scope: Scope, name: str) -> bool:
        at: Scope | None = scope
        while at is not None:
            if name in at.parameters:
                return True
            bound = at.bindings.get(name)
            if bound:
                return all(_point(each) in file.kept or self.is_plain(file, at, each) for each in bound)
            at = at.outer
        return True

    def is_plain(self, file: _File, scope: Scope, statement: ast.stmt) -> bool:
        """Whether a statement binds what is written there, counted from it or an option: it costs little to keep."""
        if id(statement) in self.weighed:
            return True
        if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            return False
        if _parses_options(statement.value):
            return True
        if any(isinstance(node, ast.Call) for node in ast.walk(statement)):
            return False
        self.weighed.add(id(statement))
        try:
            return self.knows_why(file, scope, statement)
        finally:
            self.weighed.discard(id(statement))


@lru_cache(maxsize=REMEMBERED)
def _parsed(text: str) -> tuple[ast.Module, Scopes, Rows]:
    tree = ast.parse(text)
    return tree, Scopes(tree), Rows(text)


def _parses_options(node: ast.expr | None) -> bool:
    """Whether an expression is what the command line gives: by default the defaults of the options."""
    function = node.func if isinstance(node, ast.Call) else None
    return isinstance(function, ast.Attribute) and function.attr in ("parse_args", "parse_known_args")


def _parts(statement: ast.stmt, pruned: bool) -> Iterator[ast.AST]:
    """What of a kept statement is evaluated: not its blocks, which are kept or left out line by line."""
    if pruned and isinstance(statement, FunctionNode):
        yield from (*statement.decorator_list, statement.args)
    elif isinstance(statement, ast.ClassDef | FunctionNode):
        yield statement
    elif not isinstance(statement, ast.Import | ast.ImportFrom):
        yield from header(statement)


def _point(node: ast.AST) -> Point:
    return (0, 0) if isinstance(node, ast.Module) else (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))


def _start(node: ast.stmt) -> Point:
    decorators = getattr(node, "decorator_list", None)
    return (decorators[0].lineno, decorators[0].col_offset) if decorators else (node.lineno, node.col_offset)


def _end(node: ast.stmt | ast.expr) -> Point:
    return (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)


def _module_name(path: Path, root: Path) -> str:
    try:
        parts = path.relative_to(root).with_suffix("").parts
    except ValueError:
        return path.stem
    return ".".join(part for part in parts if part != "__init__") or path.parent.name
