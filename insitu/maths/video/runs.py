"""Regions of a mask by its runs: pieces of rows that lie in it, joined where they touch those of the row above.

A picture has far fewer runs than pixels, so that everything after the first look at the mask costs little
(L. He et al., IEEE Trans. Image Process. 17 (2008) 749). Regions are numbered in the order of reading.
"""

from typing import NamedTuple

import numpy as np
from numba import njit


class Runs(NamedTuple):
    """Runs `(n,)` in the order of reading: `row`, `first`, `last` column, and the number of the `region` that each
    belongs to, from 0; and per region `(m,)`: `area` px and `border`, whether it touches the edge of the picture."""

    row: np.ndarray
    first: np.ndarray
    last: np.ndarray
    region: np.ndarray
    area: np.ndarray
    border: np.ndarray


def runs_of(mask: np.ndarray, inside: bool = True, connectivity: int = 8) -> Runs:
    """Runs of the pixels of a bool mask `(y, x)` that are `inside`; `connectivity` 8: corners join, 4: they do not.

    >>> runs_of(np.eye(3, dtype=bool)).region.tolist(), runs_of(np.eye(3, dtype=bool), True, 4).region.tolist()
    ([0, 0, 0], [0, 1, 2])
    """
    width, more = mask.shape[1], -mask.shape[1] % 8
    bytes_ = np.ascontiguousarray(mask if more == 0 else np.pad(mask, ((0, 0), (0, more)))).view(np.uint8)
    return Runs(*_runs(bytes_, bytes_.view(np.uint64), width, np.uint8(inside), 1 if connectivity == 8 else 0))


@njit(cache=True, nogil=True)
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _runs(mask, words, width, inside, corner):
    """`words`: eight pixels of `mask` each, which are passed at once where they are alike."""
    height = mask.shape[0]
    ones = np.uint64(0x0101010101010101)
    full, empty = (ones, np.uint64(0)) if inside else (np.uint64(0), ones)
    row, first, last = np.empty(1024, np.int32), np.empty(1024, np.int32), np.empty(1024, np.int32)
    parent = np.empty(1024, np.int32)
    n, above, here = 0, 0, 0
    for y in range(height):
        line, eights = mask[y], words[y]
        above, here = here, n
        other = above
        x = 0
        while x < width:
            while x < width:
                if x & 7 == 0 and eights[x >> 3] == empty:
                    x += 8
                elif line[x] != inside:
                    x += 1
                else:
                    break
            if x >= width:
                break
            begin = x
            while x < width:
                if x & 7 == 0 and eights[x >> 3] == full:
                    x += 8
                elif line[x] == inside:
                    x += 1
                else:
                    break
            x = min(x, width)
            if n == row.size:
                more = np.empty(n, np.int32)
                row, first, last = np.append(row, more), np.append(first, more), np.append(last, more)
                parent = np.append(parent, more)
            row[n], first[n], last[n], parent[n] = y, begin, x - 1, n
            while other < here and last[other] + corner < begin:
                other += 1
            k = other
            while k < here and first[k] <= x - 1 + corner:
                a, b = _root(parent, k), _root(parent, n)
                if a < b:
                    parent[b] = a
                elif b < a:
                    parent[a] = b
                k += 1
            n += 1
    region, count = np.empty(n, np.int32), 0
    for i in range(n):  # roots are the first runs of their regions
        root = _root(parent, i)
        if root == i:
            region[i] = count
            count += 1
        else:
            region[i] = region[root]
    area, border = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    for i in range(n):
        area[region[i]] += last[i] - first[i] + 1
        if first[i] == 0 or last[i] == width - 1 or row[i] == 0 or row[i] == height - 1:
            border[region[i]] = True
    return row[:n], first[:n], last[:n], region, area, border


@njit(cache=True, nogil=True)
def painted(out, row, first, last, region, values):
    """Writes `values[region]` of each run into `out` `(y, x)`; `values` `(m,)`."""
    for i in range(row.size):
        line, value = out[row[i]], values[region[i]]
        for x in range(first[i], last[i] + 1):
            line[x] = value


@njit(cache=True, nogil=True)
def moments(row, first, last, region, count):
    """Per region `(m, 6)` int64: pixels, and sums of y, x, yy, xx, yx."""
    sums = np.zeros((count, 6), np.int64)
    for i in range(row.size):
        y, a, b, k = np.int64(row[i]), np.int64(first[i]), np.int64(last[i]), region[i]
        n = b - a + 1
        s = (a + b) * n // 2
        sums[k, 0] += n
        sums[k, 1] += n * y
        sums[k, 2] += s
        sums[k, 3] += n * y * y
        sums[k, 4] += b * (b + 1) * (2 * b + 1) // 6 - (a - 1) * a * (2 * a - 1) // 6
        sums[k, 5] += y * s
    return sums
