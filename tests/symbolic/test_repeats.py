"""What a function returns that is called again and again."""

from __future__ import annotations

from nnlint.symbolic.modes import parts_of
from nnlint.symbolic.trace import Build
from nnlint.symbolic.values import Const, Instance, Object
from tests.symbolic.reading import events, probe

LOADERS = """
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def make_loader(root, split, batch_size=32):
    steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
    steps.append(transforms.Normalize((0.5,), (0.5,)))
    if split == "train":
        steps.insert(0, transforms.RandomHorizontalFlip())
    dataset = datasets.ImageFolder(f"{root}/{split}", transforms.Compose(steps))
    print(len(dataset), "images")
    return DataLoader(dataset, batch_size=batch_size, shuffle=split == "train", num_workers=4)


loaders = [make_loader("a", "train"), make_loader("a", "val"), make_loader("b", "val"), make_loader("c", "val")]
"""


def test_each_loader_of_a_helper_is_known() -> None:
    built = [build.value for build in events(LOADERS, Build)]
    assert sum(isinstance(value, Object) and value.kind == "loader" for value in built) == 4


NETWORK = """
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(width)


blocks = [Block(16), Block(16), Block(32), Block(32)]
"""


def test_each_block_of_a_network_is_built() -> None:
    blocks = [build.value for build in events(NETWORK, Build) if isinstance(build.value, Instance)]
    assert [len(parts_of(block)) for block in blocks] == [4, 4, 4, 4]


FUNCTION = """
def scaled(number, factor=2):
    {steps}
    return number * factor


random.seed(scaled(1))
random.seed(scaled(2))
random.seed(scaled(3))
random.seed(scaled(4))
"""


def test_a_small_function_is_followed_again() -> None:
    small = FUNCTION.format(steps="\n    ".join(["print(number)"] * 3))
    assert [isinstance(value, Const) and value.value for value in probe(small)] == [2, 4, 6, 8]


def test_a_large_one_is_followed_twice() -> None:
    large = FUNCTION.format(steps="\n    ".join(["print(number)"] * 60))
    assert [isinstance(value, Const) and value.value for value in probe(large)] == [2, 4, False, False]
