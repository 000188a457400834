"""What prepares data and takes numbers or words from them: the transformers of scikit-learn, vocabularies."""

from __future__ import annotations

from nnlint.symbolic.call import Call, Handler
from nnlint.symbolic.trace import BuildVocabulary
from nnlint.symbolic.values import Object, Unknown, Value

FITTED = "fit()"
"""The attribute in which a transformer keeps what it was fitted to last; no script can ask for it."""


def _fit(call: Call) -> Value:
    """``scaler.fit(samples)`` gives the scaler back, which remembers the samples."""
    receiver = call.receiver
    if not isinstance(receiver, Object) or not receiver.path.startswith("sklearn."):
        return call.unknown()
    call.executor.put(receiver.attributes, FITTED, Unknown(origin=call.origin()))
    return receiver


def _transform(call: Call) -> Value:
    """``scaler.transform(samples)`` is also made of the samples that the scaler was fitted to."""
    receiver = call.receiver
    fitted = receiver.attributes.get(FITTED) if isinstance(receiver, Object) else None
    return call.unknown() if fitted is None else call.unknown(*call.inputs, fitted)


def _build_vocabulary(call: Call) -> Value:
    """``field.build_vocab(train, test)`` of torchtext."""
    receiver = call.receiver
    if isinstance(receiver, Object) and receiver.path.startswith("torchtext."):
        call.emit(BuildVocabulary, arguments=call.arguments)
    return call.unknown()


OBJECT_METHODS: dict[tuple[str, str], Handler] = {
    ("", "fit"): _fit,
    ("", "transform"): _transform,
    ("", "build_vocab"): _build_vocabulary,
}
