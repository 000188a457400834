"""Generators of random numbers that every process which loads samples gets a copy of, in the same state."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.evidence.loaders import SEEDS_NUMPY, datasets
from nnlint.evidence.requirements import is_older
from nnlint.rule import Place
from nnlint.symbolic.ancestry import ancestors
from nnlint.symbolic.library.motions import PIPELINES, parts_of
from nnlint.symbolic.scalar import truth_by_default
from nnlint.symbolic.trace import RandomUse, Run, Sample, Trace
from nnlint.symbolic.values import Choice, Class, Function, Instance, Object, resolve_setting
from nnlint.symbolic.words import below, words_of

if TYPE_CHECKING:
    from nnlint.source import Source

OWN = re.compile(
    r"(?:(?:np|npr|numpy)\.(?:random\.)?)?(?P<numpy>default_rng|RandomState)|(?:np|numpy)\.random\.Generator"
    r"|(?:random\.)?(?P<python>Random)|torch\.Generator"
)
"""How functions are written that make a generator."""

AWARE = re.compile(r"get_worker_info|worker_init|worker_id|worker_seed|initial_seed")
"""Words of code that knows which worker it is in."""

PUT = r"(?:seed|manual_seed|set_?state|spawn|jumped)\("
"""Methods that put a generator into another state, or make others of it."""

LOOKS = frozenset("get_state getstate bit_generator deepcopy copy isinstance print repr str id hasattr type".split())
"""Methods of generators, and functions that are given one, that draw nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Copied:
    """What the workers of a loader draw alike.

    ``draw`` is the call that draws, ``generator`` the expression of the generator in it and ``made`` the call that
    makes the generator; both None for numpy's global one. ``what`` is what to call it. It is ``certain`` to be drawn
    from if no branch decides about it.
    """

    dataset: Instance
    draw: Place
    what: str
    generator: Place | None = None
    made: Place | None = None
    certain: bool = False


def copied_in(trace: Trace, run: Run, loader: Object) -> Copied | None:
    """What the workers of a loader draw alike; None if nothing, or if the data set may know which worker it is in."""
    for dataset in datasets(loader):
        if isinstance(dataset, Instance):
            own = (each for each in _own(dataset) if each.certain or _reaches_sample(run, dataset, each.made))
            copied = next(own, None) or _global(trace, run, dataset)
            if copied is not None and not any(map(_tells_workers_apart, holders(dataset))):
                return copied
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Holder:
    """A class that takes part in loading a sample, and the functions of it, and of its module, that do."""

    cls: Class
    functions: tuple[Function, ...]

    @property
    def codes(self) -> list[str]:
        """The code of the class and of the functions."""
        classes = [_code(each.frame.module.source, each.node) for each in self.cls.lineage()]
        return [*classes, *(_code(each.frame.module.source, each.node) for each in self.functions)]

    @property
    def certain(self) -> list[Function]:
        """The functions that run for every sample: no branch decides about it."""
        found = [self.functions[0]]
        for function in found:
            certain = _certain(function.node)
            called = {_name(call) for call in _calls(function.node) if id(call) in certain}
            found += [each for each in self.functions if each.name in called and each not in found]
        return found


def holders(dataset: Instance) -> Iterator[Holder]:
    """The class of a data set, and those of the transforms that it is given."""
    own = _holder(dataset.cls, "__getitem__")
    if own is None and any(path.endswith("IterableDataset") for path in dataset.cls.libraries()):
        own = _holder(dataset.cls, "__iter__")
    if own is not None:
        yield own
        for given in (*dataset.arguments.positional, *dataset.arguments.keywords.values()):
            value = resolve_setting(given)
            for part in parts_of(value) if isinstance(value, Object) and value.name in PIPELINES else [value]:
                holder = _holder(part.cls, "__call__", "forward") if isinstance(part, Instance) else None
                if holder is not None:
                    yield holder


