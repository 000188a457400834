"""The instruments: torch's own hooks where it has them, and wrappers around what it has none for."""

from __future__ import annotations

import argparse
import builtins
import functools
import inspect
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from ..anything import Anything, is_missing
from .ledger import numbers_of
from .stand_in import COUNT, StandIn, flat

if TYPE_CHECKING:
    from .rehearsal import Rehearsal

RATE = 0.01
"""The learning rate where nobody gives one."""


@contextmanager
def instruments(run: Rehearsal) -> Iterator[None]:
    """Everything of torch that a run is told of, or that is stood in for, as long as the context lasts."""
    with ExitStack() as stack:

        def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
            if name in vars(owner):
                original = vars(owner)[name]
                stack.callback(setattr, owner, name, original)
                setattr(owner, name, make(original))

        _options(run, replace)
        _files(replace)
        replace(sys, "exit", lambda original: _no_exit)
        _optimizers(run, replace, stack)
        _modules(run, replace)
        _gradients(run, replace)
        _scalers(run, replace)
        _precision(run, replace)
        _schedulers(run, replace)
        _data(run, replace)
        yield


def _no_exit(status: Any = None) -> None:
    """The end of the program: where the lines ask for it they lack something, and the others are run all the same."""
    raise RuntimeError("ends the program")


Replace = Callable[[Any, str, Callable[[Any], Any]], None]


def _options(run: Rehearsal, replace: Replace) -> None:
    """Arguments that the script insists on being given are stand-ins."""

    def parse(original: Any) -> Any:
        def parse_known_args(self: Any, *args: Any, **kwargs: Any) -> Any:
            namespace, rest = original(self, *args, **kwargs)
            for name, value in list(vars(namespace).items()):
                if is_missing(value):
                    setattr(namespace, name, StandIn(name, run))
            return namespace, rest

        return parse_known_args

    replace(argparse.ArgumentParser, "parse_known_args", parse)


def _files(replace: Replace) -> None:
    """What nobody gives is a path where one is due: as it is a number too, it would be that of an open file."""

    def with_paths(original: Any) -> Any:
        def path(value: Any) -> Any:
            return os.fspath(value) if isinstance(value, StandIn) else value

        def call(*args: Any, **kwargs: Any) -> Any:
            return original(*map(path, args), **{name: path(value) for name, value in kwargs.items()})

        return call

    for owner, name in ((builtins, "open"), (io, "open")):
        replace(owner, name, with_paths)
    for name in ("access", "chdir", "close", "listdir", "lstat", "open", "scandir", "stat", "truncate", "utime"):
        replace(os, name, with_paths)


def _optimizers(run: Rehearsal, replace: Replace, stack: ExitStack) -> None:
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

    begun: dict[int, Any] = {}

    def begin(optimizer: Any, args: Any, kwargs: Any) -> None:
        # Hooks of the user's own come next, and may set the gradients: ours is to be the last.
        handle = optimizer.register_step_pre_hook(look)
        before = run.ledger.values(run.of_optimizer(optimizer))
        begun[id(optimizer)] = [handle, before, memory_of(optimizer), {}, len(run.events)]

    def look(optimizer: Any, args: Any, kwargs: Any) -> None:
        begun[id(optimizer)][3] = run.ledger.gradients()

    def end(optimizer: Any, args: Any, kwargs: Any) -> None:
        if id(optimizer) in begun:
            handle, *seen = begun.pop(id(optimizer))
            handle.remove()
            run.step(optimizer, *seen)

    stack.callback(register_optimizer_step_pre_hook(begin).remove)
    stack.callback(register_optimizer_step_post_hook(end).remove)

    def build(original: Any) -> Any:
        def initialize(self: Any, params: Any, defaults: Any) -> None:
            given = list(params)
            original(self, _parameters(given), {name: _setting(run, name, value) for name, value in defaults.items()})
            run.of_optimizer(self)
            # The first of its hooks: those of the user's own may change the gradients.
            self.register_step_post_hook(end)

        return initialize

    def clear(original: Any) -> Any:
        def zero_grad(self: Any, *args: Any, **kwargs: Any) -> None:
            run.zeroed(self, run.of_optimizer(self))
            original(self, *args, **kwargs)

        return zero_grad

    replace(torch.optim.Optimizer, "__init__", build)
    for kind in list(vars(torch.optim).values()):
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer:
            replace(kind, "__init__", lambda original: _with_numbers(run, original))
    replace(torch.optim.Optimizer, "zero_grad", clear)


