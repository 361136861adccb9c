"""Power spectral density by Welch's method, planned once for windows of one length: equal to `scipy.signal.welch`.

Hann window, segments that overlap by half, each without its mean, density, one-sided (P. D. Welch, IEEE Trans. Audio
Electroacoust. 15 (1967) 70). The slope is that of ln P over ln f.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy import fft, signal

from insitu.maths.aligned import empty

ROWS = 24
"""Segments transformed at once: enough that the calls cost little, few enough for the cache of the processor."""


@njit(cache=True)
def _windowed(x: np.ndarray, window: np.ndarray, first: int, step: int, out: np.ndarray, offsets: np.ndarray) -> None:
    """Fill `out` (rows, m) with segments of x from sample `first` on, each minus its mean, times the window.

    `offsets` (blocks,): sums of x over consecutive blocks of `step` samples, where m is a multiple of it."""
    m = window.size
    parts = m // step
    for k in range(out.shape[0]):
        begin = first + k * step
        mean = 0.0
        if parts * step == m:
            for j in range(parts):
                mean += offsets[begin // step + j]
        else:
            for i in range(begin, begin + m):
                mean += x[i]
        mean /= m
        for i in range(m):
            out[k, i] = (x[begin + i] - mean) * window[i]


@njit(cache=True)
def _block_sums(x: np.ndarray, step: int) -> np.ndarray:
    """Sums of consecutive whole blocks of `step` samples."""
    out = np.empty(x.size // step)
    for k in range(out.size):
        a = b = c = d = 0.0
        i, end = k * step, (k + 1) * step
        while i + 3 < end:
            a += x[i]
            b += x[i + 1]
            c += x[i + 2]
            d += x[i + 3]
            i += 4
        while i < end:
            a += x[i]
            i += 1
        out[k] = (a + b) + (c + d)
    return out


@njit(cache=True)
def _add_power(spectrum: np.ndarray, out: np.ndarray) -> None:
    """Add the squares of the magnitudes of a spectrum (rows, m) to `out` (m,)."""
    for k in range(spectrum.shape[0]):
        for i in range(out.size):
            z = spectrum[k, i]
            out[i] += z.real * z.real + z.imag * z.imag


class Welch:
    """The power spectral density of windows of n samples at a rate in Hz; `frequency` `(m,)` in Hz.

    `segment`: samples of a segment, at most n. Holds no buffers: calls may overlap in time.

    >>> x = np.random.default_rng(0).normal(size=10_000)
    >>> bool(np.allclose(Welch(10_000, 1e6, 1024)(x), signal.welch(x, 1e6, nperseg=1024)[1], rtol=1e-9))
    True
    """

    def __init__(self, n: int, rate: float, segment: int = 4096) -> None:
        if n < 8 or segment < 8 or not rate > 0.0:
            raise ValueError("a spectrum needs 8 samples or more, and a rate above 0")
        self.n, self.segment = n, min(segment, n)
        self.step = self.segment - self.segment // 2
        self.count = (n - self.segment) // self.step + 1
        window = np.asarray(signal.get_window("hann", self.segment), np.float64)
        self.frequency = np.fft.rfftfreq(self.segment, 1.0 / rate)
        self._window = window
        self._scale = np.full(self.frequency.size, 2.0 / (rate * float(np.sum(window * window)) * self.count))
        self._scale[0] *= 0.5
        if self.segment % 2 == 0:
            self._scale[-1] *= 0.5

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Density `(m,)` of samples `(n,)`, in their unit squared per Hz."""
        power = np.zeros(self.frequency.size)
        offsets = _block_sums(x, self.step)
        rows = empty((min(ROWS, self.count), self.segment), np.dtype(np.float64))
        for k in range(0, self.count, ROWS):
            part = rows[: min(ROWS, self.count - k)]
            _windowed(x, self._window, k * self.step, self.step, part, offsets)
            _add_power(np.asarray(fft.rfft(part, axis=-1)), power)
        return power * self._scale


class Slope(NamedTuple):
    """Exponent b of P ~ f^b and its standard uncertainty, from the scatter around the line."""

    value: float
    sigma: float


class SlopeFit:
    """The straight line through ln P over ln f for f from `low` to `high` Hz, every octave with the same weight.

    `enough` tells whether four points or more lie between; without them there is no line.
    """

    def __init__(self, frequency: np.ndarray, low: float, high: float) -> None:
        self._at = np.flatnonzero((frequency >= low) & (frequency <= high) & (frequency > 0.0))
        self.enough = self._at.size >= 4
        if self.enough:
            log = np.log(frequency[self._at])
            weight = 1.0 / frequency[self._at]
            self._weight = weight / weight.sum()
            self._log = log - float(self._weight @ log)
            self._gain = self._weight * self._log / float(self._weight @ (self._log * self._log))

    def __call__(self, power: np.ndarray) -> Slope | None:
        """The slope of a density `(m,)`; None where a part of it is 0."""
        part = power[self._at]
        if not self.enough or not bool((part > 0.0).all()):
            return None
        y = np.log(part)
        value = float(self._gain @ y)
        rest = y - float(self._weight @ y) - value * self._log
        # neighbours share a part of the window: the Hann window correlates each point with two on either side
        scatter = float(rest @ rest) / (y.size - 2)
        return Slope(value, math.sqrt(1.5 * scatter * float(self._gain @ self._gain)))


def band_power(frequency: np.ndarray, power: np.ndarray, low: float, high: float) -> float:
    """Mean square of what lies from `low` up to `high` Hz: the sum of the density there times the step."""
    first, last = np.searchsorted(frequency, (low, high))
    return float(power[first:last].sum()) * float(frequency[1] - frequency[0])
