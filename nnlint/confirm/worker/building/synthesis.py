"""The user's class or function made ready to run: an instance, and inputs that it accepts."""

from __future__ import annotations

import copy
import linecache
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ..anything import is_missing, reason
from ..bench import Bench
from ..reason import of_error_below
from ..surgery import HOOKS
from ..verdict import Inconclusive
from .construction import Arguments, arguments_for
from .guessing import BATCH, NoGuess
from .inputs import Accepted, NotAccepted, Patience, search
from .literals import sides_in, tensors_written_in
from .prepared import Prepared, invoke
from .recorded import Recorded, recorded_calls
from .sketches import Sketch

LARGE = 20_000_000
"""The inputs of a module with more parameters than this are looked for where nothing is computed."""

LARGEST = 400_000_000
"""A module with more parameters than this is not run."""

BATCHES = frozenset(("b", "n", "bs", "batch", "batch_size"))
"""What the number of examples may be called, in any case of letters."""

SIZES = (7, 11, 13, 17, 19, 23)
"""What sizes are that are only known by a name: primes, so that mixed axes show."""


def prepare(entry: Any, settings: Mapping[str, Any], bench: Bench) -> Prepared:
    """A class of the user, built, or a function, with inputs that it accepts.

    Args:
        entry: a class (a module's ``forward`` is run, or the method that ``settings["method"]`` names), an instance of
            one, or a function.
        settings: ``arguments`` are those of the class, by name, as far as they are known; ``inputs`` is what is known
            of the tensors that are given then, ``[{"name": "x", "shape": ["B", 3, "H", 32], "integers": false}]``, a
            size being a number or a name that stands for one size everywhere; those of :data:`BATCHES` for the batch.
            With ``unproved`` a call that went through where nothing is computed is not made to see that it does so.
        bench: learns what is assumed.

    Raises:
        Inconclusive: it cannot be built, or accepts no input that was thought of.
    """
    return _prepare(*_of_class(entry, settings), bench, Patience())


def twin(prepared: Prepared, entry: Any, settings: Mapping[str, Any], bench: Bench) -> Prepared:
    """Another version of what was prepared: of the same arguments, with the same weights and inputs.

    Args:
        prepared: what was made of the one version.
        entry: the class or function in the other version.
        settings: those of :func:`prepare`.
        bench: as there.

    Raises:
        Inconclusive: it has other weights, or cannot be built.
    """
    entry, settings = _of_class(entry, settings)
    if prepared.arguments is None or not isinstance(entry, type):
        return prepared.twin(entry, None)
    try:
        instance = built(entry, prepared.arguments, bench)
        if hasattr(prepared.module, "state_dict"):
            instance.to(bench.device).load_state_dict(prepared.module.state_dict())
    except Exception as error:
        raise Inconclusive(f"the mended lines: {said(error)}") from error
    return prepared.twin(_method(instance, settings), instance)


