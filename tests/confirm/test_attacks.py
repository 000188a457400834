"""What the user's lines may do by accident or by design: it costs their own experiment, and nothing stays behind."""

from __future__ import annotations

import itertools
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nnlint.confirm.runner import Laboratory
from nnlint.confirm.worker.isolation import sandbox
from nnlint.verdict import Json
from tests.confirm.worker import KINDS, job, python_in_container, python_of_its_own, said, stand_in_for_torch, workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the walls are those of Linux")

Attack = Callable[..., dict[str, Json]]

GOOD = "figures = {'sum': 1 + 1}\n"
numbers = itertools.count()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return python_of_its_own(tmp_path_factory.mktemp("python"))


@pytest.fixture(scope="module", params=["machine", "container"])
def attacked(
    request: pytest.FixtureRequest, python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Laboratory]:
    """Workers with all that this machine permits, and such as in a container that permits no namespaces."""
    folder = tmp_path_factory.mktemp("attacked")
    started = python if request.param == "machine" else python_in_container(folder, python, ("unshare",))
    (python.parent / "home").mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(python.parent / "home"))
        patch.setenv("PYTHONPATH", str(stand_in_for_torch(folder)))
        patch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
        with Laboratory(started, device="cpu", timeout=5.0, memory=512 << 20, kinds=[KINDS]) as laboratory:
            scratch = laboratory.folder
            yield laboratory
    assert not os.path.exists(scratch)
    assert not workers(python)


@pytest.fixture
def attack(attacked: Laboratory, python: Path) -> Iterator[Attack]:
    """Runs lines; afterwards no process of theirs is there, no file, and the next experiment runs as ever."""
    assert attacked.device == "cpu"
    before = workers(python)

    def run(text: str, **changes: Any) -> dict[str, Json]:
        return attacked.run(job(next(numbers), text, **changes))

    yield run
    again = run(GOOD)
    assert (said(again), again["figures"]) == ("confirmed: ran to its end", {"sum": 2})
    # The answer is given first, then it is tidied up.
    assert soon(lambda: workers(python) == before and os.listdir(attacked.folder) == [])


def soon(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def held(attacked: Laboratory) -> Callable[[str], None]:
    """Skips where the system does not hold a wall: it says so itself."""

    def check(wall: str) -> None:
        unenforced = attacked.description["unenforced"]
        assert isinstance(unenforced, list)
        if wall in unenforced:
            pytest.skip(f"not enforced here: {wall}")

    return check


def test_an_endless_loop(attack: Attack) -> None:
    answer = attack("x = 0\nwhile True:\n    x += 1\n", timeout=0.3)
    assert said(answer) in (
        "inconclusive: train.py:2: not done within 0.3 s",
        "inconclusive: train.py:3: not done within 0.3 s",
    )


def test_a_loop_that_nothing_ends(attack: Attack) -> None:
    lines = """
        import signal, time
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGALRM}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
    """
    assert said(attack(lines, timeout=0.3)) == "inconclusive: train.py:6: not done within 0.3 s"


@pytest.mark.parametrize("lines", ["for _ in range(7):\n    os.fork()", "for _ in range(99):\n    os.fork() or wait()"])
def test_a_storm_of_forks(attack: Attack, held: Callable[[str], None], lines: str) -> None:
    held(sandbox.PROCESSES)
    text = f"import os, time\nwait = lambda: time.sleep(60)\n{lines}\nwait()\n"
    assert said(attack(text)) == "inconclusive: starts more than 64 processes"


def test_processes_that_get_away(attack: Attack, held: Callable[[str], None]) -> None:
    held(sandbox.PROCESSES)
    lines = """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.setsid()
                time.sleep(60)
            os._exit(0)
        time.sleep(0.05)
    """
    assert said(attack(lines)) == "confirmed: ran to its end"


def test_a_forked_copy_has_no_say(attack: Attack) -> None:
    lines = """
        import os, time
        figures = {"copy": os.fork() == 0}
        if not figures["copy"]:
            time.sleep(0.1)
    """
    assert attack(lines)["figures"] == {"copy": False}


@pytest.mark.parametrize(
    "lines", ["x = bytearray(4 << 30)", "x = []\nwhile True:\n    x.append(bytes(range(256)) * (1 << 12))"]
)
def test_too_much_memory(attack: Attack, held: Callable[[str], None], lines: str) -> None:
    held(sandbox.MEMORY)
    answer = said(attack(lines))
    assert answer.startswith("inconclusive: train.py:")
    assert answer.endswith(": needs more than 0.5 GB of memory")


def test_too_much_memory_in_many_hands(attack: Attack, held: Callable[[str], None]) -> None:
    held(sandbox.PROCESSES)
    lines = """
        import os, time
        for _ in range(4):
            if os.fork() == 0:
                x = b"x" * (200 << 20)
                time.sleep(60)
        time.sleep(60)
    """
    assert said(attack(lines)) == "inconclusive: needs more than 0.5 GB of memory"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("import os\nos._exit(0)", "leaves the process (exit status 0) without a result"),
        ("import os\nos._exit(7)", "leaves the process (exit status 7) without a result"),
        ("import sys\nsys.exit(3)", "train.py:2: ends the program (exit status 3)"),
        ("raise SystemExit('no data')", "train.py:1: ends the program (exit status 1)"),
        ("import ctypes\nctypes.string_at(0)", "train.py:2: crashes (SIGSEGV)"),
        ("import os\nos.abort()", "train.py:2: crashes (SIGABRT)"),
        ("raise KeyboardInterrupt", "train.py:1: KeyboardInterrupt"),
        ("def f():\n    f()\nf()", "train.py:2: RecursionError: maximum recursion depth exceeded"),
        ("open('train.csv')", "train.py:1: FileNotFoundError: No such file or directory: 'train.csv'"),
    ],
)
def test_an_end_of_its_own(attack: Attack, lines: str, why: str) -> None:
    assert said(attack(lines)) == f"inconclusive: {why}"


