"""Loss of a core from the flux density of any shape, by the improved generalised Steinmetz equation (iGSE).

    P = (1/T) integral k_i |dB/dt|^alpha (dB)^(beta - alpha) dt          W/m^3, over one period
    k_i = k / ((2 pi)^(alpha - 1) 2^(beta - alpha) integral_0^(2 pi) |cos x|^alpha dx)

with the peak-to-peak swing dB of the loop that a moment belongs to: a waveform with minor loops is split into the major
one and the minor ones, each with its own swing (K. Venkatachalam et al., IEEE COMPEL 2002, 36). Between points B is
taken to be straight, so that triangles and trapezoids are exact. k, alpha, beta: Steinmetz' law for sines,
P = k f^alpha B^beta (Hz, T), fitted in logarithms.

The loss itself is the area of the loop: P = f * closed integral of H dB.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

MOST_POINTS = 512
"""Corners of a mean period."""


class Steinmetz(NamedTuple):
    """P = k f^alpha B^beta in W/m^3 with f in Hz and B (peak) in T; `covariance` `(3, 3)` of (ln k, alpha, beta);
    `scatter`: standard deviation of ln P around the law."""

    k: float
    alpha: float
    beta: float
    covariance: np.ndarray
    scatter: float

    @property
    def k_i(self) -> float:
        """The factor of the iGSE that gives the same loss for a sine."""
        return igse_factor(self.k, self.alpha, self.beta)


class Cycle(NamedTuple):
    """One mean period: `phase` `(m,)` in periods, increasing from 0 to below 1, and `value` `(m,)`; `noise`
    of a value."""

    phase: np.ndarray
    value: np.ndarray
    noise: float


def igse_factor(k: float, alpha: float, beta: float) -> float:
    """k_i from k. integral_0^(2 pi) |cos x|^alpha dx = 2 sqrt(pi) Gamma((alpha + 1)/2) / Gamma(alpha/2 + 1).

    >>> round(igse_factor(1.0, 2.0, 2.0) * 2 * math.pi**2, 12)
    1.0
    """
    around = 2.0 * math.sqrt(math.pi) * math.gamma(0.5 * (alpha + 1.0)) / math.gamma(0.5 * alpha + 1.0)
    return k / ((2.0 * math.pi) ** (alpha - 1.0) * 2.0 ** (beta - alpha) * around)


def fit_steinmetz(frequency: np.ndarray, b_peak: np.ndarray, loss: np.ndarray) -> Steinmetz:
    """Steinmetz' law through losses `(n,)` W/m^3 of sines at `frequency` Hz and `b_peak` T: a plane in logarithms.

    >>> f, b = np.array([1e5, 2e5, 1e5, 4e5]), np.array([0.1, 0.1, 0.2, 0.05])
    >>> law = fit_steinmetz(f, b, 2.0 * f**1.5 * b**2.5)
    >>> [round(x, 9) for x in (law.k, law.alpha, law.beta)]
    [2.0, 1.5, 2.5]
    """
    f, b, p = (np.asarray(x, np.float64) for x in (frequency, b_peak, loss))
    good = (f > 0) & (b > 0) & (p > 0) & np.isfinite(f) & np.isfinite(b) & np.isfinite(p)
    if np.count_nonzero(good) < 4:
        raise ValueError(f"{np.count_nonzero(good)} losses are too few for k, alpha and beta (4 needed)")
    rows = np.column_stack([np.ones(f.size), np.log(f), np.log(b)])[good]
    centre = rows.mean(axis=0)
    centre[0] = 0.0
    flat, y = rows - centre, np.log(p[good])
    if np.linalg.matrix_rank(flat) < 3:
        raise ValueError("the losses are all at one frequency, or at one amplitude, or the two go together")
    numbers, *_ = np.linalg.lstsq(flat, y, rcond=None)
    scatter = math.sqrt(float(np.sum((y - flat @ numbers) ** 2)) / max(y.size - 3, 1))
    back = np.array([[1.0, -centre[1], -centre[2]], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    covariance = back @ (scatter**2 * np.linalg.inv(flat.T @ flat)) @ back.T
    at_one = back @ numbers
    return Steinmetz(math.exp(at_one[0]), float(at_one[1]), float(at_one[2]), covariance, scatter)


def igse(
    time: np.ndarray, b: np.ndarray, k_i: float, alpha: float, beta: float, *, period: float, ignore: float = 0.0
) -> float:
    """Loss in W/m^3 of one period of B: corners `time` `(m,)` in s, increasing, within one `period`, and `b` `(m,)` in
    T; from the last one it goes straight back to the first. Turning back by less than `ignore` T is no minor loop.

    >>> b = np.array([-0.1, 0.1])
    >>> round(igse(np.array([0.0, 5e-6]), b, 0.1, 1.5, 2.5, period=1e-5) / (0.1 * 4e4**1.5 * 0.2), 12)
    1.0
    """
    time, b = np.asarray(time, np.float64), np.asarray(b, np.float64)
    _check_cycle(time, b, period)
    low = int(np.argmin(b))
    b = np.concatenate([b[low:], b[: low + 1]])
    time = np.concatenate([time[low:] - time[low], time[:low] - time[low] + period, [period]])
    if b.max() == b.min():
        return 0.0
    length, change, swing = _pieces(time, b, ignore)
    lasting = length > 0.0  # a jump has no slope; it is what two samples leave of a fast flank
    slope = np.abs(change[lasting]) / length[lasting]
    return float(k_i * np.sum(slope**alpha * swing[lasting] ** (beta - alpha) * length[lasting]) / period)


def loop_loss(b: np.ndarray, h: np.ndarray, frequency: float) -> float:
    """f times the area of the closed loop, W/m^3: B `(m,)` in T and H `(m,)` in A/m at the same m moments of one
    period.

    >>> x = 2 * np.pi * np.arange(1000) / 1000
    >>> loss = loop_loss(0.1 * np.cos(x), 40.0 * np.cos(x + 0.1), 1e5)
    >>> bool(abs(loss / (np.pi * 1e5 * 0.1 * 40.0 * np.sin(0.1)) - 1) < 1e-4)
    True
    """
    b, h = np.asarray(b, np.float64), np.asarray(h, np.float64)
    return float(frequency * 0.5 * np.sum((h + np.roll(h, -1)) * (np.roll(b, -1) - b)))


def mean_cycle(values: np.ndarray, cycles: float, *, most: int = MOST_POINTS, slopes: bool = True) -> Cycle:
    """The mean period of `values` `(n,)` with `cycles` periods a sample; the phase is 0 in the middle of the window.

    Straight lines between as many evenly spaced corners as there can be (at most `most`) before noise makes up the
    slopes: with m corners and a noise of s, a slope is off by about 2 m s sqrt(2 m / n) a period, against 2 swings in
    the mean; it is kept below a twentieth, where |dB/dt|^alpha is off by less than half a percent. Samples that always
    come at the same few phases are corners themselves. `slopes` false: the values alone are wanted, not their slopes.
    """
    n = values.size
    at = cycles * (np.arange(n) - 0.5 * (n - 1))
    at -= np.floor(at)
    points = most
    while points > 8 and points * 4 > n:
        points //= 2
    phase, value, many, noise = _binned(at, values, points)
    swing = float(np.ptp(value))
    while slopes and points > 16 and math.sqrt(2.0 * points / n) * noise * points > 0.05 * swing:
        points //= 2
    corners = _corners(at, values, points)
    if corners is None:  # few phases, each of them many times: their means are exact corners
        return Cycle(phase, value, noise / math.sqrt(float(np.mean(many))))
    return Cycle(np.arange(points) / points, corners, noise * math.sqrt(2.0 * points / n))


def _binned(at: np.ndarray, values: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Mean phase, mean value and number of samples of the bins that have any, and the noise of a sample: the scatter
    within bins."""
    where = np.minimum((at * points).astype(np.int64), points - 1)
    many = np.bincount(where, minlength=points)
    there = many > 0
    phase = np.bincount(where, at, points)[there] / many[there]
    mean = np.zeros(points)
    mean[there] = np.bincount(where, values, points)[there] / many[there]
    # within a bin the wave itself rises or falls: what a straight line through the bins tells of that is taken off
    rise = np.gradient(mean[there], phase) if phase.size > 2 else np.zeros(phase.size)
    slope, middle = np.zeros(points), np.zeros(points)
    slope[there], middle[there] = rise, phase
    rest = values - mean[where] - slope[where] * (at - middle[where])
    free = max(values.size - phase.size, 1)
    return phase, mean[there], many[there], math.sqrt(float(rest @ rest) / free)


