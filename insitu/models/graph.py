"""What the graph of a network may be: operators on a list, standard ones only, sizes inside limits.

Everything is decided from the bytes of `model.onnx`, before onnxruntime sees them and before anything is allocated:
`wire` reads the file, `shapes` follows the sizes through the graph.
"""

from insitu.errors import ModelError
from insitu.models import coherence, wire
from insitu.models.manifest import Manifest, Tensor
from insitu.models.protobuf import WHERE
from insitu.models.shape_rules import RULES
from insitu.models.shapes import Sizes, follow

OPSETS = range(13, 24)
"""Versions of the standard operators."""
MOST_NODES = 10_000

OPERATORS = frozenset(RULES)
"""The operators that a network may use."""


def check(model: bytes, manifest: Manifest, batch: int = 1) -> Sizes:
    """Look at `model.onnx` for a batch of `batch` inputs. Raises `ModelError`; gives what was found out."""
    graph = wire.read(model)
    if graph.opset not in OPSETS:
        raise ModelError(
            f"standard operators of version {graph.opset}", where=WHERE,
            expected=f"{OPSETS[0]} to {OPSETS[-1]}", remedy=f"Export the network with opset {OPSETS[-3]}",
        )  # fmt: skip
    if not 0 < len(graph.nodes) <= MOST_NODES:
        raise ModelError(f"{len(graph.nodes):,} nodes", where=WHERE, expected=f"1 to {MOST_NODES:,}")
    used = operators(graph)
    if wrong := used - OPERATORS:
        raise ModelError(
            f"the operator {', '.join(sorted(wrong))}", where=WHERE,
            expected="one of the list in docs/reference/bundle.md", remedy="Build the network of other operators",
        )  # fmt: skip
    if manifest.operators and used != set(manifest.operators):
        raise ModelError(
            "not the operators that the manifest lists", where=WHERE, expected=", ".join(manifest.operators),
            remedy="Write the bundle again",
        )  # fmt: skip
    _declared(graph.inputs, (manifest.inputs,), "input")
    _declared(graph.outputs, manifest.outputs, "output")
    coherence.check_logits(manifest, graph)
    return follow(graph, manifest.inputs.of(batch), tuple(t.of(batch) for t in manifest.outputs))


def operators(graph: wire.Graph) -> set[str]:
    """The operators of a graph."""
    return {node.op for node in graph.nodes}


def operators_of(model: bytes) -> tuple[str, ...]:
    """The operators of `model.onnx`, sorted: what the manifest lists."""
    return tuple(sorted(operators(wire.read(model))))


def _declared(found: tuple[wire.Value, ...], told: tuple[Tensor, ...], what: str) -> None:
    """Inputs or outputs of the file are those of the manifest: names, order, element types, sizes."""
    names = [value.name for value in found]
    if names != [tensor.name for tensor in told]:
        raise ModelError(
            f"the network has the {what}s {names}", where=WHERE,
            expected=f"{[t.name for t in told]}, as the manifest says",
            remedy="Give it one input, and keep weights out of the inputs (keep_initializers_as_inputs=False)"
            if what == "input" else "Name every output in the manifest, in the network's order",
        )  # fmt: skip
    for value, tensor in zip(found, told, strict=True):
        dtype = wire.dtype(value.item)
        sizes = value.shape
        fits = sizes is None or (
            len(sizes) == len(tensor.shape)
            and all(a is None or a == b for a, b in zip(sizes, tensor.shape, strict=True))
        )
        if dtype != tensor.dtype or not fits:
            shown = list(sizes) if sizes is not None else "any shape"
            raise ModelError(
                f"the {what} {tensor.name!r} is {dtype} of {shown}", where=WHERE,
                expected=f"{tensor.dtype} of {list(tensor.shape)}, as the manifest says",
            )  # fmt: skip
