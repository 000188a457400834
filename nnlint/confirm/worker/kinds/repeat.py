"""What a script draws before it trains, in two new processes that nothing but their chance tells apart.

With the ``subject`` ``workers`` it is what a data set draws in two processes that load its samples, and with
``evaluation`` a sample of evaluation data that is loaded several times: see :mod:`..samples`.

Settings:
    drawn: the draws, each with ``watch`` (its own expression), ``made`` (the watch of what is built of it, where that
        is another), ``generator`` and ``label``, what to call its result.
    blamed: the generators that the finding says have no seed.
    later: the generators that training goes on to draw from.
    loop: the watches that are seen again in every round of a loop.
    chosen: the outcomes of conditions that the finding is about, by watch.
    option: the option for the seed that the finding is about, by the name that it is stored under.
    seeded: the generators that the finding says are seeded.
    seeds: the generators that each seed reaches, by watch.
    loaders: the watches of the loaders whose samples are drawn for while they are loaded.
"""

from __future__ import annotations

import re
from typing import Any

from ..bench import Bench
from ..draws.drawing import Asked, Drawn, Start, drawn_in_processes
from ..draws.generators import GENERATORS
from ..job import Job
from ..samples.evaluation import verdict_on_evaluation
from ..samples.workers import verdict_on_workers
from ..setting.torchvision_operators import load_torchvision
from ..verdict import Inconclusive, Verdict, confirmed, refuted

LOADING = re.compile(r"load_state_dict|load_url|model_zoo|torch\.load|from_pretrained|pretrained|\.copy_\(")
"""Texts of a file that loads weights."""

DROPPING = re.compile(r"\b(?:F|functional)\.(?:\w+_)?dropout\w*(?=\()")
"""Functions that drop out: no layer tells of them."""


def run(job: Job, bench: Bench) -> Verdict:
    """Whether what is drawn is another thing in a second process, and the same where the processes start alike."""
    if any("torchvision" in file.text for file in job.program.files):
        # Here, that it is not imported in every process anew.
        load_torchvision()
    subject = job.settings.get("subject")
    if subject == "workers":
        return verdict_on_workers(job, bench)
    if subject == "evaluation":
        return verdict_on_evaluation(job, bench)
    return _Repetition(job, bench).verdict()


