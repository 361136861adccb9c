"""Kernels that look for what a measurement of a loop has spoilt: clipped moments, spikes.

Clipped: the moment stays at its largest (or smallest) value over a run of points, and leaves it steeply but step by
step. A sample that is saturated comes to its last value gently, and one that jumps does so in one step: neither is
clipped.

Spike: a point (or two) beyond its neighbours on both sides. A branch only rises; noise aside, it has no such points.
"""

import numpy as np
from numba import njit

RUN = 4
"""Points in a row with the same extreme moment that may be clipped."""
LOST = 0.01
"""What clipping must have cut off, as a part of the moment's range, by the slope beside it."""
SPIKE_SIGMA = 10.0
SPIKE = 0.02
"""A spike is higher than so many sigma of the noise, and than this part of the saturation moment."""


@njit(cache=True, error_model="numpy")
def _steepness(b: np.ndarray, m: np.ndarray, at: int, way: int) -> float:
    """Slope beside a run that ends at `at`, seen in the direction `way`; 0 where the moment jumps there, or ends."""
    end = at + 3 * way
    if end < 0 or end >= m.size:
        return 0.0
    one, two = abs(b[at + 2 * way] - b[at + way]), abs(b[end] - b[at + 2 * way])
    if one == 0.0 or two == 0.0:
        return 0.0
    one, two = abs(m[at + 2 * way] - m[at + way]) / one, abs(m[end] - m[at + 2 * way]) / two
    return min(one, two) if max(one, two) < 3.0 * min(one, two) else 0.0


@njit(cache=True, error_model="numpy")
def _smallest_step(m: np.ndarray, span: float) -> float:
    """The smallest step between neighbours that is none of rounding."""
    smallest = span
    for i in range(1, m.size):
        step = abs(m[i] - m[i - 1])
        if 1e-9 * span < step < smallest:
            smallest = step
    return smallest


@njit(cache=True, error_model="numpy")
def clipped(b: np.ndarray, m: np.ndarray) -> int:
    """How many points of a loop in the order of measurement, fields `(n,)` and moments `(n,)`, stand in clipped runs:
    the slope beside the run would have led to more, by a part `LOST` of the moment's range, or 10 of its smallest
    steps."""
    low, high = m[0], m[0]
    for value in m:
        low, high = min(low, value), max(high, value)
    span = high - low
    if not span > 0.0:
        return 0
    near, least = 1e-12 * span, -1.0
    count, i = 0, 0
    while i < m.size:
        top = abs(m[i] - high) <= near
        if not top and abs(m[i] - low) > near:
            i += 1
            continue
        level, j = high if top else low, i
        while j < m.size and abs(m[j] - level) <= near:
            j += 1
        if j - i >= RUN:
            part = b[i:j]
            width = part.max() - part.min()
            least = least if least > 0.0 else max(LOST * span, 10.0 * _smallest_step(m, span))
            if max(_steepness(b, m, j - 1, 1), _steepness(b, m, i, -1)) * width > least:
                count += j - i
        i = j
    return count


@njit(cache=True, error_model="numpy")
def spikes(x: np.ndarray, m: np.ndarray, slope: float, least: float) -> tuple[int, float, float]:
    """How many points of a branch `(n,)`, freed of its `slope`, are spikes of `least` or more; the highest, and its
    field."""
    n = x.size
    if n < 9:
        return 0, 0.0, 0.0
    threshold, known = least, False
    count, worst, at = 0, 0.0, 0.0
    i = 2
    while i < n - 2:
        high = 0.0
        for lag in (1, 2):
            left = m[i] - m[i - lag] - slope * (x[i] - x[i - lag])
            right = m[i] - m[i + lag] - slope * (x[i] - x[i + lag])
            if left * right > 0.0:
                high = max(high, min(abs(left), abs(right)))
        if high > threshold and not known:  # noise is only asked for where there is something to compare it with
            bent = np.empty(n - 2)
            for j in range(1, n - 1):
                bent[j - 1] = abs(m[j + 1] - 2.0 * m[j] + m[j - 1])
            threshold, known = max(SPIKE_SIGMA * np.median(bent) / 1.65, least), True
        if high > threshold:
            count += 1
            if high > worst:
                worst, at = high, x[i]
        i += 1
    return count, worst, at
