"""Calls, attributes and items: what the objects of a script answer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.symbolic import imports, modes, registration
from nnlint.symbolic.branches import join
from nnlint.symbolic.call import Call
from nnlint.symbolic.library import (
    ATTRIBUTES,
    FUNCTIONS,
    LAYERS,
    METHODS,
    OBJECT_METHODS,
    canonical,
    generators,
    grad_mode,
    kind_of,
    layers,
    python,
)
from nnlint.symbolic.library.comparisons import bound_by
from nnlint.symbolic.project import INSTALLED
from nnlint.symbolic.scalar import is_numeric
from nnlint.symbolic.scope import Frame
from nnlint.symbolic.trace import (
    Apply,
    Average,
    Break,
    Build,
    CallSite,
    Clip,
    Condition,
    Drop,
    Event,
    Forward,
    RandomUse,
    Reshape,
    Return,
    Sample,
    SetRate,
    SetRequiresGrad,
    Store,
)
from nnlint.symbolic.values import (
    LONGEST,
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
    ModuleValue,
    Object,
    Operation,
    Origin,
    Partial,
    Sequence,
    Setting,
    Symbol,
    Tensor,
    Unknown,
    Value,
    as_now,
    resolve_setting,
    same,
    shape_of,
)

if TYPE_CHECKING:
    from nnlint.symbolic.executor import Executor

MODULE_BASES = frozenset(
    "torch.nn.Module lightning.LightningModule pytorch_lightning.LightningModule lightning.pytorch.LightningModule "
    "torch.jit.ScriptModule transformers.PreTrainedModel torch.nn.Sequential torch.nn.ModuleList "
    "torch.autograd.Function torchvision.models.ResNet".split()
)

FREEZING = re.compile(r"^requires?d?_?(grad|gradient)s?$|^trainable$")
"""Attributes that are meant to freeze what they are set of."""
"""Library classes whose instances are called through ``forward``."""

MEANS = ("numpy.mean", "numpy.average", "statistics.mean", "statistics.fmean")
"""Functions that average a list."""

MODEL_LIBRARIES = ("torchvision.models.", "timm.", "pretrainedmodels.", "torch.hub.")
HEADS = ("fc", "classifier", "head", "heads", "last_linear")
"""What the last layer of a model of these libraries is called."""

REPEATS = 2
"""A function in which nothing but routine happens is followed this often in a run; then its value is unknown."""
PLENTY = 40
"""Steps that may go into following one function: a small one is followed more often than :data:`REPEATS`. Not so the
``forward`` of a module, which computes shapes and is called for each of its copies."""
REPEATS_OF_MODELS = 4
"""As :data:`REPEATS`, for the ``forward`` of a whole model: a GAN runs its discriminator three times a round."""
CHEAP = 4
"""Steps up to which following a function costs nothing worth saving."""
ROUTINE = (Apply, Break, Build, Drop, Forward, RandomUse, Reshape, Store)
"""Events that a function may repeat without telling anything new."""
ONCE_MORE = frozenset(("loader", "dataset", "optimizer", "scheduler"))
"""Objects of which each one matters: a function that does little more than build one is followed every time."""
LITTLE = 200
"""Steps of such a function."""

REDUCED = {"values": 0, "indices": 1}
"""What the parts of the pair that ``x.max(dim)``, ``x.sort()`` or ``x.topk(k)`` return are called."""

TOLD_APART = 64
"""How many of the values that something may be are looked at."""

BOOLEAN = frozenset(("startswith", "endswith", "lower", "upper", "strip"))


# --- definitions -----------------------------------------------------------------------------------------------------


def define(executor: Executor, node: cst.FunctionDef) -> Value:
    """The value of a ``def``: the function, or what its decorators make of it."""
    decorators = tuple(executor.evaluate(item.decorator) for item in node.decorators)
    function = Function(node.name.value, node, executor.frame, defaults(executor, node.params), decorators)
    value: Value = function
    for decorator in reversed(decorators):
        if isinstance(decorator, Function):
            decorated = call(executor, decorator, Arguments((value,)), node)
            if isinstance(decorated, (Function, Method, Partial, Instance)):
                value = decorated
                executor.executed.discard(id(function.node))
        elif isinstance(decorator, Object) and (decorator.kind, "__call__") in OBJECT_METHODS:
            value = call(executor, decorator, Arguments((value,)), node)
    return value


def defaults(executor: Executor, params: cst.Parameters) -> dict[str, Value]:
    """The values of default arguments, evaluated where the function is defined."""
    return {
        param.name.value: executor.evaluate(param.default)
        for param in (*params.posonly_params, *params.params, *params.kwonly_params)
        if param.default is not None
    }


def is_decorated(function: Function, *names: str) -> bool:
    """Whether a decorator of the function has one of these names (the last part of a library path)."""
    return any(
        isinstance(decorator, Library) and decorator.path.rpartition(".")[2] in names
        for decorator in function.decorators
    )


def decorate_class(executor: Executor, cls: Class, node: cst.ClassDef) -> None:
    """Give a dataclass (or NamedTuple, or a class of bare annotated fields) its fields, in order."""
    fields: dict[str, Value | None] = {}
    for base in reversed(list(cls.lineage())[1:]):
        inherited = base.namespace.get("__fields__")
        if isinstance(inherited, Mapping):
            fields.update({str(name): value for name, value in inherited.items.items()})
    for statement in node.body.body:
        if not isinstance(statement, cst.SimpleStatementLine):
            continue
        for small in statement.body:
            if isinstance(small, cst.AnnAssign) and isinstance(small.target, cst.Name):
                fields[small.target.value] = cls.namespace.get(small.target.value)
    if fields and "__init__" not in cls.namespace:
        cls.namespace["__fields__"] = Mapping(
            {
                name: Unknown(name) if value is None else _field(executor, name, value, node)
                for name, value in fields.items()
            }
        )


def _field(executor: Executor, name: str, value: Value, node: cst.CSTNode) -> Value:
    if isinstance(value, Object) and value.name == "field":
        factory = value.arguments.get(None, "default_factory")
        given = value.arguments.get(0, "default")
        if given is not None:
            return Setting(name, given)
        return Unknown(name) if factory is None else call(executor, factory, Arguments(), node)
    return Setting(name, value) if isinstance(value, Const) else value


# --- calls -----------------------------------------------------------------------------------------------------------


def splice(executor: Executor, value: Value) -> list[Value] | None:
    """The items that ``*value`` stands for, None if they are not known."""
    value = resolve_setting(value) or value
    if isinstance(value, Sequence) and not value.open:
        return list(value.items)
    if isinstance(value, Attribute) and value.name == "shape":
        dims = shape_of(value.receiver).dims
        return None if dims is None else list(dims)
    if isinstance(value, Object) and value.children:
        return list(value.children)
    return None


def evaluate_arguments(executor: Executor, args: Iterable[cst.Arg]) -> Arguments:
    """The arguments of a call."""
    positional: list[Value] = []
    keywords: dict[str, Value] = {}
    star = False
    for arg in args:
        value = executor.evaluate(arg.value)
        if arg.star == "*":
            items = splice(executor, value)
            if items is None or len(positional) + len(items) > LONGEST:
                star = True
            else:
                positional += items
        elif arg.star == "**":
            if isinstance(value, Mapping):
                keywords.update({str(key): item for key, item in value.items.items() if isinstance(key, str)})
                star = star or value.open
            else:
                star = True
        elif arg.keyword is not None:
            keywords[arg.keyword.value] = value
        else:
            positional.append(value)
    return Arguments(tuple(positional), keywords, star)


def evaluate_call(executor: Executor, node: cst.Call) -> Value:
    """The value of a call expression."""
    function = node.func
    if isinstance(function, cst.Attribute):
        callee = method_of(executor, executor.evaluate(function.value), function.attr.value, function)
    else:
        callee = executor.evaluate(function)
    if isinstance(callee, Library) and callee.path == "builtins.super":
        return python.super_of(executor)
    return call(executor, callee, evaluate_arguments(executor, node.args), node)


def method_of(executor: Executor, receiver: Value, name: str, node: cst.CSTNode) -> Value:
    """``receiver.name`` that is about to be called: of a value nobody knows, a method rather than an attribute."""
    if isinstance(receiver, Choice):
        yes = method_of(executor, receiver.yes, name, node)
        no = method_of(executor, receiver.no, name, node)
        result: Value = join(receiver.test, yes, no)
        return result
    if isinstance(receiver, Tensor) or (isinstance(receiver, Unknown) and name not in receiver.attributes):
        return Attribute(receiver, name)
    return attribute(executor, receiver, name, node)


def call(executor: Executor, callee: Value, arguments: Arguments, node: cst.CSTNode) -> Value:
    """What calling a value gives."""
    executor.steps += 1
    if isinstance(callee, Library):
        return call_library(executor, callee, arguments, node)
    if isinstance(callee, Attribute):
        result = call_attribute(executor, callee, arguments, node)
        modes.note_forward(executor, callee, arguments, result, node)
        return result
    if isinstance(callee, Function):
        return follow(executor, callee, None, arguments, node)
    if isinstance(callee, Method):
        return follow(executor, callee.function, callee.receiver, arguments, node)
    if isinstance(callee, Class):
        return instantiate(executor, callee, arguments, node)
    if isinstance(callee, Instance):
        return call_instance(executor, callee, arguments, node)
    if isinstance(callee, Object):
        return call_object(executor, callee, arguments, node)
    if isinstance(callee, Partial):
        merged = Arguments(callee.args + arguments.positional, {**callee.kwargs, **arguments.keywords}, arguments.star)
        return call(executor, callee.function, merged, node)
    if isinstance(callee, Choice):
        return call_either(executor, callee, arguments, node)
    if isinstance(callee, Setting):
        return call(executor, callee.default, arguments, node)
    result = unknown_result(executor, callee, arguments, node)
    head = new_head(callee)
    result = result if head is None else call(executor, head, Arguments((result,)), node)
    modes.note_forward(executor, callee, arguments, result, node)
    return result


def new_head(model: Value) -> Value | None:
    """The last layer that the script has given to a model of a library in the place of its own, None if it has not."""
    if not isinstance(model, Unknown) or model.origin is None or not model.origin.op.startswith(MODEL_LIBRARIES):
        return None
    given = (model.attributes.get(name) for name in HEADS)
    return next((head for head in given if isinstance(head, (Object, Instance))), None)


def unknown_result(executor: Executor, callee: Value, arguments: Arguments, node: cst.CSTNode) -> Unknown:
    """The value of a call of something nobody knows: it remembers the callee and what went in."""
    if isinstance(callee, Unknown):
        site = Call(executor, executor.module.source, node, callee.name, None, arguments)
        generators.note_unknown(site, known=False)
    inputs = (callee, *arguments.positional, *arguments.keywords.values())
    return Unknown(origin=Origin("call", inputs, executor.module.source, node))


def call_either(executor: Executor, callee: Choice, arguments: Arguments, node: cst.CSTNode) -> Value:
    """Call both sides of a choice, each under its condition."""
    from nnlint.symbolic.branches import both

    results: list[Value] = []
    before = executor.conditions
    place = executor.place(node)
    test = callee.test or Symbol()

    def side(value: Value, outcome: bool) -> None:
        executor.conditions = (*before, Condition(test, outcome, place, implied=True))
        results.append(call(executor, value, arguments, node))
        executor.conditions = before

    if sets_mode(callee):
        # whichever of the two objects there is, its own mode is known afterwards
        side(callee.yes, True)
        side(callee.no, False)
        return join(callee.test, results[0], results[1])  # type: ignore[no-any-return]

    def then() -> None:
        side(callee.yes, True)

    def otherwise() -> None:
        side(callee.no, False)

    both(executor, callee.test, then, otherwise)
    result: Value = join(callee.test, results[0], results[1])
    return result


def sets_mode(callee: Value) -> bool:
    """Whether a callee is ``train`` or ``eval`` of something, or of one of several things."""
    if isinstance(callee, Choice):
        return sets_mode(callee.yes) and sets_mode(callee.no)
    return isinstance(callee, Attribute) and callee.name in ("train", "eval")


def any_of(values: list[Value]) -> Value:
    """One of several values, nobody knows which; at most four are told apart, among the first few dozen."""
    distinct: list[Value] = []
    for value in values[:TOLD_APART]:
        if not any(same(value, other) for other in distinct):
            distinct.append(value)
        if len(distinct) == 4:
            break
    if all(is_numeric(value) for value in distinct) and len(distinct) > 1:
        return Symbol()
    result = distinct[-1]
    for value in reversed(distinct[:-1]):
        result = Choice(None, value, result)
    return result


def call_library(executor: Executor, callee: Library, arguments: Arguments, node: cst.CSTNode) -> Value:
    """Call a function or class of a library."""
    path = callee.path
    site = Call(executor, executor.module.source, node, path, None, arguments)
    generators.note_call(site)
    registration.note_renewed(site)
    if path in MEANS and arguments.positional and isinstance(arguments.positional[0], Sequence):
        executor.emit(Average, node, total=as_now(arguments.positional[0]), count=None)
    handler = FUNCTIONS.get(path)
    if handler is not None:
        return handler(site)
    kind = kind_of(path)
    if not kind:
        head = path.partition(".")[0]
        generators.note_unknown(site, known=head in INSTALLED or head == "builtins")
    if kind is not None:
        return build(executor, path, kind, arguments, node)
    inputs = (*arguments.positional, *arguments.keywords.values())
    return Unknown(origin=Origin(path, inputs, executor.module.source, node))


def build(executor: Executor, path: str, kind: str, arguments: Arguments, node: cst.CSTNode) -> Object:
    """An object of a library class; the event tells that it was built."""
    origin = Origin(path, (), executor.module.source, node)
    built = Object(path, kind, arguments, origin=origin)
    if kind in python.CONTAINERS or path in python.CONTAINERS:
        python.fill(executor, built)
    if kind:
        executor.emit(Build, node, value=built)
    return built


def call_attribute(executor: Executor, callee: Attribute, arguments: Arguments, node: cst.CSTNode) -> Value:
    """Call a method of something that is not an object of the repository."""
    receiver, name = callee.receiver, callee.name
    receiver = resolve_setting(receiver) or receiver
    site = Call(executor, executor.module.source, node, f".{name}", receiver, arguments)
    generators.note_method(site)
    registration.note_renewed(site)
    if name == "requires_grad_":
        value = site.get(0, "requires_grad") or Const(True)
        executor.emit(SetRequiresGrad, node, target=receiver, name=name, value=value)
    if isinstance(receiver, (Object, Instance)):
        handler = OBJECT_METHODS.get((receiver.kind if isinstance(receiver, Object) else "instance", name))
        if handler is None:
            handler = OBJECT_METHODS.get(("", name))
        return site.unknown() if handler is None else handler(site)
    handler = python.VALUE_METHODS.get((type(receiver).__name__, name))
    if handler is not None:
        return handler(site)
    handler = OBJECT_METHODS.get(("unknown", name))
    if handler is not None:
        return handler(site)
    if isinstance(receiver, (Tensor, Unknown)):
        handler = METHODS.get(name)
        if handler is not None and not python.is_text_method(receiver, name, arguments):
            return handler(site)
        return site.unknown()
    if is_numeric(receiver):
        if name in BOOLEAN and all(map(is_numeric, arguments.positional)):
            from nnlint.symbolic.scalar import operation

            return operation(name, receiver, *arguments.positional)
        return receiver if name in ("item", "clone", "detach", "numel") else site.unknown()
    return site.unknown()


def parameters(node: cst.FunctionDef | cst.Lambda) -> tuple[list[str], list[str], str, str]:
    """The names of a function's positional and keyword-only parameters, of ``*args`` and of ``**kwargs``."""
    params = node.params
    star = params.star_arg.name.value if isinstance(params.star_arg, cst.Param) else ""
    double = params.star_kwarg.name.value if params.star_kwarg is not None else ""
    positional = [param.name.value for param in (*params.posonly_params, *params.params)]
    return positional, [param.name.value for param in params.kwonly_params], star, double


