"""NN202: a seed that leaves out a generator in use, comes too late, or is another one each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Severity
from nnlint.evidence.loaders import SEEDS_NUMPY
from nnlint.evidence.repeating import repetition, repetition_in_workers
from nnlint.evidence.requirements import is_older
from nnlint.evidence.seeding import (
    GLOBAL,
    MENTIONS,
    SEEDERS,
    TRAINS,
    Seeding,
    calls_in,
    cause_of,
    clock,
    listed,
    option_of,
    same_conditions,
    seed_before,
    seeding_of,
    seeds_as_code,
    seeds_in_words,
    unlike,
)
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.library.frameworks import SELF_SEEDING
from nnlint.symbolic.library.generators import SEEDS, spoken
from nnlint.symbolic.scalar import number
from nnlint.symbolic.values import Object, resolve_setting
from nnlint.symbolic.words import words_of

if TYPE_CHECKING:
    from nnlint.experiment import Experiment
    from nnlint.symbolic.trace import RandomUse, Seed, Trace

REPORTS = frozenset(
    (
        *("print", "pprint", "echo", "write", "writerow", "append", "set_description"),
        *("debug", "info", "warning", "critical", "log", "log_hyperparams", "add_text", "add_hparams"),
        *("save", "dump", "dumps", "update", "config", "init"),
    )
)
"""Functions that tell or keep what they are given."""


@rule(
    "NN202",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=MENTIONS,
    requires=TRAINS,
    roots=(),
)
def partial_seed(trace: Trace) -> Iterator[Finding]:
    """A seed that does not reach all that a training script draws.

    ## Why it matters
    torch, numpy and random each have a generator of their own, and `torch.cuda` has more. A seed for one of them, a
    seed after the model is built, or a seed that is itself drawn looks like a repeatable run and is none, which is
    worse than no seed: differences between runs are taken for effects of what was changed. Karpathy's recipe asks for
    a fixed seed so that running the code twice gives the same outcome; half a seed does not.

    ## Example
    ```python
    import numpy as np
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    np.random.seed(0)
    images, digits = np.load("images.npy"), np.load("digits.npy")
    order = np.random.permutation(len(images))
    dataset = TensorDataset(torch.from_numpy(images[order]), torch.from_numpy(digits[order]))
    loader = DataLoader(dataset, batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(5):
        for batch, target in loader:
            loss = nn.functional.cross_entropy(model(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    ```

    ## Use instead
    ```python
    import numpy as np
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    np.random.seed(0)
    torch.manual_seed(0)
    images, digits = np.load("images.npy"), np.load("digits.npy")
    order = np.random.permutation(len(images))
    dataset = TensorDataset(torch.from_numpy(images[order]), torch.from_numpy(digits[order]))
    loader = DataLoader(dataset, batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(5):
        for batch, target in loader:
            loss = nn.functional.cross_entropy(model(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    ```

    ## How it is confirmed
    As for [missing-seed](NN201): what is drawn from the generator in question before the training is drawn in two
    processes that start with other generators, another clock and other entropy, and in a third that starts like the
    first. Where samples draw while they are loaded, the user's loaders are asked: with worker processes for the states
    that the first samples find there (torch seeds numpy's too since 1.9, which refutes the finding), without them for
    what the first samples draw. An option that is never used is given two values: confirmed if nothing differs
    between them, though it would without the seed that is set. It abstains where no draw is reached, no sample can be
    loaded, or the three processes differ for another reason.

    ## When it stays silent
    - Nothing is drawn from the generator that has no seed, as far as the script and its repository show.
    - The GPUs' generators: `torch.manual_seed` seeds them too.
    - A seed that only an option turns on, and a seed that is drawn and then printed, logged or saved.
    - `worker_init_fn` seeds what the workers draw from. Where only worker processes draw from numpy or random, torch
      gives them a state that follows from its own seed: this is an info. (For numpy since torch 1.9; where the project
      asks for an older one, it is a warning.)
    - Nothing is seeded at all: that is [missing-seed](NN201).
    """
    seeding = seeding_of(trace)
    if seeding is None or seeding.missing:
        return
    for gap in GAPS:
        finding = gap(seeding)
        if finding is not None:
            yield finding
            return


# --- the gaps, in the order of what they cost ------------------------------------------------------------------------


def torch_without_seed(seeding: Seeding) -> Finding | None:
    """Something is seeded, but not torch's generator, from which weights, shuffles and dropout are drawn."""
    drawn = seeding.drawn("torch")
    if not drawn or seeding.seeding("torch"):
        return None
    if not seeding.seeds:
        return None
    main = [seed for seed in seeding.seeds if not seed.in_worker]
    seeds = [seed for seed in main if "own" not in seed.generators] or main or seeding.seeds
    seed = seeds[0]
    return finding(
        seeding,
        seed,
        f"{how(seeds)}, while {drawn[0].what} from torch's generator, which has no seed",
        "weights, shuffles and dropout are other ones in each run",
        "call torch.manual_seed with a fixed number before the model is built",
        [*map(draw_note, unlike(drawn)[:3])],
        fix=also_seed(seeding, seed, ["torch"]) or seed_before(seeding, drawn[0], ["torch"]),
        experiment=partial(repetition, seeding, ("torch",)),
    )


def how(seeds: list[Seed]) -> str:
    """What the seeds of a script come to, in words."""
    main = [seed for seed in seeds if not seed.in_worker]
    generators = frozenset().union(*(seed.generators for seed in main))
    reached = listed(list(dict.fromkeys(name for seed in main for name in SEEDERS if name in seed.generators)))
    if reached:
        main = [seed for seed in main if seed.generators & SEEDERS.keys()]
    names = list(dict.fromkeys(by(seed) for seed in main or seeds))
    verb = "seeds" if len(names) == 1 else "seed"
    if not main:
        reached = "the loader's worker processes"
    elif "cuda" in generators:
        reached = reached or "the generators of the GPU"
    return f"{listed(names)} {verb} only {reached or 'a generator of its own'}"


def torch_only_without_cuda(seeding: Seeding) -> Finding | None:
    """``if cuda: torch.cuda.manual_seed(…) else: torch.manual_seed(…)``: with a GPU the weights have no seed."""
    torch_seeds, drawn = seeding.seeding("torch"), seeding.drawn("torch")
    for cuda in seeding.seeding("cuda"):
        conditions = [condition for condition in cuda.context.conditions if not condition.implied]
        taken = {(id(condition.place.node), condition.outcome) for condition in conditions}
        if torch_seeds and drawn and all(_excluded(seed, taken) for seed in torch_seeds):
            passed = {id(condition.place.node) for seed in torch_seeds for condition in seed.context.conditions}
            chosen = [(each.place, each.outcome) for each in conditions if id(each.place.node) in passed]
            return finding(
                seeding,
                cuda,
                f"with a GPU only the GPU is seeded, while {drawn[0].what} from torch's generator of the CPU",
                "weights and shuffles are drawn on the CPU, and are other ones in each run",
                "call torch.manual_seed in both cases: it seeds the generators of the GPUs as well",
                [Note(torch_seeds[0].place, "torch is seeded only without a GPU"), draw_note(drawn[0])],
                fix=torch_instead(cuda),
                experiment=partial(repetition, seeding, ("torch",), chosen=chosen),
            )
    return None


def torch_instead(cuda: Seed) -> Fix | None:
    """``torch.manual_seed`` in the place of ``torch.cuda.manual_seed``."""
    node = cuda.place.node
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
        module = node.func.value
        if isinstance(module, cst.Attribute) and module.attr.value == "cuda":
            edits = (Edit("replace", Place(cuda.place.source, node.func), f"{code(cuda, module.value)}.manual_seed"),)
            return Fix("seed torch, which seeds the GPU as well", edits)
    return None


def code(seed: Seed, node: cst.CSTNode) -> str:
    """The text of a node of the file that a seed stands in."""
    return seed.place.source.module.code_for_node(node)


def _excluded(seed: Seed, taken: set[tuple[int, bool]]) -> bool:
    return any((id(condition.place.node), not condition.outcome) in taken for condition in seed.context.conditions)


def seed_after_draw(seeding: Seeding) -> Finding | None:
    """The seed of torch is set once weights or a split have been drawn."""
    seeds = seeding.seeding("torch")
    if not seeds or seeds[0].by not in SEEDS:
        return None
    seed = seeds[0]
    moment = seeding.order[id(seed)]
    at_once = [draw for draw in seeding.drawn("torch") if not draw.in_worker and "the loader" not in draw.what]
    before = [d for d in at_once if seeding.order[id(d)] < moment and same_conditions(d.context, seed.context)]
    redrawn = any("initial weights" in draw.what for draw in at_once if seeding.order[id(draw)] > moment)
    if not before or redrawn:
        return None
    return finding(
        seeding,
        seed,
        f"the seed comes after the first draw: {before[0].what} before it",
        "what is drawn before the seed is another one in each run",
        "seed first, before anything is built",
        [draw_note(before[0], "first draw: ")],
        experiment=partial(repetition, seeding, ("torch",), draws=before),
    )


def drawn_seed(seeding: Seeding) -> Finding | None:
    """The seed itself is drawn, or read off the clock, and nobody is told what it was."""
    for seed in seeding.seeds:
        source = clock(seed.value)
        if source is None or seed.in_worker or "own" in seed.generators:
            continue
        if not is_seeded_before(seeding, seed, source.op.partition(".")[0]) and not is_reported(seed):
            return finding(
                seeding,
                seed,
                f"the seed is taken from {spoken(source.op)} and neither printed nor saved",
                "it is another one in each run, and no run can be repeated",
                "use a fixed number, or print the seed and save it with the results",
                [Note(Place(source.source, source.node), f"{spoken(source.op)} gives another number in each run")],
                experiment=partial(
                    repetition, seeding, [each for each in GLOBAL if is_drawn(seeding, each)], told=False
                ),
            )
    return None


def is_drawn(seeding: Seeding, generator: str) -> bool:
    """Whether the seed of a generator is itself drawn."""
    return any(clock(seed.value) is not None for seed in seeding.seeding(generator))


def is_seeded_before(seeding: Seeding, seed: Seed, generator: str) -> bool:
    """Whether a seed is drawn from a generator that has a seed itself."""
    moment = seeding.order[id(seed)]
    return any(seeding.order[id(earlier)] < moment for earlier in seeding.seeding(generator))


def is_reported(seed: Seed) -> bool:
    """Whether a name that the seed goes by is printed, logged or saved somewhere in its file."""
    node = seed.place.node
    names = words_of(node.args[0].value) if isinstance(node, cst.Call) and node.args else set()
    for call in calls_in(seed.place.source.module):
        name = call.func.attr.value if isinstance(call.func, cst.Attribute) else getattr(call.func, "value", "")
        if name in REPORTS and any(words_of(arg.value) & names for arg in call.args):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Leak:
    """A generator that is drawn from and not seeded; ``settled`` where torch's seed reaches it all the same."""

    generator: str
    draw: RandomUse
    settled: bool


def others_without_seed(seeding: Seeding) -> Finding | None:
    """The seed reaches torch, while numpy, random or a generator of its own is drawn from without a seed."""
    seeds = [seed for seed in seeding.seeding("torch") if seed.by not in SELF_SEEDING]
    leaks = [leak for generator in ("numpy", "random", "own") if (leak := leak_of(seeding, generator)) is not None]
    if not seeds or not leaks:
        return None
    worst = [leak for leak in leaks if not leak.settled] or leaks
    settled = worst[0].settled
    named = listed([leak.generator for leak in worst if leak.generator != "own"])
    where = f"{worst[0].draw.what}{' while samples are loaded' if worst[0].draw.in_worker else ''}"
    blamed = [leak.generator for leak in worst]
    missing = [generator for generator in blamed if generator in SEEDERS]
    found = finding(
        seeding,
        seeds[0],
        f"{how(seeding.seeds)}, but {where}" + (f", and {named} has no seed" if named else ""),
        "the run repeats only as long as worker processes load the samples, whose state follows from torch's seed"
        if settled
        else "what is drawn there is another one in each run",
        f"call {seeds_in_words(missing, '…')} with the same number" if missing else "give that generator a seed",
        [draw_note(leak.draw) for leak in worst],
        fix=also_seed(seeding, seeds[0], missing) if missing else None,
        experiment=partial(_experiment, seeding, blamed),
    )
    return replace(found, severity=Severity.INFO) if settled else found


def _experiment(seeding: Seeding, blamed: Sequence[str]) -> Experiment | None:
    return repetition(seeding, blamed, seeded=("torch",)) or repetition_in_workers(seeding, blamed, ("torch",))


def leak_of(seeding: Seeding, generator: str) -> Leak | None:
    """The first draw from a generator that no seed of the run covers."""
    draws = seeding.drawn(generator)
    if not draws or seeding.seeding(generator):
        return None
    for draw in draws:
        if not draw.in_worker:
            return Leak(generator, draw, settled=False)
    if seeding.seeding(generator, in_worker=True):
        return None
    reached = generator == "random" or (generator == "numpy" and not is_older(seeding.trace.root, "torch", SEEDS_NUMPY))
    return Leak(generator, draws[0], settled=reached and all(map(has_workers, seeding.loaders)))


def has_workers(loader: Object) -> bool:
    """Whether worker processes load the samples, as far as the script says."""
    workers = loader.arguments.get(5, "num_workers")
    count = number(resolve_setting(workers))
    return workers is not None and count != 0


def option_without_use(seeding: Seeding) -> Finding | None:
    """``--seed`` is parsed, and nothing asks for it."""
    call = seeding.idle_option
    if call is None:
        return None
    option = next(arg.value.value.strip("'\"") for arg in call.args if isinstance(arg.value, cst.SimpleString))
    notes = [draw_note(draw) for draw in unlike(seeding.drawn("torch"))[:3]]
    if seeding.seeds:
        notes = [Note(seeding.seeds[0].place, "this is the seed, whatever the option says")]
    return Finding(
        Place(seeding.trace.source, call),
        f"{option} is parsed and never used",
        "who sets it believes that the run is seeded with it, and it is not",
        "seed with it: torch.manual_seed(args.seed), and numpy and random where they are drawn from",
        tuple(notes),
        experiment=partial(repetition, seeding, option=dest) if (dest := option_of(call)) else None,
    )


GAPS = (
    torch_without_seed,
    torch_only_without_cuda,
    seed_after_draw,
    drawn_seed,
    others_without_seed,
    option_without_use,
)


# --- words and places ------------------------------------------------------------------------------------------------


def by(seed: Seed) -> str:
    """The function or argument that seeds, as a script would write it."""
    if seed.by.startswith("sklearn."):
        return "random_state"
    return "Generator.manual_seed" if seed.by == "torch.Generator" else spoken(seed.by)


def draw_note(draw: RandomUse, prefix: str = "") -> Note:
    """The note of a draw."""
    return Note(draw.place, f"{prefix}{draw.what}")


def finding(
    seeding: Seeding,
    seed: Seed,
    message: str,
    why: str,
    advice: str,
    notes: list[Note] | None = None,
    fix: Fix | None = None,
    experiment: Experiment | Callable[[], Experiment | None] | None = None,
) -> Finding:
    """A finding at a seed, or at the first draw of the file where the seed is set by the import of another one."""
    cause = cause_of(seeding.trace, seed)
    told = list(notes or ())
    if cause is None or cause.place.node is not seed.place.node:
        told.insert(0, Note(seed.place, f"seeded here by {by(seed)}"))
    if cause is None:
        cause = next((found for draw in seeding.draws if (found := cause_of(seeding.trace, draw)) is not None), None)
    place = seeding.trains.place if cause is None else cause.place
    return Finding(place, message, why, advice, tuple(told), fix, experiment=experiment)


def also_seed(seeding: Seeding, seed: Seed, generators: list[str]) -> Fix | None:
    """The missing seeds, after the one that is there and with its number; none where that would come too late."""
    node, source = seed.place.node, seeding.trace.source
    if seed.in_worker or "own" in seed.generators or seed.place.source is not source or seed.context.loops:
        return None
    if not isinstance(node, cst.Call) or len(node.args) != 1:
        return None
    moment = seeding.order[id(seed)]
    if any(seeding.order[id(draw)] < moment for generator in generators for draw in seeding.drawn(generator)):
        return None
    value = code(seed, node.args[0].value)
    edit = Edit("after", seed.place, seeds_as_code(seeding.trace, generators, value))
    return Fix(f"seed {listed(generators)} too", (edit,))
