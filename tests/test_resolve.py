"""From findings to diagnostics, and from edits of nodes to edits of text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import libcst as cst
import pytest

from nnlint.diagnostic import Confidence, Diagnostic, Location, Severity, Span
from nnlint.experiment import Experiment, Plan, Watch, WatchedSpan
from nnlint.fix import fix_file
from nnlint.resolve import Script, resolve
from nnlint.rule import Edit, Finding, Fix, Note, Place, Rule, rule
from nnlint.source import Source
from nnlint.symbolic.trace import Trace

Kind = Literal["replace", "before", "after", "delete"]


@rule("NN204", severity=Severity.WARNING, since="0.1.0")
def clipped_loss(trace: Trace) -> Iterator[Finding]:
    """Stands in for a rule."""
    yield from ()


@rule("NN101", severity=Severity.ERROR, since="0.1.0")
def augmentation_without_label(trace: Trace) -> Iterator[Finding]:
    """Stands in for another."""
    yield from ()


def source(text: str, name: str = "/repo/train.py") -> Source:
    return Source(Path(name), text)


def named(read: Source, name: str) -> Place:
    """The first node that is the name ``name``."""
    found: list[cst.Name] = []

    class Find(cst.CSTVisitor):
        def visit_Name(self, node: cst.Name) -> None:  # noqa: N802
            if node.value == name:
                found.append(node)

    read.module.visit(Find())
    return Place(read, found[0])


def one(finding: Finding, of: Rule = clipped_loss) -> Diagnostic:
    (diagnostic,) = resolve([(of, finding)])
    return diagnostic


def edited(text: str, *edits: tuple[Kind, str, str]) -> str | None:
    """The text after edits around names in it; None if they cannot be written."""
    read = source(text)
    fix = Fix("mend", tuple(Edit(kind, named(read, name), new) for kind, name, new in edits), safe=True)
    diagnostic = one(Finding(named(read, edits[0][1]), "m", "w", "a", fix=fix))
    if diagnostic.fix is None:
        return None
    fixed = fix_file(read, [diagnostic], unsafe=False)
    assert fixed.applied, fixed.skipped
    return fixed.text


def test_a_finding_becomes_plain_data() -> None:
    read = source("import torch\n\ndef train():\n    loss = model(x)\n    loss.clamp()  # far\n")
    helper = source("def model(x): return x\n", "/repo/model.py")
    finding = Finding(
        named(read, "clamp"),
        "clipped",
        "nothing is learned",
        "clip gradients",
        notes=(Note(named(read, "model"), "computed here"), Note(named(helper, "x"), "comes in here")),
    )
    found = one(finding)
    assert found == Diagnostic(
        code="NN204",
        name="clipped-loss",
        message="clipped",
        why="nothing is learned",
        advice="clip gradients",
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        location=found.location,
        related=found.related,
        scope="train",
        text="loss.clamp()  # far",
    )
    assert found.location.span == Span(5, 10, 5, 15)
    assert [(each.message, Path(each.location.filename).name, each.location.span) for each in found.related] == [
        ("computed here", "train.py", Span(4, 12, 4, 17)),
        ("comes in here", "model.py", Span(1, 11, 1, 12)),
    ]


def test_severity_and_confidence_of_the_finding_win() -> None:
    read = source("x\n")
    found = one(Finding(named(read, "x"), "m", "w", "a", severity=Severity.INFO, confidence=Confidence.LOW))
    assert (found.severity, found.confidence) == (Severity.INFO, Confidence.LOW)


def test_order_is_by_place_and_doubles_are_dropped() -> None:
    read, earlier = source("a\nb\n"), source("c\n", "/repo/a.py")
    places = [named(read, "b"), named(read, "a"), named(read, "b"), named(earlier, "c")]
    findings = [
        (of, Finding(place, "m", "w", "a")) for place in places for of in (clipped_loss, augmentation_without_label)
    ]
    found = [(Path(each.location.filename).name, each.location.span.row, each.code) for each in resolve(findings)]
    assert found == [
        ("a.py", 1, "NN101"),
        ("a.py", 1, "NN204"),
        ("train.py", 1, "NN101"),
        ("train.py", 1, "NN204"),
        ("train.py", 2, "NN101"),
        ("train.py", 2, "NN204"),
    ]


def test_a_node_from_nowhere_is_named() -> None:
    with pytest.raises(LookupError, match=r"names a Name that is not in the tree of .*train\.py"):
        one(Finding(Place(source("x\n"), cst.Name("y")), "m", "w", "a"))


def test_relative_names_become_absolute() -> None:
    read = source("x\n", "train.py")
    assert one(Finding(named(read, "x"), "m", "w", "a")).location == Location(
        str(Path.cwd() / "train.py"), Span(1, 1, 1, 2)
    )


@pytest.mark.parametrize(
    ("text", "edit", "result"),
    [
        ("y = (x)  # c\n", ("replace", "x", "z + 1"), "y = (z + 1)  # c\n"),
        ("f(x)\r\n", ("replace", "x", "[\n1]"), "f([\r\n1])\r\n"),
        # before
        ("a\n# about x\nx  # c\nb\n", ("before", "x", "y()"), "a\n# about x\ny()\nx  # c\nb\n"),
        ("def f():\n\tif a:\n\t\tx\n", ("before", "x", "y()\nz()"), "def f():\n\tif a:\n\t\ty()\n\t\tz()\n\t\tx\n"),
        ("for a in x:\r\n    b\r\n", ("before", "x", "y"), "y\r\nfor a in x:\r\n    b\r\n"),
        ("@a\n# c\n@b\ndef x(): pass\n", ("before", "x", "y"), "y\n@a\n# c\n@b\ndef x(): pass\n"),
        ("f(\n    1,\n    x,\n)\n", ("before", "x", "if y:\n    z"), "if y:\n    z\nf(\n    1,\n    x,\n)\n"),
        ("if a:\n    b\nelse:\n    x\n", ("before", "x", "y"), "if a:\n    b\nelse:\n    y\n    x\n"),
        # after
        ("x  # c\nb\n", ("after", "x", "y"), "x  # c\ny\nb\n"),
        ("def f():\n    x", ("after", "x", "y\nz"), "def f():\n    x\n    y\n    z"),
        ("def f():\n    x\n", ("after", "x", "y"), "def f():\n    x\n    y\n"),
        ("for x in a:\n    b\n    # c\nd\n", ("after", "x", "y"), "for x in a:\n    b\ny\n    # c\nd\n"),
        ("x = '''\n1\n'''\r\n", ("after", "x", "y"), "x = '''\n1\n'''\r\ny\n"),
        # delete
        ("a\nx  # c\nb\n", ("delete", "x", ""), "a\nb\n"),
        ("a\nx", ("delete", "x", ""), "a\n"),
        ("x\n", ("delete", "x", ""), ""),
        ("def f():\n    x(\n    1)\nb\n", ("delete", "x", ""), "def f():\n    pass\nb\n"),
        ("def f():\n    x", ("delete", "x", ""), "def f():\n    pass"),
        ("def f():\n    a\n    x;\n", ("delete", "x", ""), "def f():\n    a\n"),
    ],
)
def test_edit(text: str, edit: tuple[Kind, str, str], result: str) -> None:
    assert edited(text, edit) == result


@pytest.mark.parametrize("kind", ["before", "after", "delete"])
@pytest.mark.parametrize(
    "text",
    [
        "if a: x\n",
        "def f(): x\n",
        "a; x\n",
        "x; a\n",
        "if a:\n    b\nelif x:\n    c\n",
        "def f():\n\x0c    x\n    y\n",
    ],
)
def test_statements_that_share_their_lines_are_left_alone(text: str, kind: Kind) -> None:
    assert edited(text, (kind, "x", "y")) is None


def test_one_impossible_edit_leaves_the_whole_fix_out() -> None:
    assert edited("y\nif a: x\n", ("replace", "y", "z"), ("delete", "x", "")) is None


def test_a_block_that_loses_all_its_statements_keeps_a_pass() -> None:
    text = "if a:\n    x()\n    y()\nb\n"
    assert edited(text, ("delete", "x", ""), ("delete", "y", "")) == "if a:\n    pass\nb\n"
    assert edited(text, ("delete", "y", ""), ("delete", "x", "")) == "if a:\n    pass\nb\n"


def test_edits_of_one_fix_meet() -> None:
    text = "def f():\n    x = g(y)\n    return x\n"
    result = edited(text, ("replace", "g", "h"), ("before", "y", "y = 1"), ("after", "y", "print(x)"))
    assert result == "def f():\n    y = 1\n    x = h(y)\n    print(x)\n    return x\n"


def test_an_experiment_becomes_a_plan_when_it_is_wanted() -> None:
    read = source("import torch\n\ndef train():\n    loss = model(x)\n    loss.clamp()\n")
    helper = source("class Net:\n    @staticmethod\n    def model(x): return x\n", "/repo/nets/model.py")
    (net,) = (node for node in helper.module.body if isinstance(node, cst.ClassDef))
    (model,) = (node for node in net.body.body if isinstance(node, cst.FunctionDef))
    edit = Edit("replace", named(read, "clamp"), "mean")
    experiment = Experiment(
        "differential",
        anchors=(named(read, "clamp"),),
        watches=(Watch("input", named(helper, "x"), instead=True),),
        settings={"bound": 1.0},
        mended=True,
    )
    finding = Finding(named(read, "clamp"), "m", "w", "a", fix=Fix("use the mean", (edit,)), experiment=experiment)
    assert one(finding).plan is None
    script = Script(Path("/repo/main.py"), Path("/repo"))
    (found,) = resolve([(clipped_loss, finding)], script)
    assert found == replace(one(finding), plan=found.plan)
    assert found.plan == Plan(
        "differential",
        filename="/repo/main.py",
        root="/repo",
        anchors=(Location("/repo/train.py", Span(5, 10, 5, 15)),),
        watches=(WatchedSpan("input", Location("/repo/nets/model.py", Span(3, 15, 3, 16)), instead=True),),
        settings={"bound": 1.0},
        mend=found.fix,
    )
    entered = replace(finding, experiment=replace(experiment, entry=Place(helper, model), mended=False))
    (found,) = resolve([(clipped_loss, entered)], script)
    assert found.plan is not None
    assert (found.plan.filename, found.plan.entry, found.plan.mend) == ("/repo/nets/model.py", "Net.model", None)


def test_only_a_definition_can_be_entered() -> None:
    read = source("x\n")
    experiment = Experiment("differential", entry=named(read, "x"))
    finding = Finding(named(read, "x"), "m", "w", "a", experiment=experiment)
    with pytest.raises(LookupError, match="enters a Name"):
        resolve([(clipped_loss, finding)], Script(Path("/repo/train.py"), Path("/repo")))
