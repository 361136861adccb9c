"""Mean squared displacement of many tracks, the drift that they share taken out, as the frames come.

For the displacements d_i of the n tracks seen in frames t - lag and t, the mean of d_i is the drift of the sample over
that time, and what is left is

    MSD(lag) = sum_t sum_i |d_i - mean d|^2 / sum_t (n_t - 1)

(n - 1, because the mean was taken from the same tracks). Only tracks of `min_length` points count, with all their
points: when a track gets that long, its earlier points are added to the sums of their frames, which are therefore kept
open for a while. Memory is bounded: `span` points for each track alive, and sums for `span` frames.

Diffusion in two dimensions: D = (MSD(2) - MSD(1)) / 4 per frame, the covariance estimator, which the error of the
positions does not bias, with its uncertainty (C. L. Vestergaard, P. C. Blainey, H. Flyvbjerg, Phys. Rev. E 89 (2014)
022726, eqs. 14 and 17).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

COUNT, ALONG_Y, ALONG_X, SQUARES = range(4)


class PowerLaw(NamedTuple):
    """`MSD = coefficient lag^exponent`, with the standard errors of a straight line through the logarithms."""

    exponent: float
    exponent_sigma: float
    coefficient: float
    coefficient_sigma: float


class Diffusion(NamedTuple):
    """D and its standard uncertainty, px^2/frame; the error of positions along one axis, px; displacements used."""

    value: float
    sigma: float
    position_error: float
    displacements: int


class Displacements:
    """Sums of displacements by lag (1 to `max_lag` frames), of tracks with at least `min_length` points.

    `memory`: frames that a track may be missing. `drift`: whether what all tracks share is taken out; needed are then
    two tracks at a time.
    """

    def __init__(self, *, max_lag: int, min_length: int, memory: int, drift: bool = True) -> None:
        self.max_lag, self.min_length, self.drift = max_lag, min_length, drift
        self.open = max(2, min_length * (memory + 1))
        self.span = max(max_lag + 1, self.open)
        self._place = np.empty((64, self.span, 2))
        self._stamp = np.full((64, self.span), -1, np.int64)
        self._length = np.zeros(64, np.int64)
        self._free = list(range(63, -1, -1))
        self._slot: dict[int, int] = {}
        self._sums = np.zeros((self.open, max_lag + 1, 4))
        self._ticks = np.full(self.open, -1, np.int64)
        self._total = np.zeros((max_lag + 1, 2))
        self._moved = np.zeros(3)
        self._last = -1

    def add(self, tick: int, tracks: np.ndarray, points: np.ndarray, good: np.ndarray) -> None:
        """The points `(n, 2)` of a frame with their tracks `(n,)`; those that are not `good` `(n,)` make a track
        longer, but their places are not used. Ticks go up."""
        self._open(tick)
        slots = np.array([self._slot_of(int(track)) for track in tracks], np.int64)
        points = np.ascontiguousarray(points)  # one kind of array: `_add` is compiled for it once
        _add(
            self._place, self._stamp, self._length, slots, points, good, tick, self.min_length, self.max_lag, self._sums
        )

    def forget(self, tracks: np.ndarray) -> None:
        """These tracks have ended."""
        for track in tracks:
            slot = self._slot.pop(int(track), None)
            if slot is not None:
                self._stamp[slot], self._length[slot] = -1, 0
                self._free.append(slot)

    def length(self, tracks: np.ndarray) -> np.ndarray:
        """Points `(n,)` that each of these tracks has."""
        return np.array([self._length[self._slot[int(t)]] if int(t) in self._slot else 0 for t in tracks], np.int64)

    def msd(self) -> tuple[np.ndarray, np.ndarray]:
        """MSD in px^2 `(max_lag,)` for lags 1, 2, ..., NaN where nothing is known, and displacements used."""
        total = self._total + self._spread(self._sums[self._ticks >= 0]).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (total[:, 1] / total[:, 0])[1:], total[1:, 0]

    def moved(self) -> tuple[float, float, float]:
        """How far the tracks moved together since the first frame: along y, along x, and its uncertainty, px."""
        moved = self._moved.copy()
        for row in np.argsort(self._ticks):
            if self._ticks[row] >= 0:
                moved += self._drift(row)
        return float(moved[0]), float(moved[1]), math.sqrt(moved[2])

    def power_law(self, max_lag: int | None = None) -> PowerLaw | None:
        """A power law through the MSD, all lags alike; None with fewer than 5 lags. `coefficient` in px^2 at a lag of
        one frame."""
        msd, count = self.msd()
        known = (np.arange(1, len(msd) + 1) <= (max_lag or self.max_lag)) & (count >= 10) & (msd > 0)
        lags = np.flatnonzero(known) + 1.0
        return fit_power_law(lags, msd[known])

    def diffusion(self) -> Diffusion | None:
        """D from the first two lags; None with fewer than 10 displacements."""
        msd, count = self.msd()
        if len(msd) < 2 or not count[1] >= 10:
            return None
        value, n = (msd[1] - msd[0]) / 4.0, 2.0 * count[0]
        error = max(0.0, (2.0 * msd[0] - msd[1]) / 4.0)
        ratio = error / value if value > 0 else math.inf
        spread = math.sqrt((6.0 + 4.0 * ratio + 2.0 * ratio**2) / n) * value if value > 0 else msd[0] / math.sqrt(n)
        return Diffusion(float(value), float(spread), math.sqrt(error), int(count[0]))

    def _open(self, tick: int) -> None:
        """Make room for a frame; the oldest is closed."""
        row = tick % self.open
        for old in np.flatnonzero((self._ticks >= 0) & (self._ticks <= tick - self.open)):
            self._moved += self._drift(int(old))
            self._total += self._spread(self._sums[old])
            self._ticks[old] = -1
        self._sums[row] = 0.0
        self._ticks[row], self._last = tick, tick

    def _spread(self, sums: np.ndarray) -> np.ndarray:
        """Displacements that count and their squares `(..., max_lag + 1, 2)`, of sums `(..., max_lag + 1, 4)`."""
        n = sums[..., COUNT]
        if not self.drift:
            return np.stack([n, sums[..., SQUARES]], axis=-1)
        mean = (sums[..., ALONG_Y] ** 2 + sums[..., ALONG_X] ** 2) / np.maximum(n, 1.0)
        some = n >= 2
        return np.stack([np.where(some, n - 1.0, 0.0), np.where(some, sums[..., SQUARES] - mean, 0.0)], axis=-1)

    def _drift(self, row: int) -> np.ndarray:
        """Common step (y, x) since the frame before, and its variance; over the shortest lag that tracks bridge."""
        for lag in range(1, min(self.max_lag, 10) + 1):
            n, y, x, squares = self._sums[row, lag]
            if n >= 1:
                spread = max(0.0, squares - (y * y + x * x) / n) / (2.0 * n * max(n - 1.0, 1.0))
                return np.array([y / n, x / n, spread])
        return np.zeros(3)

    def _slot_of(self, track: int) -> int:
        slot = self._slot.get(track)
        if slot is None:
            if not self._free:
                size = len(self._length)
                self._place = np.concatenate([self._place, np.empty_like(self._place)])
                self._stamp = np.concatenate([self._stamp, np.full_like(self._stamp, -1)])
                self._length = np.concatenate([self._length, np.zeros_like(self._length)])
                self._free = list(range(2 * size - 1, size - 1, -1))
            slot = self._slot[track] = self._free.pop()
        return slot


def fit_power_law(lags: np.ndarray, msd: np.ndarray) -> PowerLaw | None:
    """A straight line through log(msd) `(n,)` over log(lag) `(n,)` by least squares; None with fewer than 5 points.

    >>> fit_power_law(np.arange(1.0, 9.0), 2.0 * np.arange(1.0, 9.0) ** 1.5)[0::2]
    (1.5, 2.0)
    """
    if len(lags) < 5:
        return None
    x, y = np.log(lags), np.log(msd)
    spread = float(np.sum((x - x.mean()) ** 2))
    slope = float(np.sum((x - x.mean()) * (y - y.mean()))) / spread
    level = float(y.mean() - slope * x.mean())
    variance = float(np.sum((y - level - slope * x) ** 2)) / (len(x) - 2)
    at_one = math.exp(level)
    level_sigma = math.sqrt(variance * (1.0 / len(x) + float(x.mean()) ** 2 / spread))
    return PowerLaw(round(slope, 12), math.sqrt(variance / spread), round(at_one, 12), at_one * level_sigma)


@numba.njit(cache=True, nogil=True)
def _add(place, stamp, length, slots, points, good, tick, min_length, max_lag, sums):
    span, rows = stamp.shape[1], sums.shape[0]
    for n in range(slots.size):
        slot = slots[n]
        length[slot] += 1
        if good[n]:
            at = tick % span
            stamp[slot, at] = tick
            place[slot, at, 0], place[slot, at, 1] = points[n, 0], points[n, 1]
        if length[slot] > min_length and good[n]:
            _to_here(place[slot], stamp[slot], tick, max_lag, sums[tick % rows])
        elif length[slot] == min_length:  # long enough: all that it did counts
            for end in range(max(tick - rows + 1, 0), tick + 1):
                if stamp[slot, end % span] == end:
                    _to_here(place[slot], stamp[slot], end, max_lag, sums[end % rows])


@numba.njit(cache=True, nogil=True)
def _to_here(place, stamp, end, max_lag, sums):
    span = stamp.size
    y, x = place[end % span, 0], place[end % span, 1]
    for lag in range(1, min(max_lag, end) + 1):
        at = (end - lag) % span
        if stamp[at] == end - lag:
            dy, dx = y - place[at, 0], x - place[at, 1]
            sums[lag, 0] += 1.0
            sums[lag, 1] += dy
            sums[lag, 2] += dx
            sums[lag, 3] += dy * dy + dx * dx
