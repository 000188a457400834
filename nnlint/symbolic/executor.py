"""The reading of one script: its statements, in the order in which Python runs them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Items
from typing import Any

import libcst as cst

from nnlint.rule import Place
from nnlint.symbolic import calls, expressions, imports, loops, patterns
from nnlint.symbolic.branches import MISSING, Entry, Flow, both
from nnlint.symbolic.library import grad_mode
from nnlint.symbolic.project import Project
from nnlint.symbolic.scalar import truth
from nnlint.symbolic.scope import Frame, Module
from nnlint.symbolic.trace import Accumulate, Break, CallSite, Condition, Context, Event, Run
from nnlint.symbolic.values import (
    Arguments,
    Class,
    Const,
    Function,
    Loop,
    Symbol,
    Tensor,
    Unknown,
    Value,
    snapshot,
)

STEPS_PER_SCRIPT = 30_000
"""Statements and calls that module level may execute; a long training script takes about 5,000 with all it calls."""
STEPS_PER_ROOT = 6_000
STEPS_PER_FILE = 60_000
CALL_DEPTH = 14
"""How deep calls are followed."""


class OutOfSteps(Exception):
    """A run or a file has used up its steps."""


class Executor:
    """The state of a reading: where it is, what it has seen, what it has written down.

    Every change of a name, an attribute or an item goes through :meth:`put`, so that branches can be taken back.
    """

    strict = False
    """Whether an error of the reading itself is raised (as the tests want it) or costs one statement only."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.journal: list[Entry] = []
        self.run = Run("", script=False)
        self.calls: tuple[CallSite, ...] = ()
        self.loops: tuple[Loop, ...] = ()
        self.conditions: tuple[Condition, ...] = ()
        self.round = 0
        self.frame: Frame = None  # type: ignore[assignment]  # set before anything is executed
        self.module: Module = None  # type: ignore[assignment]
        self.steps = 0
        self.limit = STEPS_PER_ROOT
        self.executed: set[int] = set()
        """The functions that were followed, by the identity of their nodes."""
        self.imported: set[int] = set()
        """The effects of imported modules that this run has had, by identity."""
        self.lengths: dict[int, tuple[Value, Value]] = {}
        self.groups: dict[int, tuple[Value, Value]] = {}
        self.sampled: set[int] = set()
        self.repeats: dict[int, tuple[int, int]] = {}
        """How often a function was followed, and in how many steps altogether, by the identity of its node."""
        self.vital: set[int] = set()
        """Functions in which something happened that the order of events is about."""
        self.forwards: dict[object, tuple[Value, object]] = {}
        """What modules returned, by module, mode and arguments (kept alive by the second part)."""
        self.in_worker = False
        self.recording: bool | None = True
        """Whether autograd records, None if it cannot be told."""
        self.modules: dict[object, Value] = {}
        """Values nobody knows, and objects of libraries, that the script uses as modules, by what they are known by."""
        self.modes: dict[object, bool | None] = {}
        """The modes of such values."""
        self.unmodelled = 0
        """Statements that the reading itself stumbled over."""

    # --- writing down ------------------------------------------------------------------------------------------------

    def put(self, target: Any, key: Any, value: Any) -> None:
        """Bind a name or key of a dict, or an attribute of an object, so that it can be undone."""
        if isinstance(target, dict):
            self.journal.append((target, key, target.get(key, MISSING)))
            target[key] = value
        else:
            self.journal.append((target, key, getattr(target, key)))
            setattr(target, key, value)

    def place(self, node: cst.CSTNode) -> Place:
        """The place of a node of the module that is being executed."""
        return Place(self.module.source, node)

    def context(self) -> Context:
        """Where the execution is now."""
        return Context(self.calls, self.loops, self.conditions, self.round, self.recording)

    def emit(self, event: type[Event], node: cst.CSTNode, **fields: Any) -> None:
        """Write an event down, with what its containers hold at this time."""
        told = {name: snapshot(value) if isinstance(value, Value) else value for name, value in fields.items()}
        self.run.events.append(event(place=self.place(node), context=self.context(), **told))

    # --- evaluating --------------------------------------------------------------------------------------------------

    def evaluate(self, node: cst.BaseExpression) -> Value:
        """The value of an expression."""
        evaluator = expressions.EXPRESSIONS.get(type(node))
        return Unknown() if evaluator is None else evaluator(self, node)

    def call(self, callee: Value, arguments: Arguments, node: cst.CSTNode) -> Value:
        """What calling a value gives."""
        return calls.call(self, callee, arguments, node)

    # --- statements --------------------------------------------------------------------------------------------------

    def block(self, body: cst.BaseSuite | Items[cst.CSTNode]) -> Flow:
        """Execute statements; how they end."""
        statements = body.body if isinstance(body, cst.BaseSuite) else body
        conditions = self.conditions
        flow: Flow = None
        for statement in statements:
            flow = self.statement(statement)
            if flow is not None:
                break
        self.conditions = conditions
        return flow

    def statement(self, node: cst.CSTNode) -> Flow:
        """Execute one statement."""
        if type(node) is cst.SimpleStatementLine:
            for small in node.body:
                flow = self.statement(small)
                if flow is not None:
                    return flow
            return None
        self.advance()
        execute = STATEMENTS.get(type(node))
        if execute is None:
            return None
        try:
            return execute(self, node)
        except (OutOfSteps, RecursionError):
            raise
        except Exception:
            if self.strict:
                raise
            self.unmodelled += 1
            return None

    def advance(self) -> None:
        """Take a step.

        Raises:
            OutOfSteps: there is none left.
        """
        self.steps += 1
        if self.steps > self.limit:
            raise OutOfSteps

    def branch(
        self, test: Value | None, node: cst.CSTNode, then: Callable[[], Flow], otherwise: Callable[[], Flow]
    ) -> Flow:
        """Both sides of a test, each under its condition; what follows stands under the side that goes on."""
        place = self.place(node)
        known = Symbol() if test is None else test
        before = self.conditions
        ended: dict[bool, Flow] = {}

        def under(outcome: bool, side: Callable[[], Flow]) -> Flow:
            self.conditions = (*before, Condition(known, outcome, place))
            try:
                ended[outcome] = side()
            finally:
                self.conditions = before
            return ended[outcome]

        flow = both(self, test, lambda: under(True, then), lambda: under(False, otherwise))
        if flow is None:
            for outcome in (True, False):
                if ended[outcome] not in (None, "raise"):
                    self.conditions = (*before, Condition(known, not outcome, place))
        return flow


