"""What is said of the rules: their pages, and the table in the README."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby

from nnlint.rule import STAGES, Rule

BEGIN = "<!-- rules:begin -->"
END = "<!-- rules:end -->"


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


def with_table(readme: str, rules: Iterable[Rule]) -> str:
    """The README with the table of these rules between its marks.

    Raises:
        ValueError: a mark is missing.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README lacks {BEGIN} or {END}")
    return f"{before}{begin}\n\n{render_table(rules)}\n{end}{after}"


if __name__ == "__main__":
    from pathlib import Path

    from nnlint.registry import load_rules

    readme = Path(__file__).parent.parent / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8"), load_rules().values()), encoding="utf-8")
