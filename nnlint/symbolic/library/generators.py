"""The global generators of torch, numpy and random: what seeds them and what draws from them."""

from __future__ import annotations

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.trace import RandomUse, Seed
from nnlint.symbolic.values import Const, Value

ALL = frozenset(("torch", "numpy", "random"))

SEEDS: dict[str, frozenset[str]] = {
    "torch.manual_seed": frozenset(("torch",)),
    "torch.random.manual_seed": frozenset(("torch",)),
    "torch.cuda.manual_seed": frozenset(("cuda",)),
    "torch.cuda.manual_seed_all": frozenset(("cuda",)),
    "numpy.random.seed": frozenset(("numpy",)),
    "random.seed": frozenset(("random",)),
    "pytorch_lightning.seed_everything": ALL,
    "pytorch_lightning.utilities.seed.seed_everything": ALL,
    "lightning_fabric.seed_everything": ALL,
    "transformers.set_seed": ALL,
    "transformers.trainer_utils.set_seed": ALL,
    "accelerate.utils.set_seed": ALL,
    "mmengine.runner.set_random_seed": ALL,
    "mmcv.runner.set_random_seed": ALL,
    "monai.utils.set_determinism": ALL,
    "fastai.torch_core.set_seed": ALL,
}
"""What a call seeds, by its path."""


def _seed(generators: frozenset[str]) -> Handler:
    def seed(call: Call) -> Value:
        call.emit(Seed, generators=generators, value=call.get(0, "seed"), by=call.path)
        return Const(None)

    return seed


def _draw(generator: str, what: str) -> Handler:
    def draw(call: Call) -> Value:
        call.emit(RandomUse, generator=generator, what=what, in_worker=call.executor.in_worker)
        return call.unknown()

    return draw


FUNCTIONS: dict[str, Handler] = {path: _seed(generators) for path, generators in SEEDS.items()}
