"""Inputs that a module or a function accepts, found by trying."""

from __future__ import annotations

import inspect
import itertools
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from .further import Choice, Maker, further_arguments
from .guessing import BATCH, STEPS
from .mending import asked, distance, mended
from .prepared import generators_kept, in_mode, invoke, keeps_batch, tensors_in
from .ranks import Ranks, fits, ranks_of
from .sketches import SIDES, Sketch, accepted_by, common, leaves, sides_of

TRIES = 1000
"""Calls that are made before the search is given up."""

FURTHER = 12
"""Calls that are made after one went through whose output does not keep the number of examples."""

AFFORDABLE = 5 * 3 * 64 * 64
"""Elements of an input beyond which it is tried after those that are smaller."""

MENDED = 24
"""Calls with first arguments of one kind that are made with sizes which the error of another call asks for."""

ENOUGH = 3
"""Sides of an image that are wrong for the same reason, which then does not lie in the side."""

EXPLORED = 5
"""First arguments that get equally far and are tried with other further ones."""

Kind = tuple[int, str]
"""The number of dimensions of a first argument, and what it holds; 0 and nothing for any."""

Reached = tuple[int, int]
"""How far a call got: the calls of modules it made, and the row it failed in."""


@dataclass(frozen=True)
class Accepted:
    """Arguments that a call went through with, each to be made again on any device, and how far it may be trusted."""

    makers: dict[str, Maker]
    bounds: dict[str, int]
    keeps_batch: bool


class Patience:
    """How long inputs are looked for: some modules take seconds for one call, and are held by others that do."""

    def __init__(self, seconds: float = 6.0, share: float = 2.0) -> None:
        self._end = time.process_time() + seconds
        self._share = share

    def half(self) -> Patience:
        """Half of what is left, for what is only a help."""
        return Patience(max(self._end - time.process_time(), 0) / 2, self._share)

    def is_over(self) -> bool:
        """Whether no more should be tried."""
        return time.process_time() > self._end

    def until(self) -> float:
        """When the search that begins now is to end, in processor time (:func:`time.process_time`)."""
        return min(self._end, time.process_time() + self._share)


class NotAccepted(Exception):
    """No arguments were found; ``error`` is what the likeliest of them came to."""

    def __init__(self, error: BaseException | None) -> None:
        super().__init__(str(error))
        self.error = error


def hinted(hints: Mapping[str, Sequence[Sketch]], name: str) -> list[Choice]:
    """What is known of a parameter, as candidates for it."""
    return [(each.made, each.bound) for each in hints.get(name, ())]


def _further(name: str, first: Sketch, module: Any, ranks: Ranks) -> list[Choice]:
    """Candidates for a parameter after the first, those of the right number of dimensions if there are any."""
    choices = further_arguments(name, first, module)
    rank = ranks.get(name)
    return [each for each in choices if fits(getattr(each[0], "__self__", None), rank)] or choices


def parameters_to_fill(function: Callable[..., Any]) -> list[str]:
    """The parameters that need an argument: those without a default; if there is none, the first that may be absent.

    The name of one for any number of arguments begins with a star.
    """
    parameters = list(inspect.signature(function).parameters.values())
    named = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    needed = [each.name for each in named if each.default is each.empty]
    starred = [f"*{each.name}" for each in parameters if each.kind is each.VAR_POSITIONAL]
    return needed or starred or _parameters_that_may_be_absent(function)[:1]


def _parameters_that_may_be_absent(function: Callable[..., Any]) -> list[str]:
    return [each.name for each in inspect.signature(function).parameters.values() if each.default is None]


def search(
    function: Callable[..., Any],
    module: Any,
    hints: Mapping[str, Sequence[Sketch]],
    written: Sequence[Sketch],
    sides: Sequence[int],
    device: str,
    patience: Patience,
    also: Sequence[str] = (),
) -> Accepted:
    """Arguments that ``function``, a method of ``module`` or one of its own, goes through with on a device.

    Args:
        function: what is called.
        module: what it is a method of, or None.
        hints: what is known of a parameter's tensor, by name; after that only others of as many dimensions are tried.
        written: tensors that are written down in the script.
        sides: sides of images that are written down in the script.
        device: may be ``meta``.
        patience: how long it may take.
        also: parameters that get an argument though they have a default.

    Raises:
        NotAccepted: no call went through.
    """
    needed = parameters_to_fill(function)
    parameters = [*needed, *(each for each in also if each not in needed)]

    def found_with(names: Sequence[str]) -> Accepted:
        trial = _Trial(function, module, device, names, patience.until())
        if names:
            _try_all(trial, hints, written, sides)
        else:
            trial.attempt(())
        return trial.best()

    try:
        return found_with(parameters)
    except NotAccepted:
        # What has a default may be asked for all the same.
        absent = next((name for name in _parameters_that_may_be_absent(function) if name not in parameters), None)
        if absent is None or patience.is_over():
            raise
        with suppress(NotAccepted):
            return found_with([*parameters, absent])
        raise


