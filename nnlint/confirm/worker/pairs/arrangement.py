"""The dataset or function, set up with pictures, values and types that its lines accept."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..anything import is_missing, reason
from ..bench import Bench
from ..job import Job
from ..program import Program
from ..verdict import Inconclusive
from .coded_pictures import LEVELS, SIZES, Stage, pattern, surface
from .draws import DIGITS
from .places import FORMS, Places
from .sightings import Sights, disagreement
from .subjects import EXTENTS, Subject, arguments_for, built, call_of_class, dataset_of, item_of
from .virtual_files import SAMPLES, virtual_files

KINDS = ("pil", "array", "tensor")
"""The types that pictures are handed to a function in, tried in turn."""


@dataclass
class Experiment:
    """What looks, at what, and the healthy case: with ``control`` set, picture and target should agree."""

    sights: Sights
    names: tuple[str, str]
    places: Places | None
    control: Control

    @property
    def size(self) -> str:
        """The size of the pictures, in words."""
        return f"{self.sights.stage.width} x {self.sights.stage.height} px"

    @property
    def step(self) -> float:
        """The step that places are read off in, in pixels of the stage."""
        return max(self.sights.stage.height, self.sights.stage.width) / (1 << DIGITS)

    def unmoved(self, draws: int) -> Inconclusive:
        """That the picture always lies in the same place, and why, as far as it is known."""
        picture = self.names[0]
        why = self.sights.decided or self.sights.program.why_missing()
        if self.control.expected and not self.control.possible:
            return Inconclusive(f"what moves {picture} does not run in {draws} draws{': ' if why else ''}{why}")
        return Inconclusive(f"{picture} is not moved in any of {draws} draws, as far as its pixels tell")

    def require_run(self, draws: int) -> None:
        """Make sure that the accused lines did run.

        Raises:
            Inconclusive: they did not.
        """
        if self.control.expected and not self.control.possible:
            raise Inconclusive(f"what moves {self.names[0]} did not run in {draws} draws")


@dataclass
class Control:
    """The accused movement left out, or all calls of a draw begun with the same generators; ``words`` say which.

    It is ``expected`` if the movement is watched, and ``possible`` as soon as it has been seen.
    """

    words: str
    expected: bool
    on: bool = False
    possible: bool = False
    again: Callable[[], None] = field(default=lambda: None)
    before: Any = None

    def unmoved(self, value: Any) -> Any:
        """Is shown the picture before the accused movement."""
        self.before = value
        return value

    def moved(self, value: Any) -> Any:
        """Is shown the picture after it; gives what was there before while the control is on."""
        self.possible = True
        return _in_the_place_of(value, self.before) if self.on else value

    def drawing(self, function: Any) -> Any:
        """Is shown what draws; while the control is on it begins with the same generators whenever it is called."""
        self.possible = True
        if not self.on or is_missing(function):
            return function

        def alike(*args: Any, **kwargs: Any) -> Any:
            self.again()
            return function(*args, **kwargs)

        return alike


def _in_the_place_of(value: Any, before: Any) -> Any:
    """A picture before it was moved, in the type of what came out."""
    if isinstance(value, dict):
        return {**value, "image": _in_the_place_of(value.get("image"), before)}
    import torch

    if isinstance(value, torch.Tensor) and not isinstance(before, torch.Tensor):
        plain = surface(before)
        if plain is not None:
            return (plain / 255 if value.is_floating_point() else plain).to(value.dtype)
    return before


def set_up(job: Job, bench: Bench) -> Experiment:
    """The subject with pictures, values and types that its lines accept, and that both parts come out with.

    Raises:
        Inconclusive: there are none.
    """
    reasons: list[str] = []
    for extent in EXTENTS:
        before: set[str] = set()
        for size in SIZES:
            failures: list[str] = []
            for arrangement in _arrangements(job, size):
                trial = bench.another()
                try:
                    experiment = _arranged(job, trial, arrangement, extent)
                    _see_to_it(experiment)
                    return experiment
                except Inconclusive as failure:
                    failures.append(str(failure))
            reasons += failures
            if set(failures) == before:
                # It is not for want of pixels.
                break
            before = set(failures)
        if not any(repr(extent) in each for each in trial.assumptions):
            break
    trial.hand_over(bench)
    raise Inconclusive("; ".join([max(reasons, key=reasons.count), *trial.missing_packages]))


@dataclass(frozen=True)
class _Arrangement:
    """Height and width of the pictures, levels and colour of the target, the types that parts are handed over in."""

    size: tuple[int, int]
    kind: str
    form: str = ""
    levels: tuple[int, int] = LEVELS[0]
    colour: bool = False


def _arrangements(job: Job, size: tuple[int, int]) -> Iterator[_Arrangement]:
    settings = job.settings
    known = settings.get("subject") != "function" and settings.get("picture_read")
    if settings["coordinates"]:
        yield from (_Arrangement(size, kind, form) for kind in (KINDS[:1] if known else KINDS) for form in FORMS)
        return
    for kind in KINDS[:1] if known and settings.get("target_read") else KINDS:
        yield from (_Arrangement(size, kind, levels=levels) for levels in LEVELS)
        yield _Arrangement(size, kind, colour=True)


def _arranged(job: Job, bench: Bench, arrangement: _Arrangement, extent: Any) -> Experiment:
    settings = {**job.settings, "extent": extent}
    stage = Stage(arrangement.size, arrangement.levels, colour=arrangement.colour)
    coordinates, kind = settings["coordinates"], arrangement.kind
    places = Places(coordinates, *arrangement.size, arrangement.form) if coordinates else None
    program = Program(job.program, bench)
    alike = "once both draw the same numbers they match"
    words = alike if settings["alike"] else "once the accused transform is left out they match"
    control = Control(
        words, any(watch.name in ("moved", "drawing") for file in job.program.files for watch in file.watches)
    )
    bench.stand_in(SAMPLES)

    def picture() -> Any:
        return stage.picture(settings.get("picture_read") or kind, is_target=False)

    def target() -> Any:
        return places.given() if places else stage.picture(settings.get("target_read") or kind, is_target=True)

    program.supply.update(picture=picture, target=target)
    program.see.update(
        picture=lambda value: stage.like(value, is_target=False),
        target=lambda value: stage.like(value, is_target=True),
        unmoved=control.unmoved,
        moved=control.moved,
        drawing=control.drawing,
    )
    program.prepare()
    with virtual_files(stage, bench):
        subject, paths = _subject(program, settings, bench, control, picture, target)
    names = settings["names"]
    sights = Sights(program, subject, stage, paths, bench, coordinates=bool(coordinates))
    control.again = sights.restart
    return Experiment(sights, (names[0], names[1]), places, control)


def _subject(
    program: Program,
    settings: dict[str, Any],
    bench: Bench,
    control: Control,
    picture: Callable[[], Any],
    target: Callable[[], Any],
) -> tuple[Subject, tuple[Any, Any]]:
    """What is asked for samples, and where picture and target lie in them."""
    subject = settings.get("subject", "dataset")
    if subject == "transforms":
        cls, args, kwargs = call_of_class(program, settings, bench)
        transforms = _transforms(cls, args, kwargs, control)
        return Subject(transforms, lambda state, index: state(picture(), target())), ([0], [1])
    paths = settings["picture"], settings["target"]
    if subject == "function":
        return _function(program, settings, bench, picture, target), paths
    return Subject(dataset_of(program, settings, bench), item_of), paths


def _transforms(cls: Any, args: Any, kwargs: Any, control: Control) -> Callable[[Any, Any], Any]:
    """What a dataset of torchvision does to image and target, by torchvision's own hands."""
    from torchvision.datasets.vision import StandardTransform

    given = inspect.signature(cls).bind_partial(*args, **kwargs).arguments
    if given.get("transforms") is not None:
        return given["transforms"]  # type: ignore[no-any-return]
    own, others = given.get("transform"), given.get("target_transform")
    for each in (own, others):
        if is_missing(each):
            raise Inconclusive(reason(each))
    control.possible = True

    def image_transform(image: Any) -> Any:
        if control.on and others is not None:
            control.again()
            return others(image)
        return image if control.on or own is None else own(image)

    def target_transform(target: Any) -> Any:
        if control.on:
            control.again()
        return target if others is None else others(target)

    return StandardTransform(image_transform, target_transform)  # type: ignore[no-any-return]


