"""What is fitted to data before a model is trained on them: transformers, means and spreads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nnlint.symbolic.ancestry import ancestors
from nnlint.symbolic.scalar import is_numeric
from nnlint.symbolic.values import Const, Object, Origin, Sequence, Value, resolve_setting

TRANSFORMERS = frozenset(
    "StandardScaler MinMaxScaler MaxAbsScaler RobustScaler PowerTransformer QuantileTransformer KBinsDiscretizer PCA "
    "IncrementalPCA TruncatedSVD FastICA NMF SimpleImputer KNNImputer IterativeImputer CountVectorizer TfidfVectorizer "
    "TfidfTransformer SelectKBest VarianceThreshold".split()
)
"""Transformers of scikit-learn that take numbers from the data they are fitted to."""

STATISTICS = {"mean": "mean", "nanmean": "mean", "std": "standard deviation", "nanstd": "standard deviation"}
"""Functions and methods that tell where data lie, and how far they are spread."""

NORMALIZING = frozenset("- -= / /= sub sub_ subtract div div_ divide true_divide".split())
"""Operations that take the mean away, or divide by the spread."""

PARTS = frozenset(("getitem", "getattr", ".to_numpy", ".astype", ".reshape", ".copy", ".float", ".numpy"))
"""Operations that give parts of data, or the same data in another form."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Something that is fitted: where, to which data, and what it is called; ``by_hand``: a mean or a spread."""

    origin: Origin
    data: Value
    name: str
    by_hand: bool = False


def fits_in(value: Value, stored: Mapping[int, list[Value]]) -> Iterator[Fit]:
    """What was fitted on the way to a value, and then done to the very data it was fitted to.

    ``stored``: what was assigned to parts of values, by the identity of these.
    """
    roots = [value]
    seen: set[int] = set()
    for root in roots:
        for item in ancestors(root):
            if id(item) in seen:
                continue
            seen.add(id(item))
            roots += stored.get(id(item), ())
            fit = fit_of(item)
            if fit is not None:
                yield fit


def fit_of(value: Value) -> Fit | None:
    """What a value was transformed with, if that was fitted to the same data."""
    origin = value.origin
    if origin is None or len(origin.inputs) < 2:
        return None
    if origin.op == ".fit_transform":
        return transformer(origin)
    if origin.op == ".transform" and len(origin.inputs) > 2:
        fitting = origin.inputs[-1].origin
        fit = None if fitting is None or fitting.op != ".fit" else transformer(fitting)
        return fit if fit is not None and are_of_one(origin.inputs[1], fit.data) else None
    if origin.op.rpartition(".")[2] in NORMALIZING:
        return by_hand(*origin.inputs[:2])
    return None


def transformer(origin: Origin) -> Fit | None:
    """The transformer of scikit-learn that a call of ``fit`` or ``fit_transform`` fits."""
    fitted = resolve_setting(origin.inputs[0])
    if not isinstance(fitted, Object) or not fitted.path.startswith("sklearn.") or fitted.name not in TRANSFORMERS:
        return None
    return Fit(origin, origin.inputs[1], fitted.name) if len(origin.inputs) > 1 else None


def by_hand(data: Value, statistic: Value) -> Fit | None:
    """The mean or spread of all samples that is taken away from them, or that they are divided by."""
    origin = _without_epsilon(statistic).origin
    name = "" if origin is None else STATISTICS.get(origin.op.rpartition(".")[2], "")
    if origin is None or not name or not origin.inputs or not is_over_samples(origin):
        return None
    return Fit(origin, origin.inputs[0], name, by_hand=True) if are_of_one(data, origin.inputs[0]) else None


def _without_epsilon(value: Value) -> Value:
    """A spread before a small number was added to it."""
    origin = value.origin
    if origin is None or origin.op not in ("+", ".clamp", ".clip") or not origin.inputs:
        return value
    return next((item for item in origin.inputs if not is_numeric(item)), value)


def is_over_samples(origin: Origin) -> bool:
    """Whether a statistic goes over the first axis, which counts the samples, perhaps among others."""
    axes = [axis for value in origin.inputs[1:] for axis in _integers(value)]
    return not axes or 0 in axes


def _integers(value: Value) -> list[int]:
    resolved = resolve_setting(value)
    if isinstance(resolved, Sequence):
        return [axis for item in resolved.items for axis in _integers(item)]
    known = resolved.value if isinstance(resolved, Const) else None
    return [known] if isinstance(known, int) and not isinstance(known, bool) else []


def are_of_one(one: Value, other: Value) -> bool:
    """Whether two values are the same data, or one was computed from the other."""
    if source_of(one) is source_of(other):
        return True
    return any(item is other for item in ancestors(one)) or any(item is one for item in ancestors(other))


def source_of(value: Value) -> Value:
    """The data that a value is a part of, or another form."""
    while value.origin is not None and value.origin.op in PARTS and value.origin.inputs:
        value = value.origin.inputs[0]
    return value
