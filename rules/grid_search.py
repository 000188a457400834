"""NN501: several hyperparameters tuned on a grid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.trace import Backward, Fit, Step
from nnlint.symbolic.words import below

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

HYPERPARAMETER = re.compile(
    r"(^|_)(lrs?|rates?|bs|batch(es)?|hidden\w*|width|units?|neurons?|channels?|filters?|layers?|depth|heads?|drop\w*|"
    r"p_drop|decay|wd|l2|reg|momentum|betas?|beta[12]|gamma|alpha|lamb?da|lmbda|eps|temperature|margin|smoothing|"
    r"weight|coef\w*|dim|size|kernel\w*|embed\w*|latent|warmup|clip|optimizer__\w*)s?(_|$)",
    re.IGNORECASE,
)
"""Names of what is tuned; not seeds, folds, data sets."""

FEWEST = 6
"""Runs from which on a grid is a search; two by two is a comparison."""

SPACES = ("linspace", "logspace", "geomspace")
DEEPEST = 5
"""Wrappers (enumerate, tqdm) around an iterable that are taken away."""

WRAPPERS = ("tqdm", "list", "enumerate")
GRIDS = {"GridSearchCV": (1, "param_grid"), "GridSampler": (0, "search_space")}
"""Classes that search a grid, and the argument that says which."""

GRID_LIBRARIES = re.compile(r"\b(skorch|optuna)\b")
"""What makes them search for a network's hyperparameters: skorch under scikit-learn's search, and optuna."""


@rule(
    "NN501",
    severity=Severity.INFO,
    since="0.1.0",
    mentions=(
        "product(",
        "ParameterGrid",
        *GRIDS,
        "grid_search",
        *("lr in ", "rate in ", "size in ", "dropout in ", "decay in ", "hidden in ", "dim in ", "momentum in "),
    ),
    requires=("torch", "lightning", "skorch"),
    roots=("product", "Grid", r"^lrs?$", "rate", "batch_size", "hidden"),
)
def grid_search(trace: Trace) -> Iterator[Finding]:
    """Several hyperparameters tuned on a grid, where as many random draws say more.

    ## Why it matters
    Networks are much more sensitive to some hyperparameters than to others, and nobody knows beforehand to which. On a
    grid of 4 by 4 the one that matters is tried at 4 values in 16 runs, and each of them four times with nothing
    changed that counts. Drawn at random, 16 runs try 16 values of each. Karpathy's recipe names random search over grid
    search as the first thing to do when tuning; the argument is that of Bergstra and Bengio, "Random Search for
    Hyper-Parameter Optimization".

    ## Example
    ```python
    import torch

    for lr in [0.001, 0.01, 0.1]:
        for momentum in [0.0, 0.5, 0.9]:
            torch.manual_seed(0)
            model = torch.nn.Linear(8, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
            for step in range(100):
                x = torch.randn(64, 8)
                loss = torch.nn.functional.mse_loss(model(x), x.sum(1, keepdim=True))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(lr, momentum, loss.item())
    ```

    ## Use instead
    ```python
    import random

    import torch

    random.seed(0)
    for trial in range(9):
        lr, momentum = 10 ** random.uniform(-3, -1), random.uniform(0, 0.95)
        torch.manual_seed(0)
        model = torch.nn.Linear(8, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
        for step in range(100):
            x = torch.randn(64, 8)
            loss = torch.nn.functional.mse_loss(model(x), x.sum(1, keepdim=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(lr, momentum, loss.item())
    ```

    Rates and strengths are drawn on a logarithmic scale.

    ## How it is confirmed
    It is not: it is advice, and there is nothing in the script to observe.

    ## When it stays silent
    - One hyperparameter is tuned.
    - What is looped over are seeds, folds, data sets, models or switches: that is a comparison or an ablation, and so
      is a grid of fewer than 6 runs.
    - Nothing is trained inside: a decoder's or a threshold's settings are tried, or points of a picture.
    - The values are not written in the file.
    """
    module = trace.source.module
    values = _assigned_values(module)
    trained = _trained(trace)
    for grid in _grids(module, trace.source.text, values):
        if len(grid.axes) < 2 or prod(axis.count for axis in grid.axes) < FEWEST:
            continue
        if grid.body is None or any(id(node) in trained for node in below(grid.body)):
            yield describe(trace, grid)


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """A hyperparameter, how many values of it are tried, and where they are."""

    name: str
    count: int
    node: cst.CSTNode


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The hyperparameters of a search, and what is run for each point; None where a library does it."""

    axes: tuple[Axis, ...]
    body: cst.CSTNode | None


