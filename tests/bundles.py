"""Small networks with drawn weights as bundles, signed with a key of the test, for whatever runs or keeps bundles."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from insitu.models import bundle, manifest, signing
from insitu.models.preparing import digest
from insitu.training.export import Net

ZERO = "sha256:" + "0" * 64
PATTERN = {"low": 1.0, "high": 4.0, "points": 64}


def convolutions(channels: int = 1, points: int = 64, outputs: int = 3, *, width: int = 8, seed: int = 0) -> bytes:
    """A 1-D convolutional network: `(batch, channels, points)` to `(batch, outputs)`."""
    rng = np.random.default_rng(seed)
    net = Net("input", (channels, points))
    x = net.relu(net.conv(net.input, rng.normal(0, 0.4, (width, channels, 5)), rng.normal(0, 0.1, width)))
    x = net.relu(net.conv(x, rng.normal(0, 0.3, (width, width, 5)), rng.normal(0, 0.1, width), stride=2))
    x = net.flatten(net.pool(x, 4, dims=1, mean=True))
    n = width * (points // 8)
    return net.model(
        {"logits": net.gemm(x, rng.normal(0, 2.0 / np.sqrt(n), (outputs, n)), rng.normal(0, 0.1, outputs))}
    )


def dense(inputs: int, outputs: int = 1, *, seed: int = 0) -> bytes:
    """Two dense layers: `(batch, inputs)` to `(batch, outputs)`."""
    rng = np.random.default_rng(seed)
    net = Net("input", (inputs,))
    x = net.relu(net.gemm(net.input, rng.normal(0, 0.5, (16, inputs)), rng.normal(0, 0.1, 16)))
    return net.model({"logits": net.gemm(x, rng.normal(0, 0.5, (outputs, 16)), np.zeros(outputs))})


def unet(tile: int | None = 32, outputs: int = 1, *, base: int = 4, seed: int = 0) -> bytes:
    """Two levels down and up again, by resizing: `(batch, 1, tile, tile)` to `(batch, outputs, tile, tile)`."""
    rng = np.random.default_rng(seed)
    net = Net("input", (1, tile or "y", tile or "x"))

    def block(x: str, a: int, b: int) -> str:
        return net.relu(net.conv(x, rng.normal(0, 0.8 / np.sqrt(9 * a), (b, a, 3, 3)), rng.normal(0, 0.05, b)))

    one = block(net.input, 1, base)
    two = block(net.pool(one, 2, dims=2), base, 2 * base)
    up = net.concat(net.upsample(two, 2, dims=2), one)
    x = block(up, 3 * base, base)
    out = net.conv(x, rng.normal(0, 0.5, (outputs, base, 1, 1)), np.zeros(outputs))
    return net.model({"logits": out}, {"logits": (outputs, tile or "y", tile or "x")})


def described(
    *,
    task: str = "classification",
    labels: tuple[str, ...] = ("CeO2", "CuO", "none"),
    shape: tuple[int, ...] = (1, 64),
    output: tuple[int, ...] = (3,),
    preparation: str = "pattern",
    params: Mapping[str, Any] = PATTERN,
    name: str = "tiny",
    **more: Any,
) -> manifest.Manifest:
    """A manifest; `shape` and `output` without the batch."""
    keys: dict[str, Any] = {
        "version": "1.0.0",
        "serial": 1,
        "created": "2026-11-22",
        "expires": "2126-11-22",
        "modality": "xrd",
        "description": "drawn weights, for tests",
        "inputs": manifest.Tensor(name="input", shape=(None, *shape)),
        "outputs": (manifest.Tensor(name="logits", shape=(None, *output)),),
        "preparation": manifest.Preparation(name=preparation, params=dict(params), digest=digest(preparation, params)),
        "ranges": manifest.Ranges(low=-0.5, high=1.5, share=0.02),
        "decision": manifest.Judgement(temperature=1.5, abstain_below=0.4),
        "training": manifest.Training(
            script="tests.bundles",
            data=(manifest.TrainingData(name="drawn", digest=ZERO, kind="simulated", n=1),),
            split="by sample",
        ),
        "metrics": (manifest.Metric(name="accuracy", value=0.5, low=0.4, high=0.6, n=10, data="simulated"),),
    }
    return manifest.Manifest(name=name, task=task, labels=labels, **{**keys, **more})  # type: ignore[arg-type]


def written(
    folder: Path, model: bytes | None = None, *, key: Path | None = None, golden: np.ndarray | None = None, **keys: Any
) -> Path:
    """The folder of a bundle; by default `convolutions` that name phases of patterns. Unsigned without a `key`."""
    made = described(**keys)
    model = convolutions() if model is None else model
    shape = [n or 1 for n in made.inputs.shape[1:]]
    inputs = np.random.default_rng(1).uniform(0.0, 1.0, (4, *shape)).astype(np.float32) if golden is None else golden
    session = bundle.open_session(model)
    outputs = [
        np.concatenate(rows) for rows in zip(*(session.run(None, {"input": x[None]}) for x in inputs), strict=True)
    ]
    bundle.write_bundle(folder, made, model=model, golden=(inputs, *outputs), licence="BSD-3-Clause", key=key)
    return folder


def pair(folder: Path) -> tuple[Path, Path]:
    """A private and a public key."""
    return signing.make_keys(folder)
