"""``nnlint check``: what the command line asks for, done and shown."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

import click

from nnlint.config import ConfigError, Configuration, Options, Settings, parse_inline
from nnlint.diagnostic import Severity
from nnlint.discovery import Discovery, discover
from nnlint.patterns import Pattern
from nnlint.summary import count
from nnlint.surroundings import Surroundings
from nnlint.verdict import Outcome

if TYPE_CHECKING:
    from nnlint.confirm.runner import Laboratory
    from nnlint.linter import Report
    from nnlint.output import RenderContext

STDIN = "-"
FORMATS_FOR_PEOPLE = ("full", "concise")

TIMEOUT = 10.0
"""Seconds that an experiment is given."""

MEMORY = 4 << 30
"""Bytes that an experiment is given."""

NAMED = 3
"""Files up to which the banner names them."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for, by the names of its options."""

    paths: tuple[str, ...]
    select: tuple[str, ...] | None
    ignore: tuple[str, ...] | None
    extend_select: tuple[str, ...] | None
    stage: str | None
    min_severity: str | None
    fix: bool
    unsafe_fixes: bool
    diff: bool
    confirm: bool
    device: str | None
    python: str | None
    confirm_timeout: float | None
    confirm_memory: int | None
    fail_on: str | None
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

    @property
    def from_stdin(self) -> bool:
        """Whether standard input is read in place of files."""
        return self.stdin_filename is not None or STDIN in self.paths


def run_check(request: Request, surroundings: Surroundings) -> int:
    """Do what the command line asks for; the exit status of the run.

    Raises:
        ConfigError: the configuration cannot be used.
        click.UsageError: the request contradicts itself.
    """
    started = time.perf_counter()
    _refuse_idle_options(request)
    configuration = _configuration(request)
    settings = configuration.settings(Path.cwd())
    found = _files(request, configuration, settings)
    for path, reason in found.problems:
        surroundings.complain(f"{path}: {reason}")
    if request.show_settings:
        of_first = configuration.settings(found.files[0].parent) if found.files else settings
        click.echo(_describe(of_first), nl=False)
        return 2 if found.problems else 0
    if request.show_files:
        click.echo("".join(f"{path}\n" for path in found.files), nl=False)
        return 2 if found.problems else 0
    if not found.files and not found.problems and not request.quiet:
        surroundings.complain("no Python files found under the given paths", kind="warning")

    failed = False
    with _laboratory(request, found.files) as laboratory:
        check = _Check(request, surroundings, configuration, settings, found, _stdin(request, found), laboratory)
        report = check.examine()
        if request.diff:
            findings = check.show_diff(report)
        elif request.fix:
            fixed, failed = check.apply_fixes(report)
            report = check.examine() if fixed else report
            check.show(report, fixed)
            findings = check.fails(report)
        else:
            check.show(report)
            findings = check.fails(report)

    check.tell_unenforced(report)
    for problem in report.problems:
        surroundings.complain(f"{problem.filename}: {problem.message}")
        if problem.detail:
            surroundings.mention(problem.detail.rstrip())
    for filename, reason in report.truncated:
        surroundings.mention(f"{filename}: read only in part: {reason}")
    seconds = time.perf_counter() - started
    surroundings.mention(f"{count(report.files, 'file')}, {report.parsed} of them parsed, in {seconds:.2f} s")
    if failed or report.problems or found.problems:
        return 2
    return int(findings and not request.exit_zero)


def _refuse_idle_options(request: Request) -> None:
    """Complain of options that would do nothing, or let every run pass, because nothing is to be run."""
    if request.confirm:
        return
    for option in ("device", "python", "confirm_timeout", "confirm_memory"):
        if getattr(request, option) is not None:
            raise click.UsageError(f"--{option.replace('_', '-')} needs --confirm")
    if request.fail_on == "confirmed":
        raise click.UsageError("--fail-on confirmed needs --confirm: nothing is proved without it")


def _laboratory(request: Request, files: Sequence[Path]) -> AbstractContextManager[Laboratory | None]:
    """Where findings are confirmed, if they are to be; it gets ready while the files are read."""
    if not request.confirm:
        return nullcontext(None)
    from nnlint.confirm.interpreter import find_interpreter
    from nnlint.confirm.runner import Laboratory

    return Laboratory(
        find_interpreter(request.python, Path.cwd()),
        request.device or "auto",
        request.confirm_timeout or TIMEOUT,
        request.confirm_memory or MEMORY,
        foreseen=("torchvision",) if any(map(_imports_torchvision, files)) else (),
    )


def _imports_torchvision(path: Path) -> bool:
    try:
        return b"torchvision" in path.read_bytes()
    except OSError:
        return False


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
        stage=request.stage,
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


