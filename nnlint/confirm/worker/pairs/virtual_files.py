"""Files that are not there: folders list something, lists have lines, and every picture is the one on the stage.

What else would be read from them is missing, and stays missing where tensors and arrays are made of it.
"""

from __future__ import annotations

import builtins
import glob
import importlib
import inspect
import io
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial, wraps
from typing import Any

from ..anything import Anything, is_missing, reason
from ..bench import Bench
from ..draws.loading import PAIRED, torchvision_datasets
from .coded_pictures import Stage

ENDINGS = ("png", "jpg", "jpeg", "tif", "bmp", "npy", "JPG", "PNG")
"""The endings of the files in a folder that is not there, so that whatever is looked for is found."""

SAMPLES = "samples: pictures whose pixels tell where they come from"

FOLDER = "the files of a folder that is not there"

LINES = "the lines of a list that is not there"

OF_PICTURES = (*PAIRED, "OxfordIIITPet")
"""Data sets of torchvision whose target is a picture too, or may be."""

FILES = 4
"""How many files of each ending there are, and how many lines a list has."""

LISTS = (".txt", ".csv", ".lst", ".list", ".flist")
"""The endings of files that list pictures."""

CODE = (".py", ".pyc", ".so", ".pyd", ".dll", ".dylib")
"""The endings of what packages import, wherever they are installed: they look for more than there is."""

READERS = (
    ("PIL.Image", "open"),
    ("cv2", "imread"),
    ("cv2", "imdecode"),
    ("imageio", "imread"),
    ("imageio.v2", "imread"),
    ("imageio.v3", "imread"),
    ("skimage.io", "imread"),
    ("matplotlib.pyplot", "imread"),
    ("numpy", "load"),
    ("torchvision.io", "read_image"),
    ("torchvision.datasets.folder", "default_loader"),
    ("nibabel", "load"),
)
"""Functions that read a picture, by module and name: what is replaced in modules that are loaded."""


CONTAINERS = (
    ("h5py", "File"),
    ("lmdb", "open"),
    ("sqlite3", "connect"),
    ("tarfile", "open"),
    ("zipfile", "ZipFile"),
)
"""What opens a file that holds many samples, by module and name."""

TABLES = ("read_csv", "read_table", "read_json", "read_pickle", "read_excel", "read_parquet", "read_feather")
"""Functions of pandas that read a table."""

_Replacement = tuple[Any, str, Callable[[Any], Any]]
"""An object, the name of an attribute, and what makes its replacement of the original."""


@contextmanager
def virtual_files(stage: Stage, bench: Bench) -> Iterator[None]:
    """Answer for files and folders that do not exist; what exists is read."""
    _import_pillow()
    with _replaced((*_reading(stage, bench), *_listings(bench, opens=True))):
        yield


@contextmanager
def virtual_folders(bench: Bench) -> Iterator[None]:
    """Answer for folders and lists that do not exist; a file that is to be read still has to be there."""
    with _replaced(_listings(bench, opens=False)):
        yield


@contextmanager
def _replaced(replacements: Iterable[_Replacement]) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, make in replacements:
            original = getattr(owner, name, None)
            if original is not None:
                stack.callback(setattr, owner, name, original)
                setattr(owner, name, make(original))
        yield


def _reading(stage: Stage, bench: Bench) -> Iterator[_Replacement]:
    """What reads files, and what makes something of their content."""
    for owner, names_of in _makers():
        yield from ((owner, name, _passing) for name in names_of)
    if "torchvision.transforms" in sys.modules:
        yield sys.modules["torchvision.transforms"].Normalize, "forward", partial(_normalizing, bench=bench)
    for module, name in READERS:
        if module in sys.modules:
            yield (
                sys.modules[module],
                name,
                partial(_reader, kind=f"{module}.{name}", stage=stage, bench=bench),
            )
    tables = (("pandas", name) for name in TABLES)
    for module, name in (*CONTAINERS, *tables):
        if module in sys.modules:
            yield sys.modules[module], name, partial(_container, bench=bench)
    yield io, "BytesIO", _buffer
    yield os.path, "join", _joining
    for kind in torchvision_datasets():
        if kind.__name__ in OF_PICTURES:
            yield kind, "__init__", partial(_of_pictures, kind=kind, stage=stage, bench=bench)


