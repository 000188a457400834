"""``match``: the test that a pattern stands for, and the names it binds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from nnlint.symbolic.scalar import is_numeric, operation
from nnlint.symbolic.values import Const, Unknown, Value

if TYPE_CHECKING:
    from nnlint.symbolic.executor import Executor


def test(executor: Executor, subject: Value, pattern: cst.MatchPattern) -> Value | None:
    """The test that decides for the pattern, None if it cannot be written as an expression."""
    if isinstance(pattern, cst.MatchAs) and pattern.pattern is None:
        return Const(True)
    if isinstance(pattern, (cst.MatchValue, cst.MatchSingleton)):
        value = executor.evaluate(pattern.value)
        return operation("==", subject, value) if is_numeric(subject) and is_numeric(value) else None
    if isinstance(pattern, cst.MatchOr):
        tests = [test(executor, subject, element.pattern) for element in pattern.patterns]
        if all(item is not None for item in tests):
            return operation("or", *(item for item in tests if item is not None))
    return None


def bind(executor: Executor, subject: Value, pattern: cst.CSTNode) -> None:
    """Bind the names of a pattern: the whole subject where it is captured, unknown values for its parts."""
    from nnlint.symbolic.executor import bind_name

    if isinstance(pattern, cst.MatchAs):
        if pattern.name is not None:
            bind_name(executor, pattern.name.value, subject)
        if pattern.pattern is not None:
            bind(executor, subject, pattern.pattern)
        return
    if isinstance(pattern, cst.MatchStar):
        if pattern.name is not None:
            bind_name(executor, pattern.name.value, Unknown(pattern.name.value))
        return
    if isinstance(pattern, (cst.MatchValue, cst.MatchSingleton)):
        return
    if isinstance(pattern, cst.MatchMapping) and pattern.rest is not None:
        bind_name(executor, pattern.rest.value, Unknown(pattern.rest.value))
    for child in pattern.children:
        if isinstance(child, cst.MatchSequenceElement):
            bind(executor, Unknown(), child.value)
        elif isinstance(child, (cst.MatchMappingElement, cst.MatchKeywordElement)):
            bind(executor, Unknown(), child.pattern)
        elif isinstance(child, cst.MatchOrElement):
            bind(executor, subject, child.pattern)
        elif isinstance(child, (cst.MatchPattern, cst.MatchStar)):
            bind(executor, Unknown(), child)
