"""Frameworks that run the training loop themselves: Lightning, transformers, fastai, ignite, DeepSpeed, skorch."""

from __future__ import annotations

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.library import training
from nnlint.symbolic.library.generators import ALL
from nnlint.symbolic.trace import Backward, Build, Fit, RandomUse, Seed, Step
from nnlint.symbolic.values import (
    Arguments,
    Const,
    Function,
    Instance,
    Method,
    Object,
    Partial,
    Sequence,
    Symbol,
    Unknown,
    Value,
)

KINDS: dict[str, str] = {
    "pytorch_lightning.Trainer": "trainer",
    "transformers.Trainer": "trainer",
    "transformers.Seq2SeqTrainer": "trainer",
    "transformers.trainer.Trainer": "trainer",
    "trl.SFTTrainer": "trainer",
    "trl.DPOTrainer": "trainer",
    "trl.RewardTrainer": "trainer",
    "sentence_transformers.SentenceTransformerTrainer": "trainer",
    "ignite.engine.Engine": "engine",
    "fastai.learner.Learner": "learner",
    "fastai.vision.all.Learner": "learner",
    "fastai.basics.Learner": "learner",
    "skorch.NeuralNet": "learner",
    "skorch.NeuralNetClassifier": "learner",
    "skorch.NeuralNetBinaryClassifier": "learner",
    "skorch.NeuralNetRegressor": "learner",
    "poutyne.Model": "learner",
    "torchbearer.Trial": "learner",
}

SELF_SEEDING = tuple(path for path in KINDS if path.startswith(("transformers.", "trl.", "sentence_transformers.")))
"""Trainers that seed every generator themselves, with the seed of their arguments (42 unless told otherwise)."""

LEARNERS = frozenset(
    f"fastai.{module}.{name}"
    for module in ("vision.all", "vision.learner", "text.all", "tabular.all", "collab")
    for name in ("vision_learner", "cnn_learner", "unet_learner", "text_classifier_learner", "tabular_learner")
)


# --- training is reached ---------------------------------------------------------------------------------------------


def framework_of(trainer: Value) -> str:
    """The library whose loop an object runs: the first part of its path, or of its class's library base."""
    if isinstance(trainer, Object):
        return trainer.path.partition(".")[0]
    if isinstance(trainer, Instance):
        return next((path.partition(".")[0] for path in trainer.cls.libraries()), "")
    return ""


def _fit(call: Call) -> Value:
    assert call.receiver is not None
    if isinstance(call.receiver, Object) and call.receiver.path in SELF_SEEDING:
        call.emit(Seed, generators=ALL, value=None, by=call.receiver.path)
    call.emit(Fit, trainer=call.receiver, framework=framework_of(call.receiver), arguments=call.arguments)
    return Const(None)


def _instance_fit(call: Call) -> Value:
    """``fit`` or ``train`` that an object of the repository inherits from a framework."""
    receiver = call.receiver
    assert isinstance(receiver, Instance)
    base = next((path for path in receiver.cls.libraries() if KINDS.get(path) in ("trainer", "learner")), None)
    if base is None:
        return training.OBJECT_METHODS["instance", "train"](call) if call.path == ".train" else call.unknown()
    if base in SELF_SEEDING:
        call.emit(Seed, generators=ALL, value=None, by=base)
    call.emit(Fit, trainer=receiver, framework=base.partition(".")[0], arguments=call.arguments)
    return Const(None)


# --- Lightning -------------------------------------------------------------------------------------------------------


def _trainer(call: Call) -> Value:
    """``Trainer.from_argparse_args(args)``."""
    trainer = Object("pytorch_lightning.Trainer", "trainer", Arguments(star=True), origin=call.origin())
    call.emit(Build, value=trainer)
    return trainer


