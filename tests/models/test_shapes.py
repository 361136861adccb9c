"""Sizes: for every operator what is foretold is what onnxruntime gives; whatever asks for too much is refused."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from insitu.errors import ModelError
from insitu.models import shapes, wire
from insitu.models.bundle import open_session
from insitu.models.shape_rules import RULES
from tests import networks
from tests.hostile import BOMBS, drawn, ints, n

F, I, U = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8  # noqa: E741


def small(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 9, shape).astype(np.uint8)


ONE = np.float32(0.1)
ZERO = np.uint8(0)
IMAGE, LINE, FLAT = (2, 3, 8, 10), (2, 3, 17), (2, 12)
WORDS = """
Abs Celu Ceil Cos Elu Erf Exp Floor HardSigmoid HardSwish Identity LeakyRelu Log LogSoftmax Neg Reciprocal Relu Round
Selu Sigmoid Sign Sin Softmax Softplus Softsign Sqrt Tanh ThresholdedRelu Dropout LpNormalization
"""
UNARY = WORDS.split()
BINARY = ["Add", "Div", "Mul", "Pow", "PRelu", "Sub", "Max", "Min", "Mean", "Sum"]
COMPARED = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]
LOGICAL = ["And", "Or", "Xor"]
REDUCED = [name for name in RULES if name.startswith("Reduce")]

CASES: list[tuple[str, list[onnx.NodeProto], dict[str, np.ndarray], tuple[int, ...], int]] = [
    *[(op, [n(op, "x")], {}, LINE, F) for op in UNARY],
    *[(op, [n(op, "x,b")], {"b": drawn(3, 1)}, LINE, F) for op in BINARY],
    *[(op, [n(op, "x,b")], {"b": drawn(17)}, LINE, TensorProto.BOOL) for op in COMPARED],
    *[
        (op, [n("Greater", "x,b", "g"), n("Less", "x,b", "l"), n(op, "g,l")], {"b": drawn(1)}, LINE, TensorProto.BOOL)
        for op in LOGICAL
    ],
    *[(op, [n(op, "x", keepdims=0)], {}, LINE, F) for op in REDUCED],
    *[(op, [n(op, "x", axes=[1, -1])], {}, IMAGE, F) for op in REDUCED if op != "ReduceSum"],
    ("ReduceSum", [n("ReduceSum", "x,a")], {"a": ints(-1)}, LINE, F),
    ("Not", [n("Less", "x,b", "l"), n("Not", "l")], {"b": drawn(1)}, LINE, TensorProto.BOOL),
    ("IsNaN", [n("IsNaN", "x")], {}, LINE, TensorProto.BOOL),
    ("IsInf", [n("IsInf", "x")], {}, LINE, TensorProto.BOOL),
    ("Mod", [n("Mod", "x,b", fmod=1)], {"b": drawn(17)}, LINE, F),
    ("Where", [n("Less", "x,b", "l"), n("Where", "l,x,b")], {"b": drawn(1)}, LINE, F),
    ("Clip", [n("Clip", "x,a,b")], {"a": ONE, "b": ONE}, LINE, F),
    ("Cast", [n("Cast", "x", to=I)], {}, LINE, I),
    ("BatchNormalization", [n("BatchNormalization", "x,a,a,a,b")], {"a": drawn(3), "b": np.ones(3, "f4")}, IMAGE, F),
    ("InstanceNormalization", [n("InstanceNormalization", "x,a,a")], {"a": drawn(3)}, IMAGE, F),
    ("LayerNormalization", [n("LayerNormalization", "x,a")], {"a": drawn(17)}, LINE, F),
    ("LRN", [n("LRN", "x", size=3)], {}, IMAGE, F),
    ("Conv", [n("Conv", "x,w", strides=[2], pads=[1, 3], dilations=[2])], {"w": drawn(4, 3, 5)}, LINE, F),
    ("Conv", [n("Conv", "x,w", auto_pad="SAME_UPPER", strides=[2, 3])], {"w": drawn(4, 3, 3, 3)}, IMAGE, F),
    ("Conv", [n("Conv", "x,w", auto_pad="VALID", strides=[2, 3])], {"w": drawn(4, 3, 3, 3)}, IMAGE, F),
    ("Conv", [n("Conv", "x,w,b", group=3)], {"w": drawn(6, 1, 3, 3), "b": drawn(6)}, IMAGE, F),
    (
        "ConvTranspose",
        [n("ConvTranspose", "x,w", strides=[2, 2], pads=[1, 0, 0, 1], output_padding=[1, 0], dilations=[1, 2])],
        {"w": drawn(3, 4, 3, 3)}, IMAGE, F,
    ),
    ("MaxPool", [n("MaxPool", "x", kernel_shape=[3], strides=[2], ceil_mode=1)], {}, LINE, F),
    ("MaxPool", [n("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])], {}, IMAGE, F),
    ("AveragePool", [n("AveragePool", "x", kernel_shape=[4], strides=[3], ceil_mode=1, pads=[1, 2])], {}, LINE, F),
    ("AveragePool", [n("AveragePool", "x", kernel_shape=[3, 3], auto_pad="SAME_LOWER", strides=[2, 2])], {}, IMAGE, F),
    ("MaxPool", [n("MaxPool", "x", kernel_shape=[4], strides=[3], ceil_mode=1, pads=[1, 2])], {}, LINE, F),
    ("MaxPool", [n("MaxPool", "x", kernel_shape=[2], strides=[5], ceil_mode=1, pads=[1, 1])], {}, (1, 1, 10), F),
    ("GlobalAveragePool", [n("GlobalAveragePool", "x")], {}, IMAGE, F),
    ("GlobalMaxPool", [n("GlobalMaxPool", "x")], {}, LINE, F),
    ("Gemm", [n("Gemm", "x,w,b", transB=1)], {"w": drawn(5, 12), "b": drawn(5)}, FLAT, F),
    ("MatMul", [n("MatMul", "x,w")], {"w": drawn(17, 4)}, LINE, F),
    ("MatMul", [n("MatMul", "w,x")], {"w": drawn(2, 4, 3)}, LINE, F),
    ("MatMul", [n("MatMul", "x,w")], {"w": drawn(17)}, LINE, F),
    ("MatMul", [n("MatMul", "w,x")], {"w": drawn(3)}, LINE, F),
    ("ArgMax", [n("ArgMax", "x", axis=1)], {}, LINE, I),
    ("ArgMin", [n("ArgMin", "x", axis=-1, keepdims=0)], {}, LINE, I),
    ("TopK", [n("TopK", "x,k", "y,i", axis=-1)], {"k": ints(4)}, LINE, F),
    ("Reshape", [n("Reshape", "x,s")], {"s": ints(0, -1)}, LINE, F),
    ("Reshape", [n("Reshape", "x,s")], {"s": ints(3, -1, 2)}, LINE, F),
    ("Flatten", [n("Flatten", "x", axis=2)], {}, IMAGE, F),
    ("Flatten", [n("Flatten", "x", axis=-1)], {}, IMAGE, F),
    ("Transpose", [n("Transpose", "x", perm=[2, 0, 1])], {}, LINE, F),
    ("Transpose", [n("Transpose", "x")], {}, IMAGE, F),
    ("Squeeze", [n("GlobalMaxPool", "x", "p"), n("Squeeze", "p,a")], {"a": ints(-1, 2)}, IMAGE, F),
    ("Squeeze", [n("GlobalMaxPool", "x", "p"), n("Squeeze", "p")], {}, IMAGE, F),
    ("Unsqueeze", [n("Unsqueeze", "x,a")], {"a": ints(0, -1)}, LINE, F),
    ("Concat", [n("Concat", "x,b,x", axis=1)], {"b": drawn(2, 2, 17)}, LINE, F),
    ("Split", [n("Split", "x", "y,z,q", axis=1)], {}, LINE, F),
    ("Split", [n("Split", "x,s", "y,z", axis=-1)], {"s": ints(5, 12)}, LINE, F),
    ("Slice", [n("Slice", "x,s,e")], {"s": ints(0, 1), "e": ints(2**62, -1)}, LINE, F),
    ("Slice", [n("Slice", "x,s,e,a,t")], {"s": ints(-1), "e": ints(-(2**62)), "a": ints(2), "t": ints(-3)}, LINE, F),
    ("Slice", [n("Slice", "x,s,e,a,t")], {"s": ints(3), "e": ints(40), "a": ints(-1), "t": ints(2)}, LINE, F),
    ("Pad", [n("Pad", "x,p")], {"p": ints(0, 1, 2, 0, 0, -3)}, LINE, F),
    ("Gather", [n("Gather", "x,i", axis=1)], {"i": ints(0, 2, 1, -1)}, LINE, F),
    ("Gather", [n("Gather", "x,i", axis=-1)], {"i": np.array(3)}, LINE, F),
    ("Expand", [n("Expand", "x,s")], {"s": ints(4, 1, 1, 17)}, LINE, F),
    ("Tile", [n("Tile", "x,s")], {"s": ints(1, 2, 3)}, LINE, F),
    ("Shape", [n("Shape", "x", start=1)], {}, LINE, I),
    ("ConstantOfShape", [n("ConstantOfShape", "s", "c"), n("Add", "x,c")], {"s": ints(3, 1)}, LINE, F),
    ("Constant", [n("Constant", "", "c", value_floats=[0.5]), n("Add", "x,c")], {}, LINE, F),
    (
        "Constant",
        [n("Constant", "", "c", value=numpy_helper.from_array(drawn(3, 1))), n("Add", "x,c")], {}, LINE, F,
    ),
    ("Range", [n("Range", "a,b,c", "r"), n("Cast", "r", "f", to=F), n("Add", "x,f")],
     {"a": np.array(0), "b": np.array(17), "c": np.array(1)}, LINE, F),
    ("Resize", [n("Resize", "x,_,s", mode="nearest")], {"s": np.array([1, 1, 2, 1.5], "f4")}, IMAGE, F),
    ("Resize", [n("Resize", "x,_,_,s", mode="linear")], {"s": ints(2, 3, 16, 7)}, IMAGE, F),
    ("DepthToSpace", [n("DepthToSpace", "x", blocksize=2)], {}, (2, 8, 3, 5), F),
    ("SpaceToDepth", [n("SpaceToDepth", "x", blocksize=2)], {}, IMAGE, F),
    (
        "QuantizeLinear", [n("QuantizeLinear", "x,s,z", "q"), n("DequantizeLinear", "q,s,z")],
        {"s": ONE, "z": ZERO}, IMAGE, F,
    ),
    (
        "DynamicQuantizeLinear",
        [n("DynamicQuantizeLinear", "x", "q,s,z"), n("MatMulInteger", "q,w,z", "i"), n("Cast", "i", to=F)],
        {"w": small(17, 4)}, LINE, F,
    ),
    (
        "ConvInteger",
        [n("DynamicQuantizeLinear", "x", "q,s,z"), n("ConvInteger", "q,w,z", "i"), n("Cast", "i", to=F)],
        {"w": small(4, 3, 3, 3)}, IMAGE, F,
    ),
    (
        "QLinearConv",
        [n("QuantizeLinear", "x,s,z", "q"), n("QLinearConv", "q,s,z,w,s,z,s,z", "r"), n("DequantizeLinear", "r,s,z")],
        {"s": ONE, "z": ZERO, "w": small(4, 3, 3, 3)}, IMAGE, F,
    ),
    (
        "QLinearMatMul",
        [n("QuantizeLinear", "x,s,z", "q"), n("QLinearMatMul", "q,s,z,w,s,z,s,z", "r"), n("DequantizeLinear", "r,s,z")],
        {"s": ONE, "z": ZERO, "w": small(12, 4)}, FLAT, F,
    ),
]  # fmt: skip
LATER = [
    ("Mish", [n("Mish", "x")], {}, LINE, F),
    ("Gelu", [n("Gelu", "x")], {}, LINE, F),
    ("GroupNormalization", [n("GroupNormalization", "x,a,a", num_groups=3)], {"a": drawn(3)}, IMAGE, F),
    ("ReduceMean", [n("ReduceMean", "x,a", keepdims=0)], {"a": ints(1)}, LINE, F),
    ("Split", [n("Split", "x", "y,z,q", axis=2, num_outputs=3)], {}, LINE, F),
    ("Pad", [n("Pad", "x,p,_,a")], {"p": ints(1, 2), "a": ints(-1)}, LINE, F),
    ("Resize", [n("Resize", "x,_,s", mode="nearest", axes=[2, 3])], {"s": np.array([2, 2], "f4")}, IMAGE, F),
]


def foretold(model: onnx.ModelProto, given: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of `y`."""
    walk = shapes._Walk(graph := wire.read(model.SerializeToString()), given)
    for i, node in enumerate(graph.nodes):
        walk.step(i, node)
    return walk.shapes["y"]


