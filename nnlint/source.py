"""A file of Python source: its text exactly as it stands on disk, its syntax tree, and where nodes of the tree are."""

from __future__ import annotations

import ast
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from nnlint.diagnostic import Span
from nnlint.nesting import tokens, too_deep

if TYPE_CHECKING:
    import libcst as cst

    from nnlint.positions import Site

NEWLINE = re.compile(r"\r\n?|\n")
"""What ends a line for Python and for libcst: form feeds and the separators of Unicode do not."""

LARGEST = 200_000
"""Tokens of a text, about, up to which it is parsed: 2 to 3 seconds and half a GB; scripts have up to 50,000."""

LONGEST = 4_000_000
"""Characters up to which the tokens of a text are counted."""

_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")


class UnreadableSource(Exception):
    """A file that cannot be read as text; ``reason`` is one clause without a period."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ParseFailure(Exception):
    """A text that is no Python libcst can parse; row and column count from 1, ``reason`` is one clause."""

    def __init__(self, row: int, column: int, reason: str) -> None:
        super().__init__(row, column, reason)
        self.row = row
        self.column = column
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.row}:{self.column}: {self.reason}"


class TooLarge(ParseFailure):
    """A text, most likely data, that would take too long to parse."""


@dataclass(slots=True, eq=False)
class Source:
    """A text and where it came from; ``text`` keeps the line endings of the file and lacks its byte order mark."""

    path: Path
    text: str
    encoding: str = "utf-8"
    bom: bool = False
    _module: cst.Module | ParseFailure | None = field(default=None, init=False, repr=False)
    _lines: list[str] | None = field(default=None, init=False, repr=False)
    _editable: bool | None = field(default=None, init=False, repr=False)
    _sites: dict[int, Site] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def read(cls, path: Path) -> Source:
        """The file at ``path``.

        Raises:
            UnreadableSource: the file cannot be opened, or its bytes are not text in the encoding it declares.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UnreadableSource((error.strerror or str(error)).lower()) from error
        return cls.decode(path, content)

    @classmethod
    def decode(cls, path: Path, content: bytes) -> Source:
        """The text of ``content``, in the encoding that its byte order mark or coding comment (PEP 263) declares.

        Raises:
            UnreadableSource: the bytes are not text in that encoding.
        """
        if content.startswith(_WIDE_BOMS):
            raise UnreadableSource("it begins like UTF-16, which Python does not read")
        try:
            encoding, _ = tokenize.detect_encoding(BytesIO(content).readline)
        except SyntaxError as error:
            raise UnreadableSource(_encoding_reason(error, content)) from error
        bom = content.startswith(_BOM)
        encoding = "utf-8" if bom else encoding
        try:
            text = content.removeprefix(_BOM).decode(encoding) if bom else content.decode(encoding)
        except UnicodeDecodeError as error:
            raise UnreadableSource(_undecodable(error.start, content, encoding)) from error
        except (LookupError, ValueError) as error:
            raise UnreadableSource(f"{encoding!r} is not an encoding of text") from error
        return cls(path, text, encoding, bom)

    def encode(self, text: str) -> bytes:
        """The bytes of ``text`` in the encoding of this file, with its byte order mark.

        Raises:
            UnicodeEncodeError: the encoding has no such character.
        """
        return (_BOM if self.bom else b"") + text.encode(self.encoding)

    @property
    def module(self) -> cst.Module:
        """The syntax tree, parsed when it is first asked for.

        Raises:
            ParseFailure: libcst cannot parse the text, or it nests too deeply to be parsed without danger.
            TooLarge: the text is not parsed because it would take too long.
        """
        if self._module is None:
            try:
                self._module = _parse(self.text)
            except ParseFailure as failure:
                self._module = failure
        if isinstance(self._module, ParseFailure):
            raise self._module
        return self._module

    @property
    def lines(self) -> list[str]:
        """The lines without their endings."""
        if self._lines is None:
            self._lines = NEWLINE.split(self.text)
        return self._lines

    @property
    def newline(self) -> str:
        """The line ending of the file: the first one in it."""
        found = NEWLINE.search(self.text)
        return found.group() if found else "\n"

    @property
    def editable(self) -> bool:
        """Whether libcst writes the text as it stands; if not (a form feed in an indentation), columns may be off."""
        if self._editable is None:
            self._editable = self.module.code == self.text
        return self._editable

    def line(self, row: int) -> str:
        """The text of a row (from 1) without its line ending; empty for a row that the file does not have."""
        return self.lines[row - 1] if 0 < row <= len(self.lines) else ""

    def sites(self, nodes: Iterable[cst.CSTNode]) -> dict[int, Site]:
        """Where nodes of the tree are, by the ``id`` of the node; nodes of other trees are left out.

        Costs one generation of the whole text however many nodes are asked for: ask for many at once.
        """
        from nnlint.positions import locate

        wanted = list(nodes)
        unknown = [node for node in wanted if id(node) not in self._sites]
        if unknown:
            self._sites |= locate(self.module, unknown)
        return {id(node): self._sites[id(node)] for node in wanted if id(node) in self._sites}

    def spans(self, nodes: Iterable[cst.CSTNode]) -> dict[int, Span]:
        """The spans of nodes by the ``id`` of the node, as ``sites``."""
        return {key: site.span for key, site in self.sites(nodes).items()}

    def scope_of(self, node: cst.CSTNode) -> str:
        """The dotted name of the class or function that encloses a node, empty at module level."""
        return self.sites([node])[id(node)].scope