def _trained(trace: Trace) -> set[int]:
    """The calls under which something is trained, by the identity of their nodes."""
    events = [*trace.of(Step), *trace.of(Backward), *trace.of(Fit)]
    sites = {id(site.place.node) for event in events for site in event.context.calls}
    return sites | {id(event.place.node) for event in events}


# --- where grids are -------------------------------------------------------------------------------------------------


def _grids(module: cst.CSTNode, text: str, values: dict[str, cst.BaseExpression]) -> Iterator[Grid]:
    inner: set[int] = set()
    for node in below(module):
        if isinstance(node, cst.For) and id(node) not in inner:
            axes: list[Axis] = []
            body: cst.CSTNode = node
            for loop in _nest(node):
                more = _axes_of_loop(loop, values)
                if more:
                    inner.add(id(loop))
                    axes += more
                    body = loop.body
            yield Grid(tuple(axes), body)
        elif isinstance(node, cst.Call) and _name(node.func) in GRIDS and GRID_LIBRARIES.search(text):
            position, keyword = GRIDS[_name(node.func)]
            found = _argument(node, position, keyword)
            yield Grid(tuple(_axes_of_dict(_looked_up(found, values), values)), None)
        elif isinstance(node, cst.Dict):
            tuned = [item for item in node.elements if isinstance(item, cst.DictElement) and _is_tuned(item.value)]
            yield Grid(tuple(_axes_of_dict(node.with_changes(elements=tuned), values)) if tuned else (), None)


def _nest(loop: cst.For) -> Iterator[cst.For]:
    """A loop and those that stand in it one in the other."""
    yield loop
    for statement in loop.body.body:
        if isinstance(statement, cst.For):
            yield from _nest(statement)
            return


def _axes_of_loop(loop: cst.For, values: dict[str, cst.BaseExpression]) -> list[Axis]:
    iterated = _looked_up(loop.iter, values) or loop.iter
    target: cst.CSTNode = loop.target
    # A name may be bound to what wraps itself: `rates = tqdm(rates)`.
    for _ in range(DEEPEST):
        if not isinstance(iterated, cst.Call) or _name(iterated.func) not in WRAPPERS or not iterated.args:
            break
        if _name(iterated.func) == "enumerate" and isinstance(target, cst.Tuple):
            target = target.elements[-1].value
        iterated = _looked_up(iterated.args[0].value, values) or iterated
    name = _name(iterated.func) if isinstance(iterated, cst.Call) else ""
    if isinstance(iterated, cst.Call) and name == "product":
        return list(_axes_of_product(iterated, target, values))
    if isinstance(iterated, cst.Call) and name == "ParameterGrid" and iterated.args:
        return list(_axes_of_dict(_looked_up(iterated.args[0].value, values), values))
    return list(_axis(_name(loop.target), loop.iter, values))


def _axes_of_product(product: cst.Call, target: cst.CSTNode, values: dict[str, cst.BaseExpression]) -> Iterator[Axis]:
    targets = [element.value for element in target.elements] if isinstance(target, cst.Tuple) else []
    for number, arg in enumerate(product.args):
        given = arg.value
        if arg.star == "*" and isinstance(given, cst.Call) and _name(given.func) == "values":
            whole = given.func.value if isinstance(given.func, cst.Attribute) else None
            yield from _axes_of_dict(_looked_up(whole, values), values)
        elif not arg.star:
            name = _name(targets[number]) if number < len(targets) else _name(given)
            yield from _axis(name, given, values)


