"""torchvision beside a torch that its compiled operators were not built for."""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any

_definitions: list[Any] = []
"""Libraries of operators, which torch forgets when nobody holds them."""

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
"""The operators that torchvision (0.27 to 0.29 tried) asks torch about while it is imported."""


def load_torchvision() -> None:
    """Import torchvision; where its compiled part does not fit to torch, declare the operators it cannot do without.

    Transforms, models and tv_tensors need none of them to compute. Any other failure is left to the import itself.
    """
    if "torchvision" in sys.modules:
        return
    for _ in SCHEMAS:
        try:
            importlib.import_module("torchvision")
            break
        except ImportError:
            return
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None or missing.group(1) not in SCHEMAS:
                return
            _declare(missing.group(1))
    if _definitions:
        import torchvision

        torchvision.extension._has_ops = lambda: True


def _declare(operator: str) -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define(SCHEMAS[operator])
    _definitions.append(library)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
