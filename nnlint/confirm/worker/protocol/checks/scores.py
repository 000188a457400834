"""Which part of the evaluation data a score is made of, and how much each of their samples counts in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ...verdict import Inconclusive, Verdict, confirmed, refuted
from ..record import Pass, Record

NEAR = 0.05
"""How near a score is to one of two, in their distance, if it is that one."""

ROUNDING = 1e-6
"""A share of a score that rounding may make."""


def unweighted_mean(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """A score is the mean of the means of batches that are not all alike, and not the mean over their samples.

    The control is the same lines with batches that are all alike, where the two must be one; it also tells what the
    score is multiplied with, a hundred for percent.
    """
    done = _with_score(record)
    _require_whole(done)
    sizes = done.sizes
    figures: dict[str, Any] = {"samples": sum(sizes), "batches": len(sizes), "last_batch": sizes[-1]}
    if len(set(sizes)) == 1:
        if done.made_up:
            raise Inconclusive(_unknown(done))
        if len(sizes) == 1:
            return refuted(f"all {sizes[0]:,} samples are in one batch", **figures)
        return refuted(f"all {len(sizes)} batches have {sizes[0]} samples, the last one as well", **figures)
    if done.made_up:
        raise Inconclusive(_unknown(done))
    score, of_batches, of_samples = _means(done)
    even = _with_score(record.again(passes="evened"))
    _require_whole(even)
    if len(set(even.sizes)) > 1:
        raise Inconclusive("no batch size that divides the samples can be given to the loader")
    control, of_even, _ = _means(even)
    if not of_even:
        raise Inconclusive("where all batches are alike the score is 0")
    factor = control / of_even
    figures |= {
        "score": score,
        "mean_over_the_samples": factor * of_samples,
        "even_batches": len(even.sizes),
        "score_of_even_batches": control,
    }
    apart = abs(factor * (of_batches - of_samples))
    if apart <= ROUNDING * abs(score):
        raise Inconclusive("the mean of the last batch is so near to the others that its weight cannot be told")
    if abs(score - factor * of_batches) <= NEAR * apart:
        seen = (
            f"over {_batches(sizes)} the lines report {score:.6g}, the mean over the samples is "
            f"{factor * of_samples:.6g}: a sample of the last batch counts {sizes[0] / sizes[-1]:.3g} times"
        )
        if done.supposed:
            # A verdict would rest on the number that the finding is about.
            raise Inconclusive(f"how many samples there are is not known here; {seen}")
        return confirmed(f"{seen}; in {_batches(even.sizes)} the two are one", **figures)
    if abs(score - factor * of_samples) <= NEAR * apart:
        return refuted(
            f"over {_batches(sizes)} the lines report {score:.6g}, which is the mean over the samples; that of the "
            f"batch means is {factor * of_batches:.6g}",
            **figures,
        )
    raise Inconclusive(
        f"the score is {score:.6g}, neither the mean of the batch means, {factor * of_batches:.6g}, nor that over the "
        f"samples, {factor * of_samples:.6g}"
    )


def partial_pass(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """A score is made when the lines have taken some of the batches of the loader, and others are there.

    The control is the same lines with the loop not left at the place of the finding, which must take them all.
    """
    done = _with_score(record)
    if done.whole is None:
        raise Inconclusive("how many batches the loader has is not known")
    used, batches, samples = _used(done), len(done.whole), sum(done.whole)
    seen = sum(done.sizes[:used])
    if done.made_up or done.size is None:
        unknown = _unknown(done) if done.made_up else "the batch size is not known here"
        raise Inconclusive(unknown if used == batches else f"the score is made of {_counted(used)}, but {unknown}")
    figures = {"batches_used": used, "batches": batches, "samples_used": seen, "samples": samples}
    if used == batches:
        return refuted(f"the score is made of {_all_of(batches)}, {samples:,} samples", **figures)
    control = _with_score(record.again(passes="stayed"))
    stayed = _used(control) if settings.get("break") else len(control.sizes) + control.rest
    if stayed != batches:
        raise Inconclusive(f"where the loop is not left there it takes {stayed} of the {batches} batches as well")
    if settings.get("break"):
        otherwise = f"where the loop is not left there it takes all {batches}"
    else:
        otherwise = f"the loader gives {_counted(control.rest)} more"
    return confirmed(
        f"the score is made of {used} of {batches} batches, {seen:,} of the {samples:,} samples; {otherwise}",
        **figures,
    )


# --- passes ----------------------------------------------------------------------------------------------------------


def _with_score(record: Record) -> Pass:
    """The last pass that a score was made of.

    Raises:
        Inconclusive: there is none.
    """
    found = [each for each in record.passes if each.figures]
    if not found:
        what = "the score is not reached" if record.passes else "the loader is not gone through in these lines"
        raise Inconclusive(": ".join([what, *record.failures[:1]]))
    return found[-1]


def _used(done: Pass) -> int:
    """How many batches a score is made of: one that the loop is left at may have been taken for nothing."""
    score = done.figures[-1]
    return score.terms if 0 < score.terms <= score.taken else score.taken


def _require_whole(done: Pass) -> None:
    """Raise unless the lines have gone through a loader to its end.

    Raises:
        Inconclusive: they have not, or the sizes of the batches are not known.
    """
    if not done.ended or done.whole is None:
        raise Inconclusive("the loop is left before the last batch" if done.whole else "the batches have no known size")
    if done.size is None:
        raise Inconclusive("the batch size is not known here")
    if done.unsized:
        raise Inconclusive(f"the size of {done.unsized} is asked for, which is not known here")


def _means(done: Pass) -> tuple[float, float, float]:
    """The score of a pass, the mean of its batch means, and the mean over its samples.

    Raises:
        Inconclusive: one of them is no number.
    """
    score = done.figures[-1].value
    means = [value for value in done.terms if value is not None]
    if score is None or len(means) < len(done.terms):
        raise Inconclusive("the score is no number" if score is None else "a batch mean is no number")
    if len(means) != len(done.sizes):
        raise Inconclusive(f"{len(means)} means are computed of {len(done.sizes)} batches")
    weighted = sum(size * mean for size, mean in zip(done.sizes, means))
    return score, sum(means) / len(means), weighted / sum(done.sizes)


def _unknown(done: Pass) -> str:
    about = "" if done.made_up == "the data set" else f": it may depend on {done.made_up}"
    return f"how many samples there are is not known here{about}"


def _counted(batches: int) -> str:
    return "1 batch" if batches == 1 else f"{batches} batches"


def _all_of(batches: int) -> str:
    return "the only batch" if batches == 1 else f"all {batches} batches"


def _batches(sizes: list[int]) -> str:
    """Batches in words: ``156 batches of 64 and one of 16``."""
    (size, count), *others = Counter(sizes).items()
    first = f"one batch of {size}" if count == 1 else f"{count} batches of {size}"
    return " and ".join([first, *(f"{'one' if count == 1 else count} of {size}" for size, count in others)])