def _try_all(
    trial: _Trial, hints: Mapping[str, Sequence[Sketch]], written: Sequence[Sketch], sides: Sequence[int]
) -> None:
    """Try all arguments that are thought of: what is known and what is likely, then those again in more detail."""
    function, module = trial.function, trial.module
    first, *others = trial.names
    likely = itertools.chain(hints.get(first, ()), _first_arguments(trial, first, others, hints, written, sides))
    ranks = {**ranks_of(function), **{name: (len(known[0].shape),) * 2 for name, known in hints.items() if known}}
    sketches: dict[Sketch, None] = {}
    for sketch in likely:
        if sketch in sketches or not fits(sketch, ranks.get(first)):
            continue
        sketches[sketch] = None
        choices = [(*hinted(hints, each), *_further(each, sketch, module, ranks)) for each in others]
        if trial.climb((sketch.made, sketch.bound), choices):
            break
    for sketch in sketches if trial.found is None else ():
        if math.prod(sketch.shape) > AFFORDABLE:
            continue
        choices = [(*hinted(hints, each), *_further(each, sketch, module, ranks)) for each in others]
        if trial.climb((sketch.made, sketch.bound), choices, _kind(sketch)):
            break
    if first not in hints:
        trial.widen()


class _Trial:
    """Calls of a function until one goes through and keeps the number of examples."""

    def __init__(
        self,
        function: Callable[..., Any],
        module: Any,
        device: str,
        parameters: Sequence[str],
        end: float,
    ) -> None:
        self.function = function
        self.module = module
        self.device = device
        self.names = list(parameters)
        self.end = end
        self.tries = 0
        self.found: Accepted | None = None
        self.found_at = 0
        self.error: BaseException | None = None
        self.last_error: BaseException | None = None
        self.ways: dict[Kind, _Way] = {}
        self.sizes: dict[tuple[Kind, int], list[tuple[int, int] | None]] = {}

    @property
    def furthest(self) -> Reached:
        """How far any call got."""
        return max((way.furthest for way in self.ways.values()), default=(0, 0))

    def climb(self, first: Choice, choices: Sequence[Sequence[Choice]], kind: Kind = (0, "")) -> bool:
        """Try a first argument with further ones, changed one by one where that gets further; whether it is over.

        A first argument that does not get as far as others of its ``kind`` did is not tried with more than one set.
        """
        way = self.ways.setdefault(kind, _Way([0] * len(choices), thorough=bool(kind[0])))
        if not choices and not way.thorough and self.is_hopeless(first):
            return False
        picked = [min(number, len(each) - 1) for number, each in zip(way.picked, choices)]
        over, reached = self.attempt_mended((first, *(each[number] for number, each in zip(picked, choices))), way)
        if over or reached < way.furthest or self.found is not None:
            return over
        way.explored = way.explored + 1 if reached == way.furthest else 1
        if way.explored > EXPLORED:
            return False
        way.furthest = reached
        for place in reversed(range(len(choices))):
            for number in range(len(choices[place])):
                attempted = [*picked[:place], number, *picked[place + 1 :]]
                over, reached = self.attempt((first, *(each[number] for number, each in zip(attempted, choices))))
                if over:
                    return True
                if reached > way.furthest:
                    way.furthest, picked = reached, attempted
        way.picked = picked
        return False

    def widen(self) -> None:
        """Make what was found wider than it is high, if it goes through like that: mixed axes are to show."""
        if self.found is None:
            return
        square = [(make, self.found.bounds[name]) for name, make in self.found.makers.items()]
        wide = [(_widened(make), bound) for make, bound in square]
        first = getattr(square[0][0], "__self__", None) if square else None
        if isinstance(first, Sketch) and len(first.shape) > 3 and wide != square:
            before, self.found = self.found, None
            self.attempt(wide)
            self.found = self.found_or(before)

    def found_or(self, other: Accepted) -> Accepted:
        """What was found last, unless another keeps the number of examples and it does not."""
        return other if self.found is None or self.found.keeps_batch < other.keeps_batch else self.found

    def attempt_mended(self, arguments: Sequence[Choice], way: _Way) -> tuple[bool, Reached]:
        """The same as :meth:`attempt`, and with other sizes for as long as the error tells which."""
        over, reached = self.attempt(arguments)
        furthest, error = max(way.furthest, reached), self.last_error
        if over or reached < furthest or error is None:
            return over, reached
        for other in _mended(arguments, error):
            if not way.thorough and (distance(error) == math.inf or not _is_of_images(other)):
                continue
            way.mended += 1
            if way.mended > MENDED:
                break
            over, further = self.attempt(other)
            if over:
                return True, further
            if further > furthest or (further == furthest and distance(self.last_error) < distance(error)):
                return self.attempt_mended(other, way)
        return False, reached

    def attempt(self, arguments: Sequence[Choice]) -> tuple[bool, Reached]:
        """Whether the search is over, and how far the call got."""
        import torch

        self.tries += 1
        self.last_error = None
        before = self.furthest
        with torch.no_grad(), in_mode(self.module), generators_kept(), _counted(self.end) as layers:
            torch.manual_seed(0)
            try:
                given = {name: make(self.device) for name, (make, _) in zip(self.names, arguments)}
                outputs = tensors_in(invoke(self.function, given))
                if not outputs:
                    raise TypeError(f"{getattr(self.function, '__name__', 'it')} returns no tensor")
            except Exception as error:
                reached = (len(layers), _row(error))
                self.last_error = error
                self.note_size(arguments, error)
                if self.error is None or reached > before:
                    self.error = error
                return self.is_over(error), reached
        kept = keeps_batch(outputs, BATCH)
        if self.found is None or kept:
            makers = {name: make for name, (make, _) in zip(self.names, arguments)}
            bounds = {name: bound for name, (_, bound) in zip(self.names, arguments)}
            self.found, self.found_at = Accepted(makers, bounds, kept), self.found_at or self.tries
        return kept or self.is_over(None), (len(layers), sys.maxsize)

    def note_size(self, arguments: Sequence[Choice], error: BaseException) -> None:
        """Note which size an image of some channels led to, and which was wanted."""
        sketch = getattr(arguments[0][0], "__self__", None) if arguments else None
        if isinstance(sketch, Sketch) and len(sketch.shape) > 3:
            self.sizes.setdefault((_kind(sketch), sketch.shape[1]), []).append(asked(error))

    def is_hopeless(self, first: Choice) -> bool:
        """Whether all images of the same channels have led to the same wrong size: their sides do not matter."""
        sketch = getattr(first[0], "__self__", None)
        if not isinstance(sketch, Sketch) or len(sketch.shape) < 4:
            return False
        noted = self.sizes.get((_kind(sketch), sketch.shape[1]), [])
        return len(noted) >= ENOUGH and None not in noted and len(set(noted)) == 1

    def is_over(self, error: BaseException | None) -> bool:
        """Whether enough was tried, or an error cannot be the input's fault."""
        if self.found is None and self.tries == 1 and isinstance(error, (NameError, NotImplementedError)):
            return True
        after = self.tries - self.found_at if self.found is not None else 0
        return after > FURTHER or self.tries >= TRIES or time.process_time() > self.end

    def best(self) -> Accepted:
        if self.found is None:
            raise NotAccepted(self.error)
        return self.found

    def first_layer(self, arguments: Sequence[Choice]) -> Any:
        """The layer that is reached first by a call, whether the call goes through or not."""
        import torch

        seen: list[Any] = []
        handles = [
            each.register_forward_pre_hook(lambda layer, _: seen.append(layer))
            for each in leaves(self.module)
            if each is not self.module
        ]
        try:
            with torch.no_grad(), in_mode(self.module), generators_kept(), suppress(Exception):
                invoke(self.function, {name: make(self.device) for name, (make, _) in zip(self.names, arguments)})
        finally:
            for handle in handles:
                handle.remove()
        return seen[0] if seen else None


