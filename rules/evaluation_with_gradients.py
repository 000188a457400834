"""NN213: an evaluation that records graphs for a backward pass which never comes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.evaluation import Evaluation, calls_elsewhere, evaluations
from nnlint.evidence.protocol import protocol
from nnlint.evidence.requirements import asks_for, is_older
from nnlint.rule import Edit, Finding, Fix, Note, Place, rule
from nnlint.symbolic.trace import Forward
from nnlint.symbolic.values import Function
from nnlint.symbolic.words import below

if TYPE_CHECKING:
    from nnlint.symbolic.trace import Trace

NEEDED = re.compile(
    r"\bautograd\b|\.grad\b|requires_grad|\bbackward\b|attack|advers|fgsm|\bpgd\b|jacobian|hessian|grad_?cam|salien|"
    r"\bvjp\b|\bjvp\b|torch\.func|functorch|higher|maml|langevin|captum|gradient"
)
"""Words of evaluations that need gradients."""

SWITCHES = re.compile(r"no_grad|inference_mode|set_grad_enabled|enable_grad")
"""What turns the recording off."""

FROZEN = re.compile(r"requires_grad_\(\s*False|\.requires_grad\s*=\s*False|requires_grad=False")
"""How all parameters are frozen, so that nothing is recorded."""


IGNORES_VOLATILE = (0, 4)
"""From this version of torch on a ``volatile`` input turns nothing off: ``torch.no_grad`` has taken its place."""

NUMBER_OF_OLD = re.compile(r"\.data\[0\]")
"""How the number in a loss was read before torch 0.4; soon after it became an error."""


@rule(
    "NN213",
    severity=Severity.WARNING,
    since="0.1.0",
    mentions=(".eval(", "oader", "def test(", "def val", "def eval"),
    requires=("torch",),
    roots=(
        "^eval$",
        r"^(run_|do_)?(validate?|evaluate|eval|validation)(_|$)",
        # Not every test_something: those of a test suite test something else.
        r"^(run_|do_)?test(_(all|batch|data|epoch|loop|model|net|network|one|phase|set|step)\w*)?$",
        "_(validate|test|evaluate|eval)$",
    ),
)
def evaluation_with_gradients(trace: Trace) -> Iterator[Finding]:
    """An evaluation outside of `torch.no_grad()`: it records a graph of every batch for no backward pass.

    ## Why it matters
    Where autograd records, every operation keeps what it would need to compute gradients. In an evaluation nobody asks
    for them: memory goes into activations that are thrown away (several times that of the forward pass alone), and the
    batch size of the evaluation, or the model, has to be smaller than it could be. What is collected over the batches
    keeps their graphs alive as well. Karpathy's recipe puts the training and evaluation skeleton first, to gain trust
    in it; `eval()` is half of the evaluation, and does not turn gradients off. (`torch.no_grad` since 0.4.)

    ## Example
    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms


    def test(model, loader):
        model.eval()
        correct = 0
        for images, labels in loader:
            correct += (model(images).argmax(1) == labels).sum().item()
        return correct / len(loader.dataset)


    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    model.load_state_dict(torch.load("model.pt"))
    images = datasets.MNIST("data", train=False, transform=transforms.ToTensor())
    print(test(model, DataLoader(images, batch_size=256)))
    ```

    ## Use instead
    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms


    @torch.no_grad()
    def test(model, loader):
        model.eval()
        correct = 0
        for images, labels in loader:
            correct += (model(images).argmax(1) == labels).sum().item()
        return correct / len(loader.dataset)


    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    model.load_state_dict(torch.load("model.pt"))
    images = datasets.MNIST("data", train=False, transform=transforms.ToTensor())
    print(test(model, DataLoader(images, batch_size=256)))
    ```

    ## How it is confirmed
    By protocol: a few batches of the script's own evaluation are run, and it is written down for each forward pass of
    the model whether autograd records and whether the output has a graph. Confirmed, if all of them leave one and no
    backward pass goes through them; refuted, if autograd does not record, or nothing in the model wants a gradient. It
    abstains where the model is not reached, or only some of the passes leave a graph.

    ## When it stays silent
    - Recording is turned off: around the loop, at the call site, by a decorator, by `set_grad_enabled(phase ==
      "train")`, in the model, or by a context manager that may do it and cannot be followed.
    - The gradients are needed: adversarial examples, saliency maps, a gradient penalty, forces, meta-learning.
    - All parameters are frozen.
    - The inputs are `volatile`, and the project asks for a torch below 0.4, in its `requirements.txt`,
      `pyproject.toml`, `setup.py` or `environment.yml`, or says no version and reads losses as they were read there
      (`loss.data[0]`). Since 0.4 `volatile` has no effect, and such an evaluation is reported.
    - Nobody can tell whether it is an evaluation: neither the data nor the mode of the model says so.
    - A function that nothing in its file calls is called, in another file of the repository, where recording is turned
      off.
    - A framework does it (Lightning, ignite, transformers' Trainer).
    """
    reported: set[int] = set()
    for evaluation in evaluations(trace):
        if (
            records(evaluation)
            and is_about_torch(evaluation)
            and not needs_gradients(evaluation)
            and not is_turned_off_elsewhere(evaluation)
        ):
            finding = describe(evaluation)
            places = {id(finding.place.node)}
            if evaluation.loop is None:
                places.add(around(evaluation))
            if not places & reported:
                reported |= places
                yield finding


def around(evaluation: Evaluation) -> int:
    """The identity of the innermost loop, or the function, or the file that an evaluation without batches lies in."""
    loops = evaluation.forward.context.loops
    if loops:
        return id(loops[-1].node)
    return id(evaluation.trace.source if evaluation.function is None else evaluation.function.node)


def records(evaluation: Evaluation) -> bool:
    """Whether autograd surely records in the evaluation."""
    return all(forward.context.recording is True for forward in evaluation.forwards)


def is_about_torch(evaluation: Evaluation) -> bool:
    """Whether what is run, or the model, speaks of torch: models of other libraries record nothing until told to."""
    sources = (evaluation.forward.place.source, *(source for source, _ in evaluation.scopes))
    return any("torch" in source.text for source in sources)


def needs_gradients(evaluation: Evaluation) -> bool:
    """Whether the code of the evaluation, or of the model, has to do with gradients in any way."""
    sources = {id(source): source for source, _ in evaluation.scopes}
    sources[id(evaluation.trace.source)] = evaluation.trace.source
    texts = [source.text for source in sources.values()]
    if any("volatile" in text for text in texts) and is_for_old_torch(evaluation.trace, texts):
        return True
    for pattern in (NEEDED, SWITCHES):
        # Writing out what is run takes longer than a look at the whole files.
        if any(map(pattern.search, texts)) and pattern.search(evaluation.text):
            return True
    return not evaluation.is_trained and any(FROZEN.search(text) for text in texts)


def is_for_old_torch(trace: Trace, texts: list[str]) -> bool:
    """Whether the code is for a torch in which ``volatile`` inputs turned the recording off."""
    if is_older(trace.root, "torch", IGNORES_VOLATILE):
        return True
    return not asks_for(trace.root, "torch", IGNORES_VOLATILE) and any(map(NUMBER_OF_OLD.search, texts))


def is_turned_off_elsewhere(evaluation: Evaluation) -> bool:
    """Whether the function that the reading began with may be called where recording is turned off."""
    if evaluation.run.script:
        return False
    name = evaluation.run.root.rpartition(".")[2]
    return any(SWITCHES.search(text) for text in calls_elsewhere(evaluation.trace, name))


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(evaluation: Evaluation) -> Finding:
    """The finding in words."""
    evaluator, forward = whole(evaluation.evaluator), evaluation.forward
    notes = [Note(forward.place, "the model is called here, and autograd records")]
    if evaluator is not None and isinstance(evaluator.node, cst.FunctionDef):
        place = Place(evaluator.frame.module.source, evaluator.node.name)
        what = f"`{evaluator.name}` evaluates the model outside of `torch.no_grad()`"
        advice = f"decorate `{evaluator.name}` with `@torch.no_grad()`, or put `with torch.no_grad():` around the loop"
    elif evaluation.eval_call is not None and not is_one_of_several(evaluation):
        place = evaluation.eval_call.place
        what = "the evaluation that begins here is not inside of `torch.no_grad()`"
        advice = "put what is evaluated into `with torch.no_grad():`"
    elif evaluation.loop is not None and isinstance(evaluation.loop.node, cst.For):
        place = Place(evaluation.loop.source, evaluation.loop.node.iter)
        what = "the model is evaluated in this loop outside of `torch.no_grad()`"
        advice = "put the loop into `with torch.no_grad():`"
    else:
        place, notes = forward.place, []
        what = "the model is evaluated outside of `torch.no_grad()`"
        advice = "put what is evaluated into `with torch.no_grad():`"
    notes[:0] = [Note(each, "`volatile` has no effect since torch 0.4") for each in volatile_arguments(evaluation)[:1]]
    if evaluation.loop is not None and isinstance(evaluation.loop.node, cst.For):
        over = Place(evaluation.loop.source, evaluation.loop.node.iter)
        if over.node is not place.node:
            notes.insert(0, Note(over, f"the loop goes over {data(evaluation)}, and nothing is learned in it"))
    return Finding(
        place,
        what,
        "autograd keeps the activations of each batch for a backward pass that never comes: several times the memory",
        advice,
        tuple(notes),
        fix(evaluator),
        confidence=confidence(evaluation),
        experiment=partial(protocol, evaluation.run, "recorded-evaluation", accused=forward.place, around=forward),
    )


def volatile_arguments(evaluation: Evaluation) -> list[Place]:
    """Where the evaluation asks for ``volatile`` inputs."""
    if "volatile" not in evaluation.text:
        return []
    return [
        Place(source, node)
        for source, scope in evaluation.scopes
        for node in below(scope)
        if isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value == "volatile"
    ]


def is_one_of_several(evaluation: Evaluation) -> bool:
    """Whether the function also calls a model where nothing is recorded."""
    return any(
        isinstance(event, Forward)
        and event.context.recording is False
        and event.context.calls
        and event.context.calls[-1].function is evaluation.function
        for event in evaluation.run.events
    )


def whole(evaluator: Function | None) -> Function | None:
    """The function that evaluates, if it turns the recording off nowhere: where it does, one of its loops is amiss."""
    if evaluator is None:
        return None
    code = evaluator.frame.module.source.module.code_for_node(evaluator.node)
    return None if SWITCHES.search(re.sub(r"#.*", "", code)) else evaluator


def data(evaluation: Evaluation) -> str:
    """What the evaluation goes over."""
    split = evaluation.split
    return f"{split.role} data" if split is not None and evaluation.is_over_evaluation_data else "data"


def confidence(evaluation: Evaluation) -> Confidence:
    """How surely it is an evaluation that nobody calls under ``no_grad``."""
    known = evaluation.split is not None and evaluation.split.confidence > Confidence.LOW
    evaluating = evaluation.forward.training is False or known
    if evaluation.run.script and evaluating:
        return Confidence.HIGH
    return Confidence.MEDIUM if evaluating or evaluation.evaluator is not None else Confidence.LOW


def fix(evaluator: Function | None) -> Fix | None:
    """The decorator, where the file has imported torch by its name."""
    if evaluator is None or not isinstance(evaluator.node, cst.FunctionDef):
        return None
    source = evaluator.frame.module.source
    if not re.search(r"^import torch$", source.text, re.MULTILINE):
        return None
    return Fix("decorate it with no_grad", (Edit("before", Place(source, evaluator.node), "@torch.no_grad()"),))
