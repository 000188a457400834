"""The global generators of torch, numpy and random: what seeds them, what draws from them, what has one of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.trace import RandomUse, Seed
from nnlint.symbolic.values import Attribute, Const, Setting, Tensor, Unknown, Value, resolve_setting

ALL = frozenset(("torch", "numpy", "random"))
TORCH, CUDA, NUMPY, RANDOM = (frozenset((name,)) for name in ("torch", "cuda", "numpy", "random"))
OWN = frozenset(("own",))
"""A generator that is no global one: of a split, of a loader, ``default_rng``."""

# --- what seeds ------------------------------------------------------------------------------------------------------

SEEDS: dict[str, frozenset[str]] = {
    "torch.manual_seed": TORCH,
    "torch.random.manual_seed": TORCH,
    "torch.cuda.manual_seed": CUDA,
    "torch.cuda.manual_seed_all": CUDA,
    "torch.cuda.random.manual_seed": CUDA,
    "torch.cuda.random.manual_seed_all": CUDA,
    "torch.mps.manual_seed": CUDA,
    "numpy.random.seed": NUMPY,
    "random.seed": RANDOM,
    "accelerate.utils.set_seed": ALL,
    "accelerate.utils.random.set_seed": ALL,
    "catalyst.utils.set_global_seed": ALL,
    "detectron2.engine.default_setup": ALL,
    "detectron2.utils.env.seed_all_rng": ALL,
    "fastai.torch_core.set_seed": ALL,
    "fastai.vision.all.set_seed": ALL,
    "ignite.utils.manual_seed": ALL,
    "lightning_fabric.seed_everything": ALL,
    "mmcv.runner.set_random_seed": ALL,
    "mmengine.runner.set_random_seed": ALL,
    "monai.utils.set_determinism": ALL,
    "pytorch_lightning.seed_everything": ALL,
    "pytorch_lightning.utilities.seed.seed_everything": ALL,
    "transformers.enable_full_determinism": ALL,
    "transformers.set_seed": ALL,
    "transformers.trainer_utils.set_seed": ALL,
}
"""What a call seeds, by its path. ``torch.cuda`` has generators of its own: weights are drawn from torch's."""

SEEDING = re.compile(
    r"^_?(?:set|init|initiali[sz]e|fix|setup|reset|make|manual|enable|ensure|apply|control|seed|same|lock|freeze)"
    r"(?=.*(?:seed|random|determin|reproduc))"
    r"|^_?(?:global|random|torch|np|numpy)_?seed(?:ing)?$|^seed(?:_|[A-Z])|^determinis|^reproduc",
    re.IGNORECASE,
)
"""Names of functions that seed, for those that cannot be followed."""

SEED = re.compile(r"(?:^|_)seed$", re.IGNORECASE)
"""Names of a seed."""

ENVIRONMENT = re.compile(r"env|gym|atari|mujoco|dm_control|simulat", re.IGNORECASE)
"""Names of what makes an environment, whose seed is the environment's alone."""

STARTING = re.compile(
    r"^(?:default_)?(?:set_?up|init|initiali[sz]e|bootstrap)(?:_?(?:env|environment|exp|experiment|run|training|all))?$"
)
"""Names of functions that prepare a run, and may seed, among modules of the repository that are not there."""

TABLED = frozenset(("torch", "numpy", "random"))
"""Libraries whose seeding functions are all in :data:`SEEDS`."""

OTHER_GENERATORS = frozenset(
    (
        *("tensorflow", "tf", "keras", "jax", "cupy", "paddle", "mxnet", "dgl", "gym", "gymnasium", "cudf", "cuml"),
        *("numba", "sklearn", "scipy", "torchvision"),
    )
)
"""Libraries whose seeds are those of generators of their own."""


@lru_cache(maxsize=4096)
def speaks_of_seeding(path: str, *, known: bool) -> bool:
    """Whether the name of a function that cannot be followed says that it seeds.

    ``known`` is whether the function belongs to an installed library, rather than to a module nobody can find.
    """
    head, _, _ = path.partition(".")
    name = path.rpartition(".")[2]
    if head != path and (head in TABLED or head in OTHER_GENERATORS):
        return False
    return bool(SEEDING.search(name)) or (not known and (name == "seed" or bool(STARTING.search(name))))


def assume_seed(call: Call) -> None:
    """Write down that a function which cannot be followed is taken to seed every generator."""
    value = call.get(None, "seed") or call.get(0, "seed")
    call.emit(Seed, generators=ALL, value=value, by=call.path.lstrip("."), in_worker=call.executor.in_worker)


def note_unknown(call: Call, *, known: bool) -> None:
    """A call of a function that cannot be followed: it may seed if its name says so, or if it is given a seed."""
    if speaks_of_seeding(call.path, known=known) or (not known and _is_given_seed(call)):
        assume_seed(call)


