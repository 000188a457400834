"""What the user's lines draw in a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ..anything import is_missing, reason
from ..bench import Bench
from ..job import Job
from ..program import Enough, Program
from ..setting.checkpoints import Checkpoints, the_same_everywhere
from ..setting.command_line import without_arguments
from ..verdict import Inconclusive
from .alone import alone
from .fingerprints import fingerprint, first_samples, is_loader
from .generators import identities, start, states
from .loading import is_unread, without_data, workers_of
from .missing_sizes import without_sizes
from .sample_loading import states_in_workers

KEPT = 3
"""Values that are kept of each watch: a layer may be built a hundred times."""

ROUNDS = 2
"""Rounds of a loop after which it has been seen."""

MANY = 500
"""Draws of one expression after which the loop it is in is left."""

TOLD = 4711
"""The seed of a run that is repeated with the number that it has told."""

SAMPLES = 3
"""Samples that are loaded in the main process."""


@dataclass(frozen=True)
class Asked:
    """What is to be watched: the settings of :mod:`.kinds.repeat`, and the places of the watches."""

    drawn: list[dict[str, str]]
    blamed: list[str]
    later: list[str]
    loop: list[str]
    chosen: dict[str, bool]
    option: str
    loaders: list[str]
    seeded: list[str]
    seeds: dict[str, list[str]]
    places: dict[str, str]

    @staticmethod
    def of(job: Job) -> Asked:
        """What a job asks for."""
        files, settings = job.program.files, job.settings
        return Asked(
            settings["drawn"],
            settings["blamed"],
            settings.get("later", []),
            settings.get("loop", []),
            settings.get("chosen", {}),
            settings.get("option", ""),
            settings.get("loaders", []),
            settings.get("seeded", []),
            settings.get("seeds", {}),
            {each.name: f"{os.path.basename(file.path)}:{each.row}" for file in files for each in file.watches},
        )

    @property
    def watches(self) -> list[str]:
        """The watches of what is drawn, each once."""
        return list(dict.fromkeys([*(each[key] for each in self.drawn for key in ("watch", "made")), *self.loaders]))

    @property
    def numbers(self) -> list[str]:
        """The watches of numbers that are drawn to seed with."""
        return [name for name in self.places if name.startswith("number ")]

    @property
    def changes(self) -> list[str]:
        """The watches of what may put other weights in the place of those that were drawn."""
        return [name for name in self.places if name.startswith("change ")]

    @property
    def needed_seeds(self) -> list[str]:
        """The watches of seeds that what is asked depends on."""
        needed = {*self.blamed, *self.seeded}
        return [name for name, generators in self.seeds.items() if needed.intersection(generators)]

    def part_of(self, name: str) -> str:
        """The watch of what is built of the value of a watch; empty if that is nothing else."""
        drawn = self._drawn(name)
        return drawn["made"] if drawn and drawn["made"] != name else ""

    def label(self, name: str) -> str:
        """What to call the value of a watch, as far as the rule knows."""
        drawn = self._drawn(name)
        return drawn["label"] if drawn else f"the state of {self.blamed[0]} where samples are loaded"

    def generator(self, name: str) -> str:
        """The generator that the value of a watch is drawn from."""
        drawn = self._drawn(name)
        return drawn["generator"] if drawn else self.blamed[0]

    def place(self, name: str) -> str:
        """The file and line of a watch."""
        return self.places.get(name, "")

    def of_blamed(self, names: Iterable[str]) -> list[str]:
        """Those watches that hold what was drawn from a generator without a seed."""
        return [name for name in names if self.generator(name) in self.blamed]

    def _drawn(self, name: str) -> dict[str, str] | None:
        return next((each for each in self.drawn if name in (each["watch"], each["made"])), None)


@dataclass(frozen=True)
class Drawn:
    """What one process has drawn.

    Attributes:
        seen: by watch its ``parts`` (see :func:`~.fingerprints.fingerprint`), what to call it (``label``), its
            ``kind`` (``weights``, ``order`` or ``value``) and the first ``samples`` that a loader asks for.
        before: the states of the generators when the process starts.
        after: their states when the user's lines have run.
        seeds: the functions that seeded, each with the user's line.
        lost: why the value of a watch is missing, by watch.
        checkpoint: the weights that are to be loaded and are not there; empty if there are none.
        missing: the first thing that failed on the way; empty if nothing did.
        stopped: whether that was the end of the run.
        drawing: a layer that draws whenever it is called in training mode; empty if none is seen.
    """

    seen: dict[str, dict[str, Any]]
    before: dict[str, str]
    after: dict[str, str]
    seeds: list[list[str]]
    lost: dict[str, str]
    checkpoint: str
    missing: str
    stopped: bool
    drawing: str

    def unlike(self, other: Drawn) -> list[str]:
        """The watches of which some part is another in the other process."""
        both = (name for name in self.seen if name in other.seen)
        return [name for name in both if self.seen[name]["parts"] != other.seen[name]["parts"]]

    def label(self, name: str) -> str:
        """What to call the value of a watch."""
        return str(self.seen[name]["label"])


@dataclass(frozen=True)
class Start:
    """How a process begins. Those of one ``number`` begin alike.

    Attributes:
        number: which process it is.
        option: the seed given on the command line, if the finding is about that.
        ignoring: the seeds that the user's lines set are left out.
    """

    number: int
    option: int = 1
    ignoring: bool = False


def drawn_in_processes(job: Job, bench: Bench, asked: Asked, starts: Sequence[Start]) -> list[Drawn]:
    """Run the slice in processes of its own, one for each of ``starts``.

    Args:
        job: what to run.
        bench: where the notes go.
        asked: what is watched.
        starts: how each process begins.

    Raises:
        Inconclusive: a process came to no end.
    """
    # Here, that it is not compiled in every process anew.
    Program(job.program, bench).prepare()
    found: list[Drawn] = []
    for result in bench.each_apart(*(_drawing(job, bench, asked, each) for each in starts)):
        assumptions, stood_in = result.pop("notes")
        for note in assumptions:
            bench.assume(note)
        for note in stood_in:
            bench.stand_in(note)
        found.append(Drawn(**result))
    return found


def _drawing(job: Job, bench: Bench, asked: Asked, begin: Start) -> Callable[[], dict[str, Any]]:
    """The work of one process: it gives the fields of :class:`Drawn`, and the ``notes`` of its bench."""

    def work() -> dict[str, Any]:
        program = Program(job.program, bench)
        paths = {file.path for file in job.program.files}
        started = start(begin.number, bench.device, lambda: _user_line(paths), ignoring=begin.ignoring)
        program.builtins.update(identities(begin.number))
        program.replaced.update(started.modules)
        before = states()
        layers = _layers_built()
        watching = _Watching(asked)
        program.see.update({name: watching.seeing(name) for name in asked.watches})
        program.see["training"] = _end
        program.supply.update({name: lambda: TOLD for name in asked.numbers})
        program.see.update({name: _always(outcome) for name, outcome in asked.chosen.items()})
        stopped = ""
        options = {asked.option: begin.option} if asked.option else {}
        with _stand_ins(bench, options) as checkpoints:
            try:
                program.run()
            except Inconclusive as error:
                stopped = str(error)
            after = states()
        watching.load(asked.loaders, bench)
        return {
            "seen": watching.found(),
            "before": before,
            "after": after,
            "seeds": [list(each) for each in dict.fromkeys(started.seeds)],
            "lost": {**losses_by_watch(program, asked), **watching.lost},
            "checkpoint": checkpoints.missing,
            "missing": program.why_missing() or stopped,
            "stopped": bool(stopped),
            "drawing": next((type(layer).__name__ for layer in layers if _drops(layer)), ""),
            "notes": [bench.assumptions, bench.stood_in],
        }

    return work


@contextmanager
def _stand_ins(bench: Bench, options: Mapping[str, Any]) -> Iterator[Checkpoints]:
    """In the place of what is not there: data, weights, sizes, other processes and arguments."""
    with ExitStack() as stack:
        for each in (without_data(bench), without_sizes(bench), alone(bench), without_arguments(bench, options)):
            stack.enter_context(each)
        yield stack.enter_context(the_same_everywhere(bench))


class _Watching:
    """The values of the watches: what lasts is looked at in the end, what does not at once."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._lasting: dict[str, list[Any]] = {}
        self._passing: dict[str, list[dict[str, str]]] = {}
        self._times: dict[str, int] = {}
        self.lost: dict[str, str] = {}

    def seeing(self, name: str) -> Callable[[Any], Any]:
        """The function that is shown the values of a watch."""

        def see(value: Any) -> Any:
            lasting, passing = self._of(name)
            if is_missing(value):
                self.lost.setdefault(name, reason(value))
            elif len(lasting) + len(passing) < KEPT:
                # An array may be shuffled in place, a tensor that is no parameter is made anew.
                if _lasts(value):
                    lasting.append(value)
                else:
                    passing.append(fingerprint(value))
            self._times[name] = self._times.get(name, 0) + 1
            if self._times[name] >= MANY and not self._asked.part_of(name):
                raise Enough
            if name in self._asked.loop and len(lasting) + len(passing) >= ROUNDS:
                raise Enough
            return value

        return see

    def _of(self, name: str) -> tuple[list[Any], list[dict[str, str]]]:
        return self._lasting.setdefault(name, []), self._passing.setdefault(name, [])

    def load(self, loaders: Iterable[str], bench: Bench) -> None:
        """Load the first samples of loaders; what is seen of a loader then is the state that they find, or draw."""
        for name in loaders:
            lasting, passing = self._of(name)
            found, lasting[:] = [each for each in lasting if is_loader(each)], []
            if found and any("num_workers" in note for note in bench.assumptions):
                raise Inconclusive(f"the number of workers of the loader at {self._asked.place(name)} is missing")
            for loader in found[:1]:
                if workers_of(loader):
                    states = states_in_workers(loader)
                    passing += [{generator: each[generator] for generator in self._asked.blamed} for each in states]
                else:
                    passing += self._loaded_here(loader)
                if not passing:
                    self.lost[name] = "its data set could not be read"

    def _loaded_here(self, loader: Any) -> list[dict[str, str]]:
        """What is drawn for the first samples of a loader without workers; nothing if they cannot be loaded."""
        if not is_unread(loader.dataset):
            with suppress(Exception):
                for number in range(min(SAMPLES, len(loader.dataset))):
                    loader.dataset[number]
        seen = [self._of(each["watch"]) for each in self._asked.drawn]
        return [part for lasting, passing in seen for part in (*map(fingerprint, lasting), *passing)]

    def found(self) -> dict[str, dict[str, Any]]:
        """What was seen, by watch."""
        found: dict[str, dict[str, Any]] = {}
        for name, lasting in self._lasting.items():
            values = [*self._passing[name], *map(fingerprint, lasting)]
            parts = {f"{number}:{part}": text for number, each in enumerate(values) for part, text in each.items()}
            if parts:
                kind, label = _kind(lasting[0]) if lasting else ("value", "")
                samples = first_samples(lasting[0])[:5] if kind == "order" else []
                label = label or self._asked.label(name)
                found[name] = {"parts": parts, "label": label, "kind": kind, "samples": samples}
        return found


