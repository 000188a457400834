"""The surroundings of a renderer, so that what it writes depends on nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RenderContext:
    """What a renderer knows of the place its output goes to.

    ``width`` is in terminal cells. Paths are shown relative to ``root``. ``read_text`` gives the text of a file by
    its absolute name, raising ``OSError`` if there is none. ``environ`` is the environment of the run.
    """

    root: Path
    read_text: Callable[[str], str]
    width: int = 100
    color: bool = False
    unicode: bool = True
    environ: Mapping[str, str] = field(default_factory=dict)
