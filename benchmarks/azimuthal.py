"""Azimuthal integration of 1 Mpx beside pyFAI's csr on two threads: mask, solid angle, polarisation, Poisson sigma.

Both integrate the same Poisson frames with the same bins, one call per frame from the array to intensity and sigma;
pyFAI is called as its users call it (`integrate1d`, engine kept). Before anything is timed the answers are compared:
sums without splitting must be equal, intensity and sigma within 1e-4. The features of images are timed as well. Figures
are frames/s of each round's median frame, of interleaved rounds.
"""

import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.timing import interleave, table
from insitu.features.image import Pixels
from insitu.features.rings import Rings
from insitu.maths.aligned import aligned
from insitu.prepare.azimuthal import Azimuthal
from insitu.types import Detector, Frame, Geometry

BINS = 1000
PONI = """PixelSize1: 0.000172
PixelSize2: 0.000172
Distance: 0.2086
Poni1: 0.0873
Poni2: 0.0799
Rot1: -0.0184
Rot2: 0.0041
Rot3: 0.0
Wavelength: 4.066e-11
"""
SHAPE = (1043, 981)
GOALS = {"no": 5.0, "bbox": 4.0}


def images(count: int = 4) -> list[np.ndarray]:
    """Poisson rings with gaps of -2, 1043 x 981 int32 (a Pilatus 1M)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    rate = 20.0 + 4000.0 * np.exp(-((((np.hypot(y - 512, x - 487) % 110) - 55) / 2.5) ** 2))
    frames = []
    for _ in range(count):
        frame = rng.poisson(rate).astype(np.int32)
        frame[gaps()] = -2
        frames.append(aligned(frame))
    return frames


def gaps() -> np.ndarray:
    """Between modules: 7 columns, and 17 rows after every 195."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, 487:494] = True
    for row in range(195, SHAPE[0], 212):
        mask[row : row + 17] = True
    return mask


def per_second(call: Callable[[np.ndarray], object], frames: list[np.ndarray], repeats: int) -> float:
    """Frames/s by the median of single frames."""
    times = []
    for k in range(repeats):
        began = time.perf_counter()
        call(frames[k % len(frames)])
        times.append(time.perf_counter() - began)
    return 1.0 / statistics.median(times)


def peer(poni: Path, split: str) -> Callable[[np.ndarray], object]:
    """pyFAI, its engine set up by the first call."""
    import pyFAI

    ai = pyFAI.load(str(poni))
    keys = {
        "unit": "2th_deg",
        "mask": gaps(),
        "polarization_factor": 0.99,
        "correctSolidAngle": True,
        "error_model": "poisson",
        "method": (split, "csr", "cython"),
    }
    return lambda image: ai.integrate1d(image, BINS, **keys)


def wrapped(image: np.ndarray) -> Frame:
    return Frame(source="det", data=image, dims=("y", "x"), unit="counts", time_ns=0, seq=0, n=0)


def same(ours: Azimuthal, theirs: Callable, image: np.ndarray, split: str) -> str:
    """Asserts that both did the same work; how near they are, in words."""
    a, b = ours(wrapped(image), {}), theirs(image)
    assert a.sigma is not None
    some = b.count > 0
    off = max(float(np.max(np.abs(x[some] / y[some] - 1.0))) for x, y in ((a.data, b.intensity), (a.sigma, b.sigma)))
    assert np.allclose(a.axes["two_theta"].values, b.radial)
    assert off < 1e-4, off
    if split == "bbox":
        return f"intensity and sigma within {off:.1e}"
    sums = ours._image.pattern(wrapped(image), {}).signal
    assert (sums == b.sum_signal).all()
    return f"sums equal, intensity and sigma within {off:.1e}"


def main(disk: Path, *, quick: bool) -> None:
    """Both kinds of splitting, then what the features of images cost."""
    os.environ.setdefault("OMP_NUM_THREADS", "2")  # the peer's threads; ours is one
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    rounds, repeats = (3, 8) if quick else (7, 20)
    frames = images()
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        poni, mask = Path(folder) / "bench.poni", Path(folder) / "mask.npy"
        poni.write_text(PONI)
        np.save(mask, gaps())
        detector = Detector(name="a", source="det", shape=SHAPE, geometry=Geometry(poni=poni, mask=mask))
        for split in ("no", "bbox"):
            ours, theirs = Azimuthal(bins=BINS, split=split, detector=detector), peer(poni, split)
            said = same(ours, theirs, frames[0], split)
            jobs = {
                "insitu, 1 thread": lambda o=ours: per_second(lambda image: o(wrapped(image), {}), frames, repeats),
                "pyFAI csr, 2 threads": lambda t=theirs: per_second(t, frames, repeats),
            }
            title = f"1 Mpx int32, {BINS} bins, splitting {split!r}: {said}"
            table(
                title, interleave(jobs, rounds), "frames/s", "insitu, 1 thread", {"pyFAI csr, 2 threads": GOALS[split]}
            )
        jobs = {
            name: lambda e=extract: per_second(lambda image: e(wrapped(image), {}, ()), frames, repeats)
            for name, extract in (("xrd.rings", Rings(detector=detector)), ("image.pixels", Pixels(detector=detector)))
        }
        table("Features of 1 Mpx images", interleave(jobs, rounds), "frames/s", "xrd.rings", {})
