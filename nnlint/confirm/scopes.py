"""The scopes of a file: which statements bind a name, which change it, and which names a piece of code needs."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

CHANGING = frozenset(
    "add_argument add_mutually_exclusive_group set_defaults append extend insert update add setdefault pop remove sort "
    "add_param_group add_module register_buffer register_parameter merge_from_file merge_from_list freeze defrost "
    "register apply normal_ uniform_ zero_ fill_ manual_seed seed set_epoch".split()
)
"""Methods called for what they do to their receiver."""

JOINING = frozenset("add_argument_group add_mutually_exclusive_group add_subparsers add_parser".split())
"""Methods of parsers that give a part of their receiver: what is done to the part is done to the whole."""


@dataclass(eq=False)
class Scope:
    """The module, or a function: its statements by the names they bind, nested blocks included.

    ``outer`` is where names that are not bound here are looked up; the bodies of classes are no such place.
    ``holder`` is the statement of ``outer`` that the function lies in: itself, or the class around it.
    """

    node: ast.Module | FunctionNode
    outer: Scope | None = None
    holder: ast.stmt | None = None
    parameters: frozenset[str] = frozenset()
    statements: list[ast.stmt] = field(default_factory=list)
    bindings: dict[str, list[ast.stmt]] = field(default_factory=dict)
    changes: dict[str, list[ast.stmt]] = field(default_factory=dict)
    globals: set[str] = field(default_factory=set)


class Scopes:
    """The scopes of a file, and for every statement the scope it is in and the compound statement around it."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = Scope(tree)
        self.all = [self.module]
        self._of: dict[int, Scope] = {}
        self._around: dict[int, ast.stmt] = {}
        self._by_node: dict[int, Scope] = {id(tree): self.module}
        self._enter(self.module, tree.body, None)

    def of(self, statement: ast.stmt) -> Scope | None:
        """The scope that a statement is in; None in the body of a class."""
        return self._of.get(id(statement))

    def inside(self, function: FunctionNode) -> Scope:
        """The scope that a function makes."""
        return self._by_node[id(function)]

    def around(self, statement: ast.stmt) -> ast.stmt | None:
        """The compound statement of the same scope that a statement lies in."""
        return self._around.get(id(statement))

    def _enter(self, scope: Scope, body: Collection[ast.stmt], around: ast.stmt | None) -> None:
        for statement in body:
            self._of[id(statement)] = scope
            scope.statements.append(statement)
            if around is not None:
                self._around[id(statement)] = around
            if isinstance(statement, ast.Global):
                scope.globals.update(statement.names)
            for name in bound_by(statement):
                scope.bindings.setdefault(name, []).append(statement)
            for name in changed_by(statement):
                scope.changes.setdefault(name, []).append(statement)
            if isinstance(statement, FunctionNode):
                self._function(scope, statement, statement)
            elif isinstance(statement, ast.ClassDef):
                self._class(scope, statement, statement)
            else:
                for block in blocks(statement):
                    self._enter(scope, block, statement)

    def _function(self, outer: Scope, node: FunctionNode, holder: ast.stmt) -> None:
        scope = Scope(node, outer, holder, frozenset(parameters_of(node.args)))
        self.all.append(scope)
        self._by_node[id(node)] = scope
        self._enter(scope, node.body, None)

    def _class(self, outer: Scope, node: ast.ClassDef, holder: ast.stmt) -> None:
        for statement in ast.walk(node):
            if isinstance(statement, FunctionNode) and id(statement) not in self._by_node:
                self._function(outer, statement, holder)


def blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The blocks of a compound statement that is no definition."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(statement, name, None)
        if isinstance(block, list):
            yield block
    for handler in getattr(statement, "handlers", ()):
        yield handler.body
    for case in getattr(statement, "cases", ()):
        yield case.body


def parameters_of(arguments: ast.arguments) -> Iterator[str]:
    """The names of all parameters."""
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        yield argument.arg
    for star in (arguments.vararg, arguments.kwarg):
        if star is not None:
            yield star.arg


def header(statement: ast.stmt) -> Iterator[ast.AST]:
    """The parts of a compound statement that are evaluated before its blocks; of a simple one, itself."""
    if isinstance(statement, ast.If | ast.While):
        yield statement.test
    elif isinstance(statement, ast.For | ast.AsyncFor):
        yield from (statement.target, statement.iter)
    elif isinstance(statement, ast.With | ast.AsyncWith):
        yield from statement.items
    elif isinstance(statement, ast.Try):
        yield from (handler.type for handler in statement.handlers if handler.type is not None)
    elif isinstance(statement, ast.Match):
        yield statement.subject
        yield from (case.pattern for case in statement.cases)
    else:
        yield statement


