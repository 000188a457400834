"""Python's builtins and the parts of its standard library that training scripts are written with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnlint.symbolic import modes
from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.scalar import OPERATORS, evaluate, is_numeric, operation
from nnlint.symbolic.trace import Accumulate, Save, Take
from nnlint.symbolic.values import (
    Arguments,
    Attribute,
    Choice,
    Class,
    Const,
    Function,
    Instance,
    Library,
    Mapping,
    Method,
    Object,
    Partial,
    Range,
    Sequence,
    Setting,
    Symbol,
    Tensor,
    Unknown,
    Value,
    Wrapped,
    resolve_setting,
    shape_of,
)

if TYPE_CHECKING:
    from nnlint.symbolic.executor import Executor

BUILTINS = frozenset(
    (
        "abs all any bool bytes callable dict dir enumerate eval filter float format frozenset getattr globals "
        "hasattr hash help id input int isinstance issubclass iter len list locals map max min next object open ord "
        "print property range repr reversed round set setattr slice sorted staticmethod classmethod str sum super "
        "tuple type vars zip Exception ValueError RuntimeError TypeError KeyError NotImplementedError AssertionError "
        "__import__ "
    ).split()
)
"""Names that mean a builtin where the script does not bind them."""


# --- super -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Super(Value):
    """``super()`` inside a method."""

    cls: Class
    receiver: Value


def super_of(executor: Executor) -> Value:
    """``super()`` of the method that is being executed."""
    frame = executor.frame
    while frame.parent is not None and (frame.function is None or frame.function.owner is None):
        frame = frame.parent
    owner = None if frame.function is None else frame.function.owner
    return Unknown("super") if owner is None else Super(owner, frame.receiver or Unknown("self"))


def attribute_of_super(parent: Super, name: str) -> Value:
    """An attribute looked up from the class after the present one."""
    lineage = list((parent.receiver.cls if isinstance(parent.receiver, Instance) else parent.cls).lineage())
    after = lineage[lineage.index(parent.cls) + 1 :] if parent.cls in lineage else lineage
    for cls in after:
        value = cls.namespace.get(name)
        if isinstance(value, Function):
            return Method(value, parent.receiver)
        if value is not None:
            return value
    if name == "__init__" and isinstance(parent.receiver, Instance):
        return Attribute(parent.receiver, "__super_init__")
    return Attribute(parent.receiver, name)


# --- functions -------------------------------------------------------------------------------------------------------


def _first(call: Call) -> Value:
    return call.arguments.positional[0] if call.arguments.positional else Unknown()


def _range(call: Call) -> Value:
    args = call.arguments.positional
    if len(args) == 1:
        return Range(Const(0), args[0], Const(1))
    if len(args) >= 2:
        return Range(args[0], args[1], args[2] if len(args) > 2 else Const(1))
    return call.unknown()


def _wrap(kind: str) -> Handler:
    def wrap(call: Call) -> Value:
        sources = call.arguments.positional
        start = call.get(None, "start")
        if kind == "enumerate" and start is not None:
            sources = (*sources[:1], start)
        if not sources:
            given = call.get(None, "iterable")
            sources = () if given is None else (given,)
        return Wrapped(kind, sources) if sources else call.unknown()

    return wrap


def _len(call: Call) -> Value:
    from nnlint.symbolic import loops

    value = _first(call)
    if isinstance(value, Instance) and isinstance(value.cls.lookup("__len__"), Function):
        from nnlint.symbolic import calls

        counted = calls.call_method(call.executor, value, "__len__", [], call.node)
        if is_numeric(counted):
            return counted
    if isinstance(value, Attribute) and value.name == "shape":
        rank = shape_of(value.receiver).rank
        return Symbol("rank") if rank is None else Const(rank)
    return loops.length(call.executor, value)


def _numeric(name: str) -> Handler:
    def apply(call: Call) -> Value:
        args = call.arguments.positional
        if len(args) == 1 and isinstance(args[0], Sequence) and name in ("min", "max", "sum") and not args[0].open:
            args = tuple(args[0].items)
        if args and all(is_numeric(arg) for arg in args) and not call.arguments.keywords:
            if name == "sum" and len(args) == 1:
                return args[0]
            return operation(name, *args) if name in OPERATORS else Symbol()
        if name == "sum" and args:
            return _sum(call, args)
        if name in ("min", "max") and len(args) == 2 and any(isinstance(arg, Tensor) for arg in args):
            from nnlint.symbolic.library.elementwise import bound_by_other

            return bound_by_other(call)
        if name in ("int", "float", "round") and len(args) == 1 and isinstance(args[0], (Unknown, Symbol)):
            computed = args[0].origin is not None and args[0].origin.op not in ("getattr", "getitem", "parameter")
            # What was computed may be a tensor, of which only the number is left.
            return Unknown(name=args[0].name, origin=call.origin(args[0])) if computed else args[0]
        return call.unknown()

    return apply


def _sum(call: Call, args: tuple[Value, ...]) -> Value:
    """``sum`` of tensors: what adding them one by one would give."""
    from nnlint.symbolic.expressions import combine

    first = call.arguments.positional[0]
    parts = list(args) if first is not args[0] else [first]
    if len(parts) == 1 and isinstance(parts[0], Sequence):
        parts = [*parts[0].items, *([parts[0].element] if parts[0].element is not None else [])]
    if not parts:
        return call.unknown()
    total = parts[0]
    for part in parts[1:]:
        total = combine(call.executor, "+", total, part, call.node)
    return total


def _sequence(kind: str) -> Handler:
    def build(call: Call) -> Value:
        if not call.arguments.positional:
            return Sequence(kind, [])
        source = resolve_setting(_first(call))
        if isinstance(source, Sequence):
            return Sequence(kind, list(source.items), source.open, source.element)
        if isinstance(source, Attribute) and source.name == "shape":
            dims = shape_of(source.receiver).dims
            return source if dims is None else Sequence(kind, list(dims))
        if isinstance(source, (Unknown, Tensor, Object, Instance, Wrapped, Range)):
            from nnlint.symbolic import loops

            if isinstance(source, Range):
                bounds = [evaluate(bound) for bound in (source.start, source.stop, source.step)]
                start, stop, step = bounds
                literal = all(isinstance(bound, Const) for bound in (source.start, source.stop, source.step))
                if literal and isinstance(start, int) and isinstance(stop, int) and isinstance(step, int) and step:
                    numbers = range(start, stop, step)
                    if len(numbers) <= 64:
                        return Sequence(kind, [Const(number) for number in numbers])
                return Sequence(kind, [], True, Symbol())
            if isinstance(source, Object) and source.children:
                return Sequence(kind, list(source.children))
            if isinstance(source, Wrapped) and source.kind == "map":
                return Sequence(kind, [], True, loops.element(call.executor, source, None))
            element = None if isinstance(source, Object) else loops.element(call.executor, source, None)
            return Sequence(kind, [], True, element)
        return Sequence(kind, [], True)

    return build


def _dict(call: Call) -> Value:
    items = dict[object, Value](call.arguments.keywords.items())
    source = call.arguments.positional[0] if call.arguments.positional else None
    open_ = call.arguments.star or source is not None
    if isinstance(source, Mapping):
        source = source.copied()
        items, open_ = {**source.items, **items}, source.open
    return Mapping(items, open_)


def _getattr(call: Call) -> Value:
    from nnlint.symbolic import calls

    receiver, name = _first(call), resolve_setting(call.get(1, "name"))
    default = call.get(2, "default")
    if isinstance(name, Const) and isinstance(name.value, str):
        value = calls.attribute(call.executor, receiver, name.value, call.node)
        if isinstance(value, Attribute) and default is not None:
            return default
        return value
    return call.unknown()


def _setattr(call: Call) -> Value:
    from nnlint.symbolic import calls

    name, value = resolve_setting(call.get(1, "name")), call.get(2, "value")
    if isinstance(name, Const) and isinstance(name.value, str) and value is not None:
        calls.set_attribute(call.executor, _first(call), name.value, value, call.node)
    return Const(None)


def _vars(call: Call) -> Value:
    value = _first(call)
    if isinstance(value, (Object, Instance)):
        return Mapping(dict[object, Value](value.attributes.items()), True)
    return call.unknown()


def _next(call: Call) -> Value:
    from nnlint.symbolic import loops

    iterator = _first(call)
    call.emit(Take, iterator=iterator)
    return loops.element(call.executor, iterator, None)


def _map(call: Call) -> Value:
    from nnlint.symbolic import loops

    if len(call.arguments.positional) < 2:
        return call.unknown()
    function, *sources = call.arguments.positional
    items = [loops.element(call.executor, source, None) for source in sources]
    return Sequence("generator", [], True, call.executor.call(function, Arguments(tuple(items)), call.node))


def _partial(call: Call) -> Value:
    args = call.arguments.positional
    return Partial(args[0], args[1:], dict(call.arguments.keywords)) if args else call.unknown()


def _print(call: Call) -> Value:
    return Const(None)


def _truth(call: Call) -> Value:
    return Unknown(origin=call.origin())


def _deepcopy(call: Call) -> Value:
    copied = _first(call)
    if _holds_weights(copied):
        call.emit(Save, value=copied, by=call.path)
    return modes.copy_of(call.executor, copied)


def _holds_weights(value: Value) -> bool:
    """Whether a value is a model, or its weights as ``state_dict`` gives them."""
    if isinstance(value, Object):
        return value.kind == "module"
    if isinstance(value, Instance):
        return any(path.startswith("torch.nn") for path in value.cls.libraries())
    return value.origin is not None and value.origin.op == ".state_dict"


def _math(name: str) -> Handler:
    def apply(call: Call) -> Value:
        args = call.arguments.positional
        if args and all(is_numeric(arg) for arg in args):
            if name == "pow":
                return operation("**", *args[:2])
            if name == "prod":
                return Symbol()
            return operation(name, *args)
        return call.unknown()

    return apply


CONSTANTS: dict[str, float] = {
    f"{module}.{name}": value
    for module in ("math", "numpy", "torch")
    for name, value in (("pi", math.pi), ("e", math.e), ("inf", math.inf))
}
"""Numbers that libraries have a name for."""


FUNCTIONS: dict[str, Handler] = {
    "builtins.range": _range,
    "builtins.enumerate": _wrap("enumerate"),
    "builtins.zip": _wrap("zip"),
    "itertools.zip_longest": _wrap("zip"),
    "builtins.iter": _wrap("iter"),
    "builtins.reversed": _wrap("reversed"),
    "builtins.sorted": _wrap("sorted"),
    "builtins.filter": lambda call: call.arguments.positional[-1] if call.arguments.positional else call.unknown(),
    "itertools.cycle": _wrap("cycle"),
    "itertools.islice": _wrap("islice"),
    "itertools.chain": _wrap("chain"),
    "itertools.count": lambda call: Range(Const(0), Symbol(), Const(1)),
    "tqdm.tqdm": _wrap("tqdm"),
    "tqdm.auto.tqdm": _wrap("tqdm"),
    "tqdm.notebook.tqdm": _wrap("tqdm"),
    "tqdm.tqdm_notebook": _wrap("tqdm"),
    "tqdm.autonotebook.tqdm": _wrap("tqdm"),
    "tqdm.rich.tqdm": _wrap("tqdm"),
    "tqdm.trange": _range,
    "tqdm.auto.trange": _range,
    "tqdm.contrib.tenumerate": _wrap("enumerate"),
    "rich.progress.track": _wrap("tqdm"),
    "progressbar.progressbar": _wrap("tqdm"),
    "fastprogress.progress_bar": _wrap("tqdm"),
    "builtins.len": _len,
    "builtins.int": _numeric("int"),
    "builtins.float": _numeric("float"),
    "builtins.bool": _numeric("bool"),
    "builtins.str": _numeric("str"),
    "builtins.abs": _numeric("abs"),
    "builtins.round": _numeric("round"),
    "builtins.min": _numeric("min"),
    "builtins.max": _numeric("max"),
    "builtins.sum": _numeric("sum"),
    "builtins.pow": _math("pow"),
    "builtins.list": _sequence("list"),
    "builtins.tuple": _sequence("tuple"),
    "builtins.set": _sequence("set"),
    "builtins.dict": _dict,
    "collections.OrderedDict": _dict,
    "collections.defaultdict": lambda call: Mapping({}, True),
    "collections.deque": lambda call: Sequence("list", [], True),
    "builtins.getattr": _getattr,
    "builtins.setattr": _setattr,
    "builtins.vars": _vars,
    "builtins.next": _next,
    "builtins.map": _map,
    "builtins.print": _print,
    "builtins.isinstance": _truth,
    "builtins.hasattr": _truth,
    "builtins.callable": _truth,
    "functools.partial": _partial,
    "copy.deepcopy": _deepcopy,
    "copy.copy": _deepcopy,
    "math.floor": _math("floor"),
    "math.ceil": _math("ceil"),
    "math.sqrt": _math("sqrt"),
    "math.exp": _math("exp"),
    "math.log": _math("log"),
    "math.log2": _math("log2"),
    "math.log10": _math("log10"),
    "math.cos": _math("cos"),
    "math.sin": _math("sin"),
    "math.tanh": _math("tanh"),
    "math.pow": _math("pow"),
    "argparse.Namespace": lambda call: Object(
        "argparse.Namespace", "namespace", call.arguments, dict(call.arguments.keywords), origin=call.origin()
    ),
    "types.SimpleNamespace": lambda call: Object(
        "types.SimpleNamespace", "namespace", call.arguments, dict(call.arguments.keywords), origin=call.origin()
    ),
    "easydict.EasyDict": lambda call: Object(
        "easydict.EasyDict", "namespace", call.arguments, dict(call.arguments.keywords), origin=call.origin()
    ),
    "sys.exit": _print,
}


# --- argparse --------------------------------------------------------------------------------------------------------


def _add_argument(call: Call) -> Value:
    """Keep the option's name and default with the parser."""
    parser = call.receiver
    assert isinstance(parser, Object)
    names = [arg.value for arg in call.arguments.positional if isinstance(arg, Const) and isinstance(arg.value, str)]
    if not names:
        return Unknown()
    dest = call.get(None, "dest")
    long = next((name for name in names if name.startswith("--")), names[0])
    name = str(dest.value) if isinstance(dest, Const) else long.lstrip("-").replace("-", "_")
    default = call.get(None, "default")
    action = call.get(None, "action")
    if default is None and isinstance(action, Const):
        default = Const({"store_true": False, "store_false": True}.get(str(action.value)))
    required = call.get(None, "required")
    nargs = call.get(None, "nargs")
    if default is None and (not long.startswith("-") or (isinstance(required, Const) and required.value is True)):
        value: Value = Unknown(name)
    else:
        value = Setting(name, _typed(default or Const(None), call.get(None, "type"), nargs), on_command_line=True)
    call.executor.put(parser.attributes, name, value)
    return Unknown()


