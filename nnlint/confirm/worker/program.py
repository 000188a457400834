"""The slice of the user's program, loaded and run, with the experiment's eyes and hands in it."""

from __future__ import annotations

import builtins
import linecache
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .anything import Anything, is_missing, reason
from .bench import Bench
from .job import File, Slice
from .reason import of_error
from .setting.packages import ask, import_packages, own_packages
from .surgery import HOOKS, imported, operate
from .verdict import Inconclusive


class Enough(BaseException):
    """The experiment has seen all it needs; raised by a watch, it ends the run of the user's lines."""


class Program:
    """A slice that can be run, as often as wanted, each time from the beginning.

    ``see`` are the functions that are shown the value of a watched expression and give the value to go on with;
    ``supply`` those that give a value in the place of an expression. Both by the name of the watch.
    """

    def __init__(self, slice_: Slice, bench: Bench) -> None:
        self.slice = slice_
        self.bench = bench
        self.see: dict[str, Callable[[Any], Any]] = {}
        self.supply: dict[str, Callable[[], Any]] = {}
        self.missing: Callable[[str, str], Any] = _missing
        """What stands for a value that could not be had; it is told the reason, and the name that it is bound to."""
        self.skipped: Callable[[str, str], Any] = _missing
        """What stands for a name that a statement would have bound, had it been reached; it is told the same."""
        self.builtins: dict[str, Any] = {}
        """What the user's lines find in the place of functions of Python's own."""
        self.replaced: dict[str, types.ModuleType] = {}
        """What the user's lines find in the place of installed modules, by name."""
        self.losses: list[str] = []
        """What failed on the way, in the user's lines: ``train.py:12: FileNotFoundError: …``."""
        self.lost_at: dict[str, str] = {}
        """Why a statement was lost, by the file and the row it begins at: ``train.py:10``."""
        self._code = {file.path: _compiled(file).code for file in slice_.files}
        self._files = {file.path: file for file in slice_.files}
        self._modules: dict[str, types.ModuleType] = {}
        self._own = own_packages(slice_.root, os.path.dirname(slice_.path))
        """The packages that are the project's: installed or not, they are the user's lines."""
        for file in slice_.files:
            lines = file.text.splitlines(keepends=True)
            linecache.cache[file.path] = (len(file.text), None, lines, file.path)

    def run(self, name: str | None = None) -> types.ModuleType:
        """Execute the file of the slice's entry: as ``__main__`` for a script, else under its own name.

        :class:`Enough`, raised by a watch, ends the run in peace.

        Raises:
            Inconclusive: the lines end the process, or fail where nothing can be left out.
        """
        self._modules.clear()
        self.losses.clear()
        self.lost_at.clear()
        file = self._files[self.slice.path]
        module = self._module(file, name or ("__main__" if not self.slice.entry else file.module))
        before = sys.path[:], sys.argv[:]
        sys.path[:0] = [os.path.dirname(file.path), self.slice.root]
        sys.argv[:] = [file.path]
        try:
            self._execute(file, module)
        except Enough:
            pass
        except SystemExit as error:
            raise Inconclusive(self.failed(error)) from error
        except Inconclusive:
            raise
        except Exception as error:
            raise Inconclusive(self.failed(error)) from error
        finally:
            sys.path[:], sys.argv[:] = before
        return module

    def prepare(self) -> None:
        """Import the packages that take long, of those that the lines import: before processes are forked."""
        names = (name for file in self.slice.files for name in _compiled(file).imports)
        import_packages(name for name in names if name.partition(".")[0] not in self._own)

    def module(self, path: str) -> types.ModuleType:
        """A file of the slice as far as the last run has executed it; if it has not come to it, all of it.

        Raises:
            Inconclusive: it ends the process, or fails where nothing can be left out.
        """
        try:
            return self._load(path)
        except (Exception, SystemExit) as error:
            raise Inconclusive(self.failed(error)) from error

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Whatever of the user's lines runs meanwhile, no watch sees, and no failure of theirs is written down."""
        see, losses, lost_at = self.see, self.losses, self.lost_at
        self.see, self.losses, self.lost_at = {}, [], {}
        try:
            yield
        finally:
            self.see, self.losses, self.lost_at = see, losses, lost_at

    def entry(self) -> Any:
        """What the entry names: a class or a function of the user.

        Raises:
            Inconclusive: it could not be had.
        """
        value: Any = self.run()
        for part in self.slice.entry.split("."):
            value = getattr(value, part)
        if is_missing(value):
            raise Inconclusive(reason(value))
        return value

    def definition(self, path: str, name: str) -> Any:
        """What a dotted name means in a file of the slice, as the last run has left it.

        Raises:
            Inconclusive: it could not be had.
        """
        module = self._modules.get(path)
        value: Any = module
        for part in name.split("."):
            value = getattr(value, part, None)
        if module is None or value is None:
            raise Inconclusive(f"{name} of {os.path.basename(path)} is not reached")
        return value

    def failed(self, error: BaseException) -> str:
        """An error in words, with the last of the user's lines that it went through."""
        return of_error(error, self._files)

    def why_missing(self) -> str:
        """The first failure on the way, for an experiment that did not get where it wanted; empty if there was none."""
        return self.losses[0] if self.losses else ""

    # --- modules -----------------------------------------------------------------------------------------------------

    def _module(self, file: File, name: str) -> types.ModuleType:
        module = types.ModuleType(name)
        module.__file__ = file.path
        module.__package__ = name if file.is_package else name.rpartition(".")[0]
        if file.is_package:
            module.__path__ = [os.path.dirname(file.path)]
        names = {**vars(builtins), **self.builtins}
        names["__import__"] = lambda *args, **kwargs: self._import(file, *args, **kwargs)
        module.__dict__.update(
            {
                "__builtins__": names,
                HOOKS: _Hooks(self, file),
                "__nnlint_failure__": Exception,
                "__nnlint_unbound__": NameError,
                "__getattr__": _left_out(file),
            }
        )
        self._modules[file.path] = module
        # What is pickled, or compiled by torch, looks its module up.
        sys.modules.setdefault(name, module)
        return module

    def _execute(self, file: File, module: types.ModuleType) -> None:
        exec(self._code[file.path], module.__dict__)

    def _load(self, path: str) -> types.ModuleType:
        known = self._modules.get(path)
        if known is not None:
            return known
        file = self._files[path]
        module = self._module(file, file.module)
        self._execute(file, module)
        return module

    def _import(
        self,
        file: File,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 # as Python calls it
        locals: Mapping[str, Any] | None = None,  # noqa: A002 # as Python calls it
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        """``__import__`` for the user's files: modules of the slice, then those installed, then stand-ins."""
        path = file.imports.get((level, name))
        below = [part for part in fromlist or () if (level, f"{name}.{part}" if name else part) in file.imports]
        if path is None and not below and not self._has_parts(file, name, level):
            return self._installed(file, name, globals, locals, fromlist, level)
        module = types.ModuleType(name) if path is None else self._load(path)
        for part in below:
            setattr(module, part, self._load(file.imports[level, f"{name}.{part}" if name else part]))
        if fromlist:
            return module
        return self._top_level(file, name, module)

    def _has_parts(self, file: File, name: str, level: int) -> bool:
        return any(there == level and other.startswith(f"{name}.") for there, other in file.imports) and bool(name)

    def _top_level(self, file: File, name: str, module: types.ModuleType) -> types.ModuleType:
        """What ``import a.b`` binds: ``a``, with ``b`` in it."""
        parts = name.split(".")
        for number in range(len(parts) - 1, 0, -1):
            path = file.imports.get((0, ".".join(parts[:number])))
            around = self._load(path) if path else types.ModuleType(parts[number - 1])
            setattr(around, parts[number], module)
            module = around
        return module

    def _installed(
        self,
        file: File,
        name: str,
        globals: Mapping[str, Any] | None,  # noqa: A002
        locals: Mapping[str, Any] | None,  # noqa: A002
        fromlist: Sequence[str] | None,
        level: int,
    ) -> Any:
        top = name.partition(".")[0]
        if not level and name in self.replaced:
            return self.replaced[name]
        if level:
            return Anything(f"{'.' * level}{name} lies outside the repository")
        if top == "torchvision":
            _load_torchvision()
        if top not in self._own:
            ask(name, fromlist or ())
        try:
            return __import__(name, globals, locals, fromlist or (), 0)
        except ModuleNotFoundError as error:
            missing = (error.name or name).partition(".")[0]
            if missing != top:
                raise
            self.bench.stand_in(f"the package {top}, which is not installed")
            return self.missing(f"the package {top} is not installed", top)


class _Hooks:
    """What the user's lines call where the experiment is fitted into them."""

    def __init__(self, program: Program, file: File) -> None:
        self._program = program
        self._file = file

    def see(self, name: str, value: Any) -> Any:
        watch = self._program.see.get(name)
        return value if watch is None else watch(value)

    def supply(self, name: str) -> Any:
        source = self._program.supply.get(name)
        return Anything(f"{name} was left out") if source is None else source()

    def skipped(self, row: int, name: str) -> Any:
        place = f"{os.path.basename(self._file.path)}:{row}"
        why = self._program.lost_at.get(place, f"{place}: {name} is given no value here")
        return self._program.skipped(why, name)

    def lost(self, row: int, error: BaseException, name: str = "") -> Any:
        if isinstance(error, NameError) and not self._program.losses:
            said = f"{os.path.basename(self._file.path)}:{row}: {error}"
        else:
            said = self._program.failed(error) if error.__traceback__ else str(error)
        if said not in self._program.losses:
            self._program.losses.append(said)
        self._program.lost_at.setdefault(f"{os.path.basename(self._file.path)}:{row}", said)
        return self._program.missing(said, name)


def _missing(why: str, name: str) -> Any:
    return Anything(why)


@dataclass(frozen=True)
class _Compiled:
    """A file of a slice as code, and what it imports when it is executed."""

    code: types.CodeType
    imports: list[str]


@lru_cache(maxsize=256)
def _compiled(file: File) -> _Compiled:
    """The code of a file: the same for every run of an experiment, and for the processes forked from it."""
    tree = operate(file)
    return _Compiled(compile(tree, file.path, "exec"), imported(tree))


def _left_out(file: File) -> Callable[[str], Any]:
    def attribute(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(f"{name} of {os.path.basename(file.path)} is not known")

    return attribute


def _load_torchvision() -> None:
    from .setting.torchvision_operators import load_torchvision

    load_torchvision()


def arguments_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The parameters that a function must be given, by name."""
    import inspect

    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters.values()
    return tuple(each.name for each in parameters if each.default is inspect.Parameter.empty and each.kind in kinds)
