"""A value that nobody gives: it goes through any code, and carries a gradient to the parameters that it came from.

Inside it is one number of torch, with a graph: sums, products and quotients with numbers are what they are, so that a
loss divided by four sends a quarter of the gradient; of any other operation the result depends on all operands.
"""

from __future__ import annotations

import operator
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ..asked import Sizes, unpacked

BATCH = 8
"""Examples in a batch that nobody gives."""

SIZES = (BATCH, 3, 32, 32)
"""Its shape, as far as anybody asks."""

COUNT = 2
"""What a number is that nobody gives where it counts something."""

MODEL = re.compile(
    r"(^|_)(model|net|network|module|encoder|decoder|generator|discriminator|gen|disc|backbone|critic|actor|"
    r"policy|student|teacher|g|d|gan|vae|transformer|classifier|head|ema)_?\w?$",
    re.IGNORECASE,
)
"""Names of values that are models where they are called."""

SCHEDULER = re.compile(r"sched|lr_|_lr$|warmup|anneal|decay|logger|writer|timer|meter|ema", re.IGNORECASE)
"""Names of values whose ``step`` moves no parameters."""

_SAME = frozenset(
    "to cuda cpu float double half bfloat16 clone contiguous type requires_grad_ long int view reshape mean sum "
    "squeeze unsqueeze flatten permute transpose unsqueeze_ retain_grad share_memory apply apply_ compile".split()
)
"""Methods that leave the one number inside as it is."""

_WRAPPERS = re.compile(r"tqdm|track|progress|^bar$|wrap|prepare|parallel", re.IGNORECASE)
"""Names of functions that hand on what they are given."""


class World(Protocol):
    """What stand-ins ask of the run that they are in."""

    batches: int

    def guess(self, name: str, *, size: bool) -> None:
        """A number is made up for what nobody gives; whether it is the ``size`` of something."""

    def is_true(self, frame: Any) -> bool:
        """The outcome of a test that a frame makes."""

    def draw(self) -> float:
        """A number, the same in every run."""

    def parameter(self, name: str) -> Any:
        """The only parameter of a model."""

    def called(self, model: StandIn, arguments: Sequence[Any]) -> Any:
        """What a model computes."""

    def stepped(self, optimizer: StandIn) -> None:
        """A step of an optimizer."""

    def cleared(self, owner: StandIn) -> None:
        """``zero_grad`` of a model or an optimizer."""

    def switched(self, model: StandIn, training: bool) -> None:
        """``train()`` or ``eval()`` of a model."""


