"""Exponent of a power law from single values, by maximum likelihood, between a lower and an upper cut-off.

    p(x) ~ x^-alpha,  low <= x <= high    (continuous: sizes; discrete: durations as numbers of points)

(A. Clauset, C. R. Shalizi, M. E. J. Newman, SIAM Review 51 (2009) 661; with an upper cut-off: A. Deluca, A. Corral,
Acta Geophys. 61 (2013) 1351.) Not from a straight line through a histogram, which is biased. Without a lower cut-off
the one is taken above which the largest distance between the two cumulative distributions (Kolmogorov, Smirnov) is
smallest.

The uncertainty is that of the likelihood (Fisher's information) for independent values that do follow the law; that the
lower cut-off was looked for in the same values is not in it (Clauset's section 3.3 gives about twice as much), nor is
anything the law does not describe. Bias: `alpha - 1 = (n - 1) / sum ln(x / low)` has none for continuous values without
an upper cut-off (the maximum itself, with n, is 1/n too large, relatively); discrete ones and those with an upper
cut-off keep a bias of order 1/n, far below the uncertainty for the 50 values that are the least here.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

LEAST = 50
"""Fewer values give no exponent."""
CANDIDATES, PLACES = 40, 400
"""Lower cut-offs tried, and places where the two distributions are compared for each."""
_STEEPEST = 50.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)


class PowerLaw(NamedTuple):
    """`exponent` with `sigma`; from `n` values between `low` and `high` (infinite: none); `distance` between the
    cumulative distributions there (Kolmogorov, Smirnov; discrete values taken as continuous ones)."""

    exponent: float
    sigma: float
    low: float
    high: float
    n: int
    distance: float


@njit(cache=True)
def _spread(a: float, length: float) -> tuple[float, float]:
    """Mean and variance of y in [0, length] with density ~ e^(-a y)."""
    if math.isinf(length):
        return 1.0 / a, 1.0 / (a * a)
    t = a * length
    if abs(t) < 1e-3:
        return length * (0.5 - t / 12.0), length * length / 12.0
    if abs(t) > 500.0:
        return (1.0 / a if t > 0 else length + 1.0 / a), 1.0 / (a * a)
    e = math.expm1(t)
    return 1.0 / a - length / e, 1.0 / (a * a) - length * length * (e + 1.0) / (e * e)


@njit(cache=True)
def _steepness(mean: float, length: float, n: int) -> float:
    """The a whose density ~ e^(-a y) on [0, length] has this mean: without end, unbiased for n values."""
    if math.isinf(length):
        return (n - 1.0) / (n * mean)
    low, high = -_STEEPEST, _STEEPEST
    for _ in range(60):
        a = 0.5 * (low + high)
        if _spread(a, length)[0] > mean:
            low = a
        else:
            high = a
    return 0.5 * (low + high)


@njit(cache=True)
def _distance(y: np.ndarray, first: int, shift: float, a: float, length: float) -> float:
    """Largest distance of the cumulative distributions, at up to PLACES of the sorted y - shift from `first` on."""
    n = y.size - first
    step = max(1, n // PLACES)
    whole = 1.0 if math.isinf(length) else -math.expm1(-a * length)
    largest = 0.0
    for i in range(0, n, step):
        if abs(a) < 1e-9:
            model = (y[first + i] - shift) / length
        else:
            model = -math.expm1(-a * (y[first + i] - shift)) / whole
        largest = max(largest, abs(model - i / n), abs(model - (i + 1.0) / n))
    return largest


@njit(cache=True)
def _best_start(y: np.ndarray, starts: np.ndarray, last: float, half: np.ndarray) -> tuple[int, float]:
    """Out of indices `starts` into the sorted logarithms y the one whose rest follows the law best, and its distance.

    `last`: logarithm of the upper cut-off. `half` `(starts,)`: the logarithm of the lower cut-off of each."""
    rest = np.empty(y.size + 1)
    rest[y.size] = 0.0
    for i in range(y.size - 1, -1, -1):
        rest[i] = rest[i + 1] + y[i]
    best, smallest = starts[0], np.inf
    for k in range(starts.size):
        first, n = starts[k], y.size - starts[k]
        mean = rest[first] / n - half[k]
        length = last - half[k]
        if mean <= 0.0 or length <= 0.0:
            continue
        a = _steepness(mean, length, n)
        distance = _distance(y, first, half[k], a, length)
        if distance < smallest:
            best, smallest = first, distance
    return best, smallest


def _sums(a: float, low: int, high: float) -> tuple[float, float, float]:
    """Sums over k from low to high of k^-a, ln k k^-a, ln^2 k k^-a; the far part by Euler and Maclaurin."""
    near = int(min(high, low + 400))
    k = np.arange(low, near + 1, dtype=np.float64)
    log, weight = np.log(k), k**-a
    found = [float(weight.sum()), float((log * weight).sum()), float((log * log * weight).sum())]
    if near < high:
        begin = math.log(near + 0.5)  # the midpoint rule: the sum of f(k) is the integral from half a step before
        # beyond e^-40 of the weight nothing is left
        end = math.log(high + 0.5) if math.isfinite(high) else begin + 40.0 / (a - 1.0)
        u = 0.5 * (end - begin) * (_NODES + 1.0) + begin
        w = 0.5 * (end - begin) * _WEIGHTS * np.exp((1.0 - a) * u)
        found = [s + float((w * u**p).sum()) for p, s in enumerate(found)]
    return found[0], found[1], found[2]


def _discrete(k: np.ndarray, low: int, high: float, start: float) -> tuple[float, float]:
    """Exponent and sigma of whole numbers `(n,)` from low to high: Newton's steps from a start, kept in a bracket."""
    mean = float(np.log(k).mean())
    # without an upper cut-off the sums need an exponent above 1
    bottom, top = (1.001 if math.isinf(high) else -5.0), 20.0
    a, variance = min(max(start, bottom), top), math.inf
    for _ in range(50):
        zero, one, two = _sums(a, low, high)
        excess = one / zero - mean
        variance = two / zero - (one / zero) ** 2
        bottom, top = (a, top) if excess > 0.0 else (bottom, a)
        if variance <= 0.0:
            return a, math.inf
        step = excess / variance
        if abs(step) < 1e-10:
            break
        a = a + step if bottom < a + step < top else 0.5 * (bottom + top)
    return a, 1.0 / math.sqrt(len(k) * variance)