@pytest.mark.parametrize(
    ("case", "opset"),
    [*((c, 17) for c in CASES), *((c, 20 if c[0] != "GroupNormalization" else 21) for c in LATER)],
    ids=lambda x: x[0] if isinstance(x, tuple) else str(x),
)
def test_the_size_that_is_foretold_is_what_comes_out(case: Any, opset: int) -> None:
    _, nodes, weights, given, kind = case
    given = tuple(given)
    model = networks.model(nodes, weights, given=given, out=[], opset=opset, kind=kind)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    found = open_session(model.SerializeToString()).run(["y"], {"x": np.abs(drawn(*given)) + 0.1})
    assert foretold(model, given) == np.asarray(found[0]).shape


def test_every_operator_of_the_list_was_tried() -> None:
    assert {node.op_type for case in (*CASES, *LATER) for node in case[1]} == set(RULES)


def test_sizes_that_are_computed_from_the_shape_are_followed() -> None:
    """What exporters write where the batch is free: Shape, Gather, Concat, Reshape."""
    nodes = [
        n("Shape", "x", "s"), n("Gather", "s,zero", "b"), n("Unsqueeze", "b,axis", "u"), n("Mul", "half,two", "m"),
        n("Concat", "u,m,minus", "t", axis=0), n("Reshape", "x,t"),
    ]  # fmt: skip
    weights = {"zero": np.array(0), "axis": ints(0), "half": ints(8), "two": ints(2), "minus": ints(-1)}
    model = networks.model(nodes, weights, out=["batch", 16, 2])
    assert foretold(model, (5, 1, 32)) == (5, 16, 2)
    x = drawn(5, 1, 32)
    assert np.asarray(open_session(model.SerializeToString()).run(None, {"x": x})[0]).shape == (5, 16, 2)