def _listings(bench: Bench, *, opens: bool) -> Iterator[_Replacement]:
    """What tells of files; with ``opens`` those that are not there can be opened, to be handed to what reads them."""
    yield os, "listdir", partial(_listing, bench=bench)
    yield glob, "glob", partial(_globbing, bench=bench)
    yield builtins, "open", partial(_opening, bench=bench, absent=opens)
    yield from ((os.path, name, _existing) for name in ("exists", "isfile", "isdir"))
    yield from ((pathlib.Path, name, _existing) for name in ("exists", "is_file", "is_dir"))
    yield from ((pathlib.Path, name, partial(_paths, bench=bench)) for name in ("glob", "rglob"))
    yield pathlib.Path, "iterdir", partial(_children, bench=bench)


def names() -> list[str]:
    """The files of a folder that is not there."""
    return sorted(f"{number:04d}.{ending}" for number in range(FILES) for ending in ENDINGS)


def _import_pillow() -> None:
    # What is not loaded cannot be replaced.
    with suppress(ImportError):
        importlib.import_module("PIL.Image")


def _makers() -> Iterator[tuple[Any, tuple[str, ...]]]:
    """What makes tensors and arrays of values."""
    import torch

    yield torch, ("tensor", "as_tensor", "from_numpy")
    if "numpy" in sys.modules:
        yield sys.modules["numpy"], ("array", "asarray", "frombuffer")


def _passing(original: Any) -> Any:
    """A function that gives back what is missing, instead of failing at it."""

    def make(value: Any = None, *args: Any, **kwargs: Any) -> Any:
        return value if is_missing(value) else original(value, *args, **kwargs)

    return make


def _normalizing(original: Any, bench: Bench) -> Any:
    def forward(self: Any, tensor: Any) -> Any:
        if not is_missing(self.mean) and not is_missing(self.std):
            return original(self, tensor)
        bench.stand_in("mean and standard deviation of Normalize: the values are left as they are")
        return tensor

    return forward


def _is_there(path: Any) -> bool:
    if isinstance(path, _Absent):
        return False
    if isinstance(path, (str, bytes, os.PathLike)):
        try:
            os.stat(path)
        except (OSError, ValueError):
            return False
        return True
    return not is_missing(path)


def _reader(original: Any, kind: str, stage: Stage, bench: Bench) -> Any:
    def read(path: Any = None, *args: Any, **kwargs: Any) -> Any:
        if _is_there(path):
            return original(path, *args, **kwargs)
        bench.stand_in(SAMPLES)
        if kind == "numpy.load":
            return _stored(stage.picture(kind, is_target=False))
        gray = kind == "cv2.imread" and bool(args) and args[0] == 0
        return stage.picture(f"{kind} gray" if gray else kind, is_target=False)

    return read


def _container(original: Any, bench: Bench) -> Any:
    """What opens a file of many samples, or reads a table: what is in one that is not there is missing."""

    def read(path: Any = None, *args: Any, **kwargs: Any) -> Any:
        if _is_there(path) or not _is_data(path):
            return original(path, *args, **kwargs)
        bench.stand_in("a file of many samples that is not there")
        return Anything(reason(path) if is_missing(path) else f"the file {path} is not there")

    return read


def _buffer(original: Any) -> Any:
    class Buffer(original):  # type: ignore[misc]
        def __new__(cls, content: Any = b"") -> Any:
            return content if is_missing(content) else super().__new__(cls)

    return Buffer


def _stored(array: Any) -> Any:
    """An array that is also an archive of arrays by name, each of them the same."""

    class Stored(type(array)):  # type: ignore[misc]
        def __getitem__(self, key: Any) -> Any:
            return self.view(type(array)) if isinstance(key, str) else super().__getitem__(key)

    return array.view(Stored)


