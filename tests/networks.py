"""Small networks made by hand with `onnx.helper`, honest ones and hostile ones, and bundles of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from insitu.models.bundle import Bundle, open_session, write_bundle
from insitu.models.manifest import Manifest
from insitu.models.preparing import digest

POINTS, CLASSES = 32, 3


def model(
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, np.ndarray] | None = None,
    *,
    given: Sequence[int | str] = ("batch", 1, POINTS),
    out: Sequence[int | str] = ("batch", CLASSES),
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model with the input `x` and the output `y`."""
    graph = helper.make_graph(
        list(nodes), "graph", [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(given))],
        [helper.make_tensor_value_info("y", kind, list(out))],
        [numpy_helper.from_array(a, name) for name, a in (weights or {}).items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def classifier(seed: int = 0, width: int = 4) -> onnx.ModelProto:
    """Convolution, mean, dense: `(batch, 1, 32)` to `(batch, 3)`."""
    rng = np.random.default_rng(seed)
    weights = {
        "w": rng.normal(size=(width, 1, 5)).astype(np.float32),
        "b": rng.normal(size=width).astype(np.float32),
        "g": rng.normal(size=(width, CLASSES)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[5], pads=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "g"], ["y"]),
    ]
    return model(nodes, weights)


def body(**changes: Any) -> dict[str, Any]:
    """A manifest for `classifier`, as plain JSON values."""
    return {
        "name": "tiny", "version": "1.0.0", "serial": 7, "created": "2026-11-22", "expires": "2126-11-22",
        "task": "classification", "modality": "xrd", "description": "three phases of a drawn sample",
        "labels": ["CeO2", "CuO", "none"],
        "inputs": {"name": "x", "shape": [None, 1, POINTS], "dtype": "float32", "unit": "counts"},
        "outputs": [{"name": "y", "shape": [None, CLASSES], "dtype": "float32", "unit": ""}],
        "preparation": {
            "name": "pattern", "params": {"points": POINTS}, "digest": digest("pattern", {"points": POINTS})
        },
        "training": {
            "script": "tests.networks",
            "data": [{"name": "drawn", "digest": "sha256:" + "1" * 64, "kind": "simulated", "n": 3}],
            "split": "by sample",
        },
        "metrics": [{"name": "accuracy", "value": 0.9, "low": 0.8, "high": 0.95, "n": 10, "data": "simulated"}],
        "batch_exact": True,
    } | changes  # fmt: skip


def manifest(**changes: Any) -> Manifest:
    """The manifest of `classifier`."""
    return Manifest.from_dict(body(**changes))


def inputs(k: int = 4) -> np.ndarray:
    """Prepared inputs of `classifier`."""
    return np.random.default_rng(5).normal(size=(k, 1, POINTS)).astype(np.float32)


def write(folder: Path, key: Path | None, network: onnx.ModelProto | None = None, **changes: Any) -> Bundle:
    """A whole bundle of `classifier` or of another network with its input and output."""
    data = (network or classifier()).SerializeToString()
    x = inputs()
    y = open_session(data).run(None, {"x": x})[0]
    golden = (x, np.asarray(y))
    told = manifest(**changes)
    return write_bundle(folder, told, model=data, golden=golden, calibration=inputs(16), licence="BSD-3\n", key=key)


def sign_again(folder: Path, key: Path) -> Path:
    """Whatever the files of a bundle are now: their digests into the manifest, and a new signature."""
    from dataclasses import replace

    from insitu.models import signing

    (folder / signing.NAME).unlink(missing_ok=True)
    names = [p.name for p in folder.iterdir() if p.name != "manifest.json"]
    told = Manifest.from_json((folder / "manifest.json").read_bytes())
    digests = {name: signing.sha256((folder / name).read_bytes()) for name in names}
    (folder / "manifest.json").write_bytes(replace(told, files=digests).to_json())
    signing.sign(folder, key)
    return folder