def _with_numbers(run: Rehearsal, original: Any) -> Any:
    """An initializer whose arguments are numbers also where nobody gives them."""
    names = list(inspect.signature(original).parameters)

    def initialize(self: Any, *args: Any, **kwargs: Any) -> None:
        positional = [
            value if name in ("params", "optimizer") else _setting(run, name, value)
            for name, value in zip([*names[1:], *[""] * len(args)], args)
        ]
        named = {
            name: value if name in ("params", "optimizer") else _setting(run, name, value)
            for name, value in kwargs.items()
        }
        original(self, *positional, **named)

    return functools.wraps(original)(initialize)


def memory_of(optimizer: Any) -> int:
    """A number that tells what an optimizer remembers of earlier steps, such as momenta."""
    import torch

    held = (each for group in optimizer.param_groups for each in group["params"])
    remembered = [value for each in held for value in optimizer.state.get(each, {}).values()]
    return hash(tuple(numbers_of(value) if isinstance(value, torch.Tensor) else str(value) for value in remembered))


_NUMBERS = {"lr": RATE, "gamma": 0.1, "factor": 0.1, "max_lr": RATE, "base_lr": RATE, "eps": 1e-8}
"""Settings of optimizers and schedulers that nobody gives, by name."""

_COUNTS = frozenset("step_size T_max T_0 T_mult total_steps total_iters epochs steps_per_epoch patience warmup".split())


def _parameters(given: list[Any]) -> list[Any]:
    """The parameters of an optimizer, with those of models that nobody has."""
    found: list[Any] = []
    for each in given:
        if isinstance(each, StandIn):
            found += each._own()
        elif isinstance(each, dict):
            params = each["params"]
            members = params._own() if isinstance(params, StandIn) else params
            found.append(
                {**{name: value for name, value in each.items() if not isinstance(value, StandIn)}, "params": members}
            )
        else:
            found.append(each)
    return found


def _setting(run: Rehearsal, name: str, value: Any) -> Any:
    if isinstance(value, StandIn):
        number = COUNT if name in _COUNTS else _NUMBERS.get(name, 0.0)
        run.bench.assume(f"{name} = {number:g}")
        return number
    if isinstance(value, tuple) and any(isinstance(each, StandIn) for each in value):
        run.bench.assume(f"{name} = (0.9, 0.999)")
        return (0.9, 0.999)
    return value


def _modules(run: Rehearsal, replace: Replace) -> None:
    import torch

    module = torch.nn.Module
    depth = [0, 0]

    def called(original: Any) -> Any:
        def outermost(self: Any, *args: Any, **kwargs: Any) -> Any:
            if depth[0]:
                return original(self, *args, **kwargs)
            depth[0] += 1
            try:
                return run.forward(self, args, kwargs, original)
            finally:
                depth[0] -= 1

        return outermost

    def train(original: Any) -> Any:
        def train(self: Any, mode: Any = True) -> Any:
            if depth[1]:
                return original(self, mode)
            depth[1] += 1
            try:
                result = original(self, bool(mode))
            finally:
                depth[1] -= 1
            run.mode(self, bool(mode))
            return result

        return train

    def clear(original: Any) -> Any:
        def zero_grad(self: Any, *args: Any, **kwargs: Any) -> None:
            run.zeroed(self, run.ledger.enter_module(self))
            original(self, *args, **kwargs)

        return zero_grad

    replace(module, "__call__", called)
    replace(module, "train", train)
    replace(module, "zero_grad", clear)
    for owner in (torch.nn.parallel, torch.nn):
        for name in ("DistributedDataParallel", "DataParallel"):
            replace(owner, name, lambda original: _parallel)


