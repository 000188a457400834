"""A value that nobody gives: it becomes the tensor or the number that the user's lines want it to be."""

from __future__ import annotations

import dis
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..asked import keys_in, unpacked
from .demands import ARITHMETIC, NUMBER, OPEN, Demand, demanded
from .supply import BATCHES, RESULT, Supply

SAME = frozenset("to cuda cpu float double half bfloat16 detach clone contiguous type requires_grad_ long int".split())
"""Methods that keep the shape: what they are called on need not be known yet."""

TENSOR = frozenset(
    "view reshape mean sum pow abs size dim shape device dtype permute transpose squeeze unsqueeze flatten softmax "
    "log_softmax sigmoid argmax max min gather item numel ndim new_zeros new_ones new_tensor expand repeat chunk split "
    "clamp clip log exp square sqrt norm any all eq ne gt lt ge le type_as expand_as view_as is_cuda requires_grad "
    "backward masked_fill masked_select index_select div mul add sub t T mm matmul bmm std var cumsum tanh relu "
    "repeat_interleave nelement scatter_ scatter unbind tolist numpy logsumexp clamp_ clamp_min clamp_max amax amin "
    "data is_floating_point retain_grad register_hook grad new_full sign round narrow bool byte sin cos prod".split()
)
"""Attributes that only a tensor has, or that ask for it as a whole."""

_OF_ROWS = frozenset("gather softmax log_softmax argmax max min topk".split())
"""Those that go along the second axis."""

ENTRIES = frozenset("keys values items".split())
"""Methods of a mapping: what nobody gives has the entries that the lines ask for by name."""

_PARTS_OF_A_MODEL = frozenset("parameters named_parameters modules named_modules children named_children".split())

_PLACES = frozenset("device dtype generator layout memory_format non_blocking".split())

_CLASSES = re.compile(
    r"label|class|categor|action|target|truth|(^|_)(gt|idx|index|indices|ids?|y|token)s?(_|$|\])", re.IGNORECASE
)
"""Names of what holds classes rather than measures."""

_MASKS = re.compile(r"mask", re.IGNORECASE)
_INDICES = re.compile(r"(^|_)(idx|inds?|indexe?s?|indices|ids|perm)(_|$)", re.IGNORECASE)
"""Names of what chooses rows."""


