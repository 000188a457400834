"""Models that come with pretrained weights, and the inputs they were pretrained on."""

from __future__ import annotations

import re
from dataclasses import dataclass

import libcst as cst

from nnlint.evidence.schedule import argument_of
from nnlint.symbolic.values import Library, Origin, Unknown, Value

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""A mean and a standard deviation by channel, for pictures between 0 and 1."""

IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Those of ImageNet."""

OWN: dict[str, Statistics] = {"efficientnet_v2_l": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))}
"""Those of the models of torchvision that were not pretrained with those of ImageNet."""

KEEPING = frozenset(
    ".to .cuda .cpu .eval .train .float .half .requires_grad_ torch.nn.DataParallel torch.compile "
    "torch.nn.parallel.DistributedDataParallel".split()
)
"""What is done to a model that stays the same one."""

NORMALIZING = re.compile(
    r"\.detection\.|\.video\.|\.optical_flow\.|\.quantization\.|inception|googlenet|raft|mobilevit"
)
"""Models that normalize inside, or expect other inputs: those of timm's that take pictures between 0 and 1, too."""

WEIGHTS = re.compile(r"DEFAULT|IMAGENET1K\w*|COCO\w*")
"""What weights of torchvision are called in their enumeration."""


@dataclass(frozen=True, slots=True, eq=False)
class Pretrained:
    """A model that is built with pretrained weights: its name, and where."""

    name: str
    built: Origin

    @property
    def statistics(self) -> Statistics | None:
        """What the pictures of its pretraining were normalized with; None for a model of timm, which has its own."""
        return None if self.built.op.startswith("timm.") else OWN.get(self.name, IMAGENET)


def pretrained(model: Value) -> Pretrained | None:
    """The pretrained classifier or segmenter of torchvision or timm that a value is; None if it is none."""
    for _ in range(6):
        origin = model.origin
        if origin is None or not isinstance(model, Unknown):
            return None
        if origin.op.startswith(("torchvision.models.", "timm.create_model")):
            name = _name(origin)
            known = not NORMALIZING.search(f"{origin.op} {name}") and has_weights(origin)
            return Pretrained(name, origin) if known else None
        if origin.op not in KEEPING or not origin.inputs:
            return None
        model = origin.inputs[0]
    return None


def _name(origin: Origin) -> str:
    """What the model is called: by the function that builds it, or by what that is given."""
    named = argument_of(origin.node, 0, "model_name") if origin.op == "timm.create_model" else None
    return named.raw_value if isinstance(named, cst.SimpleString) else origin.op.rpartition(".")[2]


def has_weights(origin: Origin) -> bool:
    """Whether the call that builds a model says that it loads pretrained weights."""
    if origin.op == "timm.create_model":
        given = argument_of(origin.node, 1, "pretrained")
        return isinstance(given, cst.Name) and given.value == "True"
    weights, flag = argument_of(origin.node, 99, "weights"), argument_of(origin.node, 0, "pretrained")
    if isinstance(flag, cst.Name) and flag.value == "True":
        return True
    if isinstance(weights, cst.SimpleString):
        return True
    if isinstance(weights, cst.Attribute):
        return WEIGHTS.fullmatch(weights.attr.value) is not None
    named = [each.path.rpartition(".")[2] for each in origin.inputs if isinstance(each, Library)]
    return isinstance(weights, cst.Name) and any(map(WEIGHTS.fullmatch, named))