def nothing() -> Flow:
    """The other side of a test that has none."""
    return None


def _if(executor: Executor, node: cst.If) -> Flow:
    test = executor.evaluate(node.test)
    orelse = node.orelse

    def otherwise() -> Flow:
        if orelse is None:
            return None
        return _if(executor, orelse) if isinstance(orelse, cst.If) else executor.block(orelse.body)

    if expressions.is_main_guard(node.test):
        return executor.block(node.body) if executor.run.script and not executor.calls else otherwise()
    known = truth(test)
    if known is not None:
        return executor.block(node.body) if known else otherwise()
    return executor.branch(test, node.test, lambda: executor.block(node.body), otherwise)


def _expr(executor: Executor, node: cst.Expr) -> Flow:
    executor.evaluate(node.value)
    return None


def _assign(executor: Executor, node: cst.Assign) -> Flow:
    value = executor.evaluate(node.value)
    if executor.loops and isinstance(node.value, cst.BinaryOperation):
        _assign_sum(executor, node, node.value, value)
    for target in node.targets:
        bind(executor, target.target, value)
    return None


def _assign_sum(executor: Executor, node: cst.Assign, added: cst.BinaryOperation, result: Value) -> None:
    """``total = total + value``, which is ``total += value`` in other words."""
    origin = result.origin
    if not isinstance(added.operator, cst.Add) or origin is None or origin.node is not added or len(origin.inputs) != 2:
        return
    if any(each.target.deep_equals(added.left) for each in node.targets):
        _accumulate(executor, node, origin.inputs[0], origin.inputs[1], result)


