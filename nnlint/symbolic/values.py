"""What a value of a script can be, as far as it is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import libcst as cst

    from nnlint.source import Source
    from nnlint.symbolic.scope import Frame, Module


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """The operation a value comes from, and the values that went in.

    ``op`` is the dotted name of a library function (``torch.nn.functional.relu``), a method of an unknown or tensor
    value with a leading dot (``.view``), an operator (``+``), ``call`` for a callable nobody knows (the callee is the
    first input), ``getattr``/``getitem`` for a part of a value, or ``parameter`` for an argument of a root.
    """

    op: str
    inputs: tuple[Value, ...]
    source: Source
    node: cst.CSTNode


@dataclass(slots=True, eq=False)
class Value:
    """Something a name can be bound to. Identity is object identity; see :func:`same` for equality."""

    origin: Origin | None = field(default=None, kw_only=True)


@dataclass(slots=True, eq=False)
class Unknown(Value):
    """Anything: nothing is known but, perhaps, a name that it goes by and a shape it must have."""

    name: str = ""
    shape: Shape | None = None
    batch: Batch | None = None
    """Set when the value is (part of) what a loader yields."""
    attributes: dict[str, Value] = field(default_factory=dict)
    """Attributes the script has asked for; the same name gives the same value ever after."""
    items: dict[object, Value] | None = None
    """Items the script has assigned, by constant key."""


@dataclass(slots=True, eq=False)
class Tensor(Value):
    """A tensor or array of symbolic shape."""

    shape: Shape
    name: str = ""
    loss: str = ""
    """The dotted name of the loss function that computed it, or ``named`` if only its name says so."""
    integer: bool = False
    batch: Batch | None = None


@dataclass(slots=True, eq=False)
class Batch:
    """What one round of a loop over a loader yields."""

    loader: Value


# --- numbers, strings, None: expressions that can be evaluated ------------------------------------------------------


@dataclass(slots=True, eq=False)
class Const(Value):
    """A literal: number, string, bytes, bool, None or Ellipsis."""

    value: object


@dataclass(slots=True, eq=False)
class Setting(Value):
    """A value with a default that the user of the script can change: an option, a configuration field, a parameter."""

    name: str
    default: Value
    on_command_line: bool = False
    """Whether who calls the script gives it, rather than who calls a function of it."""


@dataclass(slots=True, eq=False)
class Symbol(Value):
    """A number nobody knows: a dimension of a tensor, the length of a loader, a measured value.

    ``name`` is what the script calls it, if it calls it anything. ``of`` is what it is a property of; ``axis`` the
    dimension of ``of`` that it is the size of.
    """

    name: str = ""
    of: Value | None = None
    axis: int | None = None


@dataclass(slots=True, eq=False)
class Index(Value):
    """The loop variable of a counted loop: start, start + step, … as often as the loop goes round."""

    loop: Loop
    start: Value
    step: Value


@dataclass(slots=True, eq=False)
class Carried(Value):
    """A number that a loop computes from its value in the round before; ``update`` is written in terms of it."""

    loop: Loop
    name: str
    initial: Value
    update: Value | None = None


@dataclass(slots=True, eq=False)
class Operation(Value):
    """An expression over numbers. ``op`` is Python's operator, a comparison, ``not``/``and``/``or`` or a function."""

    op: str
    args: tuple[Value, ...]
    size: int = field(default=0, init=False)
    """How many values it is written with."""

    def __post_init__(self) -> None:
        self.size = 1 + sum(size_of(arg) for arg in self.args)


@dataclass(slots=True, eq=False)
class Choice(Value):
    """One of two values, decided by ``test`` (unknown where ``None``): what a branch leaves behind."""

    test: Value | None
    yes: Value
    no: Value
    size: int = field(default=0, init=False)
    """How many values it may be, counted along every way to them."""

    def __post_init__(self) -> None:
        self.size = size_of(self.yes) + size_of(self.no)


def size_of(value: Value) -> int:
    """The size of an expression or a choice, 1 for anything else."""
    return value.size if isinstance(value, (Operation, Choice)) else 1


# --- containers -----------------------------------------------------------------------------------------------------


LONGEST = 1_000
"""How many items a list can grow to and be known whole."""


