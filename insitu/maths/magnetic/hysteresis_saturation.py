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

from insitu.maths.magnetic.hysteresis_branches import solve

FROM = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Where fits begin, in parts of the largest field."""
REFERENCE = 0.5
"""Where the fit begins whose residuals tell noise and correlation."""
FLOOR = 1e-10
"""Noise that is never undercut, as a part of the range of the moment: that of numbers in a computer."""
HAIR = 1e-9
"""By so much points may be off the beginning of a fit and still be in it: rounding must not decide."""
POWERS = np.array([0, 1, -2, -4, -1])
"""The terms, by their power of the field."""
MODELS = np.array([[0, 1, 2, 3], [0, 1, 2, -1], [0, 1, 4, -1], [0, 1, -1, -1]])
"""The fits, by the numbers of their terms, richest first."""


@njit(cache=True, error_model="numpy")
def _term(x: float, which: int) -> float:
    power = POWERS[which]
    if power >= 0:
        return x if power == 1 else 1.0
    inverse = 1.0 / x
    return inverse if power == -1 else inverse * inverse if power == -2 else inverse**4


@njit(cache=True, error_model="numpy")
def _sums(x: np.ndarray, y: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal equations (k, 5, 5), (k, 5) of all terms and sums of squares of `y` (k,), from each of the decreasing
    `starts` on."""
    count = starts.size
    a, b, squares = np.zeros((count, 5, 5)), np.zeros((count, 5)), np.zeros(count)
    power, right, square = np.zeros(10), np.zeros(5), 0.0  # sums of x^2, x, 1, x^-1, x^-2, x^-3, x^-4, x^-6, x^-8, x^-5
    i = x.size
    for k in range(count):
        while i > starts[k]:
            i -= 1
            t = x[i]
            inverse = 1.0 / t
            two = inverse * inverse
            four = two * two
            value = y[i]
            power[0] += t * t
            power[1] += t
            power[2] += 1.0
            power[3] += inverse
            power[4] += two
            power[5] += two * inverse
            power[6] += four
            power[7] += four * two
            power[8] += four * four
            power[9] += four * inverse
            right[0] += value
            right[1] += value * t
            right[2] += value * two
            right[3] += value * four
            right[4] += value * inverse
            square += value * value
        part = a[k]
        part[0, 0], part[1, 1], part[2, 2], part[3, 3], part[4, 4] = power[2], power[0], power[6], power[8], power[4]
        part[0, 1] = part[1, 0] = power[1]
        part[0, 2] = part[2, 0] = power[4]
        part[0, 3] = part[3, 0] = power[6]
        part[0, 4] = part[4, 0] = power[3]
        part[1, 2] = part[2, 1] = power[3]
        part[1, 3] = part[3, 1] = power[5]
        part[1, 4] = part[4, 1] = power[2]
        part[2, 3] = part[3, 2] = power[7]
        part[2, 4] = part[4, 2] = power[5]
        part[3, 4] = part[4, 3] = power[9]
        b[k] = right
        squares[k] = square
    return a, b, squares


@njit(cache=True, error_model="numpy")
def _fitted(a: np.ndarray, b: np.ndarray, terms: np.ndarray) -> tuple[bool, np.ndarray, np.ndarray, int]:
    """Coefficients of one fit and the diagonal of the inverse, from the normal equations of all terms."""
    k = int((terms >= 0).sum())
    part, right = np.empty((k, k)), np.empty(k)
    for i in range(k):
        right[i] = b[terms[i]]
        for j in range(k):
            part[i, j] = a[terms[i], terms[j]]
    fine, c, diagonal = solve(part, right, k)
    return fine, c, diagonal, k


@njit(cache=True, error_model="numpy")
def _rises(c: np.ndarray, terms: np.ndarray, x: float) -> bool:
    """Whether the curved part of the law rises to its saturation from `x` to 1: a moment does not come down to it."""
    below, steep_1, steep_x = 0.0, 0.0, 0.0
    for j in range(2, c.size):
        power = POWERS[terms[j]]
        below += c[j]
        steep_1 += power * c[j]
        steep_x += power * c[j] * x**power
    return below <= 0.0 and steep_1 >= 0.0 and steep_x >= 0.0


