"""The user's syntax tree, cut down to the slice and fitted with the experiment's watches. No line moves."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import Any, TypeVar

from .job import File, Watched

HOOKS = "__nnlint__"
"""The name under which the user's lines find the experiment."""

_Key = tuple[int, int, int, int]
_Simple = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Import, ast.ImportFrom, ast.Delete)
T = TypeVar("T", bound=ast.AST)


def operate(file: File) -> ast.Module:
    """The tree of a file with only the statements of the slice in it.

    Statements of the scopes that were cut down, and of the initializers of classes that are no modules of torch, lose
    only what they bind when they fail: the name then stands for :class:`~.anything.Anything`.
    """
    tree = ast.parse(file.text, file.path)
    _Watching(file.watches).visit(tree)
    _Cutting(file).visit(tree)
    return tree


def imported(tree: ast.Module) -> list[str]:
    """The modules that a tree imports when it is executed, and what it asks of each, by absolute names."""
    found: list[str] = []
    unread: list[ast.AST] = [tree]
    while unread:
        statement = unread.pop(0)
        if isinstance(statement, ast.Import):
            found += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            found += [statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)]
        elif not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            unread[:0] = [each for block in _blocks(statement) for each in block]
    return found


class _Watching(ast.NodeTransformer):
    """Puts a call of the hooks around every watched expression, or in its place.

    Of an assignment such as ``total /= n`` the hooks are shown what it binds; a ``break`` they can call off.
    """

    def __init__(self, watches: tuple[Watched, ...]) -> None:
        self.watches: dict[_Key, list[Watched]] = {}
        for each in watches:
            self.watches.setdefault((each.row, each.column, each.end_row, each.end_column), []).append(each)

    def visit(self, node: ast.AST) -> Any:
        """The node with the hooks in it; a statement with none of the watches in its lines is not looked through."""
        if isinstance(node, ast.stmt):
            first, last = _lines(node)
            if not any(first <= row <= last for row, *_ in self.watches):
                return node
        return super().visit(node)

    def generic_visit(self, node: ast.AST) -> Any:
        found = self._found(node)
        if found is None:
            return super().generic_visit(node)
        del self.watches[_key(node)]
        result = super().generic_visit(node)
        if isinstance(node, ast.AugAssign):
            return [node, *(_at(ast.Expr(self._hooked(each, _loaded(node.target), node)), node) for each in found)]
        if isinstance(node, ast.Break):
            test: ast.expr = ast.Constant(True)
            for each in found:
                test = self._hooked(each, test, node)
            return _at(ast.If(test, [node], []), node)
        for each in found:
            result = self._hooked(each, result, node)
        return result

    def _found(self, node: ast.AST) -> list[Watched] | None:
        if not isinstance(node, (ast.expr, ast.AugAssign, ast.Break)):
            return None
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return None
        return self.watches.get(_key(node))

    def _hooked(self, watch: Watched, result: ast.AST, node: ast.AST) -> ast.expr:
        name = ast.Constant(watch.name)
        call = _call("supply", name) if watch.instead else _call("see", name, result)
        return _at(call, node)


def _lines(statement: ast.stmt) -> tuple[int, int]:
    """The first and the last line of a statement; its decorators stand before it."""
    above = (each.lineno for each in getattr(statement, "decorator_list", ()))
    return min(above, default=statement.lineno), statement.end_lineno or statement.lineno


def _loaded(target: ast.expr) -> ast.expr:
    """What an assignment has bound, as an expression."""
    value = copy.deepcopy(target)
    value.ctx = ast.Load()  # type: ignore[attr-defined] # targets have it
    return value


def _key(node: ast.AST) -> _Key:
    return (
        getattr(node, "lineno", 0),
        getattr(node, "col_offset", 0),
        getattr(node, "end_lineno", 0),
        getattr(node, "end_col_offset", 0),
    )


class _Cutting(ast.NodeTransformer):
    """Leaves out what is not kept, and makes what is kept bear failures."""

    def __init__(self, file: File) -> None:
        self.kept = set(file.keep)
        self.pruned = set(file.pruned)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Visit the statements below one: no expression holds any."""
        for blocks in _blocks(node):
            for statement in blocks:
                self.visit(statement)
        return node

    def visit_Module(self, node: ast.Module) -> ast.AST:
        node.body = self._block(node.body)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        if not any("Module" in ast.dump(base) for base in node.bases):
            for statement in node.body:
                if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                    statement.body = _bearing(statement.body)
        return node

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if (node.lineno, node.col_offset) not in self.pruned:
            self.generic_visit(node)
            return node
        node.body = self._block(node.body) or [_at(ast.Pass(), node)]
        return node

    def _block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        result: list[ast.stmt] = []
        for statement in body:
            if (statement.lineno, statement.col_offset) not in self.kept:
                continue
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                visited = self.visit(statement)
                result.append(_tolerant(visited) if isinstance(statement, ast.ClassDef) else visited)
            elif isinstance(statement, _Simple):
                future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
                result.append(statement if future else _tolerant(statement))
            else:
                names = sorted(set(_bound_inside(statement, self.kept)))
                self._inside(statement)
                result += _tolerant_block(statement, names)
        return result

    def _inside(self, statement: ast.stmt) -> None:
        """Cut the blocks of a compound statement; an ``elif`` is one with its ``if``: Python nests blocks 20 deep."""
        for blocks in _blocks(statement):
            inner = blocks[0]
            chained = isinstance(statement, ast.If) and blocks is statement.orelse and isinstance(inner, ast.If)
            if chained and len(blocks) == 1 and (inner.lineno, inner.col_offset) in self.kept:
                self._inside(inner)
            else:
                blocks[:] = self._block(blocks) or [_at(ast.Pass(), statement)]


def _bearing(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of an initializer, each made to bear failures, in nested blocks too."""
    result: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, _Simple):
            result.append(statement if _calls_super(statement) else _tolerant(statement))
        elif isinstance(statement, (ast.With, ast.For, ast.While, ast.If)):
            targets = list(_targets_inside(statement))
            for blocks in _blocks(statement):
                blocks[:] = _bearing(blocks)
            result.append(_tolerant(statement, targets))
        else:
            result.append(statement)
    return result


