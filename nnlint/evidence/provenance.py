"""Walking back from a value to the values it was computed from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from nnlint.symbolic.scalar import is_numeric, number
from nnlint.symbolic.values import (
    Attribute,
    Choice,
    Const,
    Mapping,
    Object,
    Operation,
    Origin,
    Sequence,
    Tensor,
    Unknown,
    Value,
    Wrapped,
    resolve_setting,
)

FARTHEST = 4_000
"""Values that one walk looks at, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A value that was met on the way back, and the other summands that were passed on the way to it."""

    value: Value
    beside: tuple[Value, ...] = ()


Step = Callable[[Value], Iterable[Part]]
"""One step back: the values that went into a value."""


def walk_back(value: Value, step: Step) -> Iterator[Part]:
    """``value`` and everything that ``step`` leads back to, each value once."""
    return walk_back_from([value], step)


def walk_back_from(values: Iterable[Value], step: Step) -> Iterator[Part]:
    """Several values and everything that ``step`` leads back to, each value once."""
    stack = list(map(Part, values))
    seen: set[int] = set()
    while stack and len(seen) < FARTHEST:
        part = stack.pop()
        if id(part.value) in seen:
            continue
        seen.add(id(part.value))
        yield part
        stack += [Part(before.value, part.beside + before.beside) for before in step(part.value)]


# --- what an operation does ------------------------------------------------------------------------------------------


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SUM = _words("+ add add_")
DIFFERENCE = _words("- sub sub_ subtract")
PRODUCT = _words("* mul mul_ multiply")
QUOTIENT = _words("/ div div_ divide true_divide")
POWER = _words("** pow")
CLAMP = _words("clamp clamp_ clip clip_ clamp_max clamp_max_ clamp_min clamp_min_")
LEAST = _words("minimum fmin min")
GREATEST = _words("maximum fmax max")

SAME = _words(
    "mean sum nanmean nansum amax amin squeeze unsqueeze view reshape flatten view_as reshape_as expand expand_as "
    "repeat contiguous clone to cuda cpu float double half bfloat16 type type_as nan_to_num masked_select masked_fill "
    "index_select gather transpose permute t requires_grad_ retain_grad topk sort chunk split unbind relu sqrt "
    "Variable getitem iterate scale scale_loss tril triu"
)
"""Operations whose result is large where, and only where, their first operand is: reductions, other orders of the
same elements, copies, the scaling of ``GradScaler``."""

JOINED = _words("stack cat concat concatenate hstack vstack")
FINITE = _words("isnan isinf isfinite")

REDUCTION = re.compile(r"reduc|aggreg|^agg_|averag|scale_loss", re.IGNORECASE)
"""Names of functions that make one loss of many; the first argument is what they reduce."""


def operation_of(origin: Origin) -> str:
    """The bare name of the operation, or the operator; empty for what is neither torch's nor a tensor's method."""
    op = origin.op
    if "." not in op:
        return op
    return op.rpartition(".")[2] if op.startswith(("torch.", ".", "builtins.", "apex.")) else ""


def operands(origin: Origin) -> tuple[Value, Value] | None:
    """The two operands of an operator or of the function or method of its name."""
    return (origin.inputs[0], origin.inputs[1]) if len(origin.inputs) >= 2 else None


def members(value: Value) -> list[Value]:
    """What a container holds, the alternatives of a choice, the loss of a model's output; empty for anything else."""
    if isinstance(value, Choice):
        return [value.yes, value.no]
    if isinstance(value, Sequence):
        return [*value.items, *([value.element] if value.element is not None else [])]
    if isinstance(value, Mapping):
        return [*value.items.values(), *([value.default] if value.default is not None else [])]
    if isinstance(value, Wrapped):
        return list(value.sources)
    if isinstance(value, Object):
        return [given for name, given in value.arguments.keywords.items() if name == "loss"]
    return []


