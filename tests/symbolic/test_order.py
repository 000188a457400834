# ruff: noqa: E501, ISC004 - scripts of one line each
"""Execution order: what is known of values, and under which conditions and loops things happen."""

from __future__ import annotations

import pytest

from nnlint.symbolic.scalar import evaluate
from nnlint.symbolic.trace import Backward, SchedulerStep, Seed, SetRate, Step
from nnlint.symbolic.values import Carried, Index, Loop, Object
from tests.symbolic.reading import events, probe, read


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("n = 1 + 2 * 3\nrandom.seed(n)", 7),
        ("a, (b, *c) = 1, (2, 3, 4)\nrandom.seed(a + b + c[1])", 7),
        ("def f(a, *rest, k=5, **kw):\n    return a + rest[1] + k + kw['z']\nrandom.seed(f(1, 2, 3, z=4))", 13),
        ("args = (1, 2)\nf = lambda a, b=4: a * b\nrandom.seed(f(*args))", 2),
        ("def f(n=3):\n    return n\nrandom.seed(f())", 3),
        ("def outer(n):\n    def inner():\n        return n + 1\n    return inner\nrandom.seed(outer(4)())", 5),
        ("n = 1\ndef f():\n    global n\n    n = 2\nf()\nrandom.seed(n)", 2),
        (
            "def f():\n    n = 1\n    def g():\n        nonlocal n\n        n = 5\n    g()\n    return n\nrandom.seed(f())",
            5,
        ),
        ("class C:\n    n = 4\nrandom.seed(C.n)", 4),
        ("class C:\n    n = 4\n    @property\n    def m(self): return self.n + 1\nrandom.seed(C().m)", 5),
        ("class C:\n    @staticmethod\n    def f(n): return n\nrandom.seed(C.f(3) + C().f(4))", 7),
        ("class C:\n    @classmethod\n    def make(cls): return cls()\n    n = 3\nrandom.seed(C.make().n)", 3),
        ("with open('x') as f:\n    n = 3\nrandom.seed(n)", 3),
        ("try:\n    n = 3\nfinally:\n    m = 1\nrandom.seed(n + m)", 4),
        ("if (n := 10) > 5:\n    random.seed(n)", 10),
        ("match 'a':\n    case 'b':\n        random.seed(1)\n    case 'a' | 'c':\n        random.seed(2)", 2),
        ("d = {'a': 1, **{'b': 2}}\nd['c'] = 3\nrandom.seed(d['a'] + d.get('b') + d['c'])", 6),
        ("x = [1, 2]\nx.append(3)\nrandom.seed(len(x))", 3),
        ("random.seed([k for k in [7]][0])", 7),
        (
            "def deco(f):\n    def g(*a, **k):\n        return f(*a, **k) + 1\n    return g\n@deco\ndef h(n):\n    return n\nrandom.seed(h(2))",
            3,
        ),
        (
            "from dataclasses import dataclass, field\n@dataclass\nclass C:\n    a: int = 2\n    b: int = field(default=3)\n"
            "random.seed(C(a=4).a + C().b)",
            7,
        ),
        (
            "import argparse\np = argparse.ArgumentParser()\np.add_argument('-n', '--my-seed', type=int, default='9')\n"
            "args = p.parse_args()\nrandom.seed(args.my_seed)",
            9,
        ),
        (
            "from argparse import ArgumentParser as P\np = P()\np.add_argument('--n', default=2)\nrandom.seed(vars(p.parse_args())['n'])",
            2,
        ),
        ("def f():\n    yield 5\nfor n in f():\n    random.seed(n)", 5),
        ("x = 'a' 'b'\nrandom.seed({'ab': 4}[x])", 4),
        ("n = 3 if not None else 4\nrandom.seed(n)", 3),
    ],
)
def test_values(code: str, value: object) -> None:
    assert [evaluate(item) for item in probe(code)] == [value]


def test_a_branch_joins_with_its_test() -> None:
    code = """
        import argparse
        p = argparse.ArgumentParser()
        p.add_argument('--name', default='b')
        a = p.parse_args()
        if a.name == 'a':
            n = 1
        elif a.name == 'b':
            n = 2
        else:
            raise ValueError
        random.seed(n)
    """
    (value,) = probe(code)
    assert evaluate(value) == 2


