"""The command line: ``nnlint [check]`` and ``nnlint rule``."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from nnlint import __version__
from nnlint.check import MEMORY, TIMEOUT, Request, run_check
from nnlint.config import OUTPUT_FORMATS, ConfigError
from nnlint.diagnostic import Severity
from nnlint.patterns import Pattern
from nnlint.registry import load_rules
from nnlint.selection import REACH, UnknownSelector, did_you_mean, expand
from nnlint.surroundings import Surroundings

RULES = "Rule selection"
FIXES = "Fixes"
CONFIRMATION = "Confirmation"
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

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what the system refuses ends the run with one line, as does an interruption without any."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            # Nobody reads on; click ends quietly.
            raise
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            Surroundings(False, False, None).complain(f"{error.filename}: {reason}" if error.filename else reason)
            raise SystemExit(2) from error
        except KeyboardInterrupt:
            # The thread that reads cannot be stopped, and an orderly end would wait for it.
            os._exit(130)

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


def _device(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise click.BadParameter(f"'{value}' is none of auto, cpu, cuda, cuda:N and mps", context, parameter)
    return value


def _memory(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Bytes, from a number of megabytes or one with a unit."""
    if value is None:
        return None
    given = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([MG])(?:i?B)?)?", value.strip(), re.IGNORECASE)
    if given is None or float(given[1]) == 0:
        raise click.BadParameter(f"'{value}' is no amount of memory such as 4GB or 500MB", context, parameter)
    return int(float(given[1]) * (1 << 30 if (given[2] or "M").upper() == "G" else 1 << 20))


@click.group(cls=ImplicitCheck, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="nnlint", message="%(prog)s %(version)s")
def main() -> None:
    """Find the mistakes that PyTorch training scripts make in silence."""
    _open_streams()


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
    "--stage",
    type=click.Choice(list(REACH)),
    help="How far the project has come in the recipe: no advice of a later stage is given.",
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
    CONFIRMATION,
    "--confirm",
    is_flag=True,
    help="Prove or refute each finding by running the lines it rests on, apart and within limits.",
)
@option(
    CONFIRMATION,
    "--device",
    metavar="DEVICE",
    callback=_device,
    help="Where they run: auto (the default: a GPU if there is one), cpu, cuda, cuda:N or mps.",
)
@option(
    CONFIRMATION,
    "--python",
    metavar="PATH",
    help="The Python that runs them and has torch; by default the active or the project's virtual environment.",
)
@option(
    CONFIRMATION,
    "--confirm-timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help=f"The time that each finding is given (default: {TIMEOUT:g}).",
)
@option(
    CONFIRMATION,
    "--confirm-memory",
    metavar="SIZE",
    callback=_memory,
    help=f"The memory that each finding is given, such as 500MB (default: {MEMORY >> 30}GB).",
)
@option(
    CONFIRMATION,
    "--fail-on",
    type=click.Choice(["any", "confirmed"]),
    help="Which findings fail the run: any that is not refuted (the default), or proof only.",
)
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
    try:
        status = run_check(request, surroundings)
    except ConfigError as error:
        surroundings.complain(str(error))
        status = 2
    raise SystemExit(status)


def _open_streams() -> None:
    """Make the standard streams fit for any text, and stand in for those that the caller has closed."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 # it stays open to the end
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A name of a file that is no text, or a terminal without the character, must not end the run.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


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
