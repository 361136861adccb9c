"""Kernel that finds the centre of a hysteresis loop: where it is its own image under inversion.

D(B0 + h) = 2 M0 - A(B0 - h), with the falling branch D and the rising branch A (M. Jackson, P. Solheid, Geochem.
Geophys. Geosyst. 11 (2010) Q07Z25). B0 is found by Gauss-Newton steps, lengthened or shortened by what the step before
it did (a secant of the steps). They end far below what rounding could decide: no result hangs on where they end.
"""

import numpy as np
from numba import njit

from insitu.maths.magnetic.hysteresis_fit import factor, solution

END = 0.97
"""The part of the field's range that is looked at: the last points before a turning point are not steady."""
STEPS = 20
"""Most steps of the search for the centre."""
STILL = 1e-9
"""A step smaller than this part of the range is the last one: the next one would be below 1e-11."""
SHORTEST, LONGEST = 0.7, 1.4
"""A step is at least and at most so many times that of Gauss and Newton (a jump of the moment misleads a secant)."""
HAIR = 1e-9
"""By so much of the range a point may be beyond `END` or short of `SPAN`: rounding must not decide which are taken."""
SPAN = 0.01
"""Slopes are taken over twice this part of the field's range, and over 5 points at least."""


@njit(cache=True, error_model="numpy")
def centre(
    db: np.ndarray, dm: np.ndarray, ab: np.ndarray, am: np.ndarray, highest: float, work: np.ndarray
) -> tuple[float, float, float, float, float, float, int]:
    """Where a loop is its own image: B0, its variance, intercept 2 M0 and slope of the regression of the falling branch
    `db`, `dm` on the inverted rising one `ab`, `am`, 1 - R^2, rms of what is left, points. No step may leave a tenth of
    the range. `work` `(6, 4, 4)` is scratch."""
    level = 0.5 * (dm.mean() + am.mean())
    scale = 1e-300
    for value in dm:
        scale = max(scale, abs(value - level))
    rise, v, y = np.empty(ab.size - 1), np.empty(db.size), dm
    for i in range(ab.size - 1):
        rise[i] = (am[i + 1] - am[i]) / (ab[i + 1] - ab[i])
    lows, highs, per = _windows(db, (SPAN - HAIR) * highest)
    b0, variance, step, last, n, ended = 0.0, np.nan, 0.0, 0.0, 0, False
    for turn in range(STEPS):
        start, end = _looked_at(db, b0, (END + HAIR) * highest - abs(b0))
        n, y = end - start, dm[start:end]
        _inverted(ab, am, rise, b0, db[start:end], v)
        if ended or turn == STEPS - 1 or n < 8:
            break
        before = step
        _sums(db, dm, v, level, lows, highs, per, start, end, work)
        step, unit = _step(scale, highest, n, work)
        if not np.isfinite(step):
            break
        longer = 1.0
        if turn > 0 and before != step:
            longer = min(max(last / (before - step), SHORTEST), LONGEST)
        moved = min(max(b0 + longer * step, -0.1 * highest), 0.1 * highest)
        last, b0 = moved - b0, moved
        variance = 0.25 * unit * (highest / scale) ** 2
        ended = abs(step) < STILL * highest
    slope, intercept, rest, rms = _image(y, v)
    return b0, 0.5 * variance * rms * rms, intercept, slope, rest, rms, n


