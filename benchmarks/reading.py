"""How much dearer than CPython's own parser is a run of nnlint? Both over the same files, in turn, in one run.

    python benchmarks/reading.py FOLDER [--runs 3] [-- NNLINT OPTIONS]

Prints the CPU seconds (user and system, with all child processes) of ``python -c "import ast …"`` parsing every
Python file below the folder and of ``nnlint`` linting it, and their ratio, run by run and as a median.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

PARSE = """
import ast, pathlib, sys, warnings
warnings.simplefilter("ignore")
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.py")):
    try:
        ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        pass
"""


def cpu_seconds(argv: list[str]) -> float:
    """User and system time of a command and of all its children, in seconds."""
    before = os.times()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    after = os.times()
    return (after.children_user - before.children_user) + (after.children_system - before.children_system)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--runs", type=int, default=3)
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given, options = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]
    ratios = []
    for _ in range(given.runs):
        parse = cpu_seconds([sys.executable, "-c", PARSE, given.folder])
        lint = cpu_seconds([sys.executable, "-m", "nnlint", "check", "--exit-zero", *options, given.folder])
        ratios.append(lint / parse)
        print(f"ast.parse {parse:.2f} s   nnlint {lint:.2f} s   ratio {lint / parse:.1f}")
    print(f"median ratio {statistics.median(ratios):.1f}")


if __name__ == "__main__":
    main()