def _annotated(executor: Executor, node: cst.AnnAssign) -> Flow:
    if node.value is not None:
        bind(executor, node.target, executor.evaluate(node.value))
    return None


def _augmented(executor: Executor, node: cst.AugAssign) -> Flow:
    current = executor.evaluate(node.target)
    operand = executor.evaluate(node.value)
    op = expressions.AUGMENTED.get(type(node.operator), "")
    result = expressions.combine(executor, op, current, operand, node)
    if op == "+":
        _accumulate(executor, node, current, operand, result)
    bind(executor, node.target, result)
    return None


def _accumulate(executor: Executor, node: cst.CSTNode, total: Value, value: Value, result: Value) -> None:
    """Say that something grows in a loop, but for counters."""
    if executor.loops and isinstance(value, (Tensor, Unknown)):
        executor.emit(Accumulate, node, total=total, value=value, result=result)


def _return(executor: Executor, node: cst.Return) -> Flow:
    value = Const(None) if node.value is None else executor.evaluate(node.value)
    frame = executor.frame
    frame.returns.append((executor.conditions[frame.conditions :], value))
    return "return"


def _raise(executor: Executor, node: cst.Raise) -> Flow:
    return "raise"


def _break(executor: Executor, node: cst.Break) -> Flow:
    if executor.loops:
        executor.emit(Break, node)
    return "break"


def _continue(executor: Executor, node: cst.Continue) -> Flow:
    return "continue"


def _del(executor: Executor, node: cst.Del) -> Flow:
    return None


def _global(executor: Executor, node: cst.Global) -> Flow:
    executor.frame.globals.update(item.name.value for item in node.names)
    return None


def _nonlocal(executor: Executor, node: cst.Nonlocal) -> Flow:
    executor.frame.nonlocals.update(item.name.value for item in node.names)
    return None


def _with(executor: Executor, node: cst.With) -> Flow:
    recording = executor.recording
    for item in node.items:
        value = calls.entered(executor, executor.evaluate(item.item), item)
        if item.asname is not None:
            bind(executor, item.asname.name, value)
        if grad_mode.is_grad_mode(value):
            grad_mode.enter(executor, value)
        elif grad_mode.may_set(executor, item.item, value):
            executor.put(executor, "recording", None)
    flow = executor.block(node.body)
    if executor.recording is not recording:
        executor.put(executor, "recording", recording)
    return flow


def _try(executor: Executor, node: cst.Try | cst.TryStar) -> Flow:
    flow = executor.block(node.body)
    if flow is None and node.orelse is not None:
        flow = executor.block(node.orelse.body)
    for handler in node.handlers:
        body = handler.body

        def handle(body: cst.BaseSuite = body, name: cst.AsName | None = handler.name) -> Flow:
            if name is not None:
                bind(executor, name.name, Unknown())
            return executor.block(body)

        before = executor.conditions
        ended = executor.branch(None, handler, handle, lambda ended=flow: ended)  # type: ignore[misc]
        executor.conditions = before
        flow = None if ended == "raise" and flow is None else ended
    if node.finalbody is not None:
        last = executor.block(node.finalbody.body)
        flow = last or flow
    return flow


def _function(executor: Executor, node: cst.FunctionDef) -> Flow:
    function = calls.define(executor, node)
    bind_name(executor, node.name.value, function)
    return None


def _class(executor: Executor, node: cst.ClassDef) -> Flow:
    bases = tuple(
        executor.evaluate(argument.value) for argument in node.bases if argument.star == "" and argument.keyword is None
    )
    namespace: dict[str, Value] = {}
    cls = Class(node.name.value, node, executor.frame, bases, namespace)
    frame = Frame(executor.module, namespace, executor.frame, depth=executor.frame.depth)
    outer, executor.frame = executor.frame, frame
    begun = len(executor.journal)
    try:
        executor.block(node.body)
    finally:
        executor.frame = outer
        # taking back what happens around the class takes back its name, not its parts
        executor.journal[begun:] = [entry for entry in executor.journal[begun:] if entry[0] is not namespace]
    for value in namespace.values():
        if isinstance(value, Function) and value.owner is None:
            value.owner = cls
    cls.origin = None
    calls.decorate_class(executor, cls, node)
    bind_name(executor, cls.name, cls)
    return None