def bound_arguments(function: Function, receiver: Value | None, arguments: Arguments) -> dict[str, Value]:
    """The names that a call binds. A missing argument without default is unknown, by its name."""
    positional, keyword_only, star, double = parameters(function.node)
    given = arguments.positional if receiver is None else (receiver, *arguments.positional)
    names: dict[str, Value] = dict(zip(positional, given, strict=False))
    extra = dict(arguments.keywords)
    for name in (*positional, *keyword_only):
        if name in extra:
            names[name] = extra.pop(name)
        elif name not in names:
            default = function.defaults.get(name)
            if default is None:
                names[name] = Unknown(name)
            else:
                names[name] = Setting(name, default) if _is_option(default, arguments) else default
    if star:
        names[star] = Sequence("tuple", list(given[len(positional) :]), arguments.star)
    if double:
        names[double] = Mapping(dict[object, Value](extra.items()), arguments.star)
    return names


def _is_option(default: Value, arguments: Arguments) -> bool:
    """Whether a default stands for a choice: flags and modes always, others if the call may have set them."""
    return isinstance(default, Const) and (arguments.star or isinstance(default.value, (bool, str)))


def follow(
    executor: Executor, function: Function, receiver: Value | None, arguments: Arguments, node: cst.CSTNode
) -> Value:
    """Execute the body of a function of the repository."""
    from nnlint.symbolic.executor import CALL_DEPTH

    if is_decorated(function, "staticmethod"):
        receiver = None
    depth = executor.frame.depth + 1
    recursive = sum(1 for site in executor.calls if site.function.node is function.node)
    if depth > CALL_DEPTH or recursive > 1:
        return unknown_result(executor, function, arguments, node)
    key = id(function.node)
    is_model = function.name == "forward" and all(site.function.name != "forward" for site in executor.calls)
    most = REPEATS_OF_MODELS if is_model else REPEATS
    repeats, spent = executor.repeats.get(key, (0, 0))
    much = spent > PLENTY or function.name == "forward"
    if repeats >= most and much and key not in executor.vital:
        return unknown_result(executor, function, arguments, node)
    executor.executed.add(key)
    names = bound_arguments(function, receiver, arguments)
    events, steps = len(executor.run.events), executor.steps
    result = execute_body(executor, function, receiver, names, executor.place(node), depth)
    if executor.steps - steps > CHEAP:
        repeats, spent = executor.repeats.get(key, (0, 0))
        executor.repeats[key] = repeats + 1, spent + executor.steps - steps
    short = executor.steps - steps <= LITTLE
    if any(not isinstance(event, ROUTINE) or (short and matters(event)) for event in executor.run.events[events:]):
        executor.vital.add(key)
    return result