def summands(value: Value) -> Iterable[Part]:
    """One step back along the operations that keep an upper bound of a part an upper bound of the whole.

    These are sums, products with positive weights, reductions, copies and the like, bounds, and containers. Through
    anything else, such as a logarithm, a power, a product of two tensors or the right side of a difference, a large
    part need not make the whole large, and the walk ends.
    """
    found = [Part(member) for member in members(value)]
    origin = value.origin
    if found or origin is None or not origin.inputs:
        return found
    op = operation_of(origin)
    if op in SAME or op in CLAMP or op in JOINED:
        return [Part(origin.inputs[0])]
    if op in LEAST or op in GREATEST:
        compared = [item for item in origin.inputs if not is_numeric(item)]
        return [Part(item) for item in compared] if op in LEAST or len(compared) == 1 else []
    if op == "call":
        return [Part(item) for item in origin.inputs[1:2] if REDUCTION.search(getattr(origin.inputs[0], "name", ""))]
    both = operands(origin)
    if both is None:
        return []
    left, right = both
    if op in SUM:
        return [Part(left, (right,)), Part(right, (left,))]
    if op in DIFFERENCE:
        return [Part(left)]
    if op in PRODUCT:
        return [Part(this) for this, other in ((left, right), (right, left)) if is_positive(other)]
    if op in QUOTIENT and is_positive(right):
        return [Part(left)]
    if op == "where":
        return _guarded(origin)
    return []


def _guarded(origin: Origin) -> list[Part]:
    """The branches of ``where(isnan(x), constant, x)``; any other test chooses among examples on purpose."""
    test = origin.inputs[0].origin
    if test is None or operation_of(test) not in FINITE | {"~"}:
        return []
    return [Part(item) for item in origin.inputs[1:]]


def ingredients(value: Value) -> Iterable[Part]:
    """One step back as :func:`summands`, and through products of any two, quotients and the greater of two."""
    origin = value.origin
    both = None if origin is None else operands(origin)
    if origin is not None and both is not None:
        op = operation_of(origin)
        if op in PRODUCT:
            return [Part(factor) for factor in both]
        if op in QUOTIENT:
            return [Part(both[0])]
        if op in GREATEST:
            return [Part(item) for item in both if not is_numeric(item)]
    return summands(value)


def everything(value: Value) -> Iterable[Part]:
    """One step back through whatever it was."""
    inputs = () if value.origin is None else value.origin.inputs
    return [Part(item) for item in (*members(value), *inputs)]


# --- signs -----------------------------------------------------------------------------------------------------------

WEIGHT = re.compile(
    r"(^|_)(w\d*|wt|weights?\d*|weighting|lamb?da\d*|lmbda|lamd?\d*|coe?f\w*|alphas?|betas?|gammas?|rho|scales?|scaling|"
    r"factors?|masks?|valid\w*|snr|mult\w*|strength|norm\w*|counts?|num|n|total|size|len\w*|steps|accum\w*|"
    r"temperature|std|sigmas?)(_|\d|$)|(weight|mask|coef|scale|lambda)s?$",
    re.IGNORECASE,
)
"""Names of what a loss is weighted, masked or normalized with: never negative."""

NEVER_NEGATIVE = POWER | _words(
    "exp sigmoid softmax abs square sqrt eq ne lt le gt ge logical_and logical_or logical_not isfinite softplus relu "
    "ones_like ones norm var std numel == != < <= > >= & | ~"
)
"""Operations whose result is not negative (a power is taken to be an even one, or one of a positive number)."""


def is_positive(value: Value | None, depth: int = 0) -> bool:
    """Whether a factor is known, or by its name taken, not to turn a large loss into a small one."""
    value = resolve_setting(value)
    if value is None or depth > 12:
        return False
    known = number(value)
    if known is not None:
        return known > 0
    if isinstance(value, Operation):
        return value.op != "neg"
    if is_numeric(value):
        return True
    if isinstance(value, Choice):
        return is_positive(value.yes, depth + 1) and is_positive(value.no, depth + 1)
    if isinstance(value, (Tensor, Unknown, Attribute)) and WEIGHT.search(value.name):
        return True
    origin = value.origin
    if origin is None or not origin.inputs:
        return False
    op = operation_of(origin)
    if op in NEVER_NEGATIVE:
        return True
    first = origin.inputs[0]
    if op == "getitem" and any(_says_weight(key) for key in origin.inputs[1:]):
        return True
    if op in SAME or op in CLAMP:
        return is_positive(first, depth + 1)
    both = operands(origin)
    if both is not None and op in SUM | PRODUCT | QUOTIENT:
        return all(is_positive(item, depth + 1) for item in both)
    return False


def _says_weight(key: Value) -> bool:
    return isinstance(key, Const) and isinstance(key.value, str) and WEIGHT.search(key.value) is not None