def _typed(default: Value, kind: Value | None, nargs: Value | None) -> Value:
    """A default given as a string is converted as argparse does."""
    if isinstance(default, Const) and isinstance(default.value, str) and isinstance(kind, Library) and nargs is None:
        try:
            if kind.path == "builtins.int":
                return Const(int(default.value))
            if kind.path == "builtins.float":
                return Const(float(default.value))
        except ValueError:
            return default
    return default


def _set_defaults(call: Call) -> Value:
    parser = call.receiver
    assert isinstance(parser, Object)
    for name, value in call.arguments.keywords.items():
        call.executor.put(parser.attributes, name, Setting(name, value))
    return Const(None)


def _parse_args(call: Call) -> Value:
    parser = call.receiver
    assert isinstance(parser, Object)
    return Object("argparse.Namespace", "namespace", Arguments(), dict(parser.attributes), origin=call.origin())


def _parser_itself(call: Call) -> Value:
    return call.receiver or Unknown()


def _dataclasses_of(call: Call) -> Value:
    """``HfArgumentParser((A, B)).parse_args_into_dataclasses()``: one object a dataclass, with its defaults."""
    parser = call.receiver
    assert isinstance(parser, Object)
    given = parser.arguments.get(0, "dataclass_types")
    classes = given.items if isinstance(given, Sequence) else [given] if given is not None else []
    return Sequence("tuple", [call.call(cls) for cls in classes])


