"""Undoing the bitshuffle transposition (K. Masui et al., Astronomy and Computing 12 (2015) 181), block by block."""

import numpy as np
from numba import njit


def unshuffled(shuffled: np.ndarray, itemsize: int) -> np.ndarray:
    """Bytes of one block of `n` elements, `n` a multiple of 8, out of its bits: shape `(n * itemsize,)`, uint8.

    A shuffled block holds, for byte `b` of an element and bit `i` of that byte, one row of `n / 8` bytes; element `k`
    is bit `k % 8` of byte `k // 8` of that row.

    >>> unshuffled(np.array([255, 0, 0, 0, 0, 0, 0, 0], np.uint8), 1).tolist()
    [1, 1, 1, 1, 1, 1, 1, 1]
    """
    out = np.empty(shuffled.size, np.uint8)
    _transpose(shuffled, out, itemsize)
    return out


@njit(cache=True)
def _transpose(shuffled: np.ndarray, out: np.ndarray, itemsize: int) -> None:
    groups = shuffled.size // (8 * itemsize)
    for b in range(itemsize):
        for g in range(groups):
            x = np.uint64(0)
            for i in range(8):
                x |= np.uint64(shuffled[(b * 8 + i) * groups + g]) << np.uint64(8 * i)
            # the 8 x 8 bits of x, turned over (H. S. Warren, Hacker's Delight, 7-3)
            t = (x ^ (x >> np.uint64(7))) & np.uint64(0x00AA00AA00AA00AA)
            x = x ^ t ^ (t << np.uint64(7))
            t = (x ^ (x >> np.uint64(14))) & np.uint64(0x0000CCCC0000CCCC)
            x = x ^ t ^ (t << np.uint64(14))
            t = (x ^ (x >> np.uint64(28))) & np.uint64(0x00000000F0F0F0F0)
            x = x ^ t ^ (t << np.uint64(28))
            for k in range(8):
                out[(g * 8 + k) * itemsize + b] = (x >> np.uint64(8 * k)) & np.uint64(0xFF)
