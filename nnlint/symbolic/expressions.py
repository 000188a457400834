"""The value of every kind of expression."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import libcst as cst

from nnlint.symbolic import calls, imports, loops
from nnlint.symbolic.branches import join
from nnlint.symbolic.indexing import IndexItem, index, shape_slice
from nnlint.symbolic.library import BUILTINS, canonical, knows
from nnlint.symbolic.library.products import binary
from nnlint.symbolic.scalar import evaluate, is_numeric, operation, truth
from nnlint.symbolic.scope import Deferred, Frame
from nnlint.symbolic.trace import Average, Condition
from nnlint.symbolic.values import (
    LONGEST,
    Attribute,
    Batch,
    Carried,
    Choice,
    Const,
    Function,
    Instance,
    Library,
    Mapping,
    Object,
    Operation,
    Origin,
    Sequence,
    Setting,
    Symbol,
    Tensor,
    Unknown,
    Value,
    Wrapped,
    as_now,
    resolve_setting,
    shape_of,
)

if TYPE_CHECKING:
    from nnlint.symbolic.executor import Executor

BINARY: dict[type[cst.CSTNode], str] = {
    cst.Add: "+",
    cst.Subtract: "-",
    cst.Multiply: "*",
    cst.Divide: "/",
    cst.FloorDivide: "//",
    cst.Modulo: "%",
    cst.Power: "**",
    cst.MatrixMultiply: "@",
    cst.BitAnd: "&",
    cst.BitOr: "|",
    cst.BitXor: "^",
    cst.LeftShift: "<<",
    cst.RightShift: ">>",
}

AUGMENTED: dict[type[cst.CSTNode], str] = {
    cst.AddAssign: "+",
    cst.SubtractAssign: "-",
    cst.MultiplyAssign: "*",
    cst.DivideAssign: "/",
    cst.FloorDivideAssign: "//",
    cst.ModuloAssign: "%",
    cst.PowerAssign: "**",
    cst.MatrixMultiplyAssign: "@",
    cst.BitAndAssign: "&",
    cst.BitOrAssign: "|",
    cst.BitXorAssign: "^",
    cst.LeftShiftAssign: "<<",
    cst.RightShiftAssign: ">>",
}

COMPARISON: dict[type[cst.CSTNode], str] = {
    cst.Equal: "==",
    cst.NotEqual: "!=",
    cst.LessThan: "<",
    cst.LessThanEqual: "<=",
    cst.GreaterThan: ">",
    cst.GreaterThanEqual: ">=",
    cst.Is: "is",
    cst.IsNot: "is not",
    cst.In: "in",
    cst.NotIn: "not in",
}

UNARY: dict[type[cst.CSTNode], str] = {cst.Minus: "neg", cst.Plus: "pos", cst.Not: "not"}

CONSTANTS = {"True": True, "False": False, "None": None, "Ellipsis": ...}


def is_main_guard(node: cst.BaseExpression) -> bool:
    """Whether a test is ``__name__ == "__main__"``."""
    return (
        isinstance(node, cst.Comparison)
        and len(node.comparisons) == 1
        and isinstance(node.comparisons[0].operator, cst.Equal)
        and "__name__" in (getattr(node.left, "value", ""), getattr(node.comparisons[0].comparator, "value", ""))
    )


def _is_class_body(frame: Frame) -> bool:
    return frame.function is None and frame.parent is not None


def lookup(executor: Executor, name: str) -> Value:
    """What a name is bound to."""
    frame: Frame | None = executor.frame
    while frame is not None:
        value = frame.names.get(name)
        if value is not None and not (_is_class_body(frame) and frame is not executor.frame):
            if isinstance(value, Deferred):
                value = frame.names[name] = imports.needed(executor, value)
            return value
        frame = frame.parent
    module = executor.frame.module
    if module.names is not executor.frame.names and name in module.names:
        value = module.names[name]
        if isinstance(value, Deferred):
            value = module.names[name] = imports.needed(executor, value)
        return value
    if name in CONSTANTS:
        return Const(CONSTANTS[name])
    for path in module.stars:
        if knows(f"{path}.{name}"):
            return Library(canonical(f"{path}.{name}"))
    if name in BUILTINS:
        return Library(f"builtins.{name}")
    if name == "__file__":
        return Const(str(module.source.path))
    return module.missing.setdefault(name, Unknown(name))


def _name(executor: Executor, node: cst.Name) -> Value:
    return lookup(executor, node.value)


def _integer(executor: Executor, node: cst.Integer) -> Value:
    try:
        return Const(int(node.value.replace("_", ""), 0))
    except ValueError:
        return Symbol()


def _float(executor: Executor, node: cst.Float) -> Value:
    return Const(float(node.value.replace("_", "")))


def _string(executor: Executor, node: cst.SimpleString) -> Value:
    text = node.value
    if "\\" not in text and text[0] in "'\"":
        quotes = 3 if text[:3] in ("'''", '"""') else 1
        return Const(text[quotes:-quotes])
    try:
        return Const(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return Unknown()


def _concatenated(executor: Executor, node: cst.ConcatenatedString) -> Value:
    left, right = executor.evaluate(node.left), executor.evaluate(node.right)
    if isinstance(left, Const) and isinstance(right, Const):
        return operation("+", left, right)
    return Unknown()


def _formatted(executor: Executor, node: cst.FormattedString) -> Value:
    for part in node.parts:
        if isinstance(part, cst.FormattedStringExpression):
            executor.evaluate(part.expression)
    return Unknown()


def _ellipsis(executor: Executor, node: cst.Ellipsis) -> Value:
    return Const(...)


def _attribute(executor: Executor, node: cst.Attribute) -> Value:
    return calls.attribute(executor, executor.evaluate(node.value), node.attr.value, node)


def _call(executor: Executor, node: cst.Call) -> Value:
    return calls.evaluate_call(executor, node)


def _sequence(executor: Executor, node: cst.Tuple | cst.List | cst.Set) -> Value:
    kind = type(node).__name__.lower()
    items: list[Value] = []
    open_ = False
    starred: list[Value] = []
    for part in node.elements:
        value = executor.evaluate(part.value)
        if isinstance(part, cst.StarredElement):
            spliced = calls.splice(executor, value)
            if spliced is None or len(items) + len(spliced) > LONGEST:
                open_ = True
                starred.append(value)
            else:
                items += spliced
        else:
            items.append(value)
    element = Unknown(origin=Origin("*", tuple(starred), executor.module.source, node)) if starred else None
    return Sequence(kind, items, open_, element)


def _dict(executor: Executor, node: cst.Dict) -> Value:
    items: dict[object, Value] = {}
    open_ = False
    for part in node.elements:
        if isinstance(part, cst.StarredDictElement):
            inner = executor.evaluate(part.value)
            if isinstance(inner, Mapping):
                inner = inner.copied()
                items.update(inner.items)
                open_ = open_ or inner.open
            else:
                open_ = True
            continue
        assert isinstance(part, cst.DictElement)
        key, value = executor.evaluate(part.key), executor.evaluate(part.value)
        if isinstance(key, Const):
            items[key.value] = value
        else:
            items[id(key)] = value
            open_ = True
    return Mapping(items, open_)


def is_count(value: Value) -> bool:
    """Whether a number is the length of something, or one that a loop has counted."""
    if isinstance(value, Symbol):
        measured = value.name.startswith("len(") or isinstance(value.of, (Object, Instance, Sequence, Attribute))
        return measured or (value.origin is not None and value.origin.op == "left")
    return isinstance(value, Carried) or (isinstance(value, Operation) and value.op == "+" and is_count(value.args[0]))


def combine(executor: Executor, op: str, left: Value, right: Value, node: cst.CSTNode) -> Value:
    """``left op right``."""
    if op == "/" and is_count(right):
        executor.emit(Average, node, total=as_now(left), count=as_now(right))
    if is_numeric(left) and is_numeric(right):
        if op == "%" and isinstance(left, Const) and isinstance(left.value, str):
            return Unknown()
        return operation(op, left, right) if op in ("+", "-", "*", "/", "//", "%", "**") else Symbol()
    if isinstance(left, Sequence) and op == "+":
        if isinstance(right, Sequence):
            return left.grown(right)
        return Sequence(left.kind, list(left.items), True, Unknown())
    if isinstance(left, Sequence) and op == "*":
        times = evaluate(right)
        if isinstance(times, int) and 0 <= times * len(left.items) <= 64:
            return Sequence(left.kind, left.items * times, left.open, left.element)
        return Sequence(left.kind, list(left.items), True, left.items[0] if left.items else None)
    origin = Origin(op, (left, right), executor.module.source, node)
    if isinstance(left, Tensor) or isinstance(right, Tensor):
        batch = left.batch if isinstance(left, Tensor) else right.batch if isinstance(right, Tensor) else None
        return Tensor(binary(op, left, right), origin=origin, batch=batch)
    result = Unknown(origin=origin)
    if isinstance(left, Unknown) and is_numeric(right):
        result.shape = shape_of(left) if left.shape is not None else None
    elif isinstance(right, Unknown) and is_numeric(left):
        result.shape = shape_of(right) if right.shape is not None else None
    elif all(isinstance(side, Unknown) and side.shape is not None for side in (left, right)):
        result.shape = binary(op, left, right)
    return result


def _binary(executor: Executor, node: cst.BinaryOperation) -> Value:
    # long chains lean to the left: walk down them instead of recursing
    chain: list[cst.BinaryOperation] = [node]
    while isinstance(chain[-1].left, cst.BinaryOperation):
        chain.append(chain[-1].left)
    value = executor.evaluate(chain[-1].left)
    for part in reversed(chain):
        right = executor.evaluate(part.right)
        value = combine(executor, BINARY.get(type(part.operator), ""), value, right, part)
    return value


def _unary(executor: Executor, node: cst.UnaryOperation) -> Value:
    value = executor.evaluate(node.expression)
    op = UNARY.get(type(node.operator))
    if op is None:
        return Unknown(origin=Origin("~", (value,), executor.module.source, node))
    if is_numeric(value):
        return operation(op, value)
    origin = Origin(op, (value,), executor.module.source, node)
    if op == "not":
        if isinstance(value, Sequence) and not value.open:
            return Const(not value.items)
        return Unknown(origin=origin)
    if isinstance(value, Tensor):
        return Tensor(value.shape, origin=origin, batch=value.batch)
    return Unknown(origin=origin, shape=value.shape if isinstance(value, Unknown) else None)


def _comparison(executor: Executor, node: cst.Comparison) -> Value:
    left = executor.evaluate(node.left)
    results: list[Value] = []
    for part in node.comparisons:
        right = executor.evaluate(part.comparator)
        op = COMPARISON.get(type(part.operator), "is") if not isinstance(part.operator, cst.NotIn) else "not in"
        results.append(_compare(executor, op, left, right, node))
        left = right
    if len(results) == 1:
        return results[0]
    if all(is_numeric(result) for result in results):
        return operation("and", *results)
    return Unknown(origin=Origin("and", tuple(results), executor.module.source, node))


def _compare(executor: Executor, op: str, left: Value, right: Value, node: cst.CSTNode) -> Value:
    if op in ("in", "not in"):
        right = resolve_setting(right) or right
        listed = right.items if isinstance(right, Sequence) and not right.open else ()
        if is_numeric(left) and listed and len(listed) <= LONGEST and all(map(is_numeric, listed)):
            return operation(op, left, *listed)
        if isinstance(left, Const) and isinstance(right, Mapping) and not right.open:
            return Const((left.value in right.items) == (op == "in"))
    elif is_numeric(left) and is_numeric(right):
        return operation(op, left, right)
    elif op in ("is", "is not", "==", "!="):
        for this, other in ((left, right), (right, left)):
            is_none = isinstance(this, Const) and this.value is None
            if is_none and not is_numeric(other) and not isinstance(other, (Unknown, Choice, Attribute)):
                return Const(op in ("is not", "!="))
    return Unknown(origin=Origin(op, (left, right), executor.module.source, node))


def _boolean(executor: Executor, node: cst.BooleanOperation) -> Value:
    left = executor.evaluate(node.left)
    op = "and" if isinstance(node.operator, cst.And) else "or"
    known = truth(left)
    if known is not None:
        return executor.evaluate(node.right) if known == (op == "and") else left
    before = executor.conditions
    executor.conditions = (*before, Condition(left, op == "and", executor.place(node.left)))
    right = executor.evaluate(node.right)
    executor.conditions = before
    if is_numeric(left) and is_numeric(right):
        return operation(op, left, right)
    if op == "or" and isinstance(left, (Setting, Symbol)):
        return Choice(left, left, right)
    return Unknown(origin=Origin(op, (left, right), executor.module.source, node))


def _if_expression(executor: Executor, node: cst.IfExp) -> Value:
    test = executor.evaluate(node.test)
    known = truth(test)
    if known is not None:
        return executor.evaluate(node.body if known else node.orelse)
    place, before = executor.place(node.test), executor.conditions
    executor.conditions = (*before, Condition(test, True, place))
    yes = executor.evaluate(node.body)
    executor.conditions = (*before, Condition(test, False, place))
    no = executor.evaluate(node.orelse)
    executor.conditions = before
    result: Value = join(test, yes, no)
    return result


def _lambda(executor: Executor, node: cst.Lambda) -> Value:
    return Function("<lambda>", node, executor.frame, calls.defaults(executor, node.params))


def _named(executor: Executor, node: cst.NamedExpr) -> Value:
    from nnlint.symbolic.executor import bind

    value = executor.evaluate(node.value)
    bind(executor, node.target, value)
    return value


def _await(executor: Executor, node: cst.Await) -> Value:
    return executor.evaluate(node.expression)


def _yield(executor: Executor, node: cst.Yield) -> Value:
    value = node.value
    if isinstance(value, cst.From):
        executor.frame.yields.append(loops.element(executor, executor.evaluate(value.item), None))
    else:
        executor.frame.yields.append(Const(None) if value is None else executor.evaluate(value))
    return Unknown()


def _comprehension(executor: Executor, node: cst.BaseSimpleComp) -> Value:
    kind = {cst.SetComp: "set", cst.GeneratorExp: "generator"}.get(type(node), "list")
    holder: list[Value] = []
    single = loops.comprehension(executor, node.for_in, lambda: holder.append(executor.evaluate(node.elt)))
    if single and holder:
        return Sequence(kind, holder)
    return Sequence(kind, [], True, holder[0] if holder else None)


def _dict_comprehension(executor: Executor, node: cst.DictComp) -> Value:
    holder: list[tuple[Value, Value]] = []

    def entry() -> None:
        holder.append((executor.evaluate(node.key), executor.evaluate(node.value)))

    single = loops.comprehension(executor, node.for_in, entry)
    if single and holder and all(isinstance(key, Const) for key, _ in holder):
        return Mapping({key.value: value for key, value in holder if isinstance(key, Const)})
    return Mapping({}, True, holder[0][1] if holder else None)


# --- parts of values -------------------------------------------------------------------------------------------------


def unpack(
    executor: Executor, value: Value, names: tuple[str, ...], star: int | None, node: cst.CSTNode
) -> list[Value]:
    """The values that tuple assignment gives to as many targets; ``star`` is the index of the starred one."""
    count = len(names)
    value = resolve_setting(value) or value
    if isinstance(value, Choice):
        yes = unpack(executor, value.yes, names, star, node)
        no = unpack(executor, value.no, names, star, node)
        return [join(value.test, a, b) for a, b in zip(yes, no, strict=True)]
    if isinstance(value, Attribute) and value.name == "shape":
        shape = shape_of(value.receiver)
        if star is None:
            return list(shape.unpack(names))
        after = count - star - 1
        front = [shape.size(axis, names[axis]) for axis in range(star)]
        back = [shape.size(axis - after, names[star + 1 + axis]) for axis in range(after)]
        return [*front, Sequence("list", [], True), *back]
    if isinstance(value, Sequence) and not value.open:
        if star is None and len(value.items) == count:
            for item, name in zip(value.items, names, strict=True):
                if isinstance(item, Symbol) and not item.name:
                    item.name = name
            return list(value.items)
        if star is not None and len(value.items) >= count - 1:
            after = count - star - 1
            end = len(value.items) - after
            return [*value.items[:star], Sequence("list", value.items[star:end]), *value.items[end:]]
    batch = value.batch if isinstance(value, (Unknown, Tensor)) else None
    return [
        Unknown(name, batch=batch, origin=Origin("getitem", (value, Const(i)), executor.module.source, node))
        for i, name in enumerate(names)
    ]


def index_item(executor: Executor, node: cst.BaseSlice) -> IndexItem:
    """An item between the brackets of a subscript."""
    if isinstance(node, cst.Slice):
        lower = None if node.lower is None else executor.evaluate(node.lower)
        upper = None if node.upper is None else executor.evaluate(node.upper)
        step = None if node.step is None else executor.evaluate(node.step)
        return IndexItem.slice(lower, upper, step)
    assert isinstance(node, cst.Index)
    return IndexItem.value_of(executor.evaluate(node.value))


def _subscript(executor: Executor, node: cst.Subscript) -> Value:
    base = executor.evaluate(node.value)
    items = [index_item(executor, element.slice) for element in node.slice]
    return subscript(executor, base, items, node)


def subscript(executor: Executor, base: Value, items: list[IndexItem], node: cst.CSTNode) -> Value:
    """``base[items]``."""
    base = resolve_setting(base) or base
    if isinstance(base, Choice):
        return join(base.test, subscript(executor, base.yes, items, node), subscript(executor, base.no, items, node))  # type: ignore[no-any-return]
    single = items[0] if len(items) == 1 else None
    key = single.value if single is not None else None
    if isinstance(base, Sequence) and single is not None:
        return _item_of_sequence(executor, base, single, node)
    if isinstance(base, Mapping) and key is not None:
        resolved = resolve_setting(key)
        if isinstance(resolved, Const):
            try:
                if resolved.value in base.items:
                    return base.items[resolved.value]
            except TypeError:
                return Unknown()
        found = base.default or next(iter(base.items.values()), None)
        if base.items and not base.open and not isinstance(resolved, Const):
            return calls.any_of(list(base.items.values()))
        return Unknown(origin=Origin("getitem", (base, key), executor.module.source, node)) if found is None else found
    if isinstance(base, Attribute):
        if base.name == "shape" and single is not None:
            shape = shape_of(base.receiver)
            if single.is_slice:
                return shape_slice(shape, single.lower, single.upper)
            axis = evaluate(key)
            return shape.size(axis) if isinstance(axis, int) else Symbol()
        if base.name == "param_groups":
            return loops.param_group(executor, base.receiver)
    if isinstance(base, Const) and isinstance(base.value, str):
        position = evaluate(key) if key is not None else None
        if isinstance(position, int) and -len(base.value) <= position < len(base.value):
            return Const(base.value[position])
        return Unknown()
    if isinstance(base, Object):
        if base.kind == "param_group" and isinstance(key, Const):
            return base.attributes.get(str(key.value), Unknown())
        if isinstance(key, Const) and isinstance(key.value, str) and key.value in base.attributes:
            return base.attributes[key.value]
        position = evaluate(key) if key is not None else None
        if base.children and isinstance(position, int) and -len(base.children) <= position < len(base.children):
            return base.children[position]
        if base.children and key is not None:
            return calls.any_of(base.children)
    if isinstance(base, Instance):
        method = base.cls.lookup("__getitem__")
        if method is not None and key is not None:
            return calls.call_method(executor, base, "__getitem__", [key], node)
        if isinstance(key, Const) and str(key.value) in base.attributes:
            return base.attributes[str(key.value)]
    if isinstance(base, Unknown) and isinstance(key, Const) and base.items is not None and key.value in base.items:
        return base.items[key.value]
    bounds = (bound for item in items for bound in (item.lower, item.upper, item.step) if bound is not None)
    inputs: tuple[Value, ...] = (base, *(item.value for item in items if item.value is not None), *bounds)
    origin = Origin("getitem", inputs, executor.module.source, node)
    batch = base.batch if isinstance(base, (Unknown, Tensor)) else None
    if isinstance(base, Tensor):
        return Tensor(index(base, items), origin=origin, batch=batch, integer=base.integer)
    name = key.value if isinstance(key, Const) and isinstance(key.value, str) else ""
    if isinstance(base, Unknown) and base.shape is not None and not name:
        return Unknown(origin=origin, batch=batch, shape=index(base, items))
    return Unknown(name, origin=origin, batch=batch)


def _item_of_sequence(executor: Executor, base: Sequence, item: IndexItem, node: cst.CSTNode) -> Value:
    if item.is_slice:
        lower = 0 if item.lower is None else evaluate(item.lower)
        upper = len(base.items) if item.upper is None else evaluate(item.upper)
        if isinstance(lower, int) and isinstance(upper, int) and not base.open and item.step is None:
            return Sequence(base.kind, base.items[lower:upper])
        return Sequence(base.kind, [], True, base.element or (base.items[0] if base.items else None))
    position = evaluate(item.value)
    known = isinstance(position, int) and not (base.open and position < 0)
    if known and isinstance(position, int) and -len(base.items) <= position < len(base.items):
        return base.items[position]
    if base.items and not base.open:
        return calls.any_of(base.items)
    inputs = (base,) if item.value is None else (base, item.value)
    return base.element or Unknown(origin=Origin("getitem", inputs, executor.module.source, node))


def batch_of(value: Value, loader: Value) -> Value:
    """Mark a value, and the parts of a container, as coming from a loader."""
    if isinstance(value, (Unknown, Tensor)):
        value.batch = Batch(loader)
    elif isinstance(value, Sequence):
        for item in value.items:
            batch_of(item, loader)
    elif isinstance(value, Mapping):
        for item in value.items.values():
            batch_of(item, loader)
    return value


EXPRESSIONS: dict[type[cst.CSTNode], Callable[[Executor, Any], Value]] = {
    cst.Name: _name,
    cst.Integer: _integer,
    cst.Float: _float,
    cst.SimpleString: _string,
    cst.ConcatenatedString: _concatenated,
    cst.FormattedString: _formatted,
    cst.Ellipsis: _ellipsis,
    cst.Attribute: _attribute,
    cst.Call: _call,
    cst.Tuple: _sequence,
    cst.List: _sequence,
    cst.Set: _sequence,
    cst.Dict: _dict,
    cst.BinaryOperation: _binary,
    cst.UnaryOperation: _unary,
    cst.Comparison: _comparison,
    cst.BooleanOperation: _boolean,
    cst.IfExp: _if_expression,
    cst.Lambda: _lambda,
    cst.NamedExpr: _named,
    cst.Await: _await,
    cst.Yield: _yield,
    cst.ListComp: _comprehension,
    cst.SetComp: _comprehension,
    cst.GeneratorExp: _comprehension,
    cst.DictComp: _dict_comprehension,
    cst.Subscript: _subscript,
}

__all__ = ["EXPRESSIONS", "Wrapped", "combine", "lookup", "subscript", "unpack"]