def _config_of(call: Call) -> Value:
    """``tyro.cli(Config)`` and the like: the configuration with its defaults."""
    cls = _first(call)
    return call.call(cls) if isinstance(cls, (Class, Function)) else call.unknown()


for _path in ("tyro.cli", "simple_parsing.parse", "draccus.parse", "jsonargparse.CLI"):
    FUNCTIONS[_path] = _config_of

KINDS: dict[str, str] = {
    "argparse.ArgumentParser": "parser",
    "configargparse.ArgumentParser": "parser",
    "configargparse.ArgParser": "parser",
    "optparse.OptionParser": "parser",
    "transformers.HfArgumentParser": "parser",
    "dataclasses.field": "",
}

FUNCTIONS["dataclasses.field"] = lambda call: Object("dataclasses.field", "", call.arguments, origin=call.origin())

OBJECT_METHODS: dict[tuple[str, str], Handler] = {
    ("parser", "add_argument"): _add_argument,
    ("parser", "add_option"): _add_argument,
    ("parser", "add"): _add_argument,
    ("parser", "set_defaults"): _set_defaults,
    ("parser", "parse_args"): _parse_args,
    ("parser", "parse_known_args"): lambda call: Sequence("tuple", [_parse_args(call), Unknown()]),
    ("parser", "add_argument_group"): _parser_itself,
    ("parser", "add_mutually_exclusive_group"): _parser_itself,
    ("parser", "parse_args_into_dataclasses"): _dataclasses_of,
}


