"""Pictures in colour that show whatever is done to them, also where a data set of torchvision would read its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ..draws.loading import PAIRED, is_unread, torchvision_datasets
from ..pairs.coded_pictures import Stage

BLOCK = 4
"""Pixels in the side of the smallest pictures' blocks of one colour."""

OWN_SIZES = {
    **dict.fromkeys(("MNIST", "FashionMNIST", "KMNIST", "EMNIST", "QMNIST"), (28, 28)),
    **dict.fromkeys(("CIFAR10", "CIFAR100", "SVHN"), (32, 32)),
    "STL10": (96, 96),
    "USPS": (16, 16),
}
"""Heights and widths of the pictures of data sets that have one size."""

GRAY = ("MNIST", "FashionMNIST", "KMNIST", "EMNIST", "QMNIST", "USPS")
"""Data sets of one channel."""

OF_PICTURES = (*PAIRED, "Kitti")
"""Data sets whose target is shown as a picture too."""


class Photograph(Stage):
    """A stage that shows one picture, or with :meth:`turn` another, in blocks of many colours."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__(size)
        self.turn(0)

    def turn(self, number: int) -> None:
        """Show the picture of a number."""
        import torch

        self.number = number
        self.show(self.shown)
        rows, columns = -(-self.height // BLOCK), -(-self.width // BLOCK)
        generator = torch.Generator().manual_seed(11 + number)
        # Neither black nor white, that brighter and darker can be seen.
        blocks = torch.randint(40, 216, (3, rows, columns), generator=generator, dtype=torch.uint8)
        tall = blocks.repeat_interleave(BLOCK, 1).repeat_interleave(BLOCK, 2)
        self._colours = tall[:, : self.height, : self.width]

    def _planes(self, *, is_target: bool) -> Any:
        return self._colours


@contextmanager
def shown_by_torchvision(stage: Photograph) -> Iterator[None]:
    """Data sets of torchvision that could not be read have samples all the same: photographs, through their transforms.

    To be entered after :func:`~..draws.loading.without_data`, which lets them be built.
    """
    with ExitStack() as stack:
        for kind in torchvision_datasets():
            if "__init__" in vars(kind):
                stack.callback(setattr, kind, "__init__", kind.__init__)
                kind.__init__ = _showing(kind.__init__, kind.__name__, stage)
        yield


def _showing(initialize: Callable[..., None], name: str, stage: Photograph) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 # it stands in for that one
        initialize(self, *args, **kwargs)
        if is_unread(self):
            own: Any = type(self).__mro__[1]
            read = own.__getitem__
            if read.__module__.startswith("torchvision."):
                type(self).__getitem__ = _sample_of(name, "transforms" in read.__code__.co_names, stage)

    return __init__


def _sample_of(name: str, joint: bool, stage: Photograph) -> Callable[[Any, int], Any]:
    """What a data set makes of a photograph; ``joint``: by one transform for picture and target."""
    shown = type(stage)(OWN_SIZES[name]) if name in OWN_SIZES else stage

    def __getitem__(self: Any, index: int) -> Any:  # noqa: N807 # it stands in for that one
        shown.turn(stage.number)
        picture = shown.picture("pil gray" if name in GRAY else "pil", is_target=False)
        target = shown.picture("pil gray", is_target=True) if name in OF_PICTURES else 0
        if joint:
            return (picture, target) if self.transforms is None else self.transforms(picture, target)
        own, others = self.transform, self.target_transform
        return picture if own is None else own(picture), target if others is None else others(target)

    return __getitem__
