"""The accused view in the user's lines: reached in the script, in what it builds, or in the lines that lead to it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ..anything import is_missing, reason
from ..bench import Bench
from ..building.captured import calls_of_modules, with_fewer_examples
from ..building.prepared import Prepared
from ..building.synthesis import prepare
from ..job import File, Job, Watched
from ..lines import run_lines
from ..program import Enough, Program
from ..verdict import Inconclusive
from .witness import Witness, numbered, witness

OWN = frozenset(("before", "after", "pairs", "own", "sizes", "mended", "alone", "array", "class", "options"))
"""What the experiment on a view is told; all else is for those who make it ready to run."""

See = Callable[[Any], Any]

STEPS = 7
"""Elements along an axis that was not thought of at first."""


class OtherAxes(Inconclusive):
    """What is viewed has not as many axes as were read."""


@dataclass(frozen=True)
class Script:
    """The user's script as something to call; it returns nothing."""

    program: Program
    bench: Bench

    def call(self) -> list[Any]:
        """Run it from the beginning."""
        self.bench.seed()
        self.program.run()
        return []


@dataclass(frozen=True)
class Reached:
    """Numbered elements went through the view.

    ``run`` is what can be called again, None for the lines alone; ``own_sizes`` whether all sizes are those of the
    script's own run.
    """

    found: Witness
    run: Prepared | Script | None
    own_sizes: bool = False


