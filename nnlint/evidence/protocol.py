"""What of a script to run to see the protocol of its training: a few iterations of its own loops.

See :mod:`nnlint.confirm.worker.kinds.protocol` for what is done with it, and how to write a check.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import libcst as cst

from nnlint.evidence.rehearsal import root_of
from nnlint.experiment import Experiment, Watch
from nnlint.rule import Place
from nnlint.source import Source
from nnlint.symbolic.trace import (
    Backward,
    ClipGradients,
    Event,
    Forward,
    Mode,
    Run,
    SchedulerStep,
    Step,
    Unscale,
    ZeroGrad,
)
from nnlint.symbolic.values import Loop
from nnlint.symbolic.words import below, words_of
from nnlint.verdict import Json

PROTOCOL = (Forward, Mode, ZeroGrad, Backward, ClipGradients, Unscale, Step, SchedulerStep)
"""The events that are run."""

MOST = 200
"""Events of one plan; a training script has a dozen or two."""


def protocol(
    run: Run,
    check: str,
    *,
    accused: Place,
    around: Event,
    watches: Sequence[Watch] = (),
    anchors: Sequence[Place] = (),
    beside: Sequence[Event] = (),
    settings: Mapping[str, Json] | None = None,
    kinds: tuple[type[Event], ...] = PROTOCOL,
) -> Experiment | None:
    """The loops around an event, with all that trains and evaluates in them; None if they cannot be begun from outside.

    Args:
        run: the run in which the event happens.
        check: the name of the check in ``worker/protocol/checks``.
        accused: the lines that the finding is about.
        around: the event; what shares its outermost loop is run.
        watches: expressions whose values the check is shown.
        anchors: further statements that must run.
        beside: events that the finding is about and that lie elsewhere: what is done there, and to what they speak of,
            is run as well.
        settings: what the check, and the kind, are told beyond.
        kinds: the events that are to be run.
    """
    events = list(_once(event for event in run.events if isinstance(event, kinds) and _belongs(event, around)))[:MOST]
    if not events:
        return None
    entry = None
    if not run.script:
        entry = root_of(run, [around, *events])
        if entry is None:
            return None
    places = [accused, *anchors, *effects(run, [around, *events], beside)]
    for event in events:
        places.append(event.place)
        places += [site.place for site in event.context.calls if isinstance(site.place.node, cst.Call)]
    places += [site.place for site in around.context.calls if isinstance(site.place.node, cst.Call)]
    return Experiment(
        "protocol",
        anchors=tuple(places),
        watches=(
            Watch("accused", accused),
            *watches,
            *(Watch("event", event.place) for event in events if isinstance(event.place.node, cst.Call)),
            *_of_loops([around, *events]),
        ),
        entry=entry,
        settings={"check": check, **(settings or {})},
    )


# --- what may change the gradients beside the events -----------------------------------------------------------------

NO_NAMES = frozenset("self step zero_grad backward train eval torch nn F utils requires_grad".split())
"""Words of events that are no names of what they are about."""

OUTPUT = re.compile(
    r"^(print|log\w*|info|debug|warn\w*|error|exception|write\w*|add_\w+|save\w*|plot\w*|show|summary|set_description\w*|"
    r"set_postfix\w*|tqdm|flush|close|makedirs|mkdir|exit|report\w*|display|sleep|empty_cache|synchronize|barrier|watch)$"
)
"""Functions and methods that only tell people something, or the system."""


def _is_block(node: cst.CSTNode) -> bool:
    blocks = (cst.BaseStatement, cst.BaseSuite, cst.Module, cst.Else, cst.Finally, cst.ExceptHandler)
    return isinstance(node, blocks) and not isinstance(node, (cst.FunctionDef, cst.ClassDef))


def effects(run: Run, events: Sequence[Event], beside: Sequence[Event] = ()) -> Iterator[Place]:
    """Statements beside the events that may have a part in what becomes of the gradients.

    In the loops and the functions followed from them these are all that are made for their effect; outside of them
    those that speak of what the events speak of.
    """
    inside: dict[int, tuple[Source, cst.CSTNode]] = {}
    around: dict[int, tuple[Source, cst.CSTNode]] = {}
    for event in (*events, *beside):
        loops = event.context.loops
        if loops:
            inside.setdefault(id(loops[0].node), (loops[0].source, loops[0].node))
        for site in event.context.calls:
            function = site.function
            around.setdefault(id(function.node), (function.frame.module.source, function.node))
        if run.script and not event.context.calls:
            around.setdefault(id(event.place.source.module), (event.place.source, event.place.source.module))
    words = {
        word for event in events if isinstance(event.place.node, cst.Call) for word in _receivers(event.place.node)
    }
    accused = {word for event in beside for word in words_of(event.place.node)} - NO_NAMES
    for source, scope in inside.values():
        yield from (Place(source, node) for node, _ in made_for_effect(scope))
    for key, (source, scope) in around.items():
        called_inside = any(_is_below(node, scope) for _, node in inside.values())
        named = words | _aliases(scope, accused)
        for node, spoken in made_for_effect(scope):
            if key not in inside and (not called_inside or named & spoken):
                yield Place(source, node)


def _receivers(call: cst.Call) -> set[str]:
    """The names of the objects that an event is about: ``model`` of ``model(x)``, ``optimizer`` of its ``step()``."""
    return set(words_of(call.func)) - NO_NAMES


def _aliases(scope: cst.CSTNode, words: set[str]) -> set[str]:
    """Some names, and those that a scope binds to what is made of them: ``parts`` by ``parts = [backbone, head]``."""
    found = set(words)
    for node in below(scope):
        if type(node) is cst.Assign and words_of(node.value) & found:
            found |= {each.target.value for each in node.targets if isinstance(each.target, cst.Name)}
    return found


def _is_below(node: cst.CSTNode, scope: cst.CSTNode) -> bool:
    return any(each is node for each in below(scope))


def made_for_effect(scope: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, set[str]]]:
    """The small statements of a scope that bind no name, with the names in them and in the loops around them.

    These are calls, and assignments to parts of objects.
    """
    inside = isinstance(scope, cst.FunctionDef | cst.For | cst.While)
    stack: list[tuple[cst.CSTNode, set[str]]] = [(scope.body if inside else scope, set())]  # type: ignore[attr-defined]
    while stack:
        node, around = stack.pop()
        if isinstance(node, cst.Expr):
            if isinstance(node.value, cst.Call) and not OUTPUT.search(_called(node.value)):
                yield node.value, around | words_of(node)
        elif isinstance(node, cst.Assign):
            if any(isinstance(each.target, cst.Attribute | cst.Subscript) for each in node.targets):
                yield node.value, around | words_of(node)
        elif isinstance(node, cst.Del):
            yield node.target, around | words_of(node)
        elif _is_block(node):
            header = words_of(node.iter) | words_of(node.target) if isinstance(node, cst.For) else set()
            stack += [(child, around | header) for child in node.children]


def _called(call: cst.Call) -> str:
    """The last word of what is called."""
    node = call.func
    return node.attr.value if isinstance(node, cst.Attribute) else node.value if isinstance(node, cst.Name) else ""


# --- loops -----------------------------------------------------------------------------------------------------------


def _once(events: Iterator[Event]) -> Iterator[Event]:
    """The events, each place once."""
    seen: set[int] = set()
    for event in events:
        if id(event.place.node) not in seen:
            seen.add(id(event.place.node))
            yield event


def _belongs(event: Event, around: Event) -> bool:
    """Whether an event is to be run with another: it lies in its outermost loop, and in no module's ``forward``."""
    loops = around.context.loops
    if loops and loops[0] not in event.context.loops and not isinstance(event, Mode):
        return False
    return not any(site.function.name in ("forward", "__init__") for site in event.context.calls)


def _of_loops(events: Sequence[Event]) -> Iterator[Watch]:
    """The watches of the loops that the events lie in, so that they can be cut short."""
    loops: dict[int, Loop] = {}
    inner: set[int] = set()
    for event in events:
        for number, loop in enumerate(event.context.loops):
            loops.setdefault(id(loop.node), loop)
            if number + 1 < len(event.context.loops):
                inner.add(id(loop.node))
    for number, (key, loop) in enumerate(loops.items()):
        if isinstance(loop.node, cst.For):
            kind = "epochs" if loop.kind == Loop.EPOCHS and key in inner else "batches"
            yield Watch(f"{kind} {number}", Place(loop.source, loop.node.iter))
        elif isinstance(loop.node, cst.While):
            yield Watch(f"round {number}", Place(loop.source, loop.node.test))
