"""The laboratory: how it starts, what it answers, and that it is gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nnlint.confirm.runner import WORKER, Laboratory, NoLaboratory
from nnlint.verdict import Json
from tests.confirm.worker import KINDS, ROOT, job, program, python_of_its_own, said, stand_in_for_torch, workers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="executable scripts stand in for interpreters")

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are counted as Linux lists them")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that modules are imported from, with something in it that passes for torch."""
    folder = stand_in_for_torch(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def laboratory(python: Path | str = sys.executable, **options: Any) -> Laboratory:
    return Laboratory(Path(python), kinds=[KINDS], **options)


def refusal(python: Path | str = sys.executable, **options: Any) -> str:
    """Why no experiment can be run; it is said as often as one is to be."""
    with laboratory(python, **options) as laboratory_:
        with pytest.raises(NoLaboratory) as first:
            _ = laboratory_.device
        with pytest.raises(NoLaboratory) as second:
            laboratory_.run(job(1, ""))
    assert str(first.value) == str(second.value)
    return str(first.value)


def test_jobs_are_answered_one_after_the_other(site: Path) -> None:
    with laboratory() as laboratory_:
        description = laboratory_.description
        assert {**description, "unenforced": []} == {
            "torch": "2.5.0",
            "python": sys.version.split()[0],
            "device": "cpu",
            "unenforced": [],
        }
        first = laboratory_.run(job(7, "figures = {'numbers': [1, 2.5, float('inf')], 'ids': (3,)}"))
        assert {**first, "seconds": 0.1} == {
            "id": 7,
            "outcome": "confirmed",
            "summary": "ran to its end",
            "figures": {"numbers": [1, 2.5, "inf"], "ids": [3]},
            "assumptions": [],
            "stood_in": [],
            "device": "cpu",
            "torch": "2.5.0",
            "seconds": 0.1,
            "unenforced": description["unenforced"],
        }
        second = laboratory_.run(job(8, "bench.assume('four epochs'); bench.stand_in('wandb'); bench.assume('a GPU')"))
        assert (second["assumptions"], second["stood_in"]) == (["four epochs", "a GPU"], ["wandb"])


def test_nothing_is_left_from_one_job_to_the_next(site: Path) -> None:
    lines = """
        import os, sys
        figures = {"before": [getattr(sys, "mark", 0), os.listdir("."), os.environ.get("MARK")]}
        sys.mark = 1
        os.environ["MARK"] = "1"
        open("mark", "w").close()
    """
    with laboratory() as laboratory_:
        answers = [laboratory_.run(job(number, lines)) for number in range(2)]
    assert [each["figures"] for each in answers] == [{"before": [0, [], None]}] * 2


def test_sets_have_the_same_order_on_every_run(site: Path) -> None:
    orders = []
    for _ in range(2):
        with laboratory() as laboratory_:
            orders.append(laboratory_.run(job(1, "figures = {'order': list({'a', 'b', 'c', 'd', 'e'})}"))["figures"])
    assert orders[0] == orders[1]


@pytest.mark.parametrize("kind", ["levitation", "os.path", "../as_it_is", ""])
def test_a_kind_that_is_not_there(site: Path, kind: str) -> None:
    with laboratory() as laboratory_:
        answer = laboratory_.run({**job(1, ""), "kind": kind})
    assert said(answer) == f"inconclusive: there is no kind of experiment {kind!r}"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("def run(job, bench): return True", "the experiment 'new' gives no verdict"),
        ("def run(job, bench): return 1 / 0", "internal error in new.py:1: ZeroDivisionError: division by zero"),
        ("import absent", "internal error in new.py:1: ModuleNotFoundError: No module named 'absent'"),
    ],
)
def test_a_kind_with_a_mistake(site: Path, tmp_path: Path, kind: str, why: str) -> None:
    (tmp_path / "new.py").write_text(kind)
    with Laboratory(Path(sys.executable), kinds=[tmp_path]) as laboratory_:
        assert said(laboratory_.run({**job(1, ""), "kind": "new"})) == f"inconclusive: {why}"


def test_no_torch(tmp_path: Path) -> None:
    python = program(tmp_path, f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    assert refusal(python) == f"torch is not installed; `{python} -m pip install torch` installs it"


def test_an_old_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(stand_in_for_torch(tmp_path, "1.13.1+cu117")))
    assert refusal() == (
        "torch 1.13.1+cu117 is too old: experiments need 2.0 or later; "
        f"`{sys.executable} -m pip install --upgrade torch` brings a newer one"
    )


