"""Findings in, findings with verdicts out: the slice of each plan is cut from the repository, and run once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnlint.confirm.constructions import constructions
from nnlint.confirm.slice import CannotCut, cut
from nnlint.diagnostic import Confidence, Diagnostic
from nnlint.experiment import Plan
from nnlint.linter import with_deep_stack
from nnlint.verdict import Json, Outcome, Verdict

Run = Callable[[dict[str, Json]], Mapping[str, Json]]
"""What runs a job in the user's interpreter and gives the answer, both as the worker knows them."""

DIGITS = 6
"""Digits of a figure that say something; those behind them are the rounding of sums."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan with its job, or with the verdict that there cannot be one."""

    plan: Plan
    job: dict[str, Json] | Verdict


def prepare(diagnostics: Sequence[Diagnostic], texts: Mapping[Path, str]) -> dict[str, Prepared]:
    """What is to be run for findings that were made with plans, each experiment once however many rest on it.

    ``texts`` stand in the place of files on disk.
    """
    plans = {_key(each.plan): each.plan for each in diagnostics if each.plan is not None}
    # A slice follows names through files as deep as they go.
    return with_deep_stack(
        lambda: {key: Prepared(plan, _job(number, plan, texts)) for number, (key, plan) in enumerate(plans.items())}
    )


def confirm(
    diagnostics: Sequence[Diagnostic], prepared: Mapping[str, Prepared], run: Run, progress: Callable[[int], None]
) -> tuple[Diagnostic, ...]:
    """The findings in their order, each with its verdict; what is confirmed is of high confidence.

    Findings of nnlint about comments, and about files that it cannot read, have no verdict.

    Args:
        diagnostics: the findings.
        prepared: what is to be run for them.
        run: runs a job.
        progress: told after each experiment how many are done.
    """
    verdicts: dict[str, Verdict] = {}
    for key, each in prepared.items():
        verdicts[key] = each.job if isinstance(each.job, Verdict) else _verdict(each.plan.kind, run(each.job))
        progress(len(verdicts))
    return tuple(_with_verdict(diagnostic, verdicts) for diagnostic in diagnostics)


def _key(plan: Plan) -> str:
    return repr(plan)


def _job(number: int, plan: Plan, texts: Mapping[Path, str]) -> dict[str, Json] | Verdict:
    try:
        program = cut(plan, texts)
        mended = None if plan.mend is None else cut(plan, texts, mended=True)
        script = None if plan.script is None else _script(plan.script, texts)
        settings = {**plan.settings, "constructions": constructions(plan, texts)}
    except CannotCut as reason:
        return Verdict(Outcome.INCONCLUSIVE, str(reason), plan.kind)
    except Exception as error:
        # The other findings are run all the same.
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        return Verdict(Outcome.INCONCLUSIVE, f"internal error in cutting out what it rests on: {said}", plan.kind)
    return {
        "id": number,
        "kind": plan.kind,
        "program": program,
        "mended": mended,
        "script": script,
        "settings": settings,
    }


def _script(plan: Plan, texts: Mapping[Path, str]) -> dict[str, Json] | None:
    try:
        return cut(plan, texts)
    except CannotCut:
        return None


def _verdict(kind: str, answer: Mapping[str, Json]) -> Verdict:
    figures = answer["figures"]
    assert isinstance(figures, Mapping)
    return Verdict(
        outcome=Outcome(answer["outcome"]),
        summary=str(answer["summary"]),
        experiment=kind,
        figures={name: _figure(value) for name, value in figures.items()},
        assumptions=_strings(answer["assumptions"]),
        stood_in=_strings(answer["stood_in"]),
        device=str(answer["device"]),
        torch=str(answer["torch"]),
        seconds=float(str(answer["seconds"])),
        unenforced=_strings(answer["unenforced"]),
    )


def _figure(value: Json) -> Json:
    """A figure as it is told: floats to :data:`DIGITS` digits, infinities and nan, which JSON cannot say, in words."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {name: _figure(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_figure(each) for each in value]
    return value


def _strings(value: Json) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, Sequence) else ()


def _with_verdict(diagnostic: Diagnostic, verdicts: Mapping[str, Verdict]) -> Diagnostic:
    if diagnostic.plan is not None:
        verdict = verdicts[_key(diagnostic.plan)]
    elif diagnostic.code[2] != "0":
        verdict = Verdict(Outcome.INCONCLUSIVE, f"{diagnostic.code} has no experiment for this finding")
    else:
        return diagnostic
    proved = verdict.outcome is Outcome.CONFIRMED
    return replace(diagnostic, verdict=verdict, confidence=Confidence.HIGH if proved else diagnostic.confidence)
