"""The interpolating cubic spline through all points of a grid (not-a-knot), prepared once and applied many times.

The second derivatives M of the spline solve a tridiagonal system that depends on the grid alone, so its elimination
is done once; a value anywhere is then `a y_j + b y_(j+1) + c M_j + d M_(j+1)`. "Not a knot": the first two and the
last two intervals each hold one cubic, which is the spline that FITPACK's interpolation (`s = 0`) gives.

Plain loops in a fixed order: the same bits whether one spectrum or a thousand are done.
Source: C. de Boor, A Practical Guide to Splines (1978), chapter IV.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from insitu.maths.absorption.spectrum import plain


class Spline(NamedTuple):
    """A grid of m points prepared for evaluation at p places.

    `steps` (m-1,); `lower`, `pivot`, `upper` (m-2,): the eliminated system; `ends` (4,): how the outer second
    derivatives follow from the inner ones; `place` (p,) int64 and `weights` (p, 4): where and how to evaluate.
    """

    steps: np.ndarray
    lower: np.ndarray
    pivot: np.ndarray
    upper: np.ndarray
    ends: np.ndarray
    place: np.ndarray
    weights: np.ndarray


def prepare_spline(x: np.ndarray, at: np.ndarray) -> Spline:
    """Prepare the spline through points at `x` (m,), strictly increasing, m >= 4, to be read at `at` (p,).

    Places beyond the ends are read off the outermost cubics.

    >>> x = np.array([0.0, 1.0, 2.5, 3.0, 4.5, 6.0])
    >>> at = np.array([-0.5, 0.3, 2.5, 5.1, 6.5])
    >>> spline = prepare_spline(x, at)
    >>> bool(np.allclose(read_spline(x**3 - 2.0 * x, spline), at**3 - 2.0 * at))
    True
    """
    x, at = plain(x), plain(at)
    return Spline(*_prepare(x, at))


@njit(cache=True, error_model="numpy")
def _prepare(x, at):
    m = x.size
    steps = np.empty(m - 1)
    for i in range(m - 1):
        steps[i] = x[i + 1] - x[i]
    n = m - 2
    lower, pivot, upper = np.zeros(n), np.empty(n), np.zeros(n)
    for i in range(n):
        lower[i], pivot[i], upper[i] = steps[i], 2.0 * (steps[i] + steps[i + 1]), steps[i + 1]
    first, second = steps[0], steps[1]
    last, before = steps[m - 2], steps[m - 3]
    ends = np.array([(first + second) / second, -first / second, (last + before) / before, -last / before])
    pivot[0] += first * ends[0]
    upper[0] += first * ends[1]
    pivot[n - 1] += last * ends[2]
    lower[n - 1] += last * ends[3]
    for i in range(1, n):
        lower[i] /= pivot[i - 1]
        pivot[i] -= lower[i] * upper[i - 1]
    place, weights = np.empty(at.size, dtype=np.int64), np.empty((at.size, 4))
    j = 0
    for p in range(at.size):
        if p > 0 and at[p] < at[p - 1]:
            j = 0
        while j < m - 2 and at[p] > x[j + 1]:
            j += 1
        h = steps[j]
        b = (at[p] - x[j]) / h
        a = 1.0 - b
        place[p] = j
        weights[p, 0], weights[p, 1] = a, b
        weights[p, 2] = (a * a * a - a) * h * h / 6.0
        weights[p, 3] = (b * b * b - b) * h * h / 6.0
    return steps, lower, pivot, upper, ends, place, weights


@njit(cache=True, error_model="numpy")
def read_into(y, spline, second, out):
    """`out` (p,) = the spline through `y` (m,) at the prepared places; `second` (m,) is room to work in."""
    steps, lower, pivot, upper, ends, place, weights = spline
    m = steps.size + 1
    n = m - 2
    before = (y[1] - y[0]) / steps[0]
    for i in range(n):
        slope = (y[i + 2] - y[i + 1]) / steps[i + 1]
        right = 6.0 * (slope - before)
        before = slope
        if i > 0:
            right -= lower[i] * second[i]
        second[i + 1] = right
    second[n] /= pivot[n - 1]
    for i in range(n - 2, -1, -1):
        second[i + 1] = (second[i + 1] - upper[i] * second[i + 2]) / pivot[i]
    second[0] = ends[0] * second[1] + ends[1] * second[2]
    second[m - 1] = ends[2] * second[m - 2] + ends[3] * second[m - 3]
    for p in range(place.size):
        j = place[p]
        out[p] = (
            weights[p, 0] * y[j] + weights[p, 1] * y[j + 1] + weights[p, 2] * second[j] + weights[p, 3] * second[j + 1]
        )


def read_spline(y: np.ndarray, spline: Spline) -> np.ndarray:
    """The spline through `y` (m,) at the prepared places, `(p,)`."""
    y = plain(y)
    out = np.empty(spline.place.size)
    read_into(y, spline, np.empty(y.size), out)
    return out
