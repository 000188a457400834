"""Frameworks that run the training loop themselves: Lightning, transformers, accelerate, ignite, fastai."""

from __future__ import annotations

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.trace import Fit
from nnlint.symbolic.values import Const, Value

KINDS: dict[str, str] = {
    "pytorch_lightning.Trainer": "trainer",
    "transformers.Trainer": "trainer",
    "transformers.Seq2SeqTrainer": "trainer",
}


def _fit(call: Call) -> Value:
    assert call.receiver is not None
    call.emit(Fit, trainer=call.receiver, framework=getattr(call.receiver, "path", "").partition(".")[0])
    return Const(None)


OBJECT_METHODS: dict[tuple[str, str], Handler] = {
    ("trainer", "fit"): _fit,
    ("trainer", "train"): _fit,
}
