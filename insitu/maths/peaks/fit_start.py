"""What a peak fit starts from, read off the data of its window: the points' variances, and first numbers of each peak.

The start of a peak is the box of points whose excess over the line between the window's edges stands out most clearly.
Nothing is remembered from one call to the next. Compiled: plain loops in a fixed order, shapes `(n,)`, float64.
"""

import math

import numpy as np
from numba import njit

from insitu.maths.noise import MEDIAN_PER_SIGMA
from insitu.maths.peaks.fit_kernel import GAUSS, LORENTZ, second_line

KNOWN, POISSON, RESIDUALS = range(3)
"""Where variances are from: standard uncertainties that are given, counting, or the scatter of the data."""


@njit(cache=True, error_model="numpy")
def window_variance(y, sigma, kind, variance):
    """Fill `variance`: sigma^2, counts (at least 1), or one noise level for all. False where sigma says nothing.

    Points whose sigma is 0 or not a number get the smallest variance that is above 0; infinite ones stay so.
    """
    n = y.size
    if kind == POISSON:
        for i in range(n):
            variance[i] = max(y[i], 1.0)
        return True
    if kind == KNOWN:
        least = np.inf
        for i in range(n):
            variance[i] = sigma[i] * sigma[i]
            if 1e-200 < variance[i] < least:  # less is a zero that lost its way
                least = variance[i]
        for i in range(n):
            if not variance[i] > 1e-200:
                variance[i] = least
        return least < np.inf
    largest, low, high = 0.0, y[0], y[0]
    second = np.zeros(max(n - 2, 1))
    for i in range(n):
        largest, low, high = max(largest, abs(y[i])), min(low, y[i]), max(high, y[i])
        if 0 < i < n - 1:
            second[i - 1] = abs(y[i - 1] - 2.0 * y[i] + y[i + 1])
    noise = np.median(second) / (MEDIAN_PER_SIGMA * math.sqrt(6.0))
    noise = max(noise, 1e-6 * (high - low), 1e-10 * largest, 1e-100)
    for i in range(n):
        variance[i] = noise * noise
    return True


@njit(cache=True, error_model="numpy")
def line_chi2(x, y, weight):
    """chi^2 of the weighted straight line: what is left without any peak."""
    s, sx, sy = 0.0, 0.0, 0.0
    for i in range(x.size):
        s += weight[i]
        sx += weight[i] * x[i]
        sy += weight[i] * y[i]
    mx, my = sx / s, sy / s
    sxx, sxy = 0.0, 0.0
    for i in range(x.size):
        sxx += weight[i] * (x[i] - mx) ** 2
        sxy += weight[i] * (x[i] - mx) * (y[i] - my)
    chi2 = 0.0
    for i in range(x.size):
        chi2 += weight[i] * (y[i] - my - sxy / sxx * (x[i] - mx)) ** 2
    return chi2


@njit(cache=True, error_model="numpy")
def edges(x, y):
    """The line through the mean points of the window's two edges: value in its middle, and gain to its end."""
    n = x.size
    edge = max(2, n // 8)
    left, right, x_left, x_right = 0.0, 0.0, 0.0, 0.0
    for i in range(edge):
        left += y[i] / edge
        right += y[n - 1 - i] / edge
        x_left += x[i] / edge
        x_right += x[n - 1 - i] / edge
    slope = (right - left) / (x_right - x_left)
    return left + slope * (0.5 * (x[0] + x[-1]) - x_left), slope * 0.5 * (x[-1] - x[0])


@njit(cache=True, error_model="numpy")
def box(x, excess, variance, begin, end):
    """Of all boxes of points within `begin:end`, the one with the largest sum of `excess` over its noise.

    Gives position, FWHM and that signal-to-noise. Points of infinite variance are passed over.
    """
    n = end - begin
    total, noise = np.zeros(n + 1), np.zeros(n + 1)
    for i in range(n):
        usable = variance[begin + i] < np.inf
        total[i + 1] = total[i] + (excess[begin + i] if usable else 0.0)
        noise[i + 1] = noise[i] + (variance[begin + i] if usable else 0.0)
    best, first, last, size = -np.inf, 0, 1, 1
    while size <= max(1, n // 2):
        for i in range(n - size + 1):
            spread = noise[i + size] - noise[i]
            z = (total[i + size] - total[i]) / math.sqrt(spread) if spread > 0.0 else -np.inf
            if z > best:
                best, first, last = z, i, i + size
        size = size + max(1, size // 3)
    step = (x[-1] - x[0]) / (x.size - 1)
    position = 0.5 * (x[begin + first] + x[begin + last - 1])
    return position, max(1.5, (last - first) / 1.2) * step, best


@njit(cache=True, error_model="numpy")
def refine(x, excess, variance, position, fwhm, ratio, alpha, angular):
    """Position, FWHM and area of the peak in the box at `position`, `fwhm` wide: the best of a few guesses.

    A box that holds a narrow peak on broad feet, or two peaks, is too wide: the highest point within it and narrower
    widths are tried as well. With a second line (`ratio` above 0) the middle may be K-alpha1, K-alpha2 or between. A
    guess is judged by how well it describes the excess, the area by linear least squares.
    """
    step = (x[-1] - x[0]) / (x.size - 1)
    top, most = position, -np.inf
    for i in range(x.size):
        if abs(x[i] - position) <= 0.5 * fwhm and variance[i] < np.inf and excess[i] > most:
            top, most = x[i], excess[i]
    apart = 0.0
    if ratio > 0.0:
        second, _ = second_line(position, alpha, angular)
        apart = second - position if second == second else 0.0
    best, at, width, area = -np.inf, position, fwhm, 0.0
    for begin in (position, top):
        for part in range(4 if apart != 0.0 else 1):
            for narrow in (1.0, 0.5, 0.25):
                w = max(fwhm * narrow, 1.5 * step)
                score, size = _score(x, excess, variance, begin - part * apart / 3.0, w, ratio, alpha, angular)
                if score > best:
                    best, at, width, area = score, begin - part * apart / 3.0, w, size
    return at, width, area


@njit(cache=True, error_model="numpy")
def _score(x, excess, variance, at, width, ratio, alpha, angular):
    """How much of chi^2 a peak takes away, and the area with which it does."""
    second = np.nan
    if ratio > 0.0:
        second, _ = second_line(at, alpha, angular)
    along, square = 0.0, 0.0
    for i in range(x.size):
        if variance[i] < np.inf:
            value = _shape((x[i] - at) / width)
            if second == second:
                value += ratio * _shape((x[i] - second) / width)
            along += value * excess[i] / variance[i]
            square += value * value / variance[i]
    return (along * along / square, along / square * width) if along > 0.0 else (-np.inf, 0.0)


@njit(cache=True, error_model="numpy")
def _shape(t):
    """Pseudo-Voigt of unit FWHM and area, half Lorentzian."""
    return 0.5 * (LORENTZ / (1.0 + 4.0 * t * t) + GAUSS * math.exp(-4.0 * math.log(2.0) * t * t))