def _parse(text: str) -> cst.Module:
    if len(text) > LONGEST or (len(text) > LARGEST and tokens(text) > LARGEST):
        raise TooLarge(1, 1, "it is too large to be parsed")
    offset = too_deep(text)
    if offset is not None:
        raise ParseFailure(*_position(text, offset), "the code nests too deeply to be parsed")
    import libcst as cst

    try:
        with unchecked():
            return cst.parse_module(text)
    except cst.ParserSyntaxError as error:
        raise _python_failure(text) or _libcst_failure(text, error) from None
    except Exception as error:
        # Its nodes check themselves, and stumble over some valid code.
        raise ParseFailure(1, 1, f"libcst cannot read it: {type(error).__name__}") from error
    except BaseException as error:
        # A panic of the native parser derives from BaseException, so that nobody swallows it by accident.
        if type(error).__name__ != "PanicException":
            raise
        raise ParseFailure(1, 1, "libcst cannot read it: internal error") from error


@contextmanager
def unchecked() -> Iterator[None]:
    """Let the nodes of libcst be built without checking themselves.

    What its parser builds is valid, and the checks, meant for trees built by hand, are a tenth of a parse; some of them
    also stumble over valid code (``() if 0 else(lambda:())``).
    """
    from libcst import CSTNode

    checking = CSTNode.__post_init__
    CSTNode.__post_init__ = _unchecked  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        CSTNode.__post_init__ = checking  # type: ignore[method-assign]


def _unchecked(node: cst.CSTNode) -> None:
    pass


def _python_failure(text: str) -> ParseFailure | None:
    """What Python itself says is wrong; its words and places are better than libcst's, where it says something."""
    if "\0" in text:
        return ParseFailure(*_position(text, text.index("\0")), "the text holds a null character")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        reason = re.split(r"\. |\n", error.msg or "invalid syntax")[0].rstrip(".")
        return ParseFailure(max(1, error.lineno or 1), max(1, error.offset or 1), _lower_first(reason))
    except (ValueError, RecursionError, MemoryError):
        return None
    return None


def _libcst_failure(text: str, error: cst.ParserSyntaxError) -> ParseFailure:
    message = error.message.partition("\n")[0]
    found = re.search(r"error at (\d+):(\d+): (.*)", message)
    if found is None:
        return ParseFailure(max(1, error.raw_line), max(1, error.raw_column + 1), message.rpartition("error: ")[2])
    row, end = int(found[1]), int(found[2])
    lines = NEWLINE.split(text)
    line = lines[row - 1] if row <= len(lines) else ""
    # libcst names the end of the first token that does not fit.
    token = re.search(r"(\w+|\S)\s*$", line[:end])
    if token is None:
        return ParseFailure(row, end + 1, "the text ends too early")
    return ParseFailure(row, token.start() + 1, f"unexpected {token[1]!r}")


def _position(text: str, offset: int) -> tuple[int, int]:
    ends = [found.end() for found in NEWLINE.finditer(text, 0, offset)]
    return len(ends) + 1, offset - (ends[-1] if ends else 0) + 1


def _encoding_reason(error: SyntaxError, content: bytes) -> str:
    if "unknown encoding" in (error.msg or ""):
        return f"it declares an {(error.msg or '').split(' for ')[0]}"
    if "encoding problem" in (error.msg or ""):
        return "its coding comment contradicts its byte order mark"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as undecodable:
        return _undecodable(undecodable.start, content, "utf-8")
    return "its encoding cannot be told"


def _undecodable(start: int, content: bytes, encoding: str) -> str:
    row = len(re.findall(rb"\r\n?|\n", content[:start])) + 1
    return f"byte 0x{content[start]:02x} in row {row} is not {encoding.upper()}"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
