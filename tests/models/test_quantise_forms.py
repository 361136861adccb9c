"""Networks in 8 bits: what is left as it is, numbers that no processor overflows with, and the two that are shipped."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from insitu.models import head
from insitu.models.bundle import open_session, read_bundle
from insitu.models.quantise_forms import ending, static
from insitu.training.export import Net
from tests import bundles
from tests.models.test_quantise import inputs, strided

MODELS = Path(__file__).resolve().parents[2] / "pipelines" / "models"


def operators(model: bytes) -> dict[str, str]:
    """Name of a node to its operator."""
    return {node.name: node.op_type for node in onnx.load_from_string(model).graph.node}


def test_a_small_last_dense_layer_stays_and_can_be_fitted_again() -> None:
    model, x = strided(), inputs((1, 256))
    small = static(model, x)
    before, after = head.cut(model), head.cut(small)
    assert np.array_equal(after.weight, before.weight)
    other = head.graft(small, 2.0 * after.weight, 2.0 * after.bias)
    ours, theirs = (np.asarray(open_session(m).run(None, {"input": x[:3]})[0]) for m in (other, small))
    assert ours == pytest.approx(2.0 * theirs, rel=1e-5)


def test_a_large_last_dense_layer_is_quantised() -> None:
    rng = np.random.default_rng(0)
    net = Net("input", (1, 64))
    x = net.relu(net.conv(net.input, rng.normal(size=(8, 1, 5)), np.zeros(8), stride=2))
    model = net.model({"logits": net.gemm(net.flatten(x), rng.normal(size=(9, 256)), np.zeros(9))})
    assert "Gemm" not in {operators(model)[name] for name in ending(model)}
    assert len(static(model, inputs((1, 64)))) < len(model)


def test_what_follows_the_last_layer_stays_in_float() -> None:
    net = Net("input", (1, 8, 8))
    x = net.conv(net.relu(net.conv(net.input, np.ones((4, 1, 3, 3)))), np.ones((2, 4, 1, 1)))
    model = net.model({"y": net.mul(net.node("Round", net.upsample(x, 2, dims=2, mode="linear")), np.array(0.25))})
    assert {operators(model)[name] for name in ending(model)} == {"Identity", "Mul", "Round", "Resize"}


def test_weights_have_seven_bits_so_that_sixteen_hold_two_products() -> None:
    """255 x 64 x 2 is below 32,768; with 127 in place of 64 processors without VNNI saturate."""
    for model in (static(strided(), inputs((1, 256))), static(bundles.unet(32, 2, base=16), np.ones((9, 1, 32, 32)))):
        graph = onnx.load_from_string(model).graph
        whole = [numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8]
        weights = [w for w in whole if w.ndim > 1]
        assert weights
        assert max(int(np.abs(w.astype(int)).max()) for w in weights) <= 64


@pytest.mark.parametrize(("name", "gain", "size"), [("xrd_phases", 3.0, 0.30), ("precipitates", 1.2, 0.30)])
def test_a_network_shipped_in_8_bits_was_taken_because_it_pays(name: str, gain: float, size: float) -> None:
    manifest = read_bundle(MODELS / name).manifest
    (row,) = [r for r in manifest.quantisation.table if r["taken"]]
    assert row["kind"] == manifest.quantisation.kind
    assert row["kind"].startswith("static-int8")
    assert row["gain"] >= gain
    assert row["size"] <= size
    assert row["loss"] <= 0.5
    assert manifest.parent


def test_the_phase_network_names_its_shipped_parent_and_is_no_worse() -> None:
    small, full = (read_bundle(MODELS / name) for name in ("xrd_phases", "xrd_phases_fp32"))
    assert small.manifest.parent == full.digest
    assert small.manifest.serial > full.manifest.serial
    assert head.cut(small.model).weight.shape == (70, 64)
    figures = {(m.name, m.data): m.value for m in full.manifest.metrics}
    for m in small.manifest.metrics:
        if m.name != "calibration_error":
            assert m.value >= figures[m.name, m.data] - 0.005, m