def matters(event: Event) -> bool:
    """Whether data, an optimizer or a scheduler are built, each of which matters."""
    return isinstance(event, Build) and isinstance(event.value, Object) and event.value.kind in ONCE_MORE


def execute_body(
    executor: Executor, function: Function, receiver: Value | None, names: dict[str, Value], place: object, depth: int
) -> Value:
    """Execute a function with its names bound; its return value."""
    from nnlint.rule import Place

    assert isinstance(place, Place)
    frame = Frame(
        function.frame.module,
        names,
        function.frame,
        function,
        receiver,
        depth=depth,
        conditions=len(executor.conditions),
    )
    outer = executor.frame, executor.module, executor.calls, executor.round
    executor.frame, executor.module = frame, frame.module
    executor.calls = (*executor.calls, CallSite(place, function))
    body, recording = function.node.body, executor.recording
    decorated = grad_mode.decorated(executor, function.decorators)
    if decorated is not recording:
        executor.put(executor, "recording", decorated)
    try:
        if isinstance(body, cst.BaseExpression):
            return executor.evaluate(body)
        executor.block(body)
    finally:
        executor.frame, executor.module, executor.calls, executor.round = outer
        if decorated is not recording:
            executor.put(executor, "recording", recording)
    if frame.yields:
        return Sequence("generator", [], True, any_of(frame.yields))
    return returned(frame)