@njit(cache=True, error_model="numpy")
def _windows(x: np.ndarray, span: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of the increasing fields `(n,)` first and last of the points over which its slope is taken, and one over
    their distance."""
    n = x.size
    lows, highs, per = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    low, high = 0, 0
    for i in range(n):
        while low < i and x[i] - x[low + 1] >= span:
            low += 1
        while high < n - 1 and x[high] - x[i] < span:
            high += 1
        lows[i], highs[i] = min(low, max(i - 2, 0)), max(high, min(i + 2, n - 1))
        per[i] = 1.0 / (x[highs[i]] - x[lows[i]])
    return lows, highs, per


@njit(cache=True, error_model="numpy")
def _inverted(ab: np.ndarray, am: np.ndarray, rise: np.ndarray, b0: float, x: np.ndarray, v: np.ndarray) -> None:
    """Write into `v` the rising branch inverted in (`b0`, 0) at the fields `x` `(n,)`; `rise`: its slopes."""
    j = 0
    for i in range(x.size - 1, -1, -1):
        at = 2.0 * b0 - x[i]
        while j < ab.size - 2 and ab[j + 1] < at:
            j += 1
        v[i] = -(am[j] + (at - ab[j]) * rise[j])


@njit(cache=True, error_model="numpy")
def _looked_at(x: np.ndarray, b0: float, width: float) -> tuple[int, int]:
    """First and last (+ 1) of the increasing fields that are within `width` of `b0`."""
    start, end = 0, x.size
    while start < end and b0 - x[start] > width:
        start += 1
    while end > start and x[end - 1] - b0 > width:
        end -= 1
    return start, end


@njit(cache=True, error_model="numpy")
def _sums(
    x: np.ndarray, y: np.ndarray, v: np.ndarray, level: float, lows: np.ndarray, highs: np.ndarray, per: np.ndarray,
    start: int, end: int, work: np.ndarray,
) -> None:  # fmt: skip
    """Write the normal equations of y - v by a constant, v - level and the slope of v into `work[0]` and `work[3, 0]`;
    `v` begins at the point `start`."""
    sv, sg, svv, svg, sgg, sr, srv, srg = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(start, end):
        low, high, one = lows[i], highs[i], per[i]
        if low < start or high >= end:
            low, high = max(low, start), min(high, end - 1)
            one = 1.0 / (x[high] - x[low])
        here = v[i - start]
        value, rest, steep = here - level, y[i] - here, (v[high - start] - v[low - start]) * one
        sv += value
        sg += steep
        svv += value * value
        svg += value * steep
        sgg += steep * steep
        sr += rest
        srv += rest * value
        srg += rest * steep
    a, b = work[0], work[3, 0]
    a[1, 0], a[1, 1] = sv, svv
    a[2, 0], a[2, 1], a[2, 2] = sg, svg, sgg
    b[0], b[1], b[2] = sr, srv, srg


@njit(cache=True, error_model="numpy")
def _step(scale: float, highest: float, n: int, work: np.ndarray) -> tuple[float, float]:
    """The step of Gauss and Newton to B0, and the variance of twice its part of the range for points of variance 1; nan
    where the terms depend on each other. Moments are taken in parts of `scale`, fields of `highest`."""
    a, b, c, diagonal = work[0], work[3, 0], work[3, 1], work[3, 2]
    one, per = 1.0 / scale, highest / scale
    a[0, 0] = n
    a[1, 0], a[1, 1] = a[1, 0] * one, a[1, 1] * one * one
    a[2, 0], a[2, 1], a[2, 2] = a[2, 0] * per, a[2, 1] * per * one, a[2, 2] * per * per
    b[0], b[1], b[2] = b[0] * one, b[1] * one * one, b[2] * one * per
    if factor(a, 3, work[1], work[2]) < 3:
        return np.nan, np.nan
    solution(work[2], b, 3, c, diagonal)
    return -0.5 * c[2] * highest, diagonal[2]


@njit(cache=True, error_model="numpy")
def _image(u: np.ndarray, v: np.ndarray) -> tuple[float, float, float, float]:
    """Regression of one branch on the other one inverted: slope, intercept, 1 - R^2, rms of what is left."""
    n = u.size
    mu, mv = 0.0, 0.0
    for i in range(n):
        mu += u[i]
        mv += v[i]
    mu, mv = mu / n, mv / n
    uu, uv, vv = 0.0, 0.0, 0.0
    for i in range(n):
        du, dv = u[i] - mu, v[i] - mv
        uu += du * du
        vv += dv * dv
        uv += du * dv
    if uu <= 0.0 or vv <= 0.0:
        return 1.0, mu - mv, 1.0, 0.0
    slope = uv / vv
    rest = 0.0
    for i in range(n):
        rest += (u[i] - mu - slope * (v[i] - mv)) ** 2
    return slope, mu - slope * mv, rest / uu, np.sqrt(rest / n)
