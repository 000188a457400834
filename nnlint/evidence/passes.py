"""What of a script to run to see which part of its evaluation data a score is made of.

See :mod:`nnlint.confirm.worker.protocol.passes` for what is done with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import libcst as cst

from nnlint.evidence.figures import everything_in
from nnlint.evidence.rehearsal import root_of
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Place
from nnlint.symbolic.trace import Average, Event, Run
from nnlint.symbolic.values import Carried, Loop, Object, Value
from nnlint.symbolic.words import below
from nnlint.verdict import Json


def evaluation_pass(
    run: Run,
    check: str,
    *,
    loader: Object,
    asked: Place,
    score: Place,
    event: Event,
    watches: Sequence[Watch] = (),
    settings: Mapping[str, Json] | None = None,
) -> Experiment | None:
    """A loop over a loader with the score that comes of it; None if it cannot be begun from outside.

    Args:
        run: the run in which it happens.
        check: the name of the check in ``worker/protocol/checks``.
        loader: what is gone through.
        asked: the expression that the loop goes over, or that asks for a batch.
        score: the figure that is computed, or told.
        event: what happens there.
        watches: what else is watched, which must run as well.
        settings: what the check is told beyond.
    """
    entry = None if run.script else root_of(run, [event])
    if loader.origin is None or (entry is None and not run.script):
        return None
    built = Place(loader.origin.source, loader.origin.node)
    ways = [site.place for site in event.context.calls if isinstance(site.place.node, cst.Call)]
    return Experiment(
        "protocol",
        anchors=(asked, score, built, *(watch.place for watch in watches), *ways),
        watches=(
            Watch("accused", asked),
            Watch("gone through", built),
            Watch("figure", score),
            *watches,
            *(Watch("way", place) for place in ways),
        ),
        entry=entry,
        settings={"check": check, **(settings or {})},
    )


def gone_over(loop: Loop) -> Place | None:
    """The expression that a loop goes over; None for one that goes over nothing."""
    return Place(loop.source, loop.node.iter) if isinstance(loop.node, (cst.For, cst.CompFor)) else None


def term_of(score: Average, loop: Loop | None, summand: Value) -> Place | None:
    """Where what is added to the total of a score is computed; None where it is nowhere written by itself."""
    if summand.origin is not None:
        return Place(summand.origin.source, summand.origin.node)
    totals = (item for item in everything_in(score.total) if isinstance(item, Carried) and item.loop is loop)
    return next((place for total in totals for place in _added(total)), None)


def _added(total: Carried) -> Iterator[Place]:
    """What is added to a total in the lines of its loop: ``loss.item()`` of ``total += loss.item()``."""
    for node in below(total.loop.node):
        if isinstance(node, cst.AugAssign) and isinstance(node.operator, cst.AddAssign):
            name = node.target.value if isinstance(node.target, cst.Name) else ""
            if name == total.name:
                yield Place(total.loop.source, node.value)