class AccusedView:
    """The view, the program it stands in, and what the reading knows of its axes."""

    def __init__(self, job: Job, bench: Bench) -> None:
        self.program = Program(job.program, bench)
        self.bench = bench
        self.settings = job.settings
        self.file: File = next(file for file in job.program.files if _result_in(file) is not None)
        spans = {(each.row, each.column, each.end_row, each.end_column) for each in self.file.watches[:2]}
        if len(spans) < 2:
            raise Inconclusive(f"line {self.row} is another expression now")
        self.why: list[str] = []
        """Why the view was not reached, the first way first."""

    @property
    def row(self) -> int:
        """The last row of the expression."""
        watched = _result_in(self.file)
        return watched.end_row if watched is not None else 0

    @contextmanager
    def watching(
        self, operand: See | None = None, result: See | None = None, partner: See | None = None
    ) -> Iterator[None]:
        """While it lasts, functions see the values before and after the view, and of others, and may change them."""
        for name, function in (("operand", operand), ("result", result), ("partner", partner)):
            if function is not None:
                self.program.see[name] = function
        try:
            yield
        finally:
            self.program.see.clear()

    def mended(self) -> See | None:
        """Gives the value of the mended expression in the place of the view's; None if nobody knows how to mend it."""
        text = self.settings.get("mended")
        if not text:
            return None
        code = compile(text, "<mended>", "eval")

        def moved(value: Any) -> Any:
            # The frame of the user's line, behind that of the hook.
            frame = sys._getframe(2)
            return eval(code, frame.f_globals, frame.f_locals)

        return moved

    def told(self, found: Witness) -> str:
        """Where elements are that belong elsewhere, in words."""
        return found.told(self.settings.get("before", []), self.settings.get("after", []))

    # --- ways to reach it --------------------------------------------------------------------------------------------

    def reached(self) -> Reached:
        """Numbered elements sent through the view, in the most of the user's program that can be run.

        Raises:
            Inconclusive: it cannot be reached, or has other axes than were read.
        """
        reached = self._in_entry() if self.program.slice.entry else self._in_script()
        return reached or Reached(self._in_lines(), None)

    def _numbered(self, go: Callable[[], Any], on_reached: Callable[[], Any] = lambda: None) -> Witness | None:
        """What the expression does to numbered elements when ``go`` comes to it; None if it does not."""
        before: list[tuple[int, ...]] = []
        after: list[Any] = []

        def number(value: Any) -> Any:
            if is_missing(value):
                self.why.append(reason(value))
                return value
            if getattr(value, "is_meta", False):
                return value
            elements = numbered(value)
            before.append(tuple(value.shape))
            on_reached()
            return elements

        def read(value: Any) -> Any:
            if before and not is_missing(value):
                after.append(value)
                raise Enough
            return value

        with self.watching(number, read), suppress(Enough):
            go()
        return self._witness(before[-1], after[0]) if after else None

    def _witness(self, before: tuple[int, ...], numbers: Any) -> Witness:
        names = self.settings["before"]
        if len(before) != len(names):
            raise OtherAxes(f"what is viewed has {len(before)} axes, {before}, where ({', '.join(names)}) was read")
        return witness(before, numbers, self.settings["pairs"])

    def _in_script(self) -> Reached | None:
        """In the script's own run; with it the module that is being called then, to be called again."""
        caught: list[Prepared | None] = []
        with calls_of_modules() as calls:
            try:
                self.bench.seed()
                found = self._numbered(self.program.run, lambda: caught.append(calls.prepared(self.bench)))
            except Inconclusive as error:
                if caught:
                    raise
                self.why.append(str(error))
                found = None
        if found is not None:
            module = caught[-1]
            run = Script(self.program, self.bench) if module is None else with_fewer_examples(module)
            return Reached(found, run, own_sizes=True)
        if self.program.why_missing():
            self.why.insert(0, self.program.why_missing())
        name = self.settings.get("class")
        if not name:
            return None
        target = calls.newest(name)
        return self._in_target(getattr(self.program.module(self.file.path), name, None) if target is None else target)

    def _in_entry(self) -> Reached | None:
        """In the class or function that the plan names."""
        try:
            target = self.program.entry()
        except (Inconclusive, AttributeError) as error:
            self.why.append(str(error))
            return None
        return self._in_target(target)

    def _in_target(self, target: Any) -> Reached | None:
        if target is None or is_missing(target):
            return None
        settings = {name: value for name, value in self.settings.items() if name not in OWN}
        for name, value in settings.get("arguments", {}).items():
            self.bench.assume(f"{name} = {value}, without which the view is not reached")
        try:
            prepared = prepare(target, settings, self.bench)
        except Inconclusive as error:
            self.why.append(str(error))
            return self._on_the_way(target, settings)
        try:
            found = self._numbered_or_deeper(prepared)
        except Inconclusive as error:
            self.why.append(str(error))
            return None
        if found is None:
            name = getattr(target, "__name__", type(target).__name__)
            self.why.append(f"running {name} does not come to line {self.row}")
            return None
        self.bench.assume(f"called with {prepared.described}")
        return Reached(found, prepared)

    def _on_the_way(self, target: Any, settings: dict[str, Any]) -> Reached | None:
        """In a class or function that fails with any input, by the first one that comes to the view."""
        try:
            found = self._numbered(lambda: prepare(target, settings, self.bench))
        except Inconclusive:
            return None
        if found is None:
            return None
        self.bench.assume(f"what comes after the view is not run ({self.why[-1]})")
        return Reached(found, None)

    def _numbered_or_deeper(self, prepared: Prepared) -> Witness | None:
        """What becomes of the elements; with one more axis in the first input if the view was read to have more."""
        import torch

        try:
            return self._numbered(prepared.call)
        except OtherAxes:
            first = prepared.inputs[0] if prepared.inputs else None
            if first is None or not first.is_floating_point() or first.dim() != 2:
                raise
            self.bench.seed(2)
            prepared.inputs[0] = torch.randn(first.shape[0], STEPS, *first.shape[1:]).to(first)
            try:
                found = self._numbered(prepared.call)
                prepared.call()
            except Inconclusive:
                raise
            except Exception as error:
                raise Inconclusive(self.program.failed(error)) from error
            prepared.described = f"{prepared.names[0]} of shape {tuple(prepared.inputs[0].shape)}"
            return found

    def _in_lines(self) -> Witness:
        """In nothing but the lines that lead to it, with a tensor of sizes that the reading knows."""
        why = self.why[0] if self.why else f"line {self.row} is not reached"
        sizes = self.settings.get("sizes")
        if not sizes:
            raise Inconclusive(why)
        tensor = numbered(_blank(sizes, self.settings.get("array", False)))
        self.program.supply.update(operand=lambda: tensor, base=lambda: tensor)
        seen: list[Any] = []

        def read(value: Any) -> Any:
            if not is_missing(value):
                seen.append(value)
            raise Enough

        with self.watching(result=read):
            try:
                first, last = run_lines(self.program, self.file, "result")
            except Inconclusive as error:
                raise Inconclusive(f"{why}; by themselves the lines fail: {error}") from error
        if not seen:
            raise Inconclusive(why)
        lines = f"line {last} is" if first == last else f"lines {first} to {last} are"
        self.bench.assume(f"only {lines} run ({why})")
        self.bench.assume(f"what is viewed has the sizes {tuple(sizes)}")
        return self._witness(tuple(sizes), seen[0])


def _result_in(file: File) -> Watched | None:
    return next((watched for watched in file.watches if watched.name == "result"), None)


def _blank(sizes: list[int], array: bool) -> Any:
    import torch

    if array:
        return importlib.import_module("numpy").zeros(sizes)
    return torch.zeros(sizes)
