"""The peak of an RMS envelope over the field, compiled: place, height, width and skew of one smoothed curve."""

import math

import numpy as np
from numba import njit

SEEN, NO_RISE, AT_END, ONE_BURST = 0, 1, 2, 3
"""What `find_peak` says first: a peak; nothing rises above the noise; largest at an end; narrower than any peak."""
FIRST_SIGMA, NEXT_SIGMA = 0.05, 0.2
"""Smoothing: first in parts of the range, then in parts of the width that was found."""
NARROWEST = 0.02
"""In parts of the range, the least full width that is a peak and no single burst."""
RISE = 2.0
"""Over the mean square of the noise, the least that is a peak."""


@njit(cache=True)
def _smoothed(total: np.ndarray, count: np.ndarray, sigma: float) -> np.ndarray:
    """Mean per bin, `total / count`, both spread by a Gaussian of `sigma` bins first; NaN where nothing was counted."""
    bins, reach = total.size, max(math.ceil(4.0 * sigma), 1)
    weight = np.empty(reach + 1)
    for d in range(reach + 1):
        weight[d] = math.exp(-0.5 * (d / sigma) ** 2)
    out = np.empty(bins)
    for i in range(bins):
        a = b = 0.0
        for j in range(max(i - reach, 0), min(i + reach + 1, bins)):
            w = weight[abs(i - j)]
            a += w * total[j]
            b += w * count[j]
        out[i] = a / b if b > 1e-3 else np.nan
    return out


@njit(cache=True)
def _summit(y: np.ndarray, first: int, last: int) -> tuple[float, float, float]:
    """Place, height and variance (in bins) of the Gaussian through y[first] to y[last], all above 0: a parabola through
    ln y with weights y^2. The variance is not above 0 where ln y does not bend downwards."""
    middle = 0.5 * (first + last)
    s0 = s1 = s2 = s3 = s4 = t0 = t1 = t2 = 0.0
    for i in range(first, last + 1):
        u, w, v = i - middle, y[i] * y[i], math.log(y[i])
        s0 += w
        s1 += w * u
        s2 += w * u * u
        s3 += w * u * u * u
        s4 += w * u * u * u * u
        t0 += w * v
        t1 += w * u * v
        t2 += w * u * u * v
    det = s0 * (s2 * s4 - s3 * s3) - s1 * (s1 * s4 - s2 * s3) + s2 * (s1 * s3 - s2 * s2)
    if not det > 0.0:
        return middle, y[(first + last) // 2], -1.0
    c = t0 * (s2 * s4 - s3 * s3) - s1 * (t1 * s4 - s3 * t2) + s2 * (t1 * s3 - s2 * t2)
    b = s0 * (t1 * s4 - s3 * t2) - t0 * (s1 * s4 - s2 * s3) + s2 * (s1 * t2 - t1 * s2)
    a = s0 * (s2 * t2 - t1 * s3) - s1 * (s1 * t2 - t1 * s2) + t0 * (s1 * s3 - s2 * s2)
    a, b, c = a / det, b / det, c / det
    if not a < 0.0:
        return middle, math.exp(c), -1.0
    return middle - b / (2.0 * a), math.exp(c - b * b / (4.0 * a)), -1.0 / (2.0 * a)


@njit(cache=True)
def _crossing(y: np.ndarray, start: int, way: int, level: float) -> float:
    """Where y, from index `start` on in steps of `way`, first falls to `level`, between two points; NaN: nowhere."""
    i = start
    while 0 <= i + way < y.size:
        if not y[i + way] > level:
            if not y[i + way] <= level:
                return np.nan
            return i + way * (y[i] - level) / (y[i] - y[i + way])
        i += way
    return np.nan


@njit(cache=True)
def _above(y: np.ndarray, top: int, level: float) -> tuple[int, int]:
    """First and last index of the run around `top` that lies above a level."""
    first = last = top
    while first > 0 and y[first - 1] > level:
        first -= 1
    while last < y.size - 1 and y[last + 1] > level:
        last += 1
    return first, last


@njit(cache=True)
def _skew(y: np.ndarray, top: int) -> float:
    """Third standardised moment of sqrt(y) above a third of its height; NaN where that is cut off by an end."""
    first, last = _above(y, top, 0.1 * y[top])
    if first == 0 or last == y.size - 1 or last - first < 4:
        return np.nan
    whole = mean = second = third = 0.0
    for i in range(first, last + 1):
        whole += math.sqrt(y[i])
        mean += math.sqrt(y[i]) * (i - first)
    mean /= whole
    for i in range(first, last + 1):
        u = i - first - mean
        second += math.sqrt(y[i]) * u * u
        third += math.sqrt(y[i]) * u * u * u
    return (third / whole) / (second / whole) ** 1.5


@njit(cache=True)
def find_peak(total: np.ndarray, count: np.ndarray, noise: float) -> tuple[int, float, float, float, float]:
    """What there is (SEEN, ...), place and full width at half height in bins, height (RMS) and skew, of the envelope of
    sums of squares and numbers of samples `(bins,)` above a noise (RMS). Width and skew may be NaN."""
    bins, square_noise = total.size, noise * noise
    sigma = max(FIRST_SIGMA * bins, 0.5)
    place = width = square = skew = np.nan
    for _ in range(3):
        y = _smoothed(total, count, sigma)
        top = -1
        for i in range(bins):
            y[i] -= square_noise
            if y[i] > 0.0 and (top < 0 or y[i] > y[top]):
                top = i
        if top < 0 or not y[top] > (RISE - 1.0) * square_noise:
            return NO_RISE, np.nan, np.nan, np.nan, np.nan
        first, last = _above(y, top, 0.25 * y[top])
        place, square, variance = float(top), y[top], -1.0
        if last - first > 1:
            place, square, variance = _summit(y, first, last)
            if not (variance > 0.0 and first - 1 <= place <= last + 1):
                place, square, variance = float(top), y[top], -1.0
        if not 0.5 <= place <= bins - 1.5:
            return AT_END, np.nan, np.nan, np.nan, np.nan
        width = _crossing(y, top, 1, 0.25 * square) - _crossing(y, top, -1, 0.25 * square)
        if variance > sigma * sigma:
            square *= math.sqrt(variance / (variance - sigma * sigma))
        skew = _skew(y, top)
        if math.isnan(width):
            break
        # what smoothing adds to a Gaussian: envelope^2 is narrower by sqrt 2
        width = math.sqrt(max(width * width - 16.0 * math.log(2.0) * sigma * sigma, 0.0))
        if width < NARROWEST * bins:
            return ONE_BURST, np.nan, np.nan, np.nan, np.nan
        sigma = max(NEXT_SIGMA * width, 0.5)
    return SEEN, place, width, math.sqrt(square), skew
