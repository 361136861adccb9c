"""The reader of ONNX files: it sees what the package `onnx` sees, and refuses what it does not know."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from insitu.errors import ModelError
from insitu.models import wire
from tests import networks

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


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def located(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def functions(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="mine")


def training(model: onnx.ModelProto) -> None:
    model.training_info.add()


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def sub_graph(model: onnx.ModelProto) -> None:
    model.graph.node[1].attribute.append(helper.make_attribute("then_branch", model.graph))


def reference(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute[0].ref_attr_name = "outer"


def domain(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="com.microsoft", version=1)


def node_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"


def no_opset(model: onnx.ModelProto) -> None:
    model.ClearField("opset_import")


def two_opsets(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="ai.onnx", version=13)


def settings(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="ort_config", value='{"session_options": {"intra_op_num_threads": 64}}')


def text(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("t", TensorProto.STRING, [1], [b"text"]))


def half(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(2, np.float16), "t"))


def sixty_four_gib(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.dims[:] = [16, 2**30]


def overflowing(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [2**32, 2**32]  # 2^64 is 0 in 64 bits


def empty_and_huge(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [0, 2**40]


def negative(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-4, -1, 5]


def twice(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def two_kinds(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute[0].i = 7


def doubled_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(model.graph.node[0].attribute[0])


def undefined(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute[0].type = AttributeProto.UNDEFINED


def sequence(model: onnx.ModelProto) -> None:
    model.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [1]))


def long_name(model: onnx.ModelProto) -> None:
    model.graph.node[0].name = "n" * 10_000


HOSTILE = [
    external, located, functions, training, sparse, sub_graph, reference, domain, node_domain, no_opset, two_opsets,
    settings, text, half, sixty_four_gib, overflowing, empty_and_huge, negative, twice, two_kinds, doubled_attribute,
    undefined, sequence, long_name,
]  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE)
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
    data = model.SerializeToString() + b"\x72\x00" * wire.MOST_FIELDS  # empty metadata
    with pytest.raises(ModelError, match="more fields"):
        wire.read(data)


def test_random_bytes_and_flipped_bits_are_refused_or_read_but_never_break_it() -> None:
    rng = np.random.default_rng(0)
    good = networks.classifier().SerializeToString()
    refused = 0
    for _ in range(1500):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        try:
            wire.read(bytes(data))
        except ModelError:
            refused += 1
    assert refused > 300