def _import(executor: Executor, node: cst.Import) -> Flow:
    imports.execute_import(executor, node)
    return None


def _import_from(executor: Executor, node: cst.ImportFrom) -> Flow:
    imports.execute_import_from(executor, node)
    return None


def _for(executor: Executor, node: cst.For) -> Flow:
    return loops.execute_for(executor, node)


def _while(executor: Executor, node: cst.While) -> Flow:
    return loops.execute_while(executor, node)


def _match(executor: Executor, node: cst.Match) -> Flow:
    subject = executor.evaluate(node.subject)

    def case(number: int) -> Flow:
        if number == len(node.cases):
            return None
        this = node.cases[number]
        test = patterns.test(executor, subject, this.pattern)

        def taken() -> Flow:
            patterns.bind(executor, subject, this.pattern)
            return executor.block(this.body)

        known = None if test is None or this.guard is not None else truth(test)
        if known is not None:
            return taken() if known else case(number + 1)
        return executor.branch(test, this, taken, lambda: case(number + 1))

    return case(0)


STATEMENTS: dict[type[cst.CSTNode], Callable[[Executor, Any], Flow]] = {
    cst.Expr: _expr,
    cst.Assign: _assign,
    cst.AnnAssign: _annotated,
    cst.AugAssign: _augmented,
    cst.If: _if,
    cst.For: _for,
    cst.While: _while,
    cst.With: _with,
    cst.Try: _try,
    cst.TryStar: _try,
    cst.Match: _match,
    cst.FunctionDef: _function,
    cst.ClassDef: _class,
    cst.Return: _return,
    cst.Raise: _raise,
    cst.Break: _break,
    cst.Continue: _continue,
    cst.Del: _del,
    cst.Global: _global,
    cst.Nonlocal: _nonlocal,
    cst.Import: _import,
    cst.ImportFrom: _import_from,
}


# --- binding ---------------------------------------------------------------------------------------------------------


def bind_name(executor: Executor, name: str, value: Value) -> None:
    """Bind a name in the scope that Python would."""
    frame = executor.frame
    if name in frame.globals:
        executor.put(frame.module.names, name, value)
        return
    if name in frame.nonlocals:
        outer = frame.parent
        while outer is not None:
            if name in outer.names:
                executor.put(outer.names, name, value)
                return
            outer = outer.parent
    executor.put(frame.names, name, value)


def bind(executor: Executor, target: cst.CSTNode, value: Value) -> None:
    """Assign a value to a target: a name, an attribute, an item, or a tuple of targets."""
    if isinstance(target, cst.Name):
        if isinstance(value, (Tensor, Unknown, Symbol)) and not value.name:
            value.name = target.value
        bind_name(executor, target.value, value)
    elif isinstance(target, cst.Attribute):
        if isinstance(value, (Tensor, Unknown, Symbol)) and not value.name:
            value.name = target.attr.value
        calls.set_attribute(executor, executor.evaluate(target.value), target.attr.value, value, target)
    elif isinstance(target, (cst.Tuple, cst.List)):
        elements = target.elements
        names = tuple(element.value.value if isinstance(element.value, cst.Name) else "" for element in elements)
        star = next((i for i, element in enumerate(elements) if isinstance(element, cst.StarredElement)), None)
        values = expressions.unpack(executor, value, names, star, target)
        for element, item in zip(elements, values, strict=True):
            bind(executor, element.value, item)
    elif isinstance(target, cst.Subscript):
        calls.set_item(executor, executor.evaluate(target.value), target, value)
    elif isinstance(target, cst.StarredElement):
        bind(executor, target.value, value)
