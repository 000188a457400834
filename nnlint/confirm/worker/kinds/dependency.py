"""Does a view mix axes? Numbered elements say where each ends up, a run with the axes moved what follows from it."""

from __future__ import annotations

from typing import Any

from ..bench import Bench
from ..building.comparison import Difference, difference, noise_between
from ..building.prepared import Prepared
from ..elements.accused_view import AccusedView, Reached, Script, See
from ..elements.chart import chart
from ..elements.perturbation import fresh, rows_that_move
from ..elements.there_and_back import Passage, passage
from ..elements.weights import VARIATIONS, other_weights
from ..elements.witness import Witness
from ..job import Job
from ..verdict import Inconclusive, Verdict, confirmed, refuted

ROUNDING = 1e-5
"""Outputs that differ by less than this share of their largest value are the same, but for the order of summation."""

CERTAIN = 1e-4
"""Outputs that differ by more than this share are different ones; between the two nothing is said."""

INPUTS, PARAMETERS = 500_000, 20_000_000
"""With more elements of inputs, or more parameters, no row is changed: the verdict has been found without."""


def run(job: Job, bench: Bench) -> Verdict:
    """The verdict on a view.

    The accused expression is run on numbered elements: in the user's script where that can be run, else in a class or
    function of it with inputs that it accepts, else in nothing but the lines that lead to it. What was called then is
    called again with the axes moved in the place of the view, and with single rows of its inputs changed.

    Raises:
        Inconclusive: the expression is not reached, or what it does cannot be told.
    """
    accused = AccusedView(job, bench)
    reached = accused.reached()
    if not reached.found.misplaced:
        return _in_order(accused, reached)
    through = None if reached.run is None else passage(accused, reached.run)
    if through is not None and through.harmless:
        if isinstance(reached.run, Script):
            raise Inconclusive(
                f"{accused.told(reached.found)}, but with the weights of the start another view undoes that"
            )
        return _taken_back(reached.found, through)
    if isinstance(reached.run, Prepared):
        return _with_outputs(accused, reached.found, reached.run, through)
    if not accused.settings["alone"] and not _sees_partners(accused, reached):
        why = f" ({accused.why[0]})" if accused.why else ""
        raise Inconclusive(f"{accused.told(reached.found)}; another view, which is not run, may undo that{why}")
    return confirmed(accused.told(reached.found), **_figures(reached.found))


def _in_order(accused: AccusedView, reached: Reached) -> Verdict:
    """All elements are where they belong: nothing is wrong, unless that hangs on sizes that were made up."""
    found = reached.found
    ones = [axis for axis, size in enumerate(found.before) if size == 1]
    own = accused.settings.get("own", [])
    guessed = any(not each.startswith("called with ") for each in accused.bench.assumptions)
    if ones and not reached.own_sizes and (guessed or not all(axis < len(own) and own[axis] for axis in ones)):
        raise Inconclusive(f"one of the sizes {found.before} is 1, which may be due to the inputs that were made up")
    if not any(size > 1 for size in found.before):
        raise Inconclusive(f"the sizes are {found.before}: one element shows no order")
    why = f": axis {ones[0]} has size 1" if ones else ""
    return refuted(
        f"the view from {found.before} to {found.after} leaves every element where it belongs{why}", **_figures(found)
    )


def _taken_back(found: Witness, through: Passage) -> Verdict:
    view = through.later or through.earlier
    assert view is not None
    way = f"from {view.before} to {view.after}"
    said = f"a later view {way} undoes this one" if through.later else f"the view undoes an earlier one {way}"
    return refuted(f"{said}, and nothing between the two mixes elements", **_figures(found))


def _sees_partners(accused: AccusedView, reached: Reached) -> bool:
    """Whether the run comes to the other views that may take the accused one back."""
    if not isinstance(reached.run, Script):
        return False
    seen: list[Any] = []

    def see(value: Any) -> Any:
        seen.append(value)
        return value

    with accused.watching(partner=see):
        reached.run.call()
    return bool(seen)


# --- what follows for the outputs ------------------------------------------------------------------------------------


def _with_outputs(accused: AccusedView, found: Witness, run: Prepared, through: Passage | None) -> Verdict:
    """What the place of the elements does to the outputs of a module or function."""
    instead = accused.mended() or _shuffled
    how = "moving the axes instead" if accused.mended() else "another order of its elements"
    power = False
    for number in range(VARIATIONS):
        with other_weights(run.module, number):
            outputs = _called(accused, run)
            noise = noise_between(outputs, _called(accused, run))
            other = difference(outputs, _called(accused, run, instead), noise, ROUNDING)
            if other:
                return _differ(accused, found, run, through, other, how, with_other_weights=bool(number))
            power = power or bool(difference(outputs, _called(accused, run, fresh), noise))
    if not power:
        raise Inconclusive(f"{accused.told(found)}, but no output depends on it here")
    if _differs_on_others(accused, run, instead):
        raise Inconclusive(f"{accused.told(found)}, which the outputs only show with other inputs")
    figures = {**_figures(found), "difference": _rounded(other.largest), "scale": _rounded(other.scale)}
    return refuted(f"{how} leaves the outputs of {run.name} as they are: the order does not matter here", **figures)