def _files(request: Request, configuration: Configuration, settings: Settings) -> Discovery:
    if "" in request.paths:
        raise click.UsageError("a path is empty")
    if not request.from_stdin:
        return discover(
            [Path(path) for path in request.paths or (".",)],
            configuration,
            force_exclude=settings.force_exclude,
            respect_gitignore=settings.respect_gitignore,
        )
    if any(path != STDIN for path in request.paths):
        raise click.UsageError("standard input cannot be linted together with files")
    name = Path(os.path.abspath(request.stdin_filename or STDIN))
    return Discovery(() if settings.force_exclude and configuration.excludes(name) else (name,), ())


def _stdin(request: Request, found: Discovery) -> dict[Path, bytes]:
    if request.from_stdin and sys.stdin is None:
        raise click.UsageError("standard input is closed")
    return {path: sys.stdin.buffer.read() for path in found.files} if request.from_stdin else {}


@dataclass(slots=True)
class _Check:
    """A run: what it was asked, and the ``texts`` that stand in the place of files on disk."""

    request: Request
    surroundings: Surroundings
    configuration: Configuration
    settings: Settings
    found: Discovery
    texts: dict[Path, bytes]
    laboratory: Laboratory | None

    def examine(self) -> Report:
        """Lint the files as they are now, and confirm what is found in them if that is wanted.

        Without a laboratory to be had the findings are shown all the same, but nothing is changed.
        """
        from nnlint.linter import lint

        folders = [Path(os.path.abspath(path)) for path in self.request.paths if Path(path).is_dir()]
        report = lint(
            self.found.files,
            self.configuration,
            jobs=self.request.jobs,
            folders=folders,
            texts=self.texts or None,
            plans=self.laboratory is not None,
        )
        return report if self.laboratory is None else self._confirmed(report, self.laboratory)

    def _confirmed(self, report: Report, laboratory: Laboratory) -> Report:
        from nnlint.confirm.confirmation import confirm, prepare
        from nnlint.confirm.runner import NoLaboratory
        from nnlint.reading import Problem

        texts = {path: self._read_text(str(path)) for path in self.texts} if report.diagnostics else {}
        # The slices are cut while torch is being imported.
        prepared = prepare(report.diagnostics, texts)
        try:
            if prepared:
                with self.surroundings.progress("Importing torch"):
                    torch, device = laboratory.description["torch"], laboratory.description["device"]
                planned = [diagnostic for diagnostic in report.diagnostics if diagnostic.plan is not None]
                files = _some({each.plan.filename for each in prepared.values()})
                self.surroundings.tell(
                    f"Confirming {count(len(planned), 'finding')} by running code of {files} "
                    f"with {laboratory.python} (torch {torch}) on {device}"
                )
            with self.surroundings.progress("Confirming", len(prepared)) as progress:
                confirmed = confirm(report.diagnostics, prepared, laboratory.run, progress)
        except NoLaboratory as error:
            if self.request.fix or self.request.diff:
                raise ConfigError(str(error)) from error
            return replace(report, problems=(*report.problems, Problem(str(laboratory.python), str(error))))
        return replace(report, diagnostics=confirmed)

    def fails(self, report: Report) -> bool:
        """Whether what was found fails the run."""
        if self.request.fail_on == "confirmed":
            return any(diagnostic.outcome is Outcome.CONFIRMED for diagnostic in report.diagnostics)
        return not all(diagnostic.refuted for diagnostic in report.diagnostics)

    def tell_unenforced(self, report: Report) -> None:
        """Say once what the system did not let the experiments be kept from."""
        verdicts = [diagnostic.verdict for diagnostic in report.diagnostics if diagnostic.verdict is not None]
        layers = dict.fromkeys(layer for verdict in verdicts for layer in verdict.unenforced)
        if layers:
            self.surroundings.tell(f"This system did not enforce while the code ran: {', '.join(layers)}")

    def show(self, report: Report, fixed: int = 0) -> None:
        """Write the report to where it is wanted; ``fixed`` findings were mended before."""
        from nnlint.output import RENDERERS, step_summary
        from nnlint.summary import render_statistics, render_summary

        output_format, found = self.settings.output_format, report.diagnostics
        with self._stream() as stream:
            context = self._context(stream)
            if self.request.statistics:
                stream.write(render_statistics(found, as_json=output_format == "json"))
            else:
                stream.write(RENDERERS[output_format](found, context))
            clean = not (report.problems or self.found.problems)
            if output_format in FORMATS_FOR_PEOPLE and not self.request.quiet and (found or fixed or clean):
                stream.write(render_summary(found, fixed=fixed, unsafe=self.request.unsafe_fixes))
        if output_format == "github" and (page := os.environ.get("GITHUB_STEP_SUMMARY")):
            with _writing(page, "a") as summary:
                summary.write(step_summary(found, context))

    def show_diff(self, report: Report) -> bool:
        """Write what fixes would change; whether they would change anything."""
        from nnlint.fix import unified_diff
        from nnlint.mending import mend
        from nnlint.output.path import relative_path

        fixed = 0
        unsafe = self.request.unsafe_fixes
        for mended in mend(report, self.configuration, unsafe=unsafe, texts=self.texts):
            name = relative_path(str(mended.source.path), Path.cwd())
            diff = unified_diff(mended.source.text, mended.fixed.text, name)
            click.echo(_color_diff(diff) if self.surroundings.colored(sys.stdout) else diff, nl=False)
            fixed += len(mended.fixed.applied)
        if not self.request.quiet:
            counted = [each for each in report.diagnostics if not each.refuted]
            risky = sum(each.fix is not None and not each.fix.safe for each in counted)
            more = f" ({risky} more with `--unsafe-fixes`)" if risky and not unsafe else ""
            click.echo(f"Would fix {count(fixed, 'finding')}{more}.", err=True)
        return fixed > 0

    def apply_fixes(self, report: Report) -> tuple[int, bool]:
        """Write what the fixes make of the files: how many findings that mended, and whether a file failed."""
        from nnlint.fix import write_source
        from nnlint.mending import mend

        fixed, failed = 0, False
        for mended in mend(report, self.configuration, unsafe=self.request.unsafe_fixes, texts=self.texts):
            source, text = mended.source, mended.fixed.text
            try:
                if source.path in self.texts:
                    self.texts[source.path] = source.encode(text)
                else:
                    write_source(source, text)
                fixed += len(mended.fixed.applied)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                self.surroundings.complain(f"{source.path}: cannot be written: {reason}")
                failed = True
        for content in self.texts.values():
            sys.stdout.buffer.write(content)
            sys.stdout.flush()
        return fixed, failed

    def _stream(self) -> AbstractContextManager[TextIO]:
        if self.request.output_file is not None:
            return _writing(self.request.output_file, "w")
        # Fixed standard input goes to standard output: the findings make room for it.
        return nullcontext(sys.stderr if self.request.fix and self.texts else sys.stdout)

    def _context(self, stream: TextIO) -> RenderContext:
        from nnlint.output import RenderContext

        return RenderContext(
            root=Path.cwd(),
            read_text=self._read_text,
            width=shutil.get_terminal_size((100, 24)).columns,
            color=self.surroundings.colored(stream),
            unicode=_knows_frames(stream),
            environ=dict(os.environ),
        )

    def _read_text(self, filename: str) -> str:
        from nnlint.source import Source, UnreadableSource

        path = Path(filename)
        try:
            source = Source.decode(path, self.texts[path]) if path in self.texts else Source.read(path)
        except UnreadableSource as error:
            raise OSError(error.reason) from error
        return source.text


