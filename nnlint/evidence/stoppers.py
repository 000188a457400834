"""Early stopping that a framework does: after how many epochs without progress it ends a run, and of what length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nnlint.evidence.leaves import by_default
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Fit, Run
from nnlint.symbolic.values import Arguments, Const, Object, Sequence, Value, resolve_setting


@dataclass(frozen=True, slots=True)
class Option:
    """An argument of a callback: its place, counted from 0, its name, and what it is unless it is given."""

    position: int | None
    name: str
    default: float


CALLBACKS = {
    ("pytorch_lightning", "EarlyStopping"): Option(2, "patience", 3),
    ("transformers", "EarlyStoppingCallback"): Option(0, "early_stopping_patience", 1),
    ("fastai", "EarlyStoppingCallback"): Option(3, "patience", 1),
    ("skorch", "EarlyStopping"): Option(1, "patience", 5),
    ("poutyne", "EarlyStopping"): Option(None, "patience", 0),
}
"""The callbacks that end a run, by library and class, and their patience."""


@dataclass(frozen=True, slots=True, eq=False)
class Stopper:
    """A callback that ends a run of ``epochs`` after ``patience`` epochs without progress; ``given``: said so."""

    callback: Object
    patience: float
    epochs: float
    given: bool


def stoppers(run: Run) -> Iterator[Stopper]:
    """The callbacks of the trainings of a run that look at a figure after each epoch."""
    for fit in run.of(Fit):
        trainer = fit.trainer
        if not isinstance(trainer, Object) or fit.arguments is None:
            continue
        epochs, every = length_of(fit, trainer), interval(fit, trainer)
        for callback in (*callbacks(trainer.arguments), *callbacks(fit.arguments)):
            option = CALLBACKS.get((callback.path.partition(".")[0], callback.name))
            if option is None or callback.arguments.star or epochs is None or every is None:
                continue
            given = callback.arguments.get(option.position, option.name)
            patience = option.default if given is None else number(given)
            if patience is not None:
                yield Stopper(callback, max(patience, 1) * every, epochs, given is not None)


def callbacks(arguments: Arguments) -> Iterator[Object]:
    """The callbacks that a trainer, or its ``fit``, is given."""
    for name in ("callbacks", "cbs"):
        yield from _objects(arguments.get(None, name))


def _objects(value: Value | None, depth: int = 3) -> Iterator[Object]:
    value = by_default(resolve_setting(value))
    if isinstance(value, Object):
        yield value
    elif isinstance(value, Sequence) and depth:
        for item in value.items:
            yield from _objects(item, depth - 1)


def length_of(fit: Fit, trainer: Object) -> float | None:
    """The epochs that a run may last, None where they are not said."""
    if fit.framework == "transformers":
        options = training_arguments(trainer)
        return None if options is None else number(options.get(None, "num_train_epochs"))
    assert fit.arguments is not None
    names = ("n_epoch", "epochs") if fit.framework == "fastai" else ("max_epochs", "epochs")
    for arguments in (fit.arguments, trainer.arguments):
        for name in names:
            given = arguments.get(0 if fit.framework == "fastai" and arguments is fit.arguments else None, name)
            if given is not None:
                return number(given)
    return None


def interval(fit: Fit, trainer: Object) -> float | None:
    """Every how many epochs the figure is looked at, None where that is not known."""
    if fit.framework == "transformers":
        options = training_arguments(trainer)
        told = [] if options is None else [options.get(None, f"{word}_strategy") for word in ("eval", "evaluation")]
        return 1.0 if any(_says(value, "epoch") for value in told) else None
    if fit.framework != "pytorch_lightning":
        return 1.0
    if any(trainer.arguments.get(None, name) is not None for name in ("val_check_interval", "min_epochs", "min_steps")):
        return None
    every = trainer.arguments.get(None, "check_val_every_n_epoch")
    return 1.0 if every is None else number(every)


def training_arguments(trainer: Object) -> Arguments | None:
    """The arguments of the ``TrainingArguments`` that a Trainer of transformers is given."""
    options = resolve_setting(trainer.arguments.get(1, "args"))
    return options.arguments if isinstance(options, Object) else None


def _says(value: Value | None, word: str) -> bool:
    told = resolve_setting(value)
    return isinstance(told, Const) and told.value == word