def _is_given_seed(call: Call) -> bool:
    if call.path.partition(".")[0] in OTHER_GENERATORS or ENVIRONMENT.search(call.path):
        return False
    named = any(SEED.search(name) and not _is_none(value) for name, value in call.arguments.keywords.items())
    given = (value for value in call.arguments.positional if isinstance(value, (Setting, Unknown)))
    return named or any(SEED.search(value.name) for value in given)


def _seed(generators: frozenset[str]) -> Handler:
    def seed(call: Call) -> Value:
        value = next((found for name in ("seed", "a") if (found := call.get(0, name))), None)
        if value is None and call.path in ("random.seed", "numpy.random.seed") and not call.arguments.star:
            return Const(None)  # seeds from the clock, which is no seed
        resolved = resolve_setting(value)
        if resolved is value and isinstance(resolved, Const) and resolved.value is None:
            return Const(None)
        call.emit(Seed, generators=generators, value=value, by=call.path, in_worker=call.executor.in_worker)
        return Const(None)

    return seed


FUNCTIONS: dict[str, Handler] = {path: _seed(generators) for path, generators in SEEDS.items()}

OBJECT_METHODS: dict[tuple[str, str], Handler] = {
    (kind, "manual_seed"): lambda call: call.receiver or Unknown() for kind in ("generator", "unknown")
}


# --- what draws ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Switch:
    """An argument, under any of its names, that decides whether a call draws: it does where the argument is ``on``."""

    names: tuple[str, ...]
    position: int | None
    default: bool
    on: bool


@dataclass(frozen=True, slots=True)
class Draw:
    """A function that draws from a global generator, unless an argument brings or seeds another one."""

    generator: str
    what: str
    seeded_by: str = ""
    position: int | None = None
    """Of the argument ``seeded_by``."""
    switch: Switch | None = None


def spoken(path: str) -> str:
    """How a script would write the dotted name of a library."""
    for prefix, short in (
        ("numpy.", "np."),
        ("torch.nn.functional.", "F."),
        ("torch.nn.", "nn."),
        ("torchvision.models.", "models."),
        ("sklearn.model_selection.", ""),
    ):
        if path.startswith(prefix):
            return short + path[len(prefix) :]
    return path


INITIALIZES = "draws the initial weights"
SPLITS = "draws the split"

NAMES: tuple[tuple[str, str, str, str], ...] = (
    (
        "torch",
        "torch",
        "rand randn randint randperm normal bernoulli multinomial poisson rand_like randn_like randint_like",
        "draws numbers",
    ),
    (
        "torch.nn.init",
        "torch",
        (
            "uniform_ normal_ trunc_normal_ xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_ "
            "orthogonal_ sparse_ uniform normal xavier_uniform xavier_normal kaiming_uniform kaiming_normal "
            "orthogonal sparse"
        ),
        INITIALIZES,
    ),
    (
        "numpy.random",
        "numpy",
        (
            "rand randn randint random random_sample ranf sample random_integers uniform normal choice shuffle "
            "permutation beta binomial chisquare dirichlet exponential f gamma geometric gumbel laplace logistic "
            "lognormal multinomial multivariate_normal pareto poisson power rayleigh standard_cauchy "
            "standard_exponential standard_gamma standard_normal standard_t triangular vonmises wald weibull zipf "
            "bytes"
        ),
        "draws numbers",
    ),
    (
        "random",
        "random",
        (
            "random randint randrange choice choices sample shuffle uniform gauss normalvariate betavariate "
            "expovariate gammavariate lognormvariate paretovariate triangular vonmisesvariate weibullvariate "
            "getrandbits randbytes binomialvariate"
        ),
        "draws numbers",
    ),
)
"""Modules, the generator that their functions draw from, and the functions."""

PRETRAINED = Switch(("pretrained", "weights"), 0, default=False, on=False)
SHUFFLED = Switch(("shuffle",), None, default=True, on=True)
SHUFFLED_IF_ASKED = Switch(("shuffle",), 1, default=False, on=True)

DRAWS: dict[str, Draw] = {
    **{
        f"{module}.{name}": Draw(generator, f"{spoken(f'{module}.{name}')} {what}", "generator")
        for module, generator, names, what in NAMES
        for name in names.split()
    },
    **{
        f"sklearn.{module}.train_test_split": Draw(
            "numpy", f"train_test_split {SPLITS}", "random_state", switch=SHUFFLED
        )
        for module in ("model_selection", "cross_validation")
    },
    **{
        f"sklearn.model_selection.{name}": Draw("numpy", f"{name} {SPLITS}", "random_state")
        for name in ("ShuffleSplit", "StratifiedShuffleSplit", "GroupShuffleSplit", "RepeatedKFold")
    },
    **{
        f"sklearn.model_selection.{name}": Draw("numpy", f"{name} {SPLITS}", "random_state", 2, SHUFFLED_IF_ASKED)
        for name in ("KFold", "StratifiedKFold", "StratifiedGroupKFold")
    },
    "sklearn.utils.shuffle": Draw("numpy", "sklearn.utils.shuffle draws the order", "random_state"),
    "sklearn.utils.resample": Draw("numpy", "sklearn.utils.resample draws rows", "random_state"),
    "timm.create_model": Draw(
        "torch", f"timm.create_model {INITIALIZES}", switch=Switch(("pretrained",), 1, default=False, on=False)
    ),
    **{
        path: Draw("own", f"{spoken(path)}() takes its state from the clock", name, 0)
        for path, name in (
            ("numpy.random.default_rng", "seed"),
            ("numpy.random.RandomState", "seed"),
            ("random.Random", "x"),
        )
    },
}
"""What a call draws, by its path; ``own`` is a generator of its own that nobody seeds."""