@contextmanager
def _writing(name: str, mode: Literal["a", "w"]) -> Iterator[TextIO]:
    try:
        with open(name, mode, encoding="utf-8", errors="backslashreplace") as stream:
            yield stream
    except OSError as error:
        raise ConfigError(f"{name}: cannot be written: {(error.strerror or str(error)).lower()}") from error


def _knows_frames(stream: TextIO) -> bool:
    """Whether the encoding of a stream has the characters that frames are drawn with."""
    try:
        "╭│╰─".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _some(filenames: Collection[str]) -> str:
    """Files by name, if there are few."""
    from nnlint.output.path import readable, relative_path

    if len(filenames) > NAMED:
        return count(len(filenames), "file")
    return ", ".join(readable(relative_path(filename, Path.cwd())) for filename in sorted(filenames))


def _color_diff(diff: str) -> str:
    colors = {"+": "green", "-": "red", "@": "cyan"}
    lines = diff.splitlines(keepends=True)
    return "".join(click.style(line, fg=colors[line[0]]) if line[0] in colors else line for line in lines)


def _describe(settings: Settings) -> str:
    """The settings as a configuration file would say them."""
    options = settings.options
    values: dict[str, object] = {
        "select": sorted(settings.selected.codes),
        "stage": options.stage or "tune",
        "exclude": [pattern.text for pattern in settings.exclude],
        "force-exclude": settings.force_exclude,
        "respect-gitignore": settings.respect_gitignore,
        "min-severity": str(options.min_severity or Severity.WARNING),
        "output-format": settings.output_format,
    }
    lines = [f"# from {settings.origin}" if settings.origin else "# no configuration file"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    lines += ["", "[per-file-ignores]"]
    for pattern, selectors in options.per_file_ignores or ():
        lines.append(f"{json.dumps(pattern.text)} = {json.dumps(list(selectors))}")
    return "".join(f"{line}\n" for line in lines)