class StandIn:
    """Stands for a value of any sort; ``name`` is what the user calls it, or why it is missing.

    ``examples`` is how many there are in the batch that it is made of, if anybody knows.
    """

    def __init__(self, name: str, world: World, number: Any = None, examples: int | None = None) -> None:
        set_ = object.__setattr__
        set_(self, "_name", name)
        set_(self, "_world", world)
        set_(self, "_number", number)
        set_(self, "_examples", examples)
        set_(self, "_parts", {})
        set_(self, "_parameters", [])
        set_(self, "training", True)

    # --- the number inside -------------------------------------------------------------------------------------------

    @property
    def _inside(self) -> Any:
        import torch

        if self._number is None:
            object.__setattr__(self, "_number", torch.tensor(self._world.draw()))
        return self._number

    def _new(self, number: Any, name: str = "") -> StandIn:
        return StandIn(name or self._name, self._world, number, self._examples)

    def _of(self, given: Any, number: Any, name: str = "") -> StandIn:
        """What comes of this and of what is given."""
        examples = self._examples if self._examples is not None else examples_in(given)
        return StandIn(name or self._name, self._world, number, examples)

    @property
    def _last(self) -> str:
        """The last word of the name: ``G`` of ``models['G']``."""
        words = re.findall(r"\w+", self._name)
        return words[-1] if words else ""

    @property
    def is_model(self) -> bool:
        """Whether it is called for what a model computes."""
        return bool(self._parameters) or MODEL.search(self._last) is not None

    def _part(self, key: str) -> Any:
        if key not in self._parts:
            self._parts[key] = self._new(self._number, f"{self._name}{key}")
        return self._parts[key]

    # --- as a model or an optimizer ----------------------------------------------------------------------------------

    def _own(self) -> list[Any]:
        """The parameters of what is a model."""
        if not self._parameters:
            self._parameters.append(self._world.parameter(self._name))
        return list(self._parameters)

    def parameters(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """The parameters of a model."""
        return iter(self._own())

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """The same with names."""
        return iter([("weight", each) for each in self._own()])

    def train(self, mode: Any = True, *args: Any) -> Any:
        """Train mode; a function that trains, if it is given anything else."""
        if isinstance(mode, bool):
            self._world.switched(self, mode)
        return self if isinstance(mode, bool) else self._new(None)

    def eval(self, *args: Any) -> Any:
        """Eval mode."""
        self._world.switched(self, False)
        return self

    def zero_grad(self, *args: Any, **kwargs: Any) -> None:
        """Clears gradients."""
        self._world.cleared(self)

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """A step of an optimizer, or of what steps an optimizer that it is given."""
        given = args[0] if args else None
        if given is not None and hasattr(given, "param_groups"):
            given.step()
        elif isinstance(given, StandIn) and not SCHEDULER.search(self._last):
            self._world.stepped(given)
        elif not SCHEDULER.search(self._last):
            if callable(given):
                given()
            self._world.stepped(self)
        return self._new(None)

    # --- as a tensor -------------------------------------------------------------------------------------------------

    def backward(self, *args: Any, **kwargs: Any) -> None:
        """Computes gradients of the number inside."""
        import torch

        torch.autograd.backward(self, *args, **kwargs)

    def detach(self) -> Any:
        """The number inside without its graph."""
        return self._new(self._inside.detach())

    detach_ = numpy = tolist = data_ptr = detach

    @property
    def data(self) -> Any:
        """The same."""
        return self.detach()

    def item(self) -> float:
        """The number inside."""
        return float(self._inside)

    @property
    def requires_grad(self) -> bool:
        """Whether it has a graph."""
        return bool(self._inside.requires_grad)

    @property
    def grad_fn(self) -> Any:
        """The end of its graph."""
        return self._inside.grad_fn

    @property
    def grad(self) -> Any:
        """None: what is given is no leaf."""
        return None

    @property
    def module(self) -> Any:
        """What a wrapper of models holds."""
        return self

    @property
    def shape(self) -> Any:
        """As many sizes as anybody asks for."""
        return Sizes((len(self), *SIZES[1:]))

    @property
    def device(self) -> Any:
        """The CPU."""
        import torch

        return torch.device("cpu")

    @property
    def dtype(self) -> Any:
        """That of most tensors."""
        import torch

        return torch.float32

    def size(self, axis: Any = None) -> Any:
        """One of its sizes, or all."""
        return self.shape if axis is None else self.shape[axis]

    # --- as anything -------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        if name in _SAME:
            return _Same(self, name)
        return self._part(f".{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "training":
            object.__setattr__(self, name, value)
        else:
            self._parts[f".{name}"] = value

    def __delattr__(self, name: str) -> None:
        self._parts.pop(f".{name}", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What comes of it: of a model an output, of a wrapper what it is given."""
        given = [*args, *kwargs.values()]
        if len(given) == 1 and (isinstance(given[0], type) or type(given[0]).__name__ == "function"):
            return given[0]
        if args and _WRAPPERS.search(self._last):
            return args[0] if len(args) == 1 else args
        if self.is_model and any(carries_number(each) for each in flat(given)):
            return self._world.called(self, given)
        return self._of(given, mixed(given, self._world, self._number), f"{self._name}(…)")

    def __getitem__(self, key: Any) -> Any:
        return self._part(f"[{key!r}]") if isinstance(key, (str, int)) else self._new(self._number)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, (str, int)):
            self._parts[f"[{key!r}]"] = value

    def __delitem__(self, key: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        if re.search(r"param(eter)?s?$", self._last):
            return iter(self._own())
        count = _count_unpacked(sys._getframe(1))
        if count is None:
            self._world.guess(self._name, size=False)
        return iter([self._part(f"[{number}]") for number in range(self._world.batches if count is None else count)])

    def __next__(self) -> Any:
        return self._part("[0]")

    def __len__(self) -> int:
        if self._examples is None:
            self._world.guess(self._name, size=True)
        return BATCH if self._examples is None else self._examples

    def __bool__(self) -> bool:
        return bool(self._world.is_true(sys._getframe(1)))

    def __index__(self) -> int:
        self._world.guess(self._name, size=False)
        return COUNT

    __int__ = __index__

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        import numpy

        # Without this numpy would take it for a list of lists of lists, for ever.
        return numpy.asarray(float(self), dtype)

    def __fspath__(self) -> str:
        return re.sub(r"[^\w.-]+", "_", self._name) or "missing"

    def __float__(self) -> float:
        return float(self._inside)

    def __round__(self, digits: Any = None) -> Any:
        return round(float(self), digits)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __contains__(self, item: object) -> bool:
        return bool(self._world.is_true(sys._getframe(1)))

    def __hash__(self) -> int:
        return id(self)

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return ()

    def __deepcopy__(self, memory: Any) -> Any:
        return self._new(self._number)

    def __neg__(self) -> Any:
        return self._new(-self._inside)

    def __repr__(self) -> str:
        return f"<{self._name}>"

    def __format__(self, spec: str) -> str:
        return str(self._name)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        import torch

        given = [*args, *(kwargs or {}).values()]
        name = getattr(function, "__name__", "").strip("_")
        one = next(each for each in flat(given) if isinstance(each, StandIn))
        if name in ("isnan", "isinf"):
            return torch.tensor(False)
        if name in ("isfinite", "allclose", "equal"):
            return torch.tensor(True)
        if name in _NUMERIC and len(args) == 2:
            return one._of(given, _NUMERIC[name](*(_number(each) for each in args)))
        if name in ("mean", "sum", "to", "clone", "squeeze", "reshape", "view", "flatten") and args[0] is one:
            return one._new(one._inside)
        return one._of(given, mixed(given, one._world))


def _count_unpacked(frame: Any) -> int | None:
    """How many values the line that iterates wants to unpack; None if it loops."""
    names = unpacked(frame)
    return None if names is None else len(names)


class _Same:
    """A method, or attribute, that leaves the number inside as it is."""

    def __init__(self, owner: StandIn, name: str) -> None:
        self._owner = owner
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._owner

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return getattr(self._owner, name)


def flat(values: Any) -> Iterator[Any]:
    """What is in lists, tuples and dicts."""
    for value in values:
        if isinstance(value, (list, tuple)) and not isinstance(value, Sizes):
            yield from flat(value)
        elif isinstance(value, dict):
            yield from flat(value.values())
        else:
            yield value


def carries_number(value: Any) -> bool:
    """Whether a value is a tensor, or stands for one."""
    import torch

    return isinstance(value, torch.Tensor) or (isinstance(value, StandIn) and value._number is not None)


def examples_in(values: Any) -> int | None:
    """How many examples are in the batch that some values are made of; None if nobody knows."""
    known = (each._examples for each in flat(values) if isinstance(each, StandIn))
    return next((examples for examples in known if examples is not None), None)


def mixed(values: Any, world: World, number: Any = None) -> Any:
    """One number that depends on all tensors among some values."""
    import torch

    parts = [] if number is None else [number]
    for value in flat(values):
        if isinstance(value, StandIn):
            if value._number is not None:
                parts.append(value._number)
        elif isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel():
            parts.append(value.mean())
    parts = [each for each in parts if each.requires_grad] or parts[:1]
    total = torch.tensor(world.draw())
    for each in parts:
        total = total + each.cpu() * (1 + world.draw())
    return total


def _number(value: Any) -> Any:
    import torch

    if isinstance(value, StandIn):
        return value._inside
    if isinstance(value, torch.Tensor):
        return value.float().mean() if value.numel() > 1 else value
    return value


_NUMERIC: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "truediv": operator.truediv,
    "radd": lambda one, other: other + one,
    "rmul": lambda one, other: other * one,
    "rsub": lambda one, other: other - one,
    "rtruediv": lambda one, other: other / one,
    "rdiv": lambda one, other: other / one,
    "true_divide": operator.truediv,
}


def _arithmetic(name: str, reflected: bool) -> Callable[[Any, Any], Any]:
    apply = _NUMERIC.get(name)

    def method(self: Any, other: Any) -> Any:
        import torch

        if apply is not None and isinstance(other, (int, float, StandIn, torch.Tensor)):
            both = (_number(other), self._inside) if reflected else (self._inside, _number(other))
            return self._of([other], apply(*both))
        return self._of([other], mixed([self, other], self._world))

    return method


for _name in "add sub mul truediv matmul floordiv mod pow and or xor lshift rshift".split():
    setattr(StandIn, f"__{_name}__", _arithmetic(_name, reflected=False))
    setattr(StandIn, f"__r{_name}__", _arithmetic(_name, reflected=True))
for _name in "lt le gt ge eq ne".split():
    setattr(StandIn, f"__{_name}__", lambda self, other: self._of([other], None))
for _name in "pos abs invert".split():
    setattr(StandIn, f"__{_name}__", lambda self: self._new(self._number))