def test_conditions_after_an_early_return() -> None:
    code = """
        import random
        def main(flag):
            if flag:
                return
            random.seed(1)
    """
    (seed,) = events(code, Seed)
    assert [condition.outcome for condition in seed.context.conditions] == [False]


def test_a_constant_test_has_one_side() -> None:
    assert len(probe("if False:\n    random.seed(1)\nelse:\n    random.seed(2)")) == 1
    assert len(probe("if unknown:\n    random.seed(1)\nelse:\n    random.seed(2)")) == 2


def test_the_main_block_runs_after_module_level() -> None:
    code = "if __name__ == '__main__':\n    random.seed(1)\nrandom.seed(2)"
    assert [evaluate(value) for value in probe(code)] == [1, 2]


LOOP = """
    import torch
    from torch.utils.data import DataLoader
    from tqdm.auto import tqdm
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 30)
    loader = DataLoader(data, shuffle=True)
    for {epoch} in {epochs}:
        for {batch} in {batches}:
            loss = model(x).sum()
            loss.backward()
            optimizer.step()
        scheduler.step()
"""


@pytest.mark.parametrize(
    ("epoch", "epochs", "batch", "batches"),
    [
        ("epoch", "range(90)", "x, y", "loader"),
        ("e", "range(1, 91)", "i, (x, y)", "enumerate(loader)"),
        ("_", "range(90)", "x, *_", "tqdm(loader, leave=False)"),
        ("k", "range(90)", "x", "iter(loader)"),
    ],
)
def test_kinds_of_loops(epoch: str, epochs: str, batch: str, batches: str) -> None:
    code = LOOP.format(epoch=epoch, epochs=epochs, batch=batch, batches=batches)
    step = events(code, Step)[0]
    assert step.context.loops[0].kind == Loop.EPOCHS
    (outer,) = events(code, SchedulerStep)[0].context.loops
    assert outer.kind == Loop.EPOCHS and evaluate(outer.count) == 90


def test_a_body_is_read_twice() -> None:
    code = LOOP.format(epoch="epoch", epochs="range(9)", batch="x", batches="loader")
    rounds = [event.context.round for event in events(code, SchedulerStep)]
    assert rounds == [0, 1]
    assert len(events(code, Backward)) == 4


def test_a_while_loop_over_epochs() -> None:
    code = """
        import torch
        epoch = 0
        while epoch < 10:
            loss.backward()
            epoch += 1
    """
    assert events(code, Backward)[0].context.loops[0].kind == Loop.EPOCHS


def test_a_rate_that_is_carried_from_round_to_round() -> None:
    code = """
        import torch
        optimizer = torch.optim.SGD(p, lr=0.1)
        lr = 0.1
        for epoch in range(100):
            if epoch in (30, 60):
                lr *= 0.1
            for group in optimizer.param_groups:
                group['lr'] = lr
    """
    last = events(code, SetRate)[-1]
    atoms = [atom for atom in _atoms(last.rate) if isinstance(atom, Carried)]
    (carried,) = atoms
    (index,) = [atom for atom in _atoms(carried.update) if isinstance(atom, Index)]
    rate = evaluate(carried.initial)
    seen = []
    for epoch in range(100):
        rate = evaluate(carried.update, {id(carried): rate, id(index): epoch})
        seen.append(rate)
    assert seen[29] == 0.1 and seen[30] == pytest.approx(0.01) and seen[99] == pytest.approx(0.001)
    assert isinstance(last.optimizer, Object)