def _corners(at: np.ndarray, values: np.ndarray, points: int) -> np.ndarray | None:
    """The periodic line of `points` corners at k / points through all samples, by least squares; None where samples
    lie at too few phases."""
    x = at * points
    left = np.minimum(x.astype(np.int64), points - 1)
    share = x - left
    right = (left + 1) % points
    own = np.bincount(left, (1.0 - share) ** 2, points) + np.bincount(right, share**2, points)
    if own.min() < 0.3 * values.size / points:
        return None
    normal = np.diag(own)
    beside = np.bincount(left, share * (1.0 - share), points)
    k = np.arange(points)
    np.add.at(normal, (k, (k + 1) % points), beside)
    np.add.at(normal, ((k + 1) % points, k), beside)
    sums = np.bincount(left, (1.0 - share) * values, points) + np.bincount(right, share * values, points)
    return np.linalg.solve(normal, sums)


def integrated(cycle: Cycle, frequency: float) -> Cycle:
    """The integral over time of a periodic quantity, by the trapezoidal rule, without its mean: a voltage per turn and
    area (V/m^2) to B (T). Nothing drifts, because what is left of the mean voltage is taken off.

    >>> phase = np.arange(1000) / 1000
    >>> b = integrated(Cycle(phase, -2 * np.pi * 50.0 * np.sin(2 * np.pi * phase), 0.0), 50.0)
    >>> bool(np.max(np.abs(b.value - np.cos(2 * np.pi * phase))) < 1e-5)
    True
    """
    phase, value = cycle.phase, cycle.value
    steps = np.diff(np.append(phase, phase[0] + 1.0))
    pieces = 0.5 * (value + np.roll(value, -1)) * steps
    pieces = (pieces - np.sum(pieces) * steps) / frequency
    flux = np.concatenate([[0.0], np.cumsum(pieces[:-1])])
    flux -= np.sum(0.5 * (flux + np.roll(flux, -1)) * steps)
    return Cycle(phase, flux, cycle.noise * float(np.sqrt(np.sum(steps**2))) / frequency)


