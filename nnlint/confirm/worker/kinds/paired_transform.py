"""Whether the target of a sample lies where its picture lies, however the transforms draw.

The subject (a dataset, its transforms, or a function that is handed both) is asked for samples whose pixels tell where
they come from. A draw is repeated with other contents, from the same seeds, until it is known where every pixel went;
what is compared are places, so colours, normalization and class maps do not matter.
"""

from __future__ import annotations

from ..bench import Bench
from ..job import Job
from ..pairs.arrangement import set_up
from ..pairs.characters import verdict_on_characters
from ..pairs.coordinates import verdict_on_places
from ..pairs.flags import verdict_on_flag
from ..pairs.pictures import verdict_on_pictures
from ..pairs.virtual_files import virtual_files
from ..verdict import Inconclusive, Verdict


def run(job: Job, bench: Bench) -> Verdict:
    """Confirmed if picture and target part in some draws and agree where they should; refuted if they always agree."""
    subject = job.settings.get("subject", "dataset")
    if subject == "flag":
        return verdict_on_flag(job, bench)
    if subject == "characters":
        return verdict_on_characters(job, bench)
    experiment = set_up(job, bench)
    trial = experiment.sights.bench
    try:
        with virtual_files(experiment.sights.stage, trial):
            verdict = (
                verdict_on_places(experiment) if experiment.places is not None else verdict_on_pictures(experiment)
            )
        if experiment.sights.decided:
            raise Inconclusive(f"{experiment.sights.decided}, and it decides what happens in a sample")
        return verdict
    finally:
        trial.hand_over(bench)