def _command_line(call: Call) -> Value:
    """``LightningCLI(Model, Data)``: seeds, by default with a number that it draws and prints, and fits."""
    off = call.get(None, "seed_everything_default")
    if not (isinstance(off, Const) and off.value is False):
        call.emit(Seed, generators=ALL, value=None, by=call.path)
    trainer = Object("pytorch_lightning.Trainer", "trainer", Arguments(star=True), origin=call.origin())
    run = call.get(None, "run")
    if not (isinstance(run, Const) and run.value is False):
        call.emit(Fit, trainer=trainer, framework="pytorch_lightning")
    return call.unknown()


# --- fastai ----------------------------------------------------------------------------------------------------------


def _learner(call: Call) -> Value:
    call.emit(RandomUse, generator="torch", what=f"{call.path.rpartition('.')[2]} draws the weights of the head")
    learner = Object(call.path, "learner", call.arguments, origin=call.origin())
    call.emit(Build, value=learner)
    return learner


# --- ignite ----------------------------------------------------------------------------------------------------------


def _supervised(call: Call) -> Value:
    """``create_supervised_trainer(model, optimizer, loss)``: an engine with a step of its own."""
    engine = Object("ignite.engine.Engine", "engine", call.arguments, {"supervised": Const(True)}, origin=call.origin())
    call.emit(Build, value=engine)
    return engine


def _run_engine(call: Call) -> Value:
    """An engine calls the function of the script for each batch; it trains if that steps."""
    engine = call.receiver
    assert isinstance(engine, Object)
    if "supervised" in engine.attributes:
        return _fit(call)
    step = engine.arguments.get(0, "process_function")
    before = len(call.executor.run.events)
    if isinstance(step, (Function, Method, Partial)):
        call.call(step, engine, Unknown("batch"))
    if any(isinstance(event, (Step, Backward)) for event in call.executor.run.events[before:]):
        return _fit(call)
    return Const(None)


# --- DeepSpeed -------------------------------------------------------------------------------------------------------


def _deepspeed(call: Call) -> Value:
    """``deepspeed.initialize``: the engine, which is called like the model, steps and goes backward."""
    model = call.get(1, "model")
    engine = Object("deepspeed.DeepSpeedEngine", "deepspeed", call.arguments, origin=call.origin())
    if model is not None:
        engine.children.append(model)
        engine.attributes["module"] = model
    optimizer = call.get(2, "optimizer") or engine
    return Sequence("tuple", [engine, optimizer, Unknown("loader"), Unknown("scheduler")])


def _call_engine(call: Call) -> Value:
    engine = call.receiver
    assert isinstance(engine, Object)
    if not engine.children:
        return call.unknown()
    return call.executor.call(engine.children[0], call.arguments, call.node)


def _step_engine(call: Call) -> Value:
    call.emit(Step, optimizer=call.receiver or Symbol())
    return Const(None)


def _step_on_tpu(call: Call) -> Value:
    """``xm.optimizer_step(optimizer)``."""
    call.emit(Step, optimizer=call.get(0, "optimizer") or Symbol())
    return Const(None)


# --- tables ----------------------------------------------------------------------------------------------------------

FUNCTIONS: dict[str, Handler] = {
    "pytorch_lightning.Trainer.from_argparse_args": _trainer,
    "pytorch_lightning.cli.LightningCLI": _command_line,
    "pytorch_lightning.utilities.cli.LightningCLI": _command_line,
    "ignite.engine.create_supervised_trainer": _supervised,
    "deepspeed.initialize": _deepspeed,
    "torch_xla.core.xla_model.optimizer_step": _step_on_tpu,
    **dict.fromkeys(LEARNERS, _learner),
}

OBJECT_METHODS: dict[tuple[str, str], Handler] = {
    **{("trainer", name): _fit for name in ("fit", "train", "run")},
    **{
        ("learner", name): _fit
        for name in ("fit", "fit_one_cycle", "fit_flat_cos", "fine_tune", "fit_generator", "partial_fit", "run")
    },
    ("instance", "fit"): _instance_fit,
    ("instance", "train"): _instance_fit,
    ("engine", "run"): _run_engine,
    ("deepspeed", "__call__"): _call_engine,
    ("deepspeed", "step"): _step_engine,
}
