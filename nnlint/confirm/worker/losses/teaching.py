"""One run of the user's lines from what the loss is computed of to the loss, and the gradient that comes back."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..anything import is_missing
from ..definitions import body_of
from ..program import Enough, Program
from ..verdict import Inconclusive
from .accepting import Accepting
from .lost import Lost
from .opened import one_batch, opened
from .supply import UNKNOWN, Supply
from .wanted import Wanted, is_wanted, settled

MOST_NODES = 10_000
"""Nodes of a graph that are looked at for its leaves."""

_FAILED_FOR_DATA = re.compile(
    r"FileNotFoundError|not installed|NotADirectoryError|PermissionError|ConnectionError|URLError"
)
"""Failures that say nothing about the shapes that are tried."""

_LOSS = re.compile(r"loss|criteri|crit$|objective|nll|diverg|distance|chamfer", re.IGNORECASE)
"""Names of what computes a loss, or is one."""

_LINEAR = re.compile(
    r"^(Mean|Sum|Mul|Neg|Div|View|Reshape|Squeeze|Unsqueeze|Clone|ToCopy|Select|Slice|Add|Sub|NanToNum|UnsafeView|"
    r"Expand|Alias|Accumulate|Sqrt)"
)
"""Operations that make no loss of a value that is none yet."""


@dataclass(frozen=True)
class Attempt:
    """What is tried for what nobody gives; see :class:`~.supply.Supply`."""

    shape: tuple[int, ...]
    side: int
    classes: bool
    named: bool = False
    present: bool = False
    only_results: bool = False
    accepted: bool = False


@dataclass(frozen=True)
class Push:
    """What a run changes to make losses larger or smaller.

    ``scale`` is the factor of free tensors and of the last layer of each model; ``values`` are tensors that stand in
    by their order, ``moves`` what is added to parameters, by the order of the models and of their parameters.
    """

    scale: float = 1.0
    values: Mapping[int, Any] = field(default_factory=dict)
    moves: Mapping[tuple[int, int], Any] = field(default_factory=dict)


@dataclass
class Bounded:
    """A value as it went into the bound and came out, and the gradient that came back to it (None: none came)."""

    value: Any
    before: Any
    after: Any = None
    gradient: Any = None


@dataclass
class Lesson:
    """What one run has shown."""

    supply: Supply
    bounded: list[Bounded] = field(default_factory=list)
    unbounded: Any = None
    """The value that goes on in the place of the bounded one, where the bound is left out."""
    opaque: str = ""
    """What computes the bounded value, if nobody gives it."""
    loss: Any = None
    reached: bool = False
    gradients: dict[int, Any] = field(default_factory=dict)
    """The gradients of the leaves, by the identity of the leaf."""
    parameters: dict[int, tuple[int, int]] = field(default_factory=dict)
    """The parameters of the models, by identity: the numbers of the model and of the parameter."""
    assumed: list[str] = field(default_factory=list)
    failed: str = ""
    """The error that ended the run."""
    lost: str = ""
    """The first failure that the run went on after."""
    replacement: Any = None
    """What the bound gives."""
    result: Any = None
    """What goes on from there."""

    @property
    def broken(self) -> str:
        """What a line of the user failed with, if the loss rests on its result; empty if it does not."""
        return next((why for why in self.supply.failures if not _FAILED_FOR_DATA.search(why)), "")

    @property
    def teaches(self) -> bool:
        """Whether any gradient arrived that is not zero."""
        return any(bool((each != 0).any()) for each in self.gradients.values())

    @property
    def norm(self) -> float:
        """The norm of all gradients."""
        import torch

        squares = [each.detach().double().square().sum() for each in self.gradients.values()]
        return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


class Teaching:
    """The user's lines, run as often as wanted."""

    def __init__(
        self, program: Program, settings: Mapping[str, Any], attempt: Attempt, alone: bool, accepting: Accepting
    ) -> None:
        self.program = program
        self.settings = settings
        self.attempt = attempt
        self.set_up = 0
        """Failures of the user's lines before the function was entered."""
        self.alone = alone
        """Whether the function around the bound is called by itself, with arguments that nobody gives."""
        self.accepting = accepting

    def lesson(
        self, push: Push, *, bound: bool = True, probe: float | None = None, share: float | None = None
    ) -> Lesson:
        """Run the lines once, and go backward from their loss.

        Args:
            push: what makes losses larger.
            bound: False puts the value as it was before in the place of the bounded one.
            probe: a value that is given to the bound in the place of the user's.
            share: the share of the user's value that is given to the bound in its place.
        """
        supply = Supply(**vars(self.attempt), scale=push.scale, held=dict(push.values))
        lesson = Lesson(supply)
        self._watch(lesson, bound, probe, share)
        self.program.bench.seed()
        with _pushed(push, lesson.parameters), opened(supply, self.program.bench), self.accepting.given(supply):
            try:
                self._go(lesson)
            except Enough:
                pass
            except Inconclusive as reason:
                lesson.failed = str(reason)
            except Exception as error:
                lesson.failed = self.program.failed(error)
        lesson.lost = next(iter([*self.program.losses[self.set_up :], *self.program.losses]), "")
        if probe is None and lesson.reached:
            _backward(lesson)
            if lesson.loss is not None and not lesson.bounded:
                lesson.opaque = _unknown_loss(lesson.loss, supply)
        return lesson

    def _watch(self, lesson: Lesson, bound: bool, probe: float | None, share: float | None) -> None:
        see = self.program.see

        def operand(value: Any) -> Any:
            import torch

            if isinstance(value, Wanted) or is_missing(value):
                lesson.opaque = value._path if isinstance(value, Wanted) else "a value that is missing"
            value = settled(value)
            if not isinstance(value, torch.Tensor):
                return value
            if share is not None:
                value = value * share
            seen = Bounded(value, value.detach().clone())
            lesson.bounded.append(seen)
            lesson.opaque = lesson.opaque or _unknown_loss(value, lesson.supply)
            _catch(value, seen)
            if probe is not None:
                return torch.full_like(value, probe)
            if bound:
                return value
            lesson.unbounded = value
            return value.clone()

        def clipped(value: Any) -> Any:
            value = settled(value)
            lesson.replacement = value
            lesson.result = value if lesson.unbounded is None else lesson.unbounded
            if hasattr(value, "detach"):
                if not lesson.bounded or lesson.bounded[-1].after is not None:
                    # The operand has no place of its own: nothing bounds it any more.
                    lesson.bounded.append(Bounded(value, value.detach().clone()))
                    _catch(value, lesson.bounded[-1])
                lesson.bounded[-1].after = value.detach().clone()
            if probe is not None:
                raise Enough
            return lesson.result

        def loss(value: Any) -> Any:
            lesson.loss, lesson.reached = settled(value), True
            raise Enough

        see.update(operand=operand, clipped=clipped, loss=loss)
        see["holds"] = lambda value: self._decided(lesson, value, outcome=True)
        see["fails"] = lambda value: self._decided(lesson, value, outcome=False)
        see["batches"] = lambda value: one_batch(value, lesson.supply)

    def _decided(self, lesson: Lesson, value: Any, outcome: bool) -> Any:
        """The outcome of a test on the way, where it hangs on what nobody gives."""
        if not is_wanted(value) and not is_missing(value):
            return value
        lesson.assumed.append(f"{getattr(value, '_name', 'a test')} is {'true' if outcome else 'false'}")
        return outcome

    def _go(self, lesson: Lesson) -> None:
        program, supply = self.program, lesson.supply
        if self.alone:
            name, path = str(self.settings["function"]), str(self.settings["file"])
        else:
            name, path = program.slice.entry, program.slice.path
        program.missing = program.skipped = _losing(supply, fails=not name)
        program.run("__nnlint_program__" if name and not program.slice.entry else None)
        if not name:
            return
        owner_name, _, last = name.rpartition(".")
        owner = program.definition(path, owner_name) if owner_name else None
        function = program.definition(path, name)
        first: list[Any] = []
        if isinstance(owner, type) and inspect.isfunction(inspect.getattr_static(owner, last)):
            first = [_instance(owner, lesson)]
        program.missing = program.skipped = _losing(supply, fails=True)
        self.set_up = len(program.losses)
        lesson.loss = settled(function(*first, *_arguments(function, lesson, skipped=len(first))))
        lesson.reached = True


