"""One run of the user's loops, cut short, with every event of the protocol written down."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from ..bench import SEED, Bench
from ..draws.loading import without_data
from ..job import Job
from ..program import Enough, Program, arguments_of
from ..verdict import Inconclusive
from .instruments import instruments
from .layers import is_same_in_both_modes, parameters_in
from .ledger import Ledger
from .orders import Orders
from .passes import WATCHES, Passes, sizes_of
from .record import (
    Backward,
    Batches,
    Clip,
    Event,
    Forward,
    Line,
    Mode,
    Place,
    Record,
    SchedulerStep,
    SetEpoch,
    Step,
    Unscale,
    ZeroGrad,
    lead_through,
)
from .results import copied, sampled_numbers
from .stand_in import MODEL, StandIn, examples_in, flat, mixed

BATCHES = 6
"""Batches of a loader that are gone through."""

FELT = 64
"""Numbers of each parameter that the result of a model depends on where it is stood in for: all would take long."""

EPOCHS = 2
"""Rounds of a loop with loops inside."""

MOST_EVENTS = 2_000
"""Events after which enough is seen."""

_NO_TENSOR = re.compile(
    r"model|net|optim|sched|loader|data|set$|device|cfg|conf|arg|opt|param|setting|logger|writer|epoch|step|iter|crit|"
    r"loss_f|fn$|scaler|name|path|dir|file|mode|phase|^is_|^use_|num|size|rank",
    re.IGNORECASE,
)
"""Names of arguments that are no tensors."""

SOON = 20
"""How often a test of a value that nobody has is answered in the same way."""

E = TypeVar("E", bound=Event)


def rehearse(
    job: Job,
    bench: Bench,
    *,
    answer: bool = False,
    clear: bool = False,
    detach: bool = False,
    training: bool | None = None,
    until: int = 0,
    order: str = "",
    passes: str = "",
) -> Record:
    """Run the lines of a job, and write down what happens.

    Args:
        job: what to run.
        bench: where the assumptions are noted.
        answer: what a test of a value that nobody has is answered.
        clear: clear the gradients of an optimizer after each of its steps.
        detach: detach the values of the watch ``kept``.
        training: the mode that models are put into for the forward passes in the lines of the finding; None leaves it.
        until: of these forward passes the one, from 1, after which the lines are left; 0 for none.
        order: what is done differently to the order of samples, see :class:`.orders.Orders`.
        passes: what is done differently where a loader is gone through, see :class:`.passes.Passes`.
    """
    rehearsal = Rehearsal(
        job, bench, answer=answer, clear=clear, detach=detach, training=training, order=order, passes=passes
    )
    rehearsal.until = until
    return rehearsal.record()


class Rehearsal:
    """One way through the loops."""

    def __init__(
        self,
        job: Job,
        bench: Bench,
        *,
        answer: bool,
        clear: bool,
        detach: bool,
        training: bool | None,
        order: str,
        passes: str,
    ) -> None:
        import torch

        self.job = job
        self.bench = bench
        self.answer = answer
        self.clear = clear
        self.detach = detach
        self.training = training
        self.until = 0
        """Forward passes in the lines of the finding that are still to be seen, if they are counted."""
        self.batches = int(job.settings.get("batches", BATCHES))
        self.epochs = int(job.settings.get("epochs", EPOCHS))
        self.ledger = Ledger()
        self.program = Program(job.program, bench)
        self.program.missing = self.program.skipped = lambda why, name: StandIn("?", self)
        self.orders = Orders(bench, order, self.program.failed)
        self.paths = {file.path for file in job.program.files}
        self.accused = tuple(self._places("accused"))
        self.passes = Passes(
            bench,
            passes,
            supposes=job.settings["check"] == "unweighted-mean",
            size=job.settings.get("batch_size"),
            accused=self.accused,
            ways=tuple(self._places("way")),
        )
        self.events: list[Event] = []
        self.rounds: dict[str, int] = {}
        self.undecided: dict[Line, int] = {}
        self.seen: dict[str, list[Any]] = {}
        self.layers: list[Any] = []
        """What the watch ``layers`` has shown."""
        self.at_first: dict[int, tuple[float, ...]] = {}
        """Numbers in the parameters of these layers at the first step."""
        self.changed: set[int] = set()
        """Those that are others at a later step."""
        self.learned: set[int] = set()
        """The numbers of the forward passes whose results a backward pass has gone through."""
        self.refused = ""
        self.stand_in_optimizer: StandIn | None = None
        self.own: set[int] = set()
        """The parameters of optimizers of torch."""
        self.scale = 1.0
        """What the next loss that goes backward was multiplied with by a scaler."""
        self.graphs: dict[int, Any] = {}
        """Weak references that live as long as the graph of a backward pass, by its number."""
        self._generator = torch.Generator().manual_seed(SEED)
        self._fit()

    def record(self) -> Record:
        """Run the lines.

        Raises:
            Inconclusive: they cannot be run.
        """
        self.bench.seed()
        _load_torchvision(self.job)
        with ExitStack() as stack:
            stack.enter_context(without_data(self.bench))
            stack.enter_context(self.orders.surroundings(self.job.settings))
            stack.enter_context(instruments(self))
            self._play()
            self.passes.finish()
        if self.refused:
            raise Inconclusive(self.refused)
        rows = tuple(self._rows())
        if self.program.losses:
            first, *others = self.program.losses
            more = f", and {len(others)} more" if others else ""
            self.bench.assume(f"what fails on the way has no part in it: {first}{more}")
        return Record(
            events=self.events,
            names=self.ledger.names,
            accused=self.accused,
            undecided=list(self.undecided),
            lost=[loss for loss in self.program.losses if loss.startswith(rows)],
            failures=list(self.program.losses),
            again=lambda **how: rehearse(self.job, self.bench, **{"answer": self.answer, **how}),
            seen=self.seen,
            layers=self._layers(),
            changed=frozenset(self.changed),
            learned=frozenset(self.learned),
            passes=self.passes.found,
        )

    def _play(self) -> None:
        if not self.job.program.entry:
            self.program.run()
            return
        try:
            function = self._entry()
            result = function(**{name: self._argument(name) for name in arguments_of(function)})
            if self.job.settings.get("hook"):
                self._go_through(result)
        except Enough:
            pass
        except Inconclusive:
            raise
        except (Exception, SystemExit) as error:
            raise Inconclusive(self.program.failed(error)) from error

    def _argument(self, name: str) -> StandIn:
        """What a function that nobody calls is given: a tensor, unless its name says something else."""
        is_tensor = not (MODEL.search(name) or _NO_TENSOR.search(name))
        return self.batch(name) if is_tensor else StandIn(name, self)

    def _entry(self) -> Any:
        """The function of the plan; a method is one of an object that is built with stand-ins."""
        function = self.program.entry()
        name = self.job.program.entry
        self.bench.assume(f"{name}() is called")
        if "." not in name:
            return function
        cls = self.program.definition(self.job.program.path, name.rpartition(".")[0])
        built = cls(**{each: StandIn(each, self) for each in arguments_of(cls)})
        if self.job.settings.get("hook"):
            _set_up(built)
        return getattr(built, function.__name__)

    def _go_through(self, loader: Any) -> None:
        """Have the epochs over a loader that a framework asks for, and goes through as it is."""
        self.bench.assume("the framework goes through the loader as it is")
        for number in range(self.epochs):
            self.rounds["epochs"] = number
            for _ in islice(iter(loader), self.batches):
                pass

    def _places(self, name: str) -> Iterator[Place]:
        """Where the watches of a name are."""
        for file in self.job.program.files:
            for each in file.watches:
                if each.name == name:
                    yield file.path, each.row, each.end_row

    def _rows(self) -> Iterator[str]:
        """How failures in the lines of events begin."""
        for file in self.job.program.files:
            for each in file.watches:
                if each.name in ("accused", "event"):
                    yield f"{os.path.basename(file.path)}:{each.row}:"

    # --- loops -------------------------------------------------------------------------------------------------------

    def _fit(self) -> None:
        for file in self.job.program.files:
            for each in file.watches:
                kind = each.name.partition(" ")[0]
                if kind in ("epochs", "batches"):
                    self.program.see[each.name] = self._loop(
                        each.name, self.epochs if kind == "epochs" else self.batches
                    )
                elif kind == "round":
                    self.program.see[each.name] = self._while(each.name)
                elif kind not in ("accused", "event", "way"):
                    self.program.see[each.name] = self._seeing(each.name)

    def _seeing(self, name: str) -> Any:
        def see(value: Any) -> Any:
            if name == "layers":
                self.layers.append(value)
                return value
            if name in ("loader", "sampler"):
                return self.orders.see(name, value)
            if name in WATCHES:
                return self.passes.see(name, value, self.lines())
            if name != "kept":
                # As it is now: the lines may change it in place.
                self.seen.setdefault(name, []).append(copied(value))
                return value
            # To remember the value would be to hold its graph.
            self.seen.setdefault(name, []).append(None)
            return value.detach() if self.detach and hasattr(value, "detach") else value

        return see

    def _layers(self) -> frozenset[int]:
        """The parameters of the layers that were shown, as far as they are built by now."""
        found = [(name, each) for layers in self.layers for name, each in parameters_in(layers)]
        return self.ledger.enter([each for _, each in found], [name for name, _ in found])

    def _loop(self, name: str, most: int) -> Any:
        def see(value: Any) -> Any:
            if isinstance(value, StandIn):
                value = [self.batch(f"{value._name}[{number}]") for number in range(most)]
            return self._counted(name, islice(iter(value), most))

        return see

    def _counted(self, name: str, items: Iterator[Any]) -> Iterator[Any]:
        for number, item in enumerate(items):
            self.rounds[name] = number
            yield item
        self.rounds.pop(name, None)

    def _while(self, name: str) -> Any:
        def see(value: Any) -> Any:
            done = self.rounds.get(name, -1) + 1
            goes_on = done < self.batches and (isinstance(value, StandIn) or bool(value))
            if goes_on:
                self.rounds[name] = done
            else:
                self.rounds.pop(name, None)
            return goes_on

        return see

    def batch(self, name: str, examples: int | None = None) -> StandIn:
        """A batch that nobody gives, of so many examples, if that is known."""
        import torch

        return StandIn(name, self, torch.tensor(self.draw()), examples)

    def batches_of(self, loader: Any, items: Iterator[Any]) -> Iterator[Any]:
        """The first batches of a loader, or all where the finding is about them; stand-ins where they cannot be had."""
        self.add(Batches, loader=self.ledger.number(loader), order=self.orders.of(loader, self.rounds))
        if self.orders.are_known:
            raise Enough
        if self.passes.shows(loader):
            yield from self.passes.through(loader, items, self.lines(), self._not_loaded)
            return
        examples = next(iter(sizes_of(loader) or ()), None)
        for turn in range(self.batches):
            try:
                batch = next(items)
            except StopIteration:
                return
            except Exception as error:
                yield from (self._not_loaded(examples, error) for _ in range(turn, self.batches))
                return
            yield batch

    def _not_loaded(self, examples: int | None, error: Exception) -> StandIn:
        self.bench.stand_in(f"batches that could not be loaded ({type(error).__name__})")
        return self.batch("batch", examples)

    # --- the world of stand-ins --------------------------------------------------------------------------------------

    def guess(self, name: str, *, size: bool) -> None:
        """A number is made up for what nobody gives."""
        self.passes.guess(name, size=size)
        self.orders.guess()

    def draw(self) -> float:
        """A number between one half and one, the same in every run."""
        import torch

        return 0.5 + 0.5 * float(torch.rand((), generator=self._generator))

    def is_true(self, frame: Any) -> bool:
        """The outcome of a test that asks for a value that nobody has."""
        if frame is None or frame.f_code.co_filename not in self.paths:
            return False
        line = (frame.f_code.co_filename, frame.f_lineno)
        asked = self.undecided[line] = self.undecided.get(line, 0) + 1
        return self.answer if asked <= SOON else asked % 2 == 0

    def parameter(self, name: str) -> Any:
        """The only parameter of a model that nobody has."""
        import torch

        parameter = torch.nn.Parameter(torch.full((2,), self.draw()))
        name = name.replace("?.", "").strip("?")
        name = name if re.search(r"[a-zA-Z]", name) else "a model"
        self.ledger.enter([parameter], [name])
        self.bench.stand_in(f"{name}, which is not known here, by a model with one parameter")
        return parameter

    def called(self, model: StandIn, arguments: Sequence[Any]) -> Any:
        """What a model that nobody has computes."""
        parameters = model._own()
        result = StandIn(f"{model._name}(…)", self, self._computed(parameters, arguments), examples_in(arguments))
        self._forward(model, model._name, model.training, (), result, replaced=True)
        return result

    def _computed(self, parameters: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """A number that depends on all parameters and arguments."""
        import torch

        total = mixed(arguments, self)
        for each in parameters:
            if each.is_floating_point() and each.numel():
                total = total + (each.reshape(-1)[:FELT] * self.draw()).float().mean().cpu()
        # A product keeps something for the way back, as a graph of layers does.
        return total * torch.tensor(self.draw())

    def stepped(self, optimizer: StandIn) -> None:
        """A step of an optimizer that nobody has: it moves whatever no other one does."""
        import torch

        if self.stand_in_optimizer not in (None, optimizer):
            self.refuse(f"which parameters {optimizer._name} and {self.stand_in_optimizer._name} move is not known")
        self.stand_in_optimizer = optimizer
        parameters = self._unowned()
        used, weights = self.ledger.gradients(), _told(self.ledger.values(parameters))
        with torch.no_grad():
            for number in parameters:
                each = self.ledger.parameters[number]
                if each.grad is not None:
                    each.sub_(0.01 * each.grad)
        self._step(optimizer, optimizer._name, parameters, used, frozenset(used) & parameters, weights)

    def cleared(self, owner: StandIn) -> None:
        """``zero_grad`` of a model or optimizer that nobody has."""
        parameters = self.ledger.enter(owner._own()) if owner.is_model else self._unowned()
        self.add(ZeroGrad, owner=self.ledger.number(owner, owner._name), parameters=parameters)
        for number in parameters:
            self.ledger.parameters[number].grad = None

    def _unowned(self) -> frozenset[int]:
        return frozenset(self.ledger.parameters) - self.own

    def switched(self, model: StandIn, training: bool) -> None:
        """``train()`` or ``eval()`` of a model that nobody has."""
        model._own()
        model.training = training
        self.add(Mode, module=self.ledger.number(model, model._name), training=training)

    # --- events ------------------------------------------------------------------------------------------------------

    def refuse(self, why: str) -> None:
        """End the run for a reason; what is raised here must not be taken for a failure of the user's lines."""
        self.refused = self.refused or why
        raise Enough

    def lines(self) -> tuple[Line, ...]:
        """The user's lines that are under way, the innermost first."""
        found = []
        frame: Any = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename in self.paths:
                found.append((frame.f_code.co_filename, frame.f_lineno))
            frame = frame.f_back
        return tuple(found)

    def add(self, kind: type[E], **fields: Any) -> E:
        """Write an event down.

        Raises:
            Enough: it was the last one.
        """
        if len(self.events) >= MOST_EVENTS and not self.passes.found:
            raise Enough
        self._layers()
        gradients = fields.pop("gradients", None)
        if gradients is None:
            gradients = self.ledger.gradients()
        event = kind(len(self.events), self.lines(), dict(self.rounds), gradients, **fields)
        self.events.append(event)
        return event

    def forward(self, module: Any, arguments: Sequence[Any], named: Mapping[str, Any], call: Any) -> Any:
        """The outermost call of a module."""
        import torch

        parameters = self.ledger.enter_module(module)
        given = [*arguments, *named.values()]
        replaced = False
        if parameters and any(isinstance(each, StandIn) for each in flat(given)):
            result: Any = self.batch(f"{type(module).__name__}(…)")
            parts = [
                each for each in module.parameters() if not isinstance(each, torch.nn.parameter.UninitializedParameter)
            ]
            result = StandIn(result._name, self, self._computed(parts, given), examples_in(given))
            self.bench.stand_in(f"what {type(module).__name__} computes")
            replaced = True
        else:
            with self._mode_of(module):
                result = call(module, *arguments, **named)
        if parameters or any(True for _ in module.children()):
            self._forward(module, type(module).__name__, module.training, tuple(module.modules()), result, replaced)
        return result

    @contextmanager
    def _mode_of(self, module: Any) -> Iterator[None]:
        """For a forward pass in the lines of the finding, the mode that is asked for."""
        if self.training is None or not lead_through(self.lines(), self.accused):
            yield
            return
        flags = [(each, each.training) for each in module.modules()]
        module.train(self.training)
        try:
            yield
        finally:
            for each, flag in flags:
                each.training = flag

    def _forward(
        self, module: Any, name: str, training: bool, inside: Sequence[Any], result: Any, replaced: bool
    ) -> None:
        import torch

        attached = [each for each in flat([result]) if getattr(each, "requires_grad", False)]
        dependent = [each for each in inside if not is_same_in_both_modes(each)]
        event = self.add(
            Forward,
            module=self.ledger.number(module, name),
            training=training,
            training_modules=frozenset(type(each).__name__ for each in dependent if each.training),
            evaluating_modules=frozenset(type(each).__name__ for each in dependent if not each.training),
            recording=torch.is_grad_enabled(),
            attached=bool(attached),
            replaced=replaced,
            output=None if replaced else sampled_numbers(result),
        )
        for each in attached:
            tensor = each._inside if isinstance(each, StandIn) else each
            tensor.register_hook(lambda gradient: self.learned.add(event.number))
        if self.until and lead_through(event.lines, self.accused):
            self.until -= 1
            if not self.until:
                raise Enough

    def backward(self, tensors: Any, call: Any, kept: bool) -> None:
        """A backward pass: ``call`` does it."""
        import torch

        before = self.ledger.gradients()
        several = isinstance(tensors, (list, tuple))
        given = list(tensors) if several else [tensors]
        invented = False
        roots = []
        for each in given:
            number = each._inside if isinstance(each, StandIn) else each
            if isinstance(each, StandIn) and not number.requires_grad and torch.is_grad_enabled():
                invented = True
                number = self._computed(list(self.ledger.parameters.values()), ())
                self.learned |= {each.number for each in self.events if isinstance(each, Forward) and each.attached}
            roots.append(number)
        alive = tuple(number for number, graph in self.graphs.items() if graph() is not None)
        # What hooks do before it ends comes after it.
        begun = self.add(Backward, gradients=before, **_NOTHING_YET)
        for root in roots:
            if getattr(root, "grad_fn", None) is not None:
                self.graphs[begun.number] = _alive_with(root.grad_fn)
        self.ledger.begin(begun.number)
        factor, self.scale = self.scale, 1.0
        try:
            call(roots if several else roots[0])
        except BaseException:
            self.events.remove(begun)
            raise
        finally:
            reached = self.ledger.end(factor)
        self.events[begun.number] = replace(
            begun,
            after=self.ledger.gradients(),
            reached=reached,
            kept=kept,
            alive=alive,
            value=float(sum(float(root.detach().float().sum()) for root in roots)) / factor,
            invented=invented,
        )

    def clip(self, parameters: Any, limit: Any, call: Any) -> Any:
        """Clipping of gradients: ``call`` does it."""
        import torch

        given = [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
        numbers = self.ledger.enter(given)
        before, scale = self.ledger.gradients(), self.ledger.factor(numbers)
        result = call(given)
        limit = float(limit) if isinstance(limit, (int, float)) else 1.0
        self.add(Clip, gradients=before, parameters=numbers, after=self.ledger.gradients(), limit=limit, scale=scale)
        return result

    def unscaled(self, optimizer: Any, scale: float, before: Any, inside: bool) -> None:
        """A scaler has unscaled the gradients of an optimizer; ``inside`` its own step."""
        numbers = self.of_optimizer(optimizer)
        for number in numbers:
            self.ledger.factors[number] = 1.0
        if not inside:
            owner = self.ledger.number(optimizer)
            self.add(Unscale, gradients=before, optimizer=owner, parameters=numbers, scale=scale)

    def zeroed(self, owner: Any, parameters: frozenset[int]) -> None:
        """``zero_grad`` begins."""
        self.add(ZeroGrad, owner=self.ledger.number(owner), parameters=parameters)

    def of_optimizer(self, optimizer: Any) -> frozenset[int]:
        """The numbers of the parameters of an optimizer."""
        numbers = self.ledger.enter(each for group in optimizer.param_groups for each in group["params"])
        self.own |= numbers
        return numbers

    def step(self, optimizer: Any, before: Mapping[int, Any], memory: int, gradients: Any, begun: int) -> None:
        """An optimizer has stepped.

        Args:
            optimizer: which one.
            before: the values of its parameters at the beginning.
            memory: a number that tells what it remembered then.
            gradients: what was in ``.grad`` then; a closure may have computed others since.
            begun: the number of events at that time.
        """
        numbers = self.of_optimizer(optimizer)
        computed = [event.after for event in self.events[begun:] if isinstance(event, Backward)]
        after = self.ledger.values(numbers)
        moved = frozenset(number for number in numbers if before.get(number) != after[number])
        used = computed[-1] if computed else gradients
        self._step(optimizer, type(optimizer).__name__, numbers, used, moved, _told(before), memory)

    def _step(
        self,
        optimizer: Any,
        name: str,
        parameters: frozenset[int],
        gradients: Any,
        moved: frozenset[int],
        weights: int,
        memory: int = 0,
    ) -> None:
        for number, values in self.ledger.values(self._layers()).items():
            if self.at_first.setdefault(number, values) != values:
                self.changed.add(number)
        self.add(
            Step,
            gradients=gradients,
            optimizer=self.ledger.number(optimizer, name),
            parameters=parameters,
            used={number: held for number, held in gradients.items() if number in parameters},
            moved=moved,
            scale=self.ledger.factor(parameters),
            weights=weights,
            memory=memory,
            frozen=frozenset(each for each in parameters if not self.ledger.parameters[each].requires_grad),
        )
        if self.clear:
            for number in parameters:
                self.ledger.parameters[number].grad = None

    def scheduler_step(self, scheduler: Any) -> None:
        """A scheduler has stepped."""
        optimizer = getattr(scheduler, "optimizer", None)
        rates = tuple(float(group["lr"]) for group in getattr(optimizer, "param_groups", ()))
        number = -1 if optimizer is None else self.ledger.number(optimizer)
        self.add(SchedulerStep, scheduler=self.ledger.number(scheduler), optimizer=number, rates=rates)

    def mode(self, module: Any, training: bool) -> None:
        """A module was put into a mode."""
        self.add(Mode, module=self.ledger.number(module), training=training)

    def set_epoch(self, sampler: Any, epoch: Any) -> None:
        """A sampler was told the epoch."""
        self.add(SetEpoch, sampler=self.ledger.number(sampler), epoch=epoch if isinstance(epoch, int) else -1)


def _set_up(built: Any) -> None:
    """Call what a framework calls before it asks for loaders."""
    for name, given in (("prepare_data", ()), ("setup", ("fit",))):
        if callable(getattr(type(built), name, None)):
            getattr(built, name)(*given)


def _load_torchvision(job: Job) -> None:
    """Load torchvision, if the lines need it, so that its data sets can be stood in for."""
    if any("torchvision" in file.text for file in job.program.files):
        from ..setting.torchvision_operators import load_torchvision

        with suppress(Exception):
            # The user's lines will say what is wrong.
            load_torchvision()
            importlib.import_module("torchvision.datasets")


_NOTHING_YET: dict[str, Any] = {
    "after": {},
    "reached": frozenset(),
    "kept": False,
    "alive": (),
    "value": 0.0,
    "invented": False,
}
"""A backward pass that has only begun."""


def _told(values: Mapping[int, tuple[float, ...]]) -> int:
    """A number that tells the values of parameters."""
    return hash(tuple(sorted(values.items())))


class _Alive:
    """Lives as long as the graph that it is tied to."""


def _alive_with(node: Any) -> Any:
    """A weak reference to what lives as long as a node of a graph."""
    import weakref

    witness = _Alive()
    node.metadata["nnlint"] = witness
    return weakref.ref(witness)
