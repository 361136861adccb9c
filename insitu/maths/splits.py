"""The best place to split a short series in two: two levels, or two straight lines.

Two levels. For a split into the first k and the last n - k of n values, with the means m1, m2 and the pooled variance
s^2 of the two parts, `t_k = |m1 - m2| / (s sqrt(1/k + 1/(n - k)))`, Student's t with n - 2 degrees of freedom; the best
split is the largest `t_k` (D. M. Hawkins, P. Qiu, C. W. Kang, J. Qual. Technol. 35 (2003) 355: change-point model with
unknown parameters).

Two lines. With R0 the sum of squared residuals of one straight line and R_k of one line on either side of the split,
`F_k = ((R0 - R_k)/2) / (R_k/(n - 4))`, Fisher's F with 2 and n - 4 degrees of freedom; the best split is the largest
(R. E. Quandt, J. Am. Stat. Assoc. 53 (1958) 873; M. A. Mahmoud et al., Qual. Reliab. Eng. Int. 23 (2007) 247).

`floor` is the smallest standard deviation that the noise can have (rounding of the values). Every call goes over the
`start:stop` part of the arrays once or twice, from nothing: no sum is carried from call to call, so none drifts.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

ROUNDING = 1e-11
"""Noise is never taken smaller than this part of the largest value: means of equal numbers differ by rounding."""


class Levels(NamedTuple):
    """The best split in two levels: `at` values before it (0: none possible), Student's `t`, the mean of either
    part, and the `centre` and `spread` of all values as one level."""

    at: int
    t: float
    before: float
    after: float
    centre: float
    spread: float


class Lines(NamedTuple):
    """The best split in two lines: `at` values before it (0: none possible), Fisher's `f`, the value of either line
    at the last x, their slopes, and the one line through all: value `centre` at `x_mean`, `slope`, residual `spread`,
    sum of squares of x `sxx`."""

    at: int
    f: float
    before: float
    after: float
    slope_before: float
    slope_after: float
    x_mean: float
    centre: float
    slope: float
    spread: float
    sxx: float


@njit(cache=True)
def smallest_gap(y, start, stop, value, gap):  # pyright: ignore[reportMissingParameterType]
    """The smaller of `gap` and the smallest difference of `value` to y[start:stop] that is not rounding error."""
    rounding = 1e-9 * abs(value)
    for i in range(start, stop):
        away = abs(y[i] - value)
        if away > rounding and away < gap:
            gap = away
    return gap


@njit(cache=True)
def _split_levels(y, start, stop, min_size, floor):
    n = stop - start
    centre, largest = 0.0, 0.0
    for i in range(start, stop):
        centre += y[i]
        largest = max(largest, abs(y[i]))
    centre /= n
    floor = max(floor, ROUNDING * largest)
    total = 0.0
    for i in range(start, stop):
        total += (y[i] - centre) ** 2
    best, at, best_sum, running = 0.0, 0, 0.0, 0.0
    for k in range(1, n - min_size + 1):
        running += y[start + k - 1] - centre
        if k >= min_size:
            between = running * running * n / (k * (n - k))
            if between > best:
                best, at, best_sum = between, k, running
    spread = max(np.sqrt(total / max(n - 1, 1)), floor)
    if at == 0:
        return 0, 0.0, centre, centre, centre, spread
    noise = max((total - best) / (n - 2), floor * floor)
    before, after = centre + best_sum / at, centre - best_sum / (n - at)
    t = np.sqrt(best / noise) if noise > 0.0 else 0.0
    return at, t, before, after, centre, spread


@njit(cache=True)
def _line(n, sx, sy, sxx, sxy, syy, flat):
    """Mean x, mean y, slope and squared residuals of the straight line through n points, from their sums; the slope is
    0 where x does not vary by more than `flat`."""
    mx, my = sx / n, sy / n
    cxx, cxy, cyy = sxx - sx * mx, sxy - sx * my, syy - sy * my
    slope = cxy / cxx if cxx > flat else 0.0
    return mx, my, slope, max(cyy - slope * cxy, 0.0)


@njit(cache=True)
def _split_lines(x, y, start, stop, min_size, floor):
    n = stop - start
    mx = my = largest = 0.0
    for i in range(start, stop):
        mx += x[i]
        my += y[i]
        largest = max(largest, abs(y[i]))
    mx /= n
    my /= n
    floor = max(floor, ROUNDING * largest)
    sxx = sxy = 0.0
    for i in range(start, stop):
        sxx += (x[i] - mx) ** 2
        sxy += (x[i] - mx) * (y[i] - my)
    slope = sxy / sxx if sxx > 0.0 else 0.0
    # splitting the residuals of the one line gives the same sums as splitting y, without cancellation
    r, rx, rxy = 0.0, 0.0, 0.0
    for i in range(start, stop):
        u = x[i] - mx
        v = y[i] - my - slope * u
        r += v * v
        rx += v
        rxy += u * v
    su = 0.0
    for i in range(start, stop):
        su += x[i] - mx
    flat = 1e-9 * sxx / n
    best, at = r, 0
    bx1 = by1 = bs1 = bx2 = by2 = bs2 = 0.0
    px = py = pxx = pxy = pyy = 0.0
    for k in range(1, n - min_size + 1):
        u = x[start + k - 1] - mx
        v = y[start + k - 1] - my - slope * u
        px += u
        py += v
        pxx += u * u
        pxy += u * v
        pyy += v * v
        if k >= min_size:
            x1, y1, s1, r1 = _line(k, px, py, pxx, pxy, pyy, flat)
            x2, y2, s2, r2 = _line(n - k, su - px, rx - py, sxx - pxx, rxy - pxy, r - pyy, flat)
            if r1 + r2 < best:
                best, at = r1 + r2, k
                bx1, by1, bs1, bx2, by2, bs2 = x1, y1, s1, x2, y2, s2
    spread = max(np.sqrt(r / max(n - 2, 1)), floor)
    last = x[stop - 1] - mx
    if at == 0:
        return 0, 0.0, my + slope * last, my + slope * last, slope, slope, mx, my, slope, spread, sxx
    noise = max(best / (n - 4), floor * floor)
    f = (r - best) / 2.0 / noise if noise > 0.0 else 0.0
    before = my + slope * last + by1 + bs1 * (last - bx1)
    after = my + slope * last + by2 + bs2 * (last - bx2)
    return at, f, before, after, slope + bs1, slope + bs2, mx, my, slope, spread, sxx


def split_levels(y: np.ndarray, start: int, stop: int, min_size: int, floor: float) -> Levels:
    """Best split of `y[start:stop]` (float64, at least 2 values) in two levels, each of `min_size` values or more.

    >>> y = np.array([1.0, 1.1, 0.9, 1.0, 3.0, 3.1, 2.9])
    >>> found = split_levels(y, 0, 7, 2, 0.0)
    >>> found.at, round(found.t, 2), round(found.before, 9), round(found.after, 9)
    (4, 29.28, 1.0, 3.0)
    """
    return Levels(*_split_levels(y, start, stop, min_size, floor))


def split_lines(x: np.ndarray, y: np.ndarray, start: int, stop: int, min_size: int, floor: float) -> Lines:
    """Best split of `y[start:stop]` over `x` (float64, at least 5 values) in two straight lines, each of `min_size` (3
    or more) values.

    >>> x = np.arange(12.0)
    >>> y = np.where(x < 6.0, 2.0 * x, 9.0) + np.tile([0.01, -0.01, 0.0], 4)
    >>> found = split_lines(x, y, 0, 12, 3, 0.0)
    >>> found.at, round(found.slope_before, 2), round(found.slope_after, 2) + 0.0
    (6, 2.0, 0.0)
    """
    return Lines(*_split_lines(x, y, start, stop, min_size, floor))