def _losing(supply: Supply, *, fails: bool) -> Callable[[str, str], Lost]:
    """What stands for something that could not be had; with ``fails`` the lesson fails if anything rests on it."""

    def lost(why: str, name: str) -> Lost:
        return Lost(name or UNKNOWN, supply, why=why if fails else "", path=f"{UNKNOWN}{why}\n{name}")

    return lost


def _arguments(function: Callable[..., Any], lesson: Lesson, skipped: int) -> list[Any]:
    """An argument for every parameter, its default if it has one (what may be missing is there: other than None).

    Those without a default are None where the lines have an answer to that.
    """
    present = lesson.supply.present
    parameters = list(inspect.signature(function).parameters.values())[skipped:]
    optional = set() if present else _compared_to_none(function)
    arguments: list[Any] = []
    for each in parameters:
        if each.kind not in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD):
            continue
        if each.default is each.empty and each.name in optional:
            lesson.assumed.append(f"{each.name} = None")
            arguments.append(None)
        elif each.default is each.empty or (present and each.default is None):
            arguments.append(Wanted(each.name, lesson.supply))
        else:
            arguments.append(each.default)
    return arguments


def _compared_to_none(function: Callable[..., Any]) -> set[str]:
    """The names that a function, or the initializer of a class, asks whether they are None."""
    target = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    tests = (node for statement in body_of(target) for node in ast.walk(statement) if isinstance(node, ast.Compare))
    return {
        node.left.id
        for node in tests
        if isinstance(node.left, ast.Name)
        and isinstance(node.ops[0], (ast.Is, ast.IsNot))
        and isinstance(node.comparators[0], ast.Constant)
        and node.comparators[0].value is None
    }


