"""What a training loop is made of: optimizers, schedulers, gradients, loaders and datasets."""

from __future__ import annotations

import re

from nnlint.symbolic import modes, registration
from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.trace import (
    Backward,
    Build,
    ClipGradients,
    Mode,
    RandomUse,
    Save,
    SchedulerStep,
    Step,
    Unscale,
    ZeroGrad,
)
from nnlint.symbolic.values import (
    Attribute,
    Const,
    Function,
    Instance,
    Method,
    Object,
    Partial,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
    resolve_setting,
)

OPTIMIZER = re.compile(r"opt(im(izer|iser)?)?s?($|_|\d)|optimi[sz]er|^solver", re.IGNORECASE)
"""Names that an optimizer goes by."""
SCHEDULER = re.compile(r"sched|lr_?(decay|policy|warmup)", re.IGNORECASE)
"""Names that a scheduler goes by."""
SCALER = re.compile(r"scaler", re.IGNORECASE)

KINDS: dict[str, str] = {
    "torch.utils.data.DataLoader": "loader",
    "torch_geometric.loader.DataLoader": "loader",
    "torch_geometric.data.DataLoader": "loader",
    "monai.data.DataLoader": "loader",
    "torch.utils.data.Subset": "dataset",
    "torch.utils.data.ConcatDataset": "dataset",
    "torch.utils.data.TensorDataset": "dataset",
    "torch.utils.data.ChainDataset": "dataset",
    "torch.utils.data.RandomSampler": "sampler",
    "torch.utils.data.SequentialSampler": "sampler",
    "torch.utils.data.SubsetRandomSampler": "sampler",
    "torch.utils.data.WeightedRandomSampler": "sampler",
    "torch.utils.data.BatchSampler": "sampler",
    "torch.utils.data.DistributedSampler": "sampler",
    "torch.cuda.amp.GradScaler": "scaler",
    "torch.amp.GradScaler": "scaler",
    "torch.Generator": "generator",
    "accelerate.Accelerator": "accelerator",
    "pytorch_lightning.Fabric": "accelerator",
    "lightning_fabric.Fabric": "accelerator",
    "torch.nn.DataParallel": "module",
    "torch.nn.parallel.DistributedDataParallel": "module",
    "apex.parallel.DistributedDataParallel": "module",
    "torch.nn.Parameter": "parameter",
    "torch.nn.parameter.Parameter": "parameter",
}

PREFIXES: dict[str, str] = {
    "torch.optim": "optimizer",
    "torch_optimizer": "optimizer",
    "apex.optimizers": "optimizer",
    "timm.optim": "optimizer",
    "bitsandbytes.optim": "optimizer",
    "transformers.optimization": "optimizer",
    "torch.optim.lr_scheduler": "scheduler",
    "timm.scheduler": "scheduler",
    "torch.nn": "module",
    "torch.nn.parallel": "module",
    "torchvision.datasets": "dataset",
    "torchvision.models": "module",
}

OPTIMIZER_FUNCTIONS = ("transformers.AdamW", "transformers.Adafactor", "timm.optim.create_optimizer_v2")


# --- optimizers and gradients ----------------------------------------------------------------------------------------


def _step(call: Call) -> Value:
    assert call.receiver is not None
    closure = call.get(0, "closure")
    if isinstance(closure, (Function, Method, Partial)):
        call.call(closure)
    call.emit(Step, optimizer=call.receiver)
    return call.unknown()


def _scheduler_step(call: Call) -> Value:
    assert call.receiver is not None
    argument = call.get(0, "metrics") or call.get(0, "epoch")
    call.emit(SchedulerStep, scheduler=call.receiver, argument=argument)
    return Const(None)


