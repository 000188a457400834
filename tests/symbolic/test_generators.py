"""Seeds and draws: what libraries do to the generators, and who calls the functions of a script."""

from __future__ import annotations

from textwrap import dedent

import pytest

from nnlint.symbolic.library.generators import speaks_of_seeding
from nnlint.symbolic.trace import Backward, Fit, RandomUse, Seed, Step
from tests.symbolic.reading import events


@pytest.mark.parametrize(
    "name",
    [
        *("set_seed", "seed_everything", "seed_all", "seedEverything", "fix_random_seeds", "setup_seed", "init_seed"),
        *("set_random_state", "_set_seed", "manual_seed", "make_deterministic", "set_determinism", "torch_seed"),
        *("enable_reproducibility", "set_global_seeds", "random_seed"),
    ],
)
def test_names_that_speak_of_seeding(name: str) -> None:
    assert speaks_of_seeding(f"tools.{name}", known=True)


@pytest.mark.parametrize(
    "path",
    [
        *("tools.get_seed", "tools.seed", "tools.load_seeds", "tools.generate_seed", "tools.linseed", "tools.setup"),
        *("torch.initial_seed", "tensorflow.random.set_seed", "numpy.random.SeedSequence"),
    ],
)
def test_names_that_do_not(path: str) -> None:
    assert not speaks_of_seeding(path, known=True)


def test_modules_that_are_not_there_may_seed_when_they_start_a_run() -> None:
    assert speaks_of_seeding("missing.setup", known=False)
    assert speaks_of_seeding("missing.seed", known=False)
    assert not speaks_of_seeding("missing.setup_logging", known=False)


@pytest.mark.parametrize(
    ("code", "generators"),
    [
        ("import torch\ntorch.manual_seed(0)", ["torch"]),
        ("import torch\ntorch.cuda.manual_seed_all(0)", ["cuda"]),
        ("import numpy as np\nnp.random.seed(0)", ["numpy"]),
        ("import numpy as np\nnp.random.seed()", []),
        ("import random\nrandom.seed(None)", []),
        ("from random import seed as plant\nplant(3)", ["random"]),
        ("import lightning as L\nL.seed_everything(1)", ["numpy", "random", "torch"]),
        ("import lightning as L\nfabric = L.Fabric()\nfabric.seed_everything(1)", ["numpy", "random", "torch"]),
        ("from elsewhere import set_seed\nset_seed(1)", ["numpy", "random", "torch"]),
        ("import torch\ng = torch.Generator()\ng.manual_seed(0)", ["own"]),
        ("import numpy as np\nrng = np.random.default_rng(0)", ["own"]),
        ("from sklearn.model_selection import train_test_split as s\ns(x, random_state=0)", ["own"]),
        ("env.seed(0)", []),
    ],
)
def test_seeds(code: str, generators: list[str]) -> None:
    assert sorted(name for event in events(code, Seed) for name in event.generators) == generators


