"""Image and target, compared by where their pixels come from; the verdict turns when the bug is repaired."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nnlint.confirm.worker.anything import Anything, decisions, is_missing
from nnlint.verdict import Json

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")

Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]

HEAD = """
import random

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import Dataset


class Pairs(Dataset):
    def __init__(self, images, targets):
        self.images, self.targets = images, targets

    def __len__(self):
        return len(self.images)

"""

MASKS = """
    def __getitem__(self, index):
        image = Image.open(self.images[index]).convert("RGB")
        mask = Image.open(self.targets[index])
        if random.random() < 0.5:
            image = ImageOps.mirror(image)
        return np.array(image), np.array(mask)


pairs = Pairs(["a.png"], ["b.png"])
"""

BOXES = """
    def __getitem__(self, index):
        image = np.array(Image.open(self.images[index]))
        boxes = torch.as_tensor(self.targets[index])
        if np.random.rand() < 0.5:
            image = np.fliplr(image).copy()
        return {"image": image, "boxes": boxes}
"""

APART = """
    def turned(self, picture, angle):
        return picture.rotate(angle)

    def __getitem__(self, index):
        image, mask = Image.open(self.images[index]), Image.open(self.targets[index])
        angle = random.uniform(-30, 30)
        image = self.turned(image, angle)
        angle = random.uniform(-30, 30)
        mask = self.turned(mask, angle)
        return np.array(image), np.array(mask)


pairs = Pairs(["a.png"], ["b.png"])
"""

FLAG = """
    def boxes(self, index, as_tensor=False, flip=False):
        boxes = self.targets[index]
        if flip:
            boxes[:, [0, 2]] = 1 - boxes[:, [2, 0]]
        return torch.as_tensor(boxes) if as_tensor else boxes

    def __getitem__(self, index):
        image = Image.open(self.images[index])
        flip = random.random() < 0.5
        if flip:
            image = image.transpose(Image.FLIP_LEFT_RIGHT)
        return image, self.boxes(index, flip)
"""

SWITCHED = """
    def __getitem__(self, index):
        image = Image.open(self.images[index])
        mask = Image.open(self.targets[index])
        if random.random() < 0.5:
            image = ImageOps.mirror(image)
        return np.array(image), np.array(mask), self.options["name"] if self.options.verbose else ""
