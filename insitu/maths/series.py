"""The last values of one number, and how surely they split in two: the memory behind a change-point model.

The chance of the best split is given as `score`, in sigma of a normal distribution: for two levels from Student's t,
for two lines from Fisher's F with 2 and n - 4 degrees of freedom, whose tail is `(1 + 2F/(n - 4))^(-(n - 4)/2)`.

A wild value is no change: once 20 values are there, a new one counts as at most 4 sigma from the level (or line) of
the others, until a change is accepted (`trust_from`). Values read off a grid (0.004, 0.006 deg) are
given at least the spread of their rounding, the smallest difference seen over sqrt(12).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp, stdtr

from insitu.maths.splits import Levels, Lines, smallest_gap, split_levels, split_lines

CEILING = 37.0
"""Largest score given, in sigma: the chance of more is below what a float can hold."""
FULL_LENGTH = 500
"""Length in values from which on a threshold holds as it is."""
CLIP = 4.0
CLIP_FROM = 20


class Split(NamedTuple):
    """The best split. Frame and x of the last value before and the first value after it; the level (or the two lines'
    value at the last x) `before` and `after`; the lines' slopes (0 for levels)."""

    score: float
    n_before: int
    n_after: int
    x_before: float
    x_after: float
    before: float
    after: float
    slope_before: float
    slope_after: float


class Series:
    """The last `window` values with their frame number and x, to be split in two levels, or `lines`.

    >>> series = Series(window=100, lines=False, min_size=3)
    >>> for n in range(40):
    ...     series.append(n, float(n), 5.0 + 0.1 * (n % 3) + (2.0 if n >= 33 else 0.0))
    >>> split = series.best_split()
    >>> split.n_after, split.score > 10.0
    (33, True)
    """

    def __init__(self, *, window: int, lines: bool, min_size: int) -> None:
        self.window, self.lines, self.min_size = window, lines, min_size
        # twice the window, so that a contiguous part is moved to the front only once in `window` values
        self._n = np.zeros(2 * window, dtype=np.int64)
        self._x = np.zeros(2 * window)
        self._raw = np.zeros(2 * window)
        self._y = np.zeros(2 * window)
        self._start = self._stop = 0
        self._gap = math.inf
        self._clips = True
        self._last: Levels | Lines | None = None

    def __len__(self) -> int:
        return self._stop - self._start

    def append(self, n: int, x: float, y: float) -> None:
        """One more value `y` at `x` (NaN where there is none; never for lines) of frame `n`."""
        if self._stop == len(self._y):
            self._move_to_front()
        self._gap = smallest_gap(self._raw, self._start, self._stop, y, self._gap)
        at = self._stop
        self._n[at], self._x[at], self._raw[at], self._y[at] = n, x, y, self._clipped(x, y)
        self._stop += 1
        self._start = max(self._start, self._stop - self.window)

    def best_split(self) -> Split | None:
        """The best split of the values; None for fewer than twice `min_size` values."""
        size = len(self)
        if size < 2 * self.min_size:
            return None
        floor = self._gap / math.sqrt(12.0) if math.isfinite(self._gap) else 0.0
        if self.lines:
            found = split_lines(self._x, self._y, self._start, self._stop, self.min_size, floor)
            score, slopes = _score_lines(found.f, size - 4), (found.slope_before, found.slope_after)
        else:
            found = split_levels(self._y, self._start, self._stop, self.min_size, floor)
            score, slopes = _score_levels(found.t, size - 2), (0.0, 0.0)
        self._last = found
        i = self._start + max(found.at, 1)
        n, x = self._n, self._x
        place = int(n[i - 1]), int(n[i]), float(x[i - 1]), float(x[i])
        return Split(score, *place, found.before, found.after, *slopes)

    def trend(self) -> tuple[float, float] | None:
        """Slope of the one line through all values, and its standard uncertainty, at the last `best_split`; None for
        levels, and where x does not vary."""
        last = self._last
        if not isinstance(last, Lines) or not last.sxx > 0.0:
            return None
        return last.slope, last.spread / math.sqrt(last.sxx)

    def trust_from(self, n: int) -> None:
        """The values from frame `n` on, and any of a kind right before it, are no wild values: they count in full, and
        so do all that follow (clipped ones would make a stair of a step, and put it too late)."""
        at = self._start + int(np.searchsorted(self._n[self._start : self._stop], n))
        while at > self._start and self._y[at - 1] != self._raw[at - 1]:
            at -= 1
        self._y[at : self._stop] = self._raw[at : self._stop]
        self._clips = False

    def forget_before(self, n: int) -> None:
        """The series starts at frame `n`, as if there had been nothing before."""
        self._start += int(np.searchsorted(self._n[self._start : self._stop], n))
        self._last, self._clips = None, True

    def _clipped(self, x: float, y: float) -> float:
        last, size = self._last, len(self)
        if last is None or not self._clips or size < CLIP_FROM:
            return y
        variance = 1.0 + 1.0 / size
        if isinstance(last, Lines):
            away = x - last.x_mean
            centre = last.centre + last.slope * away
            variance += away * away / last.sxx if last.sxx > 0.0 else 0.0
        else:
            centre = last.centre
        reach = CLIP * last.spread * math.sqrt(variance)
        return min(max(y, centre - reach), centre + reach)

    def _move_to_front(self) -> None:
        kept = slice(self._start, self._stop)
        size = len(self)
        for column in (self._n, self._x, self._raw, self._y):
            column[:size] = column[kept].copy()
        self._start, self._stop = 0, size


def allowed_score(threshold: float, values: int) -> float:
    """The score that a change must exceed in a series of so many values.

    It is `threshold` from 500 values on. A shorter series is allowed `(500/n)^2` times the chance of a false alarm:
    a series is short only once, so all its lengths together cost no more false alarms than some 40,000 later values.

    >>> [round(allowed_score(6.0, n), 2) for n in (12, 17, 50, 200, 500, 1000)]
    [4.64, 4.79, 5.2, 5.7, 6.0, 6.0]
    """
    chance = float(ndtr(-threshold)) * max(FULL_LENGTH / values, 1.0) ** 2
    return -float(ndtri(min(chance, 0.01)))


def _score_levels(t: float, freedom: int) -> float:
    chance = float(stdtr(freedom, -t))
    return _sigmas(math.log(chance) if chance > 0.0 else -math.inf)


def _score_lines(f: float, freedom: int) -> float:
    return _sigmas(-0.5 * freedom * math.log1p(2.0 * f / freedom) - math.log(2.0))


def _sigmas(log_chance: float) -> float:
    """Sigma of a normal distribution beyond which (on one side) lies the chance whose logarithm is given."""
    if log_chance <= float(log_ndtr(-CEILING)):
        return CEILING
    return max(-float(ndtri_exp(log_chance)), 0.0)
