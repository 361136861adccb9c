import sys

import numpy as np
import pytest

from insitu.errors import MissingExtraError
from insitu.training.export import Net, from_torch, torch_of
from insitu.training.latency import latency, outputs

pytest.importorskip("onnx")


def test_a_convolution_and_a_dense_layer_compute_what_numpy_computes() -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(3, 2, 5)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    dense, at = rng.normal(size=(4, 3 * 8)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    net = Net("input", (2, 16))
    x = net.pool(net.relu(net.conv(net.input, weight, bias)), 2, dims=1)
    model = net.model({"output": net.gemm(net.flatten(x), dense, at)})
    one = rng.normal(size=(2, 16)).astype(np.float32)
    padded = np.pad(one, ((0, 0), (2, 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=1)
    made = np.maximum(np.einsum("oik,ink->on", weight, windows) + bias[:, None], 0.0)
    expected = dense @ made.reshape(3, 8, 2).max(axis=2).ravel() + at
    assert outputs(model, one[None])[0][0] == pytest.approx(expected, abs=1e-4)


def test_the_same_weights_give_the_same_bytes_and_shapes_are_declared() -> None:
    import onnx

    def made() -> bytes:
        net = Net("image", (1, 8, 8))
        up = net.upsample(net.pool(net.input, 2, dims=2), 2, dims=2)
        return net.model({"map": net.concat(up, net.input)})

    assert made() == made()
    value = onnx.load_from_string(made()).graph.output[0]
    assert [d.dim_value for d in value.type.tensor_type.shape.dim][1:] == [2, 8, 8]


def test_a_torch_sequence_is_written_with_its_batch_norm_folded() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Conv1d(1, 4, 5, stride=2, padding=2), torch.nn.BatchNorm1d(4), torch.nn.ReLU(),
        torch.nn.Dropout(0.5), torch.nn.Flatten(), torch.nn.Linear(4 * 8, 3),
    )  # fmt: skip
    layers(torch.randn(64, 1, 16))  # running statistics
    layers.eval()
    x = torch.randn(5, 1, 16)
    expected = layers(x).detach().numpy()
    assert outputs(from_torch(layers, (1, 16)), x.numpy())[0] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(TypeError, match="GELU"):
        from_torch(torch.nn.Sequential(torch.nn.GELU()), (1, 16))


def test_latency_is_told_with_the_processor() -> None:
    net = Net("input", (4,))
    found = latency(net.model({"output": net.relu(net.input)}), np.zeros(4, np.float32), repeats=5)
    assert 0.0 < found["p50_ms"] <= found["p99_ms"]
    assert set(found) == {"p50_ms", "p99_ms", "cpu", "flags"}


def test_without_torch_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"insitu\[train\]"):
        torch_of()