def returned(frame: Frame) -> Value:
    """The value that a call returns, from all its ``return`` statements and the conditions they stand under."""
    if not frame.returns:
        return Const(None)
    result: Value | None = None
    for conditions, value in reversed(frame.returns):
        if result is None or not conditions:
            result = value
            continue
        last = conditions[-1]
        test = last.test if len(conditions) == 1 else None
        result = join(test, value, result) if last.outcome else join(test, result, value)
    assert result is not None
    return result


def instantiate(executor: Executor, cls: Class, arguments: Arguments, node: cst.CSTNode) -> Value:
    """An object of a class of the repository."""
    origin = Origin("new", (), executor.module.source, node)
    if cls.derives("enum.Enum", "enum.IntEnum", "enum.StrEnum"):
        return Unknown(origin=origin)
    built = Instance(cls, {}, arguments, origin=origin)
    initializer = cls.lookup("__init__")
    fields = cls.lookup("__fields__")
    if isinstance(initializer, Function):
        follow(executor, initializer, built, arguments, node)
    elif isinstance(fields, Mapping):
        given = dict(zip((str(name) for name in fields.items), arguments.positional, strict=False))
        for name, value in fields.items.items():
            built.attributes[str(name)] = arguments.keywords.get(str(name), given.get(str(name), value))
        after = cls.lookup("__post_init__")
        if isinstance(after, Function):
            follow(executor, after, built, Arguments(), node)
    executor.emit(Build, node, value=built)
    if is_module(cls):
        registration.note_hidden(executor, built, node)
    return built


