"""The first two waves round a circle through measured points, by robust weighted least squares.

    y(psi) = p0 + p1 cos psi + p2 sin psi + p3 cos 2 psi + p4 sin 2 psi

Points far off the others (r against a scale of 1.4826 median |r|) lose their say: each weight is divided by
1 + (r / (width scale))^2 and the fit is repeated (Cauchy's weights; P. W. Holland, R. E. Welsch, Commun. Stat. A6
(1977) 813). Shapes `(n,)`, float64; psi in radian.
"""

# The types of the arguments are numba's to find: pyright sees none.
# pyright: reportMissingParameterType=false

from typing import NamedTuple

import numpy as np
from numba import njit

SPREAD = 50.0
"""Largest variance of a wave's amplitude, for points of variance 1/n: 2 for points all round the circle, more where
they leave a gap that the other waves could fill."""
FEWEST = 7
"""Five numbers are fitted; two points more are the least."""


class Fit(NamedTuple):
    """p0 to p4, their covariance `(5, 5)`; `why` is not empty where there are none."""

    value: np.ndarray
    covariance: np.ndarray
    why: str


def fit_waves(psi: np.ndarray, y: np.ndarray, weight: np.ndarray, *, width: float, floor: float, steps: int = 2) -> Fit:
    """Numbers and covariance from weights 1/sigma^2; sigmas times sqrt(reduced chi^2) where that is above 1.

    `floor`: the least scale of what is off, in units of y; `steps`: how often weights are set anew.

    >>> psi = np.arange(12) * (2.0 * np.pi / 12)
    >>> fit_waves(psi, 3.0 + 0.5 * np.sin(psi), np.ones(12), width=3.0, floor=0.1).value[[0, 2]].round(6).tolist()
    [3.0, 0.5]
    """
    value, covariance = np.zeros(5), np.zeros((5, 5))
    if psi.size < FEWEST:
        return Fit(value, covariance, f"it is found in {psi.size} sectors of the circle, {FEWEST} are needed")
    if not _fit(psi, y, weight, width, floor, steps, value, covariance):
        return Fit(value, covariance, "the sectors where it is found cover too little of the circle")
    return Fit(value, covariance, "")


def rms_from(fit: Fit, level: float) -> float:
    """Root mean square of y minus `level` over the whole circle: waves are orthogonal on it."""
    return float(np.sqrt((fit.value[0] - level) ** 2 + 0.5 * np.sum(fit.value[1:] ** 2)))


@njit(cache=True, nogil=True)
def invert(a):
    """Invert a symmetric positive matrix in place; False where it is singular."""
    n = a.shape[0]
    for k in range(n):
        pivot = a[k, k]
        if not pivot > 1e-300:
            return False
        a[k, k] = 1.0
        for j in range(n):
            a[k, j] /= pivot
        for i in range(n):
            if i != k:
                f = a[i, k]
                a[i, k] = 0.0
                for j in range(n):
                    a[i, j] -= f * a[k, j]
    return True


@njit(cache=True, nogil=True)
def _row(psi, row):
    row[0], row[1], row[2], row[3], row[4] = 1.0, np.cos(psi), np.sin(psi), np.cos(2.0 * psi), np.sin(2.0 * psi)


@njit(cache=True, nogil=True)
def _fit(psi, y, weight, width, floor, steps, value, covariance):
    """Fill `value` and `covariance`; False where the points do not tell the waves apart."""
    n = psi.size
    rows, rest, w = np.empty((n, 5)), np.empty(n), weight.copy()
    plain = np.zeros((5, 5))
    for i in range(n):
        _row(psi[i], rows[i])
        for p in range(5):
            for q in range(5):
                plain[p, q] += rows[i, p] * rows[i, q] / n
    if not invert(plain):
        return False
    for p in range(5):
        if not plain[p, p] < SPREAD:
            return False
    for step in range(steps + 1):
        right = np.zeros(5)
        covariance[:] = 0.0
        for i in range(n):
            for p in range(5):
                right[p] += w[i] * rows[i, p] * y[i]
                for q in range(5):
                    covariance[p, q] += w[i] * rows[i, p] * rows[i, q]
        if not invert(covariance):
            return False
        for p in range(5):
            value[p] = 0.0
            for q in range(5):
                value[p] += covariance[p, q] * right[q]
        for i in range(n):
            rest[i] = y[i]
            for p in range(5):
                rest[i] -= rows[i, p] * value[p]
        if step < steps:
            scale = width * max(1.4826 * np.median(np.abs(rest)), floor)
            for i in range(n):
                w[i] = weight[i] / (1.0 + (rest[i] / scale) ** 2)
    chi2 = 0.0
    for i in range(n):
        chi2 += w[i] * rest[i] * rest[i]
    covariance *= max(chi2 / (n - 5), 1.0)
    return True