class _Repetition:
    def __init__(self, job: Job, bench: Bench) -> None:
        self.job = job
        self.bench = bench
        self.asked = Asked.of(job)

    def verdict(self) -> Verdict:
        for name in self.asked.numbers:
            self.bench.assume(
                f"the number that is drawn at {self.asked.place(name)} is known, and the same in both runs"
            )
        one, two, again = self.drawn(Start(1), Start(2), Start(1))
        lost = next((one.lost[name] for name in self.asked.needed_seeds if name in one.lost), None)
        if lost is not None:
            raise Inconclusive(f"a seed could not be set: {lost}")
        if any(all(generator not in function for function, _ in one.seeds) for generator in self.asked.seeded):
            raise Inconclusive("the seed that the script has is not set on the way to its training")
        if not one.seen:
            self.require_all(one)
        unlike = self.asked.of_blamed(one.unlike(two))
        names = [name for name in unlike if not self.doubt(one, name)]
        if unlike and not names:
            raise Inconclusive(f"{self.spoken(one, unlike)}: {self.doubt(one, unlike[0])}")
        if not names:
            return self.effect_of_option(one, two) if self.asked.option else self.agreement(one, two)
        by_chance = one.unlike(again)
        repeated = [name for name in names if name not in by_chance]
        if not repeated:
            raise Inconclusive(f"two processes differ even where they start alike: {self.spoken(one, names)}")
        return self.difference(one, two, repeated)

    def doubt(self, one: Drawn, name: str) -> str:
        """Why the weights of a watch may not be those that training starts from; empty if they are."""
        if one.seen[name]["kind"] != "weights":
            return ""
        lost = next((one.lost[change] for change in self.asked.changes if change in one.lost), "")
        if lost:
            return f"what may replace these weights failed: {lost}"
        whole = self.asked.part_of(name)
        if whole and whole not in one.seen and self.loads:
            failed = one.lost.get(whole) or one.missing
            return f"they are part of what could not be built and may be loaded{_because(failed)}"
        return ""

    @property
    def loads(self) -> bool:
        """Whether the user's files speak of loading weights."""
        return any(LOADING.search(file.text) for file in self.job.program.files)

    @property
    def dropping(self) -> str:
        """The function that drops out in the user's files; empty if there is none."""
        found = (DROPPING.search(file.text) for file in self.job.program.files)
        return next((each[0] for each in found if each), "")

    def drawn(self, *starts: Start) -> list[Drawn]:
        return drawn_in_processes(self.job, self.bench, self.asked, starts)

    # --- what comes out ----------------------------------------------------------------------------------------------

    def difference(self, one: Drawn, two: Drawn, names: list[str]) -> Verdict:
        """Confirmed: the watches ``names`` differ between two processes, and not between two that start alike."""
        told = self.telling(one, names)
        differ = _merged([self.compared(name, one, two) for name in told])[:6]
        blamed = [each for each in ("torch", "numpy", "random", "own") if each in map(self.asked.generator, names)]
        figures: dict[str, Any] = {"differ": differ, "blamed": blamed}
        samples = next((name for name in told if one.seen[name]["samples"]), None)
        if samples is not None:
            figures["first_samples"] = [one.seen[samples]["samples"], two.seen[samples]["samples"]]
        if any("is not installed" in note for note in self.bench.stood_in):
            self.bench.assume("packages that are not installed seed nothing")
        given = f", both given {self.spoken_option(1)}," if self.asked.option else ""
        listed = " and ".join(_in_words(each) for each in differ[:2])
        return confirmed(f"two new processes{given} draw differently: {listed}; started alike, they agree", **figures)

    def agreement(self, one: Drawn, two: Drawn) -> Verdict:
        """Nothing differs: refuted if all that is drawn was seen, and would differ if something did."""
        self.require_all(one)
        if one.checkpoint:
            raise Inconclusive(f"what is drawn may be replaced by weights that are not there: {one.checkpoint}")
        seen = self.telling(one, self.asked.of_blamed(list(one.seen)))
        told = self.spoken(one, seen)
        figures: dict[str, Any] = {
            "agree": [{"what": one.label(name), "where": self.asked.place(name)} for name in seen]
        }
        if self.asked.loaders:
            return self.agreement_in_workers(one, told, figures)
        drawn = {self.asked.generator(name) for name in seen}
        if all(one.before[each] == one.after[each] for each in drawn if each in one.after):
            raise Inconclusive(f"two processes agree, where nothing was drawn: {told}")
        unlike = [each for each in (*GENERATORS, "own") if each == "own" or one.after.get(each) != two.after.get(each)]
        later = [each for each in unlike if each in self.asked.later]
        if later:
            whose = "a generator of its own" if later[0] == "own" else later[0]
            raise Inconclusive(f"two processes agree in {told}, but training goes on to draw from {whose}, unseeded")
        layer = one.drawing or self.dropping
        if layer and "torch" in unlike:
            raise Inconclusive(f"two processes agree in {told}, but {layer} draws in every step, unseeded")
        differ = [each for each in unlike if each in drawn]
        if differ:
            return refuted(
                f"two processes whose generators differ draw, and agree in what training starts from: {told}", **figures
            )
        figures["seeds"] = _seeds(one)
        if any(each in function for each in drawn for function, _ in one.seeds):
            self.require_power(told)
            by = _by(one, self.asked.generator(seen[0]))
            return refuted(f"two processes draw the same: {told}; without {by} they do not", **figures)
        return refuted(f"two processes draw the same, from generators that start unlike: {told}", **figures)

    def agreement_in_workers(self, one: Drawn, told: str, figures: dict[str, Any]) -> Verdict:
        """Refuted: the processes that load the samples find the same states."""
        import torch

        self.require_power(told)
        version = str(torch.__version__).partition("+")[0]
        return refuted(
            f"torch {version} seeds the worker processes from its own seed: for their first samples two runs find the "
            f"same: {told}; without {_by(one, 'torch')} they do not",
            **figures,
            seeds=_seeds(one),
        )

    def effect_of_option(self, one: Drawn, two: Drawn) -> Verdict:
        """Something seeds: whether it is the option."""
        (other,) = self.drawn(Start(1, option=2))
        options = f"{self.spoken_option(1)} and {self.spoken_option(2)}"
        names = one.unlike(other)
        if names:
            told = self.spoken(one, self.telling(one, names))
            return refuted(f"with {options} two processes draw differently: {told}", differ=len(names))
        self.require_all(one)
        told = self.spoken(one, self.telling(one, list(one.seen)))
        self.require_power(told)
        return confirmed(
            f"with {options} two processes draw the same: {told}; {_by(one, 'torch')} sets the seed", seeds=_seeds(one)
        )

    def require_power(self, told: str) -> None:
        """Raise if nothing would differ without the seeds."""
        one, two = self.drawn(Start(1, ignoring=True), Start(2, ignoring=True))
        if not self.asked.of_blamed(one.unlike(two)):
            raise Inconclusive(f"two processes agree, and do so without any seed that is known: {told}")

    @property
    def given(self) -> list[str]:
        """What the script must be given to find its data: the arguments that it insists on."""
        return [note for note in self.bench.stood_in if note.startswith("the required argument ")]

    def require_all(self, one: Drawn) -> None:
        """Raise what is missing if not all that is drawn was seen."""
        reason = one.missing or one.checkpoint or "".join([*self.bench.missing_packages, *self.given][:1])
        for name in self.asked.loaders:
            # A loader that is built under other conditions only is none of this run.
            if name in one.lost and name not in one.seen:
                why = "; ".join(filter(None, (one.lost[name], one.missing or "".join(self.given[:1]))))
                raise Inconclusive(f"no sample of the loader at {self.asked.place(name)} could be loaded: {why}")
        for each in self.asked.drawn:
            wanted = {each["watch"], each["made"], *self.asked.loaders}
            if each["generator"] in self.asked.blamed and not wanted & one.seen.keys():
                because = _because(one.lost.get(each["made"]) or one.lost.get(each["watch"], reason))
                raise Inconclusive(f"{each['label']} ({self.asked.place(each['watch'])}) was not reached{because}")
        if one.stopped:
            raise Inconclusive(reason)

    # --- words -------------------------------------------------------------------------------------------------------

    def telling(self, drawn: Drawn, names: list[str]) -> list[str]:
        """Of the watches those that say most: what is built rather than its parts, models and loaders first."""
        parts = {each["watch"] for each in self.asked.drawn if each["made"] in names and each["made"] != each["watch"]}
        order = {"weights": 0, "order": 1}
        parts |= set() if parts.union(self.asked.loaders) >= set(names) else set(self.asked.loaders)
        outer = [name for name in names if name not in parts] or names
        return sorted(outer, key=lambda name: order.get(drawn.seen[name]["kind"], 2))[:6]

    def compared(self, name: str, one: Drawn, two: Drawn) -> dict[str, Any]:
        """How many parts of a watch differ between two processes."""
        first, second = one.seen[name]["parts"], two.seen[name]["parts"]
        unlike = sum(first.get(part) != second.get(part) for part in {*first, *second})
        kind, what, where = one.seen[name]["kind"], one.label(name), self.asked.place(name)
        return {"what": what, "where": where, "kind": kind, "parts": unlike, "of": len(first)}

    def spoken(self, drawn: Drawn, names: list[str]) -> str:
        """The first two watches in words, with their places."""
        found = dict.fromkeys(f"{drawn.label(name)} ({self.asked.place(name)})" for name in names)
        return " and ".join(list(found)[:2])

    def spoken_option(self, value: int) -> str:
        return f"--{self.asked.option.replace('_', '-')} {value}"


def _merged(compared: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is called alike and stands in one line, as one: the layers of a container."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for each in compared:
        known = found.setdefault((each["what"], each["where"]), {**each, "parts": 0, "of": 0})
        known["parts"] += each["parts"]
        known["of"] += each["of"]
    return list(found.values())


def _in_words(each: dict[str, Any]) -> str:
    count = f" in {each['parts']} of {each['of']} tensors" if each["kind"] == "weights" else ""
    return f"{each['what']} ({each['where']}){count}"


def _seeds(one: Drawn) -> list[dict[str, str]]:
    return [{"by": function, "where": place} for function, place in one.seeds]


def _by(one: Drawn, generator: str) -> str:
    """What has seeded a generator, and where."""
    seeds = [each for each in one.seeds if generator in each[0]] or one.seeds
    return f"{seeds[0][0]} ({seeds[0][1]})" if seeds else "the seed"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