def losses_by_watch(program: Program, asked: Asked) -> dict[str, str]:
    """What failed in the lines of the watches, or in what they call."""
    found: dict[str, str] = {}
    for name in (*asked.watches, *asked.seeds, *asked.changes):
        place = asked.place(name)
        inside = [loss for loss in program.losses if loss.startswith(f"{place}: ")]
        if inside or place in program.lost_at:
            found[name] = program.lost_at.get(place) or inside[0]
    return found


def _end(value: Any) -> Any:
    raise Enough


def _always(outcome: bool) -> Callable[[Any], Any]:
    return lambda value: outcome


def _lasts(value: Any) -> bool:
    """Whether what becomes of a value counts, and not what it was when it was seen."""
    import torch

    if isinstance(value, (torch.nn.Module, torch.nn.Parameter)) or is_loader(value):
        return True
    return not isinstance(value, (torch.Tensor, bool, int, float, str))


def _layers_built() -> list[Any]:
    """The layers that are built from now on in this process, which must be one of its own."""
    import torch

    built: list[Any] = []
    initialize = torch.nn.Module.__init__

    def noting(self: Any, *args: Any, **kwargs: Any) -> None:
        initialize(self, *args, **kwargs)
        built.append(self)

    torch.nn.Module.__init__ = noting
    return built


def _drops(layer: Any) -> bool:
    """Whether a layer drops out or draws in training: dropout has its probability as ``p`` or ``dropout``."""
    import torch

    if isinstance(layer, (torch.nn.modules.dropout._DropoutNd, torch.nn.RReLU)):
        return getattr(layer, "p", 1.0) > 0
    share = getattr(layer, "dropout", 0.0)
    return isinstance(share, float) and share > 0 and getattr(layer, "num_layers", 2) > 1


def _kind(value: Any) -> tuple[str, str]:
    """What sort of thing a value is, and what to call it; empty if the rule knows better."""
    import torch

    if isinstance(value, torch.nn.Module):
        return "weights", f"the weights of {type(value).__name__}"
    if isinstance(value, torch.nn.Parameter):
        return "weights", ""
    return ("order", "the order of the samples") if is_loader(value) else ("value", "")


def _user_line(paths: set[str]) -> str:
    """The line of the user's files that is being run; empty outside of them."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename not in paths:
        frame = frame.f_back
    return "" if frame is None else f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