def name_of(value: Value) -> str:
    """What the script calls a value, as far as the value knows: its own name, or the callable it came from."""
    if isinstance(value, Unknown):
        if value.name:
            return value.name
        if value.origin is not None and value.origin.inputs and value.origin.op in ("getitem", "call", "getattr"):
            return name_of(value.origin.inputs[0])
    if isinstance(value, Attribute):
        return value.name
    return ""


def _unknown_step(call: Call) -> Value:
    """``step`` of a value that nobody built: an optimizer or scheduler by its name."""
    assert call.receiver is not None
    name = name_of(call.receiver)
    if SCHEDULER.search(name):
        return _scheduler_step(call)
    if SCALER.search(name) and call.arguments.positional:
        return _scaler_step(call)
    if OPTIMIZER.search(name):
        return _step(call)
    return call.unknown()


def _instance_step(call: Call) -> Value:
    """``step`` inherited from a library class by an object of the repository."""
    receiver = call.receiver
    assert isinstance(receiver, Instance)
    for path in receiver.cls.libraries():
        if path.startswith("torch.optim.lr_scheduler"):
            return _scheduler_step(call)
        if path.startswith("torch.optim"):
            return _step(call)
    return call.unknown()


def _zero_grad(call: Call) -> Value:
    assert call.receiver is not None
    call.emit(ZeroGrad, target=call.receiver)
    return Const(None)


def _backward(call: Call) -> Value:
    assert call.receiver is not None
    call.emit(Backward, loss=call.receiver, gradient=call.get(0, "gradient"))
    return Const(None)


def _backward_of_argument(call: Call) -> Value:
    """``accelerator.backward(loss)``, ``self.manual_backward(loss)``, ``model_engine.backward(loss)``."""
    loss = call.get(0, "loss")
    if loss is None:
        return _backward(call)
    if resolve_setting(loss) is loss and not isinstance(loss, Const):
        call.emit(Backward, loss=loss, gradient=None)
    return Const(None)


def _unknown_backward(call: Call) -> Value:
    """``x.backward()`` makes x a loss; ``engine.backward(loss)`` is told by the name of the receiver."""
    given = call.get(0, "loss")
    name = name_of(call.receiver) if call.receiver is not None else ""
    if given is not None and re.search(r"accelerator|engine|fabric|model|manager|trainer|scaler|amp|^self$", name):
        return _backward_of_argument(call)
    return _backward(call)


def _scale(call: Call) -> Value:
    """``scaler.scale(loss)``: the loss, times a positive number."""
    outputs = call.get(0, "outputs")
    return call.unknown() if outputs is None else Unknown(origin=call.origin(outputs))


def _unknown_scale(call: Call) -> Value:
    return _scale(call) if SCALER.search(name_of(call.receiver or Unknown())) else call.unknown()


def _scaler_step(call: Call) -> Value:
    optimizer = call.get(0, "optimizer")
    if optimizer is not None:
        call.emit(Step, optimizer=optimizer)
    return Const(None)


def _unscale(call: Call) -> Value:
    optimizer = call.get(0, "optimizer")
    if optimizer is not None:
        call.emit(Unscale, optimizer=optimizer)
    return Const(None)


def _clip_gradients(call: Call) -> Value:
    call.emit(ClipGradients, parameters=call.get(0, "parameters"))
    return call.unknown()


def _autograd_backward(call: Call) -> Value:
    tensors = call.get(0, "tensors")
    for loss in tensors.items if isinstance(tensors, Sequence) else [tensors]:
        if loss is not None:
            call.emit(Backward, loss=loss, gradient=call.get(1, "grad_tensors"))
    return Const(None)


def _minimize(call: Call) -> Value:
    """``optimizer.minimize(loss)`` and the like of wrappers: a step."""
    return _step(call)