def test_a_torch_that_does_not_import(site: Path) -> None:
    (site / "torch" / "__init__.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')")
    assert refusal().startswith("torch cannot be imported (OSError: libcudart.so.12: cannot open shared object file);")


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there(site: Path, device: str) -> None:
    assert refusal(device=device) == f"there is no device '{device}': torch finds cpu"


def test_devices_that_are_there(site: Path) -> None:
    (site / "torch" / "__init__.py").write_text(
        "__version__ = '2.5.0'\n"
        "set_num_threads = print\n"
        "class version: cuda, hip = '12.4', None\n"
        "class cuda: device_count = lambda: 2\n"
        "class backends: pass\n"
    )
    for asked, found in (("auto", "cuda:0"), ("cuda:1", "cuda:1")):
        with laboratory(device=asked) as laboratory_:
            assert laboratory_.device == found
    assert refusal(device="cuda:2") == "there is no device 'cuda:2': torch finds cpu, cuda:0, cuda:1"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("exit 3", "exit status 3"),
        ("kill -9 $$", "SIGKILL"),
        ("echo hello; echo no such interpreter >&2; exit 1", "no such interpreter"),
    ],
)
def test_no_python(tmp_path: Path, lines: str, why: str) -> None:
    assert refusal(program(tmp_path, f"#!/bin/sh\n{lines}\n")) == f"does not start: {why}"


def test_no_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "python") == "does not start: no such file or directory"


def test_an_old_python(tmp_path: Path) -> None:
    lines = f"import runpy, sys; sys.version_info = (3, 8, 18); runpy.run_path({str(WORKER)!r}, run_name='__main__')"
    python = program(tmp_path, f'#!/bin/sh\nexec "{sys.executable}" -c "{lines}"\n')
    assert refusal(python) == "does not start: Python 3.8 is too old: 3.9 is the oldest that experiments run on"


def test_an_interpreter_that_talks(site: Path) -> None:
    (site / "sitecustomize.py").write_text("print('welcome', end='')")
    with laboratory() as laboratory_:
        assert said(laboratory_.run(job(1, ""))) == "confirmed: ran to its end"


def test_no_module_of_the_worker_stands_in_the_way(site: Path) -> None:
    with laboratory() as laboratory_:
        answer = laboratory_.run(job(1, "import verdict"))
    assert said(answer) == "inconclusive: train.py:1: ModuleNotFoundError: No module named 'verdict'"


@linux
def test_a_worker_that_dies_is_replaced(site: Path, tmp_path: Path) -> None:
    python = python_of_its_own(tmp_path)
    with laboratory(python) as laboratory_:
        assert laboratory_.device == "cpu"
        folder = laboratory_.folder
        first = workers(python)
        threading.Timer(0.2, os.killpg, (os.getpgid(min(first)), signal.SIGKILL)).start()
        assert said(laboratory_.run(job(1, "import time\ntime.sleep(60)"))) == (
            "inconclusive: the worker failed: SIGKILL"
        )
        assert said(laboratory_.run(job(2, ""))) == "confirmed: ran to its end"
        assert not workers(python) & first
    assert not workers(python)
    assert not os.path.exists(folder)