"""


def script(folder: Path, body: str) -> Path:
    path = folder / "train.py"
    path.write_text(HEAD.lstrip() + body.lstrip("\n"), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("code", "body", "changes"),
    [
        (
            "NN101",
            MASKS,
            {"random() < 0.5:\n": "random() < 0.5:\n            mask = ImageOps.mirror(mask)\n"},
        ),
        (
            "NN101",
            BOXES,
            {"rand() < 0.5:\n": "rand() < 0.5:\n            boxes[:, [0, 2]] = image.shape[1] - boxes[:, [2, 0]]\n"},
        ),
        ("NN102", APART, {"        angle = random.uniform(-30, 30)\n        mask": "        mask"}),
        ("NN101", FLAG, {"(index, flip)": "(index, flip=flip)"}),
    ],
    ids=["mask", "boxes", "two draws", "flag"],
)
def test_the_verdict_turns_when_the_bug_is_repaired(
    code: str, body: str, changes: Mapping[str, str], tmp_path: Path, repaired: Repaired
) -> None:
    path = script(tmp_path, body)
    before, after = repaired(path, code, {}), repaired(path, code, changes)
    assert (before["outcome"], after["outcome"]) == ("confirmed", "refuted"), (before, after)


def test_figures(tmp_path: Path, repaired: Repaired) -> None:
    path = script(tmp_path, MASKS)
    first, second = repaired(path, "NN101", {}), repaired(path, "NN101", {})
    assert first["figures"] == second["figures"]
    figures = first["figures"]
    assert isinstance(figures, Mapping)
    assert figures["picture"] == [96, 128]
    # Mirrored, a pixel of 128 lies 64 from itself on average.
    assert figures["offsets"] == [64.0, 64.0]
    assert figures["apart"] == 8
    assert "66" in str(repaired(path, "NN101", {"random.random() < 0.5": "random.random() < 0"})["summary"])


def test_a_rare_flip_is_seen(tmp_path: Path, repaired: Repaired) -> None:
    path = script(tmp_path, MASKS.replace("0.5", "0.1"))
    answer = repaired(path, "NN101", {})
    assert answer["outcome"] == "confirmed"
    assert "of 66 draws" in str(answer["summary"])


def test_a_missing_value_that_decides_makes_it_inconclusive(tmp_path: Path, repaired: Repaired) -> None:
    answer = repaired(script(tmp_path, SWITCHED), "NN101", {})
    assert answer["outcome"] == "inconclusive"
    assert answer["summary"] == "Pairs has no options, and it decides what happens in a sample"


# --- pictures --------------------------------------------------------------------------------------------------------


def seen(stage: Any, move: Callable[[Any], Any], kind: str, *, is_target: bool = False) -> Any:
    """The signs of what is shown, moved, in a type."""
    from nnlint.confirm.worker.pairs.coded_pictures import signs, surface

    plane = stage.shown
    surfaces = []
    for each in (plane, ~plane):
        stage.show(each)
        surfaces.append(surface(move(stage.picture(kind, is_target=is_target))))
    stage.show(plane)
    return signs(*surfaces)


KINDS = (
    "pil",
    "pil gray",
    "array",
    "array gray",
    "tensor",
    "torchvision.io.read_image",
    "numpy.load",
    "cv2.imread gray",
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_shows_the_same(kind: str) -> None:
    from nnlint.confirm.worker.pairs.coded_pictures import Stage
    from nnlint.confirm.worker.pairs.sightings import disagreement

    stage = Stage((24, 40), (0, 1))
    wanted = stage.shown.float() * 2 - 1
    assert torch.equal(seen(stage, lambda picture: picture, kind), wanted)
    assert torch.equal(seen(stage, lambda picture: picture, kind, is_target=True), wanted)
    mirrored = seen(stage, lambda picture: picture, kind).flip(1)
    share = disagreement(mirrored, wanted)
    assert share is not None and share > 0.3


def test_values_do_not_matter() -> None:
    from nnlint.confirm.worker.pairs.coded_pictures import Stage
    from nnlint.confirm.worker.pairs.sightings import disagreement

    stage = Stage((48, 64))
    plain = seen(stage, lambda picture: picture, "tensor")
    changed = seen(stage, lambda picture: 0.3 - 2 * picture.mean(0, keepdim=True), "tensor")
    assert disagreement(plain, changed) == 0
    classes = seen(stage, lambda mask: torch.nn.functional.one_hot((mask > 7).long(), 5), "tensor", is_target=True)
    assert disagreement(plain, classes) == 0
    smaller = seen(stage, lambda picture: picture[:, ::2, ::2], "tensor")
    assert disagreement(plain, smaller) == 0


@pytest.mark.parametrize("axis", [0, 1])
def test_the_gray_code_is_read_off(axis: int) -> None:
    from nnlint.confirm.worker.pairs.coded_pictures import Digit, decoded

    size = (32, 64)
    planes = [Digit(axis, number).plane(*size, 4) for number in range(4)]
    steps = decoded([plane.float() * 2 - 1 for plane in planes])
    along = steps[:, 0] if axis == 0 else steps[0]
    assert along.tolist() == [place * 16 // size[axis] for place in range(size[axis])]


def test_points_are_found_where_they_went() -> None:
    from nnlint.confirm.worker.pairs.places import Places, moved_points

    rows, columns = torch.meshgrid(torch.arange(20) + 0.5, torch.arange(30) + 0.5, indexing="ij")
    mirrored = torch.stack([rows, columns.flip(1)])
    assert moved_points(((5.5, 4.5),), mirrored, 1.0) == [(24.5, 4.5)]
    assert moved_points(((40.0, 4.5),), mirrored, 1.0) is None
    boxes = Places("boxes", 20, 30, "list")
    assert boxes.expected([(24.0, 4.0), (10.0, 8.0)]) == [10.0, 4.0, 24.0, 8.0]
    formats = boxes.formats()
    box = [10.0, 4.0, 24.0, 8.0]
    assert formats["x, y, width, height"](box, 30, 20) == [10, 4, 14, 4]
    assert formats["center, width, height in shares"](box, 30, 20) == pytest.approx([17 / 30, 0.3, 14 / 30, 0.2])


# --- missing values --------------------------------------------------------------------------------------------------


def test_missing_values_are_unpacked() -> None:
    missing: Any = Anything("it is not there")
    (first, second), third = missing
    assert all(map(is_missing, (first, second, third)))
    assert list(missing) == [] and not any(True for _ in missing)


def test_missing_values_that_decide_are_noted() -> None:
    missing: Any = Anything("it is not there")
    with decisions() as decided:
        first, second = missing
        assert first is not second
        assert not decided
        assert not missing.flag
        assert decided == ["it is not there"]
    assert not missing.flag
    assert len(decided) == 1


# --- files that are not there ----------------------------------------------------------------------------------------


def test_files_that_are_not_there(tmp_path: Path) -> None:
    import glob
    import os

    from nnlint.confirm.worker.bench import Bench
    from nnlint.confirm.worker.pairs.coded_pictures import Stage
    from nnlint.confirm.worker.pairs.virtual_files import virtual_files

    there = tmp_path / "there.txt"
    there.write_text("one line", encoding="utf-8")
    bench = Bench("cpu", lambda works: [work() for work in works])
    missing: Any = Anything("the argument root is not given")
    with virtual_files(Stage((24, 40)), bench):
        assert there.read_text(encoding="utf-8") == "one line"
        assert next(name for name in os.listdir("data/images") if name.endswith(".jpg")) == "0000.jpg"
        assert glob.glob("data/*/*.png")[1] == "data/0000/0001.png"
        assert len(list(Path("data").glob("*.png"))) == 4
        assert os.path.exists("data/images")
        with open("data/train.txt", encoding="utf-8") as lines:
            assert len(next(lines).split()) == 2
        with open("data/images/0000.png", "rb") as file:
            assert Image.open(file).size == (40, 24)
        assert Image.open(os.path.join(missing, "a.png")).size == (40, 24)
        assert is_missing(torch.tensor(missing))
        with pytest.raises(FileNotFoundError):
            Path("data/options.json").read_text(encoding="utf-8")
    assert not os.path.exists("data/images")
    assert len(bench.stood_in) == 3


def test_what_packages_look_for_is_no_data(tmp_path: Path) -> None:
    import os

    from nnlint.confirm.worker.bench import Bench
    from nnlint.confirm.worker.pairs.coded_pictures import Stage
    from nnlint.confirm.worker.pairs.virtual_files import virtual_files

    with virtual_files(Stage((24, 40)), Bench("cpu", list)):
        # As cv2 does, wherever it is installed.
        assert not os.path.exists(tmp_path / "package" / "config-3.py")
        assert os.path.exists(tmp_path / "pictures" / "0001.png")


def test_an_archive_has_its_arrays_by_name(tmp_path: Path) -> None:
    from nnlint.confirm.worker.bench import Bench
    from nnlint.confirm.worker.pairs.coded_pictures import Stage
    from nnlint.confirm.worker.pairs.virtual_files import virtual_files

    with virtual_files(Stage((24, 40)), Bench("cpu", list)):
        stored = np.load(tmp_path / "cells.npz")
    assert type(stored["cells"]) is np.ndarray
    assert stored["cells"].shape == stored.shape == (24, 40)


def test_a_single_box_is_compared_alone(repaired: Repaired, tmp_path: Path) -> None:
    path = tmp_path / "boxes.py"
    lines = """
    def __getitem__(self, index):
        image = Image.open(self.images[index])
        box = torch.tensor(self.targets[index]["bbox"])
        assert int(box[0]) < int(box[2])
        mirrored = random.random() < 0.5
        if mirrored:
            image = ImageOps.mirror(image)
        return {"image": torch.from_numpy(np.array(image)), "bbox": box}
"""
    path.write_text(HEAD + lines)
    assert repaired(path, "NN101", {})["outcome"] == "confirmed"
    repair = "torch.tensor([image.width - box[2], box[1], image.width - box[0], box[3]]) if mirrored else box}"
    answer = repaired(path, "NN101", {"box}": repair})
    assert answer["outcome"] == "refuted", answer["summary"]


def test_a_missing_package_is_named_where_samples_cannot_be_had(repaired: Repaired, tmp_path: Path) -> None:
    path = tmp_path / "faces.py"
    lines = """
    def __getitem__(self, index):
        image = Image.open(self.images[index])
        keypoints = self.targets[index]
        if random.random() < 0.5:
            image = ImageOps.mirror(image)
        return image, np.array(keypoints)
"""
    path.write_text("import scale_of_faces as scale\n" + HEAD + lines)
    assert repaired(path, "NN101", {})["outcome"] == "confirmed"
    lacking = {"np.array(keypoints)": "np.array(keypoints).reshape(scale.pixels(image))"}
    answer = repaired(path, "NN101", lacking)
    assert answer["outcome"] == "inconclusive"
    assert "the package scale_of_faces, which is not installed" in str(answer["summary"]), answer["summary"]