def _variable(call: Call) -> Value:
    """``Variable(x)``: x; with ``requires_grad=True`` a new leaf of the graph that has its numbers."""
    data, requires = call.get(0, "data"), resolve_setting(call.get(1, "requires_grad"))
    if not (isinstance(requires, Const) and requires.value is True):
        return data or call.unknown()
    if isinstance(data, Tensor):
        leaf = call.tensor(data.shape, loss=data.loss, integer=data.integer)
        leaf.batch, leaf.name = data.batch, data.name
        return leaf
    if isinstance(data, Unknown):
        return Unknown(data.name, data.shape, data.batch, origin=call.origin())
    return data or call.unknown()


def _built(kind: str) -> Handler:
    def build(call: Call) -> Value:
        value = Object(call.path, kind, call.arguments, origin=call.origin())
        call.emit(Build, value=value)
        return value

    return build


def _function_schedule(call: Call) -> Value:
    """``LambdaLR``: what the function of the script makes of a number of steps, ``counter``, is its ``factor``."""
    scheduler = _built("scheduler")(call)
    function = call.get(1, "lr_lambda")
    if isinstance(function, Sequence) and function.items:
        function = function.items[0]
    if isinstance(scheduler, Object) and isinstance(function, (Function, Method, Instance, Partial)):
        counter = Symbol("step")
        scheduler.attributes["counter"] = counter
        scheduler.attributes["factor"] = call.call(function, counter)
    return scheduler


# --- modules ---------------------------------------------------------------------------------------------------------


def _train(call: Call) -> Value:
    mode = call.get(0, "mode")
    resolved = resolve_setting(mode)
    training = True if mode is None else bool(resolved.value) if isinstance(resolved, Const) else None
    return _set_mode(call, training)


def _eval(call: Call) -> Value:
    return _set_mode(call, False)


def _set_mode(call: Call, training: bool | None) -> Value:
    receiver = call.receiver
    assert receiver is not None
    modes.use_as_module(call.executor, receiver)
    modes.put_into(call.executor, receiver, training)
    call.emit(Mode, module=receiver, training=training)
    return receiver


def _itself(call: Call) -> Value:
    """A method that returns the object it is called on."""
    return call.receiver or Unknown()


def _unknown_mode(call: Call) -> Value:
    """``train()`` and ``eval()`` of a value nobody built: taken for a module's where the call has their form."""
    if call.path == ".eval" and not call.inputs[1:]:
        return _set_mode(call, False)
    if call.path == ".train" and len(call.inputs) <= 2:
        given = call.get(0, "mode")
        if given is None or (isinstance(given, Const) and isinstance(given.value, bool)):
            return _train(call)
    return call.unknown()


def _module_method(call: Call) -> Value:
    """A method that nothing but modules have."""
    if call.receiver is not None:
        modes.use_as_module(call.executor, call.receiver)
    return call.unknown()


def _add_module(call: Call) -> Value:
    receiver, name, module = call.receiver, call.get(0, "name"), call.get(1, "module")
    if receiver is not None and module is not None:
        registration.note_attached(call.executor, receiver, "", module, call.node)
    if isinstance(receiver, (Object, Instance)) and module is not None:
        if isinstance(name, Const) and isinstance(name.value, str):
            call.executor.put(receiver.attributes, name.value, module)
        if isinstance(receiver, Object):
            call.executor.put(receiver, "children", [*receiver.children, module])
    return Const(None)


def _append_module(call: Call) -> Value:
    receiver, module = call.receiver, call.get(0, "module")
    if isinstance(receiver, Object) and module is not None:
        registration.note_attached(call.executor, receiver, "", module, call.node)
        call.executor.put(receiver, "children", [*receiver.children, module])
    return receiver or Unknown()


def _super_init(call: Call) -> Value:
    """``super().__init__(…)`` of a library class: keeps what a Sequential or dataset is made of."""
    receiver = call.receiver
    if isinstance(receiver, Instance):
        for number, value in enumerate(call.arguments.positional):
            receiver.attributes.setdefault(f"__{number}", value)
    return Const(None)


# --- loaders and datasets --------------------------------------------------------------------------------------------


