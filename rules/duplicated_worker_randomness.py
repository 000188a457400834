"""NN105: processes that load samples draw the same random numbers, each for itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.copied_generators import Copied, copied_in
from nnlint.evidence.loaders import anchor, given
from nnlint.evidence.loading_again import loading_in_workers
from nnlint.evidence.seeding import is_test
from nnlint.evidence.splits import split_of
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Build, Run
from nnlint.symbolic.values import Object, resolve_setting

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

ASSIGNED = re.compile(r"\.worker_init_fn\s*=(?!=)")
"""A loader that is told later what its workers begin with."""


@rule(
    "NN105",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=("oader",),
    requires=("workers",),
    roots=("DataLoader",),
)
def duplicated_worker_randomness(trace: Trace) -> Iterator[Finding]:
    """A data set whose random numbers are the same in every process that loads its samples.

    ## Why it matters
    With `num_workers=8` eight copies of the data set are made, and with them eight copies of a random generator that
    the data set, its transform or its module holds, all in the same state. Each copy draws the same numbers: eight
    samples in a row are cropped at the same place, and since the copies are made anew for each epoch, they are in the
    next epoch again. Below torch 1.9 the same holds for numpy's global generator, which is in many an old data set.
    Nothing shows it but the pictures of a few batches side by side, which is where the recipe asks to look.

    ## Example
    ```python
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, Dataset

    torch.manual_seed(0)

    class Windows(Dataset):
        def __init__(self, path):
            self.signals = np.load(path)
            self.rng = np.random.default_rng(0)

        def __len__(self):
            return len(self.signals)

        def __getitem__(self, index):
            start = self.rng.integers(0, 1000)
            return torch.from_numpy(self.signals[index, start : start + 256])

    loader = DataLoader(Windows("train.npy"), batch_size=64, shuffle=True, num_workers=8)
    for batch in loader:
        print(batch.mean())
    ```

    ## Use instead
    ```python
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, Dataset

    torch.manual_seed(0)

    class Windows(Dataset):
        def __init__(self, path):
            self.signals = np.load(path)

        def __len__(self):
            return len(self.signals)

        def __getitem__(self, index):
            start = torch.randint(0, 1000, ()).item()
            return torch.from_numpy(self.signals[index, start : start + 256])

    loader = DataLoader(Windows("train.npy"), batch_size=64, shuffle=True, num_workers=8)
    for batch in loader:
        print(batch.mean())
    ```

    ## How it is confirmed
    The script is run as far as the loader, and two real worker processes load 16 samples each, with made-up pictures
    and arrays where files are missing. Compared are the state in which each draw begins and the number that comes out.
    Confirmed are workers that make the same draws, although draws differ once each worker is given a seed of its own;
    the verdict says whether the next epoch makes them again. Refuted are workers none of whose draws begins in a state
    that the other is in, though their draws are the same once both are given the same seed. The verdict is that of the
    torch at hand, which it names: from 1.9 on numpy's global generator is refuted. Nothing is said where worker
    processes cannot be started, or where data that cannot be made up decide what is drawn.

    ## When it stays silent
    - The draws are torch's, or those of Python's `random`: each worker seeds these.
    - The draws are of numpy's global generator and the project does not ask for a torch below 1.9, in its
      `requirements.txt`, `pyproject.toml`, `setup.py` or `environment.yml`: newer versions seed it in each worker.
    - There are no workers (`num_workers=0`), or nobody knows whether there are.
    - A `worker_init_fn` is given, also later; the data set asks which worker it is in, or makes or seeds its generator
      itself when it loads a sample.
    - The loader goes over validation or test data, whose crops may be meant to be the same each time.
    - It depends on a branch whether a sample is drawn for, and the options as they stand do not take it; or only a
      sample that cannot be loaded is replaced at random.
    - The generator lies in the module and nobody seeds it: where processes are not forked, each makes its own.
    """
    if is_test(trace.source.path) or ASSIGNED.search(trace.source.text):
        return
    reported: set[int] = set()
    for run in trace.runs:
        for build in run.of(Build):
            loader = build.value
            if not isinstance(loader, Object) or loader.kind != "loader" or not has_workers(loader):
                continue
            if (split := split_of(loader)) is not None and split.role != "train":
                continue
            place = anchor(trace, build)
            copied = copied_in(trace, run, loader) if place is not None else None
            if place is not None and copied is not None and id(place.node) not in reported:
                reported.add(id(place.node))
                yield describe(loader, build, place, copied, run)


def has_workers(loader: Object) -> bool:
    """Whether a loader surely has several workers, which nothing tells apart."""
    workers = number(resolve_setting(loader.arguments.get(5, "num_workers")))
    init = given(loader.arguments.get(10, "worker_init_fn"))
    return workers is not None and workers > 1 and init is None and not loader.arguments.star


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(loader: Object, build: Build, place: Place, copied: Copied, run: Run) -> Finding:
    """The finding in words."""
    workers = number(resolve_setting(loader.arguments.get(5, "num_workers"))) or 0
    notes = [Note(copied.draw, "each of them draws here")]
    if copied.made is not None:
        notes.insert(0, Note(copied.made, "the generator is made once, and copied to each worker"))
        why = "every worker begins with a copy of the generator in the same state"
        advice = "draw from torch's global generator, or seed the generator in a `worker_init_fn`"
    else:
        why = "the project asks for a torch below 1.9, which does not seed numpy in its workers"
        advice = "seed numpy in a `worker_init_fn`, draw from torch's generator, or ask for torch 1.9 or newer"
    return Finding(
        place,
        f"the loader's {workers:g} workers draw the same random numbers from {copied.what}",
        why,
        advice,
        (*notes, *((Note(build.place, "the loader is built here"),) if build.place.node is not place.node else ())),
        confidence=Confidence.HIGH,
        experiment=partial(loading_in_workers, run, build, copied),
    )
