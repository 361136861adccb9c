"""The median of numbers, by selection: the value of `numpy.median`, and usable within kernels.

Selection after C. A. R. Hoare, Commun. ACM 4 (1961) 321, the middle one of three as the pivot.
"""

import numpy as np
from numba import njit


def median(values: np.ndarray) -> float:
    """The median of `values` (n,); nan where there are none, or one of them is nan.

    >>> median(np.array([3.0, 1.0, 2.0])), median(np.array([3.0, 1.0, 2.0, 7.0]))
    (2.0, 2.5)
    """
    return middle_of(np.array(values, dtype=np.float64).reshape(-1))


@njit(cache=True, error_model="numpy")
def middle_of(room):
    """The median of `room` (n,), whose order is lost."""
    n = room.size
    for value in room:
        if np.isnan(value):
            return np.nan
    if n == 0:
        return np.nan
    half = n // 2
    low, high = 0, n - 1
    while low < high:
        first, middle, last = room[low], room[(low + high) // 2], room[high]
        pivot = max(min(first, middle), min(max(first, middle), last))
        i, j = low, high
        while i <= j:
            while room[i] < pivot:
                i += 1
            while room[j] > pivot:
                j -= 1
            if i <= j:
                room[i], room[j] = room[j], room[i]
                i += 1
                j -= 1
        if half <= j:
            high = j
        elif half >= i:
            low = i
        else:
            break
    if n % 2 == 1:
        return room[half]
    below = room[0]
    for i in range(1, half):
        below = max(below, room[i])
    return 0.5 * (below + room[half])
