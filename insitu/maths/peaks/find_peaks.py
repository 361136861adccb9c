"""Peaks of a whole pattern, found by prominence in time linear in the number of points.

A peak is a local maximum (the middle of a flat top) whose prominence, the height above the higher of the two valleys
that part it from higher ground, is at least `min_significance` standard uncertainties of its top, and whose net area
above the straight line between the feet of its core is that significant as well: the second test keeps the ordinary
ups and downs of a noisy background out. A broad peak that no single point lifts out of the noise is therefore not
found here: give it a window.

Prominence as in scipy.signal.find_peaks (identical numbers, tests), by a stack of falling maxima instead of a search
per peak: each maximum is put on it and taken off it once.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit


class FoundPeaks(NamedTuple):
    """Peaks in order of position, each `(k,)`: point of the top, prominence (unit of data), points where the curve
    crosses half the prominence left and right (fractional), and valley points left and right."""

    top: np.ndarray
    prominence: np.ndarray
    left: np.ndarray
    right: np.ndarray


def find_peaks(
    y: np.ndarray, sigma: np.ndarray, *, min_significance: float = 5.0, min_prominence: float = 0.0
) -> FoundPeaks:
    """Peaks of `y` with standard uncertainty `sigma`, both `(n,)` and finite.

    >>> x = np.arange(2000.0)
    >>> y = 100.0 + 900.0 * np.exp(-(((x - 700.0) / 6.0) ** 2)) + 400.0 * np.exp(-(((x - 1500.0) / 6.0) ** 2))
    >>> noisy = np.random.default_rng(5).poisson(y).astype(float)
    >>> found = find_peaks(noisy, np.sqrt(noisy))
    >>> [abs(int(i) - at) < 4 for i, at in zip(found.top, (700, 1500))]
    [True, True]
    """
    y, sigma = np.array(y, dtype=np.float64), np.array(sigma, dtype=np.float64)
    index, prominence = prominences(y)
    keep = (prominence >= min_significance * sigma[index]) & (prominence >= min_prominence) & (prominence > 0.0)
    index, prominence = index[keep], prominence[keep]
    left, right, significance = _cores(y, sigma, index, prominence)
    keep = significance >= min_significance
    return FoundPeaks(index[keep], prominence[keep], left[keep], right[keep])


class Around(NamedTuple):
    """A window around a peak found: its ends in units of x, which windows belong together, whether it was asked for."""

    low: float
    high: float
    group: int
    asked: bool


def windows_around(x: np.ndarray, found: FoundPeaks, most: int, reach: float = 3.0) -> list[tuple[float, float]]:
    """Windows to measure the `most` prominent peaks in, in order of position: (low, high) in units of `x` `(n,)`.

    They reach `reach` times the width at half prominence to either side, at least 5 points, and at most half way to the
    next peak found and to the ends of the pattern.

    >>> x = np.linspace(0.0, 10.0, 101)
    >>> y = 9.0 * np.exp(-(((x - 4.0) / 0.3) ** 2))
    >>> [(round(a, 2), round(b, 2)) for a, b in windows_around(x, find_peaks(y, np.full(101, 0.1)), 1)]
    [(2.49, 5.51)]
    """
    return [(window.low, window.high) for window in groups_around(x, found, most, reach) if window.asked]


def groups_around(x: np.ndarray, found: FoundPeaks, most: int, reach: float = 3.0, largest: int = 6) -> list[Around]:
    """The windows of `windows_around`, those of direct neighbours within reach, and which belong together.

    Neighbouring peaks belong together where their windows would overlap if they did not end half way: each stands on
    the foot of the other. A group has at most `largest` peaks.
    """
    points = np.arange(x.size, dtype=np.float64)
    width = np.interp(found.right, points, x) - np.interp(found.left, points, x)
    at = x[found.top]
    low = np.minimum(at - reach * width, x[np.maximum(found.top - 5, 0)])
    high = np.maximum(at + reach * width, x[np.minimum(found.top + 5, x.size - 1)])
    asked = np.zeros(at.size, dtype=bool)
    asked[np.argsort(-found.prominence, kind="stable")[:most]] = True
    close = high[:-1] > low[1:]
    wanted = asked.copy()
    wanted[:-1] |= close & asked[1:]
    wanted[1:] |= close & asked[:-1]
    half_way = 0.5 * (at[:-1] + at[1:])
    low, high = np.maximum(low, np.append(x[:1], half_way)), np.minimum(high, np.append(half_way, x[-1:]))
    windows: list[Around] = []
    group, members = 0, 0
    for k in np.flatnonzero(wanted):
        joined = k > 0 and wanted[k - 1] and close[k - 1] and (asked[k] or asked[k - 1]) and members < largest
        group, members = (group, members + 1) if joined else (group + 1, 1)
        windows.append(Around(float(low[k]), float(high[k]), group, bool(asked[k])))
    return windows


def warm() -> None:
    """Compile the kernels (or read them from numba's cache), so that the first frame does not wait."""
    find_peaks(np.array([0.0, 1.0, 9.0, 1.0, 0.0]), np.ones(5))


@njit(cache=True, error_model="numpy")
def prominences(y):
    """Index (middle of flat tops) and prominence of every local maximum of `y` (n,)."""
    index, valley = _maxima(y)
    count = index.size
    height = y[index]
    left = _lowest_before_higher(height, valley[:count])
    right = _lowest_before_higher(height[::-1].copy(), valley[::-1][:count].copy())[::-1]
    return index, height - np.maximum(left, right)


@njit(cache=True, error_model="numpy")
def _maxima(y):
    """Middle points of all local maxima (k,), and the lowest values before, between and after them (k + 1,)."""
    n = y.size
    index, valley = np.empty(n // 2 + 1, dtype=np.int64), np.empty(n // 2 + 2)
    count = 0
    low = y[0] if n > 0 else 0.0
    i = 1
    while i < n - 1:
        low = min(low, y[i])
        if y[i - 1] < y[i]:
            ahead = i + 1
            while ahead < n - 1 and y[ahead] == y[i]:
                ahead += 1
            if y[ahead] < y[i]:
                index[count], valley[count] = (i + ahead - 1) // 2, low
                count += 1
                low = y[i]
                i = ahead - 1
        i += 1
    valley[count] = min(low, y[n - 1]) if n > 0 else 0.0
    return index[:count].copy(), valley[: count + 1].copy()


@njit(cache=True, error_model="numpy")
def _lowest_before_higher(height, valley):
    """For each maximum (k,) the lowest valley between it and the nearest strictly higher one on its left (or the end).

    `valley[i]` lies between maxima i - 1 and i.
    """
    count = height.size
    lowest = np.empty(count)
    stack = np.empty(count, dtype=np.int64)
    size = 0
    for i in range(count):
        low = valley[i]
        while size > 0 and height[stack[size - 1]] <= height[i]:
            low = min(low, lowest[stack[size - 1]])
            size -= 1
        lowest[i] = low
        stack[size] = i
        size += 1
    return lowest


@njit(cache=True, error_model="numpy")
def _cores(y, sigma, index, prominence):
    """Half-prominence crossings (fractional points) and significance of the net area of each peak's core.

    The core reaches twice the half width to either side, not past the points where the curve rises again above the
    half level. Its area is taken above the line through the two ends; the ends' own noise is counted.
    """
    k = index.size
    left, right, significance = np.empty(k), np.empty(k), np.empty(k)
    n = y.size
    for j in range(k):
        top = index[j]
        level = y[top] - 0.5 * prominence[j]
        a = top
        while a > 0 and y[a] > level:
            a -= 1
        b = top
        while b < n - 1 and y[b] > level:
            b += 1
        left[j] = a + (level - y[a]) / (y[a + 1] - y[a]) if y[a] <= level < y[a + 1] else a
        right[j] = b - (level - y[b]) / (y[b - 1] - y[b]) if y[b] <= level < y[b - 1] else b
        first, last = _foot(y, top, a, level, -1), _foot(y, top, b, level, 1)
        net, variance = 0.0, 0.0
        inner = 0
        for i in range(first + 1, last):
            part = (i - first) / (last - first)
            net += y[i] - y[first] * (1.0 - part) - y[last] * part
            variance += sigma[i] * sigma[i]
            inner += 1
        # the line carries the noise of its two ends: each weighs half the number of inner points
        variance += 0.25 * inner * inner * (sigma[first] * sigma[first] + sigma[last] * sigma[last])
        significance[j] = net / math.sqrt(variance) if variance > 0.0 else np.inf
    return left, right, significance


@njit(cache=True, error_model="numpy")
def _foot(y, top, crossing, level, step):
    """The lowest point between the half-level crossing and twice as far from the top, before the curve is back up."""
    end = min(max(top + 2 * (crossing - top), 0), y.size - 1)
    foot = crossing
    i = crossing
    while i != end:
        i += step
        if y[i] > level:
            break
        if y[i] < y[foot]:
            foot = i
    return foot
