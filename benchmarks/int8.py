"""8 bits against full precision, by the tool that decides it: `insitu.models.quantise`, one thread, one input, in turn.

    PYTHONPATH=. python -m benchmarks int8 [--quick]

The networks have drawn filters and a last layer fitted to labels (patterns of 20 made-up substances with noise, shift
and background; pictures of spots), so that the score is that of labels on inputs that nothing was fitted to. Then the
trained networks that are shipped (`int8_shipped`). Goals: 1-D convolutions at least 3 times as fast in at most 0.30 of
the bytes, a U-Net 1.8 times, at most 0.5 points lost; small networks stay as they are.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.int8_shipped import all_of_them, show
from insitu.models import manifest, quantise
from insitu.models.bundle import open_session, write_bundle
from insitu.models.preparing import digest
from insitu.models.prune import activations
from insitu.training.export import Net

CLASSES = 20


class Case(NamedTuple):
    """A network: inputs `(k, ...)` to calibrate with and to try on, with what is right; goals for speed and size."""

    name: str
    model: bytes
    task: str
    labels: int
    calibration: np.ndarray
    inputs: np.ndarray
    right: np.ndarray
    gain: float | None
    size: float | None = None


def patterns(points: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Patterns `(n, 1, points)` of 20 made-up substances of 8 lines, and which one each is of."""
    lines = np.random.default_rng(5).uniform(0.05, 0.95, (CLASSES, 8)) * points
    heights = np.random.default_rng(6).uniform(0.2, 1.0, (CLASSES, 8))
    rng = np.random.default_rng(seed)
    label = rng.integers(0, CLASSES, n)
    at = lines[label] + rng.normal(0.0, 1.5, (n, 1))
    height = heights[label] * rng.uniform(0.5, 1.5, (n, 8))
    width = rng.uniform(2.0, 5.0, (n, 1, 1))
    x = np.sum(height[:, :, None] * np.exp(-0.5 * ((np.arange(points) - at[:, :, None]) / width) ** 2), axis=1)
    x += rng.uniform(0.0, 0.2, (n, 1)) + rng.normal(0.0, 0.25, x.shape)
    return np.maximum(x / x.max(axis=1, keepdims=True), 0.0)[:, None].astype(np.float32), label


def spots(tile: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures `(n, 1, tile, tile)` of bright spots in noise, and where the spots are `(n, tile, tile)`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:tile, :tile]
    truth = np.zeros((n, tile, tile), np.int64)
    for k in range(n):
        for _ in range(rng.integers(4, 12)):
            (cy, cx), r = rng.uniform(0, tile, 2), rng.uniform(4.0, tile / 10)
            truth[k][(y - cy) ** 2 + (x - cx) ** 2 < r * r] = 1
    pictures = 0.2 + 0.6 * truth + rng.normal(0.0, 0.1, truth.shape)
    return pictures[:, None].astype(np.float32), truth


