"""In which order the samples come, epoch after epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...verdict import Inconclusive, Verdict, confirmed, refuted
from ..record import Batches, Order, Record, Step

FEWEST = 4
"""Samples that an order is told by."""

SHOWN = 6
"""Samples of an order that are named."""


def stored_order(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """Every epoch goes through the data set from its first sample to its last, and the data set keeps them in order.

    The controls are the same lines with the loader built with ``shuffle=True``, which must be seen to come in another
    order, and with other seeds: where the samples then come in another one the data set was shuffled by chance.
    """
    epochs = _epochs(record)
    orders = [epoch.order for epoch in epochs]
    first = orders[0]
    figures: dict[str, Any] = {"epochs": [list(each.indices[:SHOWN]) for each in orders], "samples": len(first.indices)}
    differing = next((number for number, each in enumerate(orders) if each.indices != first.indices), None)
    if differing is not None:
        return refuted(
            f"epoch 1 asks for the samples {_begin(first)}, epoch {differing + 1} for {_begin(orders[differing])}",
            **figures,
        )
    if first.at_once and not first.made_up and not first.unseen:
        return refuted(f"all {len(first.indices)} samples of an epoch are in one batch", **figures)
    _require_enough(first)
    _require_seen(record, orders)
    for number, each in enumerate(orders[1:], 2):
        compared = _comparison(first, each)
        if compared.is_another_order:
            return refuted(
                f"the data set itself changes the order: in epoch {number} {compared.said} than in epoch 1", **figures
            )
        compared.require_kept(f"in epoch {number}")
    redrawn = _epochs(record.again(order="redrawn"), least=1)[0].order
    if redrawn.indices != first.indices:
        return refuted(f"the order is drawn: with other seeds it is {_begin(redrawn)}", **figures)
    _require_seen(record, [redrawn])
    compared = _comparison(first, redrawn)
    if compared.is_another_order:
        return refuted(
            f"the samples are shuffled before the loader is given them: with other seeds {compared.said}", **figures
        )
    compared.require_kept("with other seeds")
    if first.indices != tuple(range(len(first.indices))):
        raise Inconclusive(f"all epochs have one order, but not that of the data set: {_begin(first)}")
    shuffled = [each.order for each in _epochs(record.again(order="shuffled"))]
    if len({each.indices for each in (first, *shuffled)}) <= len(shuffled):
        raise Inconclusive("built with `shuffle=True` the loader has no other order either")
    return confirmed(
        f"each of the {len(orders)} epochs that were seen asks for the {len(first.indices):,} samples one after the "
        f"other ({_begin(first)}); built with `shuffle=True` the loader asks for {_begin(shuffled[0])} and then for "
        f"{_begin(shuffled[1])}",
        shuffled=[list(each.indices[:SHOWN]) for each in shuffled],
        **figures,
    )


def repeated_order(record: Record, settings: Mapping[str, Any]) -> Verdict:
    """A distributed sampler gives the same order in every epoch.

    The control is the same lines with the sampler told the epoch, which must give another order in each.
    """
    orders = [epoch.order for epoch in _epochs(record)]
    first = orders[0]
    if not all(each.by_sampler for each in orders):
        raise Inconclusive("the loader takes its order from something else than the sampler here")
    figures: dict[str, Any] = {"epochs": [list(each.indices[:SHOWN]) for each in orders], "samples": len(first.indices)}
    differing = next((number for number, each in enumerate(orders) if each.indices != first.indices), None)
    if differing is not None:
        return refuted(
            f"the sampler gives {_begin(first)} in epoch 1 and {_begin(orders[differing])} in epoch {differing + 1}",
            **figures,
        )
    _require_enough(first)
    told = [each.order for each in _epochs(record.again(order="told"))]
    if len({each.indices for each in told}) < len(told):
        raise Inconclusive("told the epoch the sampler gives one order in several epochs as well")
    return confirmed(
        f"the sampler gives the {len(first.indices):,} samples of this process in the same order in each of the "
        f"{len(orders)} epochs that were seen: {_begin(first)}; told the epoch it gives {_begin(told[0])} and then "
        f"{_begin(told[1])}",
        told=[list(each.indices[:SHOWN]) for each in told],
        **figures,
    )


# --- epochs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Epoch:
    """The first time that a loader is gone through in a round of the loops around."""

    loader: int
    order: Order
    trains: bool


def _epochs(record: Record, least: int = 2) -> list[_Epoch]:
    """The epochs of the accused loader, of several that are built in the same line of one that is trained on.

    Raises:
        Inconclusive: there are fewer than ``least``.
    """
    found = list(_begun(record))
    if len({epoch.loader for epoch in found}) > 1:
        found = [epoch for epoch in found if epoch.trains]
    several = [loader for loader, count in Counter(epoch.loader for epoch in found).items() if count > 1]
    # A loader that is built anew in each epoch has but one.
    found = [epoch for epoch in found if not several or epoch.loader == several[0]]
    if not found:
        raise Inconclusive(record.failures[0] if record.failures else "the loader is not gone through in the epochs")
    if len(found) < least:
        raise Inconclusive("only one epoch is gone through")
    return found


def _begun(record: Record) -> Iterator[_Epoch]:
    """The rounds in which one of the loaders in question is gone through."""
    events = record.of(Batches)
    ends = [*(event.number for event in events[1:]), len(record.events)]
    steps = [event.number for event in record.of(Step)]
    seen: set[tuple[Any, ...]] = set()
    for event, end in zip(events, ends):
        key = (event.loader, *event.rounds.items())
        if event.order is not None and event.rounds and key not in seen:
            seen.add(key)
            yield _Epoch(event.loader, event.order, any(event.number < number < end for number in steps))


def _require_enough(order: Order) -> None:
    """Raise if an order is of so few samples that it says nothing."""
    if len(order.indices) < FEWEST:
        count = len(order.indices)
        raise Inconclusive(f"there {'is' if count == 1 else 'are'} only {count} sample{'' if count == 1 else 's'}")


def _require_seen(record: Record, orders: Sequence[Order]) -> None:
    """Raise if it is not seen which samples the data set gives."""
    unseen = next((each.unseen for each in orders if each.unseen), "")
    if unseen:
        because = next((f" ({failure})" for failure in record.failures if failure not in unseen), "")
        raise Inconclusive(f"which samples the data set gives is not seen: {unseen}{because}")


def _begin(order: Order) -> str:
    """The beginning of an order: ``0, 1, 2, …``."""
    return ", ".join(map(str, order.indices[:SHOWN])) + (", …" if len(order.indices) > SHOWN else "")


# --- samples ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Comparison:
    """The samples that come in two orders and can be told from all others, in that of the first.

    ``neighbours`` are the pairs of them that follow each other, ``turned`` those that come the other way round in the
    second; ``unchanged``: the two orders are the same, sample by sample.
    """

    neighbours: int
    turned: int
    unchanged: bool

    @property
    def is_another_order(self) -> bool:
        """Whether so many are turned that a shuffle did it: one turns every second pair."""
        return self.neighbours >= FEWEST and 4 * self.turned > self.neighbours

    @property
    def said(self) -> str:
        """The turned pairs in words."""
        return f"of {self.neighbours} pairs of neighbours {self.turned} come the other way round"

    def require_kept(self, when: str) -> None:
        """Raise if the samples cannot be said to come in the same order."""
        if self.neighbours < FEWEST:
            same = "the samples cannot be told apart" if self.unchanged else f"{when} other samples come"
            raise Inconclusive(f"{same}, so that their order is not seen")
        if self.turned:
            raise Inconclusive(f"{when} {self.said}")


def _comparison(one: Order, other: Order) -> _Comparison:
    before, after = _places(one.samples), _places(other.samples)
    places = [after[text] for text in before if text in after]
    turned = sum(second < first for first, second in zip(places, places[1:]))
    return _Comparison(max(len(places) - 1, 0), turned, one.samples == other.samples)


def _places(samples: Sequence[str]) -> dict[str, int]:
    """The places of the samples of which there is only one alike."""
    counts = Counter(samples)
    return {text: place for place, text in enumerate(samples) if counts[text] == 1}
