"""Particle location beside trackpy's numba engine, on real video frames: same frames, same settings, in turns.

Positions are compared before anything is timed: at least 99.5 % of the peer's must have one of ours within 0.1 px, and
the numbers of particles must agree within 1 %. trackpy is no dependency: `pip install trackpy`, or name a Python that
has it in INSITU_TRACKPY (it then runs in its own process, frames in turns all the same). The frames are those of the
shared measurements (INSITU_DATA), else simulated ones.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from benchmarks.timing import interleave, table
from insitu.maths.video.locate import locate

DIAMETER, LEAST = 11, 20
PEER = """
import json, sys, time, warnings
import numpy as np, trackpy as tp
warnings.filterwarnings("ignore")
tp.quiet()
frames = np.load(sys.argv[1])
def find(i):
    return tp.locate(frames[i % len(frames)], DIAMETER, minmass=LEAST, invert=True, engine="numba")
print(json.dumps([find(i)[["y", "x"]].values.tolist() for i in range(len(frames))]), flush=True)
for line in sys.stdin:
    times = []
    for i in range(int(line)):
        began = time.perf_counter()
        find(i)
        times.append(time.perf_counter() - began)
    print(json.dumps(times), flush=True)
""".replace("DIAMETER", str(DIAMETER)).replace("LEAST", str(LEAST))


def frames(count: int) -> np.ndarray:
    """Real frames `(count, y, x)`, spread over the recording; simulated ones where there are none."""
    folder = Path(os.environ.get("INSITU_DATA", "../shared/data")) / "video" / "bulk_water_dev"
    from insitu.readers.movie import Movie
    from insitu.readers.simulated_colloid import Colloid
    from insitu.types import Arrival

    if not folder.is_dir():
        print("  simulated frames: INSITU_DATA names no folder of measurements")
        reader = Colloid(shape=(424, 640), particles=600, noise=2.0)
        return np.stack([reader.arrival(i).data for i in range(count)])
    found = [item.data for item in Movie(str(folder))() if isinstance(item, Arrival)]
    return np.stack(found[:: max(1, len(found) // count)][:count])


@contextmanager
def peer(images: np.ndarray) -> Iterator[tuple[list[np.ndarray], Callable[[int], list[float]]]]:
    """trackpy in a process of its own: what it finds, and a call that gives the times of so many frames."""
    python = os.environ.get("INSITU_TRACKPY", sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.npy"
        np.save(path, images)
        process = subprocess.Popen([python, "-c", PEER, str(path)], stdin=-1, stdout=-1, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            raise SystemExit("trackpy is not there: pip install trackpy, or INSITU_TRACKPY=/path/to/python")

        def ask(count: int) -> list[float]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{count}\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        try:
            yield [np.array(found) for found in json.loads(first)], ask
        finally:
            process.stdin.close()
            process.wait(30)


def main(disk: Path, *, quick: bool) -> None:
    """Frames/s of both, and how well they agree."""
    rounds, repeats = (3, 6) if quick else (9, 20)
    images = frames(6 if quick else 20)

    def ours(count: int) -> list[float]:
        times = []
        for i in range(count):
            began = time.perf_counter()
            locate(images[i % len(images)], DIAMETER, min_mass=LEAST, dark=True)
            times.append(time.perf_counter() - began)
        return times

    with peer(images) as (theirs, ask):
        mine = [locate(image, DIAMETER, min_mass=LEAST, dark=True)[:, :2] for image in images]
        near = [KDTree(a).query(b)[0] < 0.1 for a, b in zip(mine, theirs, strict=True)]
        share, found, known = float(np.mean(np.concatenate(near))), sum(map(len, mine)), sum(map(len, theirs))
        assert share >= 0.995, share
        assert abs(found - known) <= 0.01 * known, (found, known)
        jobs = {
            "insitu": lambda: 1.0 / statistics.median(ours(repeats)),
            "trackpy numba": lambda: 1.0 / statistics.median(ask(repeats)),
        }
        title = f"Particles in {images.shape[1]} x {images.shape[2]} {images.dtype}, {known / len(images):.0f} a frame"
        title += f": {100 * share:.2f} % of positions within 0.1 px, {found} of {known} found"
        table(title, interleave(jobs, rounds), "frames/s", "insitu", {"trackpy numba": 4.0})