def is_module(cls: Class) -> bool:
    """Whether instances of a class are called through ``forward``."""
    return any(
        path in MODULE_BASES or path.startswith("torch.nn.") or path.rpartition(".")[2].endswith("Module")
        for path in cls.libraries()
    )


def call_instance(executor: Executor, callee: Instance, arguments: Arguments, node: cst.CSTNode) -> Value:
    """Call an object of a class of the repository: its ``__call__``, or ``forward`` of a module."""
    method = callee.cls.lookup("__call__")
    if isinstance(method, Function):
        return follow(executor, method, callee, arguments, node)
    method = callee.cls.lookup("forward")
    if isinstance(method, Function):
        key = _forward_key(callee, arguments)
        known = executor.forwards.get(key) if executor.round else None
        if known is None:
            result = follow(executor, method, callee, arguments, node)
            executor.forwards[key] = (result, arguments)
        else:
            result = known[0]
        executor.emit(Forward, node, module=callee, arguments=arguments, result=result, training=callee.training)
        return result
    for path in callee.cls.libraries():
        handler = LAYERS.get(path)
        if handler is not None:
            as_object = Object(path, "module", callee.arguments, children=list(callee.attributes.values()))
            return handler(Call(executor, executor.module.source, node, path, as_object, arguments))
    return unknown_result(executor, callee, arguments, node)


