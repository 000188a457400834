import pytest

from nnlint.rule import Rule
from nnlint.selection import Selection, UnknownSelector, expand, select_rules

DEFAULT = {"NN000", "NN001", "NN101", "NN203", "NN204"}
ALL = {*DEFAULT, "NN601"}


@pytest.mark.parametrize(
    ("layers", "codes"),
    [
        ([], DEFAULT),
        ([Selection(select=("ALL",))], ALL),
        ([Selection(select=("nn2", "Clipped-Loss"))], {"NN203", "NN204"}),
        ([Selection(select=())], set()),
        ([Selection(extend_select=("NN6",))], ALL),
        ([Selection(ignore=("NN2",))], DEFAULT - {"NN203", "NN204"}),
        ([Selection(select=("NN2",), ignore=("NN204",))], {"NN203"}),
        ([Selection(select=("NN204",), ignore=("NN2",))], {"NN204"}),
        ([Selection(select=("NN204",), ignore=("clipped-loss",))], set()),
        ([Selection(select=("NN2",)), Selection(select=("NN6",))], {"NN601"}),
        ([Selection(ignore=("NN204",)), Selection(select=("NN2",))], {"NN203"}),
        ([Selection(ignore=("NN2",)), Selection(select=("NN204",))], {"NN204"}),
        ([Selection(ignore=("NN204",)), Selection(select=("NN204",))], {"NN204"}),
        ([Selection(ignore=("NN204",)), Selection(extend_select=("NN204",))], DEFAULT),
        ([Selection(select=("NN204",)), Selection(ignore=("ALL",))], set()),
    ],
)
def test_layers(stub_rules: dict[str, Rule], layers: list[Selection], codes: set[str]) -> None:
    assert select_rules(layers, stub_rules).codes == codes


@pytest.mark.parametrize(
    ("stage", "layers", "codes"),
    [
        ("baseline", [], DEFAULT),
        ("baseline", [Selection(select=("ALL",))], DEFAULT),
        ("baseline", [Selection(select=("NN",))], DEFAULT),
        ("overfit", [Selection(select=("ALL",))], DEFAULT),
        ("regularize", [Selection(select=("ALL",))], DEFAULT),
        ("tune", [Selection(select=("ALL",))], ALL),
        (None, [Selection(select=("ALL",))], ALL),
        ("baseline", [Selection(extend_select=("NN601",))], ALL),
        ("baseline", [Selection(extend_select=("hasty-early-stopping",))], ALL),
        ("baseline", [Selection(select=("NN6",))], {"NN601"}),
        ("baseline", [Selection(select=("NN6",)), Selection(select=("ALL",))], DEFAULT),
        ("baseline", [Selection(extend_select=("NN6",)), Selection(ignore=("NN6",))], DEFAULT),
    ],
)
def test_a_stage_leaves_out_what_comes_after_it(
    stub_rules: dict[str, Rule], stage: str | None, layers: list[Selection], codes: set[str]
) -> None:
    assert select_rules(layers, stub_rules, stage).codes == codes


def test_only_what_was_named_is_asked_for(stub_rules: dict[str, Rule]) -> None:
    selected = select_rules([Selection(extend_select=("NN6", "NN204"), ignore=("NN204",))], stub_rules)
    assert selected.asked == {"NN601"}


@pytest.mark.parametrize(
    ("selector", "hint"),
    [
        ("NN299", "did you mean 'NN2"),
        ("cliped-loss", "did you mean 'clipped-loss'?"),
        ("al", "did you mean 'ALL'?"),
        ("E501", "unknown rule selector 'E501'"),
        ("NN2040", "did you mean 'NN204'?"),
    ],
)
def test_unknown_selectors_suggest(stub_rules: dict[str, Rule], selector: str, hint: str) -> None:
    with pytest.raises(UnknownSelector) as caught:
        expand(selector, stub_rules)
    assert hint in str(caught.value)
