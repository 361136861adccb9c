"""The last dense layer of a network: cut off, so that what comes before it can be reused, and grafted on again.

Everything before the head, the trunk, stays as it was trained; a head for a changed instrument is fitted in seconds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from insitu.errors import MissingExtraError, ModelError

WHERE = "model.onnx"


class Head(NamedTuple):
    """`logits = trunk @ weight.T + bias`: weight `(labels, features)`, bias `(labels,)`, float64; `trunk` is the name
    of the tensor that the layer takes."""

    weight: np.ndarray
    bias: np.ndarray
    trunk: str


class _Place(NamedTuple):
    """Where the head is in the graph: names of its arrays, and whether the weight lies as `(labels, features)`."""

    weight: str
    bias: str
    trunk: str
    transposed: bool
    scale: tuple[float, float]


def cut(model: bytes) -> Head:
    """The head of `model.onnx`. Raises `ModelError` where its last layer is not a dense one of plain numbers."""
    graph = _load(model).graph
    place = _find(graph)
    arrays = {t.name: t for t in graph.initializer}
    numpy_helper = _onnx().numpy_helper
    weight = numpy_helper.to_array(arrays[place.weight]).astype(np.float64) * place.scale[0]
    weight = weight if place.transposed else weight.T
    bias = np.zeros(len(weight))
    if place.bias:
        bias = numpy_helper.to_array(arrays[place.bias]).astype(np.float64).reshape(-1) * place.scale[1]
    return Head(weight, np.broadcast_to(bias, (len(weight),)).copy(), place.trunk)


def with_trunk(model: bytes) -> bytes:
    """The network with one more output: the trunk's, `(batch, features)`."""
    made = _load(model)
    name = _find(made.graph).trunk
    onnx = _onnx()
    made.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return made.SerializeToString(deterministic=True)


def graft(model: bytes, weight: np.ndarray, bias: np.ndarray) -> bytes:
    """The network with another head: weight `(labels, features)`, bias `(labels,)`, kept as float32. The same bytes for
    the same numbers."""
    made = _load(model)
    place = _find(made.graph)
    if not place.bias:
        raise ModelError("its last layer has no bias", where=WHERE, expected="a dense layer with a bias")
    laid = weight if place.transposed else weight.T
    new = {place.weight: laid / place.scale[0], place.bias: bias / place.scale[1]}
    for tensor in made.graph.initializer:
        if tensor.name in new:
            old = _onnx().numpy_helper.to_array(tensor)
            values = np.ascontiguousarray(new[tensor.name], dtype=np.float32)
            if values.size != old.size:
                raise ModelError(
                    f"a head of {list(values.shape)}", where=WHERE, expected=f"{list(old.shape)}, as the old one has"
                )
            tensor.CopyFrom(_onnx().numpy_helper.from_array(values.reshape(old.shape), tensor.name))
    return made.SerializeToString(deterministic=True)


def _find(graph: Any) -> _Place:
    """The dense layer that gives the first output."""
    made_by = {name: node for node in graph.node for name in node.output}
    constants = {t.name for t in graph.initializer}
    node = made_by.get(graph.output[0].name)
    while node is not None and node.op_type == "Identity":
        node = made_by.get(node.input[0])
    if node is not None and node.op_type == "Gemm" and node.input[1] in constants and not _attribute(node, "transA", 0):
        bias = node.input[2] if len(node.input) > 2 and node.input[2] in constants else ""
        if bias or len(node.input) < 3:
            scale = (_attribute(node, "alpha", 1.0), _attribute(node, "beta", 1.0))
            return _Place(node.input[1], bias, node.input[0], bool(_attribute(node, "transB", 0)), scale)
    if node is not None and node.op_type == "Add":
        for product, bias in (tuple(node.input), tuple(node.input)[::-1]):
            dense = made_by.get(product)
            if bias in constants and dense is not None and dense.op_type == "MatMul" and dense.input[1] in constants:
                return _Place(dense.input[1], bias, dense.input[0], False, (1.0, 1.0))
    raise ModelError(
        f"its last layer is {node.op_type if node is not None else 'not there'}",
        where=WHERE,
        expected="a dense layer of float32 numbers (Gemm, or MatMul and Add)",
        remedy="Re-fit the fp32 bundle and quantise it again (`insitu model quantise`)",
    )


def _attribute(node: Any, name: str, default: float) -> float:
    for attribute in node.attribute:
        if attribute.name == name:
            return attribute.f if attribute.type == 1 else attribute.i
    return default


def _load(model: bytes) -> Any:
    return _onnx().load_from_string(model)


def _onnx() -> Any:
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as e:
        raise MissingExtraError("onnx", "models", purpose="changing a network") from e
    return onnx
