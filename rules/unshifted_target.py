"""NN216: a next-token model that is trained on the token it is given, or on one too far ahead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import libcst as cst

from nnlint.diagnostic import Confidence, Severity
from nnlint.evidence.at_the_loss import at_the_loss
from nnlint.evidence.loss_calls import ROOTS, LossCall, loss_calls
from nnlint.evidence.provenance import everything, operation_of, walk_back
from nnlint.evidence.windows import Window, bare, distance, length, same_tensor, window_of
from nnlint.rule import Finding, Note, Place, rule
from nnlint.symbolic.trace import Backward, Forward, Return, Store
from nnlint.symbolic.values import Choice, Object, Origin, Unknown, Value
from nnlint.symbolic.words import below

if TYPE_CHECKING:
    from nnlint.experiment import Experiment
    from nnlint.symbolic.trace import Run, Trace

CAUSAL_CLASSES = ("ForCausalLM", "LMHeadModel")
"""What the names of their classes end with."""

CAUSAL = re.compile(r"^transformers\.(\w+\.)*\w*(ForCausalLM|LMHeadModel)(\.from_\w+)?$")
"""Language models that shift their labels by themselves."""

WRAPPERS = frozenset(["peft.get_peft_model", "torch.compile", "peft.prepare_model_for_kbit_training"])

RECURRENT = frozenset(["torch.nn.LSTM", "torch.nn.GRU", "torch.nn.RNN"])
POSITIONWISE = frozenset(
    "view reshape flatten contiguous squeeze unsqueeze transpose permute t Linear Dropout dropout ReLU relu tanh Tanh "
    "LayerNorm log_softmax LogSoftmax to cuda cpu float Variable".split()
)
"""Operations after which a position still belongs to its own token."""

MOST = 60
FARTHEST = 40


@rule(
    "NN216",
    severity=Severity.ERROR,
    since="0.1.0",
    mentions=(*CAUSAL_CLASSES, "Embedding", ".backward("),
    requires=("labels", "cross_entropy", "CrossEntropyLoss", "nll_loss", "NLLLoss"),
    roots=(*CAUSAL_CLASSES, "^labels$", *ROOTS),
)
def unshifted_target(trace: Trace) -> Iterator[Finding]:
    """A language model trained on the very token it is given, or on one further ahead than the next.

    ## Why it matters
    A model that predicts the next token is given a sequence and compared with the sequence one step on. Without the
    shift it learns to copy: the loss falls to zero in no time and the samples are nonsense. The causal language models
    of transformers shift the labels by themselves, so that `labels=input_ids` is right for them, and labels that were
    shifted by hand are shifted twice: the model then learns to predict the token after the next. Karpathy lists the
    broken autoregressive objective with the bugs that a look at the dependencies finds: a model that is given the
    future by accident "works".

    ## Example
    ```python
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained("gpt2")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    tokens = torch.randint(50257, (8, 128))
    for step in range(100):
        loss = model(input_ids=tokens[:, :-1], labels=tokens[:, 1:]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## Use instead
    ```python
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained("gpt2")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    tokens = torch.randint(50257, (8, 128))
    for step in range(100):
        loss = model(input_ids=tokens, labels=tokens).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ```

    ## How it is confirmed
    By dependency: the script or function is run as far as a loss computed by hand, and again with one token changed on
    its way into the model. Confirmed, if the first output that moves is compared with the very token that was changed,
    or with one further ahead than the next; refuted, if it is compared with the next. It abstains where the lines
    cannot be run. For labels that a model of transformers shifts there is no experiment.

    ## When it stays silent
    - Masked language models, and encoders with a decoder of their own input.
    - The shift is made in the loss, in the dataset, or in the model, or it is not known where the targets come from.
    - The outputs do not belong to single positions (a last state, a mean, a bottleneck).
    """
    seen: set[int] = set()
    for mistake in (*shifted_twice(trace), *given_shifted(trace), *not_next(trace)):
        if id(mistake.place.node) not in seen:
            seen.add(id(mistake.place.node))
            yield describe(mistake)


@dataclass(frozen=True, slots=True, eq=False)
class Mistake:
    """A target that lies ``ahead`` tokens ahead of its input in the end; ``again`` is the model that shifts it too."""

    place: Place
    ahead: int
    notes: tuple[Note, ...]
    again: str = ""
    confidence: Confidence = Confidence.HIGH
    experiment: Experiment | None = None


# --- labels of causal language models --------------------------------------------------------------------------------


def shifted_twice(trace: Trace) -> Iterator[Mistake]:
    """Labels shifted by hand that are given to a model which shifts them too."""
    for run in trace.runs:
        for origin in causal_calls(run):
            given = arguments_of(origin)
            tokens, labels = given.get("input_ids", given.get("")), given.get("labels")
            if tokens is None or labels is None:
                continue
            target = window_of(labels)
            ahead = distance(window_of(tokens), target)
            if ahead is not None and ahead > 0 and target.origin is not None:
                yield Mistake(
                    Place(target.origin.source, target.origin.node),
                    ahead + 1,
                    (Note(Place(origin.source, origin.node), "the model shifts them once more"),),
                    name_of_model(origin.inputs[0]),
                )


def given_shifted(trace: Trace) -> Iterator[Mistake]:
    """Batches whose labels were shifted by hand, given whole (``**batch``) to a model which shifts them too."""
    calls = [origin for run in trace.runs for origin in causal_calls(run) if is_given_whole(origin)]
    if not calls or "labels" not in trace.source.text:
        return
    for node in shifted_labels(trace.source.module):
        note = Note(Place(calls[0].source, calls[0].node), "the model shifts them once more")
        yield Mistake(Place(trace.source, node), 2, (note,), name_of_model(calls[0].inputs[0]), Confidence.MEDIUM)


def causal_calls(run: Run) -> Iterator[Origin]:
    """The calls of causal language models that a loss comes from."""
    seen: set[int] = set()
    sources = {event.place.source for event in run.events}
    if not any(each in source.text for source in sources for each in CAUSAL_CLASSES):
        return
    for event in islice((event for event in run.events if isinstance(event, Backward | Return)), MOST):
        value = event.loss if isinstance(event, Backward) else event.value
        for part in walk_back(value, everything):
            origin = part.value.origin
            if origin is None or origin.op != "call" or id(origin.node) in seen or not origin.inputs:
                continue
            if causal_path(origin.inputs[0]):
                seen.add(id(origin.node))
                yield origin


def causal_path(model: Value) -> str:
    """The class of a causal language model of transformers, empty for anything else."""
    for _ in range(6):
        if isinstance(model, Choice):
            model = model.yes
            continue
        if isinstance(model, Object):
            return model.path if CAUSAL.match(model.path) else ""
        origin = model.origin
        if origin is None:
            return ""
        if origin.op not in WRAPPERS or not origin.inputs:
            return origin.op if CAUSAL.match(origin.op) else ""
        model = origin.inputs[0]
    return ""


def name_of_model(model: Value) -> str:
    """What the class of a model is called."""
    path = causal_path(model)
    return next(part for part in path.split(".")[1:] if part[:1].isupper())


def arguments_of(origin: Origin) -> dict[str, Value]:
    """The arguments of a call by name, the first one by position as the empty name; none if any are unpacked."""
    node = origin.node
    if not isinstance(node, cst.Call) or any(argument.star for argument in node.args):
        return {}
    values = list(origin.inputs[1:])
    by_position = [argument for argument in node.args if argument.keyword is None]
    by_name = [argument.keyword.value for argument in node.args if argument.keyword is not None]
    if len(values) != len(by_position) + len(by_name):
        return {}
    found = dict(zip(by_name, values[len(by_position) :], strict=True))
    return {"": values[0], **found} if by_position else found


def is_given_whole(origin: Origin) -> bool:
    """Whether a call is given a dict of arguments, with the labels in it."""
    node = origin.node
    if not isinstance(node, cst.Call) or not any(argument.star == "**" for argument in node.args):
        return False
    return all(argument.keyword is None or argument.keyword.value != "labels" for argument in node.args)


def shifted_labels(tree: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Where ``labels`` are cut one token later than the ``input_ids`` of the same batch."""
    assigned: dict[str, list[tuple[cst.BaseExpression, cst.CSTNode]]] = {}
    for node in below(tree):
        if isinstance(node, cst.Assign) and len(node.targets) == 1:
            target = node.targets[0].target
            if isinstance(target, cst.Subscript) and len(target.slice) == 1:
                key = target.slice[0].slice
                if isinstance(key, cst.Index):
                    assigned.setdefault(_text(key.value), []).append((target.value, node.value))
        elif isinstance(node, cst.Dict):
            items = {_text(item.key): item.value for item in node.elements if isinstance(item, cst.DictElement)}
            if "labels" in items and "input_ids" in items and _is_next(items["input_ids"], items["labels"]):
                yield items["labels"]
    for holder, labels in assigned.get("labels", []):
        for other, tokens in assigned.get("input_ids", []):
            if holder.deep_equals(other) and isinstance(tokens, cst.BaseExpression) and _is_next(tokens, labels):
                yield labels


def _text(node: cst.BaseExpression) -> str:
    return str(node.evaluated_value) if isinstance(node, cst.SimpleString) else ""


def _is_next(tokens: cst.CSTNode, labels: cst.CSTNode) -> bool:
    """Whether the one is ``x[:, :-1]`` and the other ``x[:, 1:]``."""
    first, second = _cut(tokens), _cut(labels)
    if first is None or second is None or not first[0].deep_equals(second[0]):
        return False
    return first[1] in ("", "0") and second[1] == "1"


def _cut(node: cst.CSTNode) -> tuple[cst.BaseExpression, str] | None:
    """What the last slice of a subscript is taken of, and its lower bound."""
    while isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
        node = node.func.value  # .clone(), .contiguous()
    if not isinstance(node, cst.Subscript) or not isinstance(node.slice[-1].slice, cst.Slice):
        return None
    lower = node.slice[-1].slice.lower
    return node.value, "" if lower is None else getattr(lower, "value", "?")


# --- losses by hand --------------------------------------------------------------------------------------------------


def not_next(trace: Trace) -> Iterator[Mistake]:
    """Losses of the outputs at each token and a token that is not the next one."""
    for call in loss_calls(trace, frozenset({"cross_entropy", "nll_loss"})):
        if call.target is None:
            continue
        tokens = tokens_of(call.prediction)
        if tokens is None:
            continue
        source, target = window_of(tokens), window_of(call.target)
        ahead = distance(source, target)
        if ahead is None or ahead == 1 or ahead < 0 or is_written_to(call.run, source, target):
            continue
        if ahead not in (0, 2) and ahead != length(source):
            continue
        place = call.argument(1, "target") or call.place
        if target.origin is not None:
            place = Place(target.origin.source, target.origin.node)
        notes: tuple[Note, ...] = (Note(call.place, f"`{call.name}` compares the output at each token with it"),)
        if source.origin is not None:
            notes = (Note(Place(source.origin.source, source.origin.node), "the model is given these tokens"), *notes)
        yield Mistake(place, ahead, notes, experiment=experiment(call, tokens))


def tokens_of(prediction: Value) -> Value | None:
    """The tokens that outputs belong to, position by position; None if they do not, or nobody can tell."""
    value, recurrent = prediction, False
    for _ in range(FARTHEST):
        if isinstance(value, Choice):
            value = value.yes
            continue
        origin = value.origin
        if origin is None or not origin.inputs:
            return None
        if origin.op == "torch.nn.Embedding":
            return origin.inputs[0] if recurrent else None
        if origin.op == "getattr" and isinstance(value, Unknown) and value.name == "logits":
            return _tokens_of_model(origin.inputs[0])
        if origin.op == "getitem":
            cut = window_of(value)
            if cut.origin is None or cut.lower is not None:
                return None
        elif origin.op not in RECURRENT and operation_of(origin) not in POSITIONWISE:
            return None
        recurrent = recurrent or origin.op in RECURRENT
        value = origin.inputs[0]
    return None


def _tokens_of_model(output: Value) -> Value | None:
    """The tokens that a causal language model was given."""
    origin = output.origin
    if origin is None or origin.op != "call" or not origin.inputs or not causal_path(origin.inputs[0]):
        return None
    given = arguments_of(origin)
    return given.get("input_ids", given.get(""))


def is_written_to(run: Run, *windows: Window) -> bool:
    """Whether tokens are masked or replaced in place."""
    return any(same_tensor(bare(event.target), window.base) for event in run.of(Store) for window in windows)


def experiment(call: LossCall, tokens: Value) -> Experiment | None:
    """The lines as far as the loss, to see which output belongs to which token; None if the model is out of sight."""
    given = [
        Place(event.place.source, event.place.node.args[0].value)
        for event in call.run.of(Forward)
        if isinstance(event.place.node, cst.Call)
        and event.place.node.args
        and event.arguments.positional
        and event.arguments.positional[0] is tokens
    ]
    prediction, target = call.argument(0, "input"), call.argument(1, "target")
    if not given or prediction is None or target is None:
        return None
    watches = {"tokens": given[-1], "prediction": prediction, "target": target}
    return at_the_loss("next_token", call.run, call.event, call.place, watches, {}, mended=False)


# --- what is said ----------------------------------------------------------------------------------------------------


def describe(mistake: Mistake) -> Finding:
    """The finding in words."""
    if mistake.again:
        return Finding(
            mistake.place,
            f"the labels are shifted here, and `{mistake.again}` shifts them again",
            f"the model learns to predict the token {mistake.ahead} ahead instead of the next",
            "give the same tokens as `input_ids` and as `labels`",
            mistake.notes,
            None,
            None,
            mistake.confidence,
        )
    if mistake.ahead == 0:
        message = "the target is the token that the model is given, not the next one"
        why = "the model learns to copy its input, with a loss that falls to zero"
    else:
        message = f"the target lies {mistake.ahead} tokens ahead of what the model is given, not one"
        why = "the model never learns which token comes next"
    return Finding(
        mistake.place,
        message,
        why,
        "compare the output at each token with the token one further: `tokens[:, :-1]` in, `tokens[:, 1:]` as target",
        mistake.notes,
        None,
        None if mistake.ahead == 0 else Severity.WARNING,
        mistake.confidence,
        mistake.experiment,
    )
