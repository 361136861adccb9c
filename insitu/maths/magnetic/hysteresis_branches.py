"""Kernels that take a measured loop apart: sweeps of the field, the two branches, values between points.

A sweep is a run between two turning points of the field; steps back smaller than `least` (a part of the range) are
jitter. A branch is a sweep over (nearly) the whole range; where a measurement began in the middle of one, its last and
its first sweep make that branch together. Of several loops the last is taken, because a first one may be the way to
saturation. A branch is in order of field; points at the same field are averaged.
"""

import numpy as np
from numba import njit

TURN = 0.05
"""A turning point is where the field goes back by more than this part of its range."""
WHOLE = 0.9
"""The part of the field's range that a sweep must cover to be a branch."""


@njit(cache=True, error_model="numpy")
def turning_points(b: np.ndarray, least: float) -> np.ndarray:
    """Indices of first point, turning points and last point of a field `(n,)`; steps back up to `least` are none.

    >>> turning_points(np.array([0.0, 1.0, 0.9, 2.0, 1.0, 0.0, 1.0]), 0.5).tolist()
    [0, 3, 5, 6]
    """
    found = np.empty(b.size + 1, np.int64)
    found[0], count = 0, 1
    low = high = 0
    direction = 0
    for i in range(1, b.size):
        if b[i] > b[high]:
            high = i
        if b[i] < b[low]:
            low = i
        if direction >= 0 and b[high] - b[i] > least:
            if high != found[count - 1]:
                found[count], count = high, count + 1
            direction, low = -1, i
            high = i
        elif direction <= 0 and b[i] - b[low] > least:
            if low != found[count - 1]:
                found[count], count = low, count + 1
            direction, high = 1, i
            low = i
    found[count] = b.size - 1
    return found[: count + 1]


