"""A few real iterations of the user's own loops, written down as events: what a rule says of their order is looked up.

For authors of rules
--------------------
1. Plan it with :func:`nnlint.evidence.protocol.protocol`: it anchors the events of the run (forward, zero_grad,
   backward, clipping, unscale, step, scheduler step, train/eval) with the calls on the way, and watches the loops so
   that they can be cut short::

       experiment = protocol(run, "stale-gradients", accused=backward.place, around=backward, settings={...})

   ``accused`` are the lines that the finding is about, ``around`` the event whose loops must be gone through;
   ``watches=(Watch("kept", place),)`` shows a check the values of further expressions, as ``record.seen["kept"]``.
   The watch ``layers`` is one of modules or parameters: what it has shown is known by ``record.layers``. Of a loader
   that the watch ``loader`` has shown every :class:`~..protocol.record.Batches` knows the order; one that the watch
   ``gone through`` has shown is not cut short, and ``record.passes`` are the ways through it (see
   :mod:`nnlint.evidence.passes`).
   Settings that this kind understands: ``batches`` (batches of a loader, 6 if it is not given), ``epochs`` (2).
2. Write the check in a module of :mod:`..protocol.checks`, a family a module, and name it in the table there::

       def stale_gradients(record: Record, settings: Mapping[str, Any]) -> Verdict: ...

   It is a pure function of the :class:`~..protocol.record.Record` (read that module: it has all events with their
   fields). ``record.need(Backward, 2)`` gives the events or says why they are not there; ``record.again(clear=True)``
   runs the same lines once more with a healthy protocol, for a control. It returns ``confirmed(…)`` or ``refuted(…)``
   with the figures, or raises ``Inconclusive``.

How the lines are run
---------------------
What the slice can run is run: models of the user's own classes, real optimizers, real loaders over real tensors. What
it lacks (data that are not there, packages that are not installed, arguments of a function that nobody calls) is a
:class:`~..protocol.stand_in.StandIn`, which goes through any code, and carries a gradient to the parameters that it
came from. A module that is given a stand-in is not entered: its result depends on all its parameters. Epochs are cut
to 2, loaders to 6 batches, and to more where the first do not get to the lines of the finding. Statements of the loops
that bind no name are run as well, for what they may do to the gradients. Where the lines ask a stand-in whether
something is true the lines are run with both answers, and a verdict that depends on it is none. What of the lines fails
is left out, and said.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from ..bench import Bench
from ..job import Job
from ..protocol.checks import check_named
from ..protocol.record import Backward, Batches, Record, Step
from ..protocol.rehearsal import rehearse
from ..verdict import Inconclusive, Verdict, inconclusive

FURTHER: tuple[dict[str, int], ...] = ({}, {"batches": 40}, {"epochs": 40, "batches": 2})
"""How far the loops are gone through, each where the one before does not reach the lines of the finding: gradients may
be gathered over many batches before a step, and an evaluation may come every few epochs."""


def run(job: Job, bench: Bench) -> Verdict:
    """Go through the loops, and let the check that the finding names judge what happened.

    Where a test asks for a value that nobody has the loops are gone through with both answers.
    """
    job, record, first = _first_try(job, bench)
    if not record.undecided:
        return _given(first)
    tests = ", ".join(_said(line) for line in record.undecided[:3])
    other = _judged(job, rehearse(job, bench.another(), answer=True))
    if first.outcome == other.outcome or other.outcome == "inconclusive":
        if first.outcome != other.outcome:
            bench.assume(f"what is asked in {tests} is false")
        return _given(first)
    if first.outcome == "inconclusive":
        bench.assume(f"what is asked in {tests} is true")
        return other
    raise Inconclusive(f"it depends on what is asked in {tests}, which is not known here")


def _first_try(job: Job, bench: Bench) -> tuple[Job, Record, Verdict]:
    """The job with the number of rounds that it takes, what happened in them, and the verdict."""
    for further in FURTHER:
        longer = replace(job, settings={**job.settings, **further})
        trial = bench.another()
        record = rehearse(longer, trial)
        verdict = _judged(longer, record)
        if verdict.outcome != "inconclusive" or not _may_come_later(record):
            break
    trial.hand_over(bench)
    return longer, record, verdict


def _may_come_later(record: Record) -> bool:
    """Whether the lines are gone through without a failure, but not those of the finding, or no optimizer steps.

    A loader whose order is in question is seen from the first epoch on.
    """
    if record.lost or record.undecided or not record.of(Backward) or any(each.order for each in record.of(Batches)):
        return False
    return not record.of(Step) or not any(map(record.is_accused, record.events))


def _judged(job: Job, record: Record) -> Verdict:
    if record.lost:
        return inconclusive(record.lost[0])
    try:
        return check_named(job.settings["check"])(record, job.settings)
    except Inconclusive as reason:
        return inconclusive(str(reason))


def _given(verdict: Verdict) -> Verdict:
    """A verdict, as it is to be given.

    Raises:
        Inconclusive: it is none.
    """
    if verdict.outcome == "inconclusive" and not verdict.figures:
        raise Inconclusive(verdict.summary)
    return verdict


def _said(line: Any) -> str:
    path, row = line
    return f"{os.path.basename(path)}:{row}"
