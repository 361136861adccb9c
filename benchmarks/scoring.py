"""Scoring stored frames: several at once against one by one, one thread, the same bits asserted.

    PYTHONPATH=. python -m benchmarks scoring [--quick]

First the networks alone, on prepared inputs as they lie in a stored run: drawn ones of three sizes, and every shipped
bundle that says `batch_exact`. Then a whole stored run (read, prepare, score, judge). What comes of it: a call has a
cost of its own, so small networks gain many times, large ones (which compute most of the time) little.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.int8 import strided
from benchmarks.timing import interleave, table
from insitu.catalog import shipped_folder
from insitu.config import load, load_stored
from insitu.errors import InsituError
from insitu.inference.onnx import BATCH
from insitu.models.bundle import open_session, read_bundle
from insitu.replay.fold import fold, reference_fold
from insitu.run import run
from insitu.store.canonical import canonical, record_body
from insitu.store.runs import StoredRun
from tests import bundles
from tests.settings import detector

GOAL = 3.0


def main(folder: Path, *, quick: bool) -> None:
    n, repeats = (256, 3) if quick else (1024, 7)
    rng = np.random.default_rng(0)
    drawn = {
        "dense, 32 features": (bundles.dense(32, 4), (32,)),
        "1-D, 8 channels, 64 points": (bundles.convolutions(), (1, 64)),
        "1-D, 64 channels, 1,024 points": (strided(1024, (64, 64, 64, 64), size=9), (1, 1024)),
    }
    for name, (model, shape) in drawn.items():
        alone(name, model, "input", rng.random((n, *shape)).astype(np.float32), repeats)
    for place in sorted(shipped_folder("pipelines").glob("models/*/manifest.json")):
        try:
            bundle = read_bundle(place.parent)
        except InsituError as e:
            print(f"  {place.parent.name}: {e}")
            continue
        m = bundle.manifest
        if m.batch_exact and m.inputs.shape[0] is None and m.task != "segmentation":
            golden = bundle.golden()[0]
            inputs = golden[np.arange(n) % len(golden)]
            alone(f"shipped {m.name}", bundle.model, m.inputs.name, inputs, repeats)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        whole(Path(made), 100 if quick else 400, repeats)


def alone(name: str, model: bytes, key: str, inputs: np.ndarray, repeats: int) -> None:
    """The network alone."""
    session = open_session(model)
    results: dict[str, list[np.ndarray]] = {}

    def single() -> float:
        began = time.perf_counter()
        results["single"] = [np.asarray(session.run(None, {key: x[None]})[0]) for x in inputs]
        return len(inputs) / (time.perf_counter() - began)

    def together() -> float:
        began = time.perf_counter()
        results["together"] = [
            np.asarray(session.run(None, {key: np.stack(list(inputs[i : i + BATCH]))})[0])
            for i in range(0, len(inputs), BATCH)
        ]
        return len(inputs) / (time.perf_counter() - began)

    figures = interleave({f"{BATCH} at once": together, "one by one": single}, repeats)
    assert np.array_equal(np.concatenate(results["single"]), np.concatenate(results["together"]))
    table(f"{name}: the network alone", figures, "frames/s", f"{BATCH} at once", {"one by one": GOAL})


def whole(folder: Path, frames: int, repeats: int) -> None:
    """A stored run, from reading to judging."""
    params = {"low": 1.0, "high": 5.0, "points": 64, "coverage": 0.2}
    place = bundles.written(folder / "tiny", params=params, batch_exact=True)
    keys = {"bundle": str(place), "allow_unsigned": True}
    rows = {"features": [{"use": "onnx", **keys}], "models": [{"use": "network", **keys}]}
    recipe = {"format": 1, "detectors": ["bench"], **rows}
    stored = Path(run(load(recipe, detectors={"bench": detector(frames=frames)}), data_root=folder).path)
    setup = load_stored(stored)
    records: dict[str, list[bytes]] = {}

    def again(name: str, most: int) -> float:
        pipeline = setup.pipeline()
        for stage in pipeline.extractors:
            stage.call.batch = most
        with StoredRun(stored) as given:
            began = time.perf_counter()
            records[name] = [canonical(record_body(r)) for _, r in fold(given, pipeline, reference_fold(setup))]
            return frames / (time.perf_counter() - began)

    jobs = {"at once": lambda: again("at once", BATCH), "one by one": lambda: again("one by one", 1)}
    figures = interleave(jobs, repeats)
    assert records["at once"] == records["one by one"]
    table("a whole stored run (4,096 points a frame, a small network)", figures, "frames/s", "at once", {})
