"""Bundles that a trusted key has signed, and that are wrong all the same."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from insitu.errors import ModelError
from insitu.models.arrays import write_arrays
from insitu.models.bundle import read_bundle
from insitu.models.manifest import Manifest
from tests import networks

Again = Callable[[], Path]


def put(folder: Path, network: onnx.ModelProto) -> None:
    (folder / "model.onnx").write_bytes(network.SerializeToString())


def told(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_bytes(replace(Manifest.from_json(path.read_bytes()), **changes).to_json())


def hidden_operator(folder: Path) -> None:
    network = networks.classifier()
    network.graph.node[1].op_type = "NonZero"
    put(folder, network)


def unlisted_operator(folder: Path) -> None:
    network = networks.classifier()
    network.graph.node[1].op_type = "Sigmoid"
    put(folder, network)


def other_input(folder: Path) -> None:
    network = networks.classifier()
    network.graph.input[0].name = "other"
    put(folder, network)


def other_type(folder: Path) -> None:
    network = networks.classifier()
    network.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    put(folder, network)


def fixed_batch(folder: Path) -> None:
    network = networks.classifier()
    network.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    put(folder, network)


def old_opset(folder: Path) -> None:
    network = networks.classifier()
    network.opset_import[0].version = 9
    put(folder, network)


def future_opset(folder: Path) -> None:
    network = networks.classifier()
    network.opset_import[0].version = 99
    put(folder, network)


def other_weights(folder: Path) -> None:
    put(folder, networks.classifier(seed=1))


def poisoned_weights(folder: Path) -> None:
    network = networks.classifier()
    network.graph.initializer[2].CopyFrom(numpy_helper.from_array(np.full((4, 3), np.nan, np.float32), "g"))
    put(folder, network)


def a_large_declared_tensor(folder: Path) -> None:
    network = networks.classifier()
    network.graph.initializer[0].dims[:] = [2**30, 16, 1]
    put(folder, network)


def a_large_value(folder: Path) -> None:
    network = networks.classifier()
    network.graph.value_info.append(helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, [2**31 - 1, 4, 32]))
    put(folder, network)


def a_wrong_value(folder: Path) -> None:
    network = networks.classifier()
    network.graph.value_info.append(helper.make_tensor_value_info("r", onnx.TensorProto.INT8, ["batch", 7]))
    put(folder, network)


def an_expansion(folder: Path) -> None:
    network = networks.classifier()
    network.graph.node[1].CopyFrom(helper.make_node("Tile", ["c", "t"], ["r"]))
    network.graph.initializer.append(numpy_helper.from_array(np.array([1, 2**20, 2**20], np.int64), "t"))
    put(folder, network)
    told(folder, operators=("Conv", "Flatten", "GlobalAveragePool", "MatMul", "Tile"))


def wrong_golden(folder: Path) -> None:
    golden = {"input": networks.inputs(), "output": np.zeros((4, 3), np.float32)}
    (folder / "golden.npz").write_bytes(write_arrays(golden))


def nan_golden(folder: Path) -> None:
    golden = {"input": networks.inputs(), "output": np.full((4, 3), np.nan, np.float32)}
    (folder / "golden.npz").write_bytes(write_arrays(golden))


def infinite_golden(folder: Path) -> None:
    golden = {"input": networks.inputs(), "output": np.full((4, 3), np.inf, np.float32)}
    (folder / "golden.npz").write_bytes(write_arrays(golden))


def golden_of_another_shape(folder: Path) -> None:
    golden = {"input": networks.inputs(), "output": np.zeros((4, 2), np.float32)}
    (folder / "golden.npz").write_bytes(write_arrays(golden))


def golden_of_another_type(folder: Path) -> None:
    golden = {"input": networks.inputs().astype(np.float64), "output": np.zeros((4, 3), np.float32)}
    (folder / "golden.npz").write_bytes(write_arrays(golden))


def no_golden(folder: Path) -> None:
    golden = {"input": networks.inputs(1)[:0], "output": np.zeros((0, 3), np.float32)}
    (folder / "golden.npz").write_bytes(write_arrays(golden))


def too_many_golden(folder: Path) -> None:
    golden = {"input": networks.inputs(300), "output": np.zeros((300, 3), np.float32)}
    (folder / "golden.npz").write_bytes(write_arrays(golden))


def a_single_number(folder: Path) -> None:
    golden = {"input": np.array(1.0, np.float32), "output": np.array(1.0, np.float32)}
    (folder / "golden.npz").write_bytes(write_arrays(golden))


def no_network(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"\x08\x08")


def wrong_shapes(folder: Path) -> None:
    network = networks.classifier()
    network.graph.initializer[2].CopyFrom(numpy_helper.from_array(np.zeros((5, 3), np.float32), "g"))
    put(folder, network)


@pytest.mark.parametrize(
    ("change", "where", "why"),
    [
        (hidden_operator, "model.onnx", "the operator NonZero"),
        (unlisted_operator, "model.onnx", "not the operators that the manifest lists"),
        (other_input, "model.onnx", "has the inputs"),
        (other_type, "model.onnx", "float64"),
        (fixed_batch, "model.onnx", "the input 'x'"),
        (old_opset, "model.onnx", "version 9"),
        (future_opset, "model.onnx", "version 99"),
        (other_weights, "golden.npz", "does not come out"),
        (poisoned_weights, "golden.npz", "does not come out"),
        (a_large_declared_tensor, "model.onnx", "68,719,476,736 bytes"),
        (a_large_value, "model.onnx", "declares"),
        (a_wrong_value, "model.onnx", "onnxruntime does not load it"),
        (an_expansion, "model.onnx", "gives"),
        (wrong_golden, "golden.npz", "does not come out"),
        (nan_golden, "golden.npz", "not finite"),
        (infinite_golden, "golden.npz", "not finite"),
        (golden_of_another_shape, "golden.npz", "output is"),
        (golden_of_another_type, "golden.npz", "input is"),
        (no_golden, "golden.npz", "input is"),
        (too_many_golden, "golden.npz", "input is"),
        (a_single_number, "golden.npz", "input is"),
        (no_network, "model.onnx", "no graph"),
        (wrong_shapes, "model.onnx", "matrices"),
    ],
)
def test_a_wrong_bundle_is_refused_though_a_trusted_key_signed_it(
    copy: Path, signed_again: Again, change: Callable[[Path], None], where: str, why: str
) -> None:
    assert read_bundle(signed_again())
    change(copy)
    signed_again()
    with pytest.raises(ModelError, match=why) as found:
        read_bundle(copy)
    assert found.value.where == str(copy / where)


def test_what_onnxruntime_prints_does_not_reach_the_terminal(copy: Path, signed_again: Again, capfd: Any) -> None:
    a_wrong_value(copy)
    signed_again()
    with pytest.raises(ModelError):
        read_bundle(copy)
    assert capfd.readouterr() == ("", "")
