"""Where a curve that is known at points, with noise, has its maximum: a vertex, fitted over as much as is needed.

A parabola through the largest point and its two neighbours, if its bend is `AT_ONCE` times the noise of the bend. If
not, the largest of many points says little of where the middle of the maximum is: a cubic is fitted over more points on
either side, weighted towards the middle, until its bend is `CLEAR` times its noise or all of the maximum is used. Where
that leaves the largest point, the fit has the place; else the parabola keeps it, with what the two differ by as part of
its uncertainty.

The standard uncertainty holds the noise of the data, through the fit, and what the grid does: how much the vertex moves
with a quartic through five points, as far as that is more than noise, and `LEFT`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Rows = Callable[[int, int], tuple[int, np.ndarray]]
CLEAR, AT_ONCE = 5.0, 6.5
FADES = 1.2
"""Where the weight of points ends, in units of how far the fit reaches (V. A. Epanechnikov's)."""
LEFT = 0.007
"""What a parabola leaves of the place of most maxima, in grid steps (rms over how they lie on the grid)."""


class Vertex(NamedTuple):
    """`value` and its standard uncertainty `sigma`, in units of x; `point`: index of the measured point it is near."""

    value: float
    sigma: float
    point: int


class _Fit(NamedTuple):
    """A parabola: its vertex, `off` the point in the middle, with its uncertainty from noise, and its bend over that of
    the noise."""

    off: float
    sigma: float
    clear: float


def vertex(
    x: np.ndarray, y: np.ndarray, noise: float, rows_of: Rows,
    at: int, top_of: Callable[[], tuple[int, int]],
) -> Vertex:  # fmt: skip
    """The maximum of a curve that `rows_of(low, high)` gives at `x[low:high]`, and whose largest point is `at`.

    `x`, `y` (n,); `rows_of` gives `first` and weights (high - low, w): the curve is `weights @ y[first : first + w]`.
    `noise`: standard deviation of every y. `top_of`: asked, where noise may have made `at` the largest, for the first
    and last point of the maximum around it.
    """
    fit = _fit(x, y, noise, rows_of, at, at - 1, at + 1)
    left, right = float(x[at] - x[at - 1]), float(x[at + 1] - x[at])
    beside = 0.0 if fit is None else min(max(fit.off, -0.5 * left), 0.5 * right)
    if fit is not None and fit.clear >= AT_ONCE:
        sigma = math.hypot(fit.sigma, _grid(x, y, noise, rows_of, at, fit), 0.5 * LEFT * (left + right))
        return Vertex(float(x[at]) + beside, min(sigma, left + right), at)
    first, last = top_of()
    largest, best, reach = at, (at, fit), 1
    while (reach == 1 or best[1] is None or best[1].clear < CLEAR) and reach < last - first:
        reach += max(1, reach // 3)
        middle = best[0]
        for _ in range(8):
            fit = _fit(x, y, noise, rows_of, middle, max(middle - reach, first), min(middle + reach, last))
            if fit is None:
                break
            best, moved = (middle, fit), int(np.argmin(np.abs(x - x[middle] - fit.off)))
            moved = min(max(moved, first), last)
            if moved == middle:
                break
            middle = moved
    at, fit = best
    span = float(x[min(last + 1, x.size - 1)] - x[max(first - 1, 0)])
    if fit is None:
        return Vertex(float(x[at]), 0.25 * span, at)
    if at == largest:
        return Vertex(float(x[at]) + beside, math.hypot(fit.sigma, fit.off - beside), at)
    value = min(max(float(x[at]) + fit.off, float(x[first])), float(x[last]))
    return Vertex(value, min(fit.sigma, 0.5 * span), at)


def _fit(
    x: np.ndarray, y: np.ndarray, noise: float, rows_of: Rows,
    at: int, low: int, high: int,
) -> _Fit | None:  # fmt: skip
    """The parabola over the points `low` to `high` around `at`; None where these do not make one that bends down."""
    if high - low < 2:
        return None
    degree = 3 if high - low >= 4 else 2
    off = x[low : high + 1] - x[at]
    scale = float(np.max(np.abs(off)))
    near = np.sqrt(1.0 - (off / (FADES * scale)) ** 2)
    terms = near[:, None] * np.vander(off / scale, degree + 1, increasing=True)
    weights = (np.linalg.inv(terms) if len(terms) == degree + 1 else np.linalg.pinv(terms)) * near
    start, rows = rows_of(low, high + 1)
    weights = weights @ rows
    c = [float(v) for v in weights @ y[start : start + weights.shape[1]]]
    if not c[2] < 0.0:
        return None
    where, of_slope, of_bend = -0.5 * c[1] / c[2], weights[1], 2.0 * weights[2]
    bend = 2.0 * c[2]
    if degree == 3:
        root = c[2] * c[2] - 3.0 * c[1] * c[3]
        if not root > 0.0:
            return None
        where = -c[1] / (c[2] - math.sqrt(root))
        bend, of_bend = bend + 6.0 * where * c[3], of_bend + 6.0 * where * weights[3]
        of_slope = of_slope + 3.0 * where * where * weights[3]
    of_slope = of_slope + 2.0 * where * weights[2]
    of_bend, of_vertex = (noise * float(np.linalg.norm(row)) for row in (of_bend, of_slope / bend))
    return _Fit(where * scale, of_vertex * scale, -bend / max(of_bend, 1e-300))


def _grid(
    x: np.ndarray, y: np.ndarray, noise: float, rows_of: Rows,
    at: int, fit: _Fit,
) -> float:  # fmt: skip
    """How far the vertex of a quartic through five points lies away, beyond noise; linearised around the parabola's."""
    low, high = at - 2, at + 3
    if low < 1 or high > x.size - 1:
        return 0.0
    off = x[low:high] - x[at]
    scale = float(np.max(np.abs(off)))
    start, rows = rows_of(low, high)
    weights = np.linalg.inv(np.vander(off / scale, 5, increasing=True)) @ rows
    c, where = weights @ y[start : start + weights.shape[1]], fit.off / scale
    slope = c[1] + where * (2.0 * c[2] + where * (3.0 * c[3] + where * 4.0 * c[4]))
    bend = 2.0 * c[2] + where * (6.0 * c[3] + where * 12.0 * c[4])
    if not bend < 0.0:
        return 0.0
    of_slope = weights[1] + where * (2.0 * weights[2] + where * (3.0 * weights[3] + where * 4.0 * weights[4]))
    moves, said = slope / bend * scale, noise * float(np.linalg.norm(of_slope)) / abs(bend) * scale
    return math.sqrt(max(moves * moves - said * said, 0.0))
