"""Whether what a bundle says of itself fits together: labels and outputs, levels, ranges, preparation, last operator.

A bundle in which they do not would be loaded, and then give no verdict for any frame, or a wrong one. So it is refused
when it is written, and whenever it is read.
"""

from __future__ import annotations

from math import prod

from insitu.errors import ModelError
from insitu.models.manifest import NAME, Manifest, Numbers
from insitu.models.preparing import digest
from insitu.models.wire import Graph

FLOATS = ("float32", "float64")
TAKEN = {
    "classification": ("margin", "outside"),
    "multilabel": ("margin", "outside"),
    "regression": ("outside",),
}
"""Keys that the extractor gives beside those of the labels."""
PASSING = frozenset({"Identity", "Cast", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose"})
"""Operators that leave scores what they are."""
SCORES = {"classification": ("Softmax", "Sigmoid"), "multilabel": ("Sigmoid", "Softmax")}


def check(m: Manifest) -> None:
    """Of the manifest alone. Raises `ModelError` with the key."""
    _check_preparation(m)
    _check_input(m)
    _check_outputs(m)
    _check_counts(m)
    taken = [label for label, key in zip(m.labels, m.keys, strict=True) if key in TAKEN.get(m.task, ())]
    if taken:
        raise _wrong("labels", f"the label {taken[0]!r}", "another word: features of that name are given anyway")


def check_logits(m: Manifest, graph: Graph) -> None:
    """Scores are made of logits here, with the temperature: a network that makes them itself would be given it twice.
    Raises `ModelError`."""
    made_by = {name: node for node in graph.nodes for name in node.outputs}
    node = made_by.get(graph.outputs[0].name)
    while node is not None and node.op in PASSING and node.inputs:
        node = made_by.get(node.inputs[0])
    if node is not None and node.op in SCORES.get(m.task, ()):
        raise ModelError(
            f"the network ends in {node.op}, so it gives scores", where="model.onnx",
            expected="logits: what comes before that",
            remedy=f"Export the network without its last {node.op}; insitu applies it, with the manifest's temperature",
        )  # fmt: skip


def _check_preparation(m: Manifest) -> None:
    p = m.preparation
    if p.digest != digest(p.name, p.params):
        raise ModelError(
            f"the network was trained with another {p.name!r} than this insitu has, or with other parameters",
            where=f"{NAME}: preparation.digest", expected=digest(p.name, p.params),
            remedy="Train it anew, or use the version of insitu that it was made for",
        )  # fmt: skip
    keys = p.params.get("keys")
    if p.name == "features" and (not isinstance(keys, list | tuple) or m.inputs.shape[1:] != (len(keys),)):
        shown = f"{len(keys)} keys" if isinstance(keys, list | tuple) else "no keys"
        raise _wrong("inputs.shape", f"{list(m.inputs.shape)}, and {shown} to fill it", "(batch, one for each key)")


def _check_input(m: Manifest) -> None:
    if m.inputs.dtype != "float32":
        remedy = "Put a Cast first into the network, or export it in float32"
        raise _wrong("inputs.dtype", m.inputs.dtype, "float32, which preparations give", remedy)
    if len(m.inputs.shape) < 2 or m.inputs.shape[0] not in (None, 1):
        raise _wrong("inputs.shape", f"{list(m.inputs.shape)}", "the batch first: null, or 1 where it takes no batch")
    if m.task == "segmentation" and len(m.inputs.shape) != 4:
        raise _wrong("inputs.shape", f"{list(m.inputs.shape)} for a segmentation", "(batch, channel, y, x)")


def _check_outputs(m: Manifest) -> None:
    """What the verdict is made of: one number for each label and frame."""
    used = m.outputs[: 2 if m.task == "regression" else 1]
    for i, tensor in enumerate(used):
        shape = tensor.shape[1:] if tensor.shape[0] in (None, 1) else tensor.shape
        where = f"outputs[{i}]"
        if tensor.dtype not in FLOATS:
            remedy = "Give the network's scores (logits) as its first output, and classes behind them or not at all"
            raise _wrong(f"{where}.dtype", tensor.dtype, " or ".join(FLOATS), remedy)
        if m.inputs.shape[0] is None and tensor.shape[0] is not None:
            raise _wrong(f"{where}.shape", f"{list(tensor.shape)}", "null first: the batch, as the input has it")
        if m.task == "segmentation":
            if len(shape) != 3 or shape != (len(m.labels), *m.inputs.shape[2:]):
                wanted = [None, len(m.labels), *m.inputs.shape[2:]]
                raise _wrong(f"{where}.shape", f"{list(tensor.shape)}", f"{wanted}: a plane for each label")
        elif m.task == "anomaly":
            if prod(n or 1 for n in shape) != 1 and shape != m.inputs.shape[1:]:
                raise _wrong(f"{where}.shape", f"{list(tensor.shape)}", "one number, or the shape of the input")
        elif prod(n or 1 for n in shape) != len(m.labels):
            told = f"{list(tensor.shape)} for {len(m.labels)} labels"
            raise _wrong(f"{where}.shape", told, f"{len(m.labels)} numbers for each frame, one for each label")


def _check_counts(m: Manifest) -> None:
    """Numbers that are given for each label, or for each channel."""
    level = m.decision.threshold
    if isinstance(level, tuple) and len(level) != max(1, len(m.labels)):
        raise _wrong("decision.threshold", f"{len(level)} levels", f"one, or {max(1, len(m.labels))}")
    for name in ("low", "high"):
        numbers: Numbers = getattr(m.ranges, name)
        if isinstance(numbers, tuple) and len(numbers) != m.inputs.shape[1]:
            raise _wrong(f"ranges.{name}", f"{len(numbers)} numbers", f"one, or {m.inputs.shape[1]}: each channel's")


def _wrong(
    key: str, what: str, expected: str, remedy: str = "Correct the manifest, and write the bundle again"
) -> ModelError:
    return ModelError(what, where=f"{NAME}: {key}", expected=expected, remedy=remedy)