def _atoms(value: object) -> list[object]:
    from nnlint.symbolic.scalar import atoms

    return list(atoms(value))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "code",
    [
        "x = yield\nawait y\nrandom.seed(1)",
        "del a, b[0]\nrandom.seed(1)",
        "type X = int\nrandom.seed(1)",
        "async def f():\n    async with a as b:\n        async for c in d:\n            await e\nrandom.seed(1)",
        "print(f'{a!r:>{w}}', *b, **c)\nrandom.seed(1)",
        "x = a if b else (c := d) + e[1:2, ..., None] @ f\nrandom.seed(1)",
        "assert x, y\nraise_ = 1\nrandom.seed(1)",
        "a.b.c().d[e](f)[g:h].i += 1\nrandom.seed(1)",
        "class A(B, metaclass=C, **k):\n    x: int\n    def __getattr__(self, n): return self.q\nA().z.y()\nrandom.seed(1)",
        "def f(a, /, b, *, c): return f(a, b, c=c)\nf(1, 2, c=3)\nrandom.seed(1)",
        "while True:\n    while True:\n        break\n    break\nrandom.seed(1)",
        "x = {}\nx[x] = x\nx.update(x)\nrandom.seed(1)",
        "x = []\nx.append(x)\nfor y in x: x = y\nrandom.seed(1)",
        "try:\n    pass\nexcept* E as e:\n    raise\nrandom.seed(1)",
        "match x:\n    case [a, *b]: pass\n    case {'k': v, **r}: pass\n    case P(a=1) as q: pass\n    case _: pass\nrandom.seed(1)",
        "lambda *a, **k: (yield)\nrandom.seed(1)",
        "''.join(str(i) for i in range(10 ** 10))\nx = 'a' * 10 ** 12\nrandom.seed(1)",
        "x = 9 ** 9 ** 9 ** 9\nrandom.seed(1)",
        "x = 7\n" + "x = x * x\n" * 60 + "random.seed(1)",
        "x = 'ab'\n" + "x = x + x\n" * 60 + "random.seed(1)",
        "x = '%1000000000d' % 3\ny = round(3, -10 ** 9)\nrandom.seed(1)",
        "x = [1, 2]\n" + "x = x + x\n" * 60 + "random.seed(1)",
        "x = [1, 2]\n" + "x = [*x, *x]\n" * 60 + "random.seed(1)",
        "x = [1, 2]\n" + "x.extend(x)\n" * 60 + "f(*x, *x)\nrandom.seed(1)",
        "x = str(b'', 'no such codec')\nrandom.seed(1)",
        "x = {" + ", ".join(f"'k{i}': {i}" for i in range(2000)) + "}\n"
        "y = {}\ny.update(x)\ny = {**x, **y}\ny = dict(x)\nfor k in x: x[k]\n'a' in x\nrandom.seed(1)",
        "import torch\nfrom numpy import inf\ntorch.zeros(1e400, float('inf')).view(-1)\n"
        "torch.nn.functional.interpolate(torch.zeros(1, 1, 2), scale_factor=1e400)\nrandom.seed(1)",
        "from enum import Enum\nclass E(Enum):\n    a: int = 1\n    def f(self): self.a\nrandom.seed(1)",
    ],
)
def test_no_construct_stops_the_reading(code: str) -> None:
    assert [evaluate(value) for value in probe(code)] == [1]


def test_what_grows_without_end_is_known_no_more() -> None:
    doubled = "x = ['a']\n" + "x = x + x\n" * 20
    for code in (doubled, "x = []\n" + "x.append('a')\n" * 3000):
        (size,) = probe(code + "random.seed(len(x))")
        assert evaluate(size) is None
    (size,) = probe("x = ['a']\n" + "x = x + x\n" * 8 + "random.seed(len(x))")
    assert evaluate(size) == 256


def test_comprehensions_take_steps() -> None:
    loops = " ".join(f"for a{i} in (1, 2, 3)" for i in range(30))
    trace = read(f"import random\nrandom.seed(1)\nx = [1 {loops}]\n")
    assert trace.truncated is not None


def test_bounds_are_said() -> None:
    body = "\n".join(f"    x{i} = {i}" for i in range(400))
    code = f"import random\nrandom.seed(1)\ndef f0():\n    random.seed(2)\n{body}\n"
    code += "\n".join(f"def f{i}():\n    f{i - 1}()\n    f{i - 1}()\n    f{i - 1}()" for i in range(1, 12))
    trace = read(code + "\nf11()\n")
    assert trace.truncated is not None and "module level" in trace.truncated
    assert evaluate(next(trace.of(Seed)).value) == 1


def test_an_error_of_the_reading_costs_one_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    from nnlint.symbolic.executor import Executor
    from nnlint.symbolic.library import FUNCTIONS

    def broken(call: object) -> object:
        raise AssertionError

    monkeypatch.setitem(FUNCTIONS, "torch.zeros", broken)
    monkeypatch.setattr(Executor, "strict", False)
    trace = read("import torch, random\nx = torch.zeros(3)\nif a:\n    torch.zeros(x)\nrandom.seed(1)\n")
    assert len(list(trace.of(Seed))) == 1
    assert trace.truncated == "2 statements could not be modelled"
