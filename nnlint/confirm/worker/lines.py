"""The lines of a function that an expression needs, run by themselves: where the whole of it cannot be run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from .anything import Anything, is_missing, reason
from .job import File
from .program import Enough, Program
from .surgery import HOOKS, operate
from .verdict import Inconclusive


def run_lines(program: Program, file: File, name: str) -> tuple[int, int]:
    """Run what the watched expression ``name`` of a file is computed from in its function, and the expression.

    The branches and loops around it are taken for granted. What is watched as ``operand`` or ``base`` is not evaluated
    but supplied; parameters, and whatever else fails, are missing values.

    Returns:
        The first row that is run, and the last.

    Raises:
        Inconclusive: the expression is in no function, or fails.
    """
    module = program.module(file.path)
    function = _function(operate(file), name)
    if function is None:
        raise Inconclusive("the lines cannot be run by themselves")
    before = list(_leading(function.body, name))
    last = before.pop()
    names = dict(vars(module))
    arguments = function.args
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        names[each.arg] = Anything(f"the argument {each.arg} of {function.name} is not known")
    rows = [last.lineno]
    for statement in _needed(before, last):
        rows.append(statement.lineno)
        try:
            _execute(statement, names, file.path)
        except Exception as error:
            for target in _bound(statement):
                names[target] = Anything(program.failed(error))
    try:
        _execute(last, names, file.path)
    except Enough:
        pass
    except Exception as error:
        missing = [names[each] for each in sorted(_asked(last)) if is_missing(names.get(each))]
        raise Inconclusive(reason(missing[0]) if missing else program.failed(error)) from error
    return min(rows), last.end_lineno or last.lineno


def _execute(statement: ast.stmt, names: dict[str, Any], path: str) -> None:
    tree = ast.Module([_Supplied().visit(statement)], [])
    exec(compile(ast.fix_missing_locations(tree), path, "exec"), names)


class _Supplied(ast.NodeTransformer):
    """What is only watched elsewhere is supplied here."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _watched(node) in ("operand", "base"):
            function = ast.Attribute(ast.Name(HOOKS, ast.Load()), "supply", ast.Load())
            return ast.copy_location(ast.Call(function, node.args[:1], []), node)
        return self.generic_visit(node)


def _watched(node: ast.AST) -> str:
    """The name of the watch that a call of the hooks belongs to; empty for any other call."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == HOOKS
        and node.func.attr == "see"
        and isinstance(node.args[0], ast.Constant)
    ):
        return str(node.args[0].value)
    return ""


def _holds(node: ast.AST, name: str) -> bool:
    return any(_watched(each) == name for each in ast.walk(node))


def _function(tree: ast.AST, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The innermost function around a watched expression."""
    found = None
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _holds(node, name):
            found = node
    return found


def _leading(body: list[ast.stmt], name: str) -> Iterator[ast.stmt]:
    """The statements before a watched expression, out of the blocks that it stands in, and the expression itself."""
    for statement in body:
        if not _holds(statement, name):
            if not isinstance(statement, (ast.For, ast.While, ast.With, ast.FunctionDef, ast.ClassDef, ast.Return)):
                yield statement
            continue
        blocks = [getattr(statement, part, []) for part in ("body", "orelse", "finalbody")]
        inner = next((block for block in blocks if any(_holds(each, name) for each in block)), None)
        if inner is not None:
            yield from _leading(inner, name)
        else:
            found = next(node for node in ast.walk(statement) if isinstance(node, ast.Call) and _watched(node) == name)
            yield ast.copy_location(ast.Expr(found), found)
        return


def _needed(before: list[ast.stmt], last: ast.stmt) -> list[ast.stmt]:
    """Those statements that bind a name which a later one of them, or the last, asks for."""
    asked = _asked(last)
    kept: list[ast.stmt] = []
    for statement in reversed(before):
        if asked & set(_bound(statement)):
            asked |= _asked(statement)
            kept.insert(0, statement)
    return kept


def _asked(node: ast.AST) -> set[str]:
    """The names a statement asks for, but for those inside what is supplied."""
    if _watched(node) in ("operand", "base"):
        return set()
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Load) else set()
    return set().union(*(_asked(child) for child in ast.iter_child_nodes(node)))


def _bound(statement: ast.stmt) -> list[str]:
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
