"""What lies below (or above) the level at which edges are crossed, in one pass of running sums.

The level is that of `insitu.maths.video.segment.edge_level`; only its comparison with the image is kept, because large
arrays cost more to make than to compute.
"""

import numpy as np
from numba import njit

BAND = 8
"""Rows that are summed along x side by side, so that no sum waits for the one before."""


@njit(cache=True, nogil=True)
def slopes(image):
    """Squared slope by Sobel's filters, float32 `(y, x)`, edges mirrored about their outermost pixels; the largest."""
    height, width = image.shape
    out, top = np.empty((height, width), np.float32), np.zeros(width, np.float32)
    line = np.empty((3, width + 2), np.float32)
    two = np.float32(2.0)
    for y in range(height):
        rows = max(y - 1, 1 - y) if height > 1 else 0, y, min(y + 1, 2 * height - 3 - y) if height > 1 else 0
        for k in range(3):
            source, target = image[rows[k]], line[k]
            for x in range(width):
                target[x + 1] = source[x]
            target[0], target[width + 1] = target[min(2, width)], target[max(width - 1, 1)]
        up, here, down, found = line[0], line[1], line[2], out[y]
        for x in range(width):
            across = (up[x + 2] - up[x]) + two * (here[x + 2] - here[x]) + (down[x + 2] - down[x])
            along = (down[x] - up[x]) + two * (down[x + 1] - up[x + 1]) + (down[x + 2] - up[x + 2])
            value = across * across + along * along
            found[x] = value
            top[x] = max(top[x], value)
    return out, top.max()


@njit(cache=True, nogil=True)
def _mirrored(i, n):
    """The place of line `i` where `n` lines are mirrored at their edges, edges repeated."""
    i %= 2 * n
    return i if i < n else 2 * n - 1 - i


@njit(cache=True, nogil=True)
def mean_spread(image):
    """Mean and standard deviation of a float64 image `(y, x)`, column by column, always added in the same order."""
    height, width = image.shape
    first, sums, squares = image[0, 0], np.zeros(width), np.zeros(width)
    for y in range(height):
        row = image[y]
        for x in range(width):
            off = row[x] - first
            sums[x] += off
            squares[x] += off * off
    total, square = 0.0, 0.0
    for x in range(width):
        total += sums[x]
        square += squares[x]
    mean = total / image.size
    return first + mean, np.sqrt(max(0.0, square / image.size - mean * mean))


@njit(cache=True, nogil=True)
def beyond(image, window, offset, dark):
    """Bool `(y, x)`: where float64 `image` lies below the level of its edges + `offset`, or above, if not `dark`.

    The level: means of the image weighted by its slope ** 4 (+ 1e-12 of the steepest), taken twice over `window` px
    (odd) along both axes, edges mirrored.
    """
    middle = np.float32(mean_spread(image)[0])
    weight, top = slopes(image)
    if top <= 0.0:
        return np.zeros(image.shape, np.bool_) if offset == 0.0 else np.full(image.shape, dark == (offset > 0.0))
    scale = np.float32(1.0) / top
    height, width = image.shape
    half = window // 2
    reach = 2 * half
    out = np.empty((height, width), np.bool_)
    once = np.zeros((2, width))
    ring = np.zeros((window + 1, 2, width))
    twice = np.zeros((2, width))
    padded, sums = np.zeros((width + 2 * reach + 2, 2, BAND)), np.empty((width + reach + 1, 2, BAND))
    for i in range(-reach - half, -reach + half):  # what the window of the first line but one holds
        _add(once, image[_mirrored(i, height)], weight[_mirrored(i, height)], middle, scale, 1.0)
    done = 0
    for y in range(-reach, height + reach):
        # `once`: sums about line y; `twice`: sums of these about line y - half
        _add(once, image[_mirrored(y + half, height)], weight[_mirrored(y + half, height)], middle, scale, 1.0)
        slot = (y + reach) % (window + 1)
        old = (y + reach + 1) % (window + 1)
        ring[slot] = once
        past = y + reach >= window
        for k in range(2):
            total, now, gone = twice[k], ring[slot, k], ring[old, k]
            if past:
                for x in range(width):
                    total[x] += now[x] - gone[x]
            else:
                for x in range(width):
                    total[x] += now[x]
        _add(once, image[_mirrored(y - half, height)], weight[_mirrored(y - half, height)], middle, scale, -1.0)
        at = y - half
        if at < 0 or at >= height:
            continue
        lane = at % BAND
        for k in range(2):
            total = twice[k]
            for x in range(width):
                padded[x + reach + 1, k, lane] = total[x]
        if lane == BAND - 1 or at == height - 1:
            _along(padded, sums, width, half, middle + offset, dark, image[done : at + 1], out[done : at + 1])
            done = at + 1
    return out


@njit(cache=True, nogil=True)
def _add(sums, line, slope, middle, scale, sign):
    """Adds (line - middle) * weight and weight, float32, times `sign`, to `sums` `(2, x)`: then what was added is taken
    off again to the last bit."""
    above, below = sums[0], sums[1]
    for x in range(line.size):
        part = slope[x] * scale
        weight = part * part + np.float32(1e-12)
        above[x] += sign * np.float64((np.float32(line[x]) - middle) * weight)
        below[x] += sign * np.float64(weight)


@njit(cache=True, nogil=True)
def _along(padded, sums, width, half, base, dark, image, out):
    """The same twice along x for the lines of a band; `out` (lines, x): how `image` compares with the ratio of both
    sums + `base`."""
    reach, window = 2 * half, 2 * half + 1
    for x in range(1, reach + 1):
        left, right = _mirrored(-x, width), _mirrored(width - 1 + x, width)
        padded[reach + 1 - x] = padded[reach + 1 + left]
        padded[reach + width + x] = padded[reach + 1 + right]
    padded[0] = 0.0
    size = width + 2 * half
    total, double = np.zeros((2, BAND)), np.zeros((2, BAND))
    sums[0] = 0.0
    for i in range(1, window):
        for k in range(2):
            for r in range(BAND):
                total[k, r] += padded[i, k, r]
    for i in range(size):
        for k in range(2):
            for r in range(BAND):
                total[k, r] += padded[i + window, k, r]
                if i > 0:
                    total[k, r] -= padded[i, k, r]
                sums[i + 1, k, r] = total[k, r]
    for i in range(1, window):
        for k in range(2):
            for r in range(BAND):
                double[k, r] += sums[i, k, r]
    for x in range(width):
        for k in range(2):
            for r in range(BAND):
                double[k, r] += sums[x + window, k, r] - sums[x, k, r]
        for r in range(out.shape[0]):
            level = double[0, r] / double[1, r] + base
            out[r, x] = image[r, x] < level if dark else image[r, x] > level