@dataclass
class _Way:
    """How far first arguments of one kind have led.

    ``picked`` are the further arguments, by number, that got there; ``explored`` counts first ones that got as far. All
    sizes that errors ask for are tried if it is ``thorough``, else those of images: others may come by themselves, and
    unlike each other.
    """

    picked: list[int]
    thorough: bool
    furthest: Reached = (0, 0)
    explored: int = 0
    mended: int = 0


def _is_of_images(arguments: Sequence[Choice]) -> bool:
    return any(len(getattr(getattr(make, "__self__", None), "shape", ())) > 3 for make, _ in arguments)


def _kind(sketch: Sketch) -> Kind:
    return len(sketch.shape), sketch.kind


class _TooLong(Exception):
    """A call took longer than inputs are looked for."""

    def __str__(self) -> str:
        return "one call takes too long"


@contextmanager
def _counted(end: float) -> Iterator[list[None]]:
    """The calls of modules that are made, one element for each; after the time ``end`` there are none."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    calls: list[None] = []

    def count(*called: object) -> None:
        if time.process_time() > end:
            raise _TooLong
        calls.append(None)

    handle = register_module_forward_pre_hook(count)
    try:
        yield calls
    finally:
        handle.remove()


def _mended(arguments: Sequence[Choice], error: BaseException) -> Iterator[list[Choice]]:
    """The same arguments with one of them in other sizes, as an error asks for them."""
    for place, (make, bound) in enumerate(arguments):
        sketch = getattr(make, "__self__", None)
        for other in mended(sketch, error) if isinstance(sketch, Sketch) else ():
            yield [*arguments[:place], (other.made, bound), *arguments[place + 1 :]]


def _widened(make: Maker) -> Maker:
    sketch = getattr(make, "__self__", None)
    if not isinstance(sketch, Sketch) or len(sketch.shape) < 3 or sketch.shape[-1] != sketch.shape[-2]:
        return make
    side = sketch.shape[-1]
    return replace(sketch, shape=(*sketch.shape[:-1], side + side // 2)).made


def _row(error: BaseException) -> int:
    """The last row of the user's that an error went through."""
    row = 0
    traceback = error.__traceback__
    while traceback is not None:
        if "__nnlint__" in traceback.tb_frame.f_globals:
            row = traceback.tb_lineno
        traceback = traceback.tb_next
    return row


