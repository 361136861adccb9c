"""Pixels that do not behave like those around them: dead and hot ones, against what their place leads one to expect."""

# The types of the arguments are numba's to find: pyright sees none.
# pyright: reportMissingParameterType=false

import numpy as np
from numba import njit

EXPECTED = 25.0
"""Dead: a count of 0 where so many are expected (chance e^-25)."""
TIMES, SIGMAS, ALONE = 8.0, 10.0, 0.25
"""Hot: above 8 times the expected count and 10 sigma more, and none of its 8 neighbours has a quarter of it: an
instrument spreads a spot of the sample over several pixels."""
MISSING, BELOW, SATURATED, DEAD, HOT = range(5)


@njit(cache=True, nogil=True)
def count_odd(data, cells, weight, mean, least, low, high, counts):
    """Add to `counts` int64 `(5,)`: no number, below `low`, at or above `high`, dead, hot.

    `data` `(ny, nx)`; `cells` `(ny * nx,)`: the cell of a pixel, one past the last where it never counts; `mean`
    `(cells,)`: intensity per weight, and the `least` that is thought possible.
    """
    ny, nx = data.shape
    never = mean.size
    for i in range(ny):
        for j in range(nx):
            k = i * nx + j
            if cells[k] == never:
                continue
            x = np.float64(data[i, j])
            if x != x:
                counts[MISSING] += 1
                continue
            if x < low:
                counts[BELOW] += 1
                continue
            if x >= high:
                counts[SATURATED] += 1
                continue
            expected = mean[cells[k]] * weight[k]
            if x == 0.0:
                counts[DEAD] += least[cells[k]] * weight[k] >= EXPECTED
            elif x > TIMES * expected + SIGMAS * np.sqrt(max(expected, 1.0)):
                beside = 0.0
                for a in range(max(i - 1, 0), min(i + 2, ny)):
                    for b in range(max(j - 1, 0), min(j + 2, nx)):
                        if a != i or b != j:
                            beside = max(beside, np.float64(data[a, b]))
                counts[HOT] += beside < ALONE * x