METHOD_DRAWS: dict[str, Draw] = {
    name: Draw("torch", f".{name}() draws numbers", "generator")
    for name in (
        *("normal_", "uniform_", "random_", "bernoulli_", "exponential_", "cauchy_", "geometric_", "log_normal_"),
        *("bernoulli", "multinomial"),
    )
}
"""Methods of tensors that draw."""

ARCHITECTURE = re.compile(
    r"(?:alexnet|convnext|deeplab|densenet|efficientnet|fasterrcnn|fcn|fcos|googlenet|inception|keypointrcnn|lraspp"
    r"|maskrcnn|maxvit|mc3|mnasnet|mobilenet|mvit|r2plus1d|r3d|raft|regnet|resnet|resnext|retinanet|s3d|shufflenet"
    r"|squeezenet|ssd|swin|vgg|vit|wide_resnet)"
)
"""Names of the functions of torchvision that build a model."""

MODEL = re.compile(
    r"(?:transformers|diffusers)\.(?:\w+\.)*[A-Z]\w*(?:Model|For[A-Z]\w+)$|segmentation_models_pytorch\.[A-Z]\w+$"
    r"|torch_geometric\.nn\.(?:\w+\.)*[A-Z]\w*Conv$|monai\.networks\.nets\.[A-Z]\w+$"
)
"""Classes of libraries whose objects draw weights when they are built: those of transformers by a configuration."""

DATA_FRAME_SAMPLE = Draw("numpy", "DataFrame.sample draws rows", "random_state")


def _own_seed(call: Call) -> None:
    """``generator.manual_seed(0)``."""
    call.emit(Seed, generators=OWN, value=call.get(0, "seed"), by="torch.Generator", in_worker=call.executor.in_worker)


def note_call(call: Call) -> None:
    """Write down what a call of a library's function does to the generators."""
    draw = DRAWS.get(call.path)
    if draw is not None:
        _note(call, draw)
    elif call.path.startswith("torchvision.models."):
        name = call.path.rpartition(".")[2]
        if ARCHITECTURE.match(name):
            _note(call, Draw("torch", f"models.{name} {INITIALIZES}", switch=PRETRAINED))
    elif MODEL.match(call.path):
        _note(call, Draw("torch", f"{call.path.rpartition('.')[2]} {INITIALIZES}"))


def note_method(call: Call) -> None:
    """Write down what a method that cannot be followed draws or seeds."""
    name = call.path[1:]
    if name in METHOD_DRAWS and isinstance(call.receiver, (Attribute, Tensor, Unknown)):
        _note(call, METHOD_DRAWS[name])
    elif name == "sample" and call.get(None, "frac") is not None:
        _note(call, DATA_FRAME_SAMPLE)
    elif name == "manual_seed":
        _own_seed(call)
    elif speaks_of_seeding(name, known=True):
        assume_seed(call)


def _note(call: Call, draw: Draw) -> None:
    worker = call.executor.in_worker
    given = call.get(draw.position, draw.seeded_by) if draw.seeded_by else None
    if given is not None and not _is_none(given):
        if isinstance(resolve_setting(given), Const):
            call.emit(Seed, generators=OWN, value=given, by=call.path, in_worker=worker)
    elif _draws(call, draw):
        call.emit(RandomUse, generator=draw.generator, what=draw.what, in_worker=worker)


def _draws(call: Call, draw: Draw) -> bool:
    """Whether the arguments leave something to draw; not where nobody knows."""
    if draw.switch is None:
        return not (call.arguments.star and draw.seeded_by)
    given = next((value for name in draw.switch.names if (value := call.get(None, name)) is not None), None)
    if given is None and draw.switch.position is not None:
        given = call.get(draw.switch.position, "")
    if given is None:
        return draw.switch.default == draw.switch.on and not call.arguments.star
    resolved = resolve_setting(given)
    return isinstance(resolved, Const) and bool(resolved.value) == draw.switch.on


def _is_none(value: Value) -> bool:
    return isinstance(value, Const) and value.value is None