NO_SIZE = {"Range of doubles", "Range to infinity", "Resize by nothing", "Resize to infinity", "pads"}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_that_asks_for_much_is_refused(name: str) -> None:
    nodes, weights = BOMBS[name]
    data = networks.model(nodes, weights).SerializeToString()
    assert len(data) < 200_000
    with pytest.raises(ModelError) as found:
        shapes.follow(wire.read(data), (4, 1, 32), ((4, 3),))
    assert found.value.where == "model.onnx"
    assert ("in one tensor" in found.value.expected) is (name not in NO_SIZE)


WRONG: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray]]] = {
    "an input that nothing gives": ([n("Relu", "nothing")], {}),
    "a node before its input": ([n("Relu", "a"), n("Relu", "x", "a")], {}),
    "a cycle": ([n("Add", "x,b", "a"), n("Add", "x,a", "b"), n("Relu", "b")], {}),
    "an output given twice": ([n("Relu", "x"), n("Relu", "x")], {}),
    "an output that is a weight": ([n("Relu", "x", "w"), n("Relu", "w")], {"w": drawn(1)}),
    "sizes from data": ([n("Cast", "x", "i", to=I), n("Reshape", "x,i")], {}),
    "no inputs": ([n("Add", "")], {}),
    "inputs that do not fit": ([n("Add", "x,w")], {"w": drawn(5)}),
    "matrices that do not fit": ([n("MatMul", "x,w")], {"w": drawn(5, 3)}),
    "a product with a single number": ([n("MatMul", "x,w")], {"w": drawn()}),
    "channels that do not fit": ([n("Conv", "x,w")], {"w": drawn(5, 3, 3)}),
    "a group of zero": ([n("Conv", "x,w", group=0)], {"w": drawn(5, 1, 3)}),
    "a stride of zero": ([n("Conv", "x,w", strides=[0])], {"w": drawn(5, 1, 3)}),
    "a negative stride": ([n("Conv", "x,w", strides=[-1])], {"w": drawn(5, 1, 3)}),
    "a window beyond the input": ([n("MaxPool", "x", kernel_shape=[64])], {}),
    "no kernel": ([n("MaxPool", "x")], {}),
    "an axis too many": ([n("ArgMax", "x", axis=3)], {}),
    "an attribute of another type": ([n("ArgMax", "x", axis="one")], {}),
    "an axis of many": ([n("Concat", "x,x", axis=[1, 2])], {}),
    "an order of odd axes": ([n("Transpose", "x", perm=[0, 0, 1])], {}),
    "a step of zero": ([n("Slice", "x,s,e,s,s")], {"s": ints(0), "e": ints(1)}),
    "a range without steps": ([n("Range", "a,a,a")], {"a": np.array(0)}),
    "two minus ones": ([n("Reshape", "x,s")], {"s": ints(-1, -1)}),
    "another number of numbers": ([n("Reshape", "x,s")], {"s": ints(5, 5)}),
    "negative sizes": ([n("Expand", "x,s")], {"s": ints(-5, 5)}),
    "too many outputs": ([n("Relu", "x", "y,z")], {}),
    "a constant of nothing": ([n("Constant", "", "y")], {}),
    "a constant of two": ([n("Constant", "", "y", value_int=1, value_float=1.0)], {}),
    "a constant of text": ([n("Constant", "", "y", value_string="x")], {}),
    "blocks of zero": ([n("DepthToSpace", "x", blocksize=0)], {}),
    "an image that is a line": ([n("DepthToSpace", "x", blocksize=2)], {}),
    "another output than the manifest's": ([n("Relu", "x")], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_graph_that_is_wrong_is_refused_with_a_reason(name: str) -> None:
    nodes, weights = WRONG[name]
    with pytest.raises(ModelError) as found:
        shapes.follow(wire.read(networks.model(nodes, weights).SerializeToString()), (4, 1, 32), ((4, 3),))
    assert found.value.what
    assert found.value.where == "model.onnx"


def test_what_lives_at_one_time_is_counted_not_what_ever_lived() -> None:
    nodes = [n("Relu", "x" if i == 0 else f"a{i - 1}", "y" if i == 99 else f"a{i}") for i in range(100)]
    found = shapes.follow(wire.read(networks.model(nodes).SerializeToString()), (4, 1, 32), ((4, 1, 32),))
    assert found.live == 2 * 4 * 32
