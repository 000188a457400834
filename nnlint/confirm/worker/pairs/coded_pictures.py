"""Pictures whose pixels tell where they come from, in the types that datasets read, and how they are read off again.

A place is told in black and white, by a series of pictures each of which is shown once more with black and white
exchanged: whatever is done to the values of the pixels, which of the two was the brighter one stays to be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from ..verdict import Inconclusive

SIZES = ((96, 128), (288, 352), (544, 672), (1056, 1312))
"""Heights and widths that are tried in turn: no axis of a picture is the length of the other."""

LEVELS = ((0, 255), (0, 1), (7, 11))
"""The values of black and white in a target, tried in turn: brightness, classes, classes that are translated."""

BLOCKS = 12
"""How many blocks of the pattern lie in the height of a picture."""

FAINT = 0.3
"""A pixel whose two values differ by less than this part of the largest difference says nothing."""


SLICES = 5
"""Slices of a volume."""


class Stage:
    """What all pictures show at present, in black and white; targets in their levels and, with ``colour``, in channels.

    ``size`` are height and width in pixels.
    """

    def __init__(self, size: tuple[int, int], levels: tuple[int, int] = LEVELS[0], *, colour: bool = False) -> None:
        self.height, self.width = size
        self.levels, self.colour = levels, colour
        self.show(pattern(*size))

    def show(self, plane: Any) -> None:
        """Let all pictures show a plane of truth values (height, width)."""
        self.shown = plane
        self._made: dict[tuple[str, bool], Any] = {}

    def picture(self, kind: str, *, is_target: bool) -> Any:
        """What is shown, as ``kind`` has it; a target in its own levels and, where that is open, of one channel.

        Kinds: a function that reads, ``pil``, ``array`` or ``tensor``, with ``gray`` after it for one channel.

        Raises:
            Inconclusive: nobody knows what the function gives.
        """
        key = kind, is_target
        if key not in self._made:
            self._made[key] = self._picture(kind, is_target)
        made = self._made[key]
        return made.clone() if isinstance(made, _torch().Tensor) else made.copy()

    def _picture(self, kind: str, is_target: bool) -> Any:
        name, _, gray = kind.partition(" ")
        planes = self._planes(is_target=is_target)
        channels = 1 if gray or (is_target and not self.colour) else 3
        if name in ("pil", "PIL.Image.open") or name.endswith(("default_loader", "pil_loader")):
            return _pil(planes[:channels])
        if name in ("tensor", "torch.load"):
            return planes[0] if channels == 1 else planes.float() / 255
        if name.startswith("torchvision.io."):
            return planes[:channels]
        if name == "nibabel.load":
            return _Volume(_array(planes[0]).astype("float32"))
        if name == "numpy.load":
            return _array(planes[0]).astype("float32")
        if name == "array" or name.rpartition(".")[2] in ("imread", "imdecode"):
            flat = channels == 1 and (bool(gray) or not name.startswith("cv2."))
            return _array(planes[0] if flat else planes.permute(1, 2, 0))
        raise Inconclusive(f"what {name} reads is not imitated")

    def _planes(self, *, is_target: bool) -> Any:
        """What is shown, in three channels (3, height, width) of 0 to 255."""
        return self._plane(self.shown, is_target).expand(3, -1, -1)

    def like(self, value: Any, *, is_target: bool) -> Any:
        """What is shown, in the type, the size and the channels of a picture of the user's lines."""
        before = surface(value)
        if before is None:
            return value
        channels, height, width = before.shape
        plane = self._plane(stretched(self.shown, height, width), is_target)
        if hasattr(value, "convert"):
            return _pil(plane.expand(channels, -1, -1))
        if isinstance(value, _torch().Tensor):
            scale = 255 if value.is_floating_point() and self.levels[1] > 1 else 1
            return (plane / scale).to(value.dtype).expand(value.shape).clone()
        if value.ndim == 3 and value.shape[-1] == channels:
            plane = plane.unsqueeze(-1)
        return _array(plane.expand(value.shape)).astype(value.dtype)

    def _plane(self, shown: Any, is_target: bool) -> Any:
        low, high = self.levels if is_target else (0, 255)
        return shown.to(_torch().uint8) * (high - low) + low


class _Volume:
    """A volume as nibabel has it, of :data:`SLICES` slices that are all alike."""

    def __init__(self, picture: Any) -> None:
        self.dataobj = picture[..., None].repeat(SLICES, -1)
        self.shape = self.dataobj.shape
        self.affine = _array(_torch().eye(4))

    def get_fdata(self, *args: Any, **kwargs: Any) -> Any:
        """The values of the voxels."""
        return self.dataobj.astype("float64")

    def copy(self) -> Any:
        """Itself: its values are made anew for every picture that is shown."""
        return self


