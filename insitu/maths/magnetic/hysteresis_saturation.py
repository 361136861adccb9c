"""Kernel for the high-field part of a loop: how far the moment is from saturation, and the slope beneath it.

Far above the field that closes the loop, the moment approaches its saturation Ms by a law of approach,

    m(B) = Ms + s B + a/B^2 + b/B^4      (R. Becker, W. Doering, Ferromagnetismus, Springer 1939)
    m(B) = Ms + s B + a/B                (moments that turn freely, L(x) = coth x - 1/x; inclusions: L. Neel, J. Phys.
    Radium
                                          9 (1948) 184)

where s is the slope of what does not saturate (paramagnetic and diamagnetic matter, holder). A straight line through
the last third, which is the habit, takes curvature that noise hides for slope. Here the line, a/B, a/B^2 and a/B^2 +
b/B^4 are fitted from several fields on; those that do not rise to Ms are left out; the others are averaged with the
weights

    w ~ exp(-AIC/2) / sigma^2,   AIC = chi^2 + 2 (parameters) + 2 (points left out)

(W. I. Jay, E. T. Neil, Phys. Rev. D 103 (2021) 114502; 1/sigma^2 as E. Rinaldi et al., Phys. Rev. D 99 (2019) 074510:
fits that say little weigh little). Points of one sweep are not independent: chi^2 and the points left out are divided
by (1 + r)/(1 - r), r the correlation of neighbouring residuals. The uncertainties hold the scatter of the models, and
so grow where the data do not say how the curve goes on.
"""

import numpy as np
from numba import njit

from insitu.maths.magnetic.hysteresis_fit import factor, solution

