"""Kernels for the small fits of a loop: normal equations of up to four terms, in arrays that the caller keeps.

The normal equations A c = b are solved by their Cholesky factor L, A = L L^T; diag(A^-1) is the variance of the
coefficients for points of variance 1. The first k rows of L and of L^-1 belong to the first k terms: fits of fewer
terms are read from the factor of the largest one.
"""

import numpy as np
from numba import njit

HAIR = 1e-9
"""By so much of their distance points may be farther and still count as near: rounding must not decide."""
PIVOT = 1e-13
"""A term whose pivot is a smaller part of its diagonal depends on the terms before it."""


@njit(cache=True, error_model="numpy")
def factor(a: np.ndarray, k: int, low: np.ndarray, inverse: np.ndarray) -> int:
    """Write L^-1 of the first `k` rows of `a` `(k, k)` (lower half used) into the lower half of `inverse` `(k, k)`, L
    into `low`; returns how many terms are independent, from the first one on."""
    for i in range(k):
        for j in range(i + 1):
            s = a[i, j]
            for l in range(j):  # noqa: E741
                s -= low[i, l] * low[j, l]
            if i == j:
                if s <= PIVOT * a[i, i]:
                    return i
                low[i, i] = np.sqrt(s)
            else:
                low[i, j] = s / low[j, j]
        inverse[i, i] = 1.0 / low[i, i]
        for c in range(i):
            s = 0.0
            for l in range(c, i):  # noqa: E741
                s -= low[i, l] * inverse[l, c]
            inverse[i, c] = s / low[i, i]
    return k


@njit(cache=True, error_model="numpy")
def solution(inverse: np.ndarray, b: np.ndarray, k: int, c: np.ndarray, diagonal: np.ndarray) -> None:
    """Write the first `k` coefficients into `c` and the diagonal of the inverse of A into `diagonal`, from L^-1 and the
    right side `b` `(k,)`."""
    for i in range(k):
        c[i], diagonal[i] = 0.0, 0.0
    for l in range(k):  # noqa: E741
        z = 0.0
        for i in range(l + 1):
            z += inverse[l, i] * b[i]
        for i in range(l + 1):
            c[i] += inverse[l, i] * z
            diagonal[i] += inverse[l, i] ** 2


@njit(cache=True, error_model="numpy")
def _nearest(x: np.ndarray, at: float, reach: float, least: int) -> tuple[int, int]:
    """First and last (+ 1) of the points within `reach` of `at`, or of the `least` nearest ones and those as far."""
    right = int(np.searchsorted(x, at))
    left, far = right, reach * (1.0 + HAIR)
    while left > 0 or right < x.size:
        below = at - x[left - 1] if left > 0 else np.inf
        above = x[right] - at if right < x.size else np.inf
        near = min(below, above)
        if near > far:
            if right - left >= least:
                break
            far = near * (1.0 + HAIR)
        if below <= above:
            left -= 1
        else:
            right += 1
    return left, right


@njit(cache=True, error_model="numpy")
def local_cubic(
    x: np.ndarray, y: np.ndarray, at: float, reach: float, least: int, work: np.ndarray
) -> tuple[float, float, float, float, int]:
    """Value and slope at `at` of the cubic through the nearest points of a branch `(n,)` (those within `reach`, `2
    least` of them or more), the value's variance for points of variance 1, the squares of the residuals and their
    degrees of freedom. `work` `(6, 4, 4)` is scratch."""
    left, right = _nearest(x, at, reach, 2 * least)
    n = right - left
    order = min(3, n - 2) + 1
    width = max(x[right - 1] - at, at - x[left], 1e-300)
    middle = 0.0
    for i in range(left, right):
        middle += y[i]
    middle /= n
    s1, s2, s3, s4, s5, s6 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    r0, r1, r2, r3 = 0.0, 0.0, 0.0, 0.0
    for i in range(left, right):
        t, value = (x[i] - at) / width, y[i] - middle
        two = t * t
        three = two * t
        s1 += t
        s2 += two
        s3 += three
        s4 += two * two
        s5 += three * two
        s6 += three * three
        r0 += value
        r1 += t * value
        r2 += two * value
        r3 += three * value
    a, b, c, diagonal = work[0], work[3, 0], work[3, 1], work[3, 2]
    a[0, 0] = n
    a[1, 0], a[1, 1] = s1, s2
    a[2, 0], a[2, 1], a[2, 2] = s2, s3, s4
    a[3, 0], a[3, 1], a[3, 2], a[3, 3] = s3, s4, s5, s6
    b[0], b[1], b[2], b[3] = r0, r1, r2, r3
    c[:] = 0.0
    if factor(a, order, work[1], work[2]) < order:
        return np.nan, np.nan, np.nan, np.nan, 0
    solution(work[2], b, order, c, diagonal)
    square = 0.0
    for i in range(left, right):
        t = (x[i] - at) / width
        square += (y[i] - middle - (c[0] + t * (c[1] + t * (c[2] + t * c[3])))) ** 2
    return c[0] + middle, c[1] / width, diagonal[0], square, n - order
