"""What is asked for samples: a dataset of the user, or one of the user's functions, with what it takes to call it."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..anything import Anything, is_missing, reason
from ..bench import Bench
from ..program import Enough, Program
from ..verdict import Inconclusive

SWITCHES = frozenset("train is_train training is_training augment augmentation aug use_augmentation do_augment".split())
"""Arguments that switch random transforms on."""

SIZE = re.compile(r"^(?!batch).*(size|crop|patch|height|width|resolution)")
"""Arguments that say how large a part of a picture is."""

FACTOR = re.compile(r"factor|stride|(up|down)_?scale")
"""Arguments that say how many times larger something is than something else."""

EXTENTS = (64, (64, 64))
"""How large it is then, tried in turn."""

TRANSFORM = re.compile(r"transform|augment")

FAILED = "_nnlint_failed"
"""The attribute of an object that says how its initializer failed."""

PARTS = frozenset("split mode phase set subset image_set stage state".split())
"""Arguments that say which part of the data is meant."""


class Subject:
    """Gives samples: ``ask`` makes one of ``state`` and an index.

    With ``copies`` each sample of a draw is asked of a copy, so that generators which the state holds draw alike.
    """

    def __init__(self, state: Any, ask: Callable[[Any, int], Any]) -> None:
        self.copies = False
        self._ask = ask
        self._before = self._now = state

    def begin(self) -> None:
        """Begin a draw: what comes now starts from where the last sample has left the state."""
        self._before = self._now

    def sample(self, index: int) -> Any:
        """A sample, by the user's lines."""
        if self.copies:
            self._now = copy.deepcopy(self._before)
        return self._ask(self._now, index)


def item_of(dataset: Any, index: int) -> Any:
    """A sample of a dataset; of one that has fewer, another one; of one that found no files, one of missing files."""
    try:
        return dataset[index]
    except (IndexError, KeyError):
        length = len(dataset) if hasattr(dataset, "__len__") else 0
        if length:
            return dataset[index % length]
        for name, value in vars(dataset).items():
            if isinstance(value, (list, dict)) and not value:
                setattr(dataset, name, Anything(f"{type(dataset).__name__}.{name} is empty"))
        return dataset[index]


def dataset_of(program: Program, settings: Mapping[str, Any], bench: Bench) -> Any:
    """The dataset that the slice builds, or an object of the class it names.

    Raises:
        Inconclusive: it is not built.
    """
    if "class" not in settings:
        cls = program.entry()
        return built(cls, (), arguments_for(cls.__init__, settings, bench), bench)
    return built(*call_of_class(program, settings, bench), bench)


def call_of_class(
    program: Program, settings: Mapping[str, Any], bench: Bench
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The class that the slice builds something of, and the arguments it is given.

    Raises:
        Inconclusive: the call is not reached, or the class could not be had.
    """
    found: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def watch(cls: Any) -> Any:
        def build(*args: Any, **kwargs: Any) -> Any:
            if getattr(cls, "__name__", settings["class"]) != settings["class"]:
                # The same line builds others too.
                return cls(*args, **kwargs)
            found.append((cls, args, kwargs))
            raise Enough

        return build

    program.see["class"] = watch
    reach(program, settings, bench)
    if not found:
        raise Inconclusive(program.why_missing() or "the dataset is not built")
    if is_missing(found[0][0]):
        raise Inconclusive(reason(found[0][0]))
    return found[0]


def reach(program: Program, settings: Mapping[str, Any], bench: Bench) -> None:
    """Run the script, or call the function or method that nobody calls, as far as a watch has it.

    Raises:
        Inconclusive: the user's lines fail on the way.
    """
    try:
        if not program.slice.entry:
            program.run()
            return
        function = program.entry()
        bench.assume(f"{program.slice.entry}() is called")
        settings = {**settings, "given": {}}
        holder, _, name = program.slice.entry.rpartition(".")
        if holder and not isinstance(function, type):
            cls = program.definition(program.slice.path, holder)
            function = getattr(built(cls, (), arguments_for(cls.__init__, settings, bench), bench), name)
        function(**arguments_for(function, settings, bench))
    except Enough:
        pass
    except Inconclusive:
        raise
    except Exception as error:
        raise Inconclusive(program.failed(error)) from error


def built(cls: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], bench: Bench) -> Any:
    """An object of a class whose initializer goes as far as it gets; what it lacks afterwards is missing, not an error.

    Raises:
        Inconclusive: it is no class.
    """
    if not isinstance(cls, type):
        raise Inconclusive(f"{cls!r} is no class")
    if not hasattr(cls, "__getattr__"):
        cls = type(cls)(cls.__name__, (cls,), {"__getattr__": _lacking, "__module__": cls.__module__})
    made = cls.__new__(cls)
    try:
        made.__init__(*args, **kwargs)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        bench.stand_in(f"what {cls.__name__} would have set up after {said}")
        vars(made).setdefault(FAILED, said)
    return made


def _lacking(self: Any, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    failed = vars(self).get(FAILED)
    return Anything(f"{type(self).__name__} has no {name}{f' after {failed}' if failed else ''}")


def arguments_for(function: Any, settings: Mapping[str, Any], bench: Bench) -> dict[str, Any]:
    """Arguments for a function that nobody calls, by name; none for those that have a default.

    In ``settings`` are those ``given`` and the ``extent`` of pictures and parts of them; training is switched on.
    """
    given = settings.get("given", {})
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "self" or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name in given:
            found[name] = given[name]
        elif name in SWITCHES:
            found[name] = True
        elif name in PARTS:
            found[name] = "train"
        elif parameter.default is parameter.empty and SIZE.search(name):
            found[name] = settings.get("extent", EXTENTS[0])
        elif parameter.default is parameter.empty and FACTOR.search(name):
            found[name] = 2
        elif parameter.default is parameter.empty or (parameter.default is None and TRANSFORM.search(name)):
            found[name] = Anything(f"the argument {name} is not given")
            continue
        if name in found:
            bench.assume(f"{name}={found[name]!r}")
    return found
