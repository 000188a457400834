"""``import``: names of libraries by their path, modules of the repository on demand."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.source import ParseFailure, Source
from nnlint.symbolic.library import canonical
from nnlint.symbolic.scope import Deferred, Frame, Module
from nnlint.symbolic.trace import Run
from nnlint.symbolic.values import Library, ModuleValue, Unknown, Value

if TYPE_CHECKING:
    from nnlint.symbolic.executor import Executor

STEPS_PER_MODULE = 3_000
"""Statements that the top level of an imported module may execute."""

EFFECTS = re.compile(r"^(?!def |class |async |@|#|from |import )\S.*(seed|set_determ)", re.MULTILINE)
"""What the top level of a module looks like that is executed even before a name of it is needed."""


def dotted(node: cst.BaseExpression | None) -> str:
    """``a.b.c`` of a chain of attributes."""
    if isinstance(node, cst.Attribute):
        return f"{dotted(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else ""


def execute_import(executor: Executor, node: cst.Import) -> None:
    """``import a.b``, ``import a.b as c``."""
    from nnlint.symbolic.executor import bind_name

    for alias in node.names:
        path = dotted(alias.name)
        source = executor.project.find(executor.module.source.path, path, 0)
        if source is not None:
            have_effects(executor, source)
        if alias.asname is not None and isinstance(alias.asname.name, cst.Name):
            given: Value = Library(canonical(path)) if source is None else Deferred(source, "")
            bind_name(executor, alias.asname.name.value, given)
        else:
            first = path.partition(".")[0]
            package = source
            if source is not None and first != path:
                package = executor.project.find(executor.module.source.path, first, 0)
            if source is not None and package is None:
                # a namespace package: the modules below it are found by their full path when they are named
                bind_name(executor, first, Package(first))
            else:
                bind_name(executor, first, Library(first) if package is None else Deferred(package, ""))


def execute_import_from(executor: Executor, node: cst.ImportFrom) -> None:
    """``from a import b``, ``from . import b``, ``from a import *``."""
    from nnlint.symbolic.executor import bind_name

    path, level = dotted(node.module), len(node.relative)
    importer = executor.module.source.path
    source = executor.project.find(importer, path, level)
    if source is not None:
        have_effects(executor, source)
    if isinstance(node.names, cst.ImportStar):
        if source is None:
            if not level:
                executor.module.stars.append(canonical(path))
            return
        module = load(executor, source)
        if module is not None:
            for name, value in module.names.items():
                if not name.startswith("_"):
                    bind_name(executor, name, value)
            executor.module.stars += module.stars
        return
    for alias in node.names:
        if not isinstance(alias.name, cst.Name):
            continue
        name = alias.name.value
        bound = alias.asname.name.value if alias.asname and isinstance(alias.asname.name, cst.Name) else name
        submodule = f"{path}.{name}" if path else name
        below = executor.project.find(importer, submodule, level) if source is None else None
        if source is not None:
            bind_name(executor, bound, Deferred(source, name))
        elif below is not None:
            have_effects(executor, below)
            bind_name(executor, bound, Deferred(below, ""))
        else:
            bind_name(executor, bound, Unknown(name) if level else Library(canonical(submodule)))


class Package(Library):
    """A folder of the repository without an ``__init__.py``."""

    __slots__ = ()


def attribute_of_package(executor: Executor, package: Package, name: str) -> Value:
    """A module below a namespace package."""
    path = f"{package.path}.{name}"
    source = executor.project.find(executor.module.source.path, path, 0)
    return Package(path) if source is None else needed(executor, Deferred(source, ""))


def have_effects(executor: Executor, source: Source) -> None:
    """Let the import of a module happen now if it may do something that the order of events knows."""
    if EFFECTS.search(source.text):
        module = load(executor, source)
        if module is not None:
            replay(executor, module)


def replay(executor: Executor, module: Module) -> None:
    """Write down what importing a module does, once a run."""
    for event in module.effects:
        if id(event) not in executor.imported:
            executor.imported.add(id(event))
            executor.run.events.append(event)


def needed(executor: Executor, deferred: Deferred) -> Value:
    """What an imported name stands for, now that it is asked for."""
    module = load(executor, deferred.source)
    if module is None:
        return Unknown(deferred.name)
    if not deferred.name:
        return ModuleValue(module)
    return attribute(executor, module, deferred.name)


def attribute(executor: Executor, module: Module, name: str) -> Value:
    """A name of a module of the repository, or a submodule of a package."""
    value = module.names.get(name)
    if value is not None:
        if isinstance(value, Deferred):
            module.names[name] = Unknown(name)  # for modules that import the name from each other
            value = module.names[name] = needed(executor, value)
        return value
    source = module.source
    if source.path.name == "__init__.py":
        below = executor.project.find(source.path, name, 1)
        if below is not None and below.path != source.path:
            return needed(executor, Deferred(below, ""))
    for path in module.stars:
        return Library(canonical(f"{path}.{name}"))
    return Unknown(name)


def load(executor: Executor, source: Source) -> Module | None:
    """The module of a file, its top level executed; None if it cannot be parsed."""
    known = executor.project.modules.get(source.path)
    if known is not None:
        return known
    try:
        tree = source.module
    except ParseFailure:
        return None
    module = Module(source, source.path.stem)
    executor.project.modules[source.path] = module
    from nnlint.symbolic.executor import Executor, OutOfSteps

    # a module of its own reading: what it leaves behind does not depend on who imports it first
    reader = Executor(executor.project)
    reader.module, reader.frame = module, Frame(module, module.names)
    reader.run = Run(module.name, script=False)
    reader.limit = STEPS_PER_MODULE
    with suppress(OutOfSteps, RecursionError):
        reader.block(tree.body)
    module.effects = reader.run.events
    return module
