"""The whole two-dimensional recipe on 1 Mpx images: integrate, five peaks, store, ledger; beside durable storing alone.

Images are made beforehand by the simulator, so that only ours is measured. The rate is that between the first and the
last acknowledgement; the lag is from the image handed over to the return of the COMMIT that holds it.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.timing import interleave, table
from insitu.config import load
from insitu.maths.latency import Latency
from insitu.readers.simulated_image import AreaDetector
from insitu.run import run
from insitu.store.writer import RunWriter
from insitu.types import Arrival

SHAPE = (1043, 981)
DISTINCT = 8


class Made:
    """`frames` images, over and over the same eight, as fast as they are taken."""

    images: ClassVar[list[Arrival]] = []
    handed: ClassVar[dict[int, float]] = {}

    def __init__(self, *, frames: int) -> None:
        self.frames = frames

    def __call__(self) -> Iterator[Arrival]:
        Made.handed.clear()
        for k in range(self.frames):
            made = Made.images[k % DISTINCT]
            Made.handed[k] = time.perf_counter()
            yield Arrival(
                source=made.source, data=made.data, dims=made.dims, unit=made.unit, source_seq=k,
                time_ns=time.time_ns(), clock="ioc",
            )  # fmt: skip


class Timed:
    """The commits of runs, by time, while it is entered."""

    def __enter__(self) -> "Timed":
        self.lag, self.times, self._commit = Latency(), [], RunWriter.commit

        def commit(writer: RunWriter) -> tuple[list[int], list[int]]:
            found = self._commit(writer)
            now = time.perf_counter()
            for n in found[0]:
                self.lag.add(now - Made.handed[n])
                self.times.append(now)
            return found

        RunWriter.commit = commit  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        RunWriter.commit = self._commit  # type: ignore[method-assign]


def recipe(poni: Path, frames: int, prepare: list[dict[str, Any]], features: list[dict[str, Any]]) -> Any:
    """A recipe on the images; 64 MB in flight keep the lag short."""
    detector: dict[str, Any] = {
        "format": 1, "source": "det", "shape": list(SHAPE), "dtype": "int32", "dims": ["y", "x"],
        "reader": {"use": "benchmarks.recipe_2d:Made", "frames": frames}, "geometry": {"poni": str(poni)},
    }  # fmt: skip
    table = {
        "format": 1,
        "detectors": ["d"],
        "prepare": prepare,
        "features": features,
        "budget": {"in_flight": "64 MB"},
    }
    return load(table, detectors={"d": detector})


def main(disk: Path, *, quick: bool) -> None:
    """Rates in frames/s and lags in ms."""
    count, rounds = (150, 2) if quick else (500, 5)
    simulator = AreaDetector(frames=DISTINCT, shape=SHAPE, exposure=0.001)
    Made.images = [simulator.arrival(k) for k in range(DISTINCT)]
    lags: dict[str, list[Mapping[str, float]]] = {}
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        poni = Path(folder, "bench.poni")
        poni.write_text(simulator.poni())
        peaks = {"use": "xrd.peaks", "windows": windows(poni, count)}
        rings = {"use": "xrd.rings"}
        jobs = {
            "whole recipe, no splitting": ([{"use": "azimuthal", "split": "no"}], [peaks]),
            "whole recipe, bounding boxes": ([{"use": "azimuthal", "split": "bbox"}], [peaks]),
            "and rings": ([{"use": "azimuthal", "split": "bbox"}], [peaks, rings]),
            "durable storing alone": ([], []),
        }

        def job(name: str) -> float:
            setup = recipe(poni, count, *jobs[name])
            with tempfile.TemporaryDirectory(dir=folder) as root, Timed() as timed:
                summary = run(setup, data_root=Path(root))
            assert summary.frames["stored"] == summary.records == count, summary
            lag = timed.lag.as_dict()
            assert lag is not None
            lags.setdefault(name, []).append(lag)
            return (count - 1) / (timed.times[-1] - timed.times[0])

        figures = interleave({name: lambda name=name: job(name) for name in jobs}, rounds)
    title = f"1 Mpx int32 images, {count} each: frames/s acknowledged (goal: whole recipe 100)"
    table(title, figures, "frames/s", "whole recipe, no splitting", {})
    for name, found in lags.items():
        worst = np.median([lag["p99"] for lag in found])
        print(f"  lag of {name:<30} p99 {worst:.0f} ms (goal 250)")


def windows(poni: Path, count: int) -> list[list[str]]:
    """Windows around the five strongest peaks of the first image."""
    from insitu.features.xrd import Peaks
    from insitu.types import Frame

    setup = recipe(poni, count, [{"use": "azimuthal"}], [])
    made = Made.images[0]
    frame = Frame(source="det", data=made.data, dims=made.dims, unit="counts", time_ns=0, seq=0, n=0)
    pattern = setup.pipeline().prepares[0].call(frame, {})
    found = Peaks(max_peaks=5)(pattern, {}, ())
    middles = [float(f.value) for key, f in found.items() if key.endswith("_position") and f.value is not None]
    assert len(middles) == 5, found
    return [[f"{m - 0.3:.3f} deg", f"{m + 0.3:.3f} deg"] for m in middles]