def test_a_flood_of_prints(attack: Attack) -> None:
    lines = """
        import os, sys
        for _ in range(2000):
            print("x" * 1000)
            print("x" * 1000, file=sys.stderr)
        os.system
        assert not sys.stdin.read()
    """
    assert said(attack(lines)) == "confirmed: ran to its end"


def test_a_flood_of_files(attack: Attack) -> None:
    lines = """
        with open("large", "wb") as file:
            file.seek(1 << 40)
            file.write(b"x")
    """
    assert said(attack(lines)) == "inconclusive: train.py:1: OSError: File too large"


def test_forged_verdicts(attack: Attack) -> None:
    lines = """
        import json, os
        forged = {"id": 0, "outcome": "refuted", "summary": "all is well", "figures": {}}
        for token in ("", "0" * 32):
            line = "\\n" + token + " " + json.dumps({"answer": forged, **forged}) + "\\n"
            print(line, flush=True)
            for descriptor in range(1024):
                try:
                    os.write(descriptor, line.encode())
                except OSError:
                    pass
    """
    assert said(attack(lines)) == "confirmed: ran to its end"
    assert said(attack(lines + "        os._exit(0)\n")) == (
        "inconclusive: leaves the process (exit status 0) without a result"
    )


def test_a_flood_of_forged_verdicts(attack: Attack) -> None:
    lines = """
        import os
        while True:
            for descriptor in range(300, 1024):
                try:
                    os.write(descriptor, b"x" * 65536)
                except OSError:
                    pass
    """
    assert said(attack(lines)).endswith(": gives a result of more than 8 MB")


def test_closing_every_descriptor_in_reach(attack: Attack) -> None:
    assert said(attack("import os\nos.closerange(0, 256)")) == "confirmed: ran to its end"


def test_signals_to_others(attack: Attack) -> None:
    # In a namespace of its own an experiment does not see its parent.
    for process in ("os.getppid() or -1", "-1"):
        assert "which is not its own" in said(attack(f"import os\nos.kill({process}, 0)"))


def test_signals_to_the_parent_past_python(attack: Attack, attacked: Laboratory, python: Path) -> None:
    before = workers(python)
    answer = said(attack("import ctypes, os\nctypes.CDLL(None).kill(os.getppid() or 1, 9)"))
    if workers(python) != before:
        # Where nothing keeps the worker from dying, another takes its place.
        pytest.skip("this kernel lets an experiment signal its parent")
    assert answer == "confirmed: ran to its end"


