"""What is said of the rules: their pages, and the generated parts of the README."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from nnlint.rule import STAGES, Rule

if TYPE_CHECKING:
    from nnlint.diagnostic import Diagnostic

BEGIN = "<!-- {}:begin -->"
END = "<!-- {}:end -->"
EXAMPLE = Path("tests", "examples", "train.py")
"""The script whose findings the README shows, from the root of the checkout."""
CONFIRMED_EXAMPLE = Path("tests", "examples", "series.py")
"""The script whose verdicts it shows."""


def render_page(rule: Rule) -> str:
    """The page of a rule, as ``nnlint rule`` shows it."""
    selected = "on by default" if rule.default else "off by default"
    facts = f"{rule.severity}, {selected}, since {rule.since}; stage of the recipe: {rule.stage}"
    return f"# {rule.name} ({rule.code})\n\n{facts}\n\n{rule.page}\n"


def render_json(rules: Iterable[Rule], *, single: bool = False) -> str:
    """The rules for programs: a list, or one object."""
    entries = [
        {
            "code": rule.code,
            "name": rule.name,
            "summary": rule.summary,
            "severity": str(rule.severity),
            "default": rule.default,
            "stage": rule.stage,
            "since": rule.since,
            "explanation": rule.page,
        }
        for rule in rules
    ]
    return json.dumps(entries[0] if single else entries, indent=2) + "\n"


def render_table(rules: Iterable[Rule]) -> str:
    """The rules as Markdown, a table for each stage of the recipe."""
    parts: list[str] = []
    for digit, group in groupby(rules, key=lambda rule: rule.code[2]):
        stage = STAGES[digit]
        parts += [f"### {stage[0].upper() if digit != '0' else stage[0]}{stage[1:]}", ""]
        parts += ["| Code | Name | What it reports | Severity |", "| --- | --- | --- | --- |"]
        parts += [
            f"| {rule.code} | {rule.name} | {rule.summary.replace('|', chr(92) + '|')} | {rule.severity} |"
            for rule in group
        ]
        parts.append("")
    return "\n".join(parts)


def render_example(root: Path) -> str:
    """The script of the README and what nnlint says of it, word for word, as Markdown."""
    from nnlint.config import Configuration
    from nnlint.linter import lint

    script = root / EXAMPLE
    return _shown(script, "nnlint train.py", lint([script], Configuration(isolated=True)).diagnostics)


def render_confirmed_example(root: Path) -> str:
    """The script that the README confirms and what comes of it, on the CPU of this machine, word for word.

    Raises:
        NoLaboratory: this Python has no torch.
    """
    from nnlint.config import Configuration
    from nnlint.confirm.confirmation import confirm, prepare
    from nnlint.confirm.runner import Laboratory
    from nnlint.linter import lint

    script = root / CONFIRMED_EXAMPLE
    found = lint([script], Configuration(isolated=True), plans=True).diagnostics
    with Laboratory(Path(sys.executable), device="cpu") as laboratory:
        found = confirm(found, prepare(found, {}), laboratory.run, lambda done: None)
    return _shown(script, "nnlint series.py --confirm", found)


def _shown(script: Path, command: str, found: Sequence[Diagnostic]) -> str:
    from nnlint.output import RENDERERS, RenderContext

    text = script.read_text(encoding="utf-8")
    context = RenderContext(script.parent, read_text=lambda filename: text, width=100)
    return f"```python\n{text}```\n\n```console\n$ {command}\n{RENDERERS['full'](found, context).rstrip()}\n```\n"


def with_section(readme: str, name: str, content: str) -> str:
    """The README with ``content`` between the marks of that name.

    Raises:
        ValueError: a mark is missing.
    """
    begin, end = BEGIN.format(name), END.format(name)
    before, first, rest = readme.partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last:
        raise ValueError(f"the README lacks {begin} or {end}")
    return f"{before}{begin}\n\n{content}\n{end}{after}"


def renewed(readme: str, root: Path) -> str:
    """The README with all that is generated from the rules, but for the verdicts."""
    from nnlint.registry import load_rules

    readme = with_section(readme, "example", render_example(root))
    return with_section(readme, "rules", render_table(load_rules().values()))


if __name__ == "__main__":
    checkout = Path(__file__).parent.parent
    path = checkout / "README.md"
    text = renewed(path.read_text(encoding="utf-8"), checkout)
    path.write_text(with_section(text, "confirm", render_confirmed_example(checkout)), encoding="utf-8")