def shuffles(loader: Object) -> bool | None:
    """Whether a loader draws the order of its samples; None if it cannot be told."""
    shuffle = resolve_setting(loader.arguments.get(2, "shuffle"))
    if isinstance(shuffle, Const):
        return bool(shuffle.value)
    sampler = loader.arguments.get(3, "sampler") or loader.arguments.get(4, "batch_sampler")
    if isinstance(sampler, Object):
        return sampler.name != "SequentialSampler"
    if sampler is None and shuffle is None:
        return None if loader.arguments.star else False
    return None


def _loader(call: Call) -> Value:
    loader = Object(call.path, "loader", call.arguments, origin=call.origin())
    call.emit(Build, value=loader)
    if shuffles(loader) and not _has_generator(call):
        call.emit(RandomUse, generator="torch", what="the loader draws the order of its samples")
    _start_worker(call, call.get(10, "worker_init_fn"))
    return loader


def _has_generator(call: Call) -> bool:
    """Whether a loader, or its sampler, draws from a generator of its own."""
    sampler = call.get(3, "sampler")
    given = sampler.arguments.get(None, "generator") if isinstance(sampler, Object) else None
    return any(value is not None and not isinstance(value, Const) for value in (given, call.get(None, "generator")))


def _start_worker(call: Call, function: Value | None) -> None:
    """What ``worker_init_fn`` does in each process that loads samples."""
    if isinstance(function, (Function, Method, Partial)):
        executor = call.executor
        worker, executor.in_worker = executor.in_worker, True
        try:
            call.call(function, Symbol("worker_id"))
        finally:
            executor.in_worker = worker


def _random_split(call: Call) -> Value:
    dataset, lengths = call.get(0, "dataset"), call.get(1, "lengths")
    if call.get(2, "generator") is None:
        call.emit(RandomUse, generator="torch", what="random_split draws the split")
    count = len(lengths.items) if isinstance(lengths, Sequence) and not lengths.open else 0
    whole = [] if dataset is None else [dataset]
    parts: list[Value] = [
        Object("torch.utils.data.Subset", "dataset", call.arguments, children=list(whole), origin=call.origin())
        for _ in range(count)
    ]
    return Sequence("list", parts) if parts else call.unknown()


def _prepared(call: Call) -> Value:
    """``accelerator.prepare(model, optimizer, …)``, ``amp.initialize``: what went in, ready for the device."""
    args = call.arguments.positional or tuple(call.arguments.keywords.values())
    return args[0] if len(args) == 1 else Sequence("tuple", list(args)) if args else call.unknown()


def _unknown_prepare(call: Call) -> Value:
    prepares = re.search(r"accelerator|fabric", name_of(call.receiver or Unknown()), re.IGNORECASE)
    return _prepared(call) if prepares and call.arguments.positional else call.unknown()


def _amp_initialize(call: Call) -> Value:
    models, optimizers = call.get(0, "models"), call.get(1, "optimizers")
    if models is None:
        return call.unknown()
    return models if optimizers is None else Sequence("tuple", [models, optimizers])


def _save(call: Call) -> Value:
    call.emit(Save, value=call.get(0, "obj"))
    return Const(None)


def _copy_file(call: Call) -> Value:
    """``shutil.copyfile(checkpoint, best)``."""
    call.emit(Save, value=None, by=call.path)
    return call.unknown()


def _save_module(call: Call) -> Value:
    """``model.save_pretrained(folder)``, ``model.save(path)``."""
    call.emit(Save, value=call.receiver, by=call.path)
    return call.unknown()


def _number(call: Call) -> Value:
    return Symbol(of=call.receiver)


