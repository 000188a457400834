"""The modules of a repository: which file an import means, read on demand and kept for the next script."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nnlint.source import Source, UnreadableSource
from nnlint.symbolic.values import Class

if TYPE_CHECKING:
    from nnlint.symbolic.scope import Module

INSTALLED = frozenset(
    (
        "torch torchvision torchaudio numpy scipy pandas sklearn PIL cv2 matplotlib os sys re math random time json "
        "argparse logging collections functools itertools pathlib typing dataclasses transformers accelerate "
        "lightning pytorch_lightning albumentations kornia imgaug monai timm einops tqdm wandb yaml tensorflow jax "
        "skimage copy pickle shutil glob datetime warnings contextlib abc enum subprocess threading multiprocessing "
        "types inspect string "
    ).split()
)
"""Top-level packages that are not looked for in the repository."""

SOURCE_FOLDERS = ("", "src", "lib")
"""Folders of the repository's root that absolute imports may start from."""


class Project:
    """A repository, by its root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules: dict[Path, Module] = {}
        self._sources: dict[Path, Source | None] = {}
        self._listings: dict[str, frozenset[str]] = {}

    def forget(self) -> None:
        """Let go of everything that was read, to give its memory back.

        Names lead to functions, functions to the names around them: cut here, the circle needs no garbage collector.
        """
        for module in self.modules.values():
            for value in module.names.values():
                if isinstance(value, Class):
                    value.namespace.clear()
            module.names.clear()
        self.modules.clear()
        self._sources.clear()
        self._listings.clear()

    def source(self, path: Path) -> Source | None:
        """The source of a file of the repository, None if it cannot be read."""
        if path not in self._sources:
            try:
                self._sources[path] = Source.read(path)
            except UnreadableSource:
                self._sources[path] = None
        return self._sources[path]

    def add(self, source: Source) -> None:
        """Make a source known that was read elsewhere (from standard input, for example)."""
        self._sources[source.path] = source

    def find(self, importer: Path, dotted: str, level: int) -> Source | None:
        """The source that ``import dotted`` in the file ``importer`` means, None if it lies outside the repository.

        ``level`` is the number of leading dots. A package is its ``__init__.py``.
        """
        parts = dotted.split(".") if dotted else []
        if level:
            folder = importer.parent
            for _ in range(level - 1):
                folder = folder.parent
            return self._in(folder, parts)
        if not parts or parts[0] in INSTALLED:
            return None
        for folder in self._search_path(importer):
            found = self._in(folder, parts)
            if found is not None and found.path != importer:
                return found
        return None

    def _search_path(self, importer: Path) -> Iterator[Path]:
        folder = importer.parent
        inside = folder == self.root or self.root in folder.parents
        while True:
            yield folder
            if folder == self.root or not inside or folder.parent == folder:
                break
            folder = folder.parent
        if inside:
            for name in SOURCE_FOLDERS[1:]:
                yield self.root / name

    def _in(self, folder: Path, parts: list[str]) -> Source | None:
        place = str(folder)
        for number, part in enumerate(parts):
            names = self._listing(place)
            last = number == len(parts) - 1
            if last and f"{part}.py" in names and not (part in names and self._is_package(place, part)):
                return self.source(Path(place, f"{part}.py"))
            if part not in names:
                return None
            place = os.path.join(place, part)
        if "__init__.py" in self._listing(place):
            return self.source(Path(place, "__init__.py"))
        return None

    def _is_package(self, place: str, part: str) -> bool:
        return "__init__.py" in self._listing(os.path.join(place, part))

    def _listing(self, place: str) -> frozenset[str]:
        if place not in self._listings:
            try:
                self._listings[place] = frozenset(os.listdir(place))
            except OSError:
                self._listings[place] = frozenset()
        return self._listings[place]