def _instance(cls: Any, lesson: Lesson) -> Any:
    """An object of a class of the user: built with arguments that nobody gives, or else without its initializer."""
    import torch

    supply = lesson.supply

    def attribute(self: Any, name: str) -> Any:
        try:
            return super(open_, self).__getattr__(name)
        except AttributeError:
            if name.startswith("__"):
                raise
        return self.__dict__.setdefault(name, Wanted(f"self.{name}", supply))

    open_: Any = type(cls.__name__, (cls,), {"__getattr__": attribute})
    try:
        instance = open_(*_arguments(cls, lesson, skipped=0))
    except Exception:
        instance = open_.__new__(open_)
        if isinstance(instance, torch.nn.Module):
            torch.nn.Module.__init__(instance)
            # Lines ask the first parameter for the device.
            instance._parameters["nnlint"] = torch.nn.Parameter(torch.zeros(1))
    for name, value in list(vars(instance).items()):
        if supply.present and value is None and not name.startswith("_"):
            instance.__dict__[name] = Wanted(f"self.{name}", supply)
    return instance


# --- gradients -------------------------------------------------------------------------------------------------------


def _catch(value: Any, seen: Bounded) -> None:
    """Write down the gradient that comes back to a value, as it is before anything changes it in place."""
    node, output = value.grad_fn, value.output_nr

    def came(*gradients: Any) -> None:
        given = gradients[-1]
        if given[output] is not None:
            seen.gradient = given[output].detach().clone()

    if node is not None:
        node.register_hook(came)


def _backward(lesson: Lesson) -> None:
    import torch

    loss = _loss_in(lesson.loss)
    if loss is None:
        # The lines that hand it on were left out.
        loss = _loss_in(lesson.result)
    lesson.loss = loss
    if loss is None or not loss.requires_grad:
        return
    leaves = [leaf for leaf in _leaves(loss) if leaf is not lesson.replacement]
    if leaves:
        found = torch.autograd.grad(loss.sum(), leaves, retain_graph=True, allow_unused=True)
        lesson.gradients = {id(leaf): each for leaf, each in zip(leaves, found) if each is not None}


