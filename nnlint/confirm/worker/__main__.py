"""The first lines of the worker, ``PYTHON path/to/worker/__main__.py``: they must make sense to any Python 3."""

import importlib
import importlib.util
import os
import sys

NAME = "nnlint_worker"
"""What the package is called there: no name that a user's module has."""

OLDEST = (3, 9)


def main() -> None:
    """Serve the process at the other ends of stdin and stdout, which nobody else gets to see."""
    jobs, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    if sys.version_info < OLDEST:
        sys.exit("Python %d.%d is too old: 3.9 is the oldest that experiments run on" % sys.version_info[:2])  # noqa: UP031
    folder = os.path.dirname(os.path.abspath(__file__))
    # The modules of the worker must not stand in the way of the user's.
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or os.curdir) != folder]
    load(folder)
    importlib.import_module(NAME + ".process.zygote").serve(jobs, answers)
    # Nothing is left to do, and torch takes its time to be taken down.
    os._exit(0)


def load(folder: str) -> None:
    """Make a folder the package that the worker is."""
    spec = importlib.util.spec_from_file_location(
        NAME, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    main()