def _parallel(module: Any, *args: Any, **kwargs: Any) -> Any:
    """A model that would be spread over devices, on the one that there is."""
    import torch

    if not isinstance(module, torch.nn.Module):
        return module

    class DistributedDataParallel(torch.nn.Module):  # type: ignore[misc,name-defined,unused-ignore] # torch is not read
        def __init__(self, module: Any) -> None:
            super().__init__()
            self.module = module

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return self.module(*args, **kwargs)

        def no_sync(self) -> Any:
            return nullcontext()

    return DistributedDataParallel(module)


def _gradients(run: Rehearsal, replace: Replace) -> None:
    import torch

    depth = [0]

    def backward(original: Any) -> Any:
        def backward(tensors: Any, grad_tensors: Any = None, *args: Any, **kwargs: Any) -> None:
            if depth[0]:
                original(tensors, grad_tensors, *args, **kwargs)
                return
            kept = bool((args[0] if args else kwargs.get("retain_graph")) or kwargs.get("create_graph"))
            if any(isinstance(each, StandIn) for each in flat([tensors])):
                grad_tensors = None
            depth[0] += 1
            try:
                run.backward(tensors, lambda roots: original(roots, grad_tensors, *args, **kwargs), kept)
            finally:
                depth[0] -= 1

        return backward

    def clip(original: Any) -> Any:
        def clipping(parameters: Any, limit: Any = 1.0, *args: Any, **kwargs: Any) -> Any:
            limit = next((kwargs.pop(name) for name in ("max_norm", "clip_value") if name in kwargs), limit)
            limit = 1.0 if isinstance(limit, StandIn) else limit
            return run.clip(parameters, limit, lambda given: original(given, limit, *args, **kwargs))

        return clipping

    replace(torch.autograd, "backward", backward)
    for name in ("clip_grad_norm_", "clip_grad_value_", "clip_grad_norm"):
        replace(torch.nn.utils, name, clip)
        replace(torch.nn.utils.clip_grad, name, clip)


def _scalers(run: Rehearsal, replace: Replace) -> None:
    """Scalers scale on a CPU as well, where this version of torch can do that."""
    import torch

    base = getattr(torch.amp, "GradScaler", None)
    if base is None:
        return

    class GradScaler(base):  # type: ignore[misc,valid-type,unused-ignore] # torch is not read by the type checker
        def __init__(self, device: Any = "cuda", *args: Any, **kwargs: Any) -> None:
            given = {name: value for name, value in kwargs.items() if not isinstance(value, StandIn)}
            positional = args if isinstance(device, str) else (device, *args)
            super().__init__("cpu", *positional, **given)
            self.inside = False

        def scale(self, outputs: Any) -> Any:
            number = outputs._inside if isinstance(outputs, StandIn) else outputs
            scaled = super().scale(number)
            run.scale = float(self.get_scale())
            return outputs._new(scaled) if isinstance(outputs, StandIn) else scaled

        def unscale_(self, optimizer: Any) -> None:
            if isinstance(optimizer, StandIn):
                run.refuse(f"which parameters {optimizer._name} moves is not known")
            run.of_optimizer(optimizer)
            before = run.ledger.gradients()
            super().unscale_(optimizer)
            run.unscaled(optimizer, float(self.get_scale()), before, self.inside)

        def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(optimizer, StandIn):
                return optimizer.step()
            self.inside = True
            try:
                return super().step(optimizer, *args, **kwargs)
            finally:
                self.inside = False
                # As ``update`` does, which need not be part of the slice.
                getattr(self, "_per_optimizer_states", {}).pop(id(optimizer), None)

        def update(self, new_scale: Any = None) -> None:
            """The scale stays what it is."""

    for owner in (torch.amp, torch.cuda.amp):
        replace(owner, "GradScaler", lambda original: GradScaler)


