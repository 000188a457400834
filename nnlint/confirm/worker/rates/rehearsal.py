"""A rehearsal: the user's loops are gone through with everything that sets the learning rate, and nothing is trained.

The steps of the optimizer are noted instead of taken, models and data are left out, and a loader yields nothing but
missing values, as many as it has batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NoReturn

from ..anything import Anything, is_missing, reason
from ..bench import Bench
from ..job import Job
from ..program import Enough, Program, arguments_of
from ..verdict import Inconclusive

LONGEST = 20_000
"""Batches that are gone through in a rehearsal; where a run has more, its epochs are cut short."""

FEWEST = 20
"""Batches that an epoch is never cut below."""

FEW = 3
"""Batches of an epoch in which nothing sets the rate: they are all alike."""

RANGES = (range, list, tuple)
"""What a loop over batches is left to go through by itself."""


@dataclass
class Round:
    """One round of the loop that the rate goes through: mostly an epoch.

    ``rates`` are those at the steps of the optimizer, the highest of its groups each time, and ``counts`` the steps
    that the scheduler says it has made by then, -1 where there is none; ``entered_with`` and ``left_with`` are those
    at the beginning and at the end of the round, and ``stepped`` how often the scheduler was stepped, by where.
    """

    number: Any
    rates: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    entered_with: float = float("nan")
    left_with: float = float("nan")
    stepped: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """The highest rate that the round trains with."""
        return max(self.rates, default=self.left_with)

    @property
    def steps(self) -> int:
        """How often the scheduler was stepped."""
        return sum(self.stepped.values())


@dataclass
class Course:
    """What a rehearsal has seen."""

    rounds: list[Round]
    beyond: list[Round]
    """Rounds after the last one of the run, if they were asked for."""
    scheduler: Any
    optimizer: Any
    horizon: float | None
    """The number of steps that the scheduler is made for, as the script writes it."""
    assumed_batches: bool
    """Whether anything rests on the number of batches that was assumed."""
    samples: int
    """How many samples a batch has, if it was the number of samples that was assumed; else 1."""
    batches: int | None
    """How many batches an epoch has; as many as were assumed if it matters and is not known."""

    @property
    def rates(self) -> list[float]:
        """The rate of every round."""
        return [each.rate for each in self.rounds]

    @property
    def steps(self) -> int:
        """How often the scheduler was stepped in the run."""
        return sum(each.steps for each in self.rounds)


@dataclass(frozen=True)
class Stage:
    """Where a job is rehearsed: what to run, compiled once, and the bench to note assumptions at."""

    job: Job
    bench: Bench
    program: Program

    @property
    def settings(self) -> dict[str, Any]:
        """What the finding says, and what the plan knows of the loops."""
        return self.job.settings

    @property
    def unit(self) -> str:
        """What the rounds of the loop are: epochs, or iterations."""
        return str(self.settings.get("unit", "epoch"))


class Rehearsal:
    """One way through the loops of a job.

    Args:
        stage: what to run.
        batches: how many batches an epoch has where the script does not know.
        beyond: how many rounds to go on after the last one, until the rate has fallen.
        anew: set the rate back to the first one at the beginning of every round.
        unbegun: stop at the first round.
        at_most: stop after so many rounds.
        at_most_batches: leave each epoch after so many batches.
    """

    def __init__(
        self,
        stage: Stage,
        batches: int = FEWEST,
        *,
        beyond: int = 0,
        anew: bool = False,
        unbegun: bool = False,
        at_most: int = LONGEST,
        at_most_batches: int = LONGEST,
    ) -> None:
        self.job, self.bench, self.program = stage.job, stage.bench, stage.program
        self.batches = batches
        self.beyond = beyond
        self.anew = anew
        self.unbegun = unbegun
        self.at_most = at_most
        self.at_most_batches = at_most_batches
        self.rounds: list[Round] = []
        self.optimizer: Any = None
        self.scheduler: Any = None
        self.first_rates: list[Any] = []
        self.horizon: float | None = None
        self.lengths: dict[str, Any] = {}
        self.bounds: dict[int, int] = {}
        self.known_batches = 0
        self.assumed_batches = False
        self.samples = 1
        self.expected = 0
        self.begun = False
        self.run_rounds = -1
        self.unknown = ""
        self.doubt = ""
        self.bench.stand_in("the model, the data and the steps of the optimizer: only what sets the rate is run")
        self._fit()

    def course(self) -> Course:
        """Go through the loops.

        Raises:
            Inconclusive: they cannot be gone through, or what sets the rate in them is not known.
        """
        self._play()
        with suppress(Enough):
            self._close()
        if self.unknown:
            raise Inconclusive(self.unknown)
        if self.optimizer is None:
            raise Inconclusive(self._why("the optimizer is not built on the way"))
        if self._watches("scheduler") and self.scheduler is None:
            raise Inconclusive(self._why("the scheduler is not built on the way"))
        if self.doubt:
            raise Inconclusive(self.doubt)
        for row in self._rows("scheduler", "stepped in a batch", "stepped in an epoch"):
            for loss in self.program.losses:
                if loss.startswith(row):
                    raise Inconclusive(loss)
        if not self.begun and not self.unbegun:
            raise Inconclusive(self._why("the loop over the epochs is not reached"))
        last = len(self.rounds) if self.run_rounds < 0 else self.run_rounds
        if not last and not self.unbegun:
            raise Inconclusive(self._why("the loop over the epochs goes round not once"))
        if last and not any(each.rates for each in self.rounds):
            if self._watches("trained"):
                raise Inconclusive(self._why("the optimizer is not stepped on the way"))
            self.bench.assume("training goes on in every epoch, with the rate that the epoch ends with")
        return Course(
            rounds=self.rounds[:last],
            beyond=self.rounds[last:],
            scheduler=self.scheduler,
            optimizer=self.optimizer,
            horizon=self.horizon,
            assumed_batches=self.assumed_batches,
            samples=self.samples,
            batches=self.known_batches or (self.batches if self.assumed_batches else None),
        )

    def _why(self, what: str) -> str:
        missing = self.program.why_missing()
        return f"{what}: {missing}" if missing else what

    def _rows(self, *names: str) -> Iterator[str]:
        """How losses in the lines of watches begin."""
        for file in self.job.program.files:
            for each in file.watches:
                if each.name in names:
                    yield f"{file.path.replace(chr(92), '/').rpartition('/')[2]}:{each.row}:"

    def _watches(self, name: str) -> bool:
        return any(each.name == name for file in self.job.program.files for each in file.watches)

    # --- running -----------------------------------------------------------------------------------------------------

    def _play(self) -> None:
        if not self.job.program.entry:
            self.program.run()
            return
        try:
            function = self._entry()
            names = arguments_of(function)
            function(**{name: Anything(f"{name} is given to {self.job.program.entry}") for name in names})
        except Enough:
            pass
        except Inconclusive:
            raise
        except (Exception, SystemExit) as error:
            raise Inconclusive(self.program.failed(error)) from error

    def _entry(self) -> Any:
        """The function of the plan; a method is one of an object that is built with missing values."""
        function = self.program.entry()
        if "." not in self.job.program.entry:
            return function
        cls = self.program.definition(self.job.program.path, self.job.program.entry.rpartition(".")[0])
        built = cls(**{each: Anything(f"{each} is given to {cls.__name__}") for each in arguments_of(cls)})
        return getattr(built, function.__name__)

    def _give_up(self, why: str) -> NoReturn:
        """End the run for a reason; what is raised here must not be taken for a failure of the user's lines."""
        self.unknown = self.unknown or why
        raise Enough

    # --- eyes and hands ----------------------------------------------------------------------------------------------

    def _fit(self) -> None:
        see, supply = self.program.see, self.program.supply
        see["optimizer"] = self._built_optimizer
        see["scheduler"] = self._built_scheduler
        see["first rate"] = self._first_rate
        see["groups"] = _groups
        supply["parameters"] = parameters
        supply["model"] = lambda: Anything("the model was not built")
        supply["trained"] = self._trained
        see["stepped in a batch"] = lambda value: self._stepped("batch", value)
        see["stepped in an epoch"] = lambda value: self._stepped("epoch", value)
        see["horizon"] = self._horizon
        see["rounds"] = self._begin_loop
        see["round"] = self._begin_round_of_while
        see["test"] = self._test
        see["receiver"] = self._receiver
        see["callee"] = self._callee
        for position in range(3):
            see[f"bound {position}"] = self._bound(position)
        for name, shape in self.job.settings["shapes"].items():
            see[name] = self._batches(name, shape)
            see[name.replace("batches", "loader")] = self._loader(name)
        for name, roles in self.job.settings["handed on"].items():
            see[name] = self._handed_on(roles)
        self.program.builtins["len"] = self._len

    def _built_optimizer(self, value: Any) -> Any:
        if is_missing(value):
            self._give_up(f"the optimizer is not known: {reason(value)}")
        self.optimizer = value
        # What was not known before has happened to another one.
        self.doubt = ""
        self.first_rates = [group["lr"] for group in value.param_groups]
        return value

    def _built_scheduler(self, value: Any) -> Any:
        if is_missing(value):
            self._give_up(f"the scheduler is not known: {reason(value)}")
        self.scheduler = value
        if self.unbegun and not (self._watches("rounds") or self._watches("round")):
            raise Enough
        return value

    def _first_rate(self, value: Any) -> Any:
        if not is_missing(value):
            return value
        if self.job.settings.get("needs rate"):
            self._give_up(f"the learning rate is not known: {reason(value)}")
        self.bench.assume("the learning rate, which the script is not given, starts at 1")
        return 1.0

    def _horizon(self, value: Any) -> Any:
        if isinstance(value, (int, float)):
            self.horizon = float(value)
        return value

    def _bound(self, position: int) -> Any:
        def see(value: Any) -> Any:
            if is_missing(value):
                self._give_up(f"the number of epochs is not known: {reason(value)}")
            self.bounds[position] = value
            return value

        return see

    def _len(self, value: Any) -> int:
        if not is_missing(value):
            return len(value)
        self.assumed_batches = True
        return self.batches

    def _test(self, value: Any) -> Any:
        if is_missing(value) and not self.doubt:
            self.doubt = f"whether the rate is set depends on what is not known here: {reason(value)}"
        return value

    def _callee(self, value: Any) -> Any:
        if is_missing(value) and not self.doubt:
            self.doubt = f"the optimizer is handed to what is not known here: {reason(value)}"
        return value

    def _receiver(self, value: Any) -> Any:
        if is_missing(value) and not self.doubt:
            self.doubt = f"the rate of something is set that is not known here: {reason(value)}"
        return value

    def _handed_on(self, roles: Any) -> Any:
        """What wraps an optimizer, of a package that is not installed, hands on what it was given."""

        def stand_in(role: str, why: str) -> Any:
            known = self.optimizer if role == "optimizer" else self.scheduler if role == "scheduler" else None
            return Anything(why) if known is None else known

        def see(value: Any) -> Any:
            if not is_missing(value):
                return value
            why = reason(value)
            if isinstance(roles, str):
                return stand_in(roles, why)
            return tuple(stand_in(role, why) for role in roles)

        return see

    # --- rounds ------------------------------------------------------------------------------------------------------

    def _begin_loop(self, value: Any) -> Any:
        if self.begun:
            raise Enough
        if is_missing(value) and self.bounds:
            value = range(*(self.bounds[position] for position in sorted(self.bounds)))
        elif is_missing(value):
            self._give_up(f"the rounds of the loop are not known: {reason(value)}")
        self.begun = True
        if self.unbegun:
            raise Enough
        numbers = value
        if not isinstance(value, range) and self.bounds:
            numbers = range(*(self.bounds[position] for position in sorted(self.bounds)))
        self.expected = len(numbers) if isinstance(numbers, RANGES) else 0
        return self._rounds(value, numbers)

    def _rounds(self, value: Any, numbers: Any) -> Iterator[Any]:
        for each in value:
            if len(self.rounds) >= self.at_most:
                raise Enough
            self._begin_round(each)
            yield each
        self._close()
        self.run_rounds = len(self.rounds)
        if isinstance(numbers, range) and isinstance(value, range):
            for turn in range(self.beyond):
                if self._has_fallen():
                    break
                number = numbers.start + (len(numbers) + turn) * numbers.step
                self._begin_round(number)
                yield number
                self._close()
        raise Enough

    def _has_fallen(self) -> bool:
        rates = [each.rate for each in self.rounds]
        return min(rates) < max(rates) * (1 - 1e-9)

    def _begin_round_of_while(self, value: Any) -> Any:
        if is_missing(value):
            self._give_up(f"the rounds of the loop are not known: {reason(value)}")
        self.begun = True
        if self.unbegun or not value or len(self.rounds) >= self.at_most:
            raise Enough
        self._begin_round(len(self.rounds))
        return value

    def _begin_round(self, number: Any) -> None:
        number = number if isinstance(number, int) else len(self.rounds)
        self._close()
        if self.anew and self.optimizer is not None:
            for group, rate in zip(self.optimizer.param_groups, self.first_rates):
                group["lr"] = rate
        self.rounds.append(Round(number))
        if self.optimizer is not None:
            self.rounds[-1].entered_with = self._rate()

    def _close(self) -> None:
        """Write down what the last round ends with."""
        if not self.rounds or self.optimizer is None:
            return
        last = self.rounds[-1]
        last.left_with = self._rate()
        if not last.rates and self.assumed_batches and self._watches("trained") and not last.stepped.get("batch"):
            # Fewer samples were assumed than a batch has.
            self.bench.assume("training goes on in every epoch, with the rate that the epoch begins with")
            last.rates.append(last.entered_with)

    def _rate(self) -> float:
        rates = [group["lr"] for group in self.optimizer.param_groups]
        for each in rates:
            if is_missing(each) and self.job.settings["finding"] == "twice":
                return float("nan")
            if is_missing(each):
                self._give_up(f"the rate is set to what is not known here: {reason(each)}")
        return max(float(each) for each in rates)

    def _trained(self) -> Any:
        if self.rounds and self.optimizer is not None:
            self.rounds[-1].rates.append(self._rate())
            self.rounds[-1].counts.append(getattr(self.scheduler, "last_epoch", -1))
        return Anything("the optimizer was not stepped")

    def _stepped(self, where: str, value: Any) -> Any:
        if where == "batch" and self.rounds and not self._watches("trained"):
            self.bench.assume("the optimizer is stepped in every batch, as its scheduler is")
            self._trained()
        if self.rounds:
            stepped = self.rounds[-1].stepped
            stepped[where] = stepped.get(where, 0) + 1
        return value

    # --- batches -----------------------------------------------------------------------------------------------------

    def _loader(self, name: str) -> Any:
        def see(value: Any) -> Any:
            self.lengths[name] = value
            return value

        return see

    def _batches(self, name: str, shape: Any) -> Any:
        def see(value: Any) -> Any:
            loader = self.lengths.get(name)
            if isinstance(loader, RANGES) or (loader is None and isinstance(value, RANGES)):
                return islice(value, self.at_most_batches) if self.at_most_batches < LONGEST else value
            number = self._number_of_batches(loader, _counted(value))
            return _Batches(min(number, self.at_most_batches), shape)

        return see

    def _number_of_batches(self, *loaders: Any) -> int:
        """How many batches are gone through in an epoch: all, if they matter and are not too many."""
        lengths = (_length(loader) for loader in loaders if not is_missing(loader))
        known = next((length for length in lengths if length is not None), None)
        self.known_batches = known or self.known_batches
        if known is not None and self.assumed_batches:
            # The length of its data set was assumed, in samples.
            sizes = (getattr(loader, "batch_size", None) for loader in loaders if not is_missing(loader))
            self.samples = next((size for size in sizes if isinstance(size, int)), 1)
        if not self.job.settings["set in batches"]:
            return FEW
        self.assumed_batches = self.assumed_batches or known is None
        all_of_them = self.batches if known is None else known
        few = max(FEWEST, LONGEST // max(1, self.expected))
        if all_of_them > few:
            self.bench.stand_in(f"epochs by their first {few} batches")
        return min(all_of_them, few)


def _counted(value: Any) -> Any:
    """As much of nothing as an iterator yields before it ends: ``islice(loader, 10)``; else the value itself."""
    if is_missing(value) or not isinstance(value, Iterator) or _length(value) is not None:
        return value
    number = sum(1 for _ in islice(value, LONGEST))
    return range(number) if 0 < number < LONGEST else value


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except (TypeError, AttributeError, NotImplementedError):
        return None


class _Batches:
    """As many batches, of the shape that the loop takes apart."""

    def __init__(self, number: int, shape: Any) -> None:
        self.number = number
        self.shape = shape

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[Any]:
        for turn in range(self.number):
            yield _of_shape(self.shape, turn)


def _of_shape(shape: Any, turn: int) -> Any:
    if isinstance(shape, list):
        return tuple(_of_shape(each, turn) for each in shape)
    if isinstance(shape, dict):
        return shape["from"] + turn
    return Anything("no data are loaded")


def parameters() -> list[Any]:
    """One parameter in the place of a model's."""
    import torch

    return [torch.nn.Parameter(torch.zeros(1))]


def _groups(value: Any) -> Any:
    """Parameter groups with a parameter of our own in each that has none."""
    if isinstance(value, (list, tuple)) and value and all(isinstance(each, dict) for each in value):
        return [{**each, "params": parameters()} for each in value]
    return parameters()