def _axes_of_dict(node: cst.CSTNode | None, values: dict[str, cst.BaseExpression]) -> Iterator[Axis]:
    for item in node.elements if isinstance(node, cst.Dict) else ():
        if isinstance(item, cst.DictElement) and isinstance(item.key, cst.SimpleString):
            tuned = item.value
            tried = tuned.args[0].value if isinstance(tuned, cst.Call) and _is_tuned(tuned) else tuned
            yield from _axis(str(item.key.evaluated_value), tried, values)


def _axis(name: str, node: cst.BaseExpression, values: dict[str, cst.BaseExpression]) -> Iterator[Axis]:
    """The axis that values are, if they are several numbers and what they are called is a hyperparameter."""
    if HYPERPARAMETER.search(name):
        tried = _looked_up(node, values)
        if isinstance(tried, (cst.List, cst.Tuple)):
            if len(tried.elements) > 1 and all(_is_number(element.value) for element in tried.elements):
                yield Axis(name, len(tried.elements), node)
        elif isinstance(tried, cst.Call) and _name(tried.func) in SPACES:
            count = _argument(tried, 2, "num")
            if isinstance(count, cst.Integer) and int(count.value) > 1:
                yield Axis(name, int(count.value), node)


# --- reading expressions ---------------------------------------------------------------------------------------------


def _assigned_values(module: cst.CSTNode) -> dict[str, cst.BaseExpression]:
    """What names of the file stand for that are assigned once."""
    found: dict[str, list[cst.BaseExpression]] = {}
    for node in below(module):
        if isinstance(node, cst.Assign):
            for target in node.targets:
                found.setdefault(_name(target.target), []).append(node.value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _looked_up(node: cst.BaseExpression | None, values: dict[str, cst.BaseExpression]) -> cst.BaseExpression | None:
    return values.get(node.value, node) if isinstance(node, cst.Name) else node


def _name(node: cst.CSTNode) -> str:
    """The last part of a name, empty for anything else."""
    if isinstance(node, cst.Attribute):
        return node.attr.value
    return node.value if isinstance(node, cst.Name) else ""


def _argument(call: cst.Call, position: int, name: str) -> cst.BaseExpression | None:
    given = enumerate(call.args)
    return next((arg.value for i, arg in given if (arg.keyword.value == name if arg.keyword else i == position)), None)


def _is_tuned(node: cst.CSTNode) -> bool:
    """``tune.grid_search([…])`` of Ray."""
    return isinstance(node, cst.Call) and _name(node.func) == "grid_search" and len(node.args) == 1


def _is_number(node: cst.BaseExpression) -> bool:
    if isinstance(node, cst.UnaryOperation):
        return _is_number(node.expression)
    if isinstance(node, cst.BinaryOperation):
        return _is_number(node.left) and _is_number(node.right)
    return isinstance(node, (cst.Integer, cst.Float))


def describe(trace: Trace, grid: Grid) -> Finding:
    """The finding in words."""
    runs = prod(axis.count for axis in grid.axes)
    first, *others = grid.axes
    named = [f"`{axis.name}` ({axis.count} values)" for axis in grid.axes]
    return Finding(
        Place(trace.source, first.node),
        f"a grid search over {', '.join(named[:-1])} and {named[-1]}: {runs} runs",
        f"{runs} runs try only {max(axis.count for axis in grid.axes)} values of whichever of them matters",
        f"draw each of them at random in every run: {runs} runs then try {runs} values of each",
        tuple(Note(Place(trace.source, axis.node), f"the values of `{axis.name}`") for axis in others),
        confidence=Confidence.HIGH,
    )
