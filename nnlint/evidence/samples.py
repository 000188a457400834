"""How many samples a data set has, where the script or common knowledge says it."""

from __future__ import annotations

from nnlint.evidence.leaves import by_default
from nnlint.symbolic.scalar import number
from nnlint.symbolic.values import Const, Object, Range, Sequence, Tensor, Unknown, Value, resolve_setting, shape_of

LENGTHS: dict[str, tuple[int, int]] = {
    "MNIST": (60_000, 10_000),
    "FashionMNIST": (60_000, 10_000),
    "KMNIST": (60_000, 10_000),
    "CIFAR10": (50_000, 10_000),
    "CIFAR100": (50_000, 10_000),
}
"""Samples for training and for testing of data sets of torchvision that take ``train``."""


def count_of_samples(dataset: Value | None) -> int | None:
    """The number of samples of a data set, None if it is not known."""
    dataset = by_default(resolve_setting(dataset))
    if isinstance(dataset, Sequence) and not dataset.open:
        return len(dataset.items)
    if not isinstance(dataset, Object) or dataset.arguments.star:
        return None
    if dataset.path.startswith("torchvision.datasets.") and dataset.name in LENGTHS:
        train = resolve_setting(dataset.arguments.get(1, "train"))
        if train is None or isinstance(train, Const):
            return LENGTHS[dataset.name][0 if train is None or train.value else 1]
    if dataset.path == "torch.utils.data.TensorDataset" and dataset.arguments.positional:
        first = dataset.arguments.positional[0]
        dims = shape_of(first).dims if isinstance(first, (Tensor, Unknown)) else None
        rows = number(dims[0]) if dims else None
        return None if rows is None else int(rows)
    if dataset.path == "torch.utils.data.Subset" and not dataset.children:
        return _count(dataset.arguments.get(1, "indices"))
    return None


def _count(indices: Value | None) -> int | None:
    indices = resolve_setting(indices)
    if isinstance(indices, Range):
        start, stop, step = number(indices.start), number(indices.stop), number(indices.step)
        return None if start is None or stop is None or step != 1 else max(int(stop - start), 0)
    return len(indices.items) if isinstance(indices, Sequence) and not indices.open else None