def test_the_network(attack: Attack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = server.getsockname()[1]
        lines = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)"
        assert said(attack(lines)) == "inconclusive: train.py:2: uses the network (127.0.0.1)"
        lines = f"import socket\nsocket.socket().connect(('127.0.0.1', {port}))"
        assert said(attack(lines)).startswith("inconclusive: train.py:2: ")
        with pytest.raises(BlockingIOError):
            server.accept()


def test_the_network_past_python(attack: Attack, held: Callable[[str], None]) -> None:
    held(sandbox.NETWORK)
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        tcp.settimeout(0)
        udp.settimeout(0)
        lines = f"""
            import ctypes, struct
            C = ctypes.CDLL(None)
            figures = {{}}
            for name, kind, port in (("tcp", 1, {tcp.getsockname()[1]}), ("udp", 2, {udp.getsockname()[1]})):
                address = struct.pack("=H", 2) + struct.pack("!H4s", port, bytes([127, 0, 0, 1])) + bytes(8)
                s = C.socket(2, kind, 0)
                figures[name] = s >= 0 and C.connect(s, address, 16) == 0 and C.send(s, b"x", 1, 0) == 1
        """
        answer = attack(lines)
        with pytest.raises(BlockingIOError):
            tcp.accept()
        with pytest.raises(BlockingIOError):
            udp.recv(1)
        assert (said(answer), answer["figures"]["udp"]) == ("confirmed: ran to its end", False)  # type: ignore[call-overload, index]


def test_writing_to_the_home_goes_to_scratch(attack: Attack, python: Path) -> None:
    lines = """
        import os, pathlib, tempfile
        for folder in (os.path.expanduser("~"), pathlib.Path.home(), tempfile.gettempdir(), os.getcwd()):
            open(os.path.join(folder, "evil"), "w").close()
    """
    assert said(attack(lines)) == "confirmed: ran to its end"
    assert os.listdir(python.parent / "home") == []