class Wanted:
    """Stands for an argument, an attribute or a result that the slice does not have, and is supplied on demand.

    An operation of torch decides what it is: ``cross_entropy(logits, labels)`` makes scores of the one and classes of
    the other, ``conv2d`` images with as many channels as the weights have. Whatever is asked of it before is answered
    by values of the same sort. As a condition it is false.

    Args:
        name: what the lines call it.
        supply: where tensors and numbers come from.
        made: how it becomes what is demanded, if not by the supply itself.
        why: the failure of a line of the user that it stands in for.
        path: where it comes from, if that is not what it is called.
    """

    def __init__(
        self, name: str, supply: Supply, made: Callable[[Demand], Any] | None = None, why: str = "", path: str = ""
    ) -> None:
        set_ = object.__setattr__
        set_(self, "_name", name)
        set_(self, "_path", path or name)
        set_(self, "_supply", supply)
        set_(self, "_made", made)
        set_(self, "_why", why)
        set_(self, "_value", None)
        set_(self, "_parts", {})

    # --- becoming something ------------------------------------------------------------------------------------------

    def _become(self, demand: Demand) -> Any:
        """The value: the one that it has become, or what is demanded of it now."""
        if self._value is None:
            made = self._made or (lambda wish: self._supply.tensor(self._name, self._path, wish, self._why))
            object.__setattr__(self, "_value", made(demand))
        return self._value

    def _as_tensor(self) -> Any:
        supply = self._supply
        if supply.classes and _CLASSES.search(self._name):
            return self._become(Demand(supply.shape_of_classes, "classes"))
        return self._become(Demand(supply.shape_of(self._name)))

    def _as_rows(self) -> Any:
        shape = self._supply.shape
        return self._become(Demand(shape if len(shape) > 1 else (self._supply.batch, self._supply.class_count)))

    def _as_model(self, asked: str) -> Any:
        """The parameters of a model that nobody gives: one weight."""
        if "parameters" not in asked:
            return iter(())
        count = self._supply.class_count
        weight = self._part(".weight")._become(Demand((count, count)))
        return iter([("weight", weight)] if asked.startswith("named") else [weight])

    def _as_number(self) -> Any:
        if self._value is None:
            object.__setattr__(self, "_value", self._supply.number(self._name, self._why))
        return self._value

    def _another(self, name: str, path: str, made: Callable[[Demand], Any] | None = None) -> Any:
        """Another such value, of the same origin."""
        return type(self)(name, self._supply, made, self._why, path)

    def _part(self, key: str) -> Any:
        if key not in self._parts:
            self._parts[key] = self._another(f"{self._name}{key}", f"{self._path}{key}")
        return self._parts[key]

    def _item(self, number: int, name: str) -> Any:
        """An item that is unpacked, by the name that the line gives it."""
        item = self._part(f"[{number}]")
        if name and isinstance(item, Wanted):
            object.__setattr__(item, "_name", name)
        return item

    # --- what is asked of it -----------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        if self._value is not None:
            return getattr(self._value, name)
        if name in SAME:
            return lambda *args, **kwargs: self._kept(name, args, kwargs)
        if name in ENTRIES:
            return self._entries(name, sys._getframe(1))
        if name in _PARTS_OF_A_MODEL:
            return lambda *args, **kwargs: self._as_model(name)
        if name in TENSOR:
            return getattr(self._as_rows() if name in _OF_ROWS else self._as_tensor(), name)
        return self._part(f".{name}")

    def _entries(self, method: str, frame: Any) -> Callable[[], Any]:
        """``keys``, ``values`` or ``items``: the entries that the function which asks for them speaks of by name."""
        keys = keys_in(frame)
        parts = [self._part(f"[{key!r}]") for key in keys]
        return lambda: {"keys": keys, "values": parts, "items": list(zip(keys, parts))}[method]

    def _kept(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What a method that keeps the shape gives, once the shape is known."""
        given = [each for each in args if not isinstance(each, Wanted)]

        def made(demand: Demand) -> Any:
            kind = "classes" if method in ("long", "int") and demand.kind == "free" else demand.kind
            value = self._become(Demand(demand.shape, kind, demand.classes))
            if not hasattr(value, method):
                return value
            return getattr(value, method)(*given, **kwargs)

        return self._another(self._name, self._path, made)

    def _changed(self, change: Callable[[Any], Any]) -> Any:
        """What arithmetic with a number gives, element by element, once the shape is known; factors stay positive."""

        def made(demand: Demand) -> Any:
            kind = "share" if demand.kind in ("share", "positive", "ones") else "free"
            if demand.kind == "classes":
                return change(self._become(demand)).clamp(min=0)
            return change(self._become(Demand(demand.shape, kind)))

        return self._another(self._name, self._path, made)

    def __setattr__(self, name: str, value: Any) -> None:
        self._parts[f".{name}"] = value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Another such value; as a decorator it leaves what it decorates alone."""
        if len(args) == 1 and not kwargs and (isinstance(args[0], type) or type(args[0]).__name__ == "function"):
            return args[0]
        return self._another(f"{self._name}(…)", f"{self._path}(…)")

    def __getitem__(self, key: Any) -> Any:
        if self._value is not None:
            return self._value[key]
        if isinstance(key, (str, int)):
            return self._part(f"[{key!r}]")
        return self._another(self._name, self._path, lambda demand: self._as_tensor()[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, (str, int)) and self._value is None:
            self._parts[f"[{key!r}]"] = value
        else:
            self._as_tensor()[key] = value

    def __iter__(self) -> Iterator[Any]:
        if self._value is not None:
            return iter(self._value)
        names = unpacked(sys._getframe(1))
        if names is None:
            names = ["batch" if self._name == BATCHES else ""]
        return iter([self._item(*each) for each in enumerate(names)])

    def __next__(self) -> Any:
        return self._part("[0]")

    def __len__(self) -> int:
        return 1 if self._value is None else len(self._value)

    def __bool__(self) -> bool:
        return False if self._value is None else bool(self._value)

    def __index__(self) -> int:
        if self._value is None:
            object.__setattr__(self, "_value", self._supply.size(self._name))
        return int(self._value)

    __int__ = __index__

    def __float__(self) -> float:
        return float(self._as_number())

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __contains__(self, key: object) -> bool:
        return self._supply.present or f"[{key!r}]" in self._parts

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> Any:
        return self is other if self._value is None else self._value == other

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return ()

    def __repr__(self) -> str:
        return f"<{self._name}>"

    def __format__(self, spec: str) -> str:
        return repr(self)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        # Where and as what to compute is left to the bench.
        kwargs = kwargs or {}
        given = {key: value for key, value in kwargs.items() if key not in _PLACES or not isinstance(value, Wanted)}
        name = getattr(function, "__name__", "")
        if name in ("to", "type"):
            args = [each for number, each in enumerate(args) if number == 0 or not isinstance(each, Wanted)]
            if not isinstance(args[0], Wanted):
                return function(*args, **given) if len(args) > 1 or given else args[0]
        found = next(_wanted_in([*args, *given.values()]), None)
        if found is None:
            return function(*args, **given)
        if name in _FINITE:
            return _FINITE[name](args[0] if args else given["input"])
        supply = found._supply
        known = [_known(each) for each in args], {key: _known(each) for key, each in given.items()}
        name = name.strip("_") if name.startswith("__") else name
        wishes = demanded(name, *known, supply)

        place = _place([*known[0], *known[1].values()])

        def met(value: Any, where: object) -> Any:
            if isinstance(value, Wanted):
                if name == "getitem" and where == 1 and _is_tensor(known[0][0]):
                    wishes[where] = value._as_index(known[0][0]) or wishes.get(where)
                given = value._met(NUMBER if value._is_factor(name) else wishes.get(where))
                return given.to(place) if place is not None and _is_tensor(given) else given
            if isinstance(value, (list, tuple)) and any(isinstance(each, Wanted) for each in value):
                return type(value)([met(each, where) for each in value])
            return value

        positional = [met(value, number) for number, value in enumerate(args)]
        return function(*positional, **{key: met(value, key) for key, value in given.items()})

    def _as_index(self, among: Any) -> Demand | None:
        """What it is as an index of a tensor, by its name: a mask of rows, or numbers of some; None if neither."""
        if _MASKS.search(self._name):
            return Demand(tuple(among.shape[:1]), "flags")
        if _INDICES.search(self._name):
            return Demand((self._supply.batch,), "classes", among.shape[0])
        return None

    def _is_factor(self, function: str) -> bool:
        return function in ARITHMETIC and self._supply.is_number(self._name)

    def _met(self, demand: Demand | None) -> Any:
        """Itself as what is demanded, None for a number."""
        if self._value is not None:
            return self._value
        if demand is None:
            return self._as_tensor()
        if demand.kind == "number":
            return self._as_number()
        if demand.kind == "size":
            return self.__index__()
        return self._become(demand)


def is_wanted(value: object) -> bool:
    """Whether a value is still to be supplied."""
    return isinstance(value, Wanted) and value._value is None


def settled(value: Any) -> Any:
    """What a value has become, itself if it is no stand-in."""
    return value._value if isinstance(value, Wanted) and value._value is not None else value


def tensor_of(value: Any, shape: tuple[int, ...]) -> Any:
    """The tensor of a shape that a stand-in becomes if it is nothing yet; itself if it is no stand-in."""
    return made_as(value, Demand(shape)) if is_wanted(value) else settled(value)


def settle(wanted: Any, value: Any) -> Any:
    """The value that a stand-in has from now on."""
    object.__setattr__(wanted, "_value", value)
    return value


def made_as(value: Any, demand: Demand) -> Any:
    """The tensor, as demanded, that a stand-in becomes which is nothing yet."""
    return value._become(demand)


def is_result(value: Any) -> bool:
    """Whether a stand-in is what a call gave."""
    return isinstance(value, Wanted) and RESULT in value._path


def _known(value: Any) -> Any:
    """What is known of an operand."""
    if isinstance(value, (list, tuple)):
        return [_known(each) for each in value]
    return OPEN if is_wanted(value) else settled(value)


def _place(known: Sequence[Any]) -> Any:
    """The device of the operands that are there, None if none is on another than the CPU."""
    for value in known:
        if isinstance(value, list):
            found = _place(value)
            if found is not None:
                return found
        elif _is_tensor(value) and value.device.type != "cpu":
            return value.device
    return None


def _wanted_in(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, Wanted):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _wanted_in(value)


def _decides(frame: Any) -> bool:
    """Whether the comparison that a frame is at decides a branch right away."""
    code = frame.f_code.co_code
    following = (dis.opname[code[at]] for at in range(frame.f_lasti + 2, len(code), 2))
    after = next((name for name in following if name not in ("CACHE", "EXTENDED_ARG")), "")
    return "JUMP" in after or after in ("TO_BOOL", "UNARY_NOT", "COPY")


def _finite(outcome: bool) -> Callable[[Any], Any]:
    """``isnan`` and the like of a value that may not be there yet: what is supplied is finite."""

    def test(value: Any) -> Any:
        import torch

        return torch.tensor(outcome) if is_wanted(value) else torch.full_like(settled(value), outcome, dtype=torch.bool)

    return test


_FINITE = {"isnan": _finite(False), "isinf": _finite(False), "isfinite": _finite(True)}


# --- arithmetic ------------------------------------------------------------------------------------------------------

_ELEMENTWISE = frozenset("add sub mul truediv".split())
"""Operators that keep the shape of what meets a number."""


def _arithmetic(operator: str, reflected: bool) -> Callable[[Any, Any], Any]:
    import operator as operators

    apply = getattr(operators, operator)

    def method(self: Any, other: Any) -> Any:
        mine, theirs = settled(self), settled(other)
        if is_wanted(mine) and _is_tensor(theirs):
            # Tensors on the left ask by themselves.
            return Wanted.__torch_function__(apply, (), (theirs, mine) if reflected else (mine, theirs))
        if is_wanted(mine) and is_wanted(theirs):
            if mine._supply.is_number(mine._name) and mine._supply.is_number(theirs._name):
                mine, theirs = mine._as_number(), theirs._as_number()
            else:
                return Wanted.__torch_function__(apply, (), (mine, theirs))
        elif is_wanted(mine):
            if mine._supply.is_number(mine._name):
                mine = mine._as_number()
            elif operator in _ELEMENTWISE and type(theirs) in (int, float):
                return mine._changed(lambda value: apply(theirs, value) if reflected else apply(value, theirs))
            else:
                mine = mine._as_tensor()
        elif is_wanted(theirs):
            return NotImplemented if _is_tensor(mine) is None else apply(mine, theirs)
        return apply(theirs, mine) if reflected else apply(mine, theirs)

    return method


def _comparison(operator: str) -> Callable[[Any, Any], Any]:
    import operator as operators

    apply = getattr(operators, operator)

    def method(self: Any, other: Any) -> Any:
        mine, theirs = settled(self), settled(other)
        if is_wanted(mine) and _is_tensor(theirs):
            return Wanted.__torch_function__(apply, (), (mine, theirs))
        if is_wanted(mine):
            if _decides(sys._getframe(1)) or mine._supply.is_number(mine._name) or is_wanted(theirs):
                return False
            return apply(mine._as_tensor(), theirs)
        return False if is_wanted(theirs) else apply(mine, theirs)

    return method


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _unary(operator: str) -> Callable[[Any], Any]:
    import operator as operators

    apply = getattr(operators, operator)

    def method(self: Any) -> Any:
        if operator == "invert":
            return apply(self._become(Demand(self._supply.shape, "flags")))
        if self._value is None and self._supply.is_number(self._name):
            return apply(self._as_number())
        return apply(self._as_tensor())

    return method


for _name, _operator in (
    *((each, each) for each in "add sub mul matmul truediv floordiv mod pow lshift rshift".split()),
    ("and", "and_"),
    ("or", "or_"),
    ("xor", "xor"),
):
    setattr(Wanted, f"__{_name}__", _arithmetic(_operator, reflected=False))
    setattr(Wanted, f"__r{_name}__", _arithmetic(_operator, reflected=True))
for _name in "lt le gt ge".split():
    setattr(Wanted, f"__{_name}__", _comparison(_name))
for _name in "neg pos abs invert".split():
    setattr(Wanted, f"__{_name}__", _unary(_name))
