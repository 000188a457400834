"""The environment of an experiment: what a program needs to start, nothing secret, and no way home."""

from __future__ import annotations

import os
from collections.abc import Mapping

KEPT = frozenset(
    "PATH LANG LANGUAGE TZ USER LOGNAME TERM PYTHONPATH VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV LD_LIBRARY_PATH"
    " LD_PRELOAD DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER CUDA_HOME"
    " CUDA_PATH NVIDIA_VISIBLE_DEVICES NVIDIA_DRIVER_CAPABILITIES ROCR_VISIBLE_DEVICES HIP_VISIBLE_DEVICES"
    " HSA_OVERRIDE_GFX_VERSION SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT NUMBER_OF_PROCESSORS"
    " PROCESSOR_ARCHITECTURE".split()
)
"""What passes. Whoever lists what to take away forgets a secret."""

HOMES = (
    "HOME USERPROFILE TMPDIR TEMP TMP XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME APPDATA LOCALAPPDATA TORCH_HOME"
    " TORCHINDUCTOR_CACHE_DIR TRITON_CACHE_DIR CUDA_CACHE_PATH HF_HOME HUGGINGFACE_HUB_CACHE TRANSFORMERS_CACHE"
    " KERAS_HOME NLTK_DATA MPLCONFIGDIR WANDB_DIR NUMBA_CACHE_DIR PYTHONPYCACHEPREFIX"
).split()
"""Where libraries keep things: all of it in the scratch folder."""

FIXED = {
    "COLUMNS": "80",
    "LINES": "24",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "TOKENIZERS_PARALLELISM": "false",
    "MPLBACKEND": "Agg",
    "SDL_VIDEODRIVER": "dummy",
    "QT_QPA_PLATFORM": "offscreen",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "WANDB_MODE": "disabled",
    "COMET_MODE": "disabled",
    "NEPTUNE_MODE": "debug",
    "CLEARML_OFFLINE_MODE": "1",
}
"""One thread, the same order of sets on every run, no screen, and libraries that report home kept from it.

glibc (2.35 and later) takes memory in huge pages where Linux has them on request: a fork copies a list of the pages.
"""


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment that the worker is started with.

    It keeps its home: packages installed for one user are found by it.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name in KEPT or name.startswith("LC_") or name in ("HOME", "USERPROFILE", "APPDATA")
    }
    return {**kept, **FIXED}


def settle_in(folder: str) -> None:
    """Make ``folder`` the working directory and the home of this process."""
    import tempfile

    make_home(folder)
    tempfile.tempdir = None
    os.chdir(folder)


def make_home(folder: str) -> None:
    """Let libraries keep things in ``folder`` only."""
    os.environ.update(dict.fromkeys(HOMES, folder))