def _precision(run: Rehearsal, replace: Replace) -> None:
    """Autocasting takes settings that nobody gives."""
    import torch

    def build(original: Any) -> Any:
        def initialize(self: Any, device_type: Any = "cpu", *args: Any, **kwargs: Any) -> None:
            given = {name: value for name, value in kwargs.items() if not isinstance(value, StandIn)}
            kind = "cpu" if isinstance(device_type, StandIn) else device_type
            original(self, kind, *(each for each in args if not isinstance(each, StandIn)), **given)

        return initialize

    replace(torch.autocast, "__init__", build)


def _schedulers(run: Rehearsal, replace: Replace) -> None:
    import torch

    depth = [0]

    def quietly(original: Any) -> Any:
        def inner(self: Any, *args: Any, **kwargs: Any) -> Any:
            depth[0] += 1
            try:
                return original(self, *args, **kwargs)
            finally:
                depth[0] -= 1

        return inner

    def step(original: Any) -> Any:
        quiet = quietly(original)

        def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = quiet(self, *(each for each in args if not _is_epoch(each)), **kwargs)
            for group in getattr(getattr(self, "optimizer", None), "param_groups", ()):
                group["lr"] = _setting(run, "lr", group["lr"])
            if not depth[0]:
                run.scheduler_step(self)
            return result

        return step

    module = torch.optim.lr_scheduler
    for kind in [each for each in vars(module).values() if isinstance(each, type) and hasattr(each, "step")]:
        if not issubclass(kind, torch.optim.Optimizer):
            replace(kind, "step", step)
            replace(kind, "_initial_step", quietly)
            replace(kind, "__init__", lambda original: _with_numbers(run, original))


def _is_epoch(value: Any) -> bool:
    """Whether a stand-in is given where a scheduler wants a number it can do without."""
    return False if not isinstance(value, StandIn) else value._number is None


def _data(run: Rehearsal, replace: Replace) -> None:
    import torch

    data = torch.utils.data

    def build(original: Any) -> Any:
        def initialize(self: Any, *args: Any, **kwargs: Any) -> None:
            given = [_missing(each) for each in args]
            if len(given) > 5:
                given[5] = 0
            named = {name: _missing(each) for name, each in kwargs.items() if name not in _OF_WORKERS}
            original(self, *given, **named)

        return initialize

    def length(original: Any) -> Any:
        def length_cut(self: Any) -> int:
            batches = int(original(self))
            return batches if run.passes.shows(self) else min(run.batches, batches)

        return length_cut

    def iterate(original: Any) -> Any:
        def first_batches(self: Any) -> Any:
            return run.batches_of(self, _late(original, self))

        return first_batches

    def split(original: Any) -> Any:
        def random_split(dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return original(_missing(dataset), *args, **kwargs)

        return random_split

    def set_epoch(original: Any) -> Any:
        def set_epoch(self: Any, epoch: Any) -> None:
            original(self, epoch)
            run.set_epoch(self, epoch)

        return set_epoch

    replace(data.DataLoader, "__init__", build)
    replace(data.DataLoader, "__len__", length)
    replace(data.DataLoader, "__iter__", iterate)
    replace(data, "random_split", split)
    replace(data.distributed.DistributedSampler, "set_epoch", set_epoch)


_OF_WORKERS = frozenset(
    "num_workers prefetch_factor persistent_workers timeout multiprocessing_context pin_memory "
    "pin_memory_device".split()
)
"""Arguments of a loader that only matter to processes of its own."""


def _late(original: Any, loader: Any) -> Iterator[Any]:
    """The batches of a loader, which begins to load when the first is asked for."""
    yield from original(loader)


def _missing(value: Any) -> Any:
    return Anything(value._name) if isinstance(value, StandIn) else value
