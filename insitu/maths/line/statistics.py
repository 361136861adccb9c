"""What a channel did in one frame, in one pass: level, scatter, extremes, and how far it moved.

    mean, std (n - 1), min, max
    slope    the least-squares line's change from the first sample to the last: 12 sum((i - m) x) / (n (n + 1)),
             with m the middle index; in the channel's unit, so that no rate is needed
    rough    sqrt(mean (x[i+1] - x[i])^2 / 2): the scatter from sample to sample, as std for white noise and less
             for what is slow (J. von Neumann, Ann. Math. Stat. 12 (1941) 367); neighbours that are both there count
    missing  the part of the samples that holds no number

Shapes: `(n,)` float64 in, one number each out; NaN where there are too few samples (none for mean,
one for std, slope, rough).
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit


class Summary(NamedTuple):
    """Numbers of one channel (see the head of this file); NaN where there are too few samples."""

    mean: float
    std: float
    minimum: float
    maximum: float
    slope: float
    rough: float
    missing: float


@njit(cache=True)
def _summary(x: np.ndarray) -> tuple:
    n, total, low, high, middle = 0, 0.0, math.inf, -math.inf, 0.0
    for i in range(x.size):
        if math.isfinite(x[i]):
            n += 1
            total += x[i]
            middle += i
            low, high = min(low, x[i]), max(high, x[i])
    if n == 0:
        return math.nan, math.nan, math.nan, math.nan, math.nan, math.nan
    mean, middle = total / n, middle / n
    squares, moments, spread = 0.0, 0.0, 0.0
    for i in range(x.size):
        if math.isfinite(x[i]):
            away, at = x[i] - mean, i - middle
            squares += away * away
            moments += at * away
            spread += at * at
    if n == 1:
        return mean, math.nan, low, high, math.nan, math.nan
    pairs, steps = 0, 0.0
    for i in range(1, x.size):
        step = x[i] - x[i - 1]
        if math.isfinite(step):
            pairs += 1
            steps += step * step
    rough = math.sqrt(0.5 * steps / pairs) if pairs > 0 else math.nan
    return mean, math.sqrt(squares / (n - 1)), low, high, moments / spread * (x.size - 1), rough


def summary(values: np.ndarray) -> Summary:
    """The numbers of one channel `(n,)`; what is not finite is missing.

    >>> summary(np.array([1.0, 2.0, 3.0, np.nan]))
    Summary(mean=2.0, std=1.0, minimum=1.0, maximum=3.0, slope=3.0, rough=0.7071067811865476, missing=0.25)
    """
    values = np.ascontiguousarray(values, np.float64)
    if not values.size:
        return Summary(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, 1.0)
    gone = values.size - int(np.count_nonzero(np.isfinite(values)))
    mean, std, low, high, slope, rough = _summary(values)
    return Summary(mean, std, low, high, slope, rough, gone / values.size)
