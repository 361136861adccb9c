"""One reading of the offset between two clocks, from a signal that both sources saw over a window.

Each signal is smoothed by a cubic spline through as few knots as generalised cross-validation asks for (P. Craven,
G. Wahba, Numer. Math. 31 (1979) 377). The offset of the highest correlation between one signal and the other's spline
is the start; from there `y(t) = c + g s(t + o)` is fitted by least squares (Gauss-Newton), once with either signal as
the smooth one. The reading is the mean of both, its variance the sum of both: over 100 simulated windows each of
60 to 120 s, rates of 0.5 to 10 Hz and noise of 0.1 to 1 times the signal, readings were off by 0.8 to 1.0 of their
sigma (rms). (The plain curvature of a correlation, `insitu.maths.offset`, is 1.3 to 28 times too sure there.)
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from typing import NamedTuple

import numpy as np
from scipy.interpolate import BSpline, make_lsq_spline

from insitu.maths.line.clock import GATE, ClockFilter

FEWEST = 12
MOST_POINTS = 256
"""More points than this in a window are averaged first."""
LEAST_CORRELATION = 0.4
MOST_KEPT = 200_000
KNOTS = (4, 6, 9, 13, 19, 28, 40)


class Reading(NamedTuple):
    """`offset_s` is to be added to the other clock, known to `sigma_s`; `why` says what is missing where there is
    none (the numbers are then 0)."""

    offset_s: float
    sigma_s: float
    correlation: float
    why: str = ""


def read_offset(
    time_a: np.ndarray,
    a: np.ndarray,
    time_b: np.ndarray,
    b: np.ndarray,
    *,
    around: float = 0.0,
    largest: float,
) -> Reading:
    """What to add to `time_b` (s) so that `b` lies on `a` over `time_a` (s); all `(n,)`, times ascending.

    Only offsets within `largest` (s) of `around` are looked for; `b` should reach so much further than `a` on
    either side.

    >>> ta, tb = np.arange(0.0, 120.0), np.arange(-15.0, 135.0, 2.0)
    >>> wave = lambda t: np.sin(t / 5.0) + np.sin(t / 7.7)
    >>> found = read_offset(ta, wave(ta), tb, -4.0 * wave(tb + 3.0), largest=8.0)
    >>> abs(found.offset_s - 3.0) < 0.05, found.why
    (True, '')
    """
    if min(a.size, b.size) < FEWEST:
        return Reading(0.0, 0.0, 0.0, f"{min(a.size, b.size)} values are too few to compare")
    (ta, ya), (tb, yb) = _thinned(time_a, a), _thinned(time_b + around, b)
    if not (np.ptp(ya) > 0 and np.ptp(yb) > 0):
        return Reading(0.0, 0.0, 0.0, "one of the signals never changes")
    if not (np.all(np.diff(ta) > 0) and np.all(np.diff(tb) > 0)):
        return Reading(0.0, 0.0, 0.0, "times repeat")
    ya, yb = (ya - ya.mean()) / ya.std(), (yb - yb.mean()) / yb.std()
    step = float(min(np.median(np.diff(ta)), np.median(np.diff(tb))))
    smooth_a, smooth_b = _smooth(ta, ya), _smooth(tb, yb)
    count = max(2, math.ceil(largest / step))
    offsets = step * np.arange(-count, count + 1)
    r = np.array([_likeness(smooth_b, ta - o, ya, tb) for o in offsets])
    top = int(np.argmax(np.abs(r)))
    if abs(r[top]) < LEAST_CORRELATION:
        return Reading(0.0, 0.0, float(abs(r[top])), f"the signals do not resemble each other (r = {r[top]:.2f})")
    if not 0 < top < r.size - 1:
        return Reading(0.0, 0.0, float(abs(r[top])), "they resemble each other best at the edge of what is allowed")
    if (rival := _rival(np.abs(r), top, min(ya.size, yb.size))) is not None:
        why = f"the signals fit at {around + offsets[top]:.3g} s and as well at {around + offsets[rival]:.3g} s"
        return Reading(0.0, 0.0, float(abs(r[top])), why)
    first = _refined(smooth_a, ta, tb, yb, float(offsets[top]), 1.0, step)
    second = _refined(smooth_b, tb, ta, ya, float(offsets[top]), -1.0, step)
    if first is None or second is None:
        return Reading(0.0, 0.0, float(abs(r[top])), "the fit of one signal to the other did not converge")
    offset = 0.5 * (first[0] + second[0])
    return Reading(around + offset, math.hypot(first[1], second[1]), float(min(abs(r[top]), 1.0)))


def _thinned(t: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `MOST_POINTS` points: means of neighbours."""
    k = -(-t.size // MOST_POINTS)
    if k == 1:
        return t, y
    n = t.size // k * k
    return t[:n].reshape(-1, k).mean(axis=1), y[:n].reshape(-1, k).mean(axis=1)


def _smooth(t: np.ndarray, y: np.ndarray) -> BSpline:
    """A cubic spline by least squares, with the number of knots that generalised cross-validation prefers."""
    best, least = _spline(t, y, KNOTS[0]), math.inf
    for pieces in KNOTS:
        coefficients = pieces + 3
        if pieces > KNOTS[0] and 2 * coefficients > t.size:
            break
        spline = _spline(t, y, pieces)
        left = y - spline(t)
        score = float(np.sum(left * left)) / (1.0 - coefficients / t.size) ** 2
        if score < least:
            best, least = spline, score
    return best


def _spline(t: np.ndarray, y: np.ndarray, pieces: int) -> BSpline:
    inner = np.interp(np.linspace(0, t.size - 1, pieces + 1)[1:-1], np.arange(t.size), t)
    return make_lsq_spline(t, y, np.concatenate([[t[0]] * 4, inner, [t[-1]] * 4]), k=3)


def _likeness(smooth: BSpline, at: np.ndarray, y: np.ndarray, span: np.ndarray) -> float:
    """Pearson's r of `y` with the spline at shifted times, over what overlaps."""
    inside = (at >= span[0]) & (at <= span[-1])
    if np.count_nonzero(inside) < max(FEWEST, y.size / 2):
        return 0.0
    x, z = smooth(at[inside]), y[inside]
    x, z = x - x.mean(), z - z.mean()
    norm = math.sqrt(float(np.sum(x * x)) * float(np.sum(z * z)))
    return float(np.sum(x * z)) / norm if norm > 0 else 0.0


def _rival(r: np.ndarray, top: int, points: int) -> int | None:
    """Another maximum of the correlation that may be the right one (a signal that repeats itself); None where the
    highest one is alone, by two standard errors of a correlation."""
    error = (1.0 - min(r[top], 1.0) ** 2) / math.sqrt(points)
    peaks = np.flatnonzero((r[1:-1] >= r[:-2]) & (r[1:-1] >= r[2:])) + 1
    peaks = peaks[(peaks != top) & (r[peaks] > r[top] - 2.0 * error - 0.01)]
    for k in peaks.tolist():
        low, high = sorted((k, top))
        if np.min(r[low : high + 1]) < r[k] - 2.0 * error - 0.01:
            return k
    return None


def _refined(
    smooth: BSpline, span: np.ndarray, t: np.ndarray, y: np.ndarray, offset: float, sign: float, step: float
) -> tuple[float, float] | None:
    """Offset and its sigma from `y(t) = c + g smooth(t + sign offset)`; None where that tells nothing."""
    slope, begin, sigma = smooth.derivative(), offset, 0.0
    for _ in range(12):
        at = t + sign * offset
        inside = (at >= span[0]) & (at <= span[-1])
        if np.count_nonzero(inside) < FEWEST:
            return None
        x, d, z = smooth(at[inside]), slope(at[inside]) * sign, y[inside]
        x, z = x - x.mean(), z - z.mean()
        gain = float(np.sum(x * z)) / max(float(np.sum(x * x)), 1e-300)
        columns = (np.ones_like(x), x, gain * d)
        normal = np.array([[float(np.sum(p * q)) for q in columns] for p in columns])
        right = np.array([float(np.sum(p * z)) for p in columns])
        try:
            inverse = np.linalg.inv(normal)
        except np.linalg.LinAlgError:
            return None
        constant, scale, move = inverse @ right
        left = z - constant - scale * x - move * columns[2]
        spread = float(np.sum(left * left)) / (z.size - 3)
        if not inverse[2, 2] > 0:
            return None
        sigma = math.sqrt(spread * float(inverse[2, 2]))
        offset += min(max(float(move), -step), step)
        if abs(offset - begin) > 4.0 * step:
            return None
        if abs(move) < 1e-4 * step:
            break
    return offset, sigma


class SignalClock:
    """Readings of the offset from a signal that both sources carry, one from each window of the reference's time.

    `window_s`: its length; it should hold several ups and downs of the signal. `largest_s`: how far the clocks may be
    apart (around what `clock` knows beforehand). Times in s, each of its own clock, in any order within a window.

    >>> signal = SignalClock(ClockFilter(), window_s=60.0, largest_s=8.0)
    >>> for t in range(200):
    ...     value = np.sin(t / 5.0) + np.sin(t / 7.7)
    ...     _ = signal.reference(t, value), signal.other(t - 2.5, value)
    >>> state = signal.clock.at(200.0)
    >>> abs(state.offset_s - 2.5) < 0.01, state.readings
    (True, 3)
    """

    def __init__(self, clock: ClockFilter, *, window_s: float, largest_s: float) -> None:
        self.clock, self._window, self._largest = clock, window_s, largest_s
        self._here: list[tuple[float, float]] = []
        self._there: list[tuple[float, float]] = []
        self._latest = [-math.inf, -math.inf]
        self._end: float | None = None
        self._failed = 0
        self.why = "nothing was seen yet"
        """Why the last window gave no reading; empty where it did."""

    def reference(self, time_s: float, value: float | None) -> bool:
        """A value of the reference (None: it could not be measured); whether a reading came of it."""
        if self._end is not None and time_s < self._end - 2.0 * self._window:  # a clock was set back, or ahead before
            self._end = time_s + self._window
        return self._take(0, time_s, value)

    def other(self, time_s: float, value: float | None) -> bool:
        """The same of the other source."""
        return self._take(1, time_s, value)

    def _take(self, which: int, time_s: float, value: float | None) -> bool:
        rows = self._there if which else self._here
        self._latest[which] = time_s
        if value is not None:
            insort(rows, (time_s, value))
            if len(rows) > MOST_KEPT:
                del rows[: MOST_KEPT // 2]
        if self._end is None:
            if not self._here or not self._there:
                return False
            self._end = self._here[0][0] + self._window
        found = False
        while self._complete(self._end):
            found = self._read(self._end) or found
            self._end += self._window
            if self._here and self._here[0][0] > self._end:  # nothing to read for a while
                self._end = self._here[0][0] + self._window
        return found

    def _around(self, middle: float) -> tuple[float, float]:
        """The offset expected, and how far from it is looked."""
        if not self.clock.known:
            return 0.0, self._largest
        state = self.clock.at(middle)
        beat = 4.0 * self._window / max(len(self._here), 1)
        if not state.readings or self._failed > 1:  # a clock that was set is looked for everywhere
            return state.offset_s, self._largest
        return state.offset_s, min(self._largest, max(GATE * 1.6 * state.sigma_s, beat, 0.1 * self._largest))

    def _complete(self, end: float) -> bool:
        if not self._here or not self._there or self._latest[0] < end:
            return False
        offset, largest = self._around(end)
        return self._latest[1] + offset >= end + largest

    def _read(self, end: float) -> bool:
        begin, middle = end - self._window, end - 0.5 * self._window
        offset, largest = self._around(middle)
        here = self._part(self._here, begin, end)
        there = self._part(self._there, begin - offset - largest, end - offset + largest)
        found = read_offset(*here, *there, around=offset, largest=largest)
        del self._here[: bisect_left(self._here, (end,))]
        reach = max(self._largest, largest)
        del self._there[: bisect_left(self._there, (end - offset - 2.0 * reach,))]
        self.why = found.why
        taken = not found.why and self.clock.see(middle - found.offset_s, found.offset_s, found.sigma_s)
        self._failed = 0 if taken else self._failed + 1
        return taken

    @staticmethod
    def _part(rows: list[tuple[float, float]], begin: float, end: float) -> tuple[np.ndarray, np.ndarray]:
        part = np.array(rows[bisect_left(rows, (begin,)) : bisect_left(rows, (end,))]).reshape(-1, 2)
        t, first = np.unique(part[:, 0], return_index=True)
        return t, part[first, 1]
