"""Where nodes of a tree are in the text, found by generating the text once and looking up only the nodes asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import libcst as cst
from libcst._nodes.internal import CodegenState

from nnlint.diagnostic import Span
from nnlint.source import NEWLINE


@dataclass(frozen=True, slots=True)
class Site:
    """Where a node is.

    The span is libcst's ``PositionProvider``'s: without the whitespace, comments and parentheses around the node.
    ``scope`` is the dotted name of the classes and functions around the node. ``path`` holds the module, the statements
    and their blocks around the node from the outermost in, and the node itself if it is one of these.
    """

    span: Span
    scope: str
    path: tuple[cst.CSTNode, ...]


class _Recorder(CodegenState):
    """A generation of the text that notes between which tokens the wanted nodes lie."""

    def __init__(self, module: cst.Module, wanted: set[int]) -> None:
        super().__init__(default_indent=module.default_indent, default_newline=module.default_newline)
        self.wanted = wanted
        self.starts: dict[int, int] = {}
        self.whole: dict[int, tuple[int, int]] = {}
        self.syntactic: dict[int, tuple[int, int]] = {}
        self.paths: dict[int, tuple[cst.CSTNode, ...]] = {}
        self.path: list[cst.CSTNode] = []

    def before_codegen(self, node: cst.CSTNode) -> None:
        if _is_ancestor(type(node)):
            self.path.append(node)
        if id(node) in self.wanted:
            self.starts[id(node)] = len(self.tokens)
            self.paths[id(node)] = tuple(self.path)

    def after_codegen(self, node: cst.CSTNode) -> None:
        if _is_ancestor(type(node)):
            self.path.pop()
        if id(node) in self.wanted:
            # A node that becomes wanted halfway has its syntactic position, which is the one that counts.
            start = self.starts.get(id(node))
            if start is not None:
                self.whole[id(node)] = start, len(self.tokens)

    @contextmanager
    def record_syntactic_position(
        self,
        node: cst.CSTNode,
        *,
        start_node: cst.CSTNode | None = None,
        end_node: cst.CSTNode | None = None,
    ) -> Iterator[None]:
        if id(node) not in self.wanted:
            yield
            return
        for child in (start_node, end_node):
            if child is not None:
                self.wanted.add(id(child))
        start = len(self.tokens)
        yield
        end = len(self.tokens)
        if start_node is not None:
            start = self.range_of(start_node)[0]
        if end_node is not None:
            end = self.range_of(end_node)[1]
        self.syntactic[id(node)] = start, end

    def range_of(self, node: cst.CSTNode) -> tuple[int, int]:
        return self.syntactic.get(id(node)) or self.whole[id(node)]


_ANCESTORS = (
    cst.Module,
    cst.IndentedBlock,
    cst.SimpleStatementSuite,
    cst.SimpleStatementLine,
    cst.BaseCompoundStatement,
)


@cache
def _is_ancestor(kind: type[cst.CSTNode]) -> bool:
    return issubclass(kind, _ANCESTORS)


def locate(module: cst.Module, nodes: Iterable[cst.CSTNode]) -> dict[int, Site]:
    """The sites of the nodes of ``module`` among ``nodes``, by ``id``."""
    wanted = list(nodes)
    recorder = _Recorder(module, {id(node) for node in wanted})
    module._codegen(recorder)
    offsets = [0, *accumulate(map(len, recorder.tokens))]
    text = "".join(recorder.tokens)
    starts = _line_starts(text)
    sites: dict[int, Site] = {}
    for node in wanted:
        if id(node) not in recorder.paths:
            continue
        first, last = recorder.range_of(node)
        # The last newline of a file that lacks one is generated and taken back.
        begin, end = (offsets[min(index, len(offsets) - 1)] for index in (first, last))
        path = recorder.paths[id(node)]
        sites[id(node)] = Site(Span(*_position(starts, begin), *_position(starts, end)), _scope(path, node), path)
    return sites


def _scope(path: tuple[cst.CSTNode, ...], node: cst.CSTNode) -> str:
    return ".".join(
        around.name.value
        for around in path
        if isinstance(around, cst.FunctionDef | cst.ClassDef) and around is not node
    )


def _line_starts(text: str) -> list[int]:
    return [0, *(found.end() for found in NEWLINE.finditer(text))]


def _position(starts: list[int], offset: int) -> tuple[int, int]:
    row = bisect_right(starts, offset)
    return row, offset - starts[row - 1] + 1