def _forward_key(module: Instance, arguments: Arguments) -> object:
    """Calls of a module with the same key give the same shapes: same mode, constants, shapes and other objects."""

    def key(value: Value) -> object:
        if isinstance(value, Const):
            return repr(value.value)
        return id(shape_of(value)) if isinstance(value, (Tensor, Unknown)) else id(value)

    named = tuple((name, key(value)) for name, value in arguments.keywords.items())
    return id(module), module.training, tuple(map(key, arguments.positional)), named


def call_object(executor: Executor, callee: Object, arguments: Arguments, node: cst.CSTNode) -> Value:
    """Call an object of a library: a layer, a criterion, a transform."""
    site = Call(executor, executor.module.source, node, callee.path, callee, arguments)
    layer = LAYERS.get(callee.path)
    handler = layer or OBJECT_METHODS.get((callee.kind, "__call__"))
    result = unknown_result(executor, callee, arguments, node) if handler is None else handler(site)
    if layer is not None and callee.path not in python.CONTAINERS:
        operand = layers.given(site)
        if result is not operand:
            executor.emit(Apply, node, layer=callee, operand=operand, result=result)
    modes.note_forward(executor, callee, arguments, result, node)
    return result


def call_method(executor: Executor, receiver: Value, name: str, args: list[Value], node: cst.CSTNode) -> Value:
    """``receiver.name(*args)``."""
    return call(executor, attribute(executor, receiver, name, node), Arguments(tuple(args)), node)


