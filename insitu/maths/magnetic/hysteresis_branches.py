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
HAIR = 1e-9
"""Fields nearer than this part of the range are equal: rounding must not part them."""


@njit(cache=True, error_model="numpy")
def turning_points(b: np.ndarray, least: float) -> np.ndarray:
    """Indices of first point, turning points and last point of a field `(n,)`; steps back up to `least` are none.

    >>> turning_points(np.array([0.0, 1.0, 0.9, 2.0, 1.0, 0.0, 1.0]), 0.5).tolist()
    [0, 3, 5, 6]
    """
    found = np.empty(b.size + 1, np.int64)
    found[0], count = 0, 1
    low, high, near = 0, 0, HAIR * least
    direction = 0
    for i in range(1, b.size):
        if b[i] > b[high] + near:
            high = i
        if b[i] < b[low] - near:
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
    if b.size > 1 and b[-1] < b[0]:
        x, y = b[::-1].copy(), m[::-1].copy()
    else:
        x, y = b.copy(), m.copy()
    for i in range(1, x.size):
        at, value, j = x[i], y[i], i - 1
        while j >= 0 and x[j] > at:
            x[j + 1], y[j + 1] = x[j], y[j]
            j -= 1
        x[j + 1], y[j + 1] = at, value
    n, i, near = 0, 0, HAIR * (x[-1] - x[0]) if x.size else 0.0
    while i < x.size:
        j, at, total = i + 1, x[i], y[i]
        while j < x.size and x[j] - at <= near:
            total += y[j]
            j += 1
        x[n], y[n] = at, total / (j - i) if j > i + 1 else total
        n, i = n + 1, j
    return x[:n], y[:n]


@njit(cache=True, error_model="numpy")
def branches(
    b: np.ndarray, m: np.ndarray, span: float
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, int, int, int]:
    """A loop `(n,)`, `(n,)` apart, whose field covers `span`: how many sweeps cover it, the falling branch (fields in
    increasing order, moments), the rising one, the sign of the field at which the first of them turns into the second
    (0: the measurement began within one of them), how many sweeps there are, and the first and last (+ 1) of the points
    used, in the order of measurement."""
    empty = np.empty(0)
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
        one_b, one_m = ordered(b[i : j + 1], m[i : j + 1])
        two_b, two_m = ordered(b[j : k + 1], m[j : k + 1])
        if b[j] < b[i]:
            return 2, one_b, one_m, two_b, two_m, -1, sweeps, i, k + 1
        return 2, two_b, two_m, one_b, one_m, 1, sweeps, i, k + 1
    if sweeps == 3 and covering == 1 and whole[1]:
        i, j, end = points[1], points[2], b.size
        one_b, one_m = ordered(b[i : j + 1], m[i : j + 1])
        joined_b = np.concatenate((b[j:end], b[: i + 1]))
        joined_m = np.concatenate((m[j:end], m[: i + 1]))
        two_b, two_m = ordered(joined_b, joined_m)
        reach = abs(b[end - 1] - b[j]) + abs(b[i] - b[0])
        if reach >= WHOLE * span:
            if b[j] > b[i]:
                return 2, two_b, two_m, one_b, one_m, 0, sweeps, 0, end
            return 2, one_b, one_m, two_b, two_m, 0, sweeps, 0, end
    return covering, empty, empty, empty, empty, 0, sweeps, 0, 0


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
