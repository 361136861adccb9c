"""Defect maps beside scikit-image: smoothing, local mean threshold, labels, region statistics on 512 x 512.

Both make the same map of the same frames; before anything is timed, masks, labels, areas, centres and eccentricities
are compared. Then the features of video on 1024 x 1024, and the whole recipe (focus, drift, defect map, store). Figures
are frames/s of each round's median frame, of interleaved rounds; the whole recipe's is that between the first and the
last acknowledgement.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from skimage import filters, measure

from benchmarks.recipe_2d import Timed
from benchmarks.timing import interleave, table
from insitu.config import load
from insitu.features.defects import Defects
from insitu.features.grains import Grains
from insitu.maths.video.regions import Regions, regions_of
from insitu.readers.simulated_precipitates import Precipitates
from insitu.run import run
from insitu.types import Arrival, Frame

SIGMA, BLOCK = 2.0, 101
PROPERTIES = ("label", "area", "centroid", "eccentricity")
GOAL, GOAL_RECIPE = 12.0, 40.0


def peer(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """What a user of scikit-image writes."""
    smoothed = filters.gaussian(image, SIGMA, preserve_range=True)
    mask = smoothed > filters.threshold_local(smoothed, BLOCK, method="mean")
    labels = measure.label(mask, connectivity=2)
    return mask, labels, measure.regionprops_table(labels, properties=PROPERTIES)


def wrapped(image: np.ndarray) -> Frame:
    return Frame(source="video", data=image, dims=("y", "x"), unit="counts", time_ns=0, seq=0, n=0)


def same(ours: Callable[[np.ndarray], tuple[np.ndarray, Regions]], images: list[np.ndarray]) -> str:
    """Asserts that both did the same work on every image; in words."""
    count = 0
    for image in images:
        (mask, found), (theirs, labels, numbers) = ours(image), peer(image)
        assert (mask == theirs).all(), "another mask"
        assert (found.labels == labels).all(), "other regions"
        assert (found.area == numbers["area"]).all()
        assert np.allclose(found.y, numbers["centroid-0"], atol=1e-9)
        assert np.allclose(found.x, numbers["centroid-1"], atol=1e-9)
        assert np.allclose(found.eccentricity, numbers["eccentricity"], atol=1e-5)
        count += found.area.size
    return f"IoU 1, the same {count} regions in {len(images)} frames"


def per_second(call: Callable[[np.ndarray], object], images: list[np.ndarray], repeats: int) -> float:
    """Frames/s by the median of single frames."""
    times = []
    for k in range(repeats):
        began = time.perf_counter()
        call(images[k % len(images)])
        times.append(time.perf_counter() - began)
    return 1.0 / statistics.median(times)


class Made:
    """`frames` pictures, over and over the same few, as fast as they are taken."""

    images: ClassVar[list[Arrival]] = []

    def __init__(self, *, frames: int) -> None:
        self.frames = frames

    def __call__(self) -> Iterator[Arrival]:
        from benchmarks.recipe_2d import Made as Clock

        Clock.handed.clear()
        for k in range(self.frames):
            made = Made.images[k % len(Made.images)]
            Clock.handed[k] = time.perf_counter()
            yield Arrival(
                source=made.source, data=made.data, dims=made.dims, unit=made.unit, source_seq=k,
                time_ns=time.time_ns(), clock="ioc",
            )  # fmt: skip


def recipe(frames: int, features: list[dict[str, Any]]) -> Any:
    """A recipe on the pictures: two threads measure, and 12 MB in flight keep storing from running ahead."""
    detector: dict[str, Any] = {
        "format": 1, "source": "video", "shape": [1024, 1024], "dtype": "uint8", "dims": ["y", "x"],
        "reader": {"use": "benchmarks.defects:Made", "frames": frames},
    }  # fmt: skip
    made = {
        "format": 1,
        "detectors": ["d"],
        "features": features,
        "budget": {"in_flight": "12 MB", "measure_threads": 2},
    }
    return load(made, detectors={"d": detector})


def main(disk: Path, *, quick: bool) -> None:
    """The map beside its peer, features one by one, the recipe."""
    rounds, repeats = (3, 10) if quick else (7, 25)
    # bright particles on dark: each is a region
    small = [255 - Precipitates(seed=k, size=512).arrival(50).data for k in range(4)]
    large = [Precipitates(seed=k, size=1024, particles=400).arrival(50) for k in range(3)]
    extract = Defects(polarity="bright", smoothing=SIGMA, block=BLOCK)

    def map_and_regions(image: np.ndarray) -> tuple[np.ndarray, Regions]:
        mask = extract.mask(image)
        return mask, regions_of(mask)

    said = same(map_and_regions, small)
    jobs = {
        "insitu": lambda: per_second(map_and_regions, small, repeats),
        "insitu, all features of `defects`": lambda: per_second(lambda i: extract(wrapped(i), {}, ()), small, repeats),
        "scikit-image": lambda: per_second(peer, small, max(len(small), repeats // 5)),
    }
    title = f"Defect map and region statistics, 512 x 512 uint8: {said}"
    table(title, interleave(jobs, rounds), "frames/s", "insitu", {"scikit-image": GOAL})
    features = {
        "defects": extract,
        "defects, by edges": Defects(smoothing=1.0, threshold="edges", block=31, offset=0.2, opening=7, fill=2000),
        "grains": Grains(),
    }
    plain = [arrival.data for arrival in large]
    jobs = {
        name: lambda e=e: per_second(lambda i: e(wrapped(i), {}, ()), plain, repeats // 2)
        for name, e in features.items()
    }
    table("Features, 1024 x 1024 uint8", interleave(jobs, rounds), "frames/s", "defects", {})
    Made.images = large
    whole = [
        {"use": "video.quality", "name": "video"},
        {"use": "video.drift", "name": "drift"},
        {"use": "defects", "name": "defect", "polarity": "bright", "smoothing": SIGMA, "block": BLOCK},
    ]
    count = 60 if quick else 200

    def job(features: list[dict[str, Any]]) -> float:
        with tempfile.TemporaryDirectory(dir=disk) as root, Timed() as timed:
            summary = run(recipe(count, features), data_root=Path(root))
        assert summary.frames["stored"] == summary.records == count, summary
        return (count - 1) / (timed.times[-1] - timed.times[0])

    jobs = {
        "focus, drift, defect map, store": lambda: job(whole),
        "defect map, store": lambda: job(whole[2:]),
        "store": lambda: job([]),
    }
    figures = interleave(jobs, max(2, rounds // 2))
    table(
        f"1024 x 1024 uint8, {count} each: frames/s acknowledged (goal: whole recipe {GOAL_RECIPE:g})",
        figures, "frames/s", "focus, drift, defect map, store", {},
    )  # fmt: skip
