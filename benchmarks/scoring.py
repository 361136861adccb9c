"""Scoring stored frames against scoring them one by one: the same records asserted, byte for byte.

    PYTHONPATH=. python -m benchmarks scoring [--quick]

1. Networks alone on one core, on prepared inputs as they lie in a stored run: drawn ones of three sizes, and every
   shipped bundle that says `batch_exact`. A call has a cost of its own, so small networks gain many times from being
   given several frames at once; large ones compute at what the core can do already, and gain nothing.
2. A whole stored run with a small network on one core: read, prepare, score, judge.
3. A whole stored run with the shipped recipe `xrd_network`, the one whose bundle is `batch_exact`. One by one every
   feature is computed again, the fit too, as the live run does. Against it: a network that has changed while the rest
   has not (`insitu reanalyse` keeps the features that would come out the same), on one core; and every feature again in
   as many processes as there are processors (`insitu verify`), their start counted.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.int8 import strided
from benchmarks.timing import interleave, table
from insitu.catalog import shipped_folder
from insitu.config import Setup, load, load_stored
from insitu.errors import InsituError
from insitu.inference.onnx import at_once
from insitu.models.bundle import open_session, read_bundle
from insitu.replay.fold import reference_fold, with_neighbours
from insitu.replay.kept import kept
from insitu.replay.spread import Judged, judged
from insitu.run import run
from insitu.run.environment import threads_per_process
from insitu.store.canonical import canonical, record_body
from insitu.store.runs import StoredRun
from tests import bundles
from tests.settings import detector

GOAL = 3.0
Scorer = Callable[[StoredRun, Setup], Iterator[Judged]]


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
        whole(Path(made), 400 if quick else 4000, repeats)
        shipped(Path(made), 200 if quick else 600, 3)


def alone(name: str, model: bytes, key: str, inputs: np.ndarray, repeats: int) -> None:
    """The network alone."""
    session, size = open_session(model), at_once(inputs.shape[1:])
    results: dict[str, list[np.ndarray]] = {}

    def single() -> float:
        began = time.perf_counter()
        results["single"] = [np.asarray(session.run(None, {key: x[None]})[0]) for x in inputs]
        return len(inputs) / (time.perf_counter() - began)

    def together() -> float:
        began = time.perf_counter()
        results["together"] = [
            np.asarray(session.run(None, {key: np.stack(list(inputs[i : i + size]))})[0])
            for i in range(0, len(inputs), size)
        ]
        return len(inputs) / (time.perf_counter() - began)

    figures = interleave({f"{size} at once": together, "one by one": single}, repeats)
    assert np.array_equal(np.concatenate(results["single"]), np.concatenate(results["together"]))
    table(f"{name}: the network alone, one core", figures, "frames/s", f"{size} at once", {"one by one": GOAL})


def whole(folder: Path, frames: int, repeats: int) -> None:
    """A stored run, from reading to judging."""
    params = {"low": 1.0, "high": 5.0, "points": 64, "coverage": 0.2}
    place = bundles.written(folder / "tiny", params=params, batch_exact=True)
    keys = {"bundle": str(place), "allow_unsigned": True}
    rows = {"features": [{"use": "onnx", **keys}], "models": [{"use": "network", **keys}]}
    recipe = {"format": 1, "detectors": ["bench"], **rows}
    stored = Path(run(load(recipe, detectors={"bench": detector(frames=frames)}), data_root=folder).path)
    jobs = {"at once": lambda given, setup: judged(given, setup, stored, processes=1), "one by one": one_by_one}
    compared("a whole stored run, one core (4,096 points a frame, a small network)", stored, jobs, frames, repeats)


def shipped(folder: Path, frames: int, repeats: int) -> None:
    """The shipped recipe with a network that takes batches."""
    setup = load("xrd_network", detectors={"patterns_1d": detector(frames=frames)})
    stored = Path(run(setup, data_root=folder).path)
    cores = threads_per_process()

    def changed(given: StoredRun, setup: Setup) -> Iterator[Judged]:
        pipeline = setup.pipeline()
        known, network = kept(given, setup, pipeline), pipeline.extractors[0].call.outputs
        known = known._replace(keys={source: keys - network.keys() for source, keys in known.keys.items()})
        return judged(given, setup, stored, known=known, pipeline=pipeline, processes=1)

    def everything(given: StoredRun, setup: Setup) -> Iterator[Judged]:
        return judged(given, setup, stored, processes=cores, pays_s=0.0)

    title = f"a whole stored run, recipe xrd_network (4,096 points a frame, {frames} frames): "
    compared(
        title + "another network, one core", stored, {"at once": changed, "one by one": one_by_one}, frames, repeats
    )
    if cores > 1:
        jobs = {"at once": everything, "one by one": one_by_one}
        compared(title + f"every feature again, {cores} processes", stored, jobs, frames, repeats)


def one_by_one(given: StoredRun, setup: Setup) -> Iterator[Judged]:
    """As the live run does it."""
    pipeline, references = setup.pipeline(), reference_fold(setup)
    with threadpool_limits(limits=1):
        for item in with_neighbours(given, pipeline, references):
            yield Judged(item[0].data.nbytes, pipeline.step(*item))


def compared(title: str, stored: Path, jobs: Mapping[str, Scorer], frames: int, repeats: int) -> None:
    """Rates of going over a run, records canonical, as they are kept or compared."""
    setup, records = load_stored(stored), {}

    def rate(name: str, job: Scorer) -> float:
        with StoredRun(stored) as given:
            began = time.perf_counter()
            records[name] = [canonical(record_body(found.record)) for found in job(given, setup)]
            return frames / (time.perf_counter() - began)

    figures = interleave({name: partial(rate, name, job) for name, job in jobs.items()}, repeats)
    assert records["at once"] == records["one by one"]
    table(title, figures, "frames/s", "at once", {"one by one": GOAL})
