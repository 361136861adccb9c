"""Bundles as wholes: written, read back, refused for each reason there is, and never read a second time."""

import builtins
import os
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from insitu.errors import ModelError
from insitu.models import graph, signing
from insitu.models.bundle import call, open_session, read_bundle, session, write_bundle
from insitu.models.manifest import Manifest
from tests import networks


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
