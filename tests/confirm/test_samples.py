"""The experiments on samples: those of evaluation data loaded again, and those that two workers load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nnlint.verdict import Json
from tests.confirm import harness

if TYPE_CHECKING:
    from nnlint.confirm.runner import Laboratory

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
AUGMENTED = FIXTURES / "augmented_evaluation_data_confirm"
COPIED = FIXTURES / "duplicated_worker_randomness_confirm"

Write = Callable[[str, str], Path]
Repaired = Callable[[Path, str, Mapping[str, str]], Mapping[str, Json]]


def figures(answer: Mapping[str, Json]) -> Mapping[str, Json]:
    found = answer["figures"]
    assert isinstance(found, dict)
    return found


# --- evaluation data -------------------------------------------------------------------------------------------------

PLAIN = {
    "v2.RandomHorizontalFlip(p=flips)": "v2.Identity()",
    "v2.ColorJitter(hue=0.1)": "v2.Identity()",
}


@pytest.mark.parametrize(
    ("fixture", "changes"),
    [
        ("shared_by_split.py", PLAIN),
        ("rare_flips.py", {"T.RandomVerticalFlip(p=0.1)": "T.Lambda(lambda leaf: leaf)"}),
        ("rare_flips.py", {'Leaves("leaves", "test", transform)': 'Leaves("leaves", "test", T.ToTensor())'}),
        (
            "shared_by_split.py",
            {"    return DataLoader(": "    val_set.dataset.transform = v2.ToImage()\n    return DataLoader("},
        ),
    ],
)
def test_a_transform_that_draws_nothing_flips_the_verdict(
    fixture: str, changes: Mapping[str, str], repaired: Repaired
) -> None:
    before, after = repaired(AUGMENTED / fixture, "NN104", {}), repaired(AUGMENTED / fixture, "NN104", changes)
    assert before["outcome"] == "confirmed"
    assert after["outcome"] == "refuted", after["summary"]
    assert figures(after)["draws"] == 66


@pytest.mark.parametrize(
    ("fixture", "changes"),
    [
        ("switched_off.py", {'"AUGMENTATION_STRENGTH", "0"': '"AUGMENTATION_STRENGTH", "1"'}),
        ("whole_crops.py", {"resize((SIDE, SIDE))": "resize((SIDE + 8, SIDE + 8))"}),
    ],
)
def test_a_transform_that_does_something_flips_the_verdict(
    fixture: str, changes: Mapping[str, str], repaired: Repaired
) -> None:
    assert repaired(AUGMENTED / fixture, "NN104", {})["outcome"] == "refuted"
    assert repaired(AUGMENTED / fixture, "NN104", changes)["outcome"] == "confirmed"


def test_what_decides_is_named(repaired: Repaired) -> None:
    path = AUGMENTED / "rare_flips.py"
    by_torch = repaired(path, "NN104", {})
    assert figures(by_torch)["generator"] == "torch's generator"
    numbered = {
        "import torch\nfrom PIL": "import numpy\nimport torch\nfrom PIL",
        "        leaf = ": "        torch.manual_seed(numpy.random.randint(1000))\n        leaf = ",
    }
    assert figures(repaired(path, "NN104", numbered))["generator"] == "numpy's generator"
    seeded = {"        leaf = ": "        torch.manual_seed(index)\n        leaf = "}
    assert repaired(path, "NN104", seeded)["outcome"] == "refuted"


def test_a_transform_with_a_generator_of_its_own(repaired: Repaired) -> None:
    own = {
        "torch.manual_seed(0)\n": (
            "torch.manual_seed(0)\n\n\nclass Turn(T.RandomVerticalFlip):\n    def __init__(self, p):\n"
            "        super().__init__(p)\n        self.own = __import__('random').Random(3)\n\n"
            "    def forward(self, leaf):\n"
            "        return leaf.rotate(90 * self.own.randrange(4))\n"
        ),
        "T.RandomVerticalFlip(p=0.1)": "Turn(p=0.1)",
    }
    answer = repaired(AUGMENTED / "rare_flips.py", "NN104", own)
    assert answer["outcome"] == "confirmed"
    assert figures(answer)["generator"] == "a generator of its own"


def test_a_sample_that_does_not_show_its_picture(repaired: Repaired) -> None:
    answer = repaired(
        AUGMENTED / "rare_flips.py", "NN104", {'return {"leaf": self.transform(leaf)': 'return {"leaf": torch.rand(4)'}
    )
    assert answer["outcome"] == "inconclusive"
    assert "no part of a sample shows the picture" in str(answer["summary"])


# --- workers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fixture", "changes"),
    [
        (
            "speckled_photos.py",
            {
                "class Photos": (
                    "def begin(worker):\n    info = torch.utils.data.get_worker_info()\n"
                    "    info.dataset.rng = random.Random(info.seed)\n\n\nclass Photos"
                ),
                "num_workers=4)": "num_workers=4, worker_init_fn=begin)",
            },
        ),
        (
            "endless_tones.py",
            {
                "        while True:": (
                    "        info = torch.utils.data.get_worker_info()\n"
                    "        self.rng = np.random.default_rng(info.seed)\n        while True:"
                )
            },
        ),
    ],
)
def test_workers_that_are_told_apart_flip_the_verdict(
    fixture: str, changes: Mapping[str, str], repaired: Repaired
) -> None:
    before, after = repaired(COPIED / fixture, "NN105", {}), repaired(COPIED / fixture, "NN105", changes)
    assert before["outcome"] == "confirmed"
    assert (figures(before)["equal"], figures(before)["equal_if_apart"]) == (16, 0)
    assert after["outcome"] == "refuted", after["summary"]
    assert (figures(after)["begun"], figures(after)["equal"]) == (0, 0)


def test_a_generator_that_is_not_made_anew_flips_the_verdict(write: Write, repaired: Repaired) -> None:
    text = (COPIED / "by_sample.py").read_text(encoding="utf-8")
    path = write(
        "train.py", text.partition("class Masked")[0] + 'loader = DataLoader(Series("a.npy"), num_workers=2)\n'
    )
    assert repaired(path, "NN105", {})["outcome"] == "refuted"
    assert repaired(path, "NN105", {"        begin_anew(self, index)\n": ""})["outcome"] == "confirmed"


def test_lasting_workers_draw_on_in_the_next_epoch(repaired: Repaired) -> None:
    path = COPIED / "speckled_photos.py"
    assert figures(repaired(path, "NN105", {}))["again"] is True
    lasting = repaired(path, "NN105", {"num_workers=4)": "num_workers=4, persistent_workers=True)"})
    assert lasting["outcome"] == "confirmed"
    assert figures(lasting)["again"] is False


def test_one_worker_has_no_like(repaired: Repaired) -> None:
    answer = repaired(COPIED / "speckled_photos.py", "NN105", {"num_workers=4)": "num_workers=1)"})
    assert answer["outcome"] == "inconclusive"
    assert "num_workers is 1 here" in str(answer["summary"])


def test_numbers_that_tell_nothing(repaired: Repaired) -> None:
    same = {"rng.randint(0, image.shape[0] - size), rng.randint(0, image.shape[1] - size)": "rng.randint(3, 3), 3"}
    answer = repaired(COPIED / "speckled_photos.py", "NN105", same)
    assert answer["outcome"] == "inconclusive"
    assert "where each has a seed of its own, 16 are" in str(answer["summary"])


def test_numpy_is_seeded_in_workers_by_torch(laboratory: Laboratory) -> None:
    import torch

    (found,) = harness.confirmed_findings(FIXTURES / "duplicated_worker_randomness_by_numpy", laboratory.run)
    assert found.verdict is not None
    version = torch.__version__.partition("+")[0]
    assert f"with torch {version} none of the 16 draws" in found.verdict.summary
    assert found.verdict.assumptions == (f"torch {version}, though the project asks for one below 1.9",)


@pytest.mark.parametrize(
    ("path", "code"), [(COPIED / "endless_tones.py", "NN105"), (AUGMENTED / "rare_flips.py", "NN104")]
)
def test_the_figures_are_the_same_in_every_run(path: Path, code: str, repaired: Repaired) -> None:
    first, second = (repaired(path, code, {}) for _ in range(2))
    assert first["figures"] == second["figures"]
    assert first["summary"] == second["summary"]
