from collections.abc import Callable
from pathlib import Path

import pytest

from nnlint.config import ConfigError, Configuration, Options, parse_inline
from nnlint.diagnostic import Severity

pytestmark = pytest.mark.usefixtures("stub_rules")
Write = Callable[[str, str], Path]


def test_the_nearest_file_wins(folder: Path, write: Write) -> None:
    write("pyproject.toml", '[tool.nnlint]\nselect = ["NN204"]\n')
    write("a/nnlint.toml", 'select = ["NN203"]\n')
    write("a/pyproject.toml", '[tool.nnlint]\nselect = ["NN601"]\n')
    write("b/pyproject.toml", "[tool.ruff]\n")
    configuration = Configuration()
    assert configuration.settings(folder / "a" / "deep").selected.codes == {"NN203"}
    assert configuration.settings(folder / "b").selected.codes == {"NN204"}
    assert Configuration(isolated=True).settings(folder / "b").origin is None


def test_every_key(folder: Path, write: Write) -> None:
    write(
        "nnlint.toml",
        """
        select = ["NN2", "NN6"]
        ignore = ["NN203"]
        extend-select = ["unparsable-file"]
        exclude = ["old"]
        extend-exclude = ["*_pb2.py"]
        force-exclude = true
        respect-gitignore = false
        stage = "tune"
        min-severity = "info"
        output-format = "concise"
        [per-file-ignores]
        "tests/*" = ["clipped-loss"]
        """,
    )
    settings = Configuration().settings(folder)
    assert settings.codes(folder / "a.py") == {"NN000", "NN204", "NN601"}
    assert settings.codes(folder / "tests" / "a.py") == {"NN000", "NN601"}
    assert settings.excluded(folder / "old")
    assert settings.excluded(folder / "x" / "y_pb2.py")
    assert not settings.excluded(folder / "venv")
    assert settings.force_exclude
    assert not settings.respect_gitignore
    assert settings.output_format == "concise"
    assert settings.shows("NN204", Severity.INFO)


def test_the_command_line_is_stronger_than_inline_than_files(folder: Path, write: Write) -> None:
    write("nnlint.toml", 'output-format = "json"\nmin-severity = "error"\nselect = ["NN2"]\n')
    inline = parse_inline('output-format = "github"\nmin-severity = "info"')
    configuration = Configuration(Options(output_format="concise", ignore=("NN204",)), inline=(inline,))
    settings = configuration.settings(folder)
    assert settings.output_format == "concise"
    assert settings.options.min_severity is Severity.INFO
    assert settings.selected.codes == {"NN203"}


def test_a_stage_is_that_of_the_strongest(folder: Path, write: Write) -> None:
    write("nnlint.toml", 'select = ["ALL"]\nstage = "baseline"\n')
    assert "NN601" not in Configuration().settings(folder).selected.codes
    assert "NN601" in Configuration(Options(stage="tune")).settings(folder).selected.codes
    assert "NN601" in Configuration(Options(extend_select=("NN601",))).settings(folder).selected.codes


def test_a_given_file_replaces_the_others(folder: Path, write: Write) -> None:
    write("nnlint.toml", 'select = ["NN203"]\n')
    given = write("elsewhere/strict.toml", 'select = ["NN204"]\nexclude = ["old/*"]\n')
    settings = Configuration(file=given).settings(folder)
    assert settings.selected.codes == {"NN204"}
    assert settings.excluded(folder / "old" / "a.py")


def test_infos_are_shown_to_those_who_ask() -> None:
    default = Configuration(isolated=True).settings(Path("/x"))
    asked = Configuration(Options(select=("NN2",)), isolated=True).settings(Path("/x"))
    assert not default.shows("NN204", Severity.INFO)
    assert default.shows("NN204", Severity.WARNING)
    assert asked.shows("NN204", Severity.INFO)
    assert not asked.shows("NN601", Severity.INFO)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('selct = ["NN2"]', "unknown key 'selct'; did you mean 'select'?"),
        ('select = ["NN299"]', "select: unknown rule selector 'NN299'; did you mean"),
        ('select = "NN2"', "select: expected a list of strings, not 'NN2'"),
        ("ignore = [1]", "ignore: expected a list of strings, not [1]"),
        ("force-exclude = 1", "force-exclude: expected true or false, not 1"),
        ("exclude = true", "exclude: expected a list of strings, not true"),
        ('exclude = ["[z-a]"]', "exclude: '[z-a]' is no pattern"),
        (
            'min-severity = "eror"',
            "min-severity: expected one of info, warning, error, not 'eror'; did you mean 'error'?",
        ),
        ('stage = "overfitt"', "expected one of baseline, overfit, regularize, tune, not 'overfitt'"),
        ("stage = 2", "stage: expected one of baseline, overfit, regularize, tune, not 2"),
        ('output-format = "jsn"', "not 'jsn'; did you mean 'json'?"),
        ('per-file-ignores = ["NN2"]', "per-file-ignores: expected a table"),
        ('per-file-ignores = {"a" = ["NN7"]}', "per-file-ignores: unknown rule selector 'NN7'"),
        ("select = [", "not valid TOML"),
    ],
)
def test_errors_name_file_and_key(folder: Path, write: Write, text: str, message: str) -> None:
    file = write("nnlint.toml", text)
    with pytest.raises(ConfigError) as caught:
        Configuration().settings(folder)
    assert str(file) in str(caught.value)
    assert message in str(caught.value)


def test_errors_in_pyproject_name_the_table(folder: Path, write: Write) -> None:
    file = write("pyproject.toml", "[tool]\nnnlint = 3\n")
    with pytest.raises(ConfigError, match=r"tool\.nnlint: expected a table, not 3"):
        Configuration().settings(folder)
    file.write_bytes(b"[tool.nnlint]\n# \xff\n")
    with pytest.raises(ConfigError, match="cannot be read: it is not UTF-8"):
        Configuration().settings(folder)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Configuration(file=folder / "absent.toml")