def _of_class(entry: Any, settings: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """A method as its class, and the name of the method in the settings."""
    holder, _, method = getattr(entry, "__qualname__", "").rpartition(".")
    if isinstance(entry, type) or not holder or "<locals>" in holder:
        return entry, settings
    value: Any = getattr(entry, "__globals__", {})
    for number, part in enumerate(holder.split(".")):
        value = value.get(part) if not number else getattr(value, part, None)
    if isinstance(value, type) and not isinstance(vars(value).get(method), staticmethod):
        return value, {**settings, "method": method}
    return entry, settings


def _prepare(entry: Any, settings: Mapping[str, Any], bench: Bench, patience: Patience) -> Prepared:
    if not isinstance(entry, type):
        try:
            return _with_inputs(entry, settings, bench, patience)
        except NotAccepted as refusal:
            raise Inconclusive(said(refusal.error or refusal)) from None
        except Exception as error:
            raise Inconclusive(said(error)) from error
    refusals: list[BaseException] = []
    for arguments, seen in _arguments(entry, settings, bench, patience, refusals):
        if refusals and patience.is_over() and not (seen is not None and seen.inputs):
            break
        try:
            prepared = _of_instance(entry, arguments, seen, settings, bench, patience)
        except NotAccepted as refusal:
            refusals.append(refusal.error or refusal)
        except Exception as error:
            refusals.append(error)
        else:
            _note(entry, arguments, seen, bench)
            prepared.arguments = arguments
            prepared.built_at = "" if seen is None else seen.place
            return prepared
    if not refusals:
        raise Inconclusive(f"{entry.__name__} cannot be built")
    raise Inconclusive(said(refusals[0]))


def _arguments(
    entry: type, settings: Mapping[str, Any], bench: Bench, patience: Patience, refusals: list[BaseException]
) -> Iterator[tuple[Arguments, Recorded | None]]:
    """Arguments of a class: those of the script's own calls, then what names suggest; ``known`` ones in both."""
    known = settings.get("arguments", {})
    for call in recorded_calls(settings, bench, partial(_prepare, patience=patience.half())):
        named = call.by_name(entry)
        if named is not None:
            yield from ((each, call) for each in _tried(entry, {**named, **known}, refusals))
        if refusals and patience.is_over():
            return
    yield from ((each, None) for each in _tried(entry, known, refusals))


def _tried(entry: type, known: Mapping[str, Any], refusals: list[BaseException]) -> Iterator[Arguments]:
    try:
        yield from arguments_for(entry, known)
    except NoGuess as missing:
        refusals.append(missing)


def _note(entry: type, arguments: Arguments, seen: Recorded | None, bench: Bench) -> None:
    if seen is not None and seen.notes is not None:
        for assumption in seen.notes.assumptions:
            bench.assume(assumption)
        for replaced in seen.notes.stood_in:
            bench.stand_in(replaced)
    if arguments.guessed:
        bench.assume(f"{entry.__name__} is built with {arguments.described()}")


def _of_instance(
    entry: type,
    arguments: Arguments,
    seen: Recorded | None,
    settings: Mapping[str, Any],
    bench: Bench,
    patience: Patience,
) -> Prepared:
    """An instance with inputs.

    Raises:
        Inconclusive: it is too large.
        NotAccepted: it accepts no input that was thought of.
        Exception: it cannot be built with these arguments.
    """
    instance = built(entry, arguments, bench)
    size = _size_of(instance)
    if size > LARGEST:
        raise Inconclusive(f"{entry.__name__} has {size / 1e6:.0f} million parameters")
    if size:
        instance.to(bench.device)
    lacking = _lacking(instance)
    if lacking:
        raise Inconclusive(lacking)
    if seen is not None and seen.inputs and not settings.get("method"):
        try:
            return _observed(instance, seen, settings, bench)
        except Exception:
            pass
    accepted = _accepted_on_meta(entry, arguments, settings, bench, patience) if size > LARGE else None
    return _with_inputs(instance, settings, bench, patience, accepted, entry)


def _lacking(instance: Any) -> str:
    """What a module was built without, as a package that is not installed; empty if it has all it wants."""
    import torch

    if isinstance(instance, torch.nn.Module):
        for module in instance.modules():
            for name, value in vars(module).items():
                if is_missing(value):
                    return f"{type(module).__name__}.{name} is missing: {reason(value)}"
    return ""


def _size_of(instance: Any) -> int:
    """The number of parameters of a module; 0 for anything else."""
    import torch

    if not isinstance(instance, torch.nn.Module):
        return 0
    lazy = torch.nn.parameter.UninitializedParameter
    return sum(each.numel() for each in instance.parameters() if not isinstance(each, lazy))


def _accepted_on_meta(
    entry: type, arguments: Arguments, settings: Mapping[str, Any], bench: Bench, patience: Patience
) -> Accepted | None:
    """What a module accepts, looked for on the device ``meta``, where nothing is computed; None if that fails there.

    The first use of that device takes a second: it is worth it for large modules.
    """
    import torch

    try:
        with torch.device("meta"):
            light = built(entry, arguments, bench)
            return search(_method(light, settings), light, *_clues(entry, settings), "meta", patience)
    except Exception:
        return None


def _observed(instance: Any, seen: Recorded, settings: Mapping[str, Any], bench: Bench) -> Prepared:
    """An instance with what another module gives to its like."""
    import torch

    bounds = {
        name: int(value.max()) + 1
        for name, value in seen.inputs.items()
        if isinstance(value, torch.Tensor)
        and value.numel()
        and not value.is_floating_point()
        and not value.is_complex()
    }
    prepared = Prepared(_method(instance, settings), instance, seen.inputs, bounds, BATCH, bench)
    prepared.call()
    return prepared


def built(entry: type, arguments: Arguments, bench: Bench) -> Any:
    """An instance, made from the seed of the bench; the arguments stay what they are."""
    bench.seed()
    named = {name: _copy(value) for name, value in arguments.named.items()}
    return invoke(entry, named)


def _copy(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


def _method(instance: Any, settings: Mapping[str, Any]) -> Any:
    name = settings.get("method")
    if name is None:
        name = "forward" if hasattr(instance, "forward") else "__call__"
    return getattr(instance, name)


def _with_inputs(
    target: Any,
    settings: Mapping[str, Any],
    bench: Bench,
    patience: Patience,
    accepted: Accepted | None = None,
    entry: Any = None,
) -> Prepared:
    import torch

    is_function = not isinstance(target, torch.nn.Module) and callable(target) and hasattr(target, "__code__")
    function, module = (
        (target, getattr(target, "__self__", None)) if is_function else (_method(target, settings), target)
    )
    if accepted is not None:
        try:
            prepared = _made(accepted, function, module, bench)
            if not settings.get("unproved"):
                prepared.call()
            return prepared
        except Exception:
            pass
    accepted = search(function, module, *_clues(entry or target, settings), bench.device, patience)
    return _made(accepted, function, module, bench)


def _made(accepted: Accepted, function: Any, module: Any, bench: Bench) -> Prepared:
    bench.seed(1)
    given = {name: make(bench.device) for name, make in accepted.makers.items()}
    return Prepared(function, module, given, accepted.bounds, BATCH, bench)


def _clues(entry: Any, settings: Mapping[str, Any]) -> tuple[dict[str, Sequence[Sketch]], list[Sketch], list[int]]:
    """What is known of the tensors by parameter, those written in the script, and sides of images written there."""
    texts = list(dict.fromkeys((*_texts(entry), *_texts_of_calls(settings))))
    return _hints(settings), tensors_written_in(texts), sides_in(texts)


def _hints(settings: Mapping[str, Any]) -> dict[str, Sequence[Sketch]]:
    hints: dict[str, Sequence[Sketch]] = {}
    for scale in (1, 32):
        sizes: dict[str, int] = {}
        for each in settings.get("inputs", ()):
            shape = tuple(_size(size, sizes, scale) for size in each["shape"])
            kind = "integers" if each.get("integers") else "real"
            hints[each["name"]] = (*hints.get(each["name"], ()), Sketch(shape, kind, each.get("bound", 10)))
    return hints


def _size(size: int | str, sizes: dict[str, int], scale: int) -> int:
    if isinstance(size, int):
        return size
    if size not in sizes:
        others = len([name for name in sizes if name.lower() not in BATCHES])
        sizes[size] = (
            BATCH if size.lower() in BATCHES else SIZES[others % len(SIZES)] if scale == 1 else scale * (others + 1)
        )
    return sizes[size]


def _texts(entry: Any) -> Iterator[str]:
    """The text of the file that defines a class or function."""
    module = sys.modules.get(getattr(entry, "__module__", ""))
    code = getattr(entry, "__code__", None) or getattr(getattr(entry, "__func__", None), "__code__", None)
    path = code.co_filename if code is not None else getattr(module, "__file__", None)
    if path:
        yield "".join(linecache.getlines(path))


def _texts_of_calls(settings: Mapping[str, Any]) -> Iterator[str]:
    """The texts of the files in which a class is built."""
    for each in settings.get("constructions", ()):
        yield from (file["text"] for file in each["program"]["files"])


def said(error: BaseException) -> str:
    """An error in words, with the last of the user's lines that it went through."""
    if isinstance(error, Inconclusive):
        return str(error)
    if isinstance(error, NoGuess):
        return f"the argument {error} is not known"
    return of_error_below(error, lambda frame: HOOKS in frame.f_globals)