def _check_cycle(time: np.ndarray, b: np.ndarray, period: float) -> None:
    if time.shape != b.shape or b.ndim != 1 or b.size < 2:
        raise ValueError(f"times of shape {time.shape} and B of shape {b.shape} are no period")
    if not (np.isfinite(time).all() and np.isfinite(b).all() and period > 0.0):
        raise ValueError("a period needs finite times, flux densities and a length above 0")
    if np.any(np.diff(time) < 0.0) or time[-1] - time[0] > period * (1.0 + 1e-9):
        raise ValueError("the times do not increase within one period")


def _pieces(time: np.ndarray, b: np.ndarray, ignore: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lengths in s, changes of B and swings of straight pieces, `(p,)` each; pieces are cut where minor loops close.

    The waveform begins and ends at its minimum. Turning points that are not closed yet wait on a stack: when B comes
    back to the last but one, what lies between is a minor loop, and what is in it and not yet in a smaller one gets
    its swing (as in the counting of rainflow, ASTM E1049).
    """
    lengths, changes, swings = [], [], []
    open_at = [(float(b[0]), 0)]  # level, and the number of pieces before it
    was, rising = float(b[0]), True
    for t0, t1, end in zip(time[:-1].tolist(), time[1:].tolist(), b[1:].tolist(), strict=True):
        if end != was and (end > was) != rising:
            open_at.append((was, len(lengths)))
            rising = not rising
        begin, change, whole = was, end - was, t1 - t0
        while len(open_at) > 2 and abs(end - open_at[-1][0]) >= abs(open_at[-2][0] - open_at[-1][0]):
            turn, (level, first) = open_at.pop()[0], open_at.pop()
            lengths.append(whole * (level - begin) / change)
            changes.append(level - begin)
            swings.append(math.nan)
            if abs(level - turn) > ignore:
                swings[first:] = [abs(level - turn) if math.isnan(s) else s for s in swings[first:]]
            begin = level
        lengths.append(whole if change == 0.0 else whole * (end - begin) / change)
        changes.append(end - begin)
        swings.append(math.nan)
        was = end
    own = np.array(swings)
    return np.array(lengths), np.array(changes), np.where(np.isnan(own), float(b.max() - b.min()), own)