FUNCTIONS: dict[str, Handler] = {
    "torch.nn.utils.clip_grad_norm_": _clip_gradients,
    "torch.nn.utils.clip_grad_norm": _clip_gradients,
    "torch.nn.utils.clip_grad_value_": _clip_gradients,
    "torch.autograd.backward": _autograd_backward,
    "torch.autograd.Variable": _variable,
    "torch.utils.data.DataLoader": _loader,
    "torch.utils.data.random_split": _random_split,
    "torch.save": _save,
    **{f"shutil.{name}": _copy_file for name in ("copy", "copy2", "copyfile")},
    "apex.amp.initialize": _amp_initialize,
    "apex.amp.scale_loss": lambda call: Unknown(origin=call.origin(*call.arguments.positional[:1])),
    "transformers.AdamW": _built("optimizer"),
    "transformers.Adafactor": _built("optimizer"),
    "torch.optim.lr_scheduler.LambdaLR": _function_schedule,
    "torch.optim.lr_scheduler.MultiplicativeLR": _function_schedule,
    **{
        f"{module}.{name}": _built("scheduler")
        for module in ("transformers", "transformers.optimization", "diffusers.optimization")
        for name in (
            "get_scheduler",
            "get_linear_schedule_with_warmup",
            "get_cosine_schedule_with_warmup",
            "get_constant_schedule_with_warmup",
            "get_polynomial_decay_schedule_with_warmup",
            "get_cosine_with_hard_restarts_schedule_with_warmup",
            "get_constant_schedule",
        )
    },
}

OBJECT_METHODS: dict[tuple[str, str], Handler] = {
    ("optimizer", "step"): _step,
    ("optimizer", "zero_grad"): _zero_grad,
    ("module", "zero_grad"): _zero_grad,
    ("instance", "zero_grad"): _zero_grad,
    ("instance", "step"): _instance_step,
    ("scheduler", "step"): _scheduler_step,
    ("scheduler", "step_update"): _scheduler_step,
    ("scaler", "scale"): _scale,
    ("scaler", "step"): _scaler_step,
    ("scaler", "unscale_"): _unscale,
    ("unknown", "step"): _unknown_step,
    ("unknown", "zero_grad"): _zero_grad,
    ("unknown", "backward"): _unknown_backward,
    ("unknown", "scale"): _unknown_scale,
    ("unknown", "train"): _unknown_mode,
    ("unknown", "eval"): _unknown_mode,
    **{
        (kind, name): _module_method
        for kind in ("unknown", "module")
        for name in ("parameters", "named_parameters", "modules", "named_modules")
    },
    **{
        (kind, name): _save_module
        for kind in ("unknown", "module", "instance")
        for name in ("save_pretrained", "save_weights", "save_model", "save_checkpoint")
    },
    ("unknown", "clip_grad_norm_"): _clip_gradients,
    ("unknown", "prepare"): _unknown_prepare,
    ("accelerator", "prepare"): _prepared,
    ("accelerator", "prepare_model"): _prepared,
    ("accelerator", "prepare_optimizer"): _prepared,
    ("accelerator", "prepare_data_loader"): _prepared,
    ("accelerator", "setup"): _prepared,
    ("accelerator", "setup_dataloaders"): _prepared,
    ("accelerator", "unwrap_model"): _prepared,
    ("", "backward"): _backward_of_argument,
    ("", "manual_backward"): _backward_of_argument,
    ("", "clip_grad_norm_"): _clip_gradients,
    ("module", "train"): _train,
    ("module", "eval"): _eval,
    ("instance", "train"): _train,
    ("instance", "eval"): _eval,
    ("instance", "__super_init__"): _super_init,
    ("module", "add_module"): _add_module,
    ("instance", "add_module"): _add_module,
    ("instance", "register_module"): _add_module,
    ("module", "append"): _append_module,
    **{
        (kind, name): _itself
        for kind in ("module", "instance", "criterion", "scaler", "generator")
        for name in (
            *("to", "cuda", "cpu", "half", "float", "double", "bfloat16", "type", "apply", "requires_grad_"),
            *("share_memory", "to_empty", "compile"),
        )
    },
}
