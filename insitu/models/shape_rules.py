"""Which operators a network may use, and how large what they give is: one rule for each, by ONNX's definitions.

A rule is handed the `Step` (shapes of the inputs, values where they are known, attributes) and gives the shapes of the
outputs. What a shape depends on must be known without running the network; else the rule raises.
"""

from math import prod

from insitu.models import shape_moves as moves
from insitu.models import shape_products as products
from insitu.models.shape_step import Rule, Shape, Step, axis_of, fitted, need, put


def same(s: Step) -> list[Shape]:
    return [s.shape(0)] * s.outputs


def copied(s: Step) -> list[Shape]:
    s.room(prod(s.shape(0)))  # moved so that the axis is the last
    return same(s)


def broadcast(s: Step) -> list[Shape]:
    shapes = [s.shape(i) for i in range(len(s))]
    return [fitted(shapes)]


def quantise(s: Step) -> list[Shape]:
    return [s.shape(0), *[() for _ in range(s.outputs - 1)]]


def reduce(s: Step) -> list[Shape]:
    x = s.shape(0)
    axes = s.numbers(1) if len(s) > 1 and s.has(1) else s.of("axes", ())
    if not len(axes):
        gone = set() if s.of("noop_with_empty_axes", 0) else set(range(len(x)))
    else:
        gone = {axis_of(a, len(x)) for a in axes}
    return [_without(x, gone, keep=bool(s.of("keepdims", 1)))]


def arg(s: Step) -> list[Shape]:
    x = s.shape(0)
    return [_without(x, {axis_of(s.of("axis", 0), len(x))}, keep=bool(s.of("keepdims", 1)))]


def _without(x: Shape, gone: set[int], *, keep: bool) -> Shape:
    return tuple(1 if i in gone else n for i, n in enumerate(x) if keep or i not in gone)


def top(s: Step) -> list[Shape]:
    x, (k,) = s.shape(0), s.numbers(1)
    axis = axis_of(s.of("axis", -1), len(x))
    need(0 <= k <= x[axis], f"the {k} largest of {x[axis]}")
    return [put(x, axis, int(k))] * s.outputs


def constant(s: Step) -> list[Shape]:
    return [s.shape(0)]  # the walk puts the value there


_SAME = """
Abs BatchNormalization Cast Ceil Celu Clip Cos DequantizeLinear Dropout Elu Erf Exp Floor Gelu GroupNormalization
HardSigmoid HardSwish Identity InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Log Mish Neg Not
QuantizeLinear Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus Softsign Sqrt Tanh ThresholdedRelu
"""
_COPIED = "LogSoftmax LpNormalization LRN Softmax"
_BROADCAST = (
    "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or Pow PRelu Sub Sum Where Xor"
)
_REDUCE = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"

RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME.split(), same),
    **dict.fromkeys(_COPIED.split(), copied),
    **dict.fromkeys(_BROADCAST.split(), broadcast),
    **{f"Reduce{name}": reduce for name in _REDUCE.split()},
    "ArgMax": arg,
    "ArgMin": arg,
    "AveragePool": products.pool,
    "Concat": moves.concat,
    "Constant": constant,
    "ConstantOfShape": moves.filled,
    "Conv": products.convolve,
    "ConvInteger": products.convolve_integers,
    "ConvTranspose": products.convolve_up,
    "DepthToSpace": moves.depth_to_space,
    "DynamicQuantizeLinear": quantise,
    "Expand": moves.expand,
    "Flatten": moves.flatten,
    "Gather": moves.gather,
    "Gemm": products.gemm,
    "GlobalAveragePool": products.pool_all,
    "GlobalMaxPool": products.pool_all,
    "MatMul": products.matmul,
    "MatMulInteger": products.matmul,
    "MaxPool": products.pool,
    "Pad": moves.pad,
    "QLinearConv": products.convolve_quantised,
    "QLinearMatMul": products.matmul_quantised,
    "Range": moves.counted,
    "Reshape": moves.reshape,
    "Resize": moves.resize,
    "Shape": moves.shape_of,
    "Slice": moves.cut,
    "SpaceToDepth": moves.space_to_depth,
    "Split": moves.split,
    "Squeeze": moves.squeeze,
    "Tile": moves.tile,
    "TopK": top,
    "Transpose": moves.transpose,
    "Unsqueeze": moves.unsqueeze,
}
"""Every operator that a network may use, and its rule."""
