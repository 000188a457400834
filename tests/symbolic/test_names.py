"""Names: imports under any alias, re-bindings, attributes, modules of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnlint.symbolic.trace import Backward, Build, Loss, Seed, Step
from nnlint.symbolic.values import Const, Instance, Object
from tests.symbolic.reading import events, probe, read


@pytest.mark.parametrize(
    "code",
    [
        "import torch.nn.functional as F\nF.mse_loss(a, b)",
        "from torch.nn import functional\nfunctional.mse_loss(a, b)",
        "import torch\ntorch.nn.functional.mse_loss(a, b)",
        "from torch import nn as layers\nlayers.functional.mse_loss(a, b)",
        "from torch.nn.functional import mse_loss as distance\ndistance(a, b)",
        "from torch.nn.functional import *\nmse_loss(a, b)",
        "import torch\nf = torch.nn\ng = f.functional\ng.mse_loss(a, b)",
        "from torch import nn\ncriterion = nn.MSELoss()\ncriterion(a, b)",
        "from torch.nn.modules.loss import MSELoss\nMSELoss()(a, b)",
        "from torch.nn import *\nMSELoss()(a, b)",
        "import torch, functools\nf = functools.partial(torch.nn.functional.mse_loss, reduction='sum')\nf(a, b)",
        "import torch\nlosses = {'l2': torch.nn.MSELoss()}\nlosses['l2'](a, b)",
        "import torch\nf = lambda p, t: torch.nn.functional.mse_loss(p, t)\nf(a, b)",
        "import torch\ngetattr(torch.nn, 'MSELoss')()(a, b)",
        "import torch\n(x := torch.nn.MSELoss())(a, b)",
        "try:\n    import torch\nexcept ImportError:\n    torch = None\ntorch.nn.functional.mse_loss(a, b)",
    ],
)
def test_library_names(code: str) -> None:
    assert [event.function for event in events(code, Loss)] == ["mse_loss"]


def test_attributes_of_self() -> None:
    code = """
        from torch import nn, optim

        class Trainer:
            def __init__(self, model):
                self.model = model
                self.optimizer = optim.Adam(self.model.parameters())
                self.criterion = nn.CrossEntropyLoss()

            def step(self, x, y):
                loss = self.criterion(self.model(x), y)
                loss.backward()
                self.optimizer.step()

        trainer = Trainer(nn.Linear(3, 4))
        trainer.step(x, y)
    """
    (step,) = events(code, Step)
    assert isinstance(step.optimizer, Object) and step.optimizer.path == "torch.optim.Adam"
    assert len(events(code, Backward)) == 1


def test_modules_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/__init__.py").write_text("from .helper import fix as fix\n")
    (tmp_path / "pkg/helper.py").write_text(
        "import random\nfrom . import values\ndef fix():\n    random.seed(values.SEED)\n"
    )
    (tmp_path / "pkg/values.py").write_text("SEED = 7\n")
    for statement in (
        "from pkg import fix; fix()",
        "import pkg; pkg.fix()",
        "import pkg.helper; pkg.helper.fix()",
        "import pkg.helper as h; h.fix()",
        "from pkg.helper import *; fix()",
        "from pkg.helper import fix as f; f()",
    ):
        (value,) = probe(statement, tmp_path)
        assert isinstance(value, Const) and value.value == 7, statement


def test_source_folder_and_namespace_package(tmp_path: Path) -> None:
    (tmp_path / "src/deep/er").mkdir(parents=True)
    (tmp_path / "src/deep/er/seeds.py").write_text("import random\ndef fix(n): random.seed(n)\n")
    (value,) = probe("from deep.er.seeds import fix\nfix(3)", tmp_path)
    assert isinstance(value, Const) and value.value == 3
    (value,) = probe("import deep.er.seeds\ndeep.er.seeds.fix(4)", tmp_path)
    assert isinstance(value, Const) and value.value == 4


def test_cycles_and_missing_modules(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from b import g\ndef f(): return g()\nfrom gone import nothing\n")
    (tmp_path / "b.py").write_text("from a import f, missing\nimport random\ndef g(): random.seed(1)\n")
    assert len(probe("from a import f\nfrom nowhere import x\nx.y(1)\nf()", tmp_path)) == 1


def test_effects_of_an_import(tmp_path: Path) -> None:
    (tmp_path / "fixed.py").write_text("import torch\ntorch.manual_seed(3)\n")
    (tmp_path / "other.py").write_text("import fixed\n")
    (seed,) = events("import other\nimport fixed\n", Seed, tmp_path)
    assert seed.generators == {"torch"} and seed.place.source.path.name == "fixed.py"


def test_inheritance_inside_the_repository(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(
        "class Base:\n    rate = 3\n    def run(self):\n        self.step(self.rate)\n    def step(self, n): pass\n"
    )
    code = """
        from base import Base
        class Child(Base):
            def step(self, n):
                super().step(n)
                random.seed(n)
        Child().run()
    """
    (value,) = probe(code, tmp_path)
    assert isinstance(value, Const) and value.value == 3


def test_runs_do_not_see_each_other() -> None:
    code = """
        import torch
        state = {"loss": None}
        def first():
            state["loss"] = torch.nn.MSELoss()
        def second(a, b):
            state["loss"](a, b)
    """
    assert events(code, Loss) == []
    assert [run.root for run in read(code).runs] == ["", "first"]


def test_objects_that_are_built() -> None:
    built = [event.value for event in events("class A:\n    pass\nA()\nimport torch\ntorch.nn.Linear(1, 2)", Build)]
    assert isinstance(built[0], Instance) and isinstance(built[1], Object)