def strided(
    points: int, widths: tuple[int, ...], fit: tuple[np.ndarray, np.ndarray] | None = None, *, size: int = 7
) -> bytes:
    """Convolutions of stride 2 with drawn filters, and a dense layer fitted to labels by ridge regression."""

    def net(weight: np.ndarray | None, bias: np.ndarray | None) -> bytes:
        rng, graph = np.random.default_rng(0), Net("input", (1, points))
        x, c, n = graph.input, 1, points
        for w in widths:
            filters = rng.normal(0.0, np.sqrt(2.0 / (size * c)), (w, c, size))
            x, c, n = graph.relu(graph.conv(x, filters, rng.normal(0.0, 0.02, w), stride=2)), w, -(-n // 2)
        x = graph.flatten(graph.pool(x, 4, dims=1))
        if weight is None or bias is None:
            return graph.model({"logits": x})
        return graph.model({"logits": graph.gemm(x, weight, bias)})

    if fit is None:
        return net(None, None)
    trunk = open_session(net(None, None))
    features = np.concatenate([np.asarray(trunk.run(None, {"input": x[None]})[0]) for x in fit[0]]).astype(np.float64)
    weight, bias = ridge(features, np.eye(CLASSES)[fit[1]])
    return net(weight, bias)


def ridge(x: np.ndarray, y: np.ndarray, strength: float = 1e-2) -> tuple[np.ndarray, np.ndarray]:
    """Weights `(outputs, n)` and bias of the ridge regression of `y` `(k, outputs)` on `x` `(k, n)`."""
    centre, middle = x.mean(axis=0), y.mean(axis=0)
    z = x - centre
    gram = z @ z.T
    weight = (z.T @ np.linalg.solve(gram + strength * np.trace(gram) / len(gram) * np.eye(len(gram)), y - middle)).T
    return 8.0 * weight, 8.0 * (middle - weight @ centre)


def unet(tile: int, widths: tuple[int, ...], fit: tuple[np.ndarray, np.ndarray]) -> bytes:
    """A U-Net (two 3 x 3 convolutions a level, pooling, resizing and joining) with drawn filters and a fitted head."""

    def net(weight: np.ndarray | None, bias: np.ndarray | None) -> tuple[bytes, str]:
        rng, graph = np.random.default_rng(0), Net("input", (1, tile, tile))

        def conv(x: str, a: int, b: int) -> str:
            filters = rng.normal(0.0, np.sqrt(2.0 / (9 * a)), (b, a, 3, 3))
            return graph.relu(graph.conv(x, filters, rng.normal(0.0, 0.02, b)))

        x, c, seen = graph.input, 1, []
        for k, w in enumerate(widths):
            x = conv(conv(graph.pool(x, 2, dims=2) if k else x, c, w), w, w)
            c = w
            seen.append((x, c))
        for skip, w in reversed(seen[:-1]):
            x = conv(conv(graph.concat(graph.upsample(x, 2, dims=2), skip), c + w, w), w, w)
            c = w
        head = np.zeros((1, c, 1, 1)) if weight is None else weight[:, :, None, None]
        return graph.model({"logits": graph.conv(x, head, np.zeros(1) if bias is None else bias)}), x

    model, last = net(None, None)
    seen = activations(model, [last], fit[0])[last].astype(np.float64)
    columns = seen.transpose(0, 2, 3, 1).reshape(-1, seen.shape[1])
    some = np.random.default_rng(1).permutation(len(columns))[:1500]
    weight, bias = ridge(columns[some], fit[1].reshape(-1, 1)[some].astype(np.float64))
    return net(weight, bias - 4.0)[0]  # the level between 0 and 1, times 8


def cases(quick: bool) -> Iterator[Case]:
    """The networks with drawn filters."""
    for points, widths, size in ((1024, (64, 64, 64, 64), 9), (2048, (32, 64, 128, 128), 7)):
        fit, tried = patterns(points, 400 if quick else 900, 1), patterns(points, 200 if quick else 600, 2)
        shown = "-".join(map(str, widths))
        model = strided(points, widths, fit, size=size)
        yield Case(f"1-D {shown} on {points}", model, "classification", CLASSES, fit[0][:100], *tried, 3.0, 0.30)
    fit, tried = spots(128, 8, 1), spots(128, 4 if quick else 16, 2)
    yield Case(
        "U-Net 16-32-64-128 on 128 px", unet(128, (16, 32, 64, 128), fit), "segmentation", 1, fit[0], *tried, 1.8
    )
    fit, tried = patterns(64, 400, 1), patterns(64, 200, 2)
    yield Case(
        "small 1-D 8-8 on 64", strided(64, (8, 8), fit, size=5), "classification", CLASSES, fit[0][:100], *tried, None
    )
    rng = np.random.default_rng(0)
    graph = Net("input", (24,))
    x = graph.relu(graph.gemm(graph.input, rng.normal(0.0, 0.3, (32, 24)), np.zeros(32)))
    dense = graph.model({"logits": graph.gemm(x, rng.normal(0.0, 0.5, (4, 32)), np.zeros(4))})
    inputs = rng.normal(size=(200, 24)).astype(np.float32)
    right = np.asarray(open_session(dense).run(None, {"input": inputs})[0]).argmax(axis=1)
    yield Case("dense 24-32-4", dense, "classification", 4, inputs[:100], inputs, right, None)


def described(case: Case) -> manifest.Manifest:
    """A manifest that says what is needed to judge outputs."""
    shape = case.inputs.shape[1:]
    output = np.asarray(open_session(case.model).run(None, {"input": case.inputs[:1]})[0]).shape[1:]
    return manifest.Manifest(
        name="bench", version="1.0.0", serial=1, created="2026-11-22", expires="2126-11-22", task=case.task,  # type: ignore[arg-type]
        modality="none", description="benchmark", labels=tuple(f"l{k}" for k in range(case.labels)),
        inputs=manifest.Tensor(name="input", shape=(None, *shape)),
        outputs=(manifest.Tensor(name="logits", shape=(None, *output)),),
        preparation=manifest.Preparation(name="image", params={}, digest=digest("image", {})),
        training=manifest.Training(
            script="benchmarks.int8", split="drawn",
            data=(manifest.TrainingData(name="drawn", digest="sha256:" + "0" * 64, kind="simulated", n=1),),
        ),
        metrics=(manifest.Metric(name="none", value=0.0, n=1, data="simulated"),),
    )  # fmt: skip


def main(folder: Path, *, quick: bool) -> None:
    print("\n8 bits against full precision (insitu model quantise), medians of one input, one thread")
    rounds = 20 if quick else 100
    with tempfile.TemporaryDirectory(dir=folder) as made:
        for i, case in enumerate(cases(quick)):
            golden = case.inputs[:4]
            outputs = np.asarray(open_session(case.model).run(None, {"input": golden})[0])
            bundle = write_bundle(
                Path(made) / str(i), described(case), model=case.model, golden=(golden, outputs), licence="-", key=None
            )
            trial = quantise.Trial(inputs=case.inputs, right=case.right, origin="drawn")
            outcome = quantise.quantise(bundle, case.calibration, trial, rounds=rounds)
            show(case.name, outcome, case.gain, case.size)
    all_of_them(rounds)