def _loss_in(value: Any) -> Any:
    """The loss among what a function returns: what is called so, the first, or the sum of a list; None without one."""
    import torch

    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, Mapping):
        named = [each for key, each in value.items() if "loss" in str(key)]
        value = [value["loss"]] if "loss" in value else named
    elif not isinstance(value, (list, tuple)):
        value = [getattr(value, "loss", None)]
    tensors = [each for each in map(settled, value) if isinstance(each, torch.Tensor) and each.is_floating_point()]
    if not tensors:
        return None
    if len(tensors) == 1:
        return tensors[0]
    return sum(each.sum() for each in tensors) if isinstance(value, list) else tensors[0]


def _leaves(loss: Any) -> Iterator[Any]:
    """The tensors that the gradients of a loss arrive at."""
    if loss.grad_fn is None:
        yield loss
    for node in _graph(loss):
        variable = getattr(node, "variable", None)
        if variable is not None:
            yield variable


def _graph(value: Any) -> Iterator[Any]:
    """The operations that a value was computed with."""
    stack: list[Any] = [value.grad_fn]
    seen: set[Any] = set()
    while stack and len(seen) < MOST_NODES:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            stack += [before for before, _ in node.next_functions]


def _unknown_loss(value: Any, supply: Supply) -> str:
    """The stand-in that a value is a loss by itself, rather than by the user's lines; empty if it is not."""
    if not value.requires_grad:
        return ""
    leaves = {id(leaf) for leaf in _leaves(value)}
    given = [each.path for each in supply.tensors if id(each.leaf) in leaves]
    for path in given:
        if _LOSS.search(path.rpartition("\n")[2].replace("(…)", "").rpartition(".")[2]):
            return path
    alone = len(leaves) == 1 and len(given) == 1
    return given[0] if alone and all(_LINEAR.match(type(node).__name__) for node in _graph(value)) else ""


def strength(lesson: Lesson, wanted: Any) -> float:
    """The norm of the gradient that some of the bounded values send to what they were computed from.

    Args:
        lesson: a run without the bound.
        wanted: which of the values count, in their order.
    """
    import torch

    total, start = 0.0, 0
    for each in lesson.bounded:
        count = each.before.numel()
        chosen = wanted[start : start + count].reshape(each.before.shape)
        start += count
        leaves = list(_leaves(each.value)) if each.value.requires_grad else []
        if each.gradient is not None and leaves:
            sent = torch.where(chosen, each.gradient, torch.zeros_like(each.gradient))
            found = torch.autograd.grad(each.value, leaves, sent, retain_graph=True, allow_unused=True)
            total += sum(float(one.double().square().sum()) for one in found if one is not None)
    return float(total**0.5)


@contextmanager
def _pushed(push: Push, parameters: dict[int, tuple[int, int]]) -> Iterator[None]:
    """Models that are called have their last layer scaled, and their parameters moved, before they run."""
    import torch

    done: set[int] = set()
    kept: list[Any] = []

    def before(module: Any, inputs: Any) -> None:
        if id(module) in done:
            return
        number = len(kept)
        kept.append(module)
        done.update(id(each) for each in module.modules())
        layers = [each for each in module.modules() if _weighs(each)]
        with torch.no_grad():
            for parameter in layers[-1].parameters(recurse=False) if layers else ():
                parameter.mul_(push.scale)
            for place, parameter in enumerate(module.parameters()):
                parameters[id(parameter)] = number, place
                if (number, place) in push.moves:
                    parameter.add_(push.moves[number, place])

    handle = torch.nn.modules.module.register_module_forward_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()


def _weighs(module: Any) -> bool:
    weight = getattr(module, "weight", None)
    return weight is not None and getattr(weight, "ndim", 0) >= 2