# --- methods of containers and strings -------------------------------------------------------------------------------


def _append(call: Call) -> Value:
    value = call.get(0, "object")
    if call.executor.loops and call.receiver is not None and isinstance(value, (Tensor, Unknown)):
        call.emit(Accumulate, total=call.receiver, value=value, result=None)
    _grow(call, Sequence("list", list(call.arguments.positional[-1:])))
    return Const(None)


def _extend(call: Call) -> Value:
    other = _first(call)
    _grow(call, other if isinstance(other, Sequence) else Sequence("list", [], True))
    return Const(None)


def _grow(call: Call, more: Sequence) -> None:
    """Put the items of ``more`` behind those of the receiver."""
    receiver = call.receiver
    assert isinstance(receiver, Sequence)
    grown = receiver.grown(more)
    if grown.items is not receiver.items:
        call.executor.put(receiver, "items", grown.items)
    if grown.open and not receiver.open:
        call.executor.put(receiver, "open", True)
    if grown.element is not receiver.element:
        call.executor.put(receiver, "element", grown.element)


def _pop(call: Call) -> Value:
    receiver = call.receiver
    if isinstance(receiver, Sequence):
        call.executor.put(receiver, "open", True)
        return receiver.items[-1] if receiver.items else Unknown()
    return _get(call)