@cache
def pattern(height: int, width: int) -> Any:
    """Blocks of black and white without order (height, width), half of them white, that fit onto each other nowhere."""
    torch = _torch()
    side = height / BLOCKS
    rows, columns = BLOCKS, round(width / side)
    generator = torch.Generator().manual_seed(7)
    order = torch.randperm(rows * columns, generator=generator)
    blocks = (order < rows * columns // 2).view(rows, columns)
    down = (torch.arange(height) * rows) // height
    across = (torch.arange(width) * columns) // width
    return blocks[down][:, across]


@dataclass(frozen=True)
class Digit:
    """A digit of the Gray code of one axis (0: rows, 1: columns): pictures of which one of two neighbours differs."""

    axis: int
    number: int

    def plane(self, height: int, width: int, digits: int) -> Any:
        """The digit at every pixel (height, width), of ``digits`` to the axis, the first the coarsest."""
        torch = _torch()
        length = (height, width)[self.axis]
        step = (torch.arange(length) * (1 << digits)) // length
        coded = step ^ (step >> 1)
        bit = ((coded >> (digits - 1 - self.number)) & 1).bool()
        return bit.view(-1, 1).expand(height, width) if self.axis == 0 else bit.view(1, -1).expand(height, width)


def decoded(bits: list[Any]) -> Any:
    """The number of the step at every pixel, of the signs (+1, -1) of the digits from the coarsest on."""
    torch = _torch()
    total = torch.zeros_like(bits[0], dtype=torch.long)
    binary = torch.zeros_like(total)
    for sign in bits:
        binary = binary ^ (sign > 0).long()
        total = (total << 1) | binary
    return total


# --- reading them off -------------------------------------------------------------------------------------------------


def surface(value: Any) -> Any:
    """A picture of the user's lines as a float tensor (channels, height, width); None if it is none."""
    torch = _torch()
    if hasattr(value, "convert") and hasattr(value, "getbands"):
        value = _from_pil(value)
    elif type(value).__module__ == "numpy" and hasattr(value, "astype"):
        if value.dtype.kind not in "uifb":
            return None
        value = torch.from_numpy(value.astype("float32"))
    elif isinstance(value, torch.Tensor):
        value = value.detach().as_subclass(torch.Tensor).cpu().float()
    else:
        return None
    while value.ndim > 3 and value.shape[0] == 1:
        value = value[0]
    if value.ndim == 2:
        return value.unsqueeze(0)
    if value.ndim != 3:
        return None
    channels_last = value.shape[-1] < min(value.shape[:2])
    return value.permute(2, 0, 1) if channels_last else value


def signs(white: Any, black: Any) -> Any:
    """Which of two surfaces, of the same picture with black and white exchanged, is the brighter one.

    +1 and -1 (height, width) of the channel that tells most, 0 where it does not tell; None if they do not compare.
    """
    torch = _torch()
    if white is None or black is None or white.shape != black.shape:
        return None
    difference = torch.nan_to_num(white - black)
    strength = difference.abs().mean((1, 2))
    if not float(strength.max()) > 0:
        return None
    plane = difference[int(strength.argmax())]
    return plane.sign() * (plane.abs() > FAINT * plane.abs().max())


def stretched(plane: Any, height: int, width: int) -> Any:
    """The pixels of a plane as they lie in one of another size."""
    torch = _torch()
    if tuple(plane.shape) == (height, width):
        return plane
    rows = ((torch.arange(height) + 0.5) * plane.shape[0] / height).long()
    columns = ((torch.arange(width) + 0.5) * plane.shape[1] / width).long()
    return plane[rows][:, columns]


# --- types -----------------------------------------------------------------------------------------------------------


def _torch() -> Any:
    import torch

    return torch


def _array(plane: Any) -> Any:
    try:
        return plane.numpy().copy()
    except RuntimeError as error:
        raise Inconclusive("the package numpy is not installed") from error


def _pil(planes: Any) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise Inconclusive("the package pillow is not installed") from error
    height, width = planes.shape[1:]
    try:
        values = [plane.contiguous().numpy().tobytes() for plane in planes]
    except RuntimeError:
        # Without numpy there is a longer way.
        values = [bytes(plane.flatten().tolist()) for plane in planes]
    channels = [Image.frombytes("L", (width, height), each) for each in values]
    return Image.merge("RGB", channels) if len(channels) == 3 else channels[0]


def _from_pil(picture: Any) -> Any:
    torch = _torch()
    if picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode not in ("L", "P", "RGB", "RGBA", "LA", "HSV", "YCbCr", "LAB", "CMYK"):
        picture = picture.convert("F")
    width, height = picture.size
    kind = torch.float32 if picture.mode == "F" else torch.uint8
    flat = torch.frombuffer(bytearray(picture.tobytes()), dtype=kind)
    return flat.view(height, width, -1).float().permute(2, 0, 1)
