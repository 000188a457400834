"""Arithmetic on numbers that are only partly known: folding, and evaluation under assumptions."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from nnlint.symbolic.values import (
    NUMERIC,
    Carried,
    Choice,
    Const,
    Index,
    Operation,
    Origin,
    Sequence,
    Setting,
    Symbol,
    Unknown,
    Value,
    resolve_setting,
    same,
)

LARGEST = 1e15
"""Powers of integers beyond this are not folded, so that no script can make the reading slow."""

WIDEST = 4_096
"""Characters of a text, and bits of an integer, beyond which what is added or multiplied is not folded either."""

LONGEST = 200
"""An expression of larger size is a number nobody knows."""


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and (abs(exponent) > 64 or abs(base) > LARGEST):
        raise OverflowError
    return base**exponent


def _plus(left: Any, right: Any) -> Any:
    if isinstance(left, (str, bytes)) and isinstance(right, (str, bytes)) and len(left) + len(right) > WIDEST:
        raise OverflowError
    return left + right


def _times(left: Any, right: Any) -> Any:
    if isinstance(left, (str, bytes)) or isinstance(right, (str, bytes)):
        raise TypeError
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > WIDEST:
        raise OverflowError
    return left * right


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, (str, bytes)):
        raise TypeError  # formats; a width in it may be huge
    return left % right


def _round(value: Any, digits: Any = None) -> Any:
    if digits is not None and abs(digits) > 64:
        raise OverflowError
    return round(value, digits)


OPERATORS: dict[str, Callable[..., Any]] = {
    "+": _plus,
    "-": operator.sub,
    "*": _times,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": _modulo,
    "**": _power,
    "neg": operator.neg,
    "pos": operator.pos,
    "not": operator.not_,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "is": operator.eq,
    "is not": operator.ne,
    "in": lambda item, *members: item in members,
    "not in": lambda item, *members: item not in members,
    "and": lambda *args: next((arg for arg in args if not arg), args[-1]),
    "or": lambda *args: next((arg for arg in args if arg), args[-1]),
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "abs": abs,
    "round": _round,
    "min": min,
    "max": max,
    "sum": lambda *args: sum(args),
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "cos": math.cos,
    "sin": math.sin,
    "tanh": math.tanh,
    "lower": str.lower,
    "upper": str.upper,
    "strip": str.strip,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
"""The functions that expressions are made of; :class:`Operation` names one of them."""

UNDEFINED = (ArithmeticError, TypeError, ValueError, AttributeError, LookupError)


def operation(op: str, *args: Value) -> Value:
    """``op`` applied to numeric values, folded to a constant where all of them are constants."""
    if all(isinstance(arg, Const) for arg in args):
        function = OPERATORS.get(op)
        if function is not None:
            try:
                return Const(function(*(arg.value for arg in args if isinstance(arg, Const))))
            except UNDEFINED:
                return Symbol()
    if op == "*":
        left, right = args
        if isinstance(left, Const) and left.value == 1:
            return right
        if isinstance(right, Const) and right.value == 1:
            return left
    elif op in ("//", "/") and isinstance(args[1], Const) and args[1].value == 1:
        return args[0]
    elif op == "//" and same(args[0], args[1]):
        return Const(1)
    elif op in ("+", "-") and isinstance(args[1], Const) and args[1].value == 0:
        return args[0]
    elif op == "int" and len(args) == 1 and isinstance(args[0], (Operation, Symbol, Index)):
        argument = args[0]
        if isinstance(argument, Operation) and argument.op == "/":
            return Operation("//", argument.args)
        if isinstance(argument, Symbol):
            return argument
    result = Operation(op, args)
    return Symbol() if result.size > LONGEST else result


def is_numeric(value: Value) -> bool:
    """Whether arithmetic on the value stays an expression."""
    return isinstance(value, NUMERIC) or (isinstance(value, Choice) and is_numeric(value.yes) and is_numeric(value.no))


Assumptions = Mapping[int, object]
"""Values for loop variables, symbols and the like, by the identity (``id``) of the value."""


def evaluate(value: Value | None, assumed: Assumptions | None = None) -> object | None:
    """The number, string or bool that an expression has, None where it cannot be told.

    Settings have their defaults; loop variables, symbols and carried numbers what is assumed of them. A constant
    ``None`` also gives None: ask the value itself where the difference matters.
    """
    try:
        result: object = _evaluate(value, assumed or {}, {})
        return result
    except UNDEFINED:
        return None
    except RecursionError:
        return None


class _NotKnown(ArithmeticError):
    pass


def _evaluate(value: Value | None, assumed: Assumptions, known: dict[int, Any]) -> Any:
    """The value of an expression; ``known`` are the parts that were evaluated before, which may be shared widely."""
    if value is not None and id(value) in assumed:
        return assumed[id(value)]
    if isinstance(value, Const):
        return value.value
    if isinstance(value, Setting):
        return _evaluate(value.default, assumed, known)
    if isinstance(value, (Operation, Choice, Unknown)):
        if id(value) not in known:
            known[id(value)] = _evaluate_parts(value, assumed, known)
        return known[id(value)]
    raise _NotKnown


def _evaluate_parts(value: Operation | Choice | Unknown, assumed: Assumptions, known: dict[int, Any]) -> Any:
    if isinstance(value, Operation):
        if value.op in ("and", "or"):
            result: Any = value.op == "and"
            for arg in value.args:
                result = _evaluate(arg, assumed, known)
                if bool(result) != (value.op == "and"):
                    break
            return result
        return OPERATORS[value.op](*(_evaluate(arg, assumed, known) for arg in value.args))
    if isinstance(value, Choice) and value.test is not None:
        return _evaluate(value.yes if _evaluate(value.test, assumed, known) else value.no, assumed, known)
    if isinstance(value, Unknown) and value.origin is not None:
        # arithmetic with an operand that was unknown when it was read, but may be assumed now
        function = OPERATORS.get(_ARITHMETIC_MODULE.sub("", value.origin.op))
        if function is not None:
            return function(*(_evaluate(operand, assumed, known) for operand in _operands(value.origin)))
    raise _NotKnown


_ARITHMETIC_MODULE = re.compile(r"^(builtins|math|numpy)\.")


def _operands(origin: Origin) -> tuple[Value, ...]:
    """The inputs of an operation; a list to be searched counts as its items."""
    if origin.op in ("in", "not in") and len(origin.inputs) == 2:
        members = resolve_setting(origin.inputs[1])
        if isinstance(members, Sequence) and not members.open:
            return (origin.inputs[0], *members.items)
        raise _NotKnown
    return origin.inputs


def number(value: Value | None, assumed: Assumptions | None = None) -> float | None:
    """The number that an expression has (bools do not count), None where it cannot be told."""
    result = evaluate(value, assumed)
    if isinstance(result, bool) or not isinstance(result, (int, float)):
        return None
    return None if isinstance(result, float) and math.isnan(result) else result


def truth(value: Value) -> bool | None:
    """What a test comes out as when nothing but constants decides it; None if settings or unknowns take part."""
    if isinstance(value, Const):
        return bool(value.value)
    return None


def truth_by_default(value: Value) -> bool | None:
    """What a test comes out as when every setting has its default; None if unknowns take part."""
    resolved = resolve_setting(value)
    if isinstance(resolved, Const):
        return bool(resolved.value)
    if not isinstance(value, (Operation, Choice)):
        return None
    try:
        return bool(_evaluate(value, {}, {}))
    except (*UNDEFINED, RecursionError):
        return None


def atoms(value: Value | None) -> list[Value]:
    """The settings, symbols, loop variables and carried numbers that an expression is made of, in order, once each."""
    found: list[Value] = []
    stack = [value]
    seen: set[int] = set()
    while stack:
        item = stack.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Operation):
            stack.extend(reversed(item.args))
        elif isinstance(item, Choice):
            stack += [item.no, item.yes, item.test]
        elif not isinstance(item, Const):
            found.append(item)
    return found


def is_loop_dependent(value: Value | None) -> bool:
    """Whether an expression changes from round to round of some loop."""
    return any(isinstance(atom, (Index, Carried)) for atom in atoms(value))