@pytest.mark.parametrize(
    ("code", "generators"),
    [
        ("import torch\ntorch.randn(3)", ["torch"]),
        ("import torch\ntorch.randn(3, generator=torch.Generator())", []),
        ("import numpy as np\nnp.random.choice(5)", ["numpy"]),
        ("import numpy as np\nnp.random.default_rng()", ["own"]),
        ("import random\nrandom.shuffle(items)", ["random"]),
        ("from torch import nn\nnn.init.xavier_uniform_(w)", ["torch"]),
        ("weights.normal_(0, 0.02)", ["torch"]),
        ("frame.sample(frac=1)", ["numpy"]),
        ("frame.sample(frac=1, random_state=0)", []),
        ("replay.sample(32)", []),
        ("from sklearn.model_selection import train_test_split\ntrain_test_split(x)", ["numpy"]),
        ("from sklearn.model_selection import train_test_split\ntrain_test_split(x, shuffle=False)", []),
        ("from sklearn.model_selection import KFold\nKFold(5)", []),
        ("from sklearn.model_selection import KFold\nKFold(5, shuffle=True)", ["numpy"]),
        ("from torchvision import models\nmodels.resnet18()", ["torch"]),
        ("from torchvision import models\nmodels.resnet18(pretrained=True)", []),
        ("from torchvision import models\nmodels.resnet18(weights='DEFAULT')", []),
        ("from torchvision import models\nmodels.resnet18(weights=None)", ["torch"]),
        ("import timm\ntimm.create_model('vit')", ["torch"]),
        ("from transformers import GPT2LMHeadModel\nGPT2LMHeadModel(config)", ["torch"]),
        ("from transformers import BertForMaskedLM\nBertForMaskedLM(config)", ["torch"]),
        ("from transformers import BertForMaskedLM\nBertForMaskedLM.from_pretrained('bert')", []),
        ("import segmentation_models_pytorch as smp\nsmp.Unet('resnet34')", ["torch"]),
        ("import timm\ntimm.create_model('vit', pretrained=True)", []),
    ],
)
def test_draws(code: str, generators: list[str]) -> None:
    assert [event.generator for event in events(code, RandomUse)] == generators


TRAIN = """
    import torch

    def train(*args, **kwargs):
        for epoch in range(3):
            loss.backward()
            optimizer.step()
"""


@pytest.mark.parametrize(
    "launch",
    [
        "import fire\nfire.Fire(train)",
        "import typer\ntyper.run(train)",
        "import typer\napp = typer.Typer()\napp.command()(train)\napp()",
        "import click\n@click.group()\ndef cli(): pass\n@cli.command()\ndef go(): train()\ncli()",
        "from absl import app\napp.run(train)",
        "import torch.multiprocessing as mp\nmp.spawn(train, args=(1,), nprocs=2)",
        "from torch.multiprocessing import Process\nProcess(target=train, args=(1,)).start()",
        "from functools import partial\nimport fire\nfire.Fire(partial(train, 1))",
        "import optuna\nstudy = optuna.create_study()\nstudy.optimize(train, n_trials=3)",
        "import ignite.distributed as idist\nwith idist.Parallel() as parallel:\n    parallel.run(train, config)",
        "import wandb\nwandb.agent(sweep, function=train)",
    ],
)
def test_libraries_that_call_a_function_of_the_script(launch: str) -> None:
    assert events(dedent(TRAIN) + launch, Step)


@pytest.mark.parametrize(
    "code",
    [
        "import lightning as L\nL.Trainer().fit(model)",
        "import pytorch_lightning as pl\npl.Trainer.from_argparse_args(args).fit(model)",
        "from lightning.pytorch.cli import LightningCLI\nLightningCLI(Model)",
        "from transformers import Trainer\nTrainer(model).train()",
        "from transformers import Trainer\nclass Mine(Trainer): pass\nMine(model).train()",
        "from fastai.vision.all import *\nvision_learner(dls, resnet34).fine_tune(3)",
        "from ignite.engine import create_supervised_trainer\ncreate_supervised_trainer(m, o, c).run(loader, 5)",
        "from skorch import NeuralNetClassifier\nNeuralNetClassifier(Net).fit(x, y)",
    ],
)
def test_frameworks_that_train(code: str) -> None:
    assert events(code, Fit)


def test_engine_of_deepspeed_steps() -> None:
    code = """
        import deepspeed
        engine, _, loader, _ = deepspeed.initialize(model=model, args=args)
        for batch in loader:
            loss = engine(batch)
            engine.backward(loss)
            engine.step()
    """
    assert events(code, Backward)
    assert events(code, Step)


def test_workers_have_seeds_of_their_own() -> None:
    code = """
        import numpy as np
        from torch.utils.data import DataLoader

        def start(worker_id):
            np.random.seed(worker_id)

        loader = DataLoader(data, worker_init_fn=start)
    """
    assert [event.in_worker for event in events(code, Seed)] == [True]
