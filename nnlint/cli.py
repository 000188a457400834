"""The command line: ``nnlint [check]`` and ``nnlint rule``."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

import click

from nnlint import __version__
from nnlint.config import OUTPUT_FORMATS, ConfigError, Configuration, Options, Settings, parse_inline
from nnlint.diagnostic import Severity
from nnlint.patterns import Pattern
from nnlint.registry import load_rules
from nnlint.selection import UnknownSelector, did_you_mean, expand

if TYPE_CHECKING:
    from nnlint.linter import Report
    from nnlint.output import RenderContext

STDIN = Path("-")
FORMATS_FOR_PEOPLE = ("full", "concise")

RULES = "Rule selection"
FIXES = "Fixes"
FILES = "File selection"
OUTPUT = "Output"
OTHER = "Other"

F = TypeVar("F", bound=Callable[..., object])


class SectionedOption(click.Option):
    """An option with the heading that the help lists it under."""

    def __init__(self, *args: object, section: str, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # passed through
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help lists its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list of options for each heading, in the order in which the headings appear."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(parameter, "section", OTHER), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class ImplicitCheck(click.Group):
    """A group in which everything that is no command is checked."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``check`` in front of whatever begins with no command of the group."""
        if not args or args[0] not in (*self.commands, "--help", "-h", "--version", "-V"):
            args = ["check", *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write how both commands are called."""
        formatter.write_usage(ctx.command_path, "[check] [OPTIONS] [PATHS]...")
        formatter.write_usage(ctx.command_path, "rule [OPTIONS] CODE-OR-NAME", prefix=" " * len("Usage: "))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the options of the one that goes without saying."""
        self.format_commands(ctx, formatter)
        self.commands["check"].format_options(click.Context(self.commands["check"], parent=ctx), formatter)


def option(section: str, *names: str, **settings: object) -> Callable[[F], F]:
    """An option under a heading of the help."""
    return click.option(*names, cls=SectionedOption, section=section, **settings)


def _split(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...] | None:
    words = tuple(word.strip() for value in values for word in value.split(",") if word.strip())
    return words if values else None


def _selectors(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...] | None:
    selectors = _split(context, parameter, values)
    for selector in selectors or ():
        try:
            expand(selector, load_rules())
        except UnknownSelector as error:
            raise click.BadParameter(str(error), context, parameter) from error
    return selectors


def _patterns(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[Pattern, ...] | None:
    texts = _split(context, parameter, values)
    try:
        return None if texts is None else tuple(Pattern(text, Path.cwd()) for text in texts)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error


def _jobs(context: click.Context, parameter: click.Parameter, value: str) -> int:
    if value == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"'{value}' is neither 'auto' nor a number of at least 1", context, parameter)
    return int(value)


@click.group(cls=ImplicitCheck, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="nnlint", message="%(prog)s %(version)s")
def main() -> None:
    """Find the mistakes that PyTorch training scripts make in silence."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How the run speaks to the person: where to, how much and in which colours."""

    quiet: bool
    verbose: bool
    color: bool | None
    """None for whatever the stream stands."""

    def colored(self, stream: TextIO) -> bool:
        """Whether a stream is written in colour."""
        if self.color is not None:
            return self.color
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        return stream.isatty() and os.environ.get("TERM") != "dumb"

    def complain(self, message: str, *, kind: str = "error") -> None:
        """Write a line to stderr."""
        label = click.style(kind, fg={"error": "red", "warning": "yellow"}[kind], bold=True)
        text = message.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        click.echo(f"{label}: {text}", err=True, color=self.colored(sys.stderr))

    def mention(self, message: str) -> None:
        """Write a line to stderr if every step is wanted."""
        if self.verbose:
            click.echo(message, err=True)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for, by the names of its options."""

    paths: tuple[str, ...]
    select: tuple[str, ...] | None
    ignore: tuple[str, ...] | None
    extend_select: tuple[str, ...] | None
    min_severity: str | None
    fix: bool
    unsafe_fixes: bool
    diff: bool
    exclude: tuple[Pattern, ...] | None
    extend_exclude: tuple[Pattern, ...] | None
    force_exclude: bool | None
    respect_gitignore: bool | None
    stdin_filename: str | None
    show_files: bool
    output_format: str | None
    output_file: str | None
    statistics: bool
    color: str
    quiet: bool
    verbose: bool
    exit_zero: bool
    configs: tuple[str, ...]
    isolated: bool
    show_settings: bool
    jobs: int
    no_cache: bool


@main.command(cls=SectionedCommand)
@click.argument("paths", nargs=-1)
@option(
    RULES,
    "--select",
    multiple=True,
    metavar="RULES",
    callback=_selectors,
    help="Rules to ask: codes, prefixes of codes, names or ALL, separated by commas.",
)
@option(RULES, "--ignore", multiple=True, metavar="RULES", callback=_selectors, help="Rules not to ask.")
@option(
    RULES,
    "--extend-select",
    multiple=True,
    metavar="RULES",
    callback=_selectors,
    help="Rules to ask on top of those selected.",
)
@option(
    RULES,
    "--min-severity",
    type=click.Choice([str(severity) for severity in Severity]),
    help="Report nothing milder; 'info' shows the advice too.",
)
@option(FIXES, "--fix", is_flag=True, help="Apply safe fixes, and report what remains.")
@option(FIXES, "--unsafe-fixes", is_flag=True, help="Fixes may change what the script computes.")
@option(FIXES, "--diff", is_flag=True, help="Show what fixes would change, and write nothing.")
@option(
    FILES,
    "--exclude",
    multiple=True,
    metavar="PATTERNS",
    callback=_patterns,
    help="Files and folders to leave out, in place of the default list.",
)
@option(
    FILES,
    "--extend-exclude",
    multiple=True,
    metavar="PATTERNS",
    callback=_patterns,
    help="Files and folders to leave out as well.",
)
@option(
    FILES,
    "--force-exclude/--no-force-exclude",
    default=None,
    help="Leave out excluded files even if they are named on the command line.",
)
@option(
    FILES, "--respect-gitignore/--no-respect-gitignore", default=None, help="Leave out what git ignores (the default)."
)
@option(FILES, "--stdin-filename", metavar="FILE", help="The name of what is read from standard input.")
@option(FILES, "--show-files", is_flag=True, help="List the files that would be linted.")
@option(OUTPUT, "--output-format", type=click.Choice(OUTPUT_FORMATS), help="The format of the report.")
@option(OUTPUT, "-o", "--output-file", metavar="FILE", help="Write the report to a file.")
@option(OUTPUT, "--statistics", is_flag=True, help="Count the findings of each rule.")
@option(
    OUTPUT,
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="When to use colour; NO_COLOR and FORCE_COLOR are respected.",
)
@option(OUTPUT, "-q", "--quiet", is_flag=True, help="Print nothing but findings.")
@option(OUTPUT, "-v", "--verbose", is_flag=True, help="Say what was read, and for how long.")
@option(OUTPUT, "-e", "--exit-zero", is_flag=True, help="Exit with 0 even if there are findings.")
@option(
    OTHER,
    "--config",
    "configs",
    multiple=True,
    metavar="FILE|'KEY = VALUE'",
    help="A configuration file to use in place of others, or a setting.",
)
@option(OTHER, "--isolated", is_flag=True, help="Use no configuration file.")
@option(OTHER, "--show-settings", is_flag=True, help="Show the settings of the first file.")
@option(OTHER, "-j", "--jobs", default="auto", metavar="N", callback=_jobs, help="The number of processes.")
@option(OTHER, "-n", "--no-cache", is_flag=True, hidden=True, help="Nothing is cached.")
def check(**given: object) -> None:
    """Lint training scripts (the default command).

    PATHS are files and folders, or - for standard input; the current folder if there are none.

    The exit status is 0 if nothing was found, 1 if something was, 2 if the run itself failed.
    """
    request = Request(**given)  # type: ignore[arg-type] # click fills the fields from the options above
    surroundings = Surroundings(
        request.quiet, request.verbose, {"auto": None, "always": True, "never": False}[request.color]
    )
    for stream in (sys.stdout, sys.stderr):
        # A name of a file that is no text, or a terminal without the character, must not end the run.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        status = _check(request, surroundings)
    except ConfigError as error:
        surroundings.complain(str(error))
        status = 2
    except KeyboardInterrupt:
        status = 130
    raise SystemExit(status)


@main.command()
@click.argument("selector", metavar="CODE-OR-NAME", required=False)
@click.option("--all", "everything", is_flag=True, help="Every rule.")
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", help="The format of the page.")
def rule(selector: str | None, everything: bool, output_format: str) -> None:
    """Show the page of a rule."""
    from nnlint.catalogue import render_json, render_page

    rules = load_rules()
    if everything is (selector is not None):
        raise click.UsageError("give either a rule or --all")
    chosen = list(rules.values())
    if selector is not None:
        chosen = [each for each in chosen if selector.casefold() in (each.code.casefold(), each.name)]
        if not chosen:
            hint = did_you_mean(selector, [name for each in rules.values() for name in (each.code, each.name)])
            raise click.UsageError(f"there is no rule '{selector}'{hint}")
    if output_format == "json":
        click.echo(render_json(chosen, single=not everything), nl=False)
    else:
        click.echo("\n".join(render_page(each) for each in chosen), nl=False)


def _configuration(request: Request) -> Configuration:
    files = [text for text in request.configs if text.endswith(".toml") or Path(text).is_file()]
    if len(files) > 1:
        raise click.UsageError(f"--config names more than one file: {', '.join(files)}")
    if files and request.isolated:
        raise click.UsageError(f"--isolated contradicts --config {files[0]}")
    overrides = Options(
        select=request.select,
        ignore=request.ignore,
        extend_select=request.extend_select,
        exclude=request.exclude,
        extend_exclude=request.extend_exclude,
        force_exclude=request.force_exclude,
        respect_gitignore=request.respect_gitignore,
        min_severity=None if request.min_severity is None else Severity[request.min_severity.upper()],
        output_format=request.output_format,
    )
    return Configuration(
        overrides,
        inline=tuple(parse_inline(text) for text in request.configs if text not in files),
        file=Path(files[0]).absolute() if files else None,
        isolated=request.isolated,
    )


def _check(request: Request, surroundings: Surroundings) -> int:
    started = time.perf_counter()
    configuration = _configuration(request)
    settings = configuration.settings(Path.cwd())
    from_stdin = request.stdin_filename is not None or str(STDIN) in request.paths
    if from_stdin and any(path != str(STDIN) for path in request.paths):
        raise click.UsageError("standard input cannot be linted together with files")

    from nnlint.discovery import Discovery, discover

    if from_stdin:
        name = Path(os.path.abspath(request.stdin_filename or STDIN))
        excluded = settings.force_exclude and configuration.excludes(name)
        found = Discovery(() if excluded else (name,), ())
    else:
        found = discover(
            [Path(path) for path in request.paths or (".",)],
            configuration,
            force_exclude=settings.force_exclude,
            respect_gitignore=settings.respect_gitignore,
        )
    for path, reason in found.problems:
        surroundings.complain(f"{path}: {reason}")
    if request.show_settings:
        of_first = configuration.settings(found.files[0].parent) if found.files else settings
        click.echo(_describe(of_first), nl=False)
        return 2 if found.problems else 0
    if request.show_files:
        for path in found.files:
            click.echo(str(path))
        return 2 if found.problems else 0
    if not found.files and not found.problems and not request.quiet:
        surroundings.complain("no Python files found under the given paths", kind="warning")

    from nnlint.linter import lint

    texts: Mapping[Path, bytes] | None = {path: sys.stdin.buffer.read() for path in found.files} if from_stdin else None
    folders = [Path(os.path.abspath(path)) for path in request.paths if Path(path).is_dir()]
    report = lint(found.files, configuration, jobs=request.jobs, folders=folders, texts=texts)
    if request.diff:
        status = _show_diff(request, surroundings, report, configuration, texts)
    elif request.fix:
        fixed, texts, errors = _apply_fixes(request, surroundings, report, configuration, texts)
        if fixed:
            report = lint(found.files, configuration, jobs=request.jobs, folders=folders, texts=texts)
        if from_stdin:
            sys.stdout.buffer.write(b"".join((texts or {}).values()))
        _print_report(request, surroundings, report, settings, texts, fixed=fixed, err=from_stdin)
        status = 2 if errors else int(bool(report.diagnostics) and not request.exit_zero)
    else:
        _print_report(request, surroundings, report, settings, texts)
        status = int(bool(report.diagnostics) and not request.exit_zero)
    for problem in report.problems:
        surroundings.complain(f"{problem.filename}: {problem.message}")
        if problem.detail:
            surroundings.mention(problem.detail.rstrip())
    for filename, reason in report.truncated:
        surroundings.mention(f"{filename}: read only in part: {reason}")
    seconds = time.perf_counter() - started
    surroundings.mention(f"{report.files} files, {report.parsed} of them parsed, in {seconds:.2f} s")
    return 2 if report.problems or found.problems else status


def _context(surroundings: Surroundings, stream: TextIO, texts: Mapping[Path, bytes] | None) -> RenderContext:
    from nnlint.output import RenderContext
    from nnlint.source import Source, UnreadableSource

    def read_text(filename: str) -> str:
        path = Path(filename)
        try:
            return (Source.decode(path, texts[path]) if texts and path in texts else Source.read(path)).text
        except UnreadableSource as error:
            raise OSError(error.reason) from error

    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        "╭│╰─".encode(encoding)
        unicode = True
    except (UnicodeEncodeError, LookupError):
        unicode = False
    return RenderContext(
        root=Path.cwd(),
        read_text=read_text,
        width=shutil.get_terminal_size((100, 24)).columns,
        color=surroundings.colored(stream),
        unicode=unicode,
        environ=dict(os.environ),
    )


def _print_report(
    request: Request,
    surroundings: Surroundings,
    report: Report,
    settings: Settings,
    texts: Mapping[Path, bytes] | None,
    *,
    fixed: int = 0,
    err: bool = False,
) -> None:
    from nnlint.output import RENDERERS, step_summary
    from nnlint.summary import render_statistics, render_summary

    output_format = settings.output_format
    with contextlib.ExitStack() as stack:
        stream: TextIO = sys.stderr if err else sys.stdout
        if request.output_file is not None:
            try:
                stream = stack.enter_context(
                    open(request.output_file, "w", encoding="utf-8", errors="backslashreplace")
                )
            except OSError as error:
                raise ConfigError(f"{request.output_file}: cannot be written: {error.strerror}") from error
        context = _context(surroundings, stream, texts)
        if request.statistics:
            stream.write(render_statistics(report.diagnostics, as_json=output_format == "json"))
        else:
            stream.write(RENDERERS[output_format](report.diagnostics, context))
        if output_format in FORMATS_FOR_PEOPLE and not request.quiet:
            passed = not report.problems
            if report.diagnostics or fixed or passed:
                stream.write(render_summary(report.diagnostics, fixed=fixed, unsafe=request.unsafe_fixes))
        if output_format == "github" and (page := os.environ.get("GITHUB_STEP_SUMMARY")):
            with open(page, "a", encoding="utf-8") as summary:
                summary.write(step_summary(report.diagnostics, context))


def _show_diff(
    request: Request,
    surroundings: Surroundings,
    report: Report,
    configuration: Configuration,
    texts: Mapping[Path, bytes] | None,
) -> int:
    from nnlint.fix import unified_diff
    from nnlint.mending import mend
    from nnlint.output.path import relative_path
    from nnlint.summary import count

    fixed = 0
    for mended in mend(report, configuration, unsafe=request.unsafe_fixes, texts=texts):
        name = relative_path(str(mended.source.path), Path.cwd())
        diff = unified_diff(mended.source.text, mended.fixed.text, name)
        click.echo(_color_diff(diff) if surroundings.colored(sys.stdout) else diff, nl=False)
        fixed += len(mended.fixed.applied)
    if not request.quiet:
        risky = sum(each.fix is not None and not each.fix.safe for each in report.diagnostics)
        more = f" ({risky} more with `--unsafe-fixes`)" if risky and not request.unsafe_fixes else ""
        click.echo(f"Would fix {count(fixed, 'finding')}{more}.", err=True)
    return int(fixed > 0 and not request.exit_zero)


def _color_diff(diff: str) -> str:
    colors = {"+": "green", "-": "red", "@": "cyan"}
    lines = diff.splitlines(keepends=True)
    return "".join(click.style(line, fg=colors[line[0]]) if line[0] in colors else line for line in lines)


def _apply_fixes(
    request: Request,
    surroundings: Surroundings,
    report: Report,
    configuration: Configuration,
    texts: Mapping[Path, bytes] | None,
) -> tuple[int, Mapping[Path, bytes] | None, int]:
    """Write what the fixes make of the files: how many findings that mended, the texts, how many files failed."""
    from nnlint.fix import write_source
    from nnlint.mending import mend

    fixed = failed = 0
    for mended in mend(report, configuration, unsafe=request.unsafe_fixes, texts=texts):
        source, text = mended.source, mended.fixed.text
        if texts is not None:
            texts = {**texts, source.path: source.encode(text)}
        else:
            try:
                write_source(source, text)
            except OSError as error:
                surroundings.complain(f"{source.path}: cannot be written: {(error.strerror or str(error)).lower()}")
                failed += 1
                continue
        fixed += len(mended.fixed.applied)
    return fixed, texts, failed


def _describe(settings: Settings) -> str:
    """The settings as a configuration file would say them."""
    import json

    options = settings.options
    lines = [
        f"# from {settings.origin}" if settings.origin else "# no configuration file",
        f"rules = {json.dumps(sorted(settings.selected.codes))}",
        f"exclude = {json.dumps([pattern.text for pattern in settings.exclude])}",
        f"force-exclude = {json.dumps(settings.force_exclude)}",
        f"respect-gitignore = {json.dumps(settings.respect_gitignore)}",
        f"min-severity = {json.dumps(str(options.min_severity or Severity.WARNING))}",
        f"output-format = {json.dumps(settings.output_format)}",
        "",
        "[per-file-ignores]",
        *(
            f"{json.dumps(pattern.text)} = {json.dumps(list(selectors))}"
            for pattern, selectors in options.per_file_ignores or ()
        ),
    ]
    return "\n".join(lines) + "\n"
