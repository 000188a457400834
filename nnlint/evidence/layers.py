"""Which layer follows on which: as calls hand on what they compute, or as the layers stand in a ``Sequential``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import libcst as cst

from nnlint.evidence.provenance import everything, operation_of, walk_back_from
from nnlint.rule import Place
from nnlint.symbolic.calls import parameters
from nnlint.symbolic.library import LAYERS
from nnlint.symbolic.scalar import number
from nnlint.symbolic.trace import Apply, Build, Condition, Drop, Forward, Loss, Return, Run, Trace
from nnlint.symbolic.values import Const, Object, Origin, Value, alternatives, resolve_setting, same
from nnlint.symbolic.words import below, words_of

SEQUENTIAL = "torch.nn.Sequential"


def layers_named(*names: str) -> frozenset[str]:
    """The paths of layers of ``torch.nn``; several names in one text are taken apart."""
    return frozenset(f"torch.nn.{name}" for name in " ".join(names).split())


BATCH_NORMS = layers_named("BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm")
MAPPING = layers_named("Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d Linear")
"""Layers with weights and a bias for each channel or feature that comes out."""

ACTIVATIONS = layers_named(
    "ReLU ReLU6 ELU SELU CELU GELU SiLU Mish LeakyReLU PReLU RReLU Hardtanh Hardswish Hardsigmoid Softplus Tanh Sigmoid"
)
ACTIVATING = frozenset(
    "relu relu_ relu6 leaky_relu leaky_relu_ elu elu_ selu celu gelu silu mish prelu tanh sigmoid hardswish hardtanh "
    "softplus".split()
)
"""Functions and methods that do what :data:`ACTIVATIONS` do."""

POOLS = layers_named("MaxPool1d MaxPool2d MaxPool3d")
POOLING = frozenset(("max_pool1d", "max_pool2d", "max_pool3d"))

DROPOUTS = layers_named("Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout")


@dataclass(slots=True, eq=False)
class Use:
    """A layer where it is called, or where it stands in a ``Sequential`` that the file does not call.

    ``before`` and ``after`` are the layers that hand it its operand and that take what it computes, with nothing in
    between. ``shared`` is whether something else gets what it computes, too.
    """

    layer: Object
    place: Place
    conditions: tuple[Condition, ...] = ()
    operand: Value | None = None
    before: list[Use] = field(default_factory=list)
    after: list[Use] = field(default_factory=list)
    shared: bool = False


class Layers:
    """The layers of a file: where each was built, and its uses."""

    def __init__(self, trace: Trace) -> None:
        self.built = {id(event.value): event for event in trace.of(Build)}
        """Where an object was built, by its identity."""
        self._makers: dict[int, Use] = {}
        self._drops = {id(event.place.node): event for event in trace.of(Drop)}
        self.uses = [use for run in trace.runs for use in self._called(run)]
        """All uses, in order."""
        applied = {id(use.layer) for use in self.uses}
        self.uses += [use for run in trace.runs for use in _standing(run, applied)]

    def sources(
        self, use: Use | Origin, *, through: Collection[str] = (), calling: Collection[str] = ()
    ) -> Iterator[Use | Origin]:
        """What hands a layer its operand: other layers, and operations that are none.

        Layers of the paths ``through`` and functions of the names ``calling`` are passed on the way back.
        """
        stack = self._nearest(use, calling)
        while stack:
            found = stack.pop()
            if isinstance(found, Use) and found.layer.path in through:
                stack += self._nearest(found, calling)
            else:
                yield found

    def _nearest(self, use: Use | Origin, calling: Collection[str]) -> list[Use | Origin]:
        value = use.operand if isinstance(use, Use) else use.inputs[0] if use.inputs else None
        if value is None:
            return [] if isinstance(use, Origin) else [*use.before]
        while id(value) not in self._makers:
            origin = value.origin
            if origin is None or not origin.inputs:
                return []
            if operation_of(origin) not in calling:
                return [origin]
            value = origin.inputs[0]
        return [self._makers[id(value)]]

    def share_dropped(self, source: Use | Origin) -> float:
        """The share of its operand that a dropout drops in training; 0 if that is not known, or it is no dropout."""
        if isinstance(source, Use):
            rate = source.layer.arguments.get(0, "p")
            drops = source.layer.path in DROPOUTS and not source.layer.arguments.star
        else:
            drop = self._drops.get(id(source.node))
            rate = None if drop is None else drop.rate
            drops = drop is not None and not same(drop.training, Const(False))
        if not drops:
            return 0.0
        return 0.5 if rate is None else number(resolve_setting(rate)) or 0.0

    def is_called_alone(self, use: Use) -> bool:
        """Whether the call of a use stands for this layer, and not for a ``Sequential`` that it is in."""
        return use.operand is not None and not any(
            other.place.node is use.place.node and other.layer is not use.layer for other in self.uses
        )

    def _called(self, run: Run) -> list[Use]:
        uses: list[Use] = []
        for event in run.of(Apply):
            use = Use(event.layer, event.place, event.context.conditions, event.operand)
            given = alternatives(event.operand)
            for maker in filter(None, (self._makers.get(id(value)) for value in given)):
                maker.after.append(use)
                maker.shared = maker.shared or len(given) > 1
                use.before.append(maker)
            self._makers[id(event.result)] = use
            uses.append(use)
        ends = [event.operand for event in run.of(Apply)]
        ends += [event.value for event in run.of(Return)]
        ends += [event.result for event in run.of(Forward)] + [event.result for event in run.of(Loss)]
        for part in walk_back_from(ends, everything):
            node = None if part.value.origin is None else part.value.origin.node
            for before in everything(part.value):
                source = self._makers.get(id(before.value))
                if source is not None and all(use.place.node is not node for use in source.after):
                    source.shared = True
        return uses


def _standing(run: Run, applied: Collection[int]) -> Iterator[Use]:
    """The uses that the order of layers in a ``Sequential`` speaks of, unless the reading has seen them called."""
    containers = [
        event for event in run.of(Build) if isinstance(event.value, Object) and event.value.path == SEQUENTIAL
    ]
    inner = {id(child) for event in containers if isinstance(event.value, Object) for child in event.value.children}
    for event in containers:
        container = event.value
        if id(container) in inner or not isinstance(container, Object):
            continue
        layers = list(_flattened(container))
        if any(id(layer) in applied for layer in layers):
            continue
        before: Use | None = None
        for layer in layers:
            if not isinstance(layer, Object) or layer.path not in LAYERS:
                before = None
                continue
            use = Use(layer, event.place)
            if before is not None:
                before.after.append(use)
                use.before.append(before)
            before = use
            yield use


def _flattened(container: Object) -> Iterator[Value | None]:
    """The layers of a ``Sequential`` and of those inside of it; None where any may stand."""
    if container.arguments.star:
        yield None
        return
    for child in container.children:
        if isinstance(child, Object) and child.path == SEQUENTIAL:
            yield from _flattened(child)
        elif not isinstance(child, Object) or child.path != "torch.nn.Identity":
            yield child


# --- whether it is always so -----------------------------------------------------------------------------------------


def is_bound_to(place: Place, other: Place) -> bool:
    """Whether what stands at ``place`` is there whenever what stands at ``other`` is, as far as branches decide."""
    inside, around = _branches(place), _branches(other)
    return all(any(branch is each for each in around) for branch in inside)


def _branches(place: Place) -> list[cst.CSTNode]:
    path = place.source.sites([place.node])[id(place.node)].path
    found: list[cst.CSTNode] = [node for node in path if isinstance(node, (cst.If, cst.Else))]
    deciding = [node for node in below(path[-1]) if isinstance(node, (cst.IfExp, cst.BooleanOperation, cst.CompFor))]
    return found + [node for node in deciding if any(each is place.node for each in below(node))]


def holds_whenever(conditions: tuple[Condition, ...], other: tuple[Condition, ...]) -> bool:
    """Whether what happens under ``conditions`` happens whenever what happens under the ``other`` ones does."""
    known = {(id(each.place.node), each.outcome) for each in other}
    return all((id(each.place.node), each.outcome) in known for each in conditions)


def is_spelled_out(place: Place) -> bool:
    """Whether the class that a call builds is the same in every run, and no parameter of a function around it."""
    if not isinstance(place.node, cst.Call):
        return False
    names = words_of(place.node.func)
    path = place.source.sites([place.node])[id(place.node)].path
    functions = [node for node in path if isinstance(node, cst.FunctionDef)]
    return not any(names & {*parameters(node)[0], *parameters(node)[1]} for node in functions)
