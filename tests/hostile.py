"""Networks that no bundle may hold: forbidden parts of the format, and small files that ask for much memory or work."""

from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def n(op: str, inputs: str, outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.replace("_", "").split(","), outputs.split(","), **attributes)


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


def name_that_writes_to_the_terminal(model: onnx.ModelProto) -> None:
    model.graph.node[0].name = "\x1b[2J\nError: all is well"


FORBIDDEN = [
    name_that_writes_to_the_terminal,
    external, located, functions, training, sparse, sub_graph, reference, domain, node_domain, no_opset, two_opsets,
    settings, text, half, sixty_four_gib, overflowing, empty_and_huge, negative, twice, two_kinds, doubled_attribute,
    undefined, sequence, long_name,
]  # fmt: skip


"""Each changes `networks.classifier()` into something that is refused."""

BIG = 2**20
BOMBS: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray]]] = {
    "Expand": ([n("Expand", "x,s")], {"s": ints(4, BIG, 32)}),
    "Tile": ([n("Tile", "x,s")], {"s": ints(BIG, BIG, 1)}),
    "ConstantOfShape": ([n("ConstantOfShape", "s", "c"), n("Add", "x,c")], {"s": ints(BIG, BIG, 1)}),
    "Range": ([n("Range", "a,b,c")], {"a": np.float32(0), "b": np.float32(1e9), "c": np.float32(1e-3)}),
    "Range of doubles": ([n("Range", "a,b,c")], {"a": np.float64(0), "b": np.float64(1e300), "c": np.float64(1e-300)}),
    "Range to infinity": ([n("Range", "a,b,c")], {"a": np.float32(0), "b": np.float32(np.inf), "c": np.float32(1)}),
    "Resize": ([n("Resize", "x,_,s")], {"s": np.array([1, BIG / 2, BIG / 2], "f4")}),
    "Resize by nothing": ([n("Resize", "x,_,s")], {"s": np.array([1, np.nan, 1], "f4")}),
    "Resize to infinity": ([n("Resize", "x,_,s")], {"s": np.array([1, np.inf, 1], "f4")}),
    "Resize to sizes": ([n("Resize", "x,_,_,s")], {"s": ints(1, BIG, BIG)}),
    "Pad": ([n("Pad", "x,p")], {"p": ints(0, 0, 2**40, 0, 0, 0)}),
    "pads": ([n("MaxPool", "x", kernel_shape=[2], pads=[2**40, 0])], {}),
    "an outer product": (
        [n("Reshape", "x,one", "a"), n("Tile", "a,many", "b"), n("Transpose", "b", "c"), n("MatMul", "b,c")],
        {"one": ints(128, 1), "many": ints(1024, 1)},
    ),
    "broadcasting": (
        [n("ConstantOfShape", "s", "a"), n("Transpose", "a", "b"), n("Mul", "a,b")], {"s": ints(BIG, 1)},
    ),
    "a concatenation": (
        [n("Concat", ",".join(["x"] * 200), "a", axis=1), n("Concat", ",".join(["a"] * 5000), "y", axis=1)], {},
    ),
    "many that live together": (
        [n("Expand", "x,s", f"a{i}") for i in range(40)] + [n("Sum", ",".join(f"a{i}" for i in range(40)))],
        {"s": ints(4, 2**16, 32)},
    ),
    "weights of a convolution": (
        [n("ConstantOfShape", "s", "w"), n("Conv", "x,w")], {"s": ints(2**25, 1, 1)},
    ),
    "a transposed convolution": (
        [n("ConvTranspose", "x,w", strides=[2**19], output_padding=[2**19 - 1])], {"w": drawn(1, 64, 1)},
    ),
    "the windows of a quantised convolution": (
        [
            n("Tile", "x,s", "a"), n("QuantizeLinear", "a,one,zero", "q"),
            n("ConvInteger", "q,w,zero", "i", pads=[63, 63]), n("Cast", "i", to=TensorProto.FLOAT),
        ],
        {"s": ints(1, 8, 2**15), "w": np.zeros((1, 8, 127), np.uint8), "one": np.float32(1), "zero": np.uint8(0)},
    ),
    "output padding": ([n("ConvTranspose", "x,w", output_padding=[2**40])], {"w": drawn(1, 1, 1)}),
    "the work of many convolutions": (
        [n("Tile", "x,s", "a0"), *[n("Conv", f"a{i},w", f"a{i + 1}", pads=[2, 2]) for i in range(2000)]],
        {"s": ints(1, 64, 1024), "w": drawn(64, 64, 5)},
    ),
}  # fmt: skip
"""Nodes from `x` (4, 1, 32) to `y`, and their weights."""