@dataclass(slots=True, eq=False)
class Sequence(Value):
    """A list, tuple or set. ``open`` when there may be more items than are known; ``element`` stands for those."""

    kind: str
    items: list[Value]
    open: bool = False
    element: Value | None = None

    def grown(self, more: Sequence) -> Sequence:
        """The sequence with the items of another after its own; one that would be too long is left open."""
        if len(self.items) + len(more.items) <= LONGEST:
            element = self.element if more.element is None else more.element
            return Sequence(self.kind, [*self.items, *more.items], self.open or more.open, element)
        return Sequence(self.kind, self.items, True, more.items[-1] if more.items else more.element)


def as_now(value: Value) -> Value:
    """A list, or the length of one, with the items that it has now: more may come, and a reading takes them back."""
    if isinstance(value, Sequence):
        return replace(value, items=list(value.items))
    if isinstance(value, Symbol) and isinstance(value.of, Sequence):
        return replace(value, of=as_now(value.of))
    return value


@dataclass(slots=True, eq=False)
class Mapping(Value):
    """A dict by constant keys. ``open`` when there may be keys that are not known; ``default`` stands for those."""

    items: dict[object, Value]
    open: bool = False
    default: Value | None = None

    def copied(self) -> Mapping:
        """The mapping, to be copied into another; one that would be too long is left open."""
        return self if len(self.items) <= LONGEST else Mapping({}, True, next(iter(self.items.values())))


@dataclass(slots=True, eq=False)
class Range(Value):
    """``range(start, stop, step)``."""

    start: Value
    stop: Value
    step: Value


@dataclass(slots=True, eq=False)
class Wrapped(Value):
    """An iterable around others: ``enumerate``, ``zip``, ``iter``, ``reversed``, ``items``, ``values``, ``tqdm``."""

    kind: str
    sources: tuple[Value, ...]


# --- callables ------------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Library(Value):
    """A name of a library, by its canonical dotted path; a module, a function, a class or a constant."""

    path: str


@dataclass(slots=True, eq=False)
class Function(Value):
    """A function of the script or of its repository. ``frame`` is where it was defined (for closures)."""

    name: str
    node: cst.FunctionDef | cst.Lambda
    frame: Frame
    defaults: dict[str, Value]
    decorators: tuple[Value, ...] = ()
    owner: Class | None = None
    """The class whose body defines it."""


@dataclass(slots=True, eq=False)
class Method(Value):
    """A function bound to an instance or class."""

    function: Function
    receiver: Value


@dataclass(slots=True, eq=False)
class Attribute(Value):
    """A method or attribute of a library object, tensor or unknown value, not called yet."""

    receiver: Value
    name: str


@dataclass(slots=True, eq=False)
class Partial(Value):
    """``functools.partial``."""

    function: Value
    args: tuple[Value, ...]
    kwargs: dict[str, Value]


@dataclass(slots=True, eq=False)
class Class(Value):
    """A class of the script or of its repository."""

    name: str
    node: cst.ClassDef
    frame: Frame
    bases: tuple[Value, ...]
    namespace: dict[str, Value]

    def lookup(self, name: str) -> Value | None:
        """The attribute ``name`` of the class or its bases inside the repository, left to right."""
        for cls in self.lineage():
            if name in cls.namespace:
                return cls.namespace[name]
        return None

    def lineage(self) -> Iterator[Class]:
        """The class and its bases inside the repository, depth first."""
        stack: list[Class] = [self]
        seen: set[int] = set()
        while stack:
            cls = stack.pop(0)
            if id(cls) in seen:
                continue
            seen.add(id(cls))
            yield cls
            stack[:0] = [base for base in cls.bases if isinstance(base, Class)]

    def libraries(self) -> Iterator[str]:
        """The dotted paths of the library classes among the ancestors."""
        for cls in self.lineage():
            for base in cls.bases:
                if isinstance(base, Library):
                    yield base.path

    def derives(self, *paths: str) -> bool:
        """Whether one of the library classes ``paths`` is an ancestor."""
        return any(path in paths for path in self.libraries())


@dataclass(slots=True, eq=False)
class ModuleValue(Value):
    """A module of the repository."""

    module: Module


# --- objects --------------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Arguments:
    """What a call was given. ``star`` when ``*x`` or ``**x`` of unknown content was among it."""

    positional: tuple[Value, ...] = ()
    keywords: dict[str, Value] = field(default_factory=dict)
    star: bool = False

    def get(self, position: int | None, name: str) -> Value | None:
        """The argument called ``name``, or at ``position`` counted from 0, or None if it is not given."""
        if name in self.keywords:
            return self.keywords[name]
        if position is not None and position < len(self.positional):
            return self.positional[position]
        return None


