"""NN105: processes that load samples draw the same random numbers, each for itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.loaders import anchor, datasets, given
from nnlint.evidence.requirements import is_older
from nnlint.evidence.seeding import is_test
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Build, RandomUse, Run
from nnlint.symbolic.values import Class, Function, Instance, Object, resolve_setting
from nnlint.symbolic.words import below, words_of

if TYPE_CHECKING:
    from nnlint.source import Source
    from nnlint.symbolic.trace import Trace

SEEDS_NUMPY = (1, 9)
"""From this version of torch on each worker seeds numpy's global generator anew."""

OWN = re.compile(r"(?:np\.random\.|numpy\.random\.)?(?:default_rng|RandomState)|(?:random\.)?Random|torch\.Generator")
"""How functions are written that make a generator, which every worker gets a copy of."""

AWARE = re.compile(r"get_worker_info|worker_init|worker_id|worker_seed|initial_seed|\.seed\(")
"""Words of a data set that knows which worker it is in, or seeds what it draws from."""


@dataclass(frozen=True, slots=True, eq=False)
class Copied:
    """What the workers of a loader draw alike: numpy's global generator, or one that the data set holds."""

    draw: Place
    what: str
    made: Place | None
    """Where the generator of its own is made; None for numpy's."""


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
    the data set holds, all in the same state. Each copy draws the same numbers: eight samples in a row are cropped at
    the same place, and since the copies are made anew for each epoch, they are in the next epoch again. Below torch 1.9
    the same holds for numpy's global generator, which is in many an old data set. Nothing shows it but the pictures
    of a few batches side by side, which is where the recipe asks to look.

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
    It has no experiment yet.

    ## When it stays silent
    - The draws are torch's, or those of Python's `random`: each worker seeds these.
    - The draws are of numpy's global generator and the project does not ask for a torch below 1.9, in its
      `requirements.txt`, `pyproject.toml`, `setup.py` or `environment.yml`: newer versions seed it in each worker.
    - There are no workers (`num_workers=0`), or nobody knows whether there are.
    - A `worker_init_fn` is given, the data set asks which worker it is in, or it makes or seeds its generator itself
      when it loads a sample.
    """
    if is_test(trace.source.path):
        return
    reported: set[int] = set()
    for run in trace.runs:
        for build in run.of(Build):
            loader = build.value
            if not isinstance(loader, Object) or loader.kind != "loader" or not has_workers(loader):
                continue
            place = anchor(trace, build)
            copied = copied_in(trace, run, loader) if place is not None else None
            if place is not None and copied is not None and id(place.node) not in reported:
                reported.add(id(place.node))
                yield describe(loader, build, place, copied)


def has_workers(loader: Object) -> bool:
    """Whether a loader surely has several workers, which nothing tells apart."""
    workers = number(resolve_setting(loader.arguments.get(5, "num_workers")))
    init = given(loader.arguments.get(10, "worker_init_fn"))
    return workers is not None and workers > 1 and init is None and not loader.arguments.star


def copied_in(trace: Trace, run: Run, loader: Object) -> Copied | None:
    """What the workers of a loader draw alike."""
    for dataset in datasets(loader):
        if not isinstance(dataset, Instance):
            continue
        copied = own_generator(dataset) or global_generator(trace, run, dataset)
        if copied is not None and not any(AWARE.search(code_of(cls)) for cls in dataset.cls.lineage()):
            return copied
    return None


def code_of(cls: Class) -> str:
    """The code of a class, without comments."""
    return re.sub(r"#.*", "", cls.frame.module.source.module.code_for_node(cls.node))


# --- a generator that the data set holds -----------------------------------------------------------------------------


def own_generator(dataset: Instance) -> Copied | None:
    """Where a data set draws, for a sample, from a generator that it holds."""
    held = {name: place for cls in dataset.cls.lineage() for name, place in _held_by(cls).items()}
    for function in loading(dataset) if held else ():
        for call in below(function.node):
            if not isinstance(call, cst.Call):
                continue
            for expression in (call.func, *(arg.value for arg in call.args if _is_generator(arg))):
                made = held.get(_attribute(expression, function))
                if made is not None:
                    name, code = _attribute(expression, function), made.source.module.code_for_node
                    maker = code(made.node.func) if isinstance(made.node, cst.Call) else ""
                    return Copied(Place(function.frame.module.source, call), f"`self.{name}`, a `{maker}`", made)
    return None


def _held_by(cls: Class) -> dict[str, Place]:
    """The generators that a class makes in its initializer and puts nothing else in the place of, by attribute."""
    initializer, source = cls.namespace.get("__init__"), cls.frame.module.source
    if not isinstance(initializer, Function):
        return {}
    found: dict[str, Place] = {}
    for node in below(initializer.node):
        if isinstance(node, cst.Assign) and len(node.targets) == 1:
            name, maker = _attribute(node.targets[0].target, initializer), _maker(node.value, source)
            if name and maker is not None:
                found[name] = Place(source, maker)
    code = code_of(cls)
    return {name: made for name, made in found.items() if len(re.findall(rf"\.{name}\s*=(?!=)", code)) == 1}


def _maker(value: cst.BaseExpression, source: Source) -> cst.Call | None:
    """The call that makes a generator, also one that is seeded at once: ``torch.Generator().manual_seed(0)``."""
    if isinstance(value, cst.Call) and isinstance(value.func, cst.Attribute) and value.func.attr.value == "manual_seed":
        value = value.func.value
    if isinstance(value, cst.Call) and OWN.fullmatch(source.module.code_for_node(value.func)):
        return value
    return None


def loading(dataset: Instance) -> list[Function]:
    """The methods that load a sample: ``__getitem__``, and those that it names."""
    getter = dataset.cls.lookup("__getitem__")
    found = [getter] if isinstance(getter, Function) else []
    for function in found:
        methods = (dataset.cls.lookup(name) for name in sorted(words_of(function.node)))
        found += [each for each in methods if isinstance(each, Function) and each not in found]
    return found


def _is_generator(arg: cst.Arg) -> bool:
    return arg.keyword is not None and arg.keyword.value == "generator"


def _attribute(expression: cst.BaseExpression, function: Function) -> str:
    """``rng`` of ``self.rng`` and of ``self.rng.integers``."""
    if isinstance(expression, cst.Attribute) and isinstance(expression.value, cst.Attribute):
        expression = expression.value
    params = function.node.params.params
    receiver = params[0].name.value if params else ""
    if isinstance(expression, cst.Attribute) and isinstance(expression.value, cst.Name):
        return expression.attr.value if expression.value.value == receiver else ""
    return ""


# --- numpy's ----------------------------------------------------------------------------------------------------------


def global_generator(trace: Trace, run: Run, dataset: Instance) -> Copied | None:
    """Where a data set draws from numpy's global generator, if the project's torch is one that copies it."""
    classes = [id(cls) for cls in dataset.cls.lineage()]
    for event in run.of(RandomUse):
        if event.generator == "numpy" and event.in_worker:
            sites = (site.function for site in event.context.calls)
            inside = any(site.name == "__getitem__" and id(site.owner) in classes for site in sites)
            if inside and is_older(trace.root, "torch", SEEDS_NUMPY):
                return Copied(event.place, "numpy's global generator", None)
    return None


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(loader: Object, build: Build, place: Place, copied: Copied) -> Finding:
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
    )
