"""How deep the syntax of a text nests, told without parsing it.

A deep text overflows the stack of libcst's native parser, which ends the process; this look comes before the parse
and costs a fiftieth of it.
"""

from __future__ import annotations

import re
from itertools import chain

LIMIT = 300
"""How deep a statement may nest: a link of a chain (``a.b.c``, ``a + b + c``, ``not not a``, elif) weighs 1.

Measured with libcst 1.9: a stack of 1 MiB is overflown by 200 brackets or 500 links, and libcst's code generation
meets Python's own recursion limit with 400 links. Real code stays below 50.
"""

BRACKET = 4
"""The weight of a bracket."""

PATTERN_BRACKETS = 8
"""How many brackets may nest in a pattern of a ``match``: libcst's time doubles with each of them."""

_OPAQUE = (
    r'"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""'
    r"|'''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*'''"
    r'|"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
    r"|'[^'\\\n]*(?:\\.[^'\\\n]*)*'"
    r"|\#[^\n]*"
)
_OPAQUE_TEXT = re.compile(_OPAQUE, re.DOTALL)
_WORD = re.compile(r"\w+")
_INNERMOST = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]")
_BLANKS = str.maketrans(dict.fromkeys(" \t\f\r"))
_ELIF = re.compile(r"^([ \t\f]*)(?:(elif)\b|[^\s#])", re.MULTILINE)

_TOKEN = re.compile(
    rf"(?P<opaque>{_OPAQUE})"
    r"|(?P<case>^[ \t\f]*case\b(?!\s*[=.,:)]))"
    r"|(?P<word>\w+)"
    r"|(?P<open>[(\[{])"
    r"|(?P<close>[)\]}])"
    r"|(?P<next>[,;])"
    r"|(?P<continued>\\\r?\n)"
    r"|(?P<end>\n)"
    r"|(?P<operator>[^\s\w])",
    re.DOTALL | re.MULTILINE,
)
_LINKING_WORDS = frozenset(("and", "or", "not", "if", "else", "lambda", "await", "for", "in", "is", "yield", "from"))


def tokens(text: str) -> int:
    """How many names, literals, signs and ends of lines a text is made of, about."""
    return len(_shape(text))


def too_deep(text: str) -> int | None:
    """Where ``text`` begins to nest deeper than ``LIMIT``, as an offset in code points; None if it never does."""
    if text.count("elif") > LIMIT and (offset := _long_elif(text)) is not None:
        return offset
    brackets, length = _bounds(text)
    if (brackets < PATTERN_BRACKETS or "case" not in text) and brackets * (BRACKET + length) + length <= LIMIT:
        return None
    return _excess(text)


def _shape(text: str) -> str:
    """The text with one character for each token."""
    return _WORD.sub("w", _OPAQUE_TEXT.sub("s", text)).translate(_BLANKS).replace("\\\n", "")


def _bounds(text: str) -> tuple[int, int]:
    """How many brackets nest at most, and how long a part between commas is at most, each name and string being 1."""
    shape = _shape(text)
    depth = length = 0
    while parts := _INNERMOST.findall(shape):
        depth += 1
        if depth * BRACKET > LIMIT:
            return depth, length
        if max(map(len, parts)) > length:
            lengths = map(len, chain.from_iterable(part.split(",") for part in parts))
            length = max(chain(lengths, (length,)))
        shape = _INNERMOST.sub("w", shape)
    if _INNERMOST.search(shape) or any(bracket in shape for bracket in "()[]{}"):
        return len(shape), len(shape)
    return depth, max(chain(map(len, shape.split("\n")), (length,)))


def _excess(text: str) -> int | None:
    weight = start = 0
    around: list[tuple[int, int]] = []
    bracket = BRACKET
    for token in _TOKEN.finditer(text):
        match token.lastgroup:
            case "open":
                around.append((weight, start))
                start = weight = weight + bracket
            case "close":
                if around:
                    weight, start = around.pop()
                    weight += 1
            case "next":
                weight = start
            case "end":
                if not around:
                    weight = start = 0
                    bracket = BRACKET
            case "case":
                if not around:
                    bracket = LIMIT // PATTERN_BRACKETS
            case "operator" | "opaque":
                weight += not token[0].startswith("#")
            case "word":
                weight += token[0] in _LINKING_WORDS
        if weight > LIMIT:
            return token.start()
    return None


def _long_elif(text: str) -> int | None:
    links: dict[int, int] = {}
    for line in _ELIF.finditer(text):
        indent = len(line[1])
        if line[2]:
            links[indent] = links.get(indent, 0) + 1
            if links[indent] > LIMIT:
                return line.start()
        else:
            links = {column: count for column, count in links.items() if column < indent}
    return None