def _get(call: Call) -> Value:
    receiver = call.receiver
    key = resolve_setting(call.get(0, "key"))
    if isinstance(receiver, Mapping) and isinstance(key, Const):
        try:
            found = receiver.items.get(key.value)
        except TypeError:
            found = None
        if found is not None:
            return found
        default = call.get(1, "default")
        if default is not None:
            return Setting(str(key.value), default) if isinstance(default, Const) and receiver.open else default
        return Unknown(str(key.value)) if receiver.open else Const(None)
    return call.unknown()


def _update(call: Call) -> Value:
    receiver, other = call.receiver, call.arguments.positional[0] if call.arguments.positional else None
    assert isinstance(receiver, Mapping)
    if isinstance(other, Mapping):
        other = other.copied()
        for key, value in other.items.items():
            call.executor.put(receiver.items, key, value)
    if other is not None and (not isinstance(other, Mapping) or other.open):
        call.executor.put(receiver, "open", True)
    for name, value in call.arguments.keywords.items():
        call.executor.put(receiver.items, name, value)
    return Const(None)


def _wrapped_method(kind: str) -> Handler:
    return lambda call: Wrapped(kind, (call.receiver,)) if call.receiver is not None else call.unknown()


VALUE_METHODS: dict[tuple[str, str], Handler] = {
    ("Sequence", "append"): _append,
    ("Sequence", "add"): _append,
    ("Sequence", "insert"): _append,
    ("Sequence", "extend"): _extend,
    ("Sequence", "pop"): _pop,
    ("Sequence", "copy"): lambda call: call.receiver or Unknown(),
    ("Mapping", "get"): _get,
    ("Mapping", "pop"): _get,
    ("Mapping", "update"): _update,
    ("Mapping", "setdefault"): _get,
    ("Mapping", "copy"): lambda call: call.receiver or Unknown(),
    ("Mapping", "items"): _wrapped_method("items"),
    ("Mapping", "values"): _wrapped_method("values"),
    ("Mapping", "keys"): _wrapped_method("keys"),
}
"""Methods of values by the name of their type in :mod:`nnlint.symbolic.values` and their own."""

TEXT = frozenset("split index format sort copy replace strip count find join read write type size".split())
"""Methods that strings, lists or files have as well as tensors."""


def is_text_method(receiver: Value, name: str, arguments: Arguments) -> bool:
    """Whether a method of an unknown value is more likely a string's or a file's than a tensor's."""
    if name not in TEXT or not isinstance(receiver, Unknown) or receiver.shape is not None:
        return False
    given = arguments.positional[0] if arguments.positional else None
    return isinstance(given, Const) and isinstance(given.value, str) and name != "type"


# --- containers of modules and transforms ----------------------------------------------------------------------------

CONTAINERS = frozenset(
    (
        "torch.nn.Sequential",
        "torch.nn.ModuleList",
        "torch.nn.ModuleDict",
        "torch.nn.DataParallel",
        "torch.nn.parallel.DistributedDataParallel",
    )
)
"""Classes whose objects are made of their arguments."""


def fill(executor: Executor, built: Object) -> None:
    """Take the children of a container from its arguments."""
    for value in built.arguments.positional[: 1 if built.name in ("DataParallel", "DistributedDataParallel") else None]:
        given = resolve_setting(value) or value
        if isinstance(given, Sequence):
            built.children += given.items
        elif isinstance(given, Mapping):
            built.children += given.items.values()
            built.attributes.update({key: item for key, item in given.items.items() if isinstance(key, str)})
        elif isinstance(given, (Object, Instance, Choice, Unknown)):
            built.children.append(given)