def _of_pictures(original: Any, kind: Any, stage: Stage, bench: Bench) -> Any:
    """A data set of torchvision whose files are not there shows what is on the stage, through its own transforms."""

    @wraps(original)
    def initialize(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            original(self, *args, **kwargs)
        except Exception:
            given = inspect.signature(original).bind(self, *args, **kwargs).arguments
            transforms = [given.get(name) for name in ("transforms", "transform", "target_transform")]
            importlib.import_module("torchvision.datasets.vision").VisionDataset.__init__(self, None, *transforms)
            self.__class__ = type(kind.__name__, (kind,), {"__getitem__": shown, "__len__": lambda _: FILES})
            bench.stand_in(SAMPLES)

    def shown(self: Any, index: int) -> Any:
        pair = stage.picture("pil", is_target=False), stage.picture("pil", is_target=True)
        return pair if self.transforms is None else self.transforms(*pair)

    return initialize


def _joining(original: Any) -> Any:
    def join(*parts: Any) -> Any:
        missing = [part for part in parts if is_missing(part)]
        return missing[0] if missing else original(*parts)

    return join


def _listing(original: Any, bench: Bench) -> Any:
    def listdir(path: Any = ".") -> list[Any]:
        if _is_there(path):
            return list(original(path))
        bench.stand_in(FOLDER)
        return names()

    return listdir


def _globbing(original: Any, bench: Bench) -> Any:
    def find(pattern: Any, *args: Any, **kwargs: Any) -> list[Any]:
        found = [] if is_missing(pattern) else list(original(pattern, *args, **kwargs))
        return found or [str(path) for path in _matching(str(pattern), bench)]

    return find


def _paths(original: Any, bench: Bench) -> Any:
    def find(self: pathlib.Path, pattern: str, *args: Any, **kwargs: Any) -> Iterator[pathlib.Path]:
        found = list(original(self, pattern, *args, **kwargs)) if _is_there(self) else []
        return iter(found or [self / path for path in _matching(pattern, bench)])

    return find


def _children(original: Any, bench: Bench) -> Any:
    def find(self: pathlib.Path) -> Iterator[pathlib.Path]:
        if _is_there(self):
            return iter(list(original(self)))
        bench.stand_in(FOLDER)
        return (self / name for name in names())

    return find


def _matching(pattern: str, bench: Bench) -> list[str]:
    """Paths that a pattern fits, one after the other for what its last star stands for."""
    bench.stand_in(FOLDER)
    whole = pattern.replace("**/", "")
    if "*" not in whole:
        return [whole]
    head, _, tail = whole.rpartition("*")
    head = head.replace("*", "0000")
    return [f"{head}{number:04d}{tail or '.png'}" for number in range(FILES)]


def _existing(original: Any) -> Any:
    def exists(path: Any) -> bool:
        return bool(not is_missing(path) and original(path)) or _is_data(path)

    return exists


def _is_data(path: Any) -> bool:
    """Whether a path is one of data: no code, and under no folder that Python or its packages live in."""
    if is_missing(path):
        return True
    text = os.path.abspath(os.fsdecode(path)) if isinstance(path, (str, bytes, os.PathLike)) else ""
    if not text or text.endswith(CODE):
        return False
    return not text.startswith((sys.prefix, sys.base_prefix, "/etc", "/proc", "/sys", "/dev"))


class _Absent(io.BytesIO):
    """A file that is not there, opened to be handed to something that reads pictures."""


def _opening(original: Any, bench: Bench, *, absent: bool) -> Any:
    def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        reads = not isinstance(file, int) and set(mode) <= set("rtb")
        if not reads or _is_there(file) or not _is_data(file):
            return original(file, mode, *args, **kwargs)
        if "b" in mode and absent:
            return _Absent()
        if is_missing(file) or "b" in mode or not str(file).endswith(LISTS):
            return original(file, mode, *args, **kwargs)
        bench.stand_in(LINES)
        return io.StringIO("".join(f"{number:04d}.png {number:04d}.png\n" for number in range(FILES)))

    return opened