@njit(cache=True, error_model="numpy")
def ordered(b: np.ndarray, m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Copies of field and moment `(n,)` in order of field; equal fields averaged. Fast where they nearly are."""
    x, y = b.copy(), m.copy()
    if x.size > 1 and x[-1] < x[0]:
        x, y = x[::-1].copy(), y[::-1].copy()
    for i in range(1, x.size):
        at, value, j = x[i], y[i], i - 1
        while j >= 0 and x[j] > at:
            x[j + 1], y[j + 1] = x[j], y[j]
            j -= 1
        x[j + 1], y[j + 1] = at, value
    n, i = 0, 0
    while i < x.size:
        j, total = i, 0.0
        while j < x.size and x[j] == x[i]:
            total += y[j]
            j += 1
        x[n], y[n] = x[i], total / (j - i)
        n, i = n + 1, j
    return x[:n], y[:n]


@njit(cache=True, error_model="numpy")
def branches(
    b: np.ndarray, m: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, int, np.ndarray]:
    """A loop `(n,)`, `(n,)` apart: how many sweeps cover the range, the falling branch (fields in increasing order,
    moments), the rising one, the sign of the field at which the first of them turns into the second (0: the measurement
    began within one of them), how many sweeps there are, and the indices of all points used in the order of
    measurement."""
    empty = np.empty(0)
    none = np.empty(0, np.int64)
    low, high = b.min(), b.max()
    span = high - low
    points = turning_points(b, TURN * span)
    sweeps = points.size - 1
    whole = np.zeros(sweeps, np.bool_)
    for k in range(sweeps):
        whole[k] = abs(b[points[k + 1]] - b[points[k]]) >= WHOLE * span
    last = -1
    for k in range(sweeps - 1):
        if whole[k] and whole[k + 1]:
            last = k
    covering = int(whole.sum())
    if last >= 0:
        i, j, k = points[last], points[last + 1], points[last + 2]
        used = np.arange(i, k + 1)
        one_b, one_m = ordered(b[i : j + 1], m[i : j + 1])
        two_b, two_m = ordered(b[j : k + 1], m[j : k + 1])
        if b[j] < b[i]:
            return 2, one_b, one_m, two_b, two_m, -1, sweeps, used
        return 2, two_b, two_m, one_b, one_m, 1, sweeps, used
    if sweeps == 3 and covering == 1 and whole[1]:
        i, j, end = points[1], points[2], b.size
        one_b, one_m = ordered(b[i : j + 1], m[i : j + 1])
        joined_b = np.concatenate((b[j:end], b[: i + 1]))
        joined_m = np.concatenate((m[j:end], m[: i + 1]))
        two_b, two_m = ordered(joined_b, joined_m)
        reach = abs(b[end - 1] - b[j]) + abs(b[i] - b[0])
        if reach >= WHOLE * span:
            used = np.arange(0, end)
            if b[j] > b[i]:
                return 2, two_b, two_m, one_b, one_m, 0, sweeps, used
            return 2, one_b, one_m, two_b, two_m, 0, sweeps, used
    return covering, empty, empty, empty, empty, 0, sweeps, none


@njit(cache=True, error_model="numpy")
def between(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """`y` `(n,)` at fields `at` `(k,)`, both in increasing order, by straight lines; beyond the ends the last line goes
    on."""
    found, j = np.empty(at.size), 0
    for i in range(at.size):
        while j < x.size - 2 and x[j + 1] < at[i]:
            j += 1
        found[i] = y[j] + (at[i] - x[j]) * (y[j + 1] - y[j]) / (x[j + 1] - x[j])
    return found


@njit(cache=True, error_model="numpy")
def solve(a: np.ndarray, b: np.ndarray, k: int) -> tuple[bool, np.ndarray, np.ndarray]:
    """Solution `(k,)` of the first `k` normal equations and the diagonal of the inverse `(k,)`; False where they have
    none."""
    low = np.zeros((k, k))
    for i in range(k):
        for j in range(i + 1):
            s = a[i, j]
            for l in range(j):  # noqa: E741
                s -= low[i, l] * low[j, l]
            if i == j:
                if s <= 1e-13 * a[i, i]:
                    return False, np.empty(0), np.empty(0)
                low[i, i] = np.sqrt(s)
            else:
                low[i, j] = s / low[j, j]
    x, diagonal = np.empty(k), np.zeros(k)
    inverse = np.zeros((k, k))
    for c in range(k):
        for i in range(k):
            s = 1.0 if i == c else 0.0
            for l in range(i):  # noqa: E741
                s -= low[i, l] * inverse[l, c]
            inverse[i, c] = s / low[i, i]
    z = np.zeros(k)
    for i in range(k):
        for l in range(i + 1):  # noqa: E741
            z[i] += inverse[i, l] * b[l]
    for i in range(k):
        x[i] = 0.0
        for l in range(i, k):  # noqa: E741
            x[i] += inverse[l, i] * z[l]
            diagonal[i] += inverse[l, i] ** 2
    return True, x, diagonal


@njit(cache=True, error_model="numpy")
def local_cubic(
    x: np.ndarray, y: np.ndarray, at: float, reach: float, least: int
) -> tuple[float, float, float, float, int]:
    """Value and slope at `at` of the cubic through the nearest points of a branch `(n,)` (those within `reach`, `2
    least` of them or more), the value's variance for points of variance 1, the squares of the residuals and their
    degrees of freedom."""
    right = int(np.searchsorted(x, at))
    left = right
    while right - left < 2 * least or (
        (left > 0 and at - x[left - 1] <= reach) or (right < x.size and x[right] - at <= reach)
    ):
        if left == 0 and right == x.size:
            break
        if right == x.size or (left > 0 and at - x[left - 1] <= x[right] - at):
            left -= 1
        else:
            right += 1
    n = right - left
    order = min(3, n - 2) + 1
    width = max(x[right - 1] - at, at - x[left], 1e-300)
    a, b = np.zeros((4, 4)), np.zeros(4)
    middle = 0.0
    for i in range(left, right):
        middle += y[i] / n
    power = np.empty(4)
    for i in range(left, right):
        t = (x[i] - at) / width
        power[0], power[1], power[2], power[3] = 1.0, t, t * t, t * t * t
        for j in range(order):
            b[j] += power[j] * (y[i] - middle)
            for l in range(j + 1):  # noqa: E741
                a[j, l] += power[j] * power[l]
    fine, c, diagonal = solve(a, b, order)
    if not fine:
        return np.nan, np.nan, np.nan, np.nan, 0
    square = 0.0
    for i in range(left, right):
        t, value, p = (x[i] - at) / width, middle, 1.0
        for j in range(order):
            value += c[j] * p
            p *= t
        square += (y[i] - value) ** 2
    return c[0] + middle, c[1] / width, diagonal[0], square, n - order