def _function(
    program: Program,
    settings: dict[str, Any],
    bench: Bench,
    picture: Callable[[], Any],
    target: Callable[[], Any],
) -> Subject:
    """A function, or a method of an object, that is handed picture and target by the names it has for them."""
    function = program.entry()
    if "method" in settings:
        made = built(function, (), arguments_for(function.__init__, settings, bench), bench)
        function = getattr(made, settings["method"])
    others = arguments_for(function, settings, bench)
    first, second = settings["handed"]
    keys = settings.get("keys", ["", ""])

    def ask(state: Any, index: int) -> Any:
        if first == second:
            return state(**{**others, first: {keys[0]: picture(), keys[1]: target()}})
        return state(**{**others, first: picture(), second: target()})

    return Subject(function, ask)


def _see_to_it(experiment: Experiment) -> None:
    """Make sure that both parts of a sample come out with what is shown, and the same from the same seeds.

    Raises:
        Inconclusive: they do not.
    """
    with virtual_files(experiment.sights.stage, experiment.sights.bench):
        _look(experiment)


def _look(experiment: Experiment) -> None:
    sights, (picture, target) = experiment.sights, experiment.names
    sights.begin(0)
    if not sights.is_repeatable():
        sights.subject.copies = True
        sights.begin(0)
        if not sights.is_repeatable():
            raise Inconclusive("two samples differ, although they were drawn with the same seeds")
    sizes, compared = set(), 0
    for draw in range(3):
        sights.begin(draw)
        seen = sights.both(pattern(sights.stage.height, sights.stage.width))
        if seen is None:
            continue
        if seen.picture is None:
            raise Inconclusive(f"{picture} comes out without what was in it")
        sizes.add(tuple(seen.picture.shape))
        if experiment.places is None and seen.target is None:
            raise Inconclusive(f"{target} comes out without what was in it")
        if experiment.places is not None and not seen.numbers:
            raise Inconclusive(f"{target} does not consist of numbers")
        compared += experiment.places is not None or disagreement(seen.picture, seen.target) is not None
    if not sizes:
        raise Inconclusive("what is drawn depends on the pixels")
    if not compared:
        raise Inconclusive(f"{picture} and {target} cannot be compared")
    if len(sizes) > 1 and (sights.stage.height, sights.stage.width) != SIZES[-1]:
        # A slice of a picture that is too small is cut short.
        raise Inconclusive(f"{picture} comes out in different sizes of a picture of {experiment.size}")
