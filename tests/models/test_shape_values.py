"""Small tensors whose values are followed: as onnxruntime computes them, or not known, and never an exception."""

import contextlib
import random
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from insitu.errors import ModelError
from insitu.models import shape_values, wire
from insitu.models.bundle import open_session
from insitu.models.shape_rules import RULES
from insitu.models.shapes import follow
from tests import networks
from tests.hostile import n

A, B, C = (np.array(x) for x in ([3, 7, -2], [5, 1, 9], [4, 4, 4]))
KNOWN = {
    "Cast to float64": (n("Cast", "a", "v", to=TensorProto.DOUBLE), TensorProto.DOUBLE),
    "Cast to uint8": (n("Cast", "b", "v", to=TensorProto.UINT8), TensorProto.UINT8),
    "Max of three": (n("Max", "a,b,c", "v"), TensorProto.INT64),
    "Min of one": (n("Min", "a", "v"), TensorProto.INT64),
    "Min of four": (n("Min", "a,b,c,a", "v"), TensorProto.INT64),
    "Gather from the end": (n("Gather", "a,i", "v"), TensorProto.INT64),
    "Div of negatives": (n("Div", "a,c", "v"), TensorProto.INT64),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_computed_beforehand_is_what_onnxruntime_computes(name: str) -> None:
    node, kind = KNOWN[name]
    weights = {"a": A, "b": B, "c": C, "i": np.array([-3, -1, 0])}
    made = networks.model([node, n("Add", "x,one", "unused")], {**weights, "one": np.float32(1)}, out=[3], kind=kind)
    made.graph.output[0].name = "v"
    data = made.SerializeToString()
    found = wire.read(data).nodes[0]

    followed = shape_values.computed(found, [weights[name] for name in found.inputs], (3,))

    (expected,) = open_session(data).run(None, {"x": np.zeros((1, 1, networks.POINTS), np.float32)})
    assert followed is not None
    assert followed.dtype == expected.dtype
    assert followed.tolist() == expected.tolist()


@pytest.mark.parametrize("x", [[np.nan], [np.inf], [1e30], [-1.0]])
def test_a_float_that_no_whole_number_can_hold_has_no_known_value(x: list[float]) -> None:
    node = wire.Node("Cast", "", ("x",), ("y",), {"to": TensorProto.UINT8})

    assert shape_values.computed(node, [np.array(x, np.float32)], (1,)) is None


def test_whatever_a_node_holds_is_followed_or_refused() -> None:
    rnd = random.Random(3)
    for _ in range(1500):
        stored = {f"c{i}": _stored(f"c{i}", rnd.choice(ARRAYS)) for i in range(4)}
        names, nodes = ["x", *stored], []
        for k in range(rnd.randint(1, 4)):
            taken = tuple(rnd.choice([*names, ""]) for _ in range(rnd.choice((0, 1, 2, 3, 5))))
            gives = tuple(f"n{k}_{j}" for j in range(rnd.choice((0, 1, 1, 1, 2))))
            held = {rnd.choice(NAMES): rnd.choice(VALUES) for _ in range(rnd.choice((0, 0, 1, 2)))}
            nodes.append(wire.Node(rnd.choice([*RULES]), "", taken, gives, held))
            names += gives
        graph = wire.Graph(8, 17, tuple(nodes), stored, (wire.Value("x", "<f4", None),), (), ())
        with contextlib.suppress(ModelError):
            follow(graph, rnd.choice([(1, 3, 8, 8), (2, 3, 8), (1, 8)]), ())


def _stored(name: str, array: np.ndarray) -> wire.Stored:
    item = next(i for i in wire.ITEMS.values() if np.dtype(i) == array.dtype)
    return wire.Stored(name, item, array.shape, memoryview(array.tobytes()))


WORDS = """
axis axes keepdims perm to value value_int value_ints kernel_shape strides pads group auto_pad blocksize num_outputs
start end transA ceil_mode output_padding
"""
NAMES = WORDS.split()
ARRAYS = [
    np.array(x, t)
    for x, t in [
        (0, "i8"), ([0], "i8"), ([1, 2], "i8"), ([0, -1], "i8"), ([2**62] * 2, "i8"), ([], "i8"), (-(2**63), "i8"),
        ([1, 1, 2, 2], "f4"), ([np.nan], "f4"), ([1e30], "f4"), ([True, False], "?"), ([3], "u1"),
    ]
] + [np.zeros(s, np.float32) for s in ((2, 3, 3), (4, 3, 3, 3), (3, 4), (0, 3))]  # fmt: skip
VALUES: list[Any] = [
    0, 1, 2, -1, 3, 2**40, -(2**63), 0.0, float("nan"), b"", b"SAME_UPPER", b"x", (), (0,), (1, 1), (-1,), (2**62,),
    (1.0, 2.0), (b"a",), _stored("s", np.zeros(3, np.float32)), _stored("s", np.array([2**60])),
]  # fmt: skip
