"""A flag that arrives as another parameter than the one of its name."""

from __future__ import annotations

import inspect
from typing import Any

from ..anything import is_missing
from ..bench import Bench
from ..job import Job
from ..program import Program
from ..verdict import Inconclusive, Verdict, confirmed, refuted
from .coded_pictures import SIZES, Stage
from .draws import DRAWS, LEAST
from .subjects import Subject, dataset_of, item_of
from .virtual_files import virtual_files


def verdict_on_flag(job: Job, bench: Bench) -> Verdict:
    """What a function is given in the place of which parameter, sample by sample."""
    settings = job.settings
    flag, taken_for, name = settings["flag"], settings["taken_for"], settings["function"]
    stage = Stage(SIZES[1])
    program = Program(job.program, bench)
    calls: list[tuple[Any, Any, Any]] = []

    def watch(function: Any) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            bound = inspect.signature(function).bind(*args, **kwargs)
            bound.apply_defaults()
            given = args[settings["position"]] if len(args) > settings["position"] else kwargs.get(flag)
            calls.append((given, bound.arguments.get(flag), bound.arguments.get(taken_for)))
            return function(*args, **kwargs)

        return function if is_missing(function) else called

    program.see["called"] = watch
    failed = ""
    with virtual_files(stage, bench):
        subject = Subject(dataset_of(program, settings, bench), item_of)
        for draw in range(DRAWS):
            bench.seed(draw)
            try:
                subject.sample(draw)
            except Inconclusive:
                raise
            except Exception as error:
                failed = failed or program.failed(error)
    if not calls:
        raise Inconclusive(failed or program.why_missing() or f"{name} is not called")
    if any(is_missing(value) for call in calls for value in call):
        raise Inconclusive(f"what {name} is given is not known")
    lost = [given for given, arrived, other in calls if given != arrived and given == other]
    same = sum(given == arrived for given, arrived, _ in calls)
    figures = {"calls": len(calls), "lost": len(lost), "arrived": same}
    if len(lost) >= LEAST:
        return confirmed(
            f"in {len(lost)} of {len(calls)} calls {flag}={lost[0]!r} reaches {name} as its {taken_for}, while its "
            f"{flag} keeps its default",
            **figures,
        )
    if same == len(calls) and len({repr(given) for given, _, _ in calls}) > 1:
        return refuted(f"{flag} arrives as {flag} in all {len(calls)} calls of {name}", **figures)
    raise Inconclusive(f"{flag} is the same in all {len(calls)} calls of {name}")
