"""Sums over pixels into bins: one pass over the image in its own order, one thread, the same result every time.

A pixel counts where `low <= value < high` (NaN does not). What a pixel that does not count would have brought is added
to `lost`, so that `static sums - lost` is the normalisation of this very frame. `sums` has a column for the signal and
one for its variance: the known `variance` of a pixel, else max(value, 1) as pyFAI takes it for counts. Arrays per pixel
are flat; `dark` may be `(0,)`.

No splitting: `bins` names one bin per pixel, the last one is for pixels that never count. Integer sums are exact
whatever the order. Splitting: a pixel covers `first` (share `begin`), then `2 + more` bins, the last with share `end`,
those between with equal shares, all shares adding up to 1; two halves of the image are walked side by side, because
neighbours in a row fall into the same bins and would wait for each other.
"""

# The types of the arguments are numba's to find: pyright sees none.
# pyright: reportMissingParameterType=false

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def sum_counts(data, bins, low, high, weight, dark, sums, lost):
    """Integers into bins. `sums` int64 `(bins + 1, 2)`; `lost` float64 `(bins + 1, 3)`: pixels, weight, dark."""
    never = sums.shape[0] - 1
    for i in range(data.size):
        b, x = bins[i], np.int64(data[i])
        if low <= x < high:
            sums[b, 0] += x
            sums[b, 1] += max(x, 1)
        elif b != never:
            lost[b, 0] += 1.0
            lost[b, 1] += weight[i]
            if dark.size:
                lost[b, 2] += dark[i]


@njit(cache=True, nogil=True)
def sum_values(data, variance, bins, low, high, weight, dark, sums, lost):
    """Numbers of any type into bins; `sums` float64, else as `sum_counts`. `variance` `(n,)` or `(0,)`."""
    never = sums.shape[0] - 1
    for i in range(data.size):
        b, x = bins[i], np.float64(data[i])
        if low <= x < high:
            sums[b, 0] += x
            sums[b, 1] += variance[i] if variance.size else max(x, 1.0)
        elif b != never:
            lost[b, 0] += 1.0
            lost[b, 1] += weight[i]
            if dark.size:
                lost[b, 2] += dark[i]


@njit(cache=True, nogil=True)
def sum_boxes(data, variance, first, more, begin, end, low, high, weight, dark, sums, lost):
    """Pixels split over bins. `sums` float64 `(2, bins, 2)`, one layer per half of the image; `lost` float64
    `(bins, 3)`: pixels, weight, dark. A pixel that never counts lies in the last three bins."""
    half, never = (data.size + 1) // 2, np.uint64(sums.shape[1] - 3)
    for j in range(half):
        for s in range(2):
            i = j + s * half
            if i >= data.size:
                continue
            b, x = np.uint64(first[i]), np.float64(data[i])
            c0, c2 = np.float64(begin[i]), np.float64(end[i])
            c1, between = 1.0 - c0 - c2, more[i]
            if low <= x < high:
                v = variance[i] if variance.size else max(x, 1.0)
                if between:  # seldom: kept apart, so that the usual case has no loop
                    c1 /= 1 + between
                    for _ in range(between):
                        sums[s, b + np.uint64(2), 0] += c1 * x
                        sums[s, b + np.uint64(2), 1] += c1 * c1 * v
                        b += np.uint64(1)
                    a = b - np.uint64(between)
                else:
                    a = b
                sums[s, a, 0] += c0 * x
                sums[s, a, 1] += c0 * c0 * v
                a += np.uint64(1)
                sums[s, a, 0] += c1 * x
                sums[s, a, 1] += c1 * c1 * v
                b += np.uint64(2)
                sums[s, b, 0] += c2 * x
                sums[s, b, 1] += c2 * c2 * v
            elif b < never:
                w, d = np.float64(weight[i]), dark[i] if dark.size else 0.0
                c1 /= 1 + between
                for k in range(3 + between):
                    c = c0 if k == 0 else c2 if k == 2 + between else c1
                    lost[b, 0] += c
                    lost[b, 1] += c * w
                    lost[b, 2] += c * d
                    b += np.uint64(1)


@njit(cache=True, nogil=True)
def make_boxes(low, high, use, closed, count, pad, first, more, begin, end):
    """Fill first, more, begin and end for boxes from `low` to `high` `(n,)`, in bins.

    `pad` bins lie before bin 0 for what reaches beyond the range, `3 + pad` after the last of `count`; boxes wholly
    outside and pixels without `use` go to the last three bins of `count + 2 pad + 6`. `closed`: there is nothing below
    bin 0 (angle 0): what of a pixel about the beam centre would lie there is bin 0's, as in pyFAI. False where a box is
    too wide.
    """
    last = count + 2 * pad + 3
    for i in range(low.size):
        first[i], more[i], begin[i], end[i] = last, 0, 0.0, 0.0
        a, z = low[i], high[i]
        if not use[i] or not (z > 0.0 and a < count):
            continue
        p, q = math.floor(a), math.floor(z)
        if closed and p < 0:
            p = 0
        if q - p + 1 > pad:
            return False
        first[i] = p + pad
        if p == q:
            begin[i] = 1.0
            continue
        width = z - a
        begin[i] = (p + 1 - a) / width
        if q - p == 1:
            continue  # the rest is the second bin's
        more[i] = q - p - 2
        end[i] = (z - q) / width
    return True
