"""The configuration: ``[tool.nnlint]`` in pyproject.toml or nnlint.toml, nearest to the file, and the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from pathlib import Path

from nnlint.diagnostic import Severity
from nnlint.patterns import Pattern
from nnlint.registry import load_rules
from nnlint.selection import REACH, Selected, Selection, did_you_mean, expand, select_rules

OUTPUT_FORMATS = ("full", "concise", "json", "github")

DEFAULT_EXCLUDE = (
    ".bzr",
    ".direnv",
    ".eggs",
    ".git",
    ".git-rewrite",
    ".hg",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".nox",
    ".pants.d",
    ".pyenv",
    ".pytest_cache",
    ".pytype",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    ".vscode",
    "__pypackages__",
    "_build",
    "buck-out",
    "build",
    "dist",
    "node_modules",
    "site-packages",
    "venv",
)


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the file and the key."""


PerFileIgnores = tuple[tuple[Pattern, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Options:
    """What one file, or the command line, says; None where it says nothing."""

    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    extend_select: tuple[str, ...] | None = None
    stage: str | None = None
    exclude: tuple[Pattern, ...] | None = None
    extend_exclude: tuple[Pattern, ...] | None = None
    force_exclude: bool | None = None
    respect_gitignore: bool | None = None
    per_file_ignores: PerFileIgnores | None = None
    min_severity: Severity | None = None
    output_format: str | None = None

    def over(self, weaker: Options) -> Options:
        """These options where they say something, the weaker ones elsewhere."""
        said = {name: value for name in KEYS.values() if (value := getattr(self, name)) is not None}
        return replace(weaker, **said)

    @property
    def selection(self) -> Selection:
        """What these options say about rules."""
        return Selection(self.select, self.extend_select or (), self.ignore or ())


KEYS = {option.name.replace("_", "-"): option.name for option in fields(Options)}
"""The keys of a configuration file, and the fields they fill."""


ONLY_ASKED_FOR = ("confirm", "device", "python", "confirm-timeout", "confirm-memory", "fail-on")
"""Options of the command line that no configuration may hold: they are about running code that is linted."""


@dataclass(frozen=True)
class Settings:
    """What holds for a file: the nearest configuration, which is ``origin``, under that of the command line."""

    origin: Path | None
    options: Options
    layers: tuple[Selection, ...]

    @cached_property
    def selected(self) -> Selected:
        """The rules that are asked."""
        return select_rules(self.layers, load_rules(), self.options.stage)

    @property
    def force_exclude(self) -> bool:
        """Whether files named on the command line are excluded too."""
        return bool(self.options.force_exclude)

    @property
    def respect_gitignore(self) -> bool:
        """Whether ignored files are left out of folders."""
        return self.options.respect_gitignore is not False

    @property
    def output_format(self) -> str:
        """The format of the report."""
        return self.options.output_format or "full"

    @cached_property
    def exclude(self) -> tuple[Pattern, ...]:
        """What is left out of folders."""
        exclude = self.options.exclude if self.options.exclude is not None else default_exclude()
        return (*exclude, *(self.options.extend_exclude or ()))

    @cached_property
    def _ignores(self) -> tuple[tuple[Pattern, frozenset[str]], ...]:
        rules = load_rules()
        return tuple(
            (pattern, frozenset().union(*(expand(selector, rules)[1] for selector in selectors)))
            for pattern, selectors in self.options.per_file_ignores or ()
        )

    def excluded(self, path: Path) -> bool:
        """Whether a file or folder, itself and not its parents, is excluded."""
        return any(pattern.matches(path) for pattern in self.exclude)

    def codes(self, path: Path) -> frozenset[str]:
        """The codes that are asked of a file."""
        ignored = (codes for pattern, codes in self._ignores if pattern.matches(path))
        return self.selected.codes.difference(*ignored)

    def shows(self, code: str, severity: Severity) -> bool:
        """Whether a finding is severe enough: infos are opted into, by naming the rule or the severity."""
        if self.options.min_severity is not None:
            return severity >= self.options.min_severity
        return severity > Severity.INFO or code in self.selected.asked


class Configuration:
    """The settings of every folder of a run, each read once."""

    def __init__(
        self,
        overrides: Options | None = None,
        *,
        inline: tuple[Options, ...] = (),
        file: Path | None = None,
        isolated: bool = False,
    ) -> None:
        """Settle what does not depend on the folder.

        Args:
            overrides: what the command line says; it is stronger than anything else.
            inline: what ``--config "key = value"`` says, stronger than any file.
            file: the one configuration file to use in place of those found beside the files.
            isolated: use no configuration file at all.

        Raises:
            ConfigError: the given file cannot be used.
        """
        self._strong = (*inline, overrides or Options())
        self._isolated = isolated
        self._fixed = self._settings(file, read_options(file, root=Path.cwd())) if file else None
        self._known: dict[Path, Settings] = {}

    def settings(self, folder: Path) -> Settings:
        """The settings of the files in a folder, given by its absolute path.

        Raises:
            ConfigError: a configuration file on the way up cannot be used.
        """
        if self._fixed is not None:
            return self._fixed
        known = self._known.get(folder)
        if known is None:
            known = self._known[folder] = self._find(folder)
        return known

    def excludes(self, path: Path) -> bool:
        """Whether a file or folder, or a folder that it lies in, is excluded."""
        return any(self.settings(step.parent).excluded(step) for step in (path, *path.parents[:-1]))

    def _find(self, folder: Path) -> Settings:
        if self._isolated:
            return self._settings(None, None)
        for name in ("nnlint.toml", "pyproject.toml"):
            file = folder / name
            options = read_options(file, required=False) if file.is_file() else None
            if options is not None:
                return self._settings(file, options)
        return self._settings(None, None) if folder.parent == folder else self.settings(folder.parent)

    def _settings(self, origin: Path | None, options: Options | None) -> Settings:
        layers = (options or Options(), *self._strong)
        merged = layers[0]
        for layer in layers[1:]:
            merged = layer.over(merged)
        settings = Settings(origin, merged, tuple(layer.selection for layer in layers))
        # An unknown selector is an error of the run, not of the first file that happens to need it.
        _ = settings.selected
        return settings


@cache
def default_exclude() -> tuple[Pattern, ...]:
    """The patterns of folders that hold no code of the project."""
    return tuple(Pattern(name, Path()) for name in DEFAULT_EXCLUDE)


def read_options(file: Path, *, required: bool = True, root: Path | None = None) -> Options | None:
    """The options of a configuration file; None if it is a pyproject.toml without ``[tool.nnlint]``.

    Its patterns are relative to ``root``, or to its own folder.

    Raises:
        ConfigError: the file is unreadable, no TOML, or says something that nnlint does not know.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{file}: cannot be read: {reason}") from error
    in_pyproject = file.name == "pyproject.toml"
    if in_pyproject and "nnlint" not in text and not required:
        return None
    table = _parse_toml(text, str(file))
    root = root or file.parent
    if not in_pyproject:
        return parse_options(table, str(file), root)
    tool = table.get("tool", {})
    section = tool.get("nnlint") if isinstance(tool, dict) else None
    if section is None:
        return None
    if not isinstance(section, dict):
        raise ConfigError(f"{file}: tool.nnlint: expected a table, not {_shown(section)}")
    return parse_options(section, f"{file}: tool.nnlint", root)


def parse_inline(text: str) -> Options:
    """The options of ``--config "key = value"``.

    Raises:
        ConfigError: it is no TOML, or says something that nnlint does not know.
    """
    return parse_options(_parse_toml(text, "--config"), "--config", Path.cwd())


def parse_options(table: Mapping[str, object], origin: str, root: Path) -> Options:
    """The options that a TOML table says; its patterns are relative to ``root``.

    Raises:
        ConfigError: unknown key, wrong type, unknown value; the message begins with ``origin`` and the key.
    """
    options: dict[str, object] = {}
    for key, value in table.items():
        if key in ONLY_ASKED_FOR:
            raise ConfigError(
                f"{origin}: unknown key '{key}': a configuration never has code run; say --{key} on the command line"
            )
        if key not in KEYS:
            raise ConfigError(f"{origin}: unknown key '{key}'{did_you_mean(key, KEYS)}")
        try:
            options[KEYS[key]] = PARSERS[key](value, root)
        except ValueError as error:
            raise ConfigError(f"{origin}: {key}: {error}") from error
    return Options(**options)  # type: ignore[arg-type] # a parser returns what its field holds


def _parse_toml(text: str, origin: str) -> dict[str, object]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin}: not valid TOML: {error}") from error


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _strings(value: object, _root: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"expected a list of strings, not {_shown(value)}")
    return tuple(value)


def _patterns(value: object, root: Path) -> tuple[Pattern, ...]:
    return tuple(Pattern(text, root) for text in _strings(value, root))


def _selectors(value: object, root: Path) -> tuple[str, ...]:
    selectors = _strings(value, root)
    for selector in selectors:
        expand(selector, load_rules())
    return selectors


def _flag(value: object, _root: Path) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, not {_shown(value)}")
    return value


def _word(value: object, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ValueError(f"expected one of {', '.join(known)}, not {_shown(value)}{hint}")
    return value


def _severity(value: object, _root: Path) -> Severity:
    return Severity[_word(value, tuple(str(severity) for severity in Severity)).upper()]


def _stage(value: object, _root: Path) -> str:
    return _word(value, tuple(REACH))


def _format(value: object, _root: Path) -> str:
    return _word(value, OUTPUT_FORMATS)


def _per_file(value: object, root: Path) -> PerFileIgnores:
    if not isinstance(value, dict):
        raise ValueError(f"expected a table of patterns and selectors, not {_shown(value)}")
    return tuple((Pattern(str(text), root), _selectors(selectors, root)) for text, selectors in value.items())


PARSERS: dict[str, Callable[[object, Path], object]] = {
    "select": _selectors,
    "ignore": _selectors,
    "extend-select": _selectors,
    "stage": _stage,
    "exclude": _patterns,
    "extend-exclude": _patterns,
    "force-exclude": _flag,
    "respect-gitignore": _flag,
    "per-file-ignores": _per_file,
    "min-severity": _severity,
    "output-format": _format,
}
"""What turns the value of a key, and the folder its patterns are relative to, into the value of the field."""