def test_a_worker_that_hangs_is_replaced(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnlint.confirm.runner.OVERTIME", 0.2)
    monkeypatch.setattr("nnlint.confirm.runner.ENDING", 0.1)
    with laboratory(timeout=0.2) as laboratory_:
        assert laboratory_.device == "cpu"
        # A job that asks for more than the laboratory gives.
        assert said(laboratory_.run(job(1, "while True: pass", timeout=60))) == "inconclusive: not done within 0.2 s"
        assert said(laboratory_.run(job(2, ""))) == "confirmed: ran to its end"


@linux
def test_a_laboratory_that_is_not_needed_is_gone_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = stand_in_for_torch(tmp_path)
    (site / "torch" / "__init__.py").write_text("import time\ntime.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(site))
    python = python_of_its_own(tmp_path)
    began = time.monotonic()
    with laboratory(python) as laboratory_:
        folder = laboratory_.folder
        time.sleep(0.2)
    assert time.monotonic() - began < 2
    assert not workers(python)
    assert not os.path.exists(folder)


@linux
def test_an_interruption_leaves_nothing_behind(site: Path, tmp_path: Path) -> None:
    python = python_of_its_own(tmp_path)
    interruption = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    # What a shell has started in the background ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with laboratory(python) as laboratory_:
        assert laboratory_.device == "cpu"
        folder = laboratory_.folder
        interruption.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                laboratory_.run(job(1, "import time\nopen('file', 'w').close()\ntime.sleep(60)"))
        finally:
            interruption.cancel()
            signal.signal(signal.SIGINT, before)
    assert not workers(python)
    assert not os.path.exists(folder)


@linux
def test_a_linter_that_is_killed_leaves_nothing_behind(site: Path, tmp_path: Path) -> None:
    python = python_of_its_own(tmp_path)
    lines = f"""
from pathlib import Path
from nnlint.confirm.runner import Laboratory
from tests.confirm.worker import job, KINDS
with Laboratory(Path({str(python)!r}), kinds=[KINDS]) as laboratory:
    laboratory.device
    print(laboratory.folder, flush=True)
    laboratory.run(job(1, "import os, time\\nos.fork()\\ntime.sleep(60)"))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(site)))}
    with subprocess.Popen([sys.executable, "-c", lines], stdout=subprocess.PIPE, env=environment, text=True) as linter:
        assert linter.stdout is not None
        folder = linter.stdout.readline().strip()
        deadline = time.monotonic() + 5
        while len(workers(python)) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        linter.kill()
    deadline = time.monotonic() + 5
    while (workers(python) or os.path.exists(folder)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not workers(python)
    assert not os.path.exists(folder)


def test_windows_runs_a_worker_a_job(site: Path, tmp_path: Path) -> None:
    lines = f"import os, runpy; del os.fork; runpy.run_path({str(WORKER)!r}, run_name='__main__')"
    python = program(tmp_path, f'#!/bin/sh\nexec "{sys.executable}" -c "{lines}"\n')
    with laboratory(python, timeout=0.3) as laboratory_:
        for number in range(2):
            answer = laboratory_.run(job(number, "import sys\nfigures = {'mark': hasattr(sys, 'mark')}\nsys.mark = 1"))
            assert answer["figures"] == {"mark": False}
        assert len(answer["unenforced"]) == 5  # type: ignore[arg-type]
        assert (
            said(laboratory_.run(job(2, "import os\nos._exit(4)"))) == "inconclusive: the worker failed: exit status 4"
        )
        assert said(laboratory_.run(job(3, "open('/evil', 'w')"))).startswith(
            "inconclusive: train.py:1: writes to /evil"
        )
        assert said(laboratory_.run(job(4, "bench.apart(int)"))) == (
            "inconclusive: takes a second process, which this system cannot fork"
        )


# --- with torch ------------------------------------------------------------------------------------------------------

Laboratories = Callable[[], Laboratory]


def answer_of(laboratory: Laboratory, text: str) -> dict[str, Json]:
    answer = laboratory.run(job(1, text))
    assert said(answer) == "confirmed: ran to its end"
    return answer


def test_torch_counts_the_same_on_every_run(laboratory: Laboratory) -> None:
    lines = """
        import random, torch
        bench.seed()
        figures = {"torch": torch.rand(2), "random": random.random(), "threads": torch.get_num_threads()}
        bench.seed(1)
        figures["other"] = torch.rand(2)
    """
    first, second = (answer_of(laboratory, lines)["figures"] for _ in range(2))
    assert isinstance(first, dict)
    assert first == second
    assert first["torch"] != first["other"]
    assert first["threads"] == 1


def test_torch_trains_here_and_apart(laboratory: Laboratory) -> None:
    lines = """
        import torch
        def work():
            bench.seed()
            model = torch.nn.Linear(3, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            model(torch.ones(2, 3)).sum().backward()
            optimizer.step()
            return model.weight
        figures = {"apart": bench.apart(work), "here": work()}
    """
    figures = answer_of(laboratory, lines)["figures"]
    assert isinstance(figures, dict)
    assert figures["apart"] == figures["here"]


def test_torch_without_memory(laboratory: Laboratory) -> None:
    answer = laboratory.run(job(1, "import torch\ntorch.ones(1 << 40)"))
    assert said(answer) == "inconclusive: train.py:2: needs more than 4 GB of memory"


def test_workers_of_a_data_loader(laboratory: Laboratory) -> None:
    lines = """
        from torch.utils.data import DataLoader
        figures = {"batches": [batch.tolist() for batch in DataLoader(range(5), batch_size=2, num_workers=2)]}
    """
    assert answer_of(laboratory, lines)["figures"] == {"batches": [[0, 1], [2, 3], [4]]}
