"""What was drawn, made comparable between two processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from ..anything import is_missing
from ..building.prepared import generators_kept

MOST = 5000
"""Parts of one value that are looked at."""

LONG = 1 << 16
"""Bytes from which on the beginning of a tensor and the sum of its words stand for it: a digest takes its time."""

FIRST = 64
"""Samples of an epoch whose order is compared."""


def fingerprint(value: Any) -> dict[str, str]:
    """A short text for each part of a value that holds numbers: alike if and only if the numbers are.

    Parts are the parameters and buffers of a module, the samples that a loader asks for first, and the tensors,
    arrays and numbers in containers and in the attributes of plain objects. Empty for a value without any.
    """
    return dict(islice(_parts(value, "", 3), MOST))


def first_samples(loader: Any, most: int = FIRST) -> list[int]:
    """The indices of the samples that an epoch would begin with; all generators stay as they are."""
    own = list(_generators_of(loader))
    before = [each.get_state() for each in own]
    found: list[int] = []
    try:
        with generators_kept():
            for each in islice(iter(loader.batch_sampler or loader.sampler), most):
                found += [int(index) for index in each] if isinstance(each, (list, tuple)) else [int(each)]
                if len(found) >= most:
                    break
    finally:
        for generator, state in zip(own, before):
            generator.set_state(state)
    return found[:most]


def is_loader(value: Any) -> bool:
    """Whether a value is a loader of torch."""
    import torch

    return isinstance(value, torch.utils.data.DataLoader)


def _parts(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    import torch

    if is_missing(value) or value is None or isinstance(value, (type, str)) or depth < 0:
        return
    if isinstance(value, torch.nn.Module):
        for part, tensor in (*value.named_parameters(), *value.named_buffers()):
            yield from _parts(tensor, _joined(name, part), depth)
    elif isinstance(value, torch.Tensor):
        if not isinstance(value, torch.nn.parameter.UninitializedTensorMixin) and value.numel() and not value.is_meta:
            yield name, _digest_of_tensor(value)
    elif is_loader(value):
        samples = first_samples(value)
        if samples:
            yield _joined(name, "order"), _digest(repr(samples).encode())
    elif isinstance(value, (bool, int, float, complex)):
        yield name, repr(value)
    elif isinstance(value, torch.utils.data.Subset):
        yield from _parts(list(value.indices), _joined(name, "indices"), depth)
    elif isinstance(value, (list, tuple)) and value and all(type(each) in (int, float, bool) for each in value):
        yield name, _digest(repr(list(value)).encode())
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            yield from _parts(each, _joined(name, str(number)), depth - 1)
    elif isinstance(value, Mapping):
        for key in value:
            yield from _parts(value[key], _joined(name, str(key)), depth - 1)
    elif type(value).__module__.partition(".")[0] == "numpy":
        yield from _parts_of_numpy(value, name)
    elif hasattr(value, "__dict__") and not callable(getattr(value, "__code__", None)):
        for attribute, each in sorted(vars(value).items()):
            if not callable(each) or isinstance(each, torch.nn.Module):
                yield from _parts(each, _joined(name, attribute), depth - 1)


def _parts_of_numpy(value: Any, name: str) -> Iterator[tuple[str, str]]:
    state = getattr(getattr(value, "bit_generator", None), "state", None) or getattr(value, "get_state", None)
    if state is not None:
        yield _joined(name, "state"), _digest(repr(state() if callable(state) else state).encode())
    elif getattr(value, "size", 0) and hasattr(value, "tobytes") and value.dtype.kind != "O":
        yield name, _digest(value.tobytes())


def _digest_of_tensor(tensor: Any) -> str:
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    try:
        raw = flat.view(torch.uint8)
        words = raw.numel() // 8 * 8
        if words <= LONG:
            return _digest(raw.numpy())
        ends = torch.cat((raw[:LONG], raw[words:]))
        return f"{_digest(ends.numpy())} {int(raw[:words].view(torch.int64).sum())}"
    except (RuntimeError, TypeError):
        return _digest(repr(flat.tolist()).encode())


def _digest(raw: Any) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]


def _joined(name: str, part: str) -> str:
    return f"{name}.{part}" if name and part else name or part


def _generators_of(loader: Any) -> Iterator[Any]:
    seen: set[int] = set()
    sampler = getattr(loader, "sampler", None)
    batches = getattr(loader, "batch_sampler", None)
    for holder in (loader, sampler, batches, getattr(batches, "sampler", None)):
        generator = getattr(holder, "generator", None)
        if generator is not None and hasattr(generator, "get_state") and id(generator) not in seen:
            seen.add(id(generator))
            yield generator