FROM = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Where fits begin, in parts of the largest field."""
REFERENCE = 2
"""Where the fit begins whose residuals tell noise and correlation: number in `FROM`."""
FLOOR = 1e-10
"""Noise that is never undercut, as a part of the range of the moment: that of numbers in a computer."""
HAIR = 1e-9
"""By so much points may be off the beginning of a fit and still be in it: rounding must not decide."""
MODELS = 4
"""The fits, richest first: line and a/B^2 and b/B^4; line and a/B^2; line and a/B; line."""


@njit(cache=True, error_model="numpy")
def _sums(x: np.ndarray, y: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """From each of the decreasing `starts` on, sums `(k, 16)`: of x^2, x, 1, x^-1, ..., x^-6, x^-8; of y, x y, y x^-2,
    y x^-4, y x^-1; of y^2."""
    found = np.empty((starts.size, 16))
    p2, p1, n1, n2, n3, n4, n5, n6, n8 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    r0, r1, r2, r4, ri, square = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    end = x.size
    for k in range(starts.size):
        for i in range(end - 1, starts[k] - 1, -1):
            t, value = x[i], y[i]
            inverse = 1.0 / t
            two = inverse * inverse
            four = two * two
            p2 += t * t
            p1 += t
            n1 += inverse
            n2 += two
            n3 += two * inverse
            n4 += four
            n5 += four * inverse
            n6 += four * two
            n8 += four * four
            r0 += value
            r1 += value * t
            r2 += value * two
            r4 += value * four
            ri += value * inverse
            square += value * value
        end = min(end, starts[k])
        row = found[k]
        row[0], row[1], row[2], row[3], row[4] = p2, p1, x.size - end, n1, n2
        row[5], row[6], row[7], row[8], row[9] = n3, n4, n5, n6, n8
        row[10], row[11], row[12], row[13], row[14], row[15] = r0, r1, r2, r4, ri, square
    return found


@njit(cache=True, error_model="numpy")
def _factors(sums: np.ndarray, work: np.ndarray) -> tuple[int, int]:
    """Factors of the normal equations of the terms 1, B, B^-2, B^-4 (`work[2]`, right side `work[3, 3]`) and of 1, B,
    B^-1 (`work[4]`, right side `work[5, 3]`); how many terms of each are independent."""
    a, b = work[0], work[3, 3]
    a[0, 0] = sums[2]
    a[1, 0], a[1, 1] = sums[1], sums[0]
    a[2, 0], a[2, 1], a[2, 2] = sums[4], sums[3], sums[6]
    a[3, 0], a[3, 1], a[3, 2], a[3, 3] = sums[6], sums[5], sums[8], sums[9]
    b[0], b[1], b[2], b[3] = sums[10], sums[11], sums[12], sums[13]
    many = factor(a, 4, work[1], work[2])
    b = work[5, 3]
    a[2, 0], a[2, 1], a[2, 2] = sums[3], sums[2], sums[4]
    b[0], b[1], b[2] = sums[10], sums[11], sums[14]
    return many, factor(a, 3, work[1], work[4])


@njit(cache=True, error_model="numpy")
def _rises(c: np.ndarray, number: int, x: float) -> bool:
    """Whether the curved part of the law rises to its saturation from `x` to 1: a moment does not come down to it."""
    if number == 3:
        return True
    if number == 2:
        return c[2] <= 0.0
    four = c[3] if number == 0 else 0.0
    return c[2] + four <= 0.0 and c[2] + 2.0 * four <= 0.0 and c[2] * x * x + 2.0 * four <= 0.0


@njit(cache=True, error_model="numpy")
def approach(
    h: np.ndarray, moment: np.ndarray, closed: float, work: np.ndarray
) -> tuple[float, float, float, float, float, float, int]:
    """Saturation and slope of a half loop: fields `(n,)` > 0 increasing, and the mean of its branches `(n,)`.

    `closed`: fits begin at this field or above; `work` `(6, 4, 4)` is scratch. Returns Ms, its uncertainty, slope, its
    uncertainty, how much of Ms is missing at the largest field (of it), noise of a point, and how many fits there were
    (0: none, all are nan).
    """
    top = h[h.size - 1]
    x = h / top
    nothing = (np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 0)
    middle = int(np.searchsorted(x, 0.7 - HAIR))
    if h.size - middle < 2:
        return nothing
    # an end-to-end line is taken out first: sums of squares then lose no digits
    slope0 = (moment[-1] - moment[middle]) / (x[-1] - x[middle])
    level0 = moment[-1] - slope0 * x[-1]
    y, highest = np.empty(x.size), 0.0
    for i in range(x.size):
        y[i] = moment[i] - level0 - slope0 * x[i]
        highest = max(highest, abs(moment[i]))
    floor = (FLOOR * (highest + 1e-300)) ** 2
    first = int(np.searchsorted(x, max(FROM[0], closed / top) - HAIR))
    starts = np.empty(len(FROM), np.int64)
    for f in range(len(FROM)):
        starts[f] = max(first, int(np.searchsorted(x, FROM[len(FROM) - 1 - f] - HAIR)))
    sums = _sums(x, y, starts)
    noise, correlation = _noise(x, y, starts, sums, floor, work)
    if not noise > 0.0:
        return nothing
    found = np.empty((len(FROM) * MODELS, 8))
    count, previous = 0, -1
    for f in range(len(FROM) - 1, -1, -1):
        if starts[f] != previous and x.size - starts[f] >= 3:
            count = _fits(sums[f], x[starts[f]], found, count, work)
        previous = starts[f]
    if count == 0:
        return nothing
    noise *= correlation
    most = sums[len(FROM) - 1, 2]  # points of the longest fit: what others leave out counts against them
    ms, ms_variance, slope, slope_variance, missing = _averaged(found[:count], noise, correlation, most)
    value = ms + level0
    share = missing / value if value != 0.0 else np.nan
    return (
        value, np.sqrt(ms_variance), (slope + slope0) / top, np.sqrt(slope_variance) / top, share,
        np.sqrt(noise / correlation), count,
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _fits(sums: np.ndarray, begins: float, found: np.ndarray, count: int, work: np.ndarray) -> int:
    """Write the fits from one field on into `found` from row `count` on: sum of squares, Ms, slope, their variances for
    points of variance 1, what is missing, terms, points; returns the number of the next row."""
    many, other = _factors(sums, work)
    n, c, diagonal = int(sums[2]), work[3, 1], work[3, 2]
    for number in range(MODELS):
        k = 4 if number == 0 else 2 if number == 3 else 3
        if n < k + 1 or (other if number == 2 else many) < k:
            continue
        right = work[5, 3] if number == 2 else work[3, 3]
        solution(work[4] if number == 2 else work[2], right, k, c, diagonal)
        if not _rises(c, number, begins):
            continue
        square, missing = sums[15], 0.0
        for j in range(k):
            square -= c[j] * right[j]
            missing -= c[j] if j > 1 else 0.0
        row = found[count]
        row[0], row[1], row[2], row[3], row[4], row[5] = square, c[0], c[1], diagonal[0], diagonal[1], missing
        row[6], row[7] = k, n
        count += 1
    return count


@njit(cache=True, error_model="numpy")
def _averaged(
    found: np.ndarray, noise: float, correlation: float, most: float
) -> tuple[float, float, float, float, float]:
    """Ms, its variance, slope, its variance and what is missing, averaged over the fits; `noise`: variance of a point,
    made larger by the correlation of neighbours."""
    least = np.inf
    for row in found:
        row[0] = max(row[0], 0.0) / noise + 2.0 * row[6] + 2.0 * (most - row[7]) / correlation
        least = min(least, row[0])
    total, ms, slope, missing = 0.0, 0.0, 0.0, 0.0
    for row in found:
        weight = np.exp(-0.5 * (row[0] - least)) / (row[3] * noise)
        row[0] = weight
        total += weight
        ms += weight * row[1]
        slope += weight * row[2]
        missing += weight * row[5]
    ms, slope, missing = ms / total, slope / total, missing / total
    ms_variance, slope_variance = 0.0, 0.0
    for row in found:
        ms_variance += row[0] * (row[3] * noise + (row[1] - ms) ** 2)
        slope_variance += row[0] * (row[4] * noise + (row[2] - slope) ** 2)
    return ms, ms_variance / total, slope, slope_variance / total, missing


@njit(cache=True, error_model="numpy")
def _noise(
    x: np.ndarray, y: np.ndarray, starts: np.ndarray, sums: np.ndarray, floor: float, work: np.ndarray
) -> tuple[float, float]:
    """Variance of a point, and by how much neighbours of the same sign make an average worse; from the residuals of the
    richest fit from `REFERENCE` on that leaves 3 degrees of freedom."""
    here = len(FROM) - 1 - REFERENCE
    start = min(starts[here], max(x.size - 5, 0))
    part = sums[here] if start == starts[here] else _sums(x, y, np.array([start]))[0]
    n, c, diagonal = x.size - start, work[3, 1], work[3, 2]
    many, _ = _factors(part, work)
    for k in (4, 3, 2):
        if many < k or n < k + 3:
            continue
        solution(work[2], work[3, 3], k, c, diagonal)
        for j in range(k, 4):
            c[j] = 0.0
        square, product, before = 0.0, 0.0, 0.0
        for i in range(start, x.size):
            inverse = 1.0 / x[i]
            two = inverse * inverse
            r = y[i] - c[0] - c[1] * x[i] - two * (c[2] + two * c[3])
            square += r * r
            product += r * before
            before = r
        r = min(max(product / square, 0.0), 0.9) if square > floor * n else 0.0
        return max(square / (n - k), floor), (1.0 + r) / (1.0 - r)
    return np.nan, 1.0