@njit(cache=True, error_model="numpy")
def approach(h: np.ndarray, moment: np.ndarray, closed: float) -> tuple[float, float, float, float, float, float, int]:
    """Saturation and slope of a half loop: fields `(n,)` > 0 increasing, and the mean of its branches `(n,)`.

    `closed`: fits begin at this field or above. Returns Ms, its uncertainty, slope, its uncertainty, how much of Ms is
    missing at the largest field (of it), noise of a point, and how many fits there were (0: none, all are nan).
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
    y = moment - level0 - slope0 * x
    floor = (FLOOR * (np.abs(moment).max() + 1e-300)) ** 2
    first = int(np.searchsorted(x, max(FROM[0], closed / top) - HAIR))
    noise, correlation = _noise(x, y, max(first, int(np.searchsorted(x, REFERENCE - HAIR))), floor)
    if not noise > 0.0:
        return nothing
    starts = np.empty(len(FROM), np.int64)
    for f in range(len(FROM)):
        starts[f] = max(first, int(np.searchsorted(x, FROM[len(FROM) - 1 - f] - HAIR)))
    normal, rights, squares = _sums(x, y, starts)
    found = np.empty((len(FROM) * len(MODELS), 6))  # AIC, Ms, slope, their variances, what is missing
    count, previous = 0, -1
    for f in range(len(FROM) - 1, -1, -1):
        start = starts[f]
        n = x.size - start
        if start == previous or n < 3:
            continue
        previous = start
        a, b, square = normal[f], rights[f], squares[f]
        for number in range(len(MODELS)):
            terms = MODELS[number]
            fine, c, diagonal, k = _fitted(a, b, terms)
            if n < k + 1 or not fine or not _rises(c, terms, x[start]):
                continue
            chi2, missing = square, 0.0
            for j in range(k):
                chi2 -= c[j] * b[terms[j]]
                missing -= c[j] if j > 1 else 0.0
            left_out = first + n - x.size  # minus the points that this fit leaves out
            row = found[count]
            row[0] = max(chi2, 0.0) / noise / correlation + 2.0 * k - 2.0 * left_out / correlation
            row[1], row[2], row[5] = c[0], c[1], missing
            row[3], row[4] = diagonal[0] * noise * correlation, diagonal[1] * noise * correlation
            count += 1
    if count == 0:
        return nothing
    found = found[:count]
    weight = np.exp(-0.5 * (found[:, 0] - found[:, 0].min())) / found[:, 3]
    weight /= weight.sum()
    ms, slope, missing = (weight * found[:, 1]).sum(), (weight * found[:, 2]).sum(), (weight * found[:, 5]).sum()
    ms_variance = (weight * (found[:, 3] + (found[:, 1] - ms) ** 2)).sum()
    slope_variance = (weight * (found[:, 4] + (found[:, 2] - slope) ** 2)).sum()
    value = ms + level0
    share = missing / value if value != 0.0 else np.nan
    return (
        value, np.sqrt(ms_variance), (slope + slope0) / top, np.sqrt(slope_variance) / top, share, np.sqrt(noise),
        count,
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _noise(x: np.ndarray, y: np.ndarray, start: int, floor: float) -> tuple[float, float]:
    """Variance of a point, and by how much neighbours of the same sign make an average worse; from the residuals of the
    richest fit that leaves 3 degrees of freedom."""
    start = min(start, max(x.size - 5, 0))
    n = x.size - start
    normal, rights, _ = _sums(x, y, np.array([start]))
    a, b = normal[0], rights[0]
    for number in (0, 1, 3):
        fine, c, _, k = _fitted(a, b, MODELS[number])
        if not fine or n < k + 3:
            continue
        square, product, before = 0.0, 0.0, 0.0
        for i in range(start, x.size):
            r = y[i]
            for j in range(k):
                r -= c[j] * _term(x[i], MODELS[number][j])
            square += r * r
            product += r * before
            before = r
        r = min(max(product / square, 0.0), 0.9) if square > floor * n else 0.0
        return max(square / (n - k), floor), (1.0 + r) / (1.0 - r)
    return np.nan, 1.0