def entered(executor: Executor, value: Value, item: cst.WithItem) -> Value:
    """What ``with value as …`` binds."""
    if isinstance(value, Instance):
        method = value.cls.lookup("__enter__")
        if isinstance(method, Function):
            return follow(executor, method, value, Arguments(), item.item)
    if isinstance(value, Sequence) and value.kind == "generator" and value.element is not None:
        return value.element
    return value


def sample(executor: Executor, dataset: Instance, node: cst.CSTNode) -> Value | None:
    """What ``dataset[i]`` returns, as a loader asks for it; None if the class has no ``__getitem__``."""
    method = dataset.cls.lookup("__getitem__")
    if not isinstance(method, Function):
        return None
    worker, executor.in_worker = executor.in_worker, True
    before = executor.loops, executor.conditions
    executor.loops, executor.conditions = (), ()
    try:
        value = follow(executor, method, dataset, Arguments((Symbol("index"),)), node)
    finally:
        executor.in_worker = worker
        executor.loops, executor.conditions = before
    if id(dataset) not in executor.sampled:
        executor.sampled.add(id(dataset))
        outer, executor.module = executor.module, method.frame.module
        try:
            executor.emit(Sample, method.node, dataset=dataset, value=value)
        finally:
            executor.module = outer
    return value


# --- attributes and items --------------------------------------------------------------------------------------------


def attribute(executor: Executor, receiver: Value, name: str, node: cst.CSTNode) -> Value:
    """``receiver.name``."""
    if isinstance(receiver, Setting):
        receiver = resolve_setting(receiver) or receiver
    if isinstance(receiver, imports.Package):
        return imports.attribute_of_package(executor, receiver, name)
    if isinstance(receiver, Library):
        path = canonical(f"{receiver.path}.{name}")
        constant = python.CONSTANTS.get(path)
        return Library(path) if constant is None else Const(constant)
    if isinstance(receiver, ModuleValue):
        return imports.attribute(executor, receiver.module, name)
    if isinstance(receiver, Instance):
        return attribute_of_instance(executor, receiver, name, node)
    if isinstance(receiver, python.Super):
        return python.attribute_of_super(receiver, name)
    if isinstance(receiver, Class):
        value = receiver.lookup(name)
        if isinstance(value, Function) and is_decorated(value, "classmethod"):
            return Method(value, receiver)
        if value is not None:
            return value
        if name == "__name__":
            return Const(receiver.name)
        return Attribute(receiver, name)
    if isinstance(receiver, Choice):
        yes = attribute(executor, receiver.yes, name, node)
        no = attribute(executor, receiver.no, name, node)
        result: Value = join(receiver.test, yes, no)
        return result
    if isinstance(receiver, Object):
        found = receiver.attributes.get(name)
        if found is not None:
            return found
        if name == "module" and receiver.name in modes.PARALLEL and receiver.children:
            return receiver.children[0]
        if name == "__call__" and receiver.kind == "module":
            return receiver
        if receiver.kind == "namespace":
            value = Unknown(name)
            receiver.attributes[name] = value
            return value
        return Attribute(receiver, name)
    if isinstance(receiver, Mapping) and name in receiver.items:
        return receiver.items[name]
    if isinstance(receiver, Sequence) and name in REDUCED and len(receiver.items) == 2:
        return receiver.items[REDUCED[name]]
    if isinstance(receiver, (Tensor, Unknown)):
        handler = ATTRIBUTES.get(name)
        if handler is not None:
            return handler(Call(executor, executor.module.source, node, f".{name}", receiver, Arguments()))
        if isinstance(receiver, Unknown):
            found = receiver.attributes.get(name)
            if found is None:
                origin = Origin("getattr", (receiver,), executor.module.source, node)
                found = receiver.attributes[name] = Unknown(name, origin=origin, batch=receiver.batch)
            return found
    return Attribute(receiver, name)


def attribute_of_instance(executor: Executor, receiver: Instance, name: str, node: cst.CSTNode) -> Value:
    """An attribute of an object of the repository: its own, its class's, a property, a method."""
    own = receiver.attributes.get(name)
    if own is not None:
        return own
    value = receiver.cls.lookup(name)
    if isinstance(value, Function):
        if is_decorated(value, "property", "cached_property", "lazy_property"):
            return follow(executor, value, receiver, Arguments(), node)
        if is_decorated(value, "staticmethod"):
            return value
        if is_decorated(value, "classmethod"):
            return Method(value, receiver.cls)
        return Method(value, receiver)
    if value is not None:
        return value
    if name == "__class__":
        return receiver.cls
    if name == "__call__":
        # That of a module: what calling it does.
        return receiver
    return Attribute(receiver, name)