def bound_by(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement binds, its blocks not counted."""
    if isinstance(statement, FunctionNode | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name.partition(".")[0]
    else:
        for part in header(statement):
            for node in ast.walk(part):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id
        if isinstance(statement, ast.Try):
            yield from (handler.name for handler in statement.handlers if handler.name is not None)


def changed_by(statement: ast.stmt) -> Iterator[str]:
    """The names whose objects a simple statement changes: a part is assigned, or a method called for its effect."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = [*statement.targets, statement.value] if is_part(statement) else statement.targets
    elif isinstance(statement, ast.AugAssign | ast.AnnAssign):
        targets = [statement.target]
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        function = statement.value.func
        if isinstance(function, ast.Attribute) and function.attr in CHANGING:
            targets = [function]
        elif isinstance(function, ast.Name) and function.id in ("setattr", "delattr") and statement.value.args:
            targets = [ast.Attribute(statement.value.args[0], "", ast.Store())]
    for target in targets:
        for each in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
            root = root_of(each)
            if root is not None and not isinstance(each, ast.Name):
                yield root


def is_part(statement: ast.stmt) -> bool:
    """Whether a statement binds a part of a parser: ``group = parser.add_argument_group()``."""
    call = statement.value if isinstance(statement, ast.Assign) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in JOINING


def root_of(node: ast.expr) -> str | None:
    """The name that a chain of attributes, items and calls begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call | ast.Starred):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def free_names(node: ast.AST, skipped: Collection[int] = ()) -> set[str]:
    """The names that a piece of code needs from around it. ``skipped``: nodes, by identity, that will not run."""
    if id(node) in skipped:
        return set()
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Load | ast.Del) else set()
    if isinstance(node, FunctionNode | ast.Lambda):
        return _free_in_function(node, skipped)
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        return {node.target.id} | free_names(node.value, skipped)
    if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        bound = {name for each in node.generators for name in _stored(each.target)}
        return _free_in_parts(node, skipped) - bound
    if isinstance(node, ast.ClassDef):
        bound = {name for statement in node.body for name in bound_by(statement)}
        free = _free_in_parts(node, skipped)
        return free - (bound - _used_in_methods(node, skipped))
    return _free_in_parts(node, skipped)


def _free_in_parts(node: ast.AST, skipped: Collection[int]) -> set[str]:
    return set().union(*(free_names(child, skipped) for child in ast.iter_child_nodes(node)))


def _free_in_function(node: FunctionNode | ast.Lambda, skipped: Collection[int]) -> set[str]:
    outside: set[str] = set()
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    annotations = [] if isinstance(node, ast.Lambda) or node.returns is None else [node.returns]
    for part in (*decorators, *annotations, node.args):
        outside |= free_names(part, skipped)
    body = [node.body] if isinstance(node, ast.Lambda) else node.body
    bound = set(parameters_of(node.args))
    declared: set[str] = set()
    if not isinstance(node, ast.Lambda):
        for statement in _own_statements(node.body):
            bound.update(bound_by(statement))
            if isinstance(statement, ast.Global | ast.Nonlocal):
                declared.update(statement.names)
    inside = set().union(*(free_names(part, skipped) for part in body))
    return outside | (inside - (bound - declared)) | declared


def _own_statements(body: Collection[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        if not isinstance(statement, FunctionNode | ast.ClassDef):
            for block in blocks(statement):
                yield from _own_statements(block)


def _used_in_methods(node: ast.ClassDef, skipped: Collection[int]) -> set[str]:
    methods = [statement for statement in node.body if isinstance(statement, FunctionNode)]
    return set().union(*(free_names(method, skipped) for method in methods)) if methods else set()


def _stored(target: ast.AST) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name):
            yield node.id


def attributes_in(node: ast.AST, skipped: Collection[int] = ()) -> set[str]:
    """The names of the attributes that a piece of code reads, of whatever object; ``skipped`` as in free_names."""
    if id(node) in skipped:
        return set()
    found = {node.attr} if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) else set()
    return found.union(*(attributes_in(child, skipped) for child in ast.iter_child_nodes(node)))


def members_of(statement: ast.stmt, receiver: str) -> set[str]:
    """The attributes of ``receiver`` that a simple assignment writes."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    return {
        node.attr
        for target in targets
        for node in ast.walk(target)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == receiver
    }


def attributes_of(tree: ast.AST, name: str) -> set[str] | None:
    """The attributes asked of a name anywhere in a tree; None if it is also used as a whole."""
    found: set[str] = set()
    parts: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name:
            found.add(node.attr)
            parts.add(id(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == name and id(node) not in parts:
            return None
    return found