def fit_power_law(
    values: np.ndarray,
    *,
    low: float | None = None,
    high: float | None = None,
    discrete: bool = False,
    least: int = LEAST,
) -> PowerLaw | None:
    """The power law of positive values `(n,)`; None where fewer than `least` lie between the cut-offs, or all alike.

    `low`, `high`: cut-offs (None: looked for; none). `discrete`: values are whole numbers from 1 on.

    >>> u = np.random.default_rng(2).random(20_000)
    >>> found = fit_power_law(u ** (-1.0 / 0.5), low=1.0, high=1e4)   # p(x) ~ x^-1.5
    >>> abs(found.exponent - 1.5) < 3.0 * found.sigma < 0.05
    True
    """
    top = math.inf if high is None else float(high)
    x = np.sort(np.asarray(values, np.float64))
    x = x[(x > 0.0) & (x <= top) & (x >= (0.0 if low is None else low))]
    if x.size < max(least, 3) or not x[-1] > x[0]:
        return None
    half = 0.5 if discrete else 0.0
    y, last = np.log(x), math.log(top + half) if math.isfinite(top) else math.inf
    if low is None:
        marks = np.unique(x[np.linspace(0, x.size - least, CANDIDATES).astype(np.int64)])
        starts = np.searchsorted(x, marks)
    else:
        starts, marks = np.zeros(1, np.int64), np.array([math.ceil(low) if discrete else low], np.float64)
    first, distance = _best_start(y, starts, last, np.log(marks - half))
    bottom = float(x[first]) if low is None else float(marks[0])
    n = x.size - int(first)
    if not math.isfinite(distance):
        return None
    if discrete:
        mean = float(y[first:].mean()) - math.log(bottom - half)
        start = 1.0 + _steepness(mean, last - math.log(bottom - half), n)
        exponent, sigma = _discrete(x[first:], int(bottom), top, start)
    else:
        length = last - math.log(bottom)
        a = _steepness(float(y[first:].mean()) - math.log(bottom), length, n)
        exponent, sigma = 1.0 + a, 1.0 / math.sqrt((n - 2) * _spread(a, length)[1])
    return PowerLaw(exponent, sigma, bottom, top, n, float(distance)) if math.isfinite(sigma) else None
