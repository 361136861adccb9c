"""How sharp, how bright and how noisy an image is, in one pass over its pixels.

mean, spread   of the pixels
noise          sigma of white noise: sqrt(pi / 2) / 6 times the mean of |N|, N the image filtered by the difference
               of two Laplacians, which leaves out flat and sloping parts (J. Immerkaer, Comput. Vis. Image
               Underst. 64 (1996) 300). Detail as fine as the pixels is taken for noise
focus          sqrt(mean |grad|^2 - 2/4 noise^2) / sqrt(spread^2 - noise^2), 1/px: the reciprocal of the length
               over which the brightness changes. Neither exposure nor contrast changes it, blur lowers it
saturated      part of the pixels at or above a level
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np


class Sharpness(NamedTuple):
    """Of an image: mean, spread and noise in its unit; focus in 1/px, None where only noise is seen; saturated part."""

    mean: float
    spread: float
    noise: float
    focus: float | None
    saturated: float


def sharpness(image: np.ndarray, full: float) -> Sharpness:
    """What there is to say of an image `(y, x)`, 3 x 3 pixels or more; `full`: the level of saturation.

    >>> y, x = np.mgrid[:64, :64]
    >>> round(sharpness(np.sin(x / 5.0), 1.0).focus, 2)
    0.2
    """
    total, squares, filtered, slopes, at_top = _sums(np.ascontiguousarray(image), full)
    inner = (image.shape[0] - 2) * (image.shape[1] - 2)
    mean = total / image.size
    variance = max(0.0, squares / image.size - mean * mean)
    noise = math.sqrt(math.pi / 2.0) / 6.0 * filtered / inner
    signal, slope = variance - noise**2, slopes / inner - 0.5 * 2.0 * noise**2
    seen = signal > 1e-3 * variance and signal > 0 and slope > 0
    focus = math.sqrt(slope / signal) if seen else None
    return Sharpness(mean, math.sqrt(variance), noise, focus, at_top / image.size)


@numba.njit(cache=True, nogil=True)
def _sums(image, full):
    """Sums over pixels: of them, their squares, |difference of Laplacians|, squared gradient, and those at `full`.

    Kept column by column, less the first pixel: the compiler then works on many columns at once.
    """
    height, width = image.shape
    first = np.float64(image[0, 0])
    lines, columns, at_top = np.empty((3, width)), np.zeros((4, width)), np.zeros(width, np.int64)
    values, squares, filtered, slopes = columns[0], columns[1], columns[2], columns[3]
    for y in range(height):
        row, line = image[y], lines[y % 3]
        for x in range(width):
            value = np.float64(row[x])
            at_top[x] += value >= full
            value -= first
            line[x] = value
            values[x] += value
            squares[x] += value * value
        if y < 2:
            continue
        up, here, down = lines[(y - 2) % 3], lines[(y - 1) % 3], lines[y % 3]
        for x in range(1, width - 1):
            beside = up[x - 1] + up[x + 1] + down[x - 1] + down[x + 1]
            across = up[x] + down[x] + here[x - 1] + here[x + 1]
            filtered[x] += abs(beside - 2.0 * across + 4.0 * here[x])
            dy, dx = down[x] - up[x], here[x + 1] - here[x - 1]
            slopes[x] += dy * dy + dx * dx
    sums = np.zeros(4)
    top = np.int64(0)
    for x in range(width):
        top += at_top[x]
        for k in range(4):
            sums[k] += columns[k, x]
    count = height * width
    total, square = sums[0], sums[1]
    return (
        total + first * count,
        square + 2.0 * first * total + count * first**2,
        sums[2],
        0.25 * sums[3],
        top,
    )
