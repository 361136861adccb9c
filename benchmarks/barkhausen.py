"""Barkhausen noise beside scipy: the same numbers of a window of 100 ms at 1 MS/s, same windows, in turns.

The numbers are moving RMS over 1000 samples, power spectral density (Welch, segments of 4096), bursts above a threshold
with a dead time of 5 samples, kurtosis and RMS. They are compared before anything is timed: the spectrum within 1e-5.
scipy makes the moving RMS with `uniform_filter1d`, or with `numpy.convolve` (which sees zeros beyond the ends: compared
inside). Then the whole extractor `barkhausen`, with band-pass, envelope over the field, power laws and slope.

All of it runs in one thread and waits for nothing: the figures are of its processor time, so that others on the machine
count little.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage, signal, stats

from benchmarks.timing import interleave, table
from insitu.features.barkhausen import Barkhausen as Extractor
from insitu.maths.magnetic.barkhausen_kernel import find_pulses, moments, moving_rms, scan
from insitu.maths.magnetic.barkhausen_psd import Welch
from insitu.readers.simulated_barkhausen import Barkhausen
from insitu.types import Arrival, Frame

SAMPLES, RATE, WINDOW, SEGMENT, DEAD = 100_000, 1e6, 1000, 4096, 5
Numbers = tuple[np.ndarray, np.ndarray, int, float, float]
WELCH = Welch(SAMPLES, RATE, SEGMENT)


def ours(wave: np.ndarray, threshold: float) -> Numbers:
    """Moving RMS, density, number of bursts, kurtosis and RMS of a window."""
    x = wave.astype(np.float64)
    rms = np.empty(x.size)
    moving_rms(x, WINDOW, rms)
    square, second, fourth = moments(x, scan(x)[2] / x.size)
    return rms, WELCH(x), len(find_pulses(x, threshold, DEAD)[0]), fourth / second**2 - 3.0, square**0.5


def with_scipy(wave: np.ndarray, threshold: float, *, convolve: bool = False) -> Numbers:
    """The same by the calls that scipy has for them."""
    x = wave.astype(np.float64)
    squares = x * x
    mean = np.convolve(squares, np.ones(WINDOW) / WINDOW, "same") if convolve else None
    rms = np.sqrt(ndimage.uniform_filter1d(squares, WINDOW) if mean is None else mean)
    density = signal.welch(x, RATE, nperseg=SEGMENT)[1]
    hit = np.flatnonzero(np.abs(x) > threshold)
    bursts = int((np.diff(hit) > DEAD).sum() + (len(hit) > 0))
    return rms, density, bursts, float(stats.kurtosis(x)), float(np.sqrt(squares.mean()))


def compare(wave: np.ndarray, threshold: float) -> float:
    """Largest relative difference of the spectra; everything else must agree."""
    mine, inside = ours(wave, threshold), slice(WINDOW, -WINDOW)
    for convolve in (False, True):
        theirs = with_scipy(wave, threshold, convolve=convolve)
        np.testing.assert_allclose(mine[0][inside], theirs[0][inside], rtol=1e-9)
        assert mine[2] == theirs[2] > 0, (mine[2], theirs[2])
        np.testing.assert_allclose(mine[3:], theirs[3:], rtol=1e-9)
    np.testing.assert_allclose(mine[0], with_scipy(wave, threshold)[0], rtol=1e-9)
    worst = float(np.max(np.abs(mine[1] / theirs[1] - 1.0)))
    assert worst < 1e-5, worst
    return worst


def frame(arrival: Arrival, n: int) -> Frame:
    """An arrival as the pipeline sees it."""
    return Frame(seq=n, n=n, **{f.name: getattr(arrival, f.name) for f in dataclasses.fields(arrival)})


def main(disk: Path, *, quick: bool) -> None:
    """Windows/s of ours and of scipy, and of the whole extractor, with how many times real time that is."""
    rounds, repeats = (3, 7) if quick else (11, 21)
    reader = Barkhausen(samples=SAMPLES, sample_rate=RATE)
    frames = [frame(reader.arrival(i), i) for i in range(4)]
    waves = [np.ascontiguousarray(f.data[0]) for f in frames]
    threshold = 0.02
    worst = max(compare(wave, threshold) for wave in waves)
    extractor = Extractor(low=1e3)
    found: Any = extractor(frames[0], {}, ())
    missing = [key for key, feature in found.items() if feature.value is None]
    assert not missing, missing

    def rate_of(one: Callable[[int], Any]) -> Callable[[], float]:
        def job() -> float:
            times = []
            for i in range(repeats):
                began = time.thread_time()
                one(i % len(waves))
                times.append(time.thread_time() - began)
            return 1.0 / statistics.median(times)

        return job

    jobs = {
        "insitu": rate_of(lambda i: ours(waves[i], threshold)),
        "scipy": rate_of(lambda i: with_scipy(waves[i], threshold)),
        "scipy, convolve": rate_of(lambda i: with_scipy(waves[i], threshold, convolve=True)),
        "insitu, whole extractor": rate_of(lambda i: extractor(frames[i], {}, ())),
    }
    title = f"Barkhausen noise, windows of 100 ms at 1 MS/s: spectra agree within {worst:.1e}, bursts exactly"
    figures = interleave(jobs, rounds)
    table(title, figures, "windows/s", "insitu", {"scipy": 5.0, "scipy, convolve": 5.0})
    real = statistics.median(figures["insitu, whole extractor"]) * SAMPLES / RATE
    print(f"  the whole extractor: {real:.0f} times real time on one core (goal 20)")