def _first_arguments(
    trial: _Trial,
    first: str,
    others: Sequence[str],
    hints: Mapping[str, Sequence[Sketch]],
    written: Sequence[Sketch],
    sides: Sequence[int],
) -> Iterator[Sketch]:
    """Candidates for the first argument: what the first layer takes, what is written, what others take, the rest."""
    from torch import nn

    remembered = sides_of(trial.module) if isinstance(trial.module, nn.Module) else []
    all_sides = list(dict.fromkeys((*remembered, *sides, *SIDES)))
    yield from _by_name(first, written)
    if not isinstance(trial.module, nn.Module):
        yield from (*written, *common(all_sides))
        return
    layers = leaves(trial.module)
    registered = [each for layer in layers[:6] for each in accepted_by(layer, all_sides)]
    probes = [*registered[:1], Sketch((BATCH, 3, 32, 32)), Sketch((BATCH, STEPS, 32))]
    for probe in probes:
        further = [(hinted(hints, each) or further_arguments(each, probe, trial.module))[0] for each in others]
        layer = trial.first_layer(((probe.made, probe.bound), *further))
        if layer is not None:
            taken = list(accepted_by(layer, all_sides))
            same_rank = [each for each in written if any(len(each.shape) == len(other.shape) for other in taken[:1])]
            fitting = [each for each in same_rank if each.shape[1:2] == taken[0].shape[1:2]] if taken else []
            yield from sorted((*fitting, *taken), key=lambda sketch: math.prod(sketch.shape) > AFFORDABLE)
            break
    if trial.module in layers:
        yield from accepted_by(trial.module, all_sides)
    yield from (*written[:30], *registered[:60])
    # What has no weights takes one size as well as another: small ones are tried in no time.
    has_weights = any(True for _ in trial.module.parameters())
    yield from common(all_sides) if has_weights else sorted(common(all_sides), key=lambda each: math.prod(each.shape))


def _by_name(name: str, written: Sequence[Sketch]) -> Iterator[Sketch]:
    """What a first parameter with a telling name takes."""
    lower = name.lower()
    if re.search(r"^(logits?|scores?|inputs?|output|pred\w*|y_pred|y_hat)$", lower) and not written:
        yield Sketch((BATCH, 11))
