"""Calls for their effect, on the way to the training, that may seed or change what was drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.evidence.seeding import calls_in
from nnlint.rule import Place
from nnlint.symbolic.library.generators import SEEDING, TABLED
from nnlint.symbolic.words import below, words_of

if TYPE_CHECKING:
    from nnlint.evidence.seeding import Seeding
    from nnlint.source import Source

HARMLESS = frozenset(
    (
        *("print", "len", "isinstance", "setattr", "super", "min", "max", "sum", "sorted", "list", "tuple", "set"),
        *("dict", "str", "int", "float", "range", "zip", "map", "filter", "open", "input", "exit", "quit", "next"),
        *("help", "vars", "type", "hasattr", "getattr", "display", "freeze_support", "summary"),
    )
)
"""Functions that neither seed nor change a model."""

KNOWN = TABLED | frozenset(
    (
        *("argparse", "logging", "os", "sys", "time", "warnings", "json", "shutil", "pathlib", "subprocess", "gc"),
        *("tqdm", "wandb", "tensorboardX", "tensorboard", "matplotlib", "cv2", "PIL", "pandas", "torchvision"),
        *("torchsummary", "torchinfo", "loguru", "rich", "click", "visdom", "seaborn", "math", "copy", "pickle"),
        *("tensorflow", "keras", "jax", "datetime", "signal", "multiprocessing", "pprint", "yaml", "csv"),
    )
)
"""Packages whose seeds the reading knows by their names."""

STATES = frozenset(("set_rng_state", "set_rng_state_all", "set_state", "setstate", "manual_seed", "seed"))
"""Functions that put a generator into a state, whatever they are called on."""

LASTING = frozenset(("load_state_dict", "apply", "copy_", "fill_", "zero_", "constant_", "ones_", "zeros_", "eye_"))
"""Methods and functions that put other numbers in the place of weights that were drawn."""


def calls_for_effect(
    seeding: Seeding, scopes: Collection[tuple[Source, cst.CSTNode]], made: Collection[Place]
) -> Iterator[tuple[Place, bool]]:
    """What happens before the training and the reading cannot vouch for: each place, and whether it may change weights.

    What changes no weights may seed.

    Args:
        seeding: what the script draws and seeds.
        scopes: the modules and functions that are gone through.
        made: the places of what is drawn.
    """
    way = {id(seeding.trains.place.node), *(id(site.place.node) for site in seeding.trains.context.calls)}
    drawn = {id(place.node) for place in made}
    for source, scope in scopes:
        read = _read_names(source)
        names: set[str] = set()
        for statement in _statements_before(scope, way):
            if isinstance(statement, cst.For):
                if words_of(statement.iter) & names:
                    names |= words_of(statement.target)
                continue
            if isinstance(statement, cst.Assign) and any(id(node) in drawn for node in below(statement.value)):
                names |= {name for target in statement.targets for name in words_of(target.target)}
            elif isinstance(statement, cst.Assign) and any(_is_part(each.target, names) for each in statement.targets):
                yield Place(source, statement.value), True
            if isinstance(statement, cst.Expr | cst.Assign | cst.AnnAssign) and statement.value is not None:
                yield from ((Place(source, call), False) for call in calls_in(statement.value) if _seeds(call))
            if isinstance(statement, cst.Expr | cst.Assign) and isinstance(statement.value, cst.Call):
                call = statement.value
                changes = isinstance(statement, cst.Expr) and _changes(call, names)
                unread = _is_unread(call, read) if isinstance(statement, cst.Expr) else _is_foreign(call, read, source)
                if changes or unread:
                    yield Place(source, call), changes


def _statements_before(scope: cst.CSTNode, way: Collection[int]) -> Iterator[cst.CSTNode]:
    """Small statements and loops of a scope in their order, up to the one that leads to the training."""
    blocks = (cst.IndentedBlock, cst.SimpleStatementSuite, cst.Else, cst.If, cst.Finally, cst.ExceptHandler)
    stack: list[cst.CSTNode] = [scope] if isinstance(scope, cst.Module | cst.FunctionDef) else []
    while stack:
        node = stack.pop()
        if isinstance(node, cst.Module | cst.IndentedBlock | cst.SimpleStatementLine | cst.SimpleStatementSuite):
            stack += reversed(node.body)
        elif isinstance(node, cst.FunctionDef | cst.ClassDef):
            if node is scope:
                stack.append(node.body)
        elif isinstance(node, cst.BaseCompoundStatement):
            yield node
            stack += reversed([each for each in node.children if isinstance(each, blocks)])
        elif isinstance(node, cst.Else | cst.Finally | cst.ExceptHandler):
            stack.append(node.body)
        else:
            if any(id(each) in way for each in below(node)):
                return
            yield node


def _read_names(source: Source) -> dict[str, str]:
    """The names of a file whose functions the reading follows or knows, and the package that each comes from."""
    found: dict[str, str] = {}
    for node in below(source.module):
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            found[node.name.value] = ""
        elif isinstance(node, cst.Import | cst.ImportFrom) and not isinstance(node.names, cst.ImportStar):
            module = node.module if isinstance(node, cst.ImportFrom) else None
            for alias in node.names:
                package = _first(alias.name if module is None else module)
                name = alias.asname.name if alias.asname is not None else alias.name
                relative = isinstance(node, cst.ImportFrom) and bool(node.relative)
                found[_first(name)] = "" if relative else package
    return found


def _first(node: cst.CSTNode) -> str:
    while isinstance(node, cst.Attribute):
        node = node.value
    return node.value if isinstance(node, cst.Name) else ""


def _last(node: cst.CSTNode) -> str:
    return node.attr.value if isinstance(node, cst.Attribute) else _first(node)


def _seeds(call: cst.Call) -> bool:
    """Whether a call seeds by its name."""
    name = _last(call.func)
    return name in STATES or bool(SEEDING.search(name))


def _is_unread(call: cst.Call, read: dict[str, str]) -> bool:
    """Whether nobody has looked into the function that is called."""
    function = call.func
    if isinstance(function, cst.Attribute):
        package = read.get(_first(function), "")
        return bool(package) and package not in KNOWN
    if isinstance(function, cst.Name):
        imported = read.get(function.value)
        return function.value not in HARMLESS if imported is None else bool(imported) and imported not in KNOWN
    return True


def _is_foreign(call: cst.Call, read: dict[str, str], source: Source) -> bool:
    """Whether the function that is called is that of a package outside the repository."""
    package = read.get(_first(call.func), "")
    around = list(source.path.parents)[:4]
    beside = any((folder / package).is_dir() or (folder / f"{package}.py").is_file() for folder in around)
    return bool(package) and package not in KNOWN and not beside


def _is_part(target: cst.CSTNode, names: Collection[str]) -> bool:
    """Whether an assignment to a target changes a part of an object that goes by one of the names."""
    return isinstance(target, cst.Attribute | cst.Subscript) and not words_of(target).isdisjoint(names)


def _changes(call: cst.Call, names: Collection[str]) -> bool:
    """Whether a call may put other numbers into an object that goes by one of the names."""
    function = _last(call.func)
    touched = words_of(call) & set(names)
    lasting = function in LASTING or "init" in function.lower() or "load" in function.lower()
    return bool(touched) and lasting