@dataclass(slots=True, eq=False)
class Instance(Value):
    """An object of a class of the repository."""

    cls: Class
    attributes: dict[str, Value] = field(default_factory=dict)
    arguments: Arguments = field(default_factory=Arguments)
    training: bool | None = True
    """For modules: train (True) or eval (False) mode, None when unknown."""
    parts: list[Value] = field(default_factory=list)
    """For modules: what they held at the end of the run, which takes its changes back (see :mod:`.modes`)."""


@dataclass(slots=True, eq=False)
class Object(Value):
    """An object built by a call of a library class; ``kind`` says what a PyTorch user would call it.

    Kinds: ``module``, ``criterion``, ``optimizer``, ``scheduler``, ``loader``, ``dataset``, ``transform``,
    ``generator``, ``scaler``, ``parser``, ``sampler``, ``namespace``, ``trainer`` or empty.
    """

    path: str
    kind: str
    arguments: Arguments
    attributes: dict[str, Value] = field(default_factory=dict)
    children: list[Value] = field(default_factory=list)
    """What it is made of: the layers of a container, the transforms of a Compose."""
    training: bool | None = True

    @property
    def name(self) -> str:
        """The last part of the path: ``Adam`` of ``torch.optim.Adam``."""
        return self.path.rpartition(".")[2]


# --- loops ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Loop:
    """A loop of the script. ``kind`` is ``epochs``, ``batches`` or ``other``; ``count`` the number of rounds."""

    node: cst.CSTNode
    source: Source
    kind: str = "other"
    count: Value | None = None
    iterates: Value | None = None
    target: str = ""
    """The name that the rounds are counted with, empty if there is none."""
    variable: Index | None = None
    reread: int | None = None
    """How many events the run had when the second reading of the body began, None if it was read once."""

    EPOCHS: ClassVar[str] = "epochs"
    BATCHES: ClassVar[str] = "batches"
    OTHER: ClassVar[str] = "other"


# --- shapes ---------------------------------------------------------------------------------------------------------


class Shape:
    """The sizes of a tensor, found out as the script speaks of them.

    While the rank is unknown, single axes may be known, from the front (0, 1, …) and from the back (-1, -2, …).
    Asking for the size of an axis names it: the same axis gives the same value ever after.
    """

    __slots__ = ("_axes", "_dims", "layout", "owner")

    def __init__(self, dims: list[Value] | tuple[Value, ...] | None = None, owner: Value | None = None) -> None:
        self._dims = None if dims is None else list(dims)
        self._axes: dict[int, Value] = {}
        self.owner = owner
        self.layout: str = ""

    @property
    def rank(self) -> int | None:
        """The number of dimensions, None while it is unknown."""
        return None if self._dims is None else len(self._dims)

    @property
    def dims(self) -> tuple[Value, ...] | None:
        """All sizes, None while the rank is unknown."""
        return None if self._dims is None else tuple(self._dims)

    def size(self, axis: int, name: str = "") -> Value:
        """The size of an axis, counted from the back if negative; a new symbol the first time."""
        if self._dims is not None:
            if -len(self._dims) <= axis < len(self._dims):
                return self._dims[axis]
            return Symbol(name)
        if axis not in self._axes:
            self._axes[axis] = Symbol(name, self.owner, axis)
        return self._axes[axis]

    @property
    def axes(self) -> dict[int, Value]:
        """The sizes that are known, or were asked for, by axis (see :meth:`size`)."""
        return dict(enumerate(self._dims)) if self._dims is not None else dict(self._axes)

    def know(self, axis: int, size: Value) -> None:
        """Write down the size of an axis nobody has asked for yet."""
        if self._dims is None:
            self._axes.setdefault(axis, size)

    def unpack(self, names: tuple[str, ...]) -> tuple[Value, ...]:
        """The sizes when the script unpacks them into as many names; this fixes the rank if it was unknown."""
        if self._dims is None:
            self.fix_rank(len(names))
        if self._dims is None or len(self._dims) != len(names):
            return tuple(Symbol(name) for name in names)
        for size, name in zip(self._dims, names, strict=True):
            if isinstance(size, Symbol) and not size.name:
                size.name = name
        return tuple(self._dims)

    def fix_rank(self, rank: int) -> None:
        """The rank is known now. A rank that contradicts an axis spoken of before is ignored."""
        if self._dims is not None or any(not -rank <= axis < rank for axis in self._axes):
            return
        dims: list[Value | None] = [None] * rank
        for axis, size in self._axes.items():
            known = dims[axis]
            if known is not None and known is not size and isinstance(size, Symbol) and axis < 0:
                continue  # two symbols for one axis, asked for from both ends: the front one is what others hold
            dims[axis] = size
        self._dims = [Symbol("", self.owner, axis) if size is None else size for axis, size in enumerate(dims)]
        self._axes = {}