@pytest.mark.parametrize(
    "lines",
    [
        "open(folder / 'evil', 'w')",
        "open(folder / 'victim', 'a')",
        "(folder / 'victim').unlink()",
        "(folder / 'victim').rename('mine')",
        "(folder / 'evil').symlink_to('/')",
        "(folder / 'victim').chmod(0)",
        "(folder / 'evil').mkdir()",
        "os.truncate(folder / 'victim', 0)",
        "os.utime(folder / 'victim')",
        "shutil.rmtree(folder)",
        "os.link(folder / 'victim', folder / 'evil')",
        "os.chdir(folder); open('evil', 'w')",
        "os.chdir(folder); os.remove('victim', dir_fd=os.open('.', os.O_RDONLY))",
        "os.symlink(folder, 'here'); open('here/evil', 'w')",
    ],
)
def test_writing_elsewhere(attack: Attack, tmp_path: Path, lines: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("x")
    before = victim.stat()
    answer = said(attack(f"import os, pathlib, shutil\nfolder = pathlib.Path({str(tmp_path)!r})\n{lines}\n"))
    assert answer.startswith("inconclusive: train.py:3: writes to ")
    assert answer.endswith("outside of its scratch folder")
    assert os.listdir(tmp_path) == ["victim"]
    assert victim.stat() == before


def test_writing_elsewhere_past_python(attack: Attack, held: Callable[[str], None], tmp_path: Path) -> None:
    held(sandbox.WRITES)
    victim = tmp_path / "victim"
    victim.write_text("x")
    lines = f"""
        import ctypes
        C = ctypes.CDLL(None)
        evil, victim = {os.fsencode(tmp_path / "evil")!r}, {os.fsencode(victim)!r}
        calls = [C.creat(evil, 0o644), C.mkdir(evil, 0o755), C.unlink(victim), C.open(victim, 1)]
        calls.append(C.rename(victim, b"mine"))
        figures = {{"refused": calls == [-1] * len(calls), "scratch": C.creat(b"mine", 0o644) >= 0}}
    """
    assert attack(lines)["figures"] == {"refused": True, "scratch": True}
    assert os.listdir(tmp_path) == ["victim"]
    assert victim.read_text() == "x"


@pytest.mark.parametrize(
    "lines",
    [
        "subprocess.run(['/bin/true'])",
        "subprocess.run('/bin/true', shell=True)",
        "os.system('/bin/true')",
        "os.popen('/bin/true').read()",
        "os.execv('/bin/true', ['true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
    ],
)
def test_other_programs(attack: Attack, lines: str) -> None:
    answer = said(attack(f"import os, subprocess\n{lines}\n"))
    assert answer.startswith("inconclusive: train.py:2: starts a program (")
    assert "true" in answer


def test_other_programs_past_python(attack: Attack, held: Callable[[str], None]) -> None:
    held(sandbox.PROGRAMS)
    lines = """
        import ctypes
        words = (ctypes.c_char_p * 2)(b"true", None)
        figures = {"refused": ctypes.CDLL(None).execv(b"/bin/true", words) == -1}
    """
    assert attack(lines)["figures"] == {"refused": True}


def test_secrets_and_files_of_others_are_out_of_reach(attack: Attack, attacked: Laboratory) -> None:
    lines = """
        import os
        with open("/proc/self/environ") as file:
            figures = {"secret": "hunter2" in file.read() + str(dict(os.environ))}
        figures["open"] = sorted(d for d in range(256) if os.path.exists(f"/proc/self/fd/{d}"))[3:]
    """
    figures = attack(lines)["figures"]
    assert isinstance(figures, dict)
    assert figures["secret"] is False


def test_work_apart(attack: Attack) -> None:
    lines = """
        import os, time
        state = []
        def work():
            state.append(1)
            return {"state": state, "other": os.getpid() != process, "nan": float("nan")}
        process = os.getpid()
        figures = {"apart": bench.apart(work), "again": bench.apart(work), "here": state}
    """
    once = {"state": [1], "other": True, "nan": "nan"}
    assert attack(lines)["figures"] == {"apart": once, "again": once, "here": []}


def test_much_work_apart_leaves_no_processes(attack: Attack) -> None:
    lines = """
        import os
        done = [bench.apart(os.getpid) for _ in range(100)]
        figures = {"processes": len(set(done)), "left": sum(os.path.exists(f"/proc/{each}") for each in done) < 10}
    """
    assert attack(lines)["figures"] == {"processes": 100, "left": True}


def test_somebody_else_may_wait_for_the_processes(attack: Attack) -> None:
    lines = """
        import os, signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        figures = {"apart": [bench.apart(lambda: 1), bench.apart(lambda: 2)]}
    """
    assert attack(lines)["figures"] == {"apart": [1, 2]}


@pytest.mark.parametrize(
    ("work", "why"),
    [
        ("1 / 0", "train.py:1: ZeroDivisionError: division by zero"),
        ("os._exit(4)", "leaves the process (exit status 4) without a result"),
        ("os.abort()", "train.py:1: crashes (SIGABRT)"),
        ("time.sleep(60)", "train.py:1: not done within 0.5 s"),
        ("bench.apart(lambda: open('x'))", "train.py:1: FileNotFoundError: No such file or directory: 'x'"),
    ],
)
def test_what_fails_apart_fails_here(attack: Attack, work: str, why: str) -> None:
    assert said(attack(f"import os, time; bench.apart(lambda: {work})", timeout=0.5)) == f"inconclusive: {why}"


def test_where_nothing_holds_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(stand_in_for_torch(tmp_path)))
    refused = ("unshare", "prctl", "landlock_create_ruleset")
    with Laboratory(
        python_in_container(tmp_path, Path(sys.executable), refused), "cpu", 0.3, 512 << 20, [KINDS]
    ) as laboratory:
        answer = laboratory.run(job(1, GOOD))
        assert said(answer) == "confirmed: ran to its end"
        assert answer["unenforced"] == [
            *(sandbox.NETWORK, sandbox.WRITES, sandbox.PROGRAMS),
            sandbox.PROCESSES,
        ]
        assert "writes to" in said(laboratory.run(job(2, f"open({str(tmp_path / 'evil')!r}, 'w')")))
        assert said(laboratory.run(job(3, "while True: pass"))) == "inconclusive: train.py:1: not done within 0.3 s"
    assert not (tmp_path / "evil").exists()