def _holder(cls: Class, *names: str) -> Holder | None:
    """What the first of the methods ``names`` that a class has takes part in; None if it has none."""
    methods = (cls.lookup(name) for name in names)
    functions = [method for method in methods if isinstance(method, Function)][:1]
    for function in functions:
        for name in sorted(words_of(function.node)):
            named = cls.lookup(name) or function.frame.module.names.get(name)
            if isinstance(named, Function) and named.name != "__init__" and named not in functions:
                functions.append(named)
    return Holder(cls, tuple(functions)) if functions else None


def _tells_workers_apart(holder: Holder) -> bool:
    """Whether the code of a holder knows which worker it is in, or puts a generator into a state of its own."""
    loading = (_code(each.frame.module.source, each.node) for each in holder.functions)
    return any(AWARE.search(code) for code in holder.codes) or any(re.search(rf"\b{PUT}", code) for code in loading)


# --- a generator of its own ------------------------------------------------------------------------------------------


def _own(dataset: Instance) -> Iterator[Copied]:
    """Where a sample is drawn for from a generator that the data set, a transform of it, or their module holds."""
    for holder in holders(dataset):
        held = {name: made for cls in reversed(list(holder.cls.lineage())) for name, made in _held_by(cls).items()}
        for function in holder.functions:
            known = {**_of_module(function), **{f"{_receiver(function)}.{name}": made for name, made in held.items()}}
            source = function.frame.module.source
            for call in _calls(function.node) if known else ():
                for expression in _generators_in(call):
                    name = source.module.code_for_node(expression)
                    if name in known:
                        what = f"`{name}`, a `{_written(known[name])}`"
                        certain = function in holder.certain and id(call) in _certain(function.node)
                        yield Copied(
                            dataset, Place(source, call), what, Place(source, expression), known[name], certain
                        )


def _reaches_sample(run: Run, dataset: Instance, made: Place | None) -> bool:
    """Whether a sample is made with numbers of a generator, as the options stand; of a stream nothing is known."""
    for sample in run.of(Sample):
        if sample.dataset is dataset and made is not None:
            tests = (
                item.test for item in ancestors(sample.value) if isinstance(item, Choice) and item.test is not None
            )
            outcomes = {id(test): outcome for test in tests if (outcome := truth_by_default(test)) is not None}
            origins = (item.origin for item in ancestors(sample.value, outcomes) if item.origin is not None)
            return any(origin.node is made.node for origin in origins)
    return dataset.cls.lookup("__getitem__") is None


def _written(made: Place) -> str:
    """How the function is written that makes a generator."""
    return made.source.module.code_for_node(made.node.func) if isinstance(made.node, cst.Call) else ""


def _calls(function: cst.CSTNode) -> Iterator[cst.Call]:
    """The calls of a function, without those that are made where something else has failed."""
    failed = {id(node) for each in below(function) if isinstance(each, cst.ExceptHandler) for node in below(each)}
    for node in below(function):
        if isinstance(node, cst.Call) and id(node) not in failed:
            yield node


def _certain(function: cst.CSTNode) -> set[int]:
    """The nodes of a function, by identity, that are evaluated in each of its calls."""
    found = {id(node) for node in below(function)}
    ended = False
    for node in below(function):
        if ended:
            found.discard(id(node))
        branches: list[cst.CSTNode | None] = []
        if isinstance(node, (cst.If, cst.IfExp)):
            branches = [node.body, node.orelse]
        elif isinstance(node, cst.BooleanOperation):
            branches = [node.right]
        elif isinstance(node, cst.While):
            branches = [node.body]
        for branch in branches:
            found -= {id(each) for each in below(branch)} if branch is not None else set()
        # What comes after a branch may not be reached if the branch may leave the function.
        ended = ended or (isinstance(node, cst.Return) and id(node) not in found)
    return found


def _name(call: cst.Call) -> str:
    """The last part of the name that is called."""
    name = call.func.attr if isinstance(call.func, cst.Attribute) else call.func
    return name.value if isinstance(name, cst.Name) else ""


def _generators_in(call: cst.Call) -> Iterator[cst.BaseExpression]:
    """The expressions that may be the generator a call draws from: what it is a method of, and what it is given."""
    if _name(call) in LOOKS:
        return
    if isinstance(call.func, cst.Attribute):
        yield call.func.value
    yield from (arg.value for arg in call.args if not arg.star)


