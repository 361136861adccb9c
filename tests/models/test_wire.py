"""The reader of ONNX files: it sees what the package `onnx` sees, and refuses what it does not know."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from insitu.errors import ModelError
from insitu.models import protobuf, wire
from tests import networks
from tests.hostile import FORBIDDEN

CHECKED = ("float32", "float64", "uint8", "int8", "uint16", "int16", "int32", "int64", "uint32", "bool")


def test_it_sees_what_onnx_sees() -> None:
    model = networks.classifier()
    found = wire.read(model.SerializeToString())
    assert (found.ir_version, found.opset) == (8, 17)
    for ours, theirs in zip(found.nodes, model.graph.node, strict=True):
        assert (ours.op, ours.inputs, ours.outputs) == (theirs.op_type, tuple(theirs.input), tuple(theirs.output))
        named = {a.name: helper.get_attribute_value(a) for a in theirs.attribute}
        assert ours.attributes == {k: tuple(v) if isinstance(v, list) else v for k, v in named.items()}
    for tensor in model.graph.initializer:
        np.testing.assert_array_equal(found.stored[tensor.name].array(), numpy_helper.to_array(tensor), strict=True)
    assert [(v.name, v.shape) for v in (*found.inputs, *found.outputs)] == [("x", (None, 1, 32)), ("y", (None, 3))]


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("dtype", CHECKED)
def test_numbers_of_every_kind_are_those_of_onnx(dtype: str, raw: bool) -> None:
    x = np.random.default_rng(0).integers(-100, 100, (2, 5)).astype(dtype)
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    values: Any = x.tobytes() if raw else x.ravel().tolist()
    tensor = helper.make_tensor("t", kind, x.shape, values, raw=raw)
    model = networks.model([helper.make_node("Identity", ["x"], ["y"])])
    model.graph.initializer.append(tensor)
    np.testing.assert_array_equal(wire.read(model.SerializeToString()).stored["t"].array(), x, strict=True)


def test_attributes_of_every_kind_are_those_of_onnx() -> None:
    given: dict[str, Any] = {
        "f": 0.5,
        "i": -3,
        "s": b"text",
        "fs": [0.5, 2.0],
        "is": [1, -2, 2**40],
        "ss": [b"a", b"b"],
    }
    node = helper.make_node("Relu", ["x"], ["y"], **given)
    (found,) = wire.read(networks.model([node]).SerializeToString()).nodes
    assert found.attributes == {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}


@pytest.mark.parametrize("change", FORBIDDEN)
def test_what_no_bundle_needs_is_refused(change: Callable[[onnx.ModelProto], None]) -> None:
    model = networks.classifier()
    wire.read(model.SerializeToString())
    change(model)
    with pytest.raises(ModelError) as found:
        wire.read(model.SerializeToString())
    assert found.value.where == "model.onnx"


def test_a_second_graph_is_not_merged_into_the_first() -> None:
    one, two = networks.classifier().SerializeToString(), networks.classifier(seed=1).SerializeToString()
    assert len(onnx.load_from_string(one + two).graph.node) == 10  # that is what protocol buffers do
    with pytest.raises(ModelError, match="twice"):
        wire.read(one + two)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x00", b"\x08", b"\x08" + b"\xff" * 11, b"\x3a\x05abc", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0b\x0c", b"\x0f", b"\xf8\x07\x01", b"\x3a\x00\x3a\x00", b"\x3a\x02\x0b\x0c" * 5, bytes(range(256)),
        b"\x08\x01" * 1000,
    ],
)  # fmt: skip
def test_bytes_that_are_no_network_are_refused(data: bytes) -> None:
    with pytest.raises(ModelError):
        wire.read(data)


def test_a_file_of_too_many_tiny_fields_is_refused_early() -> None:
    model = networks.classifier()
    model.graph.doc_string = ""
    data = model.SerializeToString() + b"\x72\x00" * protobuf.MOST_FIELDS  # empty metadata
    with pytest.raises(ModelError, match="more fields"):
        wire.read(data)


def test_long_lists_of_numbers_are_refused_before_they_are_made() -> None:
    model = networks.classifier()
    model.graph.initializer[0].dims[:] = [1] * 9
    with pytest.raises(ModelError, match="a shape lists more than 8"):
        wire.read(model.SerializeToString())
    model = networks.classifier()
    many = wire.MOST_LISTED + 1
    model.graph.initializer.append(helper.make_tensor("t", onnx.TensorProto.INT64, [many], np.zeros(many, np.int64)))
    with pytest.raises(ModelError, match="lists more than 1,000,000"):
        wire.read(model.SerializeToString())
    model = networks.classifier()
    model.graph.node[0].attribute.append(helper.make_attribute("ints", [1] * 10_001))
    with pytest.raises(ModelError, match="lists more than 10,000"):
        wire.read(model.SerializeToString())


def agrees(found: wire.Graph, model: onnx.ModelProto) -> bool:
    """Whether both readers see the same network."""
    graph = model.graph
    nodes = [(n.op_type, tuple(n.input), tuple(n.output), len(n.attribute)) for n in graph.node]
    values = [v.name for v in (*graph.input, *graph.output, *graph.value_info)]
    return (
        [(n.op, n.inputs, n.outputs, len(n.attributes)) for n in found.nodes] == nodes
        and [v.name for v in (*found.inputs, *found.outputs, *found.values)] == values
        and [(t.name, t.shape) for t in found.stored.values()] == [(t.name, tuple(t.dims)) for t in graph.initializer]
        and all(
            t.array().tobytes() == numpy_helper.to_array(graph.initializer[i]).tobytes()
            for i, t in enumerate(found.stored.values())
        )
    )


def test_random_bytes_are_refused_or_read_as_onnx_reads_them() -> None:
    rng = np.random.default_rng(0)
    good = networks.classifier().SerializeToString()
    refused = read = 0
    for _ in range(1500):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        try:
            found = wire.read(bytes(data))
        except ModelError:
            refused += 1
            continue
        read += 1
        assert agrees(found, onnx.load_from_string(bytes(data))), bytes(data).hex()
    assert refused > 300
    assert read > 300
