"""NN108: what is computed from data before training has seen the data for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.splits import role_of_name
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.ancestry import ancestors
from nnlint.symbolic.trace import Build, Run
from nnlint.symbolic.values import Const, Object, Origin, Unknown, Value, resolve_setting

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

FITTED = frozenset(
    "StandardScaler MinMaxScaler MaxAbsScaler RobustScaler PowerTransformer QuantileTransformer KBinsDiscretizer PCA "
    "IncrementalPCA TruncatedSVD FastICA NMF SimpleImputer KNNImputer IterativeImputer CountVectorizer TfidfVectorizer "
    "TfidfTransformer SelectKBest VarianceThreshold".split()
)
"""Transformers of scikit-learn that take numbers from the data they are fitted to."""

SPLITS = ("sklearn.model_selection.train_test_split", "torch.utils.data.random_split")


@rule(
    "NN108",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("fit_transform",),
    requires=("sklearn",),
    roots=("^fit_transform$",),
)
def preprocessing_fitted_on_evaluation_data(trace: Trace) -> Iterator[Finding]:
    """A scaler, vocabulary or projection that is fitted to the data for evaluation, alone or with the others.

    ## Why it matters
    What is fitted is part of the model. A scaler that has seen all samples before they were split carries the mean and
    the spread of the test data into training, and the test figure is one of a model that knew them. Fitted anew to the
    test data it is another scaler: the same sample comes out with other numbers than in training, and a shift of the
    data, which is what a test should notice, is scaled away. In use there is one sample at a time and nothing to fit.

    ## Example
    ```python
    import pandas
    import torch
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    table = pandas.read_csv("houses.csv")
    features = StandardScaler().fit_transform(table.drop(columns="price"))
    x_train, x_test, y_train, y_test = train_test_split(features, table["price"].values, random_state=0)
    train_set = TensorDataset(torch.tensor(x_train), torch.tensor(y_train))
    train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
    test_loader = DataLoader(TensorDataset(torch.tensor(x_test), torch.tensor(y_test)), batch_size=32)
    ```

    ## Use instead
    ```python
    import pandas
    import torch
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    table = pandas.read_csv("houses.csv")
    x_train, x_test, y_train, y_test = train_test_split(
        table.drop(columns="price"), table["price"].values, random_state=0
    )
    scaler = StandardScaler()
    x_train = scaler.fit_transform(x_train)
    x_test = scaler.transform(x_test)
    train_set = TensorDataset(torch.tensor(x_train), torch.tensor(y_train))
    train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
    test_loader = DataLoader(TensorDataset(torch.tensor(x_test), torch.tensor(y_test)), batch_size=32)
    ```

    ## How it is confirmed
    It has no experiment: what is said is which data a transformer is fitted to, and running it would show no more.

    ## When it stays silent
    - It is fitted to the training part and applied to both, or each sample is normalized by itself.
    - Labels are encoded (`LabelEncoder`), or what is fitted goes into no loader.
    - Only the parts are seen, not how they were split: nothing tells that other samples are for evaluation.
    """
    reported: set[int] = set()
    for run in trace.runs:
        for fit, notes, message in (*_before_the_split(run), *_anew(run)):
            place = Place(fit.source, fit.node)
            if fit.source is trace.source and id(fit.node) not in reported:
                reported.add(id(fit.node))
                yield Finding(
                    place,
                    message,
                    "the evaluation is no longer of data that the model and what belongs to it have never seen",
                    "split first, `fit_transform` the training part, and `transform` the others",
                    notes,
                    confidence=Confidence.HIGH,
                )


Fit = tuple[Origin, tuple[Note, ...], str]


def _before_the_split(run: Run) -> Iterator[Fit]:
    """What is fitted to all of the samples before they are split, and goes into a loader."""
    for loader in _loaders(run):
        for part in ancestors(loader):
            split = part.origin
            if split is None or split.op not in SPLITS or not split.inputs:
                continue
            for value in ancestors(split.inputs[0]):
                fit = value.origin
                if fit is not None and _is_fit(fit) and not _is_of_a_part(fit):
                    notes = (Note(Place(split.source, split.node), "the samples are split afterwards"),)
                    yield fit, notes, f"{_name(fit)} is fitted to all samples, before they are split"


def _anew(run: Run) -> Iterator[Fit]:
    """What is fitted to the samples for evaluation after it, or its like, was fitted to those for training."""
    fits = {
        id(value.origin): value.origin
        for loader in _loaders(run)
        for value in ancestors(loader)
        if value.origin is not None and _is_fit(value.origin)
    }
    trained = [fit for fit in fits.values() if _role(fit) == "train"]
    for fit in fits.values() if trained else ():
        role = _role(fit)
        first = next((each for each in trained if _name(each) == _name(fit)), None)
        if role in ("validation", "test") and first is not None:
            notes = (Note(Place(first.source, first.node), "it is fitted to the training data here"),)
            yield fit, notes, f"{_name(fit)} is fitted anew to the {role} data"


def _loaders(run: Run) -> Iterator[Value]:
    for event in run.of(Build):
        if isinstance(event.value, Object) and event.value.kind == "loader":
            yield event.value


def _is_fit(origin: Origin) -> bool:
    return origin.op == ".fit_transform" and len(origin.inputs) > 1 and _name(origin) in FITTED


def _name(fit: Origin) -> str:
    """The class of what is fitted."""
    fitted = resolve_setting(fit.inputs[0])
    return fitted.name if isinstance(fitted, Object) and fitted.path.startswith("sklearn.") else ""


def _is_of_a_part(fit: Origin) -> bool:
    """Whether what something is fitted to was split off before."""
    return _role(fit) is not None or any(
        value.origin is not None and value.origin.op in SPLITS for value in ancestors(fit.inputs[1])
    )


def _role(fit: Origin) -> str | None:
    """The split that the samples it is fitted to are of, by their place among the parts or by their name."""
    for value in ancestors(fit.inputs[1]):
        origin = value.origin
        if origin is not None and origin.op == "getitem" and origin.inputs:
            whole = origin.inputs[0].origin
            key = origin.inputs[1] if len(origin.inputs) > 1 else None
            if whole is not None and whole.op in SPLITS and isinstance(key, Const) and isinstance(key.value, int):
                return "train" if key.value % 2 == 0 else "test"
        if isinstance(value, Unknown) and value.name and (role := role_of_name(value.name)) is not None:
            return role
    return None
