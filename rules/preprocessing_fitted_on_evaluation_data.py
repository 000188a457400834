"""NN108: what is computed from data before training has seen the data for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.fitting import Fit, fit_of, fits_in, source_of
from nnlint.evidence.partition import SPLITS, Partition, end_of, partitions
from nnlint.evidence.splits import role_of_name
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.ancestry import ancestors
from nnlint.symbolic.trace import Build, BuildVocabulary, Run, Sample, Store
from nnlint.symbolic.values import Const, Object, Tensor, Unknown, Value

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace


@rule(
    "NN108",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("fit_transform", ".fit(", ".mean(", ".std(", "build_vocab"),
    requires=("train_test_split", "random_split", "fit_transform", "sklearn", "torchtext"),
    roots=("^fit_transform$", "^train_test_split$", "^random_split$", "^build_vocab"),
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
    - The script speaks of pretrained vectors: then the words of all data sets may go into the vocabulary, for each has
      a vector that was learned elsewhere.
    """
    reported: set[int] = set()
    for run in trace.runs:
        for found in (*_before_the_split(run), *_anew(run), *_vocabularies(run)):
            if found.place.source is trace.source and id(found.place.node) not in reported:
                reported.add(id(found.place.node))
                yield found


def _finding(fit: Fit, message: str, advice: str, note: Note) -> Finding:
    return Finding(
        Place(fit.origin.source, fit.origin.node),
        message,
        "the evaluation is no longer of data that the model and what belongs to it have never seen",
        advice,
        (note,),
        confidence=Confidence.HIGH,
    )


# --- before the split ------------------------------------------------------------------------------------------------


def _before_the_split(run: Run) -> Iterator[Finding]:
    """What is fitted to all of the samples before they are split, and goes into a loader."""
    for partition in partitions(_loaders(run)):
        note = Note(Place(partition.origin.source, partition.origin.node), "the samples are split afterwards")
        normalized: set[int] = set()
        # By name, so that of the mean and the spread of the same data the mean is told of.
        for fit in sorted(fits_in(partition.whole, _stored(run, partition)), key=lambda fit: fit.name):
            data = id(source_of(fit.data))
            if _is_of_a_part(fit) or (fit.by_hand and data in normalized):
                continue
            if fit.by_hand:
                normalized.add(data)
                message = f"the {fit.name} is taken of all samples, before they are split"
                advice = "split first, and normalize all parts with the figures of the training part"
            else:
                message = f"{fit.name} is fitted to all samples, before they are split"
                advice = "split first, `fit_transform` the training part, and `transform` the others"
            yield _finding(fit, message, advice, note)


def _stored(run: Run, partition: Partition) -> dict[int, list[Value]]:
    """What was assigned to parts of values above the split, the columns of a table; what data sets give away."""
    split = partition.origin
    end = split.source.spans([split.node])[id(split.node)].row
    found: dict[int, list[Value]] = {}
    for sample in run.of(Sample):
        found.setdefault(id(sample.dataset), []).append(sample.value)
    for store in run.of(Store):
        place = store.place
        if place.source is split.source and place.source.spans([place.node])[id(place.node)].row < end:
            found.setdefault(id(source_of(store.target)), []).append(store.value)
    return found


def _is_of_a_part(fit: Fit) -> bool:
    """Whether what something is fitted to was split off before."""
    return _role(fit) is not None or any(
        value.origin is not None and (value.origin.op in SPLITS or end_of(value.origin))
        for value in ancestors(fit.data)
    )


# --- to other data ---------------------------------------------------------------------------------------------------


def _anew(run: Run) -> Iterator[Finding]:
    """What is fitted to the samples for evaluation after it, or its like, was fitted to those for training."""
    fits: dict[int, Fit] = {}
    for value in (value for loader in _loaders(run) for value in ancestors(loader)):
        fit = fit_of(value)
        if fit is not None and not fit.by_hand:
            fits[id(fit.origin)] = fit
    trained = [fit for fit in fits.values() if _role(fit) == "train"]
    for fit in fits.values() if trained else ():
        role = _role(fit)
        first = next((each for each in trained if each.name == fit.name), None)
        if role in ("validation", "test") and first is not None:
            note = Note(Place(first.origin.source, first.origin.node), "it is fitted to the training data here")
            advice = "`fit_transform` the training part only, and `transform` the others"
            yield _finding(fit, f"{fit.name} is fitted anew to the {role} data", advice, note)


def _vocabularies(run: Run) -> Iterator[Finding]:
    """Vocabularies of the words of training data and of others."""
    for event in run.of(BuildVocabulary):
        given = event.arguments
        if given.star or "vectors" in event.place.source.text:
            continue
        roles = [
            role_of_name(value.name) if isinstance(value, (Unknown, Tensor)) else None for value in given.positional
        ]
        others = [role for role in roles if role in ("validation", "test")]
        if "train" in roles and others:
            yield Finding(
                event.place,
                f"the vocabulary is built of the words of the training and of the {others[-1]} data",
                "words that occur in no training sample keep random vectors, instead of being the unknown word that "
                "the model has learned to deal with",
                "build it of the training data alone",
                confidence=Confidence.MEDIUM,
            )


def _loaders(run: Run) -> list[Value]:
    return [event.value for event in run.of(Build) if isinstance(event.value, Object) and event.value.kind == "loader"]


def _role(fit: Fit) -> str | None:
    """The split that the samples it is fitted to are of, by their place among the parts or by their name."""
    for value in ancestors(fit.data):
        origin = value.origin
        if origin is not None and origin.op == "getitem" and origin.inputs:
            whole = origin.inputs[0].origin
            key = origin.inputs[1] if len(origin.inputs) > 1 else None
            if whole is not None and whole.op in SPLITS and isinstance(key, Const) and isinstance(key.value, int):
                return "train" if key.value % 2 == 0 else "test"
        if isinstance(value, (Unknown, Tensor)) and value.name and (role := role_of_name(value.name)) is not None:
            return role
    return None
