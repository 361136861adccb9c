"""Bundles as wholes: written, read back, refused for each reason there is, and never read a second time."""

import builtins
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from insitu.errors import ModelError
from insitu.models import graph, signing
from insitu.models.arrays import write_arrays
from insitu.models.bundle import call, open_session, read_bundle, session, write_bundle
from insitu.models.manifest import Manifest
from tests import networks

Again = Callable[[], Path]


def test_a_bundle_is_read_as_it_was_written(copy: Path, pair: tuple[Path, Path]) -> None:
    found = read_bundle(copy)
    assert found.signed_by == signing.public_of(pair[0]).fingerprint
    assert found.digest == signing.sha256((copy / "manifest.json").read_bytes())
    assert found.model == (copy / "model.onnx").read_bytes()
    assert found.manifest.operators == ("Conv", "Flatten", "GlobalAveragePool", "MatMul", "Relu")
    assert sorted(found.manifest.files) == ["LICENSE", "calibration.npz", "golden.npz", "mlbom.json", "model.onnx"]
    x, y = found.golden()
    np.testing.assert_array_equal(x, networks.inputs())
    np.testing.assert_allclose(session(found).run(None, {"x": x})[0], y, rtol=1e-5, atol=1e-6)
    assert found.calibration() is not None
    assert session(found) is session(found)


def test_the_same_network_written_twice_has_the_same_digest(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    one, two = (networks.write(tmp_path / name, pair[0]) for name in "ab")
    assert one.digest == two.digest


def test_nothing_is_read_again_after_it_was_verified(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime and numpy get the verified bytes: the folder is gone when they run."""
    signing.trusted()  # imports what checks signatures
    read = open_session

    def gone(model: bytes) -> Any:
        shutil.rmtree(copy)
        return read(model)

    monkeypatch.setattr("insitu.models.bundle.open_session", gone)
    found = read_bundle(copy)
    monkeypatch.setattr(builtins, "open", None)
    assert len(found.golden()[0]) == 4


def test_an_unsigned_bundle_needs_the_override(copy: Path) -> None:
    (copy / signing.NAME).unlink()
    with pytest.raises(ModelError, match="not signed") as found:
        read_bundle(copy)
    assert "allow_unsigned" in found.value.remedy
    assert read_bundle(copy, allow_unsigned=True).signed_by == ""


def test_the_override_is_not_one_for_a_wrong_signature(copy: Path) -> None:
    data = bytearray((copy / "LICENSE").read_bytes())
    data[0] ^= 1
    (copy / "LICENSE").write_bytes(data)
    with pytest.raises(ModelError):
        read_bundle(copy, allow_unsigned=True)
    (copy / signing.NAME).unlink()
    with pytest.raises(ModelError, match="not the bytes that the manifest names"):
        read_bundle(copy, allow_unsigned=True)


def test_a_key_given_for_this_call_counts(whole: Path, pair: tuple[Path, Path]) -> None:
    assert read_bundle(whole, keys=[pair[1]]).signed_by
    with pytest.raises(ModelError, match="not trusted"):
        read_bundle(whole)


def test_the_copy_of_a_run_is_read_whoever_signed_it_and_however_old_it_is(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    networks.write(tmp_path / "old", pair[0], created="2020-01-01", expires="2021-01-01")
    assert read_bundle(tmp_path / "old", stored=True).manifest.expires == "2021-01-01"
    (tmp_path / "old" / "LICENSE").write_text("other")
    with pytest.raises(ModelError, match="LICENSE"):
        read_bundle(tmp_path / "old", stored=True)


def test_an_older_serial_is_refused(copy: Path) -> None:
    assert read_bundle(copy, least_serial=7)
    with pytest.raises(ModelError, match="serial 7") as found:
        read_bundle(copy, least_serial=8)
    assert "rollback" in found.value.remedy


def test_an_expired_bundle_is_refused_from_the_day_after(copy: Path) -> None:
    assert read_bundle(copy, today=date(2126, 11, 22))
    with pytest.raises(ModelError, match="expired on 2126-11-22"):
        read_bundle(copy, today=date(2126, 11, 23))


def test_every_message_names_the_file_and_has_the_exit_status_of_models(copy: Path) -> None:
    (copy / "golden.npz").write_bytes(b"other")
    with pytest.raises(ModelError) as found:
        read_bundle(copy)
    assert found.value.where == str(copy / "golden.npz")
    assert found.value.exit_code == 6
    assert found.value.remedy


# -- signed by somebody who is trusted, and wrong all the same


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


# -- writing


def test_a_claim_that_batches_are_exact_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert networks.write(tmp_path / "exact", None)

    def drifting(made: Any, inputs: np.ndarray, found: Manifest) -> list[np.ndarray]:
        return [x + np.float32(1e-6 * len(inputs)) for x in call(made, inputs, found)]

    monkeypatch.setattr("insitu.models.bundle.call", drifting)
    with pytest.raises(ModelError, match="other numbers for a batch"):
        networks.write(tmp_path / "not", None)
    assert not (tmp_path / "not").exists()
    assert networks.write(tmp_path / "honest", None, batch_exact=False)


def test_a_network_without_a_batch_is_run_one_by_one(tmp_path: Path) -> None:
    network = networks.classifier()
    for value in (network.graph.input[0], network.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    data = network.SerializeToString()
    x, made = networks.inputs(), open_session(network.SerializeToString())
    y = np.concatenate([np.asarray(made.run(None, {"x": one[None]})[0]) for one in x])
    shapes = {
        "inputs": {"name": "x", "shape": [1, 1, 32], "dtype": "float32", "unit": ""},
        "outputs": [{"name": "y", "shape": [1, 3], "dtype": "float32", "unit": ""}],
    }
    manifest = networks.manifest(**shapes)
    found = write_bundle(tmp_path / "b", manifest, model=data, golden=(x, y), licence="x", key=None)
    assert found.golden()[1].shape == (4, 3)


def test_several_outputs_have_golden_numbers_each(tmp_path: Path) -> None:
    network = networks.classifier()
    network.graph.output.append(helper.make_tensor_value_info("f", onnx.TensorProto.FLOAT, ["batch", 4]))
    data, x = network.SerializeToString(), networks.inputs()
    golden = (x, *(np.asarray(a) for a in open_session(data).run(None, {"x": x})))
    outputs = [networks.body()["outputs"][0], {"name": "f", "shape": [None, 4], "dtype": "float32", "unit": ""}]
    manifest = networks.manifest(outputs=outputs)
    found = write_bundle(tmp_path / "b", manifest, model=data, golden=golden, licence="x", key=None)
    assert found.golden()[1].shape == (4, 3)
    with pytest.raises(ModelError, match="golden output1 does not come out"):
        write_bundle(tmp_path / "c", manifest, model=data, golden=(*golden[:2], golden[2] + 1), licence="x", key=None)


def test_a_bundle_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    network = networks.classifier()
    data = network.SerializeToString()
    with pytest.raises(ModelError, match="does not come out"):
        write_bundle(
            tmp_path / "b", networks.manifest(), model=data, licence="x", key=None,
            golden=(networks.inputs(), np.zeros((4, 3), np.float32)),
        )  # fmt: skip
    assert os.listdir(tmp_path) == []


def test_the_operators_of_the_list_are_in_the_reference() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "bundle.md"
    listed = page.read_text().split("## Operators")[1].split("\n## ")[0]
    assert set(listed.replace("`", " ").replace(",", " ").split()) >= graph.OPERATORS