def set_attribute(executor: Executor, receiver: Value, name: str, value: Value, node: cst.CSTNode) -> None:
    """``receiver.name = value``."""
    receiver = resolve_setting(receiver) or receiver
    if FREEZING.search(name):
        executor.emit(SetRequiresGrad, node, target=receiver, name=name, value=value)
    registration.note_attached(executor, receiver, name, value, node)
    if isinstance(receiver, (Instance, Object)):
        executor.put(receiver.attributes, name, value)
    elif isinstance(receiver, Class):
        executor.put(receiver.namespace, name, value)
    elif isinstance(receiver, ModuleValue):
        executor.put(receiver.module.names, name, value)
    elif isinstance(receiver, Mapping):
        executor.put(receiver.items, name, value)
    elif isinstance(receiver, Unknown):
        executor.put(receiver.attributes, name, value)
    elif isinstance(receiver, Choice):
        for side in (receiver.yes, receiver.no):
            set_attribute(executor, side, name, value, node)


def set_item(executor: Executor, base: Value, target: cst.Subscript, value: Value) -> None:
    """``base[…] = value``."""
    from nnlint.symbolic.expressions import index_item

    items = [index_item(executor, element.slice) for element in target.slice]
    key = items[0].value if len(items) == 1 else None
    constant = resolve_setting(key)
    base = resolve_setting(base) or base
    registration.note_attached(executor, base, "", value, target)
    if isinstance(base, (Tensor, Unknown)) or (executor.in_worker and isinstance(base, (Sequence, Mapping))):
        parts = (part for item in items for part in (item.value, item.lower, item.upper, item.step))
        keys = tuple(part for part in parts if part is not None)
        executor.emit(Store, target, target=base, keys=keys, value=value)
        bound = bound_by(keys[0], value, base) if len(keys) == 1 else None
        if bound is not None:
            lower, upper = (None, bound[1]) if bound[2] else (bound[1], None)
            executor.emit(Clip, target, operand=base, result=base, lower=lower, upper=upper, in_place=True)
    if isinstance(base, Mapping):
        if isinstance(constant, Const) and isinstance(constant.value, (str, int, float, bool)):
            if isinstance(constant.value, str) and isinstance(value, (Tensor, Unknown)) and not value.name:
                value.name = constant.value
            executor.put(base.items, constant.value, value)
        else:
            executor.put(base, "open", True)
            executor.put(base, "default", value)
    elif isinstance(base, Sequence):
        position = constant.value if isinstance(constant, Const) else None
        if isinstance(position, int) and -len(base.items) <= position < len(base.items):
            changed = list(base.items)
            changed[position] = value
            executor.put(base, "items", changed)
        else:
            executor.put(base, "open", True)
            executor.put(base, "element", value)
    elif isinstance(base, Object) and base.kind == "param_group":
        if isinstance(constant, Const) and constant.value == "lr":
            executor.emit(SetRate, target, optimizer=base.children[0], rate=value)
        elif isinstance(constant, Const):
            executor.put(base.attributes, str(constant.value), value)
    elif isinstance(base, (Instance, Object)) and isinstance(constant, Const) and isinstance(constant.value, str):
        executor.put(base.attributes, constant.value, value)
    elif isinstance(base, Unknown) and isinstance(constant, Const) and isinstance(constant.value, str):
        if base.items is None:
            base.items = {}
        executor.put(base.items, constant.value, value)
    elif isinstance(base, Choice):
        for side in (base.yes, base.no):
            set_item(executor, side, target, value)


def emit_return(executor: Executor, function: Function, value: Value, receiver: Value | None) -> None:
    """Write down what a root returned, at its definition."""
    executor.emit(Return, function.node, function=function, value=value, receiver=receiver)


__all__ = ["Operation", "any_of", "attribute", "call", "define", "follow", "instantiate", "sample", "splice"]