def _targets_inside(statement: ast.stmt) -> Iterator[ast.expr]:
    """What the statements in the blocks of a compound one bind: all of it is lost if its first line fails."""
    for inner in (each for block in _blocks(statement) for each in block):
        if isinstance(inner, _Simple):
            yield from _targets(inner)
        elif not isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from _targets_inside(inner)


def _calls_super(statement: ast.stmt) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "super" for node in ast.walk(statement))


def _blocks(statement: ast.AST) -> list[list[ast.stmt]]:
    found = [getattr(statement, name) for name in ("body", "orelse", "finalbody") if getattr(statement, name, None)]
    found += [handler.body for handler in getattr(statement, "handlers", ())]
    found += [case.body for case in getattr(statement, "cases", ())]
    return found


def _tolerant(statement: ast.stmt, targets: list[ast.expr] | None = None) -> ast.stmt:
    """``try: statement``, and on failure its targets (or others) become what the hooks make of the error."""
    error = "__nnlint_error__"
    handler = _lost(_targets(statement) if targets is None else targets, statement, error)
    result = ast.Try([statement], [_otherwise(handler, error)], [], [])
    return _at(result, statement)


def _lost(targets: list[ast.expr], statement: ast.stmt, error: str) -> list[ast.stmt]:
    """The handler of an error under which the targets of a statement become what the hooks make of it."""

    def lost(name: str) -> ast.expr:
        return _call("lost", ast.Constant(statement.lineno), ast.Name(error, ast.Load()), ast.Constant(name))

    handler: list[ast.stmt] = [
        ast.Try([ast.Assign([target], lost(_name(target)))], [_otherwise([ast.Pass()])], [], []) for target in targets
    ]
    return [*handler, ast.Expr(lost(""))]


def _name(target: ast.expr) -> str:
    """The name that a target binds, be it of an attribute; empty if there is none."""
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) else ""


def _tolerant_block(statement: ast.stmt, names: list[str]) -> list[ast.stmt]:
    """A compound statement; names that it binds, and that are not bound after it, become what the hooks make of it."""
    error = "__nnlint_error__"
    failed = _call("lost", ast.Constant(statement.lineno), ast.Name(error, ast.Load()))
    result: list[ast.stmt] = [ast.Try([statement], [_otherwise([ast.Expr(failed)], error)], [], [])]
    for name in names:
        skipped = _call("skipped", ast.Constant(statement.lineno), ast.Constant(name))
        bind: list[ast.stmt] = [ast.Assign([ast.Name(name, ast.Store())], skipped)]
        unbound = ast.ExceptHandler(ast.Name("__nnlint_unbound__", ast.Load()), None, bind)
        result.append(ast.Try([ast.Expr(ast.Name(name, ast.Load()))], [unbound], [], []))
    return [_at(each, statement) for each in result]


def _bound_inside(node: ast.AST, kept: set[tuple[int, int]]) -> Iterator[str]:
    """The names that the kept statements of a compound one bind in its own scope."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            continue
        if isinstance(child, ast.stmt) and (child.lineno, child.col_offset) not in kept:
            continue
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield child.name
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        else:
            yield from _bound_inside(child, kept)


def _otherwise(body: list[ast.stmt], name: str | None = None) -> ast.ExceptHandler:
    return ast.ExceptHandler(ast.Name("__nnlint_failure__", ast.Load()), name, body)


def _targets(statement: ast.stmt) -> list[ast.expr]:
    """What a statement binds, each to be bound alone."""
    if isinstance(statement, ast.Assign):
        targets = list(statement.targets)
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
        targets = [statement.target]
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        names = [alias.asname or alias.name.partition(".")[0] for alias in statement.names if alias.name != "*"]
        return [ast.Name(name, ast.Store()) for name in names]
    elif isinstance(statement, ast.ClassDef):
        return [ast.Name(statement.name, ast.Store())]
    else:
        return []
    found: list[ast.expr] = []
    while targets:
        target = targets.pop(0)
        if isinstance(target, (ast.Tuple, ast.List)):
            targets = [*target.elts, *targets]
        elif isinstance(target, ast.Starred):
            targets = [target.value, *targets]
        else:
            found.append(target)
    return found


def _call(method: str, *arguments: ast.AST) -> ast.Call:
    function = ast.Attribute(ast.Name(HOOKS, ast.Load()), method, ast.Load())
    return ast.Call(function, list(arguments), [])  # type: ignore[arg-type] # only expressions are given


def _at(node: T, place: ast.AST) -> T:
    """A new node, and all new ones below it, at the place of another; what has a place is the user's, all of it."""
    row, column, end_row, end_column = _key(place)
    unplaced: list[ast.AST] = [node]
    while unplaced:
        each = unplaced.pop()
        if isinstance(each, (ast.expr, ast.stmt, ast.ExceptHandler)):
            if hasattr(each, "lineno"):
                continue
            each.lineno, each.col_offset, each.end_lineno, each.end_col_offset = row, column, end_row, end_column
        unplaced += ast.iter_child_nodes(each)
    return node
