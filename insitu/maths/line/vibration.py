"""Vibration of one channel in one frame: how strong, how impulsive, at which frequencies. x is freed of its mean.

    rms       sqrt(mean x^2)                       peak     max |x|
    crest     peak / rms (sine 1.414)              shape    rms / mean |x| (sine 1.111, normal noise 1.253)
    kurtosis  mean x^4 / rms^4 - 3, unbiased (normal noise 0, sine -1.5, impacts of a damaged bearing or tooth more)
    bands     part of the power in each band of frequencies, Hann window (ISO 13373-2 asks for one): they add up to
              the part of the power inside all bands
    centre    mean frequency, weighted by power
    envelope  the strongest line of the spectrum of |analytic signal|^2: its frequency, and its height over the mean
              square (a modulation of depth m gives 4m / (2 + m^2))

Frequencies are in cycles per sample, 0 to 0.5, where no rate is given; in Hz with it. The spectrum is scipy's FFT; the
moments are one compiled pass. Sources: R. B. Randall, J. Antoni, Mech. Syst. Signal Process. 25 (2011) 485 (envelope
spectra of bearings); ISO 10816/20816 (rms).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from scipy import fft

FEWEST = 16
"""Fewer samples tell nothing of vibration."""
BANDS = ((0.0, 0.0625), (0.0625, 0.125), (0.125, 0.25), (0.25, 0.5))
"""Octaves below half the sampling rate, in cycles per sample."""


class Vibration(NamedTuple):
    """Numbers of one channel (see the head of this file). `bands`: as many as were asked for."""

    rms: float
    peak: float
    crest: float
    kurtosis: float
    shape: float
    centre: float
    envelope_frequency: float
    envelope_height: float
    bands: tuple[float, ...]


@njit(cache=True)
def _moments(x: np.ndarray, window: np.ndarray, out: np.ndarray) -> tuple:
    """Mean square, mean fourth power, largest and mean of |x - mean|; `out` gets x - mean, times the window."""
    n, total = x.size, 0.0
    for i in range(n):
        total += x[i]
    mean, second, fourth, peak, absolute = total / n, 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        away = x[i] - mean
        square = away * away
        second += square
        fourth += square * square
        size = abs(away)
        peak = max(peak, size)
        absolute += size
        out[i] = away * window[i]
    return second / n, fourth / n, peak, absolute / n


@njit(cache=True)
def _spectrum(lines: np.ndarray, edges: np.ndarray, parts: np.ndarray) -> tuple:
    """Power by band (`edges` (b, 2) in lines, both included; `parts` (b,) is filled), all power, and the mean line."""
    total, weighted = 0.0, 0.0
    for k in range(1, lines.size):
        power = lines[k].real ** 2 + lines[k].imag ** 2
        total += power
        weighted += k * power
        for b in range(parts.size):
            if edges[b, 0] <= k <= edges[b, 1]:
                parts[b] += power
    return total, weighted / total if total > 0.0 else 0.0


@njit(cache=True)
def _square(analytic: np.ndarray, out: np.ndarray) -> float:
    """The squared envelope into `out`, freed of its mean; the mean."""
    total = 0.0
    for i in range(out.size):
        out[i] = analytic[i].real ** 2 + analytic[i].imag ** 2
        total += out[i]
    mean = total / out.size
    for i in range(out.size):
        out[i] -= mean
    return mean


@njit(cache=True)
def _strongest(lines: np.ndarray, first: int) -> tuple:
    """The strongest line from `first` on, and its power."""
    best, at = -1.0, 0
    for k in range(first, lines.size):
        power = lines[k].real ** 2 + lines[k].imag ** 2
        if power > best:
            best, at = power, k
    return at, best


@lru_cache(maxsize=64)
def _plan(n: int, bands: tuple[tuple[float, float], ...], low: float, high: float) -> tuple:
    """Hann window (n,), edges of bands in lines, the lines of the carrier, and scratch sizes for n samples."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n) / n)
    edges = np.array([(math.floor(a * n) + 1, math.floor(b * n + 1e-9)) for a, b in bands], np.int64).reshape(-1, 2)
    return window, edges, max(math.ceil(low * n), 1), min(math.floor(high * n + 1e-9), n // 2)


def vibration(
    values: np.ndarray,
    rate: float | None = None,
    *,
    bands: Sequence[tuple[float, float]] = BANDS,
    carrier: tuple[float, float] = (0.0625, 0.5),
) -> Vibration | None:
    """The vibration in the samples `(n,)`; None for fewer than `FEWEST` or for a channel that does not move.

    `rate` in Hz: frequencies are in Hz then; `bands` and `carrier` (the band whose envelope is taken) are in the same
    unit as what comes out.

    >>> t = np.arange(1000) / 1000.0
    >>> v = vibration(np.sin(2 * np.pi * 200 * t) * (1 + 0.5 * np.sin(2 * np.pi * 20 * t)), 1000.0,
    ...               bands=[(100, 300)], carrier=(100, 300))
    >>> v.envelope_frequency, round(v.envelope_height, 3), round(v.bands[0], 3)
    (20.0, 0.889, 1.0)
    """
    n = values.size
    if n < FEWEST or not np.isfinite(values).all():
        return None
    scale = 1.0 if rate is None else rate
    parts = tuple((a / scale, b / scale) for a, b in bands)
    window, edges, low, high = _plan(n, parts, carrier[0] / scale, carrier[1] / scale)
    windowed = np.empty(n)
    x = np.ascontiguousarray(values, np.float64)
    second, fourth, peak, absolute = _moments(x, window, windowed)
    floor = np.finfo(np.float64).eps * max(abs(float(x[0])), abs(float(x[-1])))
    if not math.isfinite(second + fourth) or second <= (n * floor) ** 2 or not fourth > 0.0:
        return None
    rms = math.sqrt(second)
    lines: Any = fft.rfft(windowed)
    power = np.zeros(len(parts))
    total, centre = _spectrum(lines, edges, power)
    at, height = _envelope(x, low, high)
    return Vibration(
        rms=rms, peak=peak, crest=peak / rms, kurtosis=_unbiased(fourth / second**2, n), shape=rms / absolute,
        centre=centre / n * scale, envelope_frequency=at / n * scale, envelope_height=height,
        bands=tuple((power / total).tolist()) if total > 0.0 else (0.0,) * len(parts),
    )  # fmt: skip


def _unbiased(ratio: float, n: int) -> float:
    """Excess kurtosis, without the bias of few samples (as scipy.stats.kurtosis with bias=False)."""
    return (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * ratio - 3.0 * (n - 1))


def _envelope(x: np.ndarray, low: int, high: int) -> tuple[int, float]:
    """The strongest line of the squared envelope of lines `low` to `high` of x, and its height over the mean square."""
    n = x.size
    if high <= low:
        return 0, 0.0
    lines: Any = fft.rfft(x)
    positive = np.zeros(n, np.complex128)
    positive[low : high + 1] = 2.0 * lines[low : high + 1]
    square = np.empty(n)
    analytic: Any = fft.ifft(positive)
    mean = _square(analytic, square)
    if not mean > 0.0:
        return 0, 0.0
    spectrum: Any = fft.rfft(square)
    at, power = _strongest(spectrum, 1)
    return at, 2.0 * math.sqrt(power) / n / mean
