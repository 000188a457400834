"""From nodes to text: turn the findings of rules into diagnostics that need no syntax tree any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from os.path import abspath
from pathlib import Path

import libcst as cst

from nnlint.diagnostic import Confidence, Diagnostic, Location, Related, Span, TextEdit, TextFix
from nnlint.experiment import Experiment, Plan, WatchedSpan
from nnlint.positions import Site
from nnlint.rule import Edit, Finding, Fix, Place, Rule
from nnlint.source import NEWLINE, Source

_Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement
_Block = cst.Module | cst.IndentedBlock


@dataclass(frozen=True, slots=True)
class Script:
    """What was read when the findings were made: the file, and the root of its repository."""

    path: Path
    root: Path


class _Sites:
    """The sites of the nodes asked for, each source generated once a batch."""

    def __init__(self) -> None:
        self._known: dict[int, Site] = {}

    def learn(self, places: Iterable[Place]) -> None:
        wanted: dict[int, tuple[Source, list[cst.CSTNode]]] = {}
        for place in places:
            if id(place.node) not in self._known:
                wanted.setdefault(id(place.source), (place.source, []))[1].append(place.node)
        for source, nodes in wanted.values():
            self._known |= source.sites(nodes)

    def __getitem__(self, place: Place) -> Site:
        try:
            return self._known[id(place.node)]
        except KeyError:
            kind = type(place.node).__name__
            raise LookupError(f"a finding names a {kind} that is not in the tree of {place.source.path}") from None


def resolve(findings: Iterable[tuple[Rule, Finding]], script: Script | None = None) -> list[Diagnostic]:
    """The findings as diagnostics, in the order of their places, each once.

    A fix whose edits cannot be written as lines of their own (in ``if x: y`` or ``a; b``) is left out.

    Args:
        findings: the findings, each with the rule that made it.
        script: what was read, if the findings are to be confirmed: their experiments become plans.

    Raises:
        LookupError: a finding names a node that is not in the tree of its source.
    """
    found = list(findings)
    experiments = [None if script is None else _experiment(finding) for _, finding in found]
    sites = _Sites()
    sites.learn(chain.from_iterable(_places(finding) for _, finding in found))
    sites.learn(chain.from_iterable(_experiment_places(each) for each in experiments if each is not None))
    edits = [edit for _, finding in found if finding.fix is not None for edit in finding.fix.edits]
    sites.learn(chain.from_iterable(_statement_places(edit, sites) for edit in edits))
    diagnostics: dict[tuple[str, Location, str], Diagnostic] = {}
    for (rule, finding), experiment in zip(found, experiments, strict=True):
        diagnostic = _diagnostic(rule, finding, sites)
        if script is not None and experiment is not None:
            diagnostic = replace(diagnostic, plan=_plan(experiment, diagnostic.fix, sites, script))
        # The second round of a loop finds what the first one found.
        diagnostics.setdefault((diagnostic.code, diagnostic.location, diagnostic.message), diagnostic)
    return sorted(
        diagnostics.values(), key=lambda diagnostic: (diagnostic.location, diagnostic.code, diagnostic.message)
    )


def _places(finding: Finding) -> Iterator[Place]:
    yield finding.place
    for note in finding.notes:
        yield note.place
    if finding.fix is not None:
        for edit in finding.fix.edits:
            yield edit.place


def _experiment(finding: Finding) -> Experiment | None:
    """The experiment on a finding, thought of now if it was not before."""
    return finding.experiment() if callable(finding.experiment) else finding.experiment


def _experiment_places(experiment: Experiment) -> Iterator[Place]:
    yield from experiment.anchors
    yield from (watch.place for watch in experiment.watches)
    if experiment.entry is not None:
        yield experiment.entry


def _diagnostic(rule: Rule, finding: Finding, sites: _Sites) -> Diagnostic:
    site = sites[finding.place]
    return Diagnostic(
        code=rule.code,
        name=rule.name,
        message=finding.message,
        why=finding.why,
        advice=finding.advice,
        severity=rule.severity if finding.severity is None else finding.severity,
        confidence=Confidence.HIGH if finding.confidence is None else finding.confidence,
        location=_location(finding.place, site.span),
        related=tuple(Related(note.message, _location(note.place, sites[note.place].span)) for note in finding.notes),
        fix=None if finding.fix is None else _text_fix(finding.fix, sites),
        scope=site.scope,
        text=finding.place.source.line(site.span.row).strip(),
    )


def _plan(experiment: Experiment, fix: TextFix | None, sites: _Sites, script: Script) -> Plan:
    entry = experiment.entry
    return Plan(
        kind=experiment.kind,
        filename=abspath(script.path if entry is None else entry.source.path),
        root=abspath(script.root),
        anchors=tuple(_location(anchor, sites[anchor].span) for anchor in experiment.anchors),
        watches=tuple(
            WatchedSpan(watch.name, _location(watch.place, sites[watch.place].span), watch.instead)
            for watch in experiment.watches
        ),
        entry="" if entry is None else _dotted_name(entry, sites),
        settings=experiment.settings,
        mend=fix if experiment.mended else None,
        scripted=experiment.scripted,
    )


def _dotted_name(place: Place, sites: _Sites) -> str:
    """The name of a function or class, with those of the definitions around it."""
    if not isinstance(place.node, cst.FunctionDef | cst.ClassDef):
        raise LookupError(f"an experiment enters a {type(place.node).__name__}, which is no function and no class")
    scope = sites[place].scope
    return f"{scope}.{place.node.name.value}" if scope else place.node.name.value


def _location(place: Place, span: Span) -> Location:
    return Location(abspath(place.source.path), span)


def _text_fix(fix: Fix, sites: _Sites) -> TextFix | None:
    deleted = [statement for edit in fix.edits if edit.kind == "delete" if (statement := _statement(edit, sites))]
    edits: list[TextEdit] = []
    for edit in fix.edits:
        if not edit.place.source.editable:
            return None
        written = _text_edit(edit, sites, deleted)
        if written is None:
            return None
        edits.append(written)
    return TextFix(fix.message, fix.safe, tuple(dict.fromkeys(edits)))


def _text_edit(edit: Edit, sites: _Sites, deleted: Sequence[_Statement]) -> TextEdit | None:
    source = edit.place.source
    if edit.kind == "replace":
        return TextEdit(_location(edit.place, sites[edit.place].span), NEWLINE.sub(source.newline, edit.text))
    statement = _statement(edit, sites)
    if statement is None:
        return None
    first = sites[Place(source, _first_node(statement))].span
    last = sites[Place(source, statement)].span
    indent = source.line(first.row)[: first.column - 1]
    if indent.strip():
        return None
    if edit.kind == "delete":
        return _deletion(edit, sites, statement, deleted, first.row, last.end_row, indent)
    added = [f"{indent}{line}" if line.strip() else "" for line in NEWLINE.split(edit.text.rstrip("\r\n"))]
    row = first.row if edit.kind == "before" else last.end_row + 1
    return TextEdit(*_inserted_lines(edit.place, row, added))


def _inserted_lines(place: Place, row: int, added: Sequence[str]) -> tuple[Location, str]:
    source = place.source
    if row <= len(source.lines):
        text = "".join(line + source.newline for line in added)
        return _location(place, Span(row, 1, row, 1)), text
    end = len(source.line(row - 1)) + 1
    return _location(place, Span(row - 1, end, row - 1, end)), "".join(source.newline + line for line in added)


def _deletion(
    edit: Edit,
    sites: _Sites,
    statement: _Statement,
    deleted: Sequence[_Statement],
    row: int,
    end_row: int,
    indent: str,
) -> TextEdit:
    source = edit.place.source
    if end_row < len(source.lines):
        span, ending = Span(row, 1, end_row + 1, 1), source.newline
    else:
        span, ending = Span(row, 1, end_row, len(source.line(end_row)) + 1), ""
    block = _block(edit, sites, statement)
    emptied = isinstance(block, cst.IndentedBlock) and all(
        any(other is gone for gone in deleted) for other in block.body
    )
    keeps_place = emptied and isinstance(block, cst.IndentedBlock) and block.body[0] is statement
    return TextEdit(_location(edit.place, span), f"{indent}pass{ending}" if keeps_place else "")


def _statement_places(edit: Edit, sites: _Sites) -> Iterator[Place]:
    statement = None if edit.kind == "replace" else _statement(edit, sites)
    if statement is not None:
        yield Place(edit.place.source, statement)
        yield Place(edit.place.source, _first_node(statement))


def _first_node(statement: _Statement) -> cst.CSTNode:
    """What stands first in the text of a statement: its span begins after its decorators."""
    if isinstance(statement, cst.FunctionDef | cst.ClassDef) and statement.decorators:
        return statement.decorators[0]
    return statement


def _statement(edit: Edit, sites: _Sites) -> _Statement | None:
    """The statement that an edit is about, if it has its lines to itself."""
    path = sites[edit.place].path
    for around, node in zip(reversed(path[:-1]), reversed(path), strict=False):
        if isinstance(node, cst.SimpleStatementSuite):
            return None
        if isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            alone = not isinstance(node, cst.SimpleStatementLine) or len(node.body) == 1
            # An elif lies in its if, without a block of its own.
            return node if alone and isinstance(around, _Block) else None
    return None


def _block(edit: Edit, sites: _Sites, statement: _Statement) -> cst.CSTNode:
    path = sites[edit.place].path
    return path[next(index for index, node in enumerate(path) if node is statement) - 1]