def _differ(
    accused: AccusedView,
    found: Witness,
    run: Prepared,
    through: Passage | None,
    other: Difference,
    how: str,
    *,
    with_other_weights: bool,
) -> Verdict:
    if other.shapes is not None:
        sizes = f"the sizes {other.shapes[1]} in the place of {other.shapes[0]}"
        raise Inconclusive(f"{accused.told(found)}, but {how} gives an output {sizes}")
    if other.relative < CERTAIN:
        little = f"{_percent(other.relative)} of the largest"
        raise Inconclusive(f"{how} changes the outputs of {run.name} by {little}, which may be rounding")
    figures = _figures(found)
    figures.update(difference=_rounded(other.largest), scale=_rounded(other.scale), share=_rounded(other.share))
    said = _rows(accused, run, figures)
    if through is not None and through.earlier is not None:
        view = through.earlier
        said += f"; it undoes the view from {view.before} to {view.after}, but what lies between the two mixes elements"
    weights = ", once the weights are other ones than at the start," if with_other_weights else ""
    return confirmed(
        f"{accused.told(found)}; {how} changes{weights} {other.share:.0%} of the outputs of {run.name}, "
        f"by up to {_percent(other.relative)} of the largest{said}",
        **figures,
    )


def _called(accused: AccusedView, run: Prepared, instead: See | None = None) -> list[Any]:
    try:
        with accused.watching(result=instead):
            return run.call()
    except Exception as error:
        raise Inconclusive(accused.program.failed(error)) from error


def _differs_on_others(accused: AccusedView, run: Prepared, instead: See) -> bool:
    """Whether the outputs differ with other inputs than those that were thought of."""
    before = list(run.inputs)
    run.inputs[:] = [fresh(tensor, bound) for tensor, bound in zip(before, run.bounds)]
    try:
        outputs = _called(accused, run)
        noise = noise_between(outputs, _called(accused, run))
        return bool(difference(outputs, _called(accused, run, instead), noise, ROUNDING))
    finally:
        run.inputs[:] = before


def _shuffled(value: Any) -> Any:
    import torch

    order = torch.randperm(value.numel(), generator=torch.Generator().manual_seed(3)).to(value.device)
    return value.reshape(-1)[order].reshape(value.shape)


def _is_small(run: Prepared) -> bool:
    """Whether many calls take no time that anybody would notice."""
    elements = sum(each.numel() for each in run.inputs)
    parameters = run.module.parameters() if hasattr(run.module, "parameters") else ()
    return bool(elements < INPUTS and sum(each.numel() for each in parameters) < PARAMETERS)


def _rows(accused: AccusedView, run: Prepared, figures: dict[str, Any]) -> str:
    """On which inputs the outputs depend, as it is and as it should be; what that shows, in words."""
    if not _is_small(run):
        return ""
    charted = chart(run)
    if charted is not None:
        figures["chart"] = charted
    instead = accused.mended()
    said = ""
    for axis, name in ((0, "row"), (1, "step")):
        now = _dependence(accused, run, axis, None)
        if now is None:
            continue
        figures[f"{name}s"] = {str(row): others for row, others in now.items()}
        mended = _dependence(accused, run, axis, instead) if instead else None
        if mended is not None:
            figures[f"mended_{name}s"] = {str(row): others for row, others in mended.items()}
        size = run.inputs[0].shape[axis]
        row = next((row for row in now if mended is not None and now[row] != mended[row]), None)
        if not said and mended is not None and row is not None:
            moves = f"{_listed(now[row], size)}, with the axes moved {_listed(mended[row], size)}"
            said = f"; changing input {name} {row} changes output {name}s {moves}"
        row = next((row for row, others in now.items() if others != [row]), None)
        if not said and mended is None and axis == 0 and row is not None:
            said = f"; changing input {name} {row} changes output {name}s {_listed(now[row], size)}"
    return said


def _dependence(accused: AccusedView, run: Prepared, axis: int, instead: See | None) -> dict[int, list[int]] | None:
    size = run.inputs[0].shape[axis] if run.inputs and run.inputs[0].dim() > axis else 0
    if size < 2:
        return None
    try:
        with accused.watching(result=instead):
            outputs = run.call()
            return rows_that_move(run, axis, sorted({0, size // 2}), outputs, noise_between(outputs, run.call()))
    except Exception:
        # Not all inputs go through what accepts these: the rows are no more than an illustration.
        return None


# --- what it says ----------------------------------------------------------------------------------------------------


def _figures(found: Witness) -> dict[str, Any]:
    figures: dict[str, Any] = {"before": list(found.before), "after": list(found.after)}
    figures["misplaced"] = _rounded(found.misplaced)
    if found.place:
        figures.update(element=list(found.place), holds=list(found.holds))
    return figures


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{100 * share:.2g}%"


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")


def _listed(rows: list[int], size: int) -> str:
    if len(rows) == size:
        return f"0 to {size - 1}"
    if len(rows) > 6:
        return f"{', '.join(map(str, rows[:5]))} … ({len(rows)} of them)"
    return " and ".join((", ".join(map(str, rows[:-1])), str(rows[-1]))) if len(rows) > 1 else str(*rows) or "none"
