"""The device that experiments compute on."""

from __future__ import annotations

from typing import Any


def accelerators() -> dict[str, Any]:
    """How many CUDA devices there are, and whether there is MPS.

    To be asked in a process of its own: CUDA, once asked, cannot be used by what this process forks.
    """
    import torch

    built = torch.version.cuda is not None or torch.version.hip is not None
    metal = getattr(torch.backends, "mps", None)
    return {"cuda": torch.cuda.device_count() if built else 0, "mps": metal is not None and metal.is_available()}


def chosen(asked: str, found: dict[str, Any]) -> str:
    """The device that was asked for, as torch names it; ``auto`` is a CUDA device if there is one, else the CPU.

    Raises:
        ValueError: there is none; the message says so.
    """
    name, _, number = asked.partition(":")
    if asked == "auto":
        return "cuda:0" if found["cuda"] else "cpu"
    if asked == "cpu" or (asked == "mps" and found["mps"]):
        return asked
    if name == "cuda" and (number or "0").isdigit() and int(number or 0) < found["cuda"]:
        return f"cuda:{int(number or 0)}"
    raise ValueError(f"there is no device {asked!r}: torch finds {_listed(found)}")


def _listed(found: dict[str, Any]) -> str:
    cuda = [f"cuda:{number}" for number in range(found["cuda"])]
    return ", ".join(["cpu", *cuda, *(["mps"] if found["mps"] else [])])
