"""The accused lines against the mended ones: same inputs, same weights, same seed.

The experiment of every finding with a fix. What it can say: whether the lines of the fix change what is computed. Equal
outputs mean that the accused lines do no harm; other outputs show by how much they matter. The control is a second run
of the accused lines, which must agree with the first.

With an entry, the class or function is run on inputs that it accepts and its outputs are compared. Without one, the
script is run, and what the watches see is: of each the first values, :data:`VALUES` of them or ``settings["values"]``.
A watch by the name ``accused`` stands at the accused expression of an entry: its value is disturbed to see that the
outputs depend on it at all.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ..anything import is_missing, reason
from ..bench import Bench
from ..building.comparison import Difference, difference, noise_between
from ..building.prepared import Prepared, tensors_in
from ..building.synthesis import prepare, said, twin
from ..job import Job, Slice
from ..program import Enough, Program
from ..verdict import Inconclusive, Verdict, confirmed, inconclusive, refuted

VALUES = 8
"""Values of each watch that are compared."""

ROUNDING = 1e-5
"""Elements that differ by less than this part of the largest are taken to be rounded otherwise."""

CERTAIN = 1e-4
"""Results that differ by more than this part of the largest are not only rounded otherwise."""

ACCUSED = "accused"
"""The watch at the accused expression."""


def run(job: Job, bench: Bench) -> Verdict:
    """Compare the program of a job with the mended one."""
    if job.mended is None:
        raise Inconclusive("the finding has no fix to compare with")
    if job.program.entry:
        return _of_entries(job, job.mended, bench)
    return _of_scripts(job, job.mended, bench)


# --- a class or function ---------------------------------------------------------------------------------------------


def _of_entries(job: Job, mended: Slice, bench: Bench) -> Verdict:
    program, other = Program(job.program, bench), Program(mended, bench)
    before = prepare(program.entry(), job.settings, bench)
    after = twin(before, other.entry(), job.settings, bench)
    bench.assume(f"called with {before.described}")
    for prepared, slice_, text in ((before, job.program, mended), (after, mended, job.program)):
        with _reaching(slice_, text, f" with {before.described}"):
            _outputs(prepared)
    powerful = False
    for weights in (_as_built, _vivid):
        with weights(before, after):
            outputs = _outputs(before)
            noise = noise_between(outputs, _outputs(before))
            found = difference(outputs, _outputs(after), noise, ROUNDING)
            if found:
                return _differ(found, noise, "with every weight moved a little" if weights is _vivid else "")
            powerful = powerful or _has_power(before, program, outputs, noise)
    if not powerful:
        raise Inconclusive("the outputs are equal, but nor do they depend on the accused expression or on the inputs")
    for words, inputs in _other_inputs(before):
        if _differ_on(inputs, before, after):
            raise Inconclusive(f"the outputs are equal on {before.described}, but not on {words}")
    return _agree(found, noise)


def _outputs(prepared: Prepared) -> list[Any]:
    try:
        outputs = prepared.call()
    except Exception as error:
        raise Inconclusive(said(error)) from error
    if not outputs:
        raise Inconclusive("no tensor is returned")
    return outputs


def _has_power(prepared: Prepared, program: Program, outputs: Sequence[Any], noise: float) -> bool:
    """Whether the outputs would show it if the lines did something else.

    They must move with the accused expression, where that is watched, and else with the inputs.
    """
    if not any(watch.name == ACCUSED for file in program.slice.files for watch in file.watches):
        inputs = prepared.inputs
        prepared.inputs = [_disturbed(each) for each in inputs]
        try:
            return not inputs or bool(difference(outputs, prepared.call(), noise))
        except Exception:
            return True
        finally:
            prepared.inputs = inputs
    program.see[ACCUSED] = _disturbed
    try:
        return bool(difference(outputs, prepared.call(), noise))
    except Exception:
        return True
    finally:
        program.see.pop(ACCUSED)


def _other_inputs(prepared: Prepared) -> Iterator[tuple[str, list[Any]]]:
    """Inputs of other values, in words: what only matters from some magnitude on must not pass for harmless."""
    real = [each.is_floating_point() for each in prepared.inputs]
    yield "others of the same shapes", [_disturbed(each) for each in prepared.inputs]
    if any(real):
        for words, factor in (("inputs 100 times as large", 100.0), ("inputs 100 times smaller", 0.01)):
            yield words, [each * factor if is_real else each for each, is_real in zip(prepared.inputs, real)]
        yield "inputs above 0", [each.abs() if is_real else each for each, is_real in zip(prepared.inputs, real)]


def _differ_on(inputs: list[Any], before: Prepared, after: Prepared) -> bool:
    """Whether two versions differ on inputs that the one accepts."""
    kept = before.inputs
    before.inputs = after.inputs = inputs
    try:
        outputs = before.call()
        return bool(difference(outputs, _outputs(after), noise_between(outputs, before.call()), ROUNDING))
    except Inconclusive:
        return True
    except Exception:
        return False
    finally:
        before.inputs = after.inputs = kept


def _disturbed(value: Any) -> Any:
    import torch

    if not isinstance(value, torch.Tensor) or not value.numel():
        return value
    if value.is_floating_point():
        return value + torch.randn_like(value)
    return value.flatten().roll(1).view_as(value)


@contextmanager
def _as_built(*versions: Prepared) -> Iterator[None]:
    yield


@contextmanager
def _vivid(*versions: Prepared) -> Iterator[None]:
    """All weights moved a little, in all versions alike: none is left at zero and hides what it multiplies."""
    import torch

    kept = []
    for version in versions:
        generator = torch.Generator().manual_seed(1)
        parameters = list(version.module.parameters()) if isinstance(version.module, torch.nn.Module) else []
        for each in parameters:
            kept.append((each, each.detach().clone()))
            with torch.no_grad():
                each.add_((0.1 * torch.randn(each.shape, generator=generator)).to(each))
    try:
        yield
    finally:
        with torch.no_grad():
            for each, value in kept:
                each.copy_(value)


@contextmanager
def _reaching(slice_: Slice, other: Slice, given: str) -> Iterator[None]:
    """What is run meanwhile comes to a line of a slice that is not in another version of it.

    Raises:
        Inconclusive: it does not.
    """
    changed = _changed(slice_, other)
    with _rows_run({path for path, _ in changed}) as reached:
        yield
    if changed and not changed & reached:
        path, row = min(changed)
        raise Inconclusive(f"{path.rpartition('/')[2]}:{row} is not reached{given}")


def _changed(slice_: Slice, other: Slice) -> set[tuple[str, int]]:
    """The rows of a slice that are not in another version of it."""
    found: set[tuple[str, int]] = set()
    texts = {file.path: file.text.splitlines() for file in other.files}
    for file in slice_.files:
        lines = file.text.splitlines()
        for kind, first, last, _, _ in difflib.SequenceMatcher(None, lines, texts.get(file.path, lines)).get_opcodes():
            if kind != "equal":
                found.update((file.path, row + 1) for row in range(first, last) if lines[row].strip())
    return found


@contextmanager
def _rows_run(paths: set[str]) -> Iterator[set[tuple[str, int]]]:
    """The rows of files that are run meanwhile."""
    reached: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in paths:
            return None
        reached.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield reached
    finally:
        sys.settrace(before)


# --- a script --------------------------------------------------------------------------------------------------------


def _of_scripts(job: Job, mended: Slice, bench: Bench) -> Verdict:
    values = int(job.settings.get("values", VALUES))
    with _reaching(job.program, mended, ""):
        before = _watched(job.program, bench, values)
    again = _watched(job.program, bench, values)
    with _reaching(mended, job.program, ""):
        after = _watched(mended, bench, values)
    runs = before, again, after
    for name in before:
        if len(before[name]) != len(after[name]):
            times = f"{len(before[name])} and {len(after[name])} times"
            raise Inconclusive(f"{name} is reached {times} with the lines as they are and as they are mended")
    joined = [[each for values in run.values() for each in values] for run in runs]
    noise = noise_between(joined[0], joined[1])
    found = difference(joined[0], joined[2], noise, ROUNDING)
    return _differ(found, noise, "") if found else _agree(found, noise)


def _watched(slice_: Slice, bench: Bench, values: int) -> dict[str, list[Any]]:
    """The first values of each watch in a run of a script, as tensors.

    Raises:
        Inconclusive: the run does not come to them, or they cannot be compared.
    """
    names = sorted({watch.name for file in slice_.files for watch in file.watches})
    seen: dict[str, list[Any]] = {name: [] for name in names}
    counts = dict.fromkeys(names, 0)
    program = Program(slice_, bench)

    def watching(name: str) -> Callable[[Any], Any]:
        def watch(value: Any) -> Any:
            if counts[name] < values:
                counts[name] += 1
                seen[name] += _measured(value, name)
            if all(count >= values for count in counts.values()):
                raise Enough
            return value

        return watch

    for name in names:
        program.see[name] = watching(name)
    bench.seed()
    program.run()
    for name in names:
        if not seen[name]:
            raise Inconclusive(program.why_missing() or f"{name} is not reached")
    return seen


def _measured(value: Any, name: str) -> list[Any]:
    """A value as tensors, copied as it is now.

    Raises:
        Inconclusive: it has no numbers.
    """
    import torch

    if is_missing(value):
        raise Inconclusive(reason(value))
    if isinstance(value, (bool, int, float)):
        return [torch.tensor(float(value), dtype=torch.float64)]
    if isinstance(value, (tuple, list)) and value and not torch.is_tensor(value):
        return [found for each in value for found in _measured(each, name)]
    if type(value).__module__ == "numpy":
        return [torch.as_tensor(value).detach().clone()]
    found = [each.detach().clone() for each in tensors_in(value)]
    if not found:
        raise Inconclusive(f"{name} is a {type(value).__name__}, which cannot be compared")
    return found


# --- what it says ----------------------------------------------------------------------------------------------------


def _differ(found: Difference, noise: float, given: str) -> Verdict:
    if found.shapes is None and found.relative < CERTAIN:
        raise Inconclusive(
            f"mended, the result differs by {found.relative:.1g} of the largest magnitude, which may be rounding"
        )
    note = f", {given}" if given else ""
    if found.shapes is not None:
        shapes = [list(shape) for shape in found.shapes]
        return confirmed(
            f"the mended lines give a result of shape {found.shapes[1]} in the place of {found.shapes[0]}{note}",
            shapes=shapes,
            noise=noise,
        )
    what = (
        f"{found.share:.0%} of {found.elements:,} elements differ, by up to" if found.elements > 1 else "it differs by"
    )
    summary = (
        f"mended, the lines give another result: {what} {found.relative:.2g} of the largest magnitude{note}; "
        "run twice as they are, they agree"
    )
    return confirmed(summary, **_figures(found, noise))


def _agree(found: Difference, noise: float) -> Verdict:
    if not found.elements:
        return inconclusive("the results have no elements")
    how = "to the bit" if not found.largest else f"to within rounding ({found.relative:.1g} of the largest magnitude)"
    summary = f"the lines do no harm: mended, they give the same result {how}"
    return refuted(summary, **_figures(found, noise))


def _figures(found: Difference, noise: float) -> dict[str, Any]:
    return {
        "largest_difference": found.largest,
        "scale": found.scale,
        "share": round(found.share, 4),
        "elements": found.elements,
        "noise": noise,
    }