def _held_by(cls: Class) -> dict[str, Place]:
    """The generators that a class makes in its initializer and puts nothing else in the place of, by attribute."""
    initializer, source = cls.namespace.get("__init__"), cls.frame.module.source
    if not isinstance(initializer, Function):
        return {}
    receiver, code = f"{_receiver(initializer)}.", _code(source, cls.node)
    found: dict[str, Place] = {}
    for node in below(initializer.node):
        for target, value in _assigned(node):
            name, maker = source.module.code_for_node(target), _maker(value, source)
            if maker is not None and name.startswith(receiver):
                found[name.removeprefix(receiver)] = Place(source, maker)
    return {name: made for name, made in found.items() if _bindings(rf"\.{name}", code) == 1}


def _of_module(function: Function) -> dict[str, Place]:
    """The generators that a function finds at the top of its module, by name: seeded, made once and left alone.

    One that nobody seeds is copied only where processes are forked: elsewhere the module is imported anew.
    """
    source = function.frame.module.source
    found: dict[str, Place] = {}
    for statement in source.module.body:
        for part in statement.body if isinstance(statement, cst.SimpleStatementLine) else ():
            for target, value in _assigned(part):
                maker = _maker(value, source)
                if isinstance(target, cst.Name) and maker is not None and (maker.args or maker is not value):
                    found[target.value] = Place(source, maker)
    code = _code(source, source.module) if found else ""
    parameters = {each.name.value for each in below(function.node) if isinstance(each, cst.Param)}
    return {
        name: made
        for name, made in found.items()
        if name not in parameters
        and _bindings(rf"(?<![\w.]){name}", code) == 1
        and not AWARE.search(code)
        and not re.search(rf"\b{name}\.{PUT}", code)
    }


def _assigned(node: cst.CSTNode) -> Iterator[tuple[cst.BaseExpression, cst.BaseExpression]]:
    """What a simple assignment binds, and to what."""
    if isinstance(node, cst.Assign) and len(node.targets) == 1:
        yield node.targets[0].target, node.value
    elif isinstance(node, cst.AnnAssign) and node.value is not None:
        yield node.target, node.value


def _bindings(target: str, code: str) -> int:
    """How often the code assigns to a target, which is a pattern."""
    return len(re.findall(rf"{target}\s*(?::[^=\n]*)?=(?!=)", code))


def _maker(value: cst.BaseExpression, source: Source) -> cst.Call | None:
    """The call that makes a generator, also one that is seeded at once: ``torch.Generator().manual_seed(0)``."""
    if isinstance(value, cst.Call) and isinstance(value.func, cst.Attribute) and value.func.attr.value == "manual_seed":
        value = value.func.value
    if not isinstance(value, cst.Call):
        return None
    written = source.module.code_for_node(value.func)
    found = OWN.fullmatch(written)
    if found is None:
        return None
    module = "numpy.random" if found["numpy"] == written else "random" if found["python"] == written else ""
    known = not module or re.search(rf"^\s*from {re.escape(module)} import .*\b{written}\b", source.text, re.MULTILINE)
    return value if known else None


def _receiver(function: Function) -> str:
    """What a method calls its object."""
    params = function.node.params.params
    return params[0].name.value if params and function.owner is not None else ""


def _code(source: Source, node: cst.CSTNode) -> str:
    """The code of a definition, without comments."""
    return re.sub(r"#.*", "", source.module.code_for_node(node))


# --- numpy's ---------------------------------------------------------------------------------------------------------


def _global(trace: Trace, run: Run, dataset: Instance) -> Copied | None:
    """Where a data set draws from numpy's global generator, if the project's torch is one that copies it."""
    classes = [id(cls) for cls in dataset.cls.lineage()]
    for event in run.of(RandomUse):
        if event.generator == "numpy" and event.in_worker:
            sites = (site.function for site in event.context.calls)
            inside = any(site.name == "__getitem__" and id(site.owner) in classes for site in sites)
            if inside and is_older(trace.root, "torch", SEEDS_NUMPY):
                return Copied(dataset, event.place, "numpy's global generator")
    return None