def shape_of(value: Value) -> Shape:
    """The shape of a tensor or of an unknown value that is used as one; a new, empty shape for anything else."""
    if isinstance(value, Tensor):
        return value.shape
    if isinstance(value, Unknown):
        if value.shape is None:
            value.shape = Shape(owner=value)
        return value.shape
    if isinstance(value, Choice):
        return _either_shape(value)
    return Shape(owner=value)


def _either_shape(value: Choice) -> Shape:
    """The shape of a choice: of the rank of its sides; where it is open on one side, of the other's."""
    yes, no = shape_of(value.yes), shape_of(value.no)
    if yes is no:
        return yes
    rank = no.rank if yes.rank is None else yes.rank
    if rank is None or no.rank not in (None, rank):
        return Shape(owner=value)
    dims: list[Value] = []
    for axis in range(rank):
        here, there = yes.size(axis), no.size(axis)
        differs = Symbol() if value.test is None else Choice(value.test, here, there)
        dims.append(here if same(here, there) else differs)
    return Shape(dims, value)


NUMERIC = (Const, Setting, Symbol, Index, Carried, Operation)
"""The kinds of values that are, or may be, a number or a string that can be evaluated."""


def same(left: Value | None, right: Value | None) -> bool:
    """Whether two values are known to be equal."""
    if left is right:
        return True
    if isinstance(left, Const) and isinstance(right, Const):
        return type(left.value) is type(right.value) and left.value == right.value
    if isinstance(left, Library) and isinstance(right, Library):
        return left.path == right.path
    if isinstance(left, Operation) and isinstance(right, Operation):
        return (
            left.op == right.op
            and len(left.args) == len(right.args)
            and all(same(a, b) for a, b in zip(left.args, right.args, strict=True))
        )
    if isinstance(left, Setting) and isinstance(right, Setting):
        return left.name == right.name and same(left.default, right.default)
    if isinstance(left, Choice) and isinstance(right, Choice) and left.test is not None:
        return same(left.test, right.test) and same(left.yes, right.yes) and same(left.no, right.no)
    return False


def alternatives(value: Value, limit: int = 6) -> list[Value]:
    """The values that a choice may be, flattened; the value itself for anything else."""
    found: list[Value] = []
    stack = [value]
    while stack and len(found) < limit:
        item = stack.pop()
        if isinstance(item, Choice):
            stack += [item.no, item.yes]
        else:
            found.append(item)
    return found


def snapshot(value: Value, depth: int = 4) -> Value:
    """What a container holds now, for those who ask once the script has changed it; anything else is itself."""
    if depth == 0:
        return value
    if isinstance(value, Sequence):
        items = [snapshot(item, depth - 1) for item in value.items]
        element = None if value.element is None else snapshot(value.element, depth - 1)
        return Sequence(value.kind, items, value.open, element, origin=value.origin)
    if isinstance(value, Mapping):
        held = {key: snapshot(item, depth - 1) for key, item in value.items.items()}
        default = None if value.default is None else snapshot(value.default, depth - 1)
        return Mapping(held, value.open, default, origin=value.origin)
    if isinstance(value, Wrapped):
        return Wrapped(value.kind, tuple(snapshot(source, depth - 1) for source in value.sources), origin=value.origin)
    if isinstance(value, Choice):
        yes, no = snapshot(value.yes, depth - 1), snapshot(value.no, depth - 1)
        if yes is not value.yes or no is not value.no:
            return Choice(value.test, yes, no, origin=value.origin)
    return value


def resolve_setting(value: Value | None) -> Value | None:
    """The default behind a setting (and a setting's setting), the value itself otherwise."""
    while isinstance(value, Setting):
        value = value.default
    return value
